"""However many trials a search has: Optuna's decisions, one write a report, a bound on what TPE looks at."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial
from ray.tune.experiment import Trial
from test_study import EPOCHS, open_study, report, run

from weightflow.search.cluster.nodes import Joining
from weightflow.search.cluster.resources import Resources
from weightflow.search.folder import STUDY
from weightflow.search.study.options import SearchOptions
from weightflow.search.study.reading import read_study
from weightflow.search.study.scheduler import Scheduler
from weightflow.search.study.window import Window
from weightflow.search.trials.making import Making
from weightflow.search.trials.stopper import Stopper
from weightflow.search.trials.tuner import StudyCallback
from weightflow.trials import Criterion, SamplerName, SchedulerName, TrialState


@pytest.mark.parametrize(("grace", "epochs"), [(1, 9), (2, 12), (3, 24)])
@pytest.mark.parametrize("name", [SchedulerName.ASHA, SchedulerName.HYPERBAND])
def test_trials_end_early_exactly_where_optunas_pruners_end_them(name: SchedulerName, grace: int, epochs: int) -> None:
    pruner = {
        SchedulerName.ASHA: optuna.pruners.SuccessiveHalvingPruner(min_resource=grace, reduction_factor=2),
        SchedulerName.HYPERBAND: optuna.pruners.HyperbandPruner(grace, epochs, 2),
    }[name]
    sampler = optuna.samplers.RandomSampler(seed=0)
    plain = optuna.create_study(study_name="a", pruner=pruner, sampler=sampler)
    ours, rng = Scheduler(name, grace, epochs, "a"), np.random.default_rng(0)
    running = [(plain.ask(), 1) for _ in range(5)]
    ended = 0
    while ended < 60:
        trial, epoch = running.pop(int(rng.integers(len(running))))
        score = float(rng.choice([rng.normal(), 0.5, np.nan], p=[0.85, 0.1, 0.05]))
        trial.report(score, epoch)
        expected = trial.should_prune()
        assert ours.ends(trial.number, epoch, score) == expected
        if expected or epoch == epochs:
            ended += 1
            plain.tell(trial, state=optuna.trial.TrialState.FAIL)
            running.append((plain.ask(), 1))
        else:
            running.append((trial, epoch + 1))


def test_without_a_scheduler_no_trial_ends_early() -> None:
    assert not any(Scheduler(SchedulerName.NONE, 1, 9, "a").ends(0, epoch, 1e9) for epoch in range(1, 9))


def test_a_report_an_end_and_a_new_trial_cost_one_flush_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(tmp_path, SearchOptions(trials=99, scheduler=SchedulerName.NONE))
    for _ in range(10):
        run(study, 0.5)
    flushed: list[int] = []
    flush = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (flushed.append(number), flush(number)))
    asked = study.next_trial()
    assert asked is not None
    assert len(flushed) == 1
    study.report(asked.number, 1, {"score": 0.4, "learning_rate": 0.1}, 1.0)
    assert len(flushed) == 2
    study.end(asked.number, TrialState.PRUNED, "it was enough")
    assert len(flushed) == 3
    study.close()
    assert read_study(tmp_path)[1][asked.number].history == ({"epoch": 1.0, "score": 0.4, "learning_rate": 0.1},)


def test_nothing_is_read_from_the_disk_while_a_search_runs(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    run(study, 0.5)
    (tmp_path / STUDY).rename(tmp_path / "away")
    (tmp_path / STUDY).touch()  # what follows is appended here
    assert run(study, 0.4).score == 0.4
    assert [trial.value for trial in study.optuna.get_trials()] == [0.5, 0.4]


def test_the_file_of_a_search_holds_what_optuna_itself_would_read(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    for i in range(12):
        run(study, 1.0 - i / 20)
    study.close()
    backend = JournalFileBackend(str(tmp_path / STUDY))
    plain = optuna.load_study(study_name=tmp_path.name, storage=optuna.storages.JournalStorage(backend))
    for read, known in zip(plain.get_trials(), study.optuna.get_trials(), strict=True):
        assert (read.params, read.values, read.state) == (known.params, known.values, known.state)
        assert (read.intermediate_values, read.user_attrs) == (known.intermediate_values, known.user_attrs)


def ended(number: int, values: list[float], pruned_at: int | None = None) -> optuna.trial.FrozenTrial:
    state = optuna.trial.TrialState.COMPLETE if pruned_at is None else optuna.trial.TrialState.PRUNED
    steps = {} if pruned_at is None else {pruned_at: values[0]}
    made = create_trial(state=state, values=None if pruned_at else values, intermediate_values=steps)
    made.number = number
    return made


def test_a_sampler_looks_at_the_best_and_the_latest_and_at_all_while_they_are_few() -> None:
    window = Window(best=2, latest=3)
    scores = [5.0, 1.0, 7.0, 2.0, 9.0, 8.0, 6.0]
    for number, score in enumerate(scores):
        window.add(ended(number, [score]))
        if number < 3:
            assert [trial.number for trial in window.trials([])] == list(range(number + 1))
    assert [trial.number for trial in window.trials([])] == [1, 3, 4, 5, 6]
    assert [trial.number for trial in window.trials([ended(9, [0.0])])] == [1, 3, 4, 5, 6, 9]


def test_trials_that_ended_early_come_after_those_that_did_not_the_longest_first() -> None:
    window = Window(best=3, latest=1)
    for number, (score, step) in enumerate([(0.1, 2), (9.0, None), (0.9, 8), (0.5, 8), (0.1, 4), (5.0, None)]):
        window.add(ended(number, [score], step))
    assert [trial.number for trial in window.trials([])] == [1, 3, 5]


def test_with_several_criteria_a_sampler_sees_all_that_no_other_one_beats() -> None:
    window, rng = Window(latest=1), np.random.default_rng(0)
    plain = optuna.create_study(directions=["minimize", "minimize"])
    for number, values in enumerate(rng.integers(0, 30, (60, 2)).astype(float).tolist()):
        window.add(ended(number, values))
        plain.add_trial(create_trial(values=values))
    assert {*(trial.number for trial in plain.best_trials), 59} == {trial.number for trial in window.trials([])}


def test_proposals_are_the_same_whether_all_trials_are_looked_at_or_as_many_as_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[dict[str, Any]]] = []
    for name in ("bounded", "all"):
        (tmp_path / name).mkdir()
        study = open_study(tmp_path / name, SearchOptions(trials=16))
        if name == "all":
            study._window = None
        found.append([run(study, abs(float(i % 7) - 3)).params for i in range(16)])
        study.close()
    assert found[0] == found[1]


@pytest.mark.parametrize("several", [False, True])
def test_tpe_looks_at_a_bounded_number_of_trials(
    tmp_path: Path, several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    criteria = (Criterion.SCORE, Criterion.SECONDS) if several else (Criterion.SCORE,)
    study = open_study(tmp_path, SearchOptions(trials=99, criteria=criteria, scheduler=SchedulerName.NONE))
    study._window = Window(best=5, latest=10)
    rng = np.random.default_rng(0)
    for _ in range(25):
        run(study, float(rng.normal()), sampling_seconds=float(rng.normal()))
    looked: list[int] = []
    every = type(study._storage).get_all_trials

    def count(self: Any, *args: Any, **kwargs: Any) -> Any:
        looked.append(len(trials := every(self, *args, **kwargs)))
        return trials

    monkeypatch.setattr(type(study._storage), "get_all_trials", count)
    assert study.next_trial() is not None
    assert 10 <= max(looked) <= (10 + 5 + 1)
    assert 0 in looked  # of trials that are queued


def test_what_is_known_of_all_trials_is_what_a_sum_over_them_says_also_after_a_restart(tmp_path: Path) -> None:
    options = SearchOptions(trials=12, sampler=SamplerName.RANDOM)
    study, rng = open_study(tmp_path, options), np.random.default_rng(1)

    def holds() -> None:
        records = study.all()
        finished = study.finished()
        assert study.trial_hours == pytest.approx(sum(record.seconds for record in records) / 3600)
        assert study.best == (finished[0] if finished else None)
        assert study.failed == any(record.state is TrialState.FAILED for record in records)

    holds()
    for i in range(12):
        if i == 6:
            study.close()
            study = open_study(tmp_path, options)
            holds()
        if i % 4 == 3:
            lost = study.next_trial()
            assert lost is not None
            study.end(lost.number, TrialState.FAILED, "lost")
        else:
            run(study, float(rng.normal()))
        holds()
    assert study.next_trial() is None  # twelve were asked for, those before the restart included
    study.repeat([study.finished()[0].number], 3)
    while (repeat := study.next_repeat()) is not None:
        report(study, repeat.number, -9.0, 1, EPOCHS)
        holds()
    assert [len(one.scores) for one in study.repeated()] == [2]


def test_a_study_of_the_version_before_is_read_and_goes_on_with_its_rungs(tmp_path: Path) -> None:
    """`older/study-452da1c.log` was written by `test_book` of that commit, up to a trial that was cut off."""
    shutil.copy(Path(__file__).parent / "older" / "study-452da1c.log", tmp_path / STUDY)
    study = open_study(tmp_path)
    states = [record.state.value for record in study.all()]
    assert states == [*["finished"] * 2, "pruned", "failed", *["finished"] * 3, *["pruned"] * 3, "stopped"]
    assert study.best == study.records[4]
    cut_off = study.next_trial()
    assert cut_off is not None
    assert (cut_off.number, cut_off.epochs) == (10, 1)
    assert report(study, 10, 0.2, 2, EPOCHS).state is TrialState.FINISHED
    # at the rung of two epochs are now 0.2, 0.3, 0.32, 0.34, 0.36, 0.38, 0.4, 0.4, 0.5 and 0.6
    assert run(study, 0.37).state is TrialState.PRUNED
    assert run(study, 0.35).state is TrialState.FINISHED


def cpu(done: Callable[[], object], times: int) -> float:
    """Return the least CPU seconds that something took, out of some times."""
    took: list[float] = []
    for _ in range(times):
        began = time.process_time()
        done()
        took.append(time.process_time() - began)
    return min(took)


def test_trials_share_the_names_of_what_they_reported(tmp_path: Path) -> None:
    study = open_study(tmp_path, SearchOptions(trials=2, sampler=SamplerName.RANDOM, scheduler=SchedulerName.NONE))
    for _ in range(2):
        run(study, 0.5, epochs=1)
    first, second = (trial.user_attrs["epoch 1"] for trial in study.optuna.get_trials(deepcopy=False))
    assert set(map(id, first)) == set(map(id, second))
    assert {"epoch", "score"} <= set(first)
    study.close()


def test_a_report_costs_as_much_after_many_trials_as_after_few(tmp_path: Path) -> None:
    costs: list[float] = []
    for n in (30, 400):
        (folder := tmp_path / str(n)).mkdir()
        study = open_study(
            folder, SearchOptions(trials=n + 99, sampler=SamplerName.RANDOM, scheduler=SchedulerName.NONE)
        )
        with study._storage.journal.together():
            for _ in range(n):
                run(study, 0.5, epochs=1)
        asked = iter([study.next_trial() for _ in range(40)])

        def once(study: Any = study, asked: Any = asked) -> None:
            study.report(next(asked).number, 1, {"score": 0.4}, 1.0)

        costs.append(cpu(once, 40))
        study.close()
    assert costs[1] < 3 * costs[0]  # it was 4 times as much when sums went over all records


def test_what_tune_counts_of_each_metric_of_a_trial_goes_with_its_end(tmp_path: Path) -> None:
    options = SearchOptions(trials=9, scheduler=SchedulerName.NONE)
    study, joining = open_study(tmp_path, options), Joining(Resources(1, 0), print)
    stopper = Stopper(study, options, 1.0, 0.0)
    callback = StudyCallback(study, stopper, Resources(1, 0), joining, Making([], 1), lambda _: None, print)
    for end in (callback.on_trial_complete, callback.on_trial_error):
        record = study.next_trial()
        assert record is not None
        report(study, record.number, 0.5, 1, EPOCHS - 1)
        trial = Trial("any", config={"number": record.number}, stub=True)
        for epoch in range(1, EPOCHS):
            trial.update_last_result({"training_iteration": epoch, "score": 0.5})
        assert trial.metric_n_steps.keys() >= {"score"}  # or else a new Ray makes this needless
        end(1, [trial], trial)
        assert not trial.metric_analysis
        assert not trial.metric_n_steps
        assert trial.last_result["score"] == 0.5
