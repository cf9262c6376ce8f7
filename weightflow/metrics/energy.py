"""Energy distance."""

import numpy as np
from jaxtyping import Real
from scipy.spatial.distance import cdist, pdist

from weightflow.metrics.subsample import subsample

MAX_POINTS = 1000  # three million distances, 8 ms


def energy_distance(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> float:
    """Return 2 E|X - Y| - E|X - X'| - E|Y - Y'|, Euclidean, of at most `MAX_POINTS` points of each cloud.

    It is zero exactly when the two empirical distributions are equal. In one dimension it is the square of what
    `scipy.stats.energy_distance` returns.
    """
    x, y = subsample(x, MAX_POINTS), subsample(y, MAX_POINTS)
    return max(float(2 * cdist(x, y).mean() - _within(x) - _within(y)), 0.0)


def _within(x: Real[np.ndarray, "n dim"]) -> float:
    """Mean distance over all ordered pairs, a point and itself included."""
    return 2.0 * float(pdist(x).sum()) / len(x) ** 2
