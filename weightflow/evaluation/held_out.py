"""The score that is searched: negative log-likelihood of held-out snapshots.

score = 1/2 mean over interior held-out snapshots + 1/2 mean over the last ones, in nats per sample: a model must
interpolate and forecast. A proper score of the joint distribution, without sampling noise of the model.
"""

from dataclasses import dataclass

import numpy as np

from weightflow.data import Snapshots
from weightflow.evaluation.density import Density

MAX_SAMPLES = 2000  # of each held-out snapshot


@dataclass(frozen=True)
class HeldOut:
    """Negative log-likelihoods, in nats per sample; lower is better."""

    score: float
    interior: float
    last: float


def held_out_score(model: Density, interior: Snapshots, last: Snapshots) -> HeldOut:
    """Score a model on the two held-out parts, with equal weight."""
    parts = [_negative_log_likelihood(model, part) for part in (interior, last)]
    return HeldOut(float(np.mean(parts)), *parts)


def _negative_log_likelihood(model: Density, part: Snapshots) -> float:
    clouds = [cloud[:MAX_SAMPLES] for cloud in part.samples]
    return float(
        np.mean([-float(model.log_prob(cloud, time).mean()) for time, cloud in zip(part.times, clouds, strict=True)])
    )
