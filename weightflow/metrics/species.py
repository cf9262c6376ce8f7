"""Wasserstein distance of each species by itself."""

import numpy as np
from jaxtyping import Real

from weightflow.metrics.transport import columns_cost


def species_w1(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> float:
    """Return the 1-Wasserstein distance of each species' marginal, in the data's units, mean over species."""
    return float(columns_cost(x, y, power=1).mean())
