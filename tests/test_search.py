"""Searches through `launch/tune.py`, as a user starts them: real processes, a real Ray, a real MLflow store."""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import psutil
import pytest
import ray

from weightflow import Snapshots, load
from weightflow.anchors import ArrayCache
from weightflow.experiment import ExperimentConfig
from weightflow.search.pool import Crew
from weightflow.search.resources import Resources

pytestmark = pytest.mark.ray

SPACE = """
parameters:
  dynamics.kind: {kind: choice, values: [ode, cde]}
  training.learning_rate: {kind: choice, values: [%s]}
fixed:
  {anchors.base_steps: 40, anchors.steps: 30, teacher.steps: 40, dynamics.hidden: 8, dynamics.heads: 1,
   dynamics.steps: 6, training.epochs: 3, training.collocation_steps: %d, training.rollout_steps: 2}
first_trials:
  - {dynamics.kind: ode, training.learning_rate: %s}
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with small data (a death process of two species), a space and an MLflow configuration."""
    rng = np.random.default_rng(0)
    survival = np.exp(-np.outer(np.arange(21), [0.1, 0.04]))
    np.save(tmp_path / "counts.npy", np.stack([rng.binomial(9, p, (120, 2)) for p in survival], 1))
    (tmp_path / "space.yaml").write_text(SPACE % ("0.003, 0.01", 5, "0.003"))
    (tmp_path / "broken.yaml").write_text(SPACE % ("1.0e+30", 5, "1.0e+30"))
    (tmp_path / "half.yaml").write_text(SPACE % ("0.003, 1.0e+30", 5, "1.0e+30"))
    (tmp_path / "slow.yaml").write_text(SPACE % ("0.003, 0.01", 150, "0.003"))
    (tmp_path / "mlflow.yml").write_text("tracking_uri: sqlite:///runs.db\nexperiment: tests\n")
    return tmp_path


def command(root: Path, *arguments: str, space: str = "space.yaml") -> list[str]:
    fixed = ["--data", "counts.npy", "--every", "4", "--mlflow", "mlflow.yml", "--out", "out"]
    cpus = () if "--cpus" in arguments else ("--cpus", "2")
    return [sys.executable, str(root / "launch" / "tune.py"), *fixed, *cpus, "--space", space, *arguments]


@pytest.fixture
def tune(root: Path, workplace: Path, ray_environment: dict[str, str]) -> Run:
    """Run `launch/tune.py` in the workplace."""

    def run(*arguments: str, space: str = "space.yaml") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(root, *arguments, space=space),
            cwd=workplace,
            env=ray_environment,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )

    return run


@pytest.mark.timeout(200)
def test_a_search_survives_a_diverging_trial_and_leaves_a_model_scores_a_report_and_runs(
    tune: Run, workplace: Path, ray_environment: dict[str, str]
) -> None:
    done = tune("--trials", "4", "--name", "first", space="half.yaml")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert re.search(r"trial 00 failed after 0/3 epochs.*the loss is .* in epoch 1", done.stdout)
    folder = workplace / "out" / "first"
    assert "anchors of 4 snapshots on 2 worker(s)" in done.stdout
    assert re.search(r"trial \d is best with score", done.stdout)
    assert "python -m weightflow forecast --model out/first/best --times 0:20:1" in done.stdout
    assert (folder / "tune").is_dir()
    assert "<html" in (folder / "report.html").read_text()

    scores = json.loads((folder / "scores.json").read_text())
    assert {"model", "nearest", "mixture", "mccann", "bridge", "weights_line", "direct", "floor"} == set(
        scores["methods"]
    )
    assert scores["times"] == [float(t) for t in range(20) if t % 4]
    by_time = scores["methods"]["model"]["paper_jsd"]["by_time"]
    assert scores["methods"]["model"]["paper_jsd"]["mean"] == pytest.approx(np.mean(by_time))

    model = load(folder / "best")
    assert model.sample([0.0, 10.0, 25.0], 7).shape == (3, 7, 2)
    forecast = subprocess.run(
        [
            *(sys.executable, "-m", "weightflow", "forecast", "--model", str(folder / "best")),
            *("--times", "0:20:2", "--draws", "5", "--seed", "3", "--out", "samples.npy"),
        ],
        cwd=workplace,
        env={**ray_environment, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert forecast.returncode == 0, forecast.stderr
    np.testing.assert_array_equal(
        np.load(workplace / "samples.npy"), model.sample(np.arange(0, 21, 2), 5, seed=3).numpy()
    )

    client = mlflow.MlflowClient(f"sqlite:///{workplace / 'runs.db'}")
    experiment = client.get_experiment_by_name("tests")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert [run.info.run_name for run in parents] == ["first"]
    assert len(children) == 4
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert all(run.info.status != "RUNNING" for run in runs)
    assert all("dynamics.kind" in run.data.params for run in children)
    failed = [run for run in children if run.data.tags["state"] == "failed"]
    assert failed
    assert all(run.info.status == "FAILED" and "the loss is" in run.data.tags["reason"] for run in failed)
    for run in children:
        history = client.get_metric_history(run.info.run_id, "score")
        assert [point.step for point in history] == list(range(1, len(history) + 1))
        assert history or run in failed
    assert sum(len(client.get_metric_history(run.info.run_id, "score")) == 3 for run in children) >= 1

    taken = tune("--trials", "1", "--name", "first")
    assert taken.returncode == 2
    assert "exists already; choose another `--name`" in taken.stderr


@pytest.mark.timeout(200)
def test_the_same_seed_on_one_cpu_finds_the_same_model(
    root: Path, workplace: Path, ray_environment: dict[str, str]
) -> None:
    arguments = ("--trials", "4", "--seed", "5", "--cpus", "1", "--name")
    both = [
        subprocess.Popen(command(root, *arguments, name), cwd=workplace, env=ray_environment, stdout=subprocess.DEVNULL)
        for name in ("a", "b")
    ]
    assert [process.wait(timeout=180) for process in both] == [0, 0]
    records = {name: json.loads((workplace / "out" / name / "best" / "config.json").read_text()) for name in "ab"}
    samples = {name: load(workplace / "out" / name / "best").sample([3.0, 9.0], 40, seed=1) for name in "ab"}
    assert records["a"]["record"]["config"] == records["b"]["record"]["config"]
    assert records["a"]["record"]["score"] == records["b"]["record"]["score"]
    assert (samples["a"] == samples["b"]).all()


@pytest.mark.timeout(120)
def test_a_search_whose_every_trial_fails_ends_with_the_reason(tune: Run) -> None:
    done = tune("--trials", "2", "--name", "none", space="broken.yaml")
    assert done.returncode == 1
    assert re.search("no trial finished: 2 of 2 failed, . of them because the loss is", done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.timeout(240)
def test_ctrl_c_stops_cleanly_and_a_resumed_search_keeps_what_is_finished(
    root: Path, workplace: Path, ray_environment: dict[str, str], tune: Run
) -> None:
    process = subprocess.Popen(
        command(root, "--trials", "50", "--name", "stopped", space="slow.yaml"),
        cwd=workplace,
        env={**ray_environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if re.match(r"trial \d+ (finished|pruned)", line):
            break
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130, seen + rest + errors
    assert re.search(r"Stopped\. [01] finished trial\(s\) are kept", rest)
    assert "Traceback" not in errors
    assert not (workplace / "out" / "stopped" / "best").exists()
    client = mlflow.MlflowClient(f"sqlite:///{workplace / 'runs.db'}")
    experiment = client.get_experiment_by_name("tests")
    assert experiment is not None
    states = [run.info.status for run in client.search_runs([experiment.experiment_id])]
    assert "RUNNING" not in states
    assert "KILLED" in states

    journal = workplace / "out" / "stopped" / "search.json"
    before = {t["trial_id"]: t for t in json.loads(journal.read_text())["trials"] if t["state"] != "stopped"}
    assert before
    other = tune("--trials", "3", "--resume", "stopped", "--seed", "1", space="slow.yaml")
    assert other.returncode == 2
    assert "is another search: seed was 0 and is 1" in other.stderr
    resumed = tune("--trials", "3", "--resume", "stopped", space="slow.yaml")
    assert resumed.returncode == 0, resumed.stderr
    after = {t["trial_id"]: t for t in json.loads(journal.read_text())["trials"] if t["state"] != "stopped"}
    assert len(after) == 3
    assert {trial_id: after[trial_id] for trial_id in before} == before
    assert (workplace / "out" / "stopped" / "best" / "config.json").exists()
    parents = [run for run in client.search_runs([experiment.experiment_id]) if run.info.run_name == "stopped"]
    assert [run.info.status for run in parents] == ["FINISHED"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--gpus", "64"), r"`--gpus 64` was asked for, but Ray sees \d+ GPU\(s\) here"),
        (("--address", "127.0.0.1:1"), "Ray could not be reached"),
    ],
)
@pytest.mark.timeout(120)
def test_what_ray_does_not_have_is_said_in_one_message(tune: Run, arguments: tuple[str, ...], said: str) -> None:
    done = tune(*arguments)
    assert done.returncode == 2
    assert re.search(said, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "nowhere.npy"), "neither a built-in system"),
        (("--time-budget", "soon"), "write a time above 0 such as 90s, 30m or 2h"),
        (("--name", "a/b"), "cannot be a folder's name"),
        (("--space", "absent.yaml"), r"absent\.yaml"),
        (("--mlflow", "absent.yml"), r"absent\.yml"),
        (("--every", "21"), "at least two"),
        (("--every", "10"), "at least 4"),
        (("--every", "1"), "left to be scored"),
        (("--name", "taken"), "exists already; choose another `--name`"),
    ],
)
def test_what_cannot_work_is_said_before_ray_is_started(
    root: Path,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    (workplace / "out" / "taken").mkdir(parents=True)
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(sys, "argv", command(root, *arguments)[1:])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(root / "launch" / "tune.py"), run_name="__main__")
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert re.search(said, message)
    assert len(message.strip().splitlines()) == 1
    assert not ray.is_initialized()


@pytest.mark.timeout(120)
def test_an_anchor_worker_that_dies_is_replaced_and_its_snapshots_are_fitted_again(
    ray_home: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    times = np.arange(4.0)
    snapshots = Snapshots(times, tuple(rng.poisson(3 + t, (200, 2)).astype(float) for t in times))
    config = ExperimentConfig.parse({"anchors": {"base_steps": 400, "steps": 1500}, "teacher": {"steps": 20}})
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.time() + 60
        while time.time() < deadline and not killed:
            for process in psutil.Process().children(recursive=True):
                if process.is_running() and "AnchorWorker.anchors" in " ".join(process.cmdline()):
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)
                    return
            time.sleep(0.02)

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        killer = threading.Thread(target=kill_one)
        killer.start()
        said: list[str] = []
        with Crew(Resources(cpus=2, gpus=0), ArrayCache(tmp_path), said.append) as crew:
            prepared = crew.prepare(snapshots, config, 0)
            killer.join()
            again = crew.prepare(snapshots, config, 0)
    finally:
        ray.shutdown()
    assert killed
    np.testing.assert_array_equal(prepared.anchors.times, times)
    assert np.isfinite(prepared.anchors.tokens).all()
    np.testing.assert_array_equal(again.anchors.tokens, prepared.anchors.tokens)
    assert [line.split(" in ")[0] for line in said[3:]] == [
        "base and bridge from the cache",
        "anchors of 4 snapshots from the cache",
        "teacher path from the cache",
    ]
