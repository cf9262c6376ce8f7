"""The score that is searched: negative log-likelihood of held-out snapshots.

score = 1/2 mean over interior held-out snapshots + 1/2 mean over the last ones, in nats per sample: a model must
interpolate and forecast. A proper score of the joint distribution, without sampling noise of the model. Large clouds
are scored by a part of them, chosen at random once and for all: a file may be sorted by what its samples are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from weightflow.data import Snapshots
from weightflow.evaluation.density import Density, evaluated
from weightflow.metrics.subsample import subsample

MAX_SAMPLES = 2000  # of each held-out snapshot


@dataclass(frozen=True)
class HeldOut:
    """Negative log-likelihoods, in nats per sample; lower is better.

    Attributes:
        score: mean of the two parts.
        interior: of the held-out snapshots between seen ones.
        last: of those after all seen ones.
        error: standard error of the score, from the spread over samples.
    """

    score: float
    interior: float
    last: float
    error: float


def held_out_score(model: Density, interior: Snapshots, last: Snapshots) -> HeldOut:
    """Score a model on the two held-out parts, with equal weight."""
    clouds = [cloud[subsample(len(cloud), MAX_SAMPLES)] for part in (interior, last) for cloud in part.samples]
    lost = [-value for value in evaluated(model, np.concatenate([interior.times, last.times]), clouds)]
    (between, one), (beyond, other) = _mean(lost[: len(interior)]), _mean(lost[len(interior) :])
    return HeldOut((between + beyond) / 2, between, beyond, float(np.hypot(one, other)) / 2)


def _mean(values: Sequence[Float[np.ndarray, "_"]]) -> tuple[float, float]:
    """Return the mean over times, and its standard error."""
    errors = [value.std() / np.sqrt(len(value)) for value in values]
    return float(np.mean([value.mean() for value in values])), float(np.linalg.norm(errors)) / len(values)
