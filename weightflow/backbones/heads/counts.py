"""What heads of counts have in common."""

import torch
from jaxtyping import Float
from torch import Tensor


def only_counts(log_prob: Float[Tensor, "*shape"], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Replace the log-probability of what is no count (negative, fractional or infinite) by minus infinity."""
    return torch.where((x >= 0) & (x.frac() == 0), log_prob, -torch.inf)
