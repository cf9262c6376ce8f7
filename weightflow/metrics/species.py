"""Wasserstein distance of each species by itself."""

import numpy as np
from jaxtyping import Real

from weightflow.metrics.estimate import Estimate
from weightflow.metrics.transport import columns_cost, columns_estimate


def species_w1(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> float:
    """Return the 1-Wasserstein distance of each species' marginal, in the data's units, mean over species."""
    return float(columns_cost(x, y, power=1).mean())


def estimate_species_w1(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> Estimate:
    """Return `species_w1` with influences."""
    return columns_estimate(x, y, power=1)
