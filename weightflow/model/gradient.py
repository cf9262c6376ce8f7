"""The gradient of the log-density with respect to the samples: the score of the theory (Hyvarinen 2005)."""

import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.backbones import Backbone


def gradient(
    backbone: Backbone, tokens: Float[Tensor, "time token width"], samples: Float[Tensor, "time draw dim"]
) -> Float[Tensor, "time draw dim"]:
    """Differentiate; a species that was constant has no density, and zero stands at its place."""
    with torch.enable_grad():
        x = samples.detach().requires_grad_()
        # samples of different draws do not meet: the gradient of the sum is that of each
        total = backbone.log_prob(tokens, x, species=backbone.order).sum()
        return torch.autograd.grad(total, x)[0]
