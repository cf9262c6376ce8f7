"""A run of the store, and what it holds already."""

import math
import sys
import time
from collections.abc import Iterable, Mapping

from mlflow import MlflowClient
from mlflow.entities import Dataset, Metric, Param, Run, RunTag

_PARAMS = 100  # in one request; MLflow allows no more


def now() -> int:
    """Return the time as MLflow counts it, in milliseconds."""
    return int(time.time() * 1000)


def shorten(text: str, limit: int = 4000) -> str:
    """Cut what MLflow would refuse: it takes tags of 5000 characters and parameters of 6000."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


class StoredRun:
    """Sends to a run only what it does not hold, so that to write something once more changes nothing.

    What was sent counts as held only after the store has taken it: what an interruption leaves out is sent next time.

    Attributes:
        id: MLflow's name of the run.
        experiment: id of the experiment that it belongs to.
        status: in MLflow's words.
        name: that people see.
    """

    def __init__(self, client: MlflowClient, run: Run) -> None:
        self.id: str = run.info.run_id
        self.experiment: str = run.info.experiment_id
        self.status: str = run.info.status
        self.name: str = run.info.run_name or ""
        self._client = client
        self._params = dict(run.data.params)
        self._tags = dict(run.data.tags)
        self._latest: dict[str, Metric] = {point.key: point for point in _latest(run)}

    def write(
        self,
        params: Mapping[str, object] | None = None,
        metrics: Iterable[Metric] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Send what is new; texts that are too long for MLflow are cut.

        Args:
            params: the first value of each counts.
            metrics: in order of steps, at most 1000; the first value at each step counts. Step 0 is for totals, which
                have no curve: there the last value counts.
            tags: the last value of each counts; an empty one clears it.
        """
        new_params = {key: shorten(str(value)) for key, value in (params or {}).items() if key not in self._params}
        texts = {key: shorten(value) for key, value in (tags or {}).items()}
        new_tags = {key: text for key, text in texts.items() if text != self._tags.get(key, "")}
        latest, new_metrics = dict(self._latest), list[Metric]()
        for metric in metrics:
            if _is_new(metric, held := latest.get(metric.key)):
                latest[metric.key] = _after(metric, held)
                new_metrics.append(latest[metric.key])
        if not (new_params or new_tags or new_metrics):
            return
        asked = [Param(key, value) for key, value in new_params.items()]
        for first in range(0, max(len(asked), 1), _PARAMS):
            last = first + _PARAMS >= len(asked)  # with which all the rest goes
            rest = [RunTag(key, text) for key, text in new_tags.items()] if last else []
            self._client.log_batch(self.id, new_metrics if last else [], asked[first : first + _PARAMS], rest)
        self._params |= new_params
        self._tags |= new_tags
        self._latest = latest

    def link(self, metrics: Iterable[str], model_id: str, dataset: Dataset | None = None) -> None:
        """Make the latest points of these metrics those of a logged model as well, measured on `dataset`."""
        points = [self._latest[key] for key in metrics]
        name, digest = (None, None) if dataset is None else (dataset.name, dataset.digest)
        linked = [
            Metric(point.key, point.value, point.timestamp, point.step, model_id, name, digest) for point in points
        ]
        self._client.log_batch(self.id, linked)

    def last_step(self, prefix: str) -> int:
        """Return the last step of all metrics whose names begin so; 0 where there is none."""
        return max((point.step for key, point in self._latest.items() if key.startswith(prefix)), default=0)

    def rename(self, name: str) -> None:
        """Set the name."""
        if name != self.name:
            self._client.update_run(self.id, name=name)
            self.name = name

    def change(self, status: str, at: int) -> None:
        """Set the status.

        Args:
            status: in MLflow's words.
            at: when the run has ended, if it has, in milliseconds.
        """
        if status == self.status:
            return
        if status == "RUNNING":
            self._client.update_run(self.id, status)
        else:
            self._client.set_terminated(self.id, status, at)
        self.status = status


def _latest(run: Run) -> list[Metric]:
    """Return the last point of each metric; of what a run knows, only this form tells their steps."""
    return [Metric.from_proto(point) for point in run.data.to_proto().metrics]


def _is_new(metric: Metric, held: Metric | None) -> bool:
    if held is None or metric.step > held.step:
        return True
    return metric.step == held.step == 0 and _kept(metric.value) != _kept(held.value)


def _after(metric: Metric, held: Metric | None) -> Metric:
    """Return a point that is not earlier than the one before it, or else a curve over time would run backwards.

    When exactly an epoch ended that another process was told of, is guessed; the point before may be known.
    """
    if held is None or metric.timestamp >= held.timestamp:
        return metric
    return Metric(metric.key, metric.value, held.timestamp, metric.step)


def _kept(value: float) -> float | None:
    """Return a value as stores keep it, in a form that equals itself."""
    return None if math.isnan(value) else max(-sys.float_info.max, min(value, sys.float_info.max))
