"""A smaller cloud, for metrics whose cost grows with the square of the sample size or faster."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int, Real

from weightflow.errors import InputError
from weightflow.metrics.estimate import Estimate
from weightflow.rng import generator


def on_subsamples(
    estimate: Callable[[np.ndarray, np.ndarray], Estimate],
    x: Real[np.ndarray, "n dim"],
    y: Real[np.ndarray, "m dim"],
    points: int,
) -> Estimate:
    """Estimate a distance from at most `points` samples of each cloud.

    Raises:
        InputError: `points` is below two.
    """
    if points < 2:
        raise InputError(f"`points`={points} was given; a distance between clouds needs two points of each at least.")
    rows = subsample(len(x), points), subsample(len(y), points)
    return estimate(x[rows[0]], y[rows[1]]).spread(rows, (len(x), len(y)))


def subsample(size: int, most: int) -> Int[np.ndarray, "_"]:
    """Choose at most `most` of `size` rows, always the same ones.

    A cloud compared with itself therefore stays at distance zero, and repeating an evaluation repeats its numbers.
    """
    if size <= most:
        return np.arange(size)
    return generator(0, "metric", size, most).choice(size, most, replace=False)
