"""The score that is searched: negative log-likelihood of held-out snapshots.

score = 1/2 mean over interior held-out snapshots + 1/2 mean over the last ones, in nats per sample: a model must
interpolate and forecast. Where conditions are left out, it is the mean over them, each with the mean over its times. A
proper score of the joint distribution, without sampling noise of the model. Large clouds are scored by a part of them,
chosen at random once and for all: a file may be sorted by what its samples are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from weightflow.data import Fold, Snapshots
from weightflow.evaluation.courses import Conditional, silently
from weightflow.evaluation.density import Density, evaluated
from weightflow.metrics.subsample import subsample

MAX_SAMPLES = 2000  # of each held-out snapshot


@dataclass(frozen=True)
class HeldOut:
    """Negative log-likelihoods, in nats per sample; lower is better.

    Attributes:
        score: mean of the parts.
        error: standard error of the score, from the spread over samples.
        interior: of the held-out snapshots between seen ones; None where conditions are left out.
        last: of those after all seen ones; likewise.
    """

    score: float
    error: float
    interior: float | None = None
    last: float | None = None

    def facts(self) -> dict[str, float]:
        """Return what there is, by name."""
        halves = {"score_interior": self.interior, "score_last": self.last}
        known = {name: value for name, value in halves.items() if value is not None}
        return {"score": self.score, "score_error": self.error, **known}


def held_out_score(model: Density, interior: Snapshots, last: Snapshots) -> HeldOut:
    """Score a model on the two held-out parts, with equal weight."""
    lost = _lost(model, np.concatenate([interior.times, last.times]), [*interior.samples, *last.samples])
    (between, one), (beyond, other) = _mean(lost[: len(interior)]), _mean(lost[len(interior) :])
    return HeldOut((between + beyond) / 2, float(np.hypot(one, other)) / 2, between, beyond)


def score_of_conditions(models: Sequence[Conditional], folds: Sequence[Fold]) -> HeldOut:
    """Score one model for each fold at the condition that it has not seen, with equal weight."""
    means = [
        _mean(_lost(silently(model, fold.at), fold.held_out.times, fold.held_out.samples))
        for model, fold in zip(models, folds, strict=True)
    ]
    scores, errors = np.array(means).T
    return HeldOut(float(scores.mean()), float(np.linalg.norm(errors)) / len(errors))


def _lost(
    model: Density, times: Float[np.ndarray, "time"], samples: Sequence[Float[np.ndarray, "_ dim"]]
) -> list[Float[np.ndarray, "_"]]:
    clouds = [cloud[subsample(len(cloud), MAX_SAMPLES)] for cloud in samples]
    return [-value for value in evaluated(model, times, clouds)]


def _mean(values: Sequence[Float[np.ndarray, "_"]]) -> tuple[float, float]:
    """Return the mean over times, and its standard error."""
    errors = [value.std() / np.sqrt(len(value)) for value in values]
    return float(np.mean([value.mean() for value in values])), float(np.linalg.norm(errors)) / len(values)
