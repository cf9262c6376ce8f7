"""Searches through `launch/tune.py`, as a user starts them: real processes, a real Ray, a real MLflow store."""

import html
import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
import ray
from searches import (
    ENDED,
    Process,
    check_results,
    check_runs,
    check_trials,
    command,
    elsewhere,
    furnish,
    lines,
    run_here,
    tracked,
    trials_of,
    tune_here,
    write_long_space,
)

import weightflow
from weightflow import load
from weightflow.search.result import SearchResult
from weightflow.trials import TrialState

pytestmark = [pytest.mark.ray, pytest.mark.timeout(450)]
FIRST = ("--trials", "4", "--seed", "5", "--retries", "1", "--name", "first")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searches")
    (folder / "elsewhere").mkdir()
    return furnish(folder)


@pytest.fixture(scope="module")
def both(workplace: Path, ray_environment: dict[str, str]) -> tuple[str, SearchResult]:
    """What a search prints some of whose trials diverge, and what it returns to who calls it.

    The command and the call, which share nothing, run side by side.
    """
    process = Process(workplace, ray_environment, command(*FIRST, space="half.yaml"))
    with elsewhere(furnish(workplace / "elsewhere"), ray_environment):
        result = weightflow.tune(
            weightflow.read("counts.npy", every=3),
            space="half.yaml",
            trials=4,
            seed=5,
            retries=1,
            name="first",
            cpus=1,
            repeats=1,
            stop_at_floor=False,
            out="out",
            progress=False,
        )
    code, out, err = process.end()
    assert (code, err) == (0, ""), out + err
    return out, result


@pytest.fixture(scope="module")
def said(both: tuple[str, SearchResult]) -> str:
    return both[0]


@pytest.fixture(scope="module")
def result(both: tuple[str, SearchResult]) -> SearchResult:
    return both[1]


def test_a_search_survives_a_diverging_trial_and_says_what_it_does(said: str, workplace: Path) -> None:
    assert re.search(r"trial 02 failed after 0/3 epochs.*the loss is .* in epoch 1", said)
    assert said.count("trial 02 failed after 0/3 epochs and is tried again: the loss is") == 1
    assert "anchors of 3 snapshots on 1 worker(s)" in said
    assert re.search(
        r"trial \d is best: score \d+\.\d+, by which it was chosen; fitting it again on all 5 snapshots", said
    )
    assert "python -m weightflow forecast --model out/first/best --times 0:12:1" in said
    assert (workplace / "out" / "first" / "tune").is_dir()
    assert "<html" in (workplace / "out" / "first" / "report.html").read_text()


def test_the_model_is_scored_at_unseen_times_beside_baselines_and_the_floor(said: str, workplace: Path) -> None:
    scores = json.loads((workplace / "out" / "first" / "scores.json").read_text())
    beside = {"nearest", "persistence", "mixture", "mccann", "bridge", "weights_line", "direct", "floor"}
    assert set(scores["methods"]) - {"chosen_bridge"} == {"model", *beside}
    assert scores["times"] == [float(t) for t in range(12) if t % 3]
    by_time = scores["methods"]["model"]["paper_jsd"]["by_time"]
    assert scores["methods"]["model"]["paper_jsd"]["mean"] == pytest.approx(np.mean(by_time))


def test_the_best_model_is_left_and_can_be_asked_by_the_printed_command(
    said: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(workplace / "out" / "first" / "best")
    assert model.sample([0.0, 10.0, 15.0], 7).shape == (3, 7, 2)
    options = "--model out/first/best --times 0:12:2 --draws 5 --seed 3 --out samples.npy"
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(sys, "argv", ["weightflow", "forecast", *options.split()])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("weightflow", run_name="__main__", alter_sys=True)
    assert ended.value.code == 0
    expected = model.sample(np.arange(0, 13, 2), 5, seed=3).numpy()
    np.testing.assert_array_equal(np.load(workplace / "samples.npy"), expected)


def test_every_trial_is_a_run_below_that_of_its_search(said: str, workplace: Path) -> None:
    _, children, client = tracked(workplace, "first")
    assert len(children) == 4
    assert all(run.info.status != "RUNNING" for run in children)
    assert all("dynamics.kind" in run.data.params for run in children)
    failed = [run for run in children if run.data.tags["state"] == "failed"]
    assert failed
    assert all(run.info.status == "FAILED" and "the loss is" in run.data.tags["reason"] for run in failed)
    for run in children:
        history = client.get_metric_history(run.info.run_id, "score")
        assert [point.step for point in history] == list(range(1, len(history) + 1))
        assert history or run in failed
    assert sum(len(client.get_metric_history(run.info.run_id, "score")) == 3 for run in children) >= 1


def test_trials_get_what_the_space_says(said: str, workplace: Path) -> None:
    trials = trials_of(workplace, "first")
    searched = ("dynamics.kind", "training.learning_rate", "dynamics.z_dim")
    chosen = [{key: value for key, value in trial.params.items() if key in searched} for trial in trials]
    assert all(trial.params["dynamics.hidden"] == 8 for trial in trials)
    assert chosen == [
        {"dynamics.kind": "ode", "training.learning_rate": 0.003},  # the default
        {"dynamics.kind": "cde", "training.learning_rate": 0.003, "dynamics.z_dim": 1},  # the paper's
        {"dynamics.kind": "ode", "training.learning_rate": 1e30},  # the space's own first trials
        {"dynamics.kind": "cde", "training.learning_rate": 0.003, "dynamics.z_dim": 2},
    ]
    best = json.loads((workplace / "out" / "first" / "best" / "config.json").read_text())["record"]["config"]
    assert (best["dynamics"]["hidden"], best["training"]["collocation_steps"]) == (8, 5)


def test_the_same_seed_on_one_cpu_finds_the_same_model(said: str, workplace: Path) -> None:
    both = [folder / "out" / "first" / "best" for folder in (workplace, workplace / "elsewhere")]
    one, other = (json.loads((folder / "config.json").read_text())["record"] for folder in both)
    assert one["config"] == other["config"]
    assert one["score"] == other["score"]
    samples = [load(folder).sample([3.0, 9.0], 40, seed=1) for folder in both]
    assert (samples[0] == samples[1]).all()


def test_a_result_holds_what_a_notebook_asks_for(result: SearchResult, workplace: Path) -> None:
    assert result.finished
    assert result.folder == workplace / "elsewhere" / "out" / "first"
    assert sorted(result.trials.index.tolist()) == [0, 1, 2, 3]
    scores: dict[int, float] = result.trials["score"].dropna().to_dict()
    assert list(scores.values()) == sorted(scores.values())
    assert result.best is not None
    assert scores[result.best.number] == result.best.score == min(scores.values())
    assert list(result.trials["dynamics.kind"].sort_index()) == ["ode", "cde", "ode", "cde"]
    finished = result.study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    assert {trial.number: trial.value for trial in finished}.items() <= scores.items()
    states = result.trials["state"]
    assert {number for number in scores if states[number] == "finished"} == {trial.number for trial in finished}
    assert result.model.sample([3.0, 4.0], 5).shape == (2, 5, 2)
    assert next(iter(result.scores.methods)) == "model"
    assert np.isfinite(result.scores.mean("model", "energy_distance"))
    assert result.report.read_text().startswith("<!doctype html>")


def test_a_result_shows_itself(result: SearchResult) -> None:
    html = result._repr_html_()
    assert "<table" in html
    assert result.report.as_uri() in html
    assert "energy distance" in html
    assert repr(result).startswith("SearchResult(first: 4 trials. ")


@pytest.mark.slow
def test_the_best_are_repeated_to_their_ends_though_the_budget_is_used_up(
    said: str, workplace: Path, ray_environment: dict[str, str]
) -> None:
    twins = workplace / "elsewhere"
    before = trials_of(twins, "first")
    again = ("--trials", "9", "--cpu-hours", "1e-9", "--repeats", "2", "--seed", "5", "--resume", "first")
    done = tune_here(twins, ray_environment, *again, space="half.yaml")
    assert done.returncode == 0, done.stderr
    assert "no further trial, because the budget of 1e-09 CPU-hours is used up" in done.stdout
    after = trials_of(twins, "first")
    assert after[:4] == before
    assert after[4:]
    assert {trial.state for trial in after[4:]} == {TrialState.FINISHED}
    best = min((trial for trial in before if trial.state is TrialState.FINISHED), key=lambda trial: trial.score or 0.0)
    assert after[4].repeat_of == best.number
    assert after[4].score != best.score
    assert len(re.findall(r"Trial \d: \S+, 1 fresh seed\.", done.stdout)) == len(after[4:])


@pytest.mark.slow
def test_a_search_goes_on_where_its_data_could_not_tell_a_wrong_model_from_a_perfect_one(
    workplace: Path, ray_environment: dict[str, str]
) -> None:
    np.save(workplace / "few.npy", np.load(workplace / "counts.npy")[:40])  # too few to tell good models apart
    write_long_space(workplace)
    space = workplace / "long.yaml"
    space.write_text(space.read_text().replace("teacher.steps: 40", "teacher.steps: 200"))
    words = ("--trials", "5", "--stop-at-floor", "--name", "floor")
    done = tune_here(workplace, ray_environment, *words, data="few.npy", space="long.yaml")
    assert done.returncode == 0, done.stderr
    assert "no further trial" not in done.stdout
    trials = trials_of(workplace, "floor")
    assert len(trials) == 5
    finished = [trial for trial in trials if trial.state is TrialState.FINISHED]
    measured = min(finished, key=lambda trial: trial.score or np.inf).history[-1]
    p, power, n = (measured[key] for key in ("floor_p", "floor_power", "floor_samples"))
    assert power < 0.9
    decision = (
        rf"p = {p:.3f}, level 0\.1\), but that says little: with these data, {n:.0f} samples .* power {power:.2f}"
    )
    assert re.search(decision, html.unescape((workplace / "out" / "floor" / "report.html").read_text()))


@pytest.mark.slow
def test_a_search_that_is_killed_goes_on_with_what_it_had(workplace: Path, ray_environment: dict[str, str]) -> None:
    out = workplace / "out" / "killed"
    process = Process(workplace, ray_environment, command("--trials", "3", "--name", "killed"))
    process.until(lambda: any(json.loads(line).get("state") == 1 for line in lines(out)[:-1]))
    process.kill()
    kept = {trial.number: trial for trial in trials_of(workplace, "killed") if trial.state in ENDED}
    assert kept
    assert not (out / "best").exists()
    done = tune_here(workplace, ray_environment, "--trials", "3", "--resume", "killed")
    assert done.returncode == 0, done.stderr
    trials = trials_of(workplace, "killed")
    check_trials(trials, 3)
    assert {number: trials[number] for number in kept} == kept
    check_runs(trials, tracked(workplace, "killed")[2], "tests", "killed")
    check_results(out)


def test_a_search_whose_every_trial_fails_ends_with_the_reason(
    said: str, workplace: Path, ray_environment: dict[str, str]
) -> None:
    words = ("--trials", "2", "--seed", "5", "--retries", "0", "--name", "none")
    done = tune_here(workplace, ray_environment, *words, space="broken.yaml")
    assert "anchors of 3 snapshots from the cache" in done.stdout  # of the search before it
    assert done.returncode == 1
    assert re.search("no trial finished: 2 of 2 failed, . of them because the loss is", done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1


def test_more_gpus_than_ray_sees_are_refused_in_one_message(
    workplace: Path, ray_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(monkeypatch, workplace, command("--gpus", "64", "--name", "many")) == 2
    message = capsys.readouterr().err
    assert re.search(r"`--gpus 64` was asked for, but (there is no GPU|\d+ GPU\(s\) can be used) here", message)
    assert len(message.strip().splitlines()) == 1
    assert not ray.is_initialized()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "nowhere.npy"), "neither a built-in system"),
        (("--time-budget", "soon"), "write a time above 0 such as 90s, 30m or 2h"),
        (("--name", "a/b"), "cannot be a folder's name"),
        (("--space", "absent.yaml"), r"absent\.yaml"),
        (("--mlflow", "absent.yml"), r"absent\.yml"),
        (("--every", "21"), "at least two"),
        (("--every", "6"), "at least 4"),
        (("--every", "1", "--protocol", "interpolation"), "left to be scored"),
        (("--name", "taken"), "exists already; choose another `--name`"),
        (("--resume", "taken"), "holds no search that could go on"),
        (("--address", "127.0.0.1:1"), "Ray could not be reached"),
    ],
)
def test_what_cannot_work_is_said_before_ray_is_started(
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    (workplace / "out" / "taken").mkdir(parents=True, exist_ok=True)
    (workplace / "out" / "taken" / "notes.txt").write_text("of something else")
    assert run_here(monkeypatch, workplace, command(*arguments)) == 2
    printed = capsys.readouterr().err
    assert re.search(message, printed)
    assert len(printed.strip().splitlines()) == 1
    assert not ray.is_initialized()
