"""A trial whose configuration cannot be used fails once: it would fail in the same way again."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from test_study import EPOCHS, open_study

from weightflow.data import Fold, Snapshots, Split
from weightflow.errors import InputError, TrainingError
from weightflow.search.cluster.nodes import Joining
from weightflow.search.cluster.resources import Resources
from weightflow.search.study.options import SearchOptions
from weightflow.search.trials import trainable
from weightflow.search.trials.depot import Depot
from weightflow.search.trials.making import Making
from weightflow.search.trials.stopper import Stopper
from weightflow.search.trials.table import LiveTable
from weightflow.search.trials.trainable import Task, train_trial
from weightflow.search.trials.tuner import StudyCallback
from weightflow.trials import TrialState

OPTIONS = SearchOptions(trials=1, time_budget=1e9, stop_at_floor=False, retries=2)


@pytest.mark.parametrize(
    ("error", "state", "retries"),
    [
        (InputError("`dynamics.z_dim`=4 needs five anchors"), TrialState.FAILED, 0),
        (TrainingError("the loss is nan"), TrialState.STOPPED, 1),  # it will be tried again
    ],
)
def test_a_configuration_that_cannot_be_used_fails_once_and_is_told(
    error: Exception, state: TrialState, retries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    reported = list[dict[str, Any]]()
    monkeypatch.setattr(trainable.tune, "report", reported.append)
    monkeypatch.setattr(trainable, "prepare", fails)
    study = open_study(tmp_path, OPTIONS)
    resources, told = Resources(1, 0), io.StringIO()
    stopper = Stopper(study, OPTIONS, 1.0, 0.0)
    study.callbacks.append(LiveTable(Console(file=told, force_terminal=True, width=200), 1, EPOCHS, stopper, ()))
    record = study.next_trial()
    assert record is not None
    asked = {"number": 0, "params": dict(record.params), "seed": 0, "makes": False}
    two = Snapshots(np.arange(2.0), (np.zeros((3, 1)), np.ones((3, 1))))
    split = Split("by hand", two, (Fold(two, two),), (Fold(two, two),))
    train_trial(asked, Task(split, 0, Depot(None), tests_floor=False))
    nothing = Making([], 1)
    callback = StudyCallback(study, stopper, resources, Joining(resources, print), nothing, lambda _: None, print)
    assert callback.ends(reported[0])
    ended = SimpleNamespace(config=asked, last_result=reported[0], error_file=None)
    callback.failed.append(ended)
    callback.on_step_end(0, [])
    study.close()
    record = study.records[0]
    assert (record.state, record.retries, record.reason) == (state, retries, str(error))
    assert ("failed after" in told.getvalue() and str(error) in told.getvalue()) == (state is TrialState.FAILED)
