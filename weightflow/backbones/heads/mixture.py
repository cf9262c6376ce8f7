"""What mixtures have in common: their parameters, and the inverse of their cumulative distribution."""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.types import Options

HALVINGS = 32  # of a bracket: what is left is far narrower than any component but those within a single count


class Components(NamedTuple):
    """Parameters of a mixture in standardised units, each of shape (*shape, component)."""

    log_weights: Tensor
    means: Tensor
    log_scales: Tensor


SomeMixture = TypeVar("SomeMixture", bound="Mixture")


class Mixture(Options):
    """A head whose conditionals are mixtures: three numbers for each component."""

    species: tuple[int, ...]
    components: int
    locations: tuple[float, ...]
    scales: tuple[float, ...]

    @property
    def rows(self) -> int:
        """Numbers that describe one conditional."""
        return 3 * self.components

    @property
    def features(self) -> int:
        """Length of an encoded value."""
        return 1

    def take(self: SomeMixture, k: int) -> SomeMixture:
        """Return the head of the k-th of its species alone."""
        one = slice(k, k + 1)
        parts = {"species": self.species[one], "locations": self.locations[one], "scales": self.scales[one]}
        return self.model_copy(update=parts)

    def first_bias(self) -> Float[Tensor, "row"]:
        """Bias of the output layer before fitting: equal weights, means spread over the data, scales that overlap."""
        n = self.components
        means = torch.linspace(-1.2, 1.2, n) if n > 1 else torch.zeros(1)
        return torch.cat([torch.zeros(n), means, torch.full((n,), math.log(0.6))])


def components(params: Float[Tensor, "*shape row"], lowest: Float[Tensor, "#species 1"]) -> Components:
    """Split the numbers of conditionals; log-scales stay above `lowest`, smoothly, so that gradients live on."""
    logits, means, scales = params.chunk(3, -1)
    return Components(logits.log_softmax(-1), means, lowest + torch.nn.functional.softplus(scales - lowest))


def invert(
    cdf: Callable[[Tensor], Tensor], quantiles: Float[Tensor, "*shape component"], u: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Solve cdf(y) = u: a mixture's quantile lies between the least and the greatest of its parts'.

    The bracket is halved until the distribution is straight in it, and the rest is the straight line's.
    """
    low, high = quantiles.amin(-1), quantiles.amax(-1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = cdf(middle) >= u
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    under = cdf(low)
    share = (u - under) / (cdf(high) - under).clamp(min=torch.finfo(u.dtype).tiny)
    return low + (high - low) * share.clamp(0, 1)
