"""How much each weight of a path matters to the distributions along it.

A weight that is off by d costs F d^2 / 2 nats per sample, where F is its Fisher information, E[(d log p / d weight)^2]
over draws of the path's own distribution. It differs between weights by many orders of magnitude: where a count is
certain to be 0, a hundredth of a weight costs nats. A field taught with plain squares spends itself on weights that
change nothing. With F itself (and not its root) a handful of weights count alone, and the others are never learned.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.backbones import Backbone
from weightflow.path import ReferencePath
from weightflow.torch_rng import uniforms

DRAWS = 64
LEAST, MOST = 1e-3, 100.0  # of the mean information, of the mean weight: nothing is free, and nothing is all


def sensitivity(
    backbone: Backbone, reference: ReferencePath, seed: int, places: int
) -> Float[Tensor, "mark token width"]:
    """Return the root of the Fisher information of each weight at each mark, 1 in the mean over those used.

    It is evaluated at `places` of the marks, evenly spread, and joined by lines between them.
    """
    at = np.unique(np.linspace(0, len(reference.marks) - 1, places).round().astype(int))
    dim = backbone.dim
    found = [
        _information(backbone, torch.tensor(reference.tokens[i]), uniforms(DRAWS, dim, seed, "sensitivity", str(i)))
        for i in at.tolist()
    ]
    dense = _interpolated(torch.stack(found), torch.as_tensor(at), len(reference.marks))
    used = backbone.layout.mask
    roots = (dense / dense[:, used].mean().clamp(min=torch.finfo(dense.dtype).tiny) + LEAST).sqrt()
    return (roots / roots[:, used].mean()).clamp(max=MOST)


def _information(
    backbone: Backbone, tokens: Float[Tensor, "token width"], numbers: Float[Tensor, "draw dim"]
) -> Float[Tensor, "token width"]:
    """Return the mean square of the score of each weight over draws."""
    with torch.no_grad():
        draws = backbone.sample(tokens[None], numbers[None].to(tokens))[0]
    each = tokens.expand(len(draws), -1, -1).clone().requires_grad_()
    log_prob = backbone.log_prob(each, draws[:, None].double())
    (scores,) = torch.autograd.grad(log_prob.sum(), each)
    return scores.pow(2).mean(0)


def _interpolated(
    values: Float[Tensor, "place token width"], at: Tensor, n_marks: int
) -> Float[Tensor, "mark token width"]:
    marks = torch.arange(n_marks)
    k = (torch.searchsorted(at, marks, right=True) - 1).clamp(0, max(len(at) - 2, 0))
    share = (marks - at[k]) / (at[k + 1] - at[k])
    return torch.lerp(values[k], values[k + 1], share[:, None, None].to(values))
