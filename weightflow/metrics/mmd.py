"""Maximum mean discrepancy, squared and unbiased, with Gaussian kernels exp(-|x - y|^2 / (2 sigma^2)).

Unbiased means that two samples of one distribution score zero on average, so that single scores may be negative.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real
from scipy.spatial.distance import cdist, pdist, squareform

from weightflow.errors import InputError
from weightflow.metrics.estimate import Estimate
from weightflow.metrics.subsample import on_subsamples

MAX_POINTS = 500  # 500 against 500 points take 3 ms, three bandwidths included
PAPER_BANDWIDTHS = (0.1, 1.0, 10.0)


def mmd_paper(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], points: int = MAX_POINTS) -> float:
    """Return the paper's MMD: the sum of the squared discrepancies at sigma 0.1, 1 and 10, in the data's own units."""
    return estimate_mmd_paper(x, y, points).value


def mmd_median(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], points: int = MAX_POINTS) -> float:
    """Return the squared discrepancy with sigma the median distance within `y`, which therefore should be the data.

    Models scored against the same data then share one kernel. Where that median is zero (more than half of the data in
    one state) the mean distance between the two clouds takes its place; where that is zero too, so is the discrepancy.
    """
    return estimate_mmd_median(x, y, points).value


def estimate_mmd_paper(
    x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], points: int = MAX_POINTS
) -> Estimate:
    """Return `mmd_paper` with influences."""
    return on_subsamples(lambda a, b: _mmd(_Distances.between(a, b), PAPER_BANDWIDTHS), x, y, points)


def estimate_mmd_median(
    x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], points: int = MAX_POINTS
) -> Estimate:
    """Return `mmd_median` with influences; the kernel's width is taken as given."""
    return on_subsamples(_with_median_width, x, y, points)


@dataclass(frozen=True)
class _Distances:
    """Squared distances of two clouds; those within a cloud once for each unordered pair."""

    xx: Float[np.ndarray, "_"]
    yy: Float[np.ndarray, "_"]
    xy: Float[np.ndarray, "n m"]

    @classmethod
    def between(cls, x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> "_Distances":
        if min(len(x), len(y)) < 2:
            raise InputError(f"MMD needs two samples on either side, but got {len(x)} and {len(y)}; draw more.")
        return cls(pdist(x, "sqeuclidean"), pdist(y, "sqeuclidean"), cdist(x, y, "sqeuclidean"))


def _with_median_width(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> Estimate:
    distances = _Distances.between(x, y)
    sigma = float(np.sqrt(np.median(distances.yy))) or float(np.sqrt(distances.xy).mean())
    return _mmd(distances, (sigma,) if sigma else ())


def _mmd(distances: _Distances, sigmas: tuple[float, ...]) -> Estimate:
    """Sum over `sigmas`; a model's sample x has influence 2 E k(x, X') - 2 E k(x, Y), up to a constant."""
    xx, yy = (_within(_kernel(squared, sigmas)) for squared in (distances.xx, distances.yy))
    xy = _kernel(distances.xy, sigmas)
    to_data, to_model = (xy.mean(axis=axis, dtype=np.float64) for axis in (1, 0))
    value = xx.mean() + yy.mean() - 2 * to_data.mean()
    return Estimate.of(float(value), 2 * (xx - to_data), 2 * (yy - to_model))


def _kernel(squared: Float[np.ndarray, "..."], sigmas: tuple[float, ...]) -> Float[np.ndarray, "..."]:
    # In single precision this is ten times as fast, and the mean of 250,000 kernels is right to eight decimals.
    total = np.zeros(squared.shape, dtype=np.float32)
    for sigma in sigmas:
        total += np.exp((squared / (-2 * sigma**2)).astype(np.float32))
    return total


def _within(kernel: Float[np.ndarray, "pair"]) -> Float[np.ndarray, "n"]:
    """Mean kernel of each point with the others."""
    square = squareform(kernel, checks=False)
    return square.sum(axis=0, dtype=np.float64) / (len(square) - 1)
