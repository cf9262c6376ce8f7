"""The one door to POT for metrics."""

from typing import Literal

import numpy as np
import ot
from jaxtyping import Float, Real
from scipy.spatial.distance import cdist


def exact_cost(
    x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], ground: Literal["euclidean", "sqeuclidean"]
) -> float:
    """Return the optimal-transport cost between two clouds of equally weighted points, for a ground cost."""
    # scipy's distances, not POT's: a point is at zero from itself exactly, and so is a cloud.
    cost = cdist(x, y, ground)
    plan = np.asarray(ot.emd(_uniform(len(x)), _uniform(len(y)), cost, numItermax=2_000_000))
    return float(np.sum(plan * cost))


def columns_cost(
    x: Real[np.ndarray, "n column"], y: Real[np.ndarray, "m column"], power: int
) -> Float[np.ndarray, "column"]:
    """Return min E|u - v|^power for each column by itself: in one dimension, transport is sorting."""
    if len(x) == len(y):  # ten times as fast as POT's general way
        gaps = np.sort(x.T.astype(np.float64), axis=1) - np.sort(y.T.astype(np.float64), axis=1)
        return (np.abs(gaps) ** power).mean(axis=1)
    return np.asarray(ot.wasserstein_1d(x.astype(np.float64), y.astype(np.float64), p=power))


def _uniform(n: int) -> Float[np.ndarray, "n"]:
    return np.full(n, 1.0 / n)
