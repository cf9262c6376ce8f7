"""Sampling of some species given the values of others.

A walk over the species in the backbone's order puts a given value where it stands, so that all species after it are
drawn from their exact conditionals, and those before it as if they knew nothing of it. Where no drawn species comes
before a given one, that is exact. Elsewhere many candidates are walked, each weighs

    w = prod over given i of p(x_i | x_1 .. x_{i-1}),

and those that stay are chosen by their weights (sampling and importance resampling, Rubin 1987): right in the limit of
many candidates, of which as many are made as it takes for their effective number 1 / sum w^2 to be `ENOUGH` times the
samples that are asked for. Constant species tell the others nothing: giving them changes nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.backbones import Backbone
from weightflow.data.words import written
from weightflow.errors import InputError
from weightflow.model.engine import Engine
from weightflow.types import Kind

ENOUGH = 4  # effective candidates for each sample
FIRST, FEWEST, MORE = 16, 4_000, 4  # candidates for each sample, in all, and the factor by which they grow
Uniforms = Callable[[int], Tensor]  # so many rows of numbers in (0, 1)


@dataclass(frozen=True)
class Given:
    """Values of some species.

    Attributes:
        values: by the column of the species.
        words: as the user gave them.
    """

    values: Mapping[int, float]
    words: str

    @classmethod
    def of(cls, given: Mapping[str, float], species: Sequence[str], kinds: Sequence[Kind]) -> "Given":
        """Take values by the names of species.

        Raises:
            InputError: a name is not known, a value is not possible, or no species is left to be drawn.
        """
        known = dict(zip(species, kinds, strict=True))
        for name, value in given.items():
            if name not in known:
                raise InputError(f"`given` names `{name}`, which the model does not have; it has {', '.join(species)}.")
            if not np.isfinite(value) or (known[name] is Kind.COUNTS and (value < 0 or value != np.rint(value))):
                what = "a whole number, not negative" if known[name] is Kind.COUNTS else "a finite number"
                raise InputError(f"`given` has {name}={value:g}, but `{name}` is of kind {known[name]}: give {what}.")
        if len(given) == len(species):
            raise InputError("`given` has a value for every species, and none is left to be drawn; leave one out.")
        words = ", ".join(f"{name}={value:g}" for name, value in given.items())
        return cls({species.index(name): float(value) for name, value in given.items()}, words)

    def walked(self, backbone: Backbone) -> tuple[int, ...]:
        """Return the given species that vary, in the order of the walk."""
        return tuple(i for i in backbone.order if i in self.values)

    def first(self, backbone: Backbone) -> bool:
        """Whether no species that is drawn comes before a given one: then one walk is exact."""
        walked = self.walked(backbone)
        return backbone.order[: len(walked)] == walked


def resampled(
    engine: Engine,
    tokens: Float[Tensor, "1 token width"],
    given: Given,
    n: int,
    uniforms: Uniforms,
    generator: torch.Generator,
    when: float,
) -> Float[Tensor, "n dim"]:
    """Draw `n` samples at one time by importance.

    Raises:
        InputError: the given values are so improbable that too few candidates agree with them.
    """
    backbone = engine.backbone
    candidates = max(FIRST * n, FEWEST)
    most = max(candidates, engine.max_values // backbone.dim)
    while True:
        numbers = uniforms(candidates)[None]
        cloud = engine.over_draws(partial(backbone.sample, given=given.values), tokens, numbers)
        weigh = partial(backbone.log_prob, species=given.walked(backbone))
        weights = (engine.over_draws(weigh, tokens, cloud)[0]).softmax(0).nan_to_num(0.0)
        effective = float(weights.sum() ** 2 / weights.square().sum().clamp(min=torch.finfo(weights.dtype).tiny))
        if effective >= ENOUGH * n:
            return cloud[0][_chosen(weights, n, generator)]
        if candidates >= most:
            raise InputError(
                f"at t={written(when)} the values {given.words} are improbable: of {candidates:,} candidates "
                f"{effective:.0f} "
                f"count, and {ENOUGH * n:,} must for {n:,} samples; ask for fewer samples or likelier values, or fit "
                "with these species before the others, where any values are drawn from exactly."
            )
        candidates = min(MORE * candidates, most)


def _chosen(weights: Float[Tensor, "candidate"], n: int, generator: torch.Generator) -> Tensor:
    """Choose by weight, at even steps (systematic resampling), and shuffle: any part is as good as any other."""
    start = torch.rand(1, generator=generator, dtype=torch.float64)
    places = (torch.arange(n, dtype=torch.float64) + start) / n
    chosen = torch.searchsorted(weights.cumsum(0), places * weights.sum()).clamp(max=len(weights) - 1)
    return chosen[torch.randperm(n, generator=generator)]
