"""The two metrics of the WeightFlow paper (arXiv 2508.00451), for comparison with its tables. Counts only.

Both look at the marginals one species at a time, and are blind to every correlation.
"""

import numpy as np
from jaxtyping import Float, Real
from scipy.special import xlogy

from weightflow.errors import InputError
from weightflow.metrics.transport import exact_cost


def paper_w1(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], states: int) -> float:
    """Return the paper's `W`: the exact transport cost between two sets of marginal histograms.

    Each species' histogram is one point of R^states; the cost is the cheapest matching (Euclidean, weight 1/dim each)
    of the model's `dim` points with the data's. It is no distance between states of the system: it ignores how far
    apart two counts are, and may even match one species with another.
    """
    return exact_cost(marginals(x, states), marginals(y, states), ground="euclidean")


def paper_jsd(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"], states: int) -> float:
    """Return the Jensen-Shannon divergence of the marginals, natural logarithm, mean over species (0 to log 2)."""
    p, q = marginals(x, states), marginals(y, states)
    middle = (p + q) / 2
    divergence = _entropy(middle) - (_entropy(p) + _entropy(q)) / 2
    return max(float(divergence.mean()), 0.0)


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


def _entropy(p: Float[np.ndarray, "dim states"]) -> Float[np.ndarray, "dim"]:
    return -xlogy(p, p).sum(axis=1)
