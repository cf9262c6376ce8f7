"""The trials of a search: who proposes and who ends them, what is minimised, and what is known of them."""

from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean, stdev

from scipy.special import stdtrit

Parameter = bool | int | float | str


class TrialState(StrEnum):
    """How far a trial has come, or how it ended."""

    RUNNING = "running"
    FINISHED = "finished"
    PRUNED = "pruned"
    FAILED = "failed"
    STOPPED = "stopped"


class SamplerName(StrEnum):
    """Who proposes configurations; they are Optuna's."""

    TPE = "tpe"
    GP = "gp"
    CMAES = "cmaes"
    NSGA2 = "nsga2"
    RANDOM = "random"
    GRID = "grid"


class SchedulerName(StrEnum):
    """Who ends trials that do worse than others after as many epochs."""

    ASHA = "asha"
    HYPERBAND = "hyperband"
    NONE = "none"


class Criterion(StrEnum):
    """What a search can minimise."""

    SCORE = "score"
    SECONDS = "seconds"
    PARAMETERS = "parameters"

    @property
    def metric(self) -> str:
        """The metric of a trial that it stands for."""
        return {"score": "score", "seconds": "sampling_seconds", "parameters": "parameters"}[self.value]

    @property
    def meaning(self) -> str:
        """The same in words, with its unit."""
        return {
            "score": "held-out score, in nats per sample",
            "seconds": "time to draw 1,000 samples at each held-out time, in seconds",
            "parameters": "numbers that the model is made of",
        }[self.value]


@dataclass(frozen=True)
class TrialRecord:
    """A trial at one moment.

    Attributes:
        number: counted from 0 in the order in which trials started; it names the trial, also after an interruption.
        state: how far it has come.
        params: its configuration by dotted key.
        score: held-out score after the last epoch (lower is better), if there is one.
        epochs: epochs done.
        seconds: wall time that it took, with preparation and scoring.
        reason: why it failed, or why it was last tried again.
        history: one set of metrics for each epoch; the last one of a finished trial also holds what is measured once
            (`sampling_seconds`, `parameters`, `floor_p`).
        retries: how often it was tried again after a failure.
        repeat_of: the number of the trial whose configuration this one repeats with another seed.
    """

    number: int
    state: TrialState
    params: dict[str, Parameter]
    score: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    reason: str = ""
    history: tuple[dict[str, float], ...] = field(default=())
    retries: int = 0
    repeat_of: int | None = None

    def value(self, criterion: Criterion) -> float:
        """Return the value of a criterion; only finished trials have all of them."""
        return self.history[-1][criterion.metric]


@dataclass(frozen=True)
class Repeated:
    """One configuration that was trained with several seeds.

    Attributes:
        number: of the trial that was repeated.
        scores: the held-out scores, the trial's own first.
    """

    number: int
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean score over the seeds."""
        return fmean(self.scores)

    @property
    def half(self) -> float | None:
        """Half of the 95 % interval of the mean, by Student's t; None for a single seed."""
        n = len(self.scores)
        if n < 2:
            return None
        return float(stdtrit(n - 1, 0.975)) * stdev(self.scores) / n**0.5


@dataclass(frozen=True)
class Front:
    """The trials that no other one beats in all criteria.

    Attributes:
        criteria: what was minimised.
        trials: in order of their scores.
        recommended: the number of one of them.
        rule: by which it was chosen, in words.
    """

    criteria: tuple[Criterion, ...]
    trials: tuple[TrialRecord, ...]
    recommended: int
    rule: str
