"""Whoever is told about trials while they run."""

from typing import Protocol, runtime_checkable

from weightflow.trials import TrialRecord


@runtime_checkable
class Callback(Protocol):
    """Whoever is told about trials: MLflow, the live table."""

    def start_trial(self, record: TrialRecord) -> None:
        """A trial has started, or goes on."""
        ...

    def log_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """A trial has reported an epoch."""
        ...

    def end_trial(self, record: TrialRecord) -> None:
        """A trial has ended, one way or another."""
        ...
