"""The trials of a search: who proposes and who ends them, what is minimised, and what is known of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean, stdev

from scipy.special import stdtrit

Parameter = bool | int | float | str
PREPARATION = "preparation"  # the parameter that names a set of values, where a space has such sets


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
        params: its configuration by dotted key, the values of its preparation among them.
        score: held-out score after the last epoch (lower is better), if there is one.
        epochs: epochs done.
        seconds: wall time that it took, with preparation and scoring.
        reason: why it failed, or why it was last tried again.
        history: one set of metrics for each epoch; the last one of a finished trial also holds what is measured once
            (`sampling_seconds`, `parameters`, `floor_p`, and where that passes `floor_power`, `floor_samples`).
        retries: how often it was tried again after a failure.
        repeat_of: the number of the trial whose configuration this one repeats with another seed.
        started: when it first did, in seconds since 1970; None where that is not known.
        ended: when it did; None where it has not, or that is not known.
        preparation: the name of its preparation, where the space has such; otherwise empty.
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
    started: float | None = None
    ended: float | None = None
    preparation: str = ""

    @property
    def chosen(self) -> dict[str, Parameter]:
        """Its configuration, and the name of its preparation where there is one."""
        return {**({PREPARATION: self.preparation} if self.preparation else {}), **self.params}

    def value(self, criterion: Criterion) -> float:
        """Return the value of a criterion; only finished trials have all of them."""
        return self.history[-1][criterion.metric]


@dataclass(frozen=True)
class Repeated:
    """One configuration that was trained again with fresh seeds.

    It was chosen for this by its first score, which is therefore too low more often than not: it is judged by the
    others alone.

    Attributes:
        number: of the trial that was repeated.
        chosen_by: the held-out score of that trial.
        scores: those with fresh seeds; none where no repeat finished.
        failed: how many repeats failed; each was made up for by another seed as long as that was allowed.
    """

    number: int
    chosen_by: float
    scores: tuple[float, ...]
    failed: int = 0

    @property
    def mean(self) -> float | None:
        """Mean score over the fresh seeds; None where there is none."""
        return fmean(self.scores) if self.scores else None

    @property
    def rank(self) -> tuple[bool, float]:
        """A key to sort by: the lowest mean first; where there is none, after all that have one, by the first score."""
        return (True, self.chosen_by) if self.mean is None else (False, self.mean)

    @property
    def told(self) -> str:
        """How it did, in words."""
        lost = f" ({self.failed} failed)" if self.failed else ""
        if self.mean is None:
            return f"no fresh seed finished{lost}; {self.chosen_by:.4f} is the score that it was chosen by"
        half = "" if self.half is None else f" ± {self.half:.4f}"
        seeds = f"{'mean over ' if len(self.scores) > 1 else ''}{_seeds(len(self.scores))}"
        return f"{self.mean:.4f}{half}, {seeds}{lost}"

    @property
    def half(self) -> float | None:
        """Half of the 95 % interval of the mean, by Student's t; None for fewer than two seeds."""
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


def against_default(best: TrialRecord, trials: Sequence[TrialRecord]) -> str:
    """Say by how much the score of the best trial and that of the first one differ, and at which held-out snapshots.

    The first trial has the default configuration, or what of the space is nearest to it. A search that looks at
    forecasts and at what lies between the snapshots may gain at one of them alone. Of a trial that was repeated, the
    means over fresh seeds count: the score by which the best was chosen is too low more often than not, and is said to
    be that where there is no other. Empty where there is no comparison: the first trial did not finish.
    """
    default = next((record for record in trials if record.number == 0), None)
    if best.number == 0:
        return "The default configuration itself is best."
    if default is None or default.state is not TrialState.FINISHED:
        return ""
    fresh = _fresh(best, trials)
    theirs, own = _measured(_fresh(default, trials) or [default]), _measured(fresh or [best])
    halves = {"score_interior": "between the fitted times", "score_last": "after them"}
    gains = {where: theirs[key] - own[key] for key, where in halves.items() if key in theirs and key in own}
    parts = " and ".join(f"{_difference(gain)} {where}" for where, gain in gains.items())
    score = Criterion.SCORE.metric
    what = (
        f"Its {'mean ' if len(fresh) > 1 else ''}score over {_seeds(len(fresh))}"
        if fresh
        else "The score by which it was chosen"
    )
    told = f"{what} (nats per sample) is {_difference(theirs[score] - own[score])} than that of the default, trial 0"
    return f"{told}: {parts}." if parts else f"{told}."


def _fresh(record: TrialRecord, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the finished repeats of a trial."""
    return [one for one in trials if one.repeat_of == record.number and one.state is TrialState.FINISHED]


def _measured(records: Sequence[TrialRecord]) -> dict[str, float]:
    """Return the means of what was measured after the last epochs, as far as all of them have it."""
    ends = [record.history[-1] for record in records]
    return {key: fmean(end[key] for end in ends) for key in ends[0] if all(key in end for end in ends)}


def _seeds(number: int) -> str:
    return "1 fresh seed" if number == 1 else f"{number} fresh seeds"


def _difference(gain: float) -> str:
    return f"{abs(gain):.4f} {'higher' if gain < 0 else 'lower'}"


def why_none_finished(trials: Sequence[TrialRecord]) -> str:
    """Say why a search has come to nothing."""
    failed = Counter(record.reason for record in trials if record.state is TrialState.FAILED)
    if failed:
        reason, count = failed.most_common(1)[0]
        return f"no trial finished: {sum(failed.values())} of {len(trials)} failed, {count} of them because {reason}"
    limited = Counter(record.reason for record in trials if record.state is TrialState.PRUNED and record.reason)
    if limited:
        reason, count = limited.most_common(1)[0]
        return f"no trial of {len(trials)} finished, {count} of them ended early ({reason})"
    return f"no trial of {len(trials)} finished within the budget; give more with `--time-budget`."
