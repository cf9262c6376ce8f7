"""One trial's run: what is known of it, and how much of that is still to be written."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from weightflow.errors import InputError
from weightflow.experiment import ExperimentConfig, flatten, nest
from weightflow.tracking import views
from weightflow.tracking.datasets import TEST, log_datasets
from weightflow.tracking.facts import DataPart
from weightflow.tracking.lookup import TRIAL
from weightflow.tracking.stored_run import StoredRun, now
from weightflow.trials import Parameter, TrialRecord, TrialState

STATUS = {
    TrialState.RUNNING: "RUNNING",
    TrialState.FINISHED: "FINISHED",
    TrialState.PRUNED: "FINISHED",  # as it should end; the tag `state` tells
    TrialState.FAILED: "FAILED",
    TrialState.STOPPED: "KILLED",
}
_BATCH = 500  # metrics in one request; MLflow allows 1000
_EPOCH = "epoch"
BEST = "best"


def trial_name(record: TrialRecord) -> str:
    """Return a name that tells trials and their ends apart: `03 ode h32 d2`, `04 pruned · ..`, `12 repeats 03 · ..`."""
    shown, params = {"dynamics.kind": "", "dynamics.hidden": "h", "dynamics.depth": "d"}, effective(record.params)
    parts = " ".join(f"{mark}{params[key]}" for key, mark in shown.items() if key in params)
    repeated = "" if record.repeat_of is None else f" repeats {record.repeat_of:02d}"
    cut = f" {record.state}" if record.state in {TrialState.PRUNED, TrialState.FAILED, TrialState.STOPPED} else ""
    between = " · " if repeated or cut else " "
    return f"{record.number:02d}{repeated}{cut}{between}{parts}".rstrip(" ·")


def effective(params: Mapping[str, Parameter]) -> Mapping[str, Any]:
    """Return the whole configuration that a trial ran with, so that trials of different spaces can be compared.

    Where this version does not know a parameter, those that were given are all that can be told.
    """
    try:
        return flatten(ExperimentConfig.parse(nest(params)))
    except InputError:
        return params


class TrialRun:
    """Takes news at once from the thread that runs the search, and writes them later from another one.

    Each method is called from one of the two threads only; what they share is replaced whole, or a queue.

    Args:
        record: what is known at first.
        run: the trial's run, where an earlier process has made one.

    Attributes:
        run: the trial's run, once there is one.
        best: whether it has won its search.
    """

    def __init__(self, record: TrialRecord, run: StoredRun | None) -> None:
        self.run = run
        self.best = False
        self._started = int(1000 * record.started) if record.started else now() - int(record.seconds * 1000)
        self._news = (record, self._time(record))
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
        self._add(epoch, metrics, now())
        self._news = (record, now())

    def change(self, record: TrialRecord) -> None:
        """Take a new state, and from the history what no epoch has told: another process may have been told it.

        What it reported then is spread evenly over the time that it took: when exactly, nobody has kept.
        """
        first = record.epochs - len(record.history) + 1
        for position, metrics in enumerate(record.history, first):
            epoch = int(metrics.get(_EPOCH, position))
            if epoch >= self._told:  # to the last one, what is measured once is added at the end
                self._add(epoch, metrics, self._started + int(1000 * record.seconds * epoch / max(record.epochs, 1)))
        self._news = (record, self._time(record))

    def crown(self) -> None:
        """Take note that it has won."""
        self.best = True
        self._news = (self.record, self._time(self.record))

    def create(
        self,
        client: MlflowClient,
        parent: StoredRun,
        search: str,
        tags: Mapping[str, str],
        parts: Sequence[DataPart],
    ) -> StoredRun:
        """Make the run of a trial of `search`, with the parts of the data that a trial sees."""
        record = self.record
        own = {
            MLFLOW_PARENT_RUN_ID: parent.id,
            MLFLOW_RUN_NOTE: f"Trial {record.number} of the search {search}.",
            views.ROLE: views.TRIAL if record.repeat_of is None else views.REPEAT,
            TRIAL: str(record.number),
            **{key: text for key, text in self._tags(record).items() if text},
        }
        if record.repeat_of is not None:
            own["repeat_of"] = str(record.repeat_of)
        made = client.create_run(parent.experiment, self._started, {**tags, **own}, self._name(search))
        log_datasets(client, made.info.run_id, [part for part in parts if part.context != TEST])
        self.run = StoredRun(client, made)
        return self.run

    def write(self, run: StoredRun, search: str) -> None:
        """Bring the run up to date; what an interruption leaves unwritten is written by the next call."""
        record, changed = news = self._news  # before the points: an ended trial has no further ones
        self._write_points(run)
        rest = [self._points[i] for i in range(len(self._points))]
        run.write({**record.chosen, **effective(record.params)}, [*rest, *_totals(record, changed)], self._tags(record))
        for _ in rest:
            self._points.popleft()
        run.change(STATUS[record.state], changed)
        if run.name.endswith(_of(search)):  # or else somebody has given it another name
            run.rename(self._name(search))
        self._written = news

    def _tags(self, record: TrialRecord) -> dict[str, str]:
        known = {"state": record.state.value, "reason": record.reason, BEST: "yes" if self.best else ""}
        return known | ({"retries": str(record.retries)} if record.retries else {})

    def _name(self, search: str) -> str:
        return f"{'★ ' if self.best else ''}{trial_name(self.record)}{_of(search)}"

    def _time(self, record: TrialRecord) -> int:
        """Return when a record was as it is, in milliseconds."""
        if record.state is TrialState.RUNNING or record.started is None:
            return now()
        return int(1000 * (record.ended or record.started + record.seconds))

    def _add(self, epoch: int, metrics: dict[str, float], at: int) -> None:
        self._told = max(self._told, epoch)
        self._points.extend(Metric(key, float(value), at, epoch) for key, value in metrics.items() if key != _EPOCH)

    def _write_points(self, run: StoredRun) -> None:
        """Write points while there are more than go with the rest."""
        while len(self._points) > _BATCH:
            batch = [self._points[i] for i in range(_BATCH)]  # by index, as the other thread appends meanwhile
            run.write(metrics=batch)
            for _ in batch:
                self._points.popleft()


def _of(search: str) -> str:
    return f" · {search}"


def _totals(record: TrialRecord, at: int) -> list[Metric]:
    if record.state is TrialState.RUNNING:
        return []
    return [Metric("epochs", float(record.epochs), at, 0), Metric("seconds", record.seconds, at, 0)]
