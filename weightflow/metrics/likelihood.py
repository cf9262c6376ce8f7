"""Negative log-likelihood, of methods that have a density."""

import numpy as np
from jaxtyping import Float

from weightflow.metrics.estimate import Estimate


def estimate_nll(log_density: Float[np.ndarray, "m"]) -> Estimate:
    """Return the mean negative log-density of the data, in nats per sample; nothing is drawn from the model."""
    surprise = -log_density
    return Estimate.of(float(surprise.mean()), np.zeros(len(surprise)), surprise)
