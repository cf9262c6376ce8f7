"""The two metrics of the WeightFlow paper (arXiv 2508.00451), for comparison with its tables. Counts only.

Both look at the marginals one species at a time, and are blind to every correlation.
"""

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.spatial.distance import cdist
from scipy.special import xlogy

from weightflow.errors import InputError
from weightflow.metrics.estimate import Estimate
from weightflow.metrics.transport import transport


def paper_w1(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], states: int) -> float:
    """Return the paper's `W`: the exact transport cost between two sets of marginal histograms.

    Each species' histogram is one point of R^states; the cost is the cheapest matching (Euclidean, weight 1/dim each)
    of the model's `dim` points with the data's. It is no distance between states of the system: it ignores how far
    apart two counts are, and may even match one species with another.
    """
    return estimate_paper_w1(x, y, states).value


def paper_jsd(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], states: int) -> float:
    """Return the Jensen-Shannon divergence of the marginals, natural logarithm, mean over species (0 to log 2)."""
    return estimate_paper_jsd(x, y, states).value


def estimate_paper_w1(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], states: int) -> Estimate:
    """Return `paper_w1` with influences: the slope of the matched histograms' distance at each sample's states."""
    p, q = marginals(x, states), marginals(y, states)
    best = transport(p, q, ground="euclidean")
    lengths = np.maximum(cdist(p, q), np.finfo(float).tiny)  # equal histograms are at a kink: no slope
    pull = best.plan / lengths
    slope_p = pull.sum(axis=1)[:, None] * p - pull @ q
    slope_q = pull.sum(axis=0)[:, None] * q - pull.T @ p
    return Estimate.of(best.cost, _at_states(slope_p, x), _at_states(slope_q, y))


def estimate_paper_jsd(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], states: int) -> Estimate:
    """Return `paper_jsd` with influences: log(p / middle) / 2 at each sample's states, mean over species."""
    p, q = marginals(x, states), marginals(y, states)
    middle = (p + q) / 2
    divergence = _entropy(middle) - (_entropy(p) + _entropy(q)) / 2
    slopes = [np.log(np.where(one > 0, one, 1) / np.where(one > 0, middle, 1)) / (2 * len(p)) for one in (p, q)]
    return Estimate.of(max(float(divergence.mean()), 0.0), _at_states(slopes[0], x), _at_states(slopes[1], y))


def numbered(
    x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]
) -> tuple[Int[np.ndarray, "n dim"], Int[np.ndarray, "m dim"], int]:
    """Number the counts that occur in either cloud, and return both clouds by number, and how many there are.

    Both metrics know no order of the counts, and a count that never occurs has no part in them: counts of millions cost
    no more than small ones.

    Raises:
        InputError: a value is no count.
    """
    counts, place = np.unique(np.concatenate([x, y]), return_inverse=True)
    if counts[0] < 0 or (counts != np.rint(counts)).any():
        raise InputError(
            f"values from {counts[0]:g} to {counts[-1]:g} are not all counts; this metric needs whole numbers, none "
            "negative: use another metric for continuous data."
        )
    place = place.reshape(-1, x.shape[1])
    return place[: len(x)], place[len(x) :], len(counts)


def marginals(x: Real[np.ndarray, "n dim"], states: int) -> Float[np.ndarray, "dim states"]:
    """Return each species' histogram over the counts 0 .. states - 1, summing to one.

    Raises:
        InputError: a value is no count below `states`.
    """
    counts = x.astype(np.int64)
    if (counts != x).any() or counts.min() < 0 or counts.max() >= states:
        raise InputError(
            f"values from {x.min():g} to {x.max():g} cannot be binned into {states} states; "
            f"this metric needs whole numbers from 0 to {states - 1}: raise `states`, or use another metric for "
            "continuous data."
        )
    return np.stack([np.bincount(column, minlength=states) for column in counts.T]) / len(x)


def _at_states(slope: Float[np.ndarray, "dim states"], x: Real[np.ndarray, "n dim"]) -> Float[np.ndarray, "n"]:
    """Sum over species of the slope at each sample's states."""
    return slope[np.arange(len(slope)), x.astype(np.int64)].sum(axis=1)


def _entropy(p: Float[np.ndarray, "dim states"]) -> Float[np.ndarray, "dim"]:
    return -xlogy(p, p).sum(axis=1)
