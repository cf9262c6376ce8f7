"""Optimal transport for metrics: exact between clouds, by sorting in one dimension. The one door to POT here.

Functions that need POT import it: that takes 1.7 s in each process, and the workers of a search measure likelihoods.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Real
from scipy.spatial.distance import cdist

from weightflow.metrics.estimate import Estimate


@dataclass(frozen=True, eq=False)
class Transport:
    """An optimal plan between two clouds of equally weighted points, its cost, and the dual potentials."""

    plan: Float[np.ndarray, "n m"]
    cost: float
    first: Float[np.ndarray, "n"]
    second: Float[np.ndarray, "m"]

    def estimate(self) -> Estimate:
        """Return the cost with the potentials as influences (del Barrio and Loubes 2019)."""
        return Estimate.of(self.cost, self.first, self.second)


def transport(
    x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], ground: Literal["euclidean", "sqeuclidean"]
) -> Transport:
    """Solve optimal transport between two clouds exactly, for a ground cost."""
    import ot

    # scipy's distances, not POT's: a point is at zero from itself exactly, and so is a cloud.
    cost = cdist(x, y, ground)
    plan, log = ot.emd(_uniform(len(x)), _uniform(len(y)), cost, numItermax=2_000_000, log=True)
    plan = np.asarray(plan)
    return Transport(plan, float(np.sum(plan * cost)), np.asarray(log["u"]), np.asarray(log["v"]))


def columns_cost(
    x: Real[np.ndarray, "n column"], y: Real[np.ndarray, "m column"], power: int
) -> Float[np.ndarray, "column"]:
    """Return min E|u - v|^power for each column by itself: in one dimension, transport is sorting."""
    if len(x) == len(y):  # ten times as fast as POT's general way
        gaps = np.sort(x.T.astype(np.float64), axis=1) - np.sort(y.T.astype(np.float64), axis=1)
        return (np.abs(gaps) ** power).mean(axis=1)
    import ot

    return np.asarray(ot.wasserstein_1d(x.astype(np.float64), y.astype(np.float64), p=power))


def columns_estimate(x: Real[np.ndarray, "n column"], y: Real[np.ndarray, "m column"], power: int) -> Estimate:
    """Return the mean over columns of `columns_cost`.

    A sample's influence is the dual potential phi at its place, where phi'(s) = h'(s - T(s)) for the cost h(z) = |z|^p
    and the monotone map T (Santambrogio, Optimal Transport for Applied Mathematicians, section 2.2).
    """
    columns = x.T.astype(np.float64), y.T.astype(np.float64)
    orders = [np.argsort(column, axis=1) for column in columns]
    u, v = (np.take_along_axis(column, order, axis=1) for column, order in zip(columns, orders, strict=True))
    same_size = u.shape == v.shape
    to_u, to_v = _potentials(u, v, power) if same_size else (_stretched(u, v, power), _stretched(v, u, power))
    cost = (np.abs(u - v) ** power).mean(axis=1) if same_size else columns_cost(x, y, power)
    return Estimate.of(float(cost.mean()), _unsorted(to_u, orders[0]), _unsorted(to_v, orders[1]))


def _potentials(
    u: Float[np.ndarray, "column n"], v: Float[np.ndarray, "column n"], power: int
) -> tuple[Float[np.ndarray, "column n"], Float[np.ndarray, "column n"]]:
    """Potentials at each of the sorted `u` and `v`, up to a constant for each column."""
    # Between u_i and u_i+1 the map is v_i by its left and v_i+1 by its right limit; with ties these differ: their mean.
    straight, left, right = (np.abs(z) ** power for z in (u - v, u[:, 1:] - v[:, :-1], u[:, :-1] - v[:, 1:]))
    even, odd = np.diff(straight, axis=1), left - right
    steps = np.zeros((2, *u.shape))
    np.add(even, odd, out=steps[0, :, 1:])
    np.subtract(even, odd, out=steps[1, :, 1:])
    potentials = np.cumsum(steps, axis=2, out=steps) / 2
    return potentials[0], potentials[1]


def _stretched(u: Float[np.ndarray, "column n"], v: Float[np.ndarray, "column m"], power: int) -> np.ndarray:
    """Potential at each of the sorted `u`, against as many quantiles of the sorted `v`."""
    n, m = u.shape[1], v.shape[1]
    return _potentials(u, v[:, ((np.arange(n) + 0.5) * m / n).astype(int)], power)[0]


def _unsorted(potential: Float[np.ndarray, "column n"], order: np.ndarray) -> Float[np.ndarray, "n"]:
    """Mean over columns of each sample's potential, samples in their first order."""
    columns, n = potential.shape
    return np.bincount(order.ravel(), weights=potential.ravel(), minlength=n) / columns


def _uniform(n: int) -> Float[np.ndarray, "n"]:
    return np.full(n, 1.0 / n)
