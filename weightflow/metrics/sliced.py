"""Sliced Wasserstein distances: transport of one-dimensional projections, averaged over directions."""

from functools import cache

import numpy as np
from jaxtyping import Float, Real

from weightflow.metrics.estimate import Estimate
from weightflow.metrics.transport import columns_cost, columns_estimate
from weightflow.rng import generator

DIRECTIONS = 64  # the standard error over directions is then about a twentieth of the spread between them


def sliced_w1(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> float:
    """Return the mean 1-Wasserstein distance over fixed random directions, in the data's units."""
    return float(columns_cost(x @ directions(x.shape[1]), y @ directions(x.shape[1]), power=1).mean())


def sliced_w2(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> float:
    """Return the root mean square 2-Wasserstein distance over fixed random directions, in the data's units."""
    return float(np.sqrt(columns_cost(x @ directions(x.shape[1]), y @ directions(x.shape[1]), power=2).mean()))


def estimate_sliced_w1(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> Estimate:
    """Return `sliced_w1` with influences."""
    return columns_estimate(x @ directions(x.shape[1]), y @ directions(x.shape[1]), power=1)


def estimate_sliced_w2(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> Estimate:
    """Return `sliced_w2` with influences."""
    return columns_estimate(x @ directions(x.shape[1]), y @ directions(x.shape[1]), power=2).root()


@cache
def directions(dim: int) -> Float[np.ndarray, "dim direction"]:
    """Return unit vectors drawn uniformly from the sphere once and for all, so that scores can be compared."""
    normal = generator(0, "sliced", dim).standard_normal((dim, DIRECTIONS))
    return normal / np.linalg.norm(normal, axis=0)
