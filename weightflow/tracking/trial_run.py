"""One trial's run: what is known of it, and how much of that is written."""

import time
from collections import deque
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from weightflow.trials import TrialRecord, TrialState

STATUS = {
    TrialState.RUNNING: "RUNNING",
    TrialState.FINISHED: "FINISHED",
    TrialState.PRUNED: "FINISHED",  # as it should end; the tag `state` tells
    TrialState.FAILED: "FAILED",
    TrialState.STOPPED: "KILLED",
}
_BATCH = 500  # metrics in one request; MLflow allows 1000


def now() -> int:
    """Return the time as MLflow counts it, in milliseconds."""
    return int(time.time() * 1000)


def shorten(text: str, limit: int = 4000) -> str:
    """Cut what MLflow would refuse: it takes tags of 5000 characters and parameters of 6000."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def as_tags(values: Mapping[str, str]) -> list[RunTag]:
    """Return tags, none of them longer than MLflow takes."""
    return [RunTag(key, shorten(value)) for key, value in values.items()]


def as_params(values: Mapping[str, object]) -> list[Param]:
    """Return parameters, none of them longer than MLflow takes."""
    return [Param(key, shorten(str(value))) for key, value in values.items()]


def trial_name(record: TrialRecord) -> str:
    """Return a name that tells trials apart, such as `03 ode h64 d2`."""
    shown = {"dynamics.kind": "", "dynamics.hidden": "h", "dynamics.depth": "d"}
    parts = [f"{mark}{record.params[key]}" for key, mark in shown.items() if key in record.params]
    return " ".join([f"{record.number:02d}", *parts])


class TrialRun:
    """Takes news at once from the thread that runs the search, and writes them later from another one.

    Each method is called from one of the two threads only; what they share is replaced whole, or a queue.

    Args:
        record: what is known at first.
        reopened: an earlier process has made the run, and what it wrote there is not known.
    """

    def __init__(self, record: TrialRecord, reopened: bool) -> None:
        self._started = now()
        self._news = (record, self._started)
        self._points: deque[tuple[int, list[Metric]]] = deque()
        self._written = None if reopened else TrialState.RUNNING
        self._params_written = False
        self._last_epoch: int | None = None if reopened else 0

    @property
    def record(self) -> TrialRecord:
        """The newest one."""
        return self._news[0]

    def add_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """Take the metrics of an epoch."""
        at = now()
        self._news = (record, at)
        self._points.append((epoch, [Metric(key, float(value), at, epoch) for key, value in metrics.items()]))

    def change(self, record: TrialRecord) -> None:
        """Take a new state."""
        self._news = (record, now())

    def create(self, client: MlflowClient, experiment: str, parent: str, search: str, tags: dict[str, str]) -> str:
        """Make the run of a trial of `search`, and return its id."""
        record = self.record
        own = {
            MLFLOW_PARENT_RUN_ID: parent,
            MLFLOW_RUN_NOTE: f"Trial {record.number} of the search {search}.",
            "trial": record.trial_id,
            "state": TrialState.RUNNING.value,
        }
        name = f"{trial_name(record)} · {search}"
        return client.create_run(experiment, self._started, {**tags, **own}, name).info.run_id

    def write(self, client: MlflowClient, run_id: str) -> None:
        """Bring the run up to date; what an interruption leaves unwritten is written by the next call."""
        if self._last_epoch is None:
            self._last_epoch = _last_step(client, run_id)
        if not self._params_written:
            client.log_batch(run_id, params=as_params(self.record.params))
            self._params_written = True
        record, changed = self._news  # before the points: an ended trial has no further ones
        self._write_points(client, run_id)
        if record.state is not self._written:
            self._write_state(client, run_id, record, changed)
            self._written = record.state

    def _write_points(self, client: MlflowClient, run_id: str) -> None:
        while waiting := list(self._points):
            batch: list[Metric] = []
            taken = 0
            for epoch, metrics in waiting:
                if batch and len(batch) + len(metrics) > _BATCH:
                    break
                taken += 1
                # A trial that was cut off and goes on repeats epochs that are in the store already.
                if epoch > (self._last_epoch or 0):
                    batch += metrics
            if batch:
                client.log_batch(run_id, metrics=batch)
            for _ in range(taken):
                self._last_epoch = max(self._last_epoch or 0, self._points.popleft()[0])

    def _write_state(self, client: MlflowClient, run_id: str, record: TrialRecord, changed: int) -> None:
        tags = as_tags({"state": record.state.value, "reason": record.reason})
        if record.state is TrialState.RUNNING:
            client.log_batch(run_id, tags=tags)
            client.update_run(run_id, status="RUNNING")
            return
        totals = {"epochs": float(record.epochs), "seconds": record.seconds}
        metrics = [Metric(key, value, changed, record.epochs) for key, value in totals.items()]
        client.log_batch(run_id, metrics=metrics, tags=tags if record.reason else tags[:1])
        client.set_terminated(run_id, STATUS[record.state], changed)


def _last_step(client: MlflowClient, run_id: str) -> int:
    return max((metric.step for metric in client.get_metric_history(run_id, "score")), default=0)
