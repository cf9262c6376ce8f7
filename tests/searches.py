"""What the tests of whole searches share: small data, a space of moments, and the ways to start `launch/tune.py`."""

import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run

from weightflow.search.book import read_book
from weightflow.trials import TrialRecord

ROOT = Path(__file__).resolve().parent.parent
SPACE = """
parameters:
  dynamics.kind: {kind: choice, values: [ode, cde]}
  training.learning_rate: {kind: choice, values: [%s]}
  dynamics.z_dim: {kind: int, low: 1, high: 2, when: {dynamics.kind: cde}}
fixed:
  {anchors.base_steps: 40, anchors.steps: 30, teacher.steps: 40, dynamics.hidden: 8, dynamics.heads: 1,
   dynamics.steps: 6, training.epochs: 3, training.collocation_steps: %d, training.rollout_steps: 2}
first_trials:
  - {dynamics.kind: ode, training.learning_rate: %s}
  - {dynamics.kind: cde, training.learning_rate: 0.003, dynamics.z_dim: 2}
"""


def furnish(folder: Path) -> Path:
    """Put small data (a death process of two species, 13 times), spaces and an MLflow configuration into a folder."""
    rng = np.random.default_rng(0)
    survival = np.exp(-np.outer(np.arange(13), [0.15, 0.06]))
    np.save(folder / "counts.npy", np.stack([rng.binomial(9, p, (120, 2)) for p in survival], 1))
    (folder / "space.yaml").write_text(SPACE % ("0.003, 0.01", 5, "0.01"))
    (folder / "broken.yaml").write_text((SPACE % ("1.0e+30", 5, "1.0e+30")).replace("0.003", "1.0e+30"))
    (folder / "half.yaml").write_text(SPACE % ("0.003, 1.0e+30", 5, "1.0e+30"))
    (folder / "slow.yaml").write_text(SPACE % ("0.003, 0.01", 150, "0.01"))
    (folder / "mlflow.yml").write_text("tracking_uri: sqlite:///runs.db\nexperiment: tests\n")
    return folder


def command(*arguments: str, data: str = "counts.npy", space: str = "space.yaml") -> list[str]:
    """Return the command of a search in a furnished folder; every third time is seen unless the arguments say so.

    Searches of tests do not end at the floor, which their data would let them reach, and repeat nothing.
    """
    fixed = ["--data", data, "--mlflow", "mlflow.yml", "--space", space, "--no-stop-at-floor"]
    for option, value in (("--out", "out"), ("--cpus", "2"), ("--every", "3"), ("--repeats", "1")):
        fixed += [] if option in arguments else [option, value]
    return [sys.executable, str(ROOT / "launch" / "tune.py"), *fixed, *arguments]


def tune(folder: Path, environment: dict[str, str], *arguments: str, **files: str) -> subprocess.CompletedProcess[str]:
    """Run a search to its end, as a process of its own."""
    return subprocess.run(
        command(*arguments, **files),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def run_here(monkeypatch: pytest.MonkeyPatch, folder: Path, words: Sequence[str]) -> Any:
    """Run a command in this process, which has long imported everything; return the exit code."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", list(words)[1:])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(words[1], run_name="__main__")
    return ended.value.code


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
    return list(read_book(folder / "out" / name)[1])
