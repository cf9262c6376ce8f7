"""The book of a search's trials, kept by the driver and told to whoever watches."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ray import tune

from weightflow.errors import TrainingError
from weightflow.trials import TrialRecord, TrialState

METRICS = ("score", "score_interior", "score_last", "loss", "learning_rate", "epoch_seconds")


@runtime_checkable
class Watcher(Protocol):
    """Whoever is told about trials: MLflow, the live table."""

    def start_trial(self, record: TrialRecord) -> None:
        """A trial has started."""
        ...

    def log_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """A trial has reported an epoch."""
        ...

    def end_trial(self, record: TrialRecord) -> None:
        """A trial has ended, one way or another."""
        ...


class Board(tune.Callback):
    """Ray's callbacks in, records out."""

    def __init__(
        self, watchers: Sequence[Watcher], epochs: int, numbers: Mapping[str, int], past: Sequence[TrialRecord] = ()
    ) -> None:
        self.watchers = list(watchers)
        self.epochs = epochs
        self.numbers = numbers
        self.broken: list[Any] = []
        self.records = {record.trial_id: record for record in past}

    def __getstate__(self) -> dict[str, Any]:
        """Ray copies callbacks into its snapshots; watchers hold connections and stay here."""
        return {"watchers": [], "epochs": self.epochs, "numbers": {}, "broken": [], "records": self.records}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open a record."""
        if trial.trial_id in self.records:
            return
        record = TrialRecord(self.numbers[trial.trial_id], trial.trial_id, TrialState.RUNNING, dict(trial.config))
        self._tell("start_trial", record)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Add an epoch."""
        metrics = {key: float(result[key]) for key in METRICS if key in result}
        before = self.records[trial.trial_id]
        record = replace(
            before,
            score=metrics["score"] if math.isfinite(metrics["score"]) else None,
            epochs=int(result["epoch"]),
            seconds=before.seconds + metrics["epoch_seconds"],
            history=(*before.history, {"epoch": float(result["epoch"]), **metrics}),
        )
        self.records[trial.trial_id] = record
        for watcher in self.watchers:
            watcher.log_epoch(record, record.epochs, metrics)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close a record: finished with all epochs, pruned with fewer."""
        record = self.records[trial.trial_id]
        if record.score is None:
            self._end(record, TrialState.FAILED, "the score was not finite")
        else:
            self._end(record, TrialState.FINISHED if record.epochs >= self.epochs else TrialState.PRUNED)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Remember a failure: Ray writes down its reason only after this call."""
        self.broken.append(trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Close the records of failed trials with their reasons."""
        while self.broken:
            trial = self.broken.pop()
            self._end(self.records[trial.trial_id], TrialState.FAILED, _reason(trial.error_file))

    def stop_running(self) -> None:
        """Close what runs when everything ends."""
        for record in list(self.records.values()):
            if record.state is TrialState.RUNNING:
                self._end(record, TrialState.STOPPED)

    def list(self) -> tuple[TrialRecord, ...]:
        """Return all records in order of their numbers."""
        return tuple(sorted(self.records.values(), key=lambda record: record.number))

    def best(self) -> TrialRecord | None:
        """Return the finished trial with the lowest score."""
        finished = [r for r in self.records.values() if r.state is TrialState.FINISHED and r.score is not None]
        return min(finished, key=lambda record: (record.score, record.number), default=None)

    def _end(self, record: TrialRecord, state: TrialState, reason: str = "") -> None:
        if record.state is TrialState.RUNNING:
            self._tell("end_trial", replace(record, state=state, reason=reason))

    def _tell(self, event: str, record: TrialRecord) -> None:
        self.records[record.trial_id] = record
        for watcher in self.watchers:
            getattr(watcher, event)(record)


def _reason(error_file: str | None) -> str:
    """Return the last line of the error that Ray has written down, without the name of our own errors' class."""
    lines = Path(error_file).read_text().strip().splitlines() if error_file and Path(error_file).exists() else []
    return lines[-1].removeprefix(f"{TrainingError.__module__}.{TrainingError.__name__}: ") if lines else "unknown"
