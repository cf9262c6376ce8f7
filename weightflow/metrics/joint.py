"""Wasserstein distances between joint distributions, by exact optimal transport."""

import numpy as np
from jaxtyping import Real

from weightflow.metrics.subsample import subsample
from weightflow.metrics.transport import exact_cost

MAX_POINTS = 250  # exact transport of n against n points grows about as n^2.5; 250 take 5 ms


def joint_w1(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> float:
    """Return the 1-Wasserstein distance, Euclidean in the data's units, of at most `MAX_POINTS` points of each cloud.

    The distance between two finite samples of one distribution is far above zero and shrinks slowly with their size:
    read it against the floor, and compare it only between clouds of equal sizes.
    """
    return exact_cost(subsample(x, MAX_POINTS), subsample(y, MAX_POINTS), ground="euclidean")


def joint_w2(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> float:
    """Return the 2-Wasserstein distance, otherwise as `joint_w1`."""
    return float(np.sqrt(exact_cost(subsample(x, MAX_POINTS), subsample(y, MAX_POINTS), ground="sqeuclidean")))
