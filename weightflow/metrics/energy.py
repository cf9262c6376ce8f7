"""Energy distance."""

import numpy as np
from jaxtyping import Float, Real
from scipy.spatial.distance import cdist, pdist, squareform

from weightflow.metrics.estimate import Estimate
from weightflow.metrics.subsample import on_subsamples

MAX_POINTS = 1000  # three million distances, 8 ms


def energy_distance(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], points: int = MAX_POINTS) -> float:
    """Return 2 E|X - Y| - E|X - X'| - E|Y - Y'|, Euclidean, of at most `points` points of each cloud.

    It is zero exactly when the two empirical distributions are equal. In one dimension it is the square of what
    `scipy.stats.energy_distance` returns.
    """
    return estimate_energy_distance(x, y, points).value


def estimate_energy_distance(
    x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], points: int = MAX_POINTS
) -> Estimate:
    """Return `energy_distance` with influences: 2 E|x - Y| - 2 E|x - X'| of a model's sample x, up to a constant."""
    return on_subsamples(_estimate, x, y, points)


def _estimate(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> Estimate:
    within_x, within_y = _within(x), _within(y)
    between = cdist(x, y)
    value = 2 * between.mean() - within_x.mean() - within_y.mean()
    return Estimate.of(max(float(value), 0.0), 2 * (between.mean(1) - within_x), 2 * (between.mean(0) - within_y))


def _within(x: Real[np.ndarray, "n dim"]) -> Float[np.ndarray, "n"]:
    """Mean distance of each point from all of them, itself included."""
    return squareform(pdist(x), checks=False).mean(axis=0)
