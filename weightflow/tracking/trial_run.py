"""One trial's run: what is known of it, and how much of that is still to be written."""

from collections import deque

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from weightflow.tracking.lookup import TRIAL
from weightflow.tracking.stored_run import StoredRun, now
from weightflow.trials import TrialRecord, TrialState

STATUS = {
    TrialState.RUNNING: "RUNNING",
    TrialState.FINISHED: "FINISHED",
    TrialState.PRUNED: "FINISHED",  # as it should end; the tag `state` tells
    TrialState.FAILED: "FAILED",
    TrialState.STOPPED: "KILLED",
}
_BATCH = 500  # metrics in one request; MLflow allows 1000
_EPOCH = "epoch"


def trial_name(record: TrialRecord) -> str:
    """Return a name that tells trials apart, such as `03 ode h32 d2`, and for a repeat `12 repeats 03 · ode h32 d2`."""
    shown = {"dynamics.kind": "", "dynamics.hidden": "h", "dynamics.depth": "d"}
    parts = [f"{mark}{record.params[key]}" for key, mark in shown.items() if key in record.params]
    repeated = [] if record.repeat_of is None else [f"repeats {record.repeat_of:02d} ·"]
    return " ".join([f"{record.number:02d}", *repeated, *parts]).removesuffix(" ·")


class TrialRun:
    """Takes news at once from the thread that runs the search, and writes them later from another one.

    Each method is called from one of the two threads only; what they share is replaced whole, or a queue.

    Args:
        record: what is known at first.
        run: the trial's run, where an earlier process has made one.

    Attributes:
        run: the trial's run, once there is one.
    """

    def __init__(self, record: TrialRecord, run: StoredRun | None) -> None:
        self.run = run
        self._started = now() - int(record.seconds * 1000)
        self._news = (record, now())
        self._written: object = None
        self._points: deque[Metric] = deque()
        self._told = 0  # the last epoch whose metrics are, or were, among the points

    @property
    def record(self) -> TrialRecord:
        """The newest one."""
        return self._news[0]

    @property
    def pending(self) -> bool:
        """Whether there are news that are not written."""
        return self._news is not self._written

    def add_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """Take the metrics of an epoch."""
        self._add(epoch, metrics)
        self._news = (record, now())

    def change(self, record: TrialRecord) -> None:
        """Take a new state, and from the history what no epoch has told: another process may have been told it."""
        first = record.epochs - len(record.history) + 1
        for position, metrics in enumerate(record.history, first):
            epoch = int(metrics.get(_EPOCH, position))
            if epoch >= self._told:  # to the last one, what is measured once is added at the end
                self._add(epoch, metrics)
        self._news = (record, now())

    def create(self, client: MlflowClient, parent: StoredRun, search: str, tags: dict[str, str]) -> StoredRun:
        """Make the run of a trial of `search`."""
        record = self.record
        own = {
            MLFLOW_PARENT_RUN_ID: parent.id,
            MLFLOW_RUN_NOTE: f"Trial {record.number} of the search {search}.",
            TRIAL: str(record.number),
            "state": TrialState.RUNNING.value,
        }
        if record.repeat_of is not None:
            own["repeat_of"] = str(record.repeat_of)
        name = f"{trial_name(record)} · {search}"
        self.run = StoredRun(client, client.create_run(parent.experiment, self._started, {**tags, **own}, name))
        return self.run

    def write(self, run: StoredRun) -> None:
        """Bring the run up to date; what an interruption leaves unwritten is written by the next call."""
        record, changed = news = self._news  # before the points: an ended trial has no further ones
        tags = {"state": record.state.value, "reason": record.reason}
        if record.retries:
            tags["retries"] = str(record.retries)
        run.write(record.params)
        self._write_points(run)
        run.write(metrics=_totals(record, changed), tags=tags)
        run.change(STATUS[record.state], changed)
        self._written = news

    def _add(self, epoch: int, metrics: dict[str, float]) -> None:
        at = now()
        self._told = max(self._told, epoch)
        self._points.extend(Metric(key, float(value), at, epoch) for key, value in metrics.items() if key != _EPOCH)

    def _write_points(self, run: StoredRun) -> None:
        # by index, as the other thread appends meanwhile
        while batch := [self._points[i] for i in range(min(len(self._points), _BATCH))]:
            run.write(metrics=batch)
            for _ in batch:
                self._points.popleft()


def _totals(record: TrialRecord, at: int) -> list[Metric]:
    if record.state is TrialState.RUNNING:
        return []
    return [Metric("epochs", float(record.epochs), at, 0), Metric("seconds", record.seconds, at, 0)]
