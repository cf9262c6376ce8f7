"""Probabilities of each count of each species by itself."""

import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.backbones import Backbone
from weightflow.model.engine import Engine

MAX_STATES = 20_000  # they are summed exactly over at most this many prefixes


def listable(backbone: Backbone) -> bool:
    """Whether the states of all species but the last can be listed.

    Raises:
        InputError: a species is continuous.
    """
    return backbone.states ** (len(backbone.order) - 1) <= MAX_STATES


def exact_marginals(
    engine: Engine, tokens: Float[Tensor, "1 token width"], states: int
) -> Float[Tensor, "1 dim state"]:
    """Sum over all states of the species but the last one described; what lies beyond the states has no weight."""
    backbone, described = engine.backbone, engine.backbone.order[:-1]
    values = torch.arange(backbone.states, dtype=torch.float64, device=tokens.device)
    prefixes = torch.cartesian_prod(*[values] * len(described)).reshape(-1, len(described)) if described else None
    grid = values.new_zeros(1, 1 if prefixes is None else len(prefixes), backbone.dim)
    if prefixes is not None:
        grid[0, :, list(described)] = prefixes
    parts = grid.split(max(1, engine.max_values // backbone.held), 1)
    with torch.no_grad():
        weights = torch.cat([backbone.log_prob(tokens, part, species=described) for part in parts], 1).exp()
        shares = weights / weights.sum(1, keepdim=True)
        return backbone.marginals(tokens, grid, shares, engine.max_values, states)


def drawn_marginals(
    engine: Engine,
    tokens: Float[Tensor, "1 token width"],
    samples: Float[Tensor, "draw dim"],
    states: int,
) -> Float[Tensor, "1 dim state"]:
    """Average the exact conditionals over samples of the model itself."""
    cloud = samples[None].to(tokens.device)
    shares = cloud.new_full((1, len(samples)), 1.0 / len(samples))
    with torch.no_grad():
        return engine.backbone.marginals(tokens, cloud, shares, engine.max_values, states)
