"""Wasserstein distances between joint distributions, by exact optimal transport."""

import numpy as np
from jaxtyping import Real

from weightflow.metrics.estimate import Estimate
from weightflow.metrics.subsample import on_subsamples
from weightflow.metrics.transport import transport

MAX_POINTS = 250  # exact transport of n against n points grows about as n^2.5; 250 take 5 ms, 500 take 30 ms


def joint_w1(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], points: int = MAX_POINTS) -> float:
    """Return the 1-Wasserstein distance, Euclidean in the data's units, of at most `points` points of each cloud.

    The distance between two finite samples of one distribution is far above zero and shrinks slowly with their size:
    read it against the floor, and compare it only between clouds of equal sizes.
    """
    return estimate_joint_w1(x, y, points).value


def joint_w2(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], points: int = MAX_POINTS) -> float:
    """Return the 2-Wasserstein distance, otherwise as `joint_w1`."""
    return estimate_joint_w2(x, y, points).value


def estimate_joint_w1(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], points: int = MAX_POINTS) -> Estimate:
    """Return `joint_w1` with influences."""
    return on_subsamples(lambda a, b: transport(a, b, ground="euclidean").estimate(), x, y, points)


def estimate_joint_w2(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], points: int = MAX_POINTS) -> Estimate:
    """Return `joint_w2` with influences."""
    return on_subsamples(lambda a, b: transport(a, b, ground="sqeuclidean").estimate().root(), x, y, points)
