"""Species that are constant in all fitted data: drawn as exactly that constant, whatever the weights are.

Another value may still turn up, such as a gene that is switched on after the fitted times, and must not make a score
infinite. The constant c therefore has the probability 1 - e with e = 1e-6, and what remains is spread over all other
values, wide, because nothing is known of them:

- counts, at the distance d = |x - c|: P(x) = e / (d (d + 1)), half of it on either side as long as there are two. The
  sum of 1 / (d (d + 1)) over d = 1, 2, .. is one.
- continuous values: the density e / (pi s (1 + (d / s)^2)) (Cauchy) with s = |c|, or one data unit where c is zero. It
  is a density with respect to Lebesgue measure plus a unit mass at c; values that differ from c by rounding are c.

Such a species is no part of the walk: it tells the others nothing, and has no weights.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.backbones.heads.counts import only_counts
from weightflow.data.spread import ROUNDING
from weightflow.types import Options

OTHER = 1e-6  # probability of all other values


class Constant(Options):
    """Constants of the `species` at these columns of the data.

    Attributes:
        species: as above.
        values: their constants, in the data's units.
        counts: which of them are counts.
    """

    species: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    counts: tuple[bool, ...] = ()

    @property
    def states(self) -> int:
        """How many counts marginals list: the constants, and what is larger."""
        return 2 + int(max((value for value, count in zip(self.values, self.counts, strict=True) if count), default=0))

    def log_prob(self, x: Float[Tensor, "*shape species"]) -> Float[Tensor, "*shape species"]:
        """Log-probability of counts, log-density of continuous values, in nats."""
        value, count = x.new_tensor(self.values), torch.tensor(self.counts, dtype=torch.bool, device=x.device)
        distance = (x - value).abs()
        other = math.log(OTHER) + torch.where(count, _log_other_count(distance, value), _log_cauchy(distance, value))
        same = distance <= torch.where(count, torch.zeros_like(value), ROUNDING * value.abs())
        log_prob = torch.where(same, math.log1p(-OTHER), other)
        return torch.where(count, only_counts(log_prob, x), log_prob)

    def masses(self, states: int) -> Float[Tensor, "species state"]:
        """Probability of the counts 0 .. states - 2, and of states - 1 or more."""
        counts = torch.arange(states - 1, dtype=torch.float64)
        listed = self.log_prob(counts[:, None].expand(-1, len(self.species))).exp().mT
        return torch.cat([listed, 1 - listed.sum(1, keepdim=True)], 1)


def _log_other_count(distance: Tensor, value: Tensor) -> Tensor:
    """Of a count at this distance among all others; below zero there are none to share with."""
    return -distance.log() - distance.log1p() - torch.where(distance <= value, math.log(2), 0.0)


def _log_cauchy(distance: Tensor, value: Tensor) -> Tensor:
    scale = torch.where(value == 0, 1.0, value.abs())
    return -(math.pi * scale).log() - (distance / scale).square().log1p()
