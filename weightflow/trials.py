"""What is known of one trial of a search."""

from dataclasses import dataclass, field
from enum import StrEnum

Parameter = bool | int | float | str


class TrialState(StrEnum):
    """How far a trial has come, or how it ended."""

    RUNNING = "running"
    FINISHED = "finished"
    PRUNED = "pruned"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class TrialRecord:
    """A trial at one moment.

    Attributes:
        number: counted from 0 in the order in which trials started.
        trial_id: Ray's name of the trial.
        state: how far it has come.
        params: its configuration by dotted key.
        score: held-out score after the last epoch (lower is better), if there is one.
        epochs: epochs done.
        seconds: wall time of those epochs.
        reason: why it failed.
        history: one set of metrics for each epoch.
    """

    number: int
    trial_id: str
    state: TrialState
    params: dict[str, Parameter]
    score: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    reason: str = ""
    history: tuple[dict[str, float], ...] = field(default=())
