"""The study of a search: what it keeps when its process ends, whom it refuses, and what it asks for next."""

import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from weightflow.errors import InputError
from weightflow.search.folder import STUDY
from weightflow.search.space.space import Space
from weightflow.search.study import storage
from weightflow.search.study.options import SearchOptions
from weightflow.search.study.pareto import pareto_front
from weightflow.search.study.reading import best_points, load_study, read_study
from weightflow.search.study.study import Study
from weightflow.search.trials.stopper import Stopper, floor_decision
from weightflow.trials import Criterion, SamplerName, SchedulerName, TrialRecord, TrialState, against_default

KEYS = ("dynamics.kind", "dynamics.hidden", "training.learning_rate", "training.epochs")
SPACE = Space.build(
    {
        "parameters": {
            "dynamics.kind": {"kind": "choice", "values": ["ode", "cde"]},
            "dynamics.hidden": {"kind": "int", "low": 8, "high": 64, "when": {"dynamics.kind": "ode"}},
            "training.learning_rate": {"kind": "float", "low": 1e-3, "high": 1e-2, "log": True},
        },
        "fixed": {"training.epochs": 4},
    },
    KEYS,
)
EPOCHS = 4


def open_study(
    folder: Path, options: SearchOptions | None = None, space: Space = SPACE, seed: int = 0, **about: Any
) -> Study:
    identity = {"space": space.content(), "seed": seed, **about}
    return Study(folder, space, options or SearchOptions(trials=50), EPOCHS, 2, seed, identity, {"name": "study"})


def run(study: Study, score: float, epochs: int = EPOCHS, **metrics: float) -> TrialRecord:
    record = study.next_trial()
    assert record is not None
    return report(study, record.number, score, 1, epochs, **metrics)


def report(study: Study, number: int, score: float, first: int, last: int, **metrics: float) -> TrialRecord:
    for epoch in range(first, last + 1):
        pruned = study.report(number, epoch, {"score": score, **metrics}, seconds=float(epoch))
        if pruned or epoch == EPOCHS:
            study.end(number, TrialState.PRUNED if pruned else TrialState.FINISHED)
            break
    return study.records[number]


def test_the_first_trials_are_the_default_and_the_papers_and_no_point_comes_twice(tmp_path: Path) -> None:
    point = {"dynamics.kind": "cde", "training.learning_rate": 5e-3}
    study = open_study(tmp_path, space=replace(SPACE, first_trials=(point, {**point, "training.learning_rate": 1e-3})))
    params = [run(study, 1.0 - i / 10).params for i in range(4)]
    assert params[0] == {"dynamics.kind": "ode", "dynamics.hidden": 32, "training.learning_rate": 1e-2} | {
        "training.epochs": 4
    }
    assert params[1]["dynamics.kind"] == "cde"
    assert params[1]["training.learning_rate"] == 1e-3
    assert params[2] == {**point, "training.epochs": 4}
    assert params[3] not in params[:3]


def test_what_was_reported_is_there_after_the_process_is_killed(tmp_path: Path) -> None:
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_study import open_study, run
        study = open_study(Path({str(tmp_path)!r}))
        for score in (0.5, 0.4, 0.6):
            run(study, score)
        study.next_trial()
        run(study, 0.3, epochs=2)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr.decode()
    study = open_study(tmp_path)
    states = [record.state for record in study.all()]
    assert states == [TrialState.FINISHED] * 2 + [TrialState.PRUNED] + [TrialState.STOPPED] * 2
    assert [record.epochs for record in study.all()] == [4, 4, 2, 0, 2]
    assert study.records[4].score == 0.3
    again = [study.next_trial() for _ in range(2)]
    assert [record.number for record in again if record] == [3, 4]
    assert again[1] is not None
    assert again[1].epochs == 2
    assert report(study, 4, 0.3, 2, EPOCHS).state is TrialState.FINISHED
    assert [entry["epoch"] for entry in study.records[4].history] == [1, 2, 3, 4]
    assert run(study, 0.9).number == 5


def test_a_report_of_which_only_a_part_was_written_is_taken_again(tmp_path: Path) -> None:
    first = open_study(tmp_path)
    record = run(first, 0.3, epochs=1)
    before = written(tmp_path)
    first.report(record.number, 2, {"score": 0.2}, 2.0)
    first.close()
    # the score for Optuna is there, and the process ended before the rest was
    (tmp_path / STUDY).write_bytes(b"".join(written(tmp_path)[: len(before) + 1]))
    second = open_study(tmp_path)
    again = second.next_trial()
    assert again is not None
    assert again.epochs == 1
    assert report(second, again.number, 0.2, 2, EPOCHS).state is TrialState.FINISHED
    assert [entry["score"] for entry in second.records[again.number].history] == [0.3, 0.2, 0.2, 0.2]


def test_the_rungs_of_early_stopping_are_kept(tmp_path: Path) -> None:
    first = open_study(tmp_path)
    for score in (0.1, 0.2):
        run(first, score)
    first.close()
    second = open_study(tmp_path)
    assert run(second, 0.9).state is TrialState.PRUNED
    assert run(second, 0.05).state is TrialState.FINISHED
    pruned = second.optuna.trials[2]
    assert pruned.state.name == "PRUNED"
    assert pruned.value == 0.9
    assert second.records[2].epochs == 2


def test_the_sampler_goes_on_with_its_history(tmp_path: Path) -> None:
    options = SearchOptions(trials=100, scheduler=SchedulerName.NONE)

    def score(params: dict[str, Any]) -> float:
        return abs(float(params["training.learning_rate"]) - 2e-3) * 1e3 + 3 * (params["dynamics.kind"] == "cde")

    for _ in range(4):
        study = open_study(tmp_path, options)
        for _ in range(10):
            record = study.next_trial()
            assert record is not None
            report(study, record.number, score(dict(record.params)), 1, EPOCHS)
        study.close()
    late = [score(dict(record.params)) for record in open_study(tmp_path, options).all()[20:]]
    assert sum(value < 1 for value in late) >= 10  # of 20; at random every fourth is so good


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    run(study, 0.5)
    study.close()
    whole = (tmp_path / STUDY).read_bytes()
    (tmp_path / STUDY).write_bytes(whole + b'{"op_code": 5, "worker')
    assert [record.score for record in read_study(tmp_path)[1]] == [0.5]
    again = open_study(tmp_path)
    run(again, 0.4)
    assert [record.score for record in read_study(tmp_path)[1]] == [0.5, 0.4]


def test_two_processes_cannot_write_one_study(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    with pytest.raises(InputError, match="another process works on the search"):
        open_study(tmp_path)
    study.close()
    open_study(tmp_path).close()


def test_another_search_is_refused_and_the_difference_is_shown(tmp_path: Path) -> None:
    open_study(tmp_path, data={"digest": "a1", "samples": 10}).close()
    wider = SPACE.content()
    wider["parameters"]["dynamics.hidden"]["high"] = 128
    with pytest.raises(InputError, match="is another search") as refused:
        open_study(tmp_path, seed=1, data={"digest": "b2", "samples": 10})
    assert "seed was 0 and is 1" in str(refused.value)
    assert "data.digest was a1 and is b2" in str(refused.value)
    assert "samples" not in str(refused.value)
    with pytest.raises(InputError, match=r"hidden\.high was 64 and is 128"):
        open_study(tmp_path, space=Space.build({k: v for k, v in wider.items() if k == "parameters"}, KEYS))


def test_trials_that_are_stopped_or_fail_are_told_truly(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    run(study, 0.5)
    record = study.next_trial()
    assert record is not None
    study.report(record.number, 1, {"score": 0.4}, 1.0)
    for i in range(1, 3):
        assert study.retry(record.number, "a worker died")
        again = study.next_trial()
        assert again is not None
        assert (again.number, again.retries, again.epochs) == (record.number, i, 1)
    assert not study.retry(record.number, "a worker died")
    study.end(record.number, TrialState.FAILED, "a worker died")
    stopped = study.next_trial()
    assert stopped is not None
    study.stop_running()
    study.close()
    later = open_study(tmp_path)
    failed = later.records[record.number]
    assert (failed.state, failed.reason, failed.retries) == (TrialState.FAILED, "a worker died", 2)
    assert later.optuna.trials[record.number].state.name == "FAIL"
    assert later.records[stopped.number].state is TrialState.STOPPED
    assert later.seconds > 0


@pytest.mark.parametrize("criteria", [(Criterion.SCORE,), (Criterion.SCORE, Criterion.PARAMETERS)])
def test_what_a_budget_has_cut_off_has_ended_with_the_search_for_optuna_too(
    criteria: tuple[Criterion, ...], tmp_path: Path
) -> None:
    options = SearchOptions(trials=9, criteria=criteria)
    study = open_study(tmp_path, options)
    first, second = study.next_trial(), study.next_trial()
    assert first is not None
    assert second is not None
    study.report(first.number, 1, {"score": 0.4}, 1.0)
    study.close()  # as a killed process does: the first one is cut off by it, the second one by a budget
    study = open_study(tmp_path, options)
    again = study.next_trial()
    assert again is not None
    assert (again.number, again.epochs) == (first.number, 1)
    study.stop_running()
    study.conclude()
    assert [record.state for record in study.all()] == [TrialState.STOPPED] * 2
    study.close()
    plain = load_study(tmp_path)
    assert plain.study_name == tmp_path.name
    assert [trial.state.name for trial in plain.trials] == ["PRUNED"] * 2
    later = open_study(tmp_path, options)
    assert [(record.state, record.epochs) for record in later.all()] == [
        (TrialState.STOPPED, 1),
        (TrialState.STOPPED, 0),
    ]
    new = later.next_trial()
    assert new is not None
    assert new.number == 2


def test_a_grid_whose_last_points_a_budget_has_cut_off_ends_without_an_error(tmp_path: Path) -> None:
    parameters = {"dynamics.hidden": {"kind": "choice", "values": [8, 16, 32]}}
    space = Space.build({"parameters": parameters, "fixed": {"training.epochs": EPOCHS}}, KEYS)
    study = open_study(tmp_path, SearchOptions(trials=9, sampler=SamplerName.GRID), space)
    run(study, 0.5)
    started = [study.next_trial() for _ in range(2)]
    assert None not in started
    assert study.next_trial() is None, "all points of the grid are taken"
    study.stop_running()
    study.conclude()
    study.close()
    assert [trial.state.name for trial in load_study(tmp_path).trials] == ["COMPLETE", "PRUNED", "PRUNED"]


def test_the_best_are_repeated_with_other_seeds_and_ranked_by_their_means(tmp_path: Path) -> None:
    study = open_study(tmp_path, SearchOptions(trials=3, scheduler=SchedulerName.NONE))
    for score in (0.3, 0.1, 0.2):
        run(study, score)
    assert study.next_trial() is None
    study.repeat([1, 2], seeds=3)
    seen: list[tuple[int | None, int]] = []
    while (record := study.next_repeat()) is not None:
        seen.append((record.repeat_of, study.seed_of(record.number)))
        assert record.params == study.records[record.repeat_of or 0].params
        report(study, record.number, 0.9 if record.repeat_of == 1 else 0.2, 1, EPOCHS)
        if len(seen) == 2:  # the process ends, and another one goes on
            study.close()
            study = open_study(tmp_path, SearchOptions(trials=3, scheduler=SchedulerName.NONE))
            study.repeat([1, 2], seeds=3)
    assert seen == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [repeated.number for repeated in study.repeated()] == [2, 1]
    assert study.repeated()[1].scores == (0.9, 0.9)  # without the lucky score that it was chosen by
    assert study.repeated()[1].chosen_by == 0.1
    assert study.repeated()[0].half == 0
    assert [record.number for record in study.finished()] == [1, 2, 0]


def test_the_mean_over_fresh_seeds_alone_decides(tmp_path: Path) -> None:
    """With its own score trial 0 would have the mean 0.53 and win against 0.55."""
    study = open_study(tmp_path, SearchOptions(trials=2, scheduler=SchedulerName.NONE))
    for score in (0.0, 0.55):
        run(study, score)
    study.repeat([0, 1], seeds=3)
    while (record := study.next_repeat()) is not None:
        report(study, record.number, {0: 0.8, 1: 0.55}[record.repeat_of or 0], 1, EPOCHS)
    assert [(one.number, one.mean) for one in study.repeated()] == [(1, pytest.approx(0.55)), (0, pytest.approx(0.8))]


def test_for_optuna_a_repeat_is_no_trial_of_its_own_value_and_what_is_minimised_has_a_name(tmp_path: Path) -> None:
    study = open_study(tmp_path, SearchOptions(trials=9, scheduler=SchedulerName.NONE))
    for score in (0.5, 0.4):
        run(study, score)
    study.repeat([1], seeds=2)
    record = study.next_repeat()
    assert record is not None
    report(study, record.number, 0.1, 1, EPOCHS)  # luckier than all
    study.end(record.number, TrialState.FINISHED)
    before = study.all()
    study.close()
    study = load_study(tmp_path)
    assert (study.best_trial.number, study.best_value) == (1, 0.4)
    assert study.metric_names == ["score"]
    again = open_study(tmp_path, SearchOptions(trials=9, scheduler=SchedulerName.NONE))
    assert [(r.number, r.state, r.score, r.repeat_of) for r in again.all()] == [
        (r.number, r.state, r.score, r.repeat_of) for r in before
    ]
    assert [(one.number, one.scores) for one in again.repeated()] == [(1, (0.1,))]
    asked = again.next_trial()
    assert asked is not None
    assert asked.number == 3


def test_a_repeat_that_fails_is_made_up_for_and_no_configuration_vanishes(tmp_path: Path) -> None:
    study = open_study(tmp_path, SearchOptions(trials=3, scheduler=SchedulerName.NONE))
    for score in (0.1, 0.2, 0.3):
        run(study, score)
    study.repeat([0, 1, 2], seeds=3)
    failing = {(0, 1), *((1, seed) for seed in range(1, 9)), *((2, seed) for seed in range(2, 9))}
    tried: list[tuple[int, int]] = []
    while (record := study.next_repeat()) is not None:
        tried.append((record.repeat_of or 0, study.seed_of(record.number)))
        if tried[-1] in failing:
            study.end(record.number, TrialState.FAILED, "it diverged")
        else:
            report(study, record.number, 0.4, 1, EPOCHS)
    assert tried == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (2, 4)]
    assert [(one.number, one.scores, one.failed) for one in study.repeated()] == [
        (0, (0.4, 0.4), 1),
        (2, (0.4,), 3),
        (1, (), 3),
    ]
    assert [one.told for one in study.repeated()] == [
        "0.4000 ± 0.0000, mean over 2 fresh seeds (1 failed)",
        "0.4000, 1 fresh seed (3 failed)",
        "no fresh seed finished (3 failed); 0.2000 is the score that it was chosen by",
    ]


@pytest.mark.parametrize(
    ("measured", "stops", "says"),
    [
        ({"floor_p": 0.05}, False, "can be told from"),
        ({"floor_p": 0.6, "floor_power": 0.15, "floor_samples": 10}, False, "10 samples at the smallest held-out"),
        ({"floor_p": 0.6, "floor_power": 0.95, "floor_samples": 1000}, True, "with power 0.95: at these times"),
    ],
)
def test_a_search_stops_at_the_floor_only_where_the_test_would_have_seen_an_error(
    tmp_path: Path, measured: dict[str, float], stops: bool, says: str
) -> None:
    options = SearchOptions(trials=3, stop_at_floor=True)
    study = open_study(tmp_path, options)
    best = run(study, 0.1, EPOCHS, **measured)
    assert Stopper(study, options, 1.0, 0.0).at_floor() is stops
    assert bool(Stopper(study, options, 1.0, 0.0).reason()) is stops
    assert says in floor_decision(best)


def test_what_a_search_has_gained_on_the_default_is_told_by_place() -> None:
    def ended(number: int, interior: float, last: float, state: TrialState = TrialState.FINISHED) -> TrialRecord:
        measured = {"score": (interior + last) / 2, "score_interior": interior, "score_last": last}
        return TrialRecord(number, state, {}, measured["score"], 1, history=(measured,))

    default, forecaster = ended(0, 8.0234, 7.9186), ended(4, 8.0424, 7.8022)
    assert against_default(forecaster, [default, forecaster]) == (
        "The score by which it was chosen (nats per sample) is 0.0487 lower than that of the default, trial 0: "
        "0.0190 higher between the fitted times and 0.1164 lower after them."
    )
    assert against_default(default, [default, forecaster]) == "The default configuration itself is best."
    pruned = ended(0, 9.0, 9.0, TrialState.PRUNED)
    assert against_default(forecaster, [pruned, forecaster]) == ""
    repeats = [replace(ended(5, 8.03, 7.9), repeat_of=4), replace(ended(6, 8.05, 7.94), repeat_of=4)]
    repeats.append(replace(ended(7, 1.0, 1.0, TrialState.FAILED), repeat_of=4))
    assert against_default(forecaster, [default, forecaster, *repeats]) == (
        "Its mean score over 2 fresh seeds (nats per sample) is 0.0090 higher than that of the default, trial 0: "
        "0.0166 higher between the fitted times and 0.0014 higher after them."
    )
    of_default = replace(ended(8, 8.05, 8.0), repeat_of=0)
    assert against_default(forecaster, [default, forecaster, *repeats[:1], of_default]) == (
        "Its score over 1 fresh seed (nats per sample) is 0.0600 lower than that of the default, trial 0: "
        "0.0200 lower between the fitted times and 0.1000 lower after them."
    )


def test_a_grid_is_tried_once_and_ends(tmp_path: Path) -> None:
    space = Space.build(
        {
            "parameters": {
                "dynamics.kind": {"kind": "choice", "values": ["ode", "cde"]},
                "dynamics.hidden": {"kind": "int", "low": 8, "high": 24, "step": 8, "when": {"dynamics.kind": "ode"}},
            }
        },
        KEYS,
    )
    study = open_study(tmp_path, SearchOptions(trials=50, sampler=SamplerName.GRID), space)
    seen: list[TrialRecord] = []
    while (record := study.next_trial()) is not None:
        seen.append(report(study, record.number, 0.5, 1, EPOCHS))
    assert sorted(str(record.params) for record in seen) == sorted(str(point) for point in space.points())
    assert len(seen) == 4


@pytest.mark.parametrize("sampler", [s for s in SamplerName if s is not SamplerName.GRID])
def test_every_sampler_proposes_points_of_the_space(tmp_path: Path, sampler: SamplerName) -> None:
    study = open_study(tmp_path, SearchOptions(trials=12, sampler=sampler, scheduler=SchedulerName.HYPERBAND))
    for i in range(12):
        run(study, 1.0 - i / 20)
    assert study.next_trial() is None
    for record in study.all():
        assert ("dynamics.hidden" in record.params) == (record.params["dynamics.kind"] == "ode")
        assert 1e-3 <= float(record.params["training.learning_rate"]) <= 1e-2


def test_a_search_starts_from_the_best_of_another(tmp_path: Path) -> None:
    for name in ("earlier", "later"):
        (tmp_path / name).mkdir()
    earlier = open_study(tmp_path / "earlier", SearchOptions(trials=5, scheduler=SchedulerName.NONE))
    scores = [0.5, 0.4, 0.1, 0.3, 0.2]
    for score in scores:
        run(earlier, score)
    warm = best_points(tmp_path / "earlier", 2)
    assert list(warm) == [earlier.records[2].params, earlier.records[4].params]
    later = open_study(tmp_path / "later", SearchOptions(trials=9, warm_start=warm))
    params = [run(later, 1.0).params for _ in range(4)]
    assert params[2:] == [earlier.records[2].params, earlier.records[4].params]
    with pytest.raises(InputError, match="holds no search"):
        best_points(tmp_path / "none")


def test_several_criteria_make_a_front_with_one_recommendation(tmp_path: Path) -> None:
    criteria = (Criterion.SCORE, Criterion.SECONDS, Criterion.PARAMETERS)
    study = open_study(tmp_path, SearchOptions(trials=9, criteria=criteria))
    for score, seconds, size in (
        (1.0, 2.0, 100.0),
        (1.02, 1.0, 50.0),
        (1.5, 0.5, 20.0),
        (1.6, 3.0, 200.0),
        (1.3, 1.5, 60.0),
    ):
        run(study, score, sampling_seconds=seconds, parameters=size, score_error=0.05)
    assert all(record.state is TrialState.FINISHED for record in study.all())
    front = pareto_front(study.finished(), criteria)
    assert front is not None
    assert [record.number for record in front.trials] == [0, 1, 2]
    assert front.recommended == 1  # within the error of the best, and cheaper
    assert {trial.number for trial in study.optuna.best_trials} == {0, 1, 2}


def written(folder: Path) -> list[bytes]:
    return (folder / STUDY).read_bytes().splitlines(keepends=True)


def line_of(folder: Path, sign: bytes) -> int:
    """Return the number of the first line that holds `sign`, counted from 1."""
    return next(number for number, line in enumerate(written(folder), start=1) if sign in line)


@pytest.fixture
def three_trials(tmp_path: Path) -> Path:
    study = open_study(tmp_path, SearchOptions(scheduler=SchedulerName.NONE))
    for score in (0.5, 0.4, 0.6):
        run(study, score)
    study.close()
    return tmp_path


def test_a_study_that_a_search_goes_on_writing_is_read_without_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search appends its next line just when all before it are read, each line in turn."""
    study = open_study(tmp_path, SearchOptions(trials=99))
    for score in (0.5, 0.4, 0.6):
        run(study, score)
    lines = (tmp_path / STUDY).read_bytes().splitlines(keepends=True)
    copy = tmp_path / "copy.log"
    copy.write_bytes(b"".join(lines[:3]))
    waiting = iter(lines[3:])

    class WrittenMeanwhile(storage.Storage):
        def __init__(self, read: storage.Journal) -> None:
            super().__init__(read)
            with copy.open("ab") as file:
                file.write(next(waiting, b""))

    monkeypatch.setattr(storage, "Storage", WrittenMeanwhile)
    found = [len(storage.open_storage(copy).get_all_trials(0)) for _ in range(len(lines) - 1)]
    assert found == sorted(found)
    assert found[-1] == 3
    assert copy.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("damage", [b"?\n", b"\0\0\0\0\n", b"\xff\xfe{}\n", b"[1]\n", b'{"op_code":77}\n', b"\n"])
@pytest.mark.parametrize("where", ["middle", "last"])
def test_a_damaged_line_is_named_by_whoever_reads_the_study_and_the_search_goes_on_without_it(
    three_trials: Path, damage: bytes, where: str
) -> None:
    before = read_study(three_trials)[1]
    number = line_of(three_trials, b'"user_attr":{"epoch 2"') if where == "middle" else len(written(three_trials))
    lines = written(three_trials)
    (three_trials / STUDY).write_bytes(b"".join([*lines[: number - 1], damage, *lines[number:]]))
    for reads in (open_study, read_study, best_points):
        with pytest.raises(
            InputError, match=rf"^line {number} of `\S+/study\.log` is damaged \([^\n]+\)\. Copy"
        ) as error:
            reads(three_trials)
        assert f"--resume {three_trials.name}`" in str(error.value)
        assert f"head -n {number - 1}`" in str(error.value)
    (three_trials / STUDY).write_bytes(b"".join([*lines[: number - 1], *lines[number:]]))
    study = open_study(three_trials, SearchOptions(scheduler=SchedulerName.NONE))
    # that line said of the first trial how its second epoch was, or when the last one had ended
    assert [record.score for record in study.all()] == [record.score for record in before]
    assert run(study, 0.6).number == (3 if where == "middle" else 2)


def test_without_the_line_that_began_a_trial_the_next_one_is_not_taken_for_it(three_trials: Path) -> None:
    lines = written(three_trials)
    number = [i for i, line in enumerate(lines) if b'"op_code":4' in line][1]
    (three_trials / STUDY).write_bytes(b"".join([*lines[:number], *lines[number + 1 :]]))
    missing = rf"line {number + 1} .*it speaks of trial 1, and the line that began it is missing"
    with pytest.raises(InputError, match=missing):
        open_study(three_trials)
    (three_trials / STUDY).write_bytes(b"".join(lines[:number]))  # as the message says: `head -n`
    assert [record.score for record in open_study(three_trials).all()] == [0.5]


def test_a_trial_that_lost_a_parameter_is_not_taken_for_one_with_the_default(three_trials: Path) -> None:
    study = open_study(three_trials, SearchOptions(scheduler=SchedulerName.NONE))
    asked = run(study, 0.2).number  # the sampler's choice, which is written parameter by parameter
    study.close()
    lost = f'"trial_id":{asked},"param_name":"training.learning_rate"'.encode()
    (three_trials / STUDY).write_bytes(b"".join(line for line in written(three_trials) if lost not in line))
    with pytest.raises(InputError, match=rf"trial {asked} in .* is not whole .*training\.learning_rate"):
        open_study(three_trials)


def test_a_clock_that_jumps_neither_ends_nor_extends_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(tmp_path, SearchOptions(time_budget=600.0))
    for jump in (-1e6, 1e6):
        now = time.time() + jump
        monkeypatch.setattr(time, "time", lambda now=now: now)
        run(study, 0.5)
        assert 0 <= study.seconds < 60
        assert Stopper(study, study.options, 1.0, 0.0).reason() == ""
        assert Stopper(study, study.options, 1.0, 0.0).left > 540
    study.close()
    assert open_study(tmp_path).seconds < 60


def test_a_budget_that_is_used_up_ends_a_search_only_once_a_trial_has_finished(tmp_path: Path) -> None:
    study = open_study(tmp_path, SearchOptions(time_budget=1e-9))
    stopper = Stopper(study, study.options, 1.0, 0.0)
    assert stopper.overdue().startswith("the time budget of")
    assert (stopper.reason(), stopper.stop_all()) == ("", False)  # one may begin
    first = study.next_trial()
    assert first is not None
    assert stopper.reason().startswith("the time budget of")  # but no second one beside it
    assert not stopper.stop_all()
    report(study, first.number, 0.5, 1, EPOCHS)
    assert (stopper.overdue(), stopper.stop_all()) == ("", True)


def test_after_the_budget_no_trial_follows_one_that_failed(tmp_path: Path) -> None:
    study = open_study(tmp_path, SearchOptions(time_budget=1e-9))
    stopper = Stopper(study, study.options, 1.0, 0.0)
    first = study.next_trial()
    assert first is not None
    study.end(first.number, TrialState.FAILED, "it diverged")
    assert stopper.reason()
    assert stopper.stop_all()


@pytest.mark.parametrize("lives", [(6, 14), (1, 19), (3, 3, 14)])
def test_what_the_random_sampler_proposes_depends_on_the_seed_and_the_number_of_the_trial_alone(
    tmp_path: Path, lives: tuple[int, ...]
) -> None:
    options = SearchOptions(trials=20, sampler=SamplerName.RANDOM, scheduler=SchedulerName.NONE)

    def proposed(folder: Path, lives: tuple[int, ...], seed: int = 3) -> list[Any]:
        folder.mkdir()
        for trials in lives:  # of one process each, the last of which a process leaves to the next one
            study = open_study(folder, options, seed=seed)
            for _ in range(trials - 1):
                run(study, 1.0)
            assert study.next_trial() is not None
            study.close()
        return [dict(record.params) for record in read_study(folder)[1]]

    calm = proposed(tmp_path / "calm", (20,))
    rough = proposed(tmp_path / "rough", lives)
    assert rough == calm[: len(rough)]
    assert len(rough) > 16
    rates = [params["training.learning_rate"] for params in calm]
    assert len(set(rates[1:])) > 15
    other = proposed(tmp_path / "other", (20,), seed=4)
    assert len({params["training.learning_rate"] for params in other} & set(rates)) < 4  # those that all try first
