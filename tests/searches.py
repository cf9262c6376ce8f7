"""What the tests of whole searches share: small data, a space of moments, starting searches, and checks."""

import json
import runpy
import socket
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import mlflow
import numpy as np
import psutil
import pytest
from mlflow.entities import Run
from safetensors import SafetensorError

from weightflow.files import read_arrays
from weightflow.search.folder import STUDY
from weightflow.search.study.reading import read_study
from weightflow.trials import TrialRecord, TrialState

T = TypeVar("T")
PATIENCE = 400  # seconds; what is waited for comes within 30 on an idle machine
PARENT = "mlflow.parentRunId"
ENDED = {TrialState.FINISHED, TrialState.PRUNED, TrialState.FAILED}
ROOT = Path(__file__).resolve().parent.parent
SPACE = """
parameters:
  dynamics.kind: {kind: choice, values: [ode, cde]}
  training.learning_rate: {kind: choice, values: [%s]}
  dynamics.z_dim: {kind: int, low: 1, high: 2, when: {dynamics.kind: cde}}
fixed:
  {anchors.base_steps: 40, anchors.steps: 30, anchors.rounds: 1, teacher.steps: 40, teacher.rounds: 1,
   bridge.drift_steps: 0,
   dynamics.hidden: 8, dynamics.heads: 1,
   dynamics.steps: 6, training.epochs: 3, training.collocation_steps: %d, training.rollout_steps: 2,
   training.rounds: 1}
first_trials:
  - {dynamics.kind: ode, training.learning_rate: %s}
  - {dynamics.kind: cde, training.learning_rate: 0.003, dynamics.z_dim: 2}
"""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def furnish(folder: Path) -> Path:
    """Put small data (a death process of two species, 13 times), spaces and an MLflow configuration into a folder."""
    rng = np.random.default_rng(0)
    survival = np.exp(-np.outer(np.arange(13), [0.15, 0.06]))
    np.save(folder / "counts.npy", np.stack([rng.binomial(9, p, (120, 2)) for p in survival], 1))
    (folder / "space.yaml").write_text(SPACE % ("0.003, 0.01", 5, "0.003"))
    (folder / "broken.yaml").write_text((SPACE % ("1.0e+30", 5, "1.0e+30")).replace("0.003", "1.0e+30"))
    (folder / "half.yaml").write_text(SPACE % ("0.003, 1.0e+30", 5, "1.0e+30"))
    (folder / "slow.yaml").write_text(SPACE % ("0.003, 0.01", 150, "0.003"))
    (folder / "mlflow.yml").write_text("tracking_uri: sqlite:///runs.db\nexperiment: tests\n")
    return folder


def command(*arguments: str, data: str = "counts.npy", space: str = "space.yaml") -> list[str]:
    """Return the command of a search in a furnished folder; every third time is seen unless the arguments say so.

    Searches of tests do not end at the floor, which their data would let them reach, and repeat nothing; trials run one
    after the other, as starting a worker takes longer than they do.
    """
    fixed = ["--data", data, "--space", space, "--no-stop-at-floor"]
    usual = {"--out": "out", "--mlflow": "mlflow.yml", "--cpus": "1", "--every": "3", "--repeats": "1"}
    for option, value in usual.items():
        fixed += [] if option in arguments else [option, value]
    return [sys.executable, str(ROOT / "launch" / "tune.py"), *fixed, *arguments]


def run_here(monkeypatch: pytest.MonkeyPatch, folder: Path, words: Sequence[str]) -> Any:
    """Run a command in this process, which has long imported everything; return the exit code."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", list(words)[1:])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(words[1], run_name="__main__")
    return ended.value.code


@contextmanager
def elsewhere(folder: Path, environment: dict[str, str]) -> Generator[pytest.MonkeyPatch, None, None]:
    """Let this process work in a folder, with another environment, and heed no warnings of third parties."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="ignore"):
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        yield patch


def tune_here(
    folder: Path, environment: dict[str, str], *arguments: str, **files: str
) -> subprocess.CompletedProcess[str]:
    """Run a search to its end in this process: its Ray is as real, and only the driver's imports are saved.

    Warnings of third parties, which pytest makes errors, are left to the searches that run as processes.
    """
    words = command(*arguments, **files)
    with (
        elsewhere(folder, environment) as patch,
        redirect_stdout(StringIO()) as out,
        redirect_stderr(StringIO()) as err,
    ):
        code = run_here(patch, folder, words)
    return subprocess.CompletedProcess(words, code or 0, out.getvalue(), err.getvalue())


def tracked(folder: Path, name: str) -> tuple[Run, list[Run], mlflow.MlflowClient]:
    """Return MLflow's run of the search `name`, those of its trials, and the client."""
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'runs.db'}")
    experiment = client.get_experiment_by_name("tests")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if run.info.run_name == name and "mlflow.parentRunId" not in run.data.tags]
    return parent, [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id], client


def trials_of(folder: Path, name: str) -> list[TrialRecord]:
    """Return the trials that a search has written down."""
    return list(read_study(folder / "out" / name)[1])


def wait_for(condition: Callable[[], object], seconds: float = 30.0, pause: float = 0.05) -> None:
    """Wait until `condition` holds; what other processes do can only be asked for again and again."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)


@dataclass
class Process:
    """A search as a process of its own, which can be waited for, killed, and asked what it said."""

    folder: Path
    environment: dict[str, str]
    words: list[str]
    popen: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.popen = subprocess.Popen(
            self.words,
            cwd=self.folder,
            env={**self.environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, found: Callable[[], T], pause: float = 0.05) -> T:
        """Return what is found once it is there: a search that ends or hangs before that fails the test."""
        what: list[T] = []

        def there_or_ended() -> bool:
            ended = self.popen.poll() is not None  # asked first: what it left is found all the same
            what[:] = [found()]
            return bool(what[0]) or ended

        wait_for(there_or_ended, PATIENCE, pause)
        if not what[0]:
            out, err = self.popen.communicate()
            pytest.fail(f"the search ended with {self.popen.returncode} too early:\n{out}{err}")
        return what[0]

    def kill(self) -> str:
        """Kill it at once, and return what it said.

        Its workers must not outlive it, for they could write into what the next one reads.
        """
        workers = self.workers("")
        self.popen.kill()
        out, _ = self.popen.communicate()
        wait_for(lambda: not any(runs(worker) for worker in workers), PATIENCE)
        return out

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; return exit code, stdout and stderr."""
        try:
            out, err = self.popen.communicate(timeout=2 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return self.popen.returncode, out, err

    def workers(self, what: str) -> list[psutil.Process]:
        """Return Ray's workers that do `what`."""
        below = psutil.Process(self.popen.pid).children(recursive=True)
        return [process for process in below if runs(process) and process.name().startswith(f"ray::{what}")]


def runs(process: psutil.Process) -> bool:
    """Whether a process is more than an entry in the system's table."""
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE and "Agent" not in process.name()
    return False


def write_long_space(folder: Path) -> None:
    """Make trials of six epochs, of which the first four are collocation: none is pruned before them."""
    long = (SPACE % ("0.003, 0.01", 100, "0.003")).replace("training.epochs: 3", "training.epochs: 6")
    (folder / "long.yaml").write_text(long)


def lines(folder: Path) -> list[str]:
    """Return what a search has written into its study."""
    file = folder / STUDY
    return file.read_text().splitlines() if file.exists() else []


def checkpoints(folder: Path) -> dict[int, int]:
    """Return the epoch of each trial's checkpoint."""
    epochs: dict[int, int] = {}
    for file in (folder / "checkpoints").glob("[0-9]*.safetensors"):
        try:
            epochs[int(file.stem)] = read_arrays(file)[1]["reported"]["epoch"]
        except (FileNotFoundError, SafetensorError):  # its trial has just ended
            continue
    return epochs


def check_trials(trials: list[TrialRecord], expected: int) -> None:
    """Each trial is there once and has ended, with each of its epochs once."""
    assert [trial.number for trial in trials] == list(range(expected))
    assert {trial.state for trial in trials} <= ENDED
    for trial in trials:
        assert [entry["epoch"] for entry in trial.history] == list(range(1, trial.epochs + 1))


def check_runs(trials: list[TrialRecord], client: mlflow.MlflowClient, experiment: str, name: str) -> None:
    """MLflow has one run for the search, and one for each trial with each epoch once; none still runs."""
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id])
    runs = [run for run in runs if run.data.tags["search"] == name]
    (parent,) = [run for run in runs if PARENT not in run.data.tags]
    children = [run for run in runs if run.data.tags.get(PARENT) == parent.info.run_id]
    assert len(runs) == 1 + len(children)
    assert Counter(int(run.data.tags["trial"]) for run in children) == Counter(trial.number for trial in trials)
    assert parent.info.status == "FINISHED"
    for run in children:
        trial = trials[int(run.data.tags["trial"])]
        assert run.data.tags["state"] == trial.state.value
        assert run.info.status == ("FAILED" if trial.state is TrialState.FAILED else "FINISHED")
        history = client.get_metric_history(run.info.run_id, "score")
        steps = [point.step for point in history]
        assert steps == list(range(1, trial.epochs + 1)), (trial.number, trial.state, trial.epochs, steps)


def check_results(folder: Path) -> None:
    """What a search leaves is there, and whole."""
    assert (folder / "best" / "config.json").is_file()
    assert json.loads((folder / "scores.json").read_text())["methods"]["model"]
    assert "</html>" in (folder / "report.html").read_text()
