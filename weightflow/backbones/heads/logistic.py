r"""Mixture of discretised logistics (Salimans et al. 2017, PixelCNN++): for counts of any size.

With the logistic function S and the standardised count y = (x - location) / scale, half a bin being h = 1 / (2 scale),

    P(x) = sum_c w_c [S((y + h - m_c) / s_c) - S((y - h - m_c) / s_c)],    x = 1, 2, ..
    P(0) = sum_c w_c S((h - m_c) / s_c),

so that the probabilities of 0, 1, 2, .. sum to one whatever the largest count is: the number of weights does not grow
with it, and no count is impossible. A count is encoded by y.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from weightflow.backbones.heads.mixture import Components, components, first_bias, invert
from weightflow.types import Options

NARROWEST = 0.1  # least scale of a component, in half bins: all of its probability can be one count's


class Logistic(Options):
    """Weights, means and scales of `components` logistics; `states` counts are listed in marginals."""

    family: Literal["logistic"] = "logistic"
    components: int
    location: float
    scale: float
    states: int

    @property
    def rows(self) -> int:
        """Numbers that describe one conditional."""
        return 3 * self.components

    @property
    def features(self) -> int:
        """Length of an encoded value."""
        return 1

    def first_bias(self) -> Float[Tensor, "row"]:
        """Bias of the output layer before fitting: components spread over the pooled data."""
        return first_bias(self.components)

    def encode(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape feature"]:
        """The standardised value."""
        return ((x - self.location) / self.scale)[..., None]

    def log_prob(self, params: Float[Tensor, "*shape row"], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log-probability of counts, in nats."""
        return self._log_mass(self._components(params), x)

    def log_masses(self, params: Float[Tensor, "*shape row"]) -> Float[Tensor, "*shape state"]:
        """Log-probability of the counts 0 .. states - 2, and of states - 1 or more."""
        mixture = self._components(params[..., None, :])
        counts = torch.arange(self.states, dtype=params.dtype, device=params.device).expand(*params.shape[:-1], -1)
        masses = self._log_mass(mixture, counts[..., :-1])
        tail = mixture.log_weights + logsigmoid(-self._place(counts[..., -1:] - 0.5, mixture))
        return torch.cat([masses, tail.logsumexp(-1)], -1)

    def quantile(self, params: Float[Tensor, "*shape row"], u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Smallest count whose cumulative probability reaches `u`."""
        mixture = self._components(params)
        weights, scales = mixture.log_weights.exp(), mixture.log_scales.exp()
        y = invert(
            lambda y: (weights * torch.sigmoid((y[..., None] - mixture.means) / scales)).sum(-1),
            mixture.means + scales * torch.logit(u)[..., None],
            u,
        )
        return (self.location + self.scale * y - 0.5).ceil().clamp(min=0)

    @property
    def _half_bin(self) -> float:
        return 0.5 / self.scale

    def _components(self, params: Float[Tensor, "*shape row"]) -> Components:
        return components(params, math.log(NARROWEST * self._half_bin))

    def _place(self, x: Float[Tensor, "*shape"], mixture: Components) -> Float[Tensor, "*shape component"]:
        """Place of `x` relative to each component, in units of its scale."""
        return ((x[..., None] - self.location) / self.scale - mixture.means) * (-mixture.log_scales).exp()

    def _log_mass(self, mixture: Components, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        middle = self._place(x, mixture)
        half = self._half_bin * (-mixture.log_scales).exp()
        upper, lower = middle + half, middle - half
        # S(b) - S(a) = S(b) S(-a) (1 - e^(a - b)): nothing cancels, however far out the bin lies
        inside = logsigmoid(upper) + logsigmoid(-lower) + torch.log(-torch.expm1(-2 * half))
        log_mass = torch.where(x[..., None] > 0, inside, logsigmoid(upper))
        return (mixture.log_weights + log_mass).logsumexp(-1)
