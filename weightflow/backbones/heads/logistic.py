r"""Mixture of discretised logistics (Salimans et al. 2017, PixelCNN++) on the square-root scale: counts of any size.

With the logistic function S and an edge e on the standardised square-root scale, y(e) = (sqrt(e) - location) / scale,

    P(x) = sum_c w_c [S((y(x + 1/2) - m_c) / s_c) - S((y(x - 1/2) - m_c) / s_c)],    x = 1, 2, ..
    P(0) = sum_c w_c S((y(1/2) - m_c) / s_c),

so that the probabilities of 0, 1, 2, .. sum to one whatever the largest count is: the number of weights does not grow
with it, and no count is impossible. The square root makes the spread of counts even (Anscombe 1948). A count is encoded
by y(x).
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from weightflow.backbones.heads.mixture import Components, components, first_bias, invert
from weightflow.types import Options

NARROWEST = 0.1  # least scale of a component, in halves of the narrowest bin: all of it can be one count's


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
        """The standardised square root."""
        return self._standardised(x)[..., None]

    def log_prob(self, params: Float[Tensor, "*shape row"], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log-probability of counts, in nats."""
        return self._log_mass(self._components(params), x)

    def log_masses(self, params: Float[Tensor, "*shape row"]) -> Float[Tensor, "*shape state"]:
        """Log-probability of the counts 0 .. states - 2, and of states - 1 or more."""
        mixture = self._components(params[..., None, :])
        counts = torch.arange(self.states, dtype=params.dtype, device=params.device).expand(*params.shape[:-1], -1)
        masses = self._log_mass(mixture, counts[..., :-1])
        edge = (self._standardised(counts[..., -1:] - 0.5)[..., None] - mixture.means) * (-mixture.log_scales).exp()
        return torch.cat([masses, (mixture.log_weights + logsigmoid(-edge)).logsumexp(-1)], -1)

    def quantile(self, params: Float[Tensor, "*shape row"], u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Smallest count whose cumulative probability reaches `u`."""
        mixture = self._components(params)
        weights, scales = mixture.log_weights.exp(), mixture.log_scales.exp()
        y = invert(
            lambda y: (weights * torch.sigmoid((y[..., None] - mixture.means) / scales)).sum(-1),
            mixture.means + scales * torch.logit(u)[..., None],
            u,
        )
        return ((self.location + self.scale * y).clamp(min=0).square() - 0.5).ceil().clamp(min=0)

    def _components(self, params: Float[Tensor, "*shape row"]) -> Components:
        narrowest_bin = 0.5 / (self.scale * math.sqrt(self.states))
        return components(params, math.log(NARROWEST * narrowest_bin / 2))

    def _standardised(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return (x.clamp(min=0).sqrt() - self.location) / self.scale

    def _log_mass(self, mixture: Components, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        rate = (-mixture.log_scales).exp()
        upper = (self._standardised(x + 0.5)[..., None] - mixture.means) * rate
        # sqrt(x + 1/2) - sqrt(x - 1/2), written so that nothing cancels
        bin_width = 1 / ((x + 0.5).sqrt() + (x - 0.5).clamp(min=0).sqrt())
        width = (bin_width / self.scale)[..., None] * rate
        # S(b) - S(a) = S(b) S(-a) (1 - e^(a - b)): exact, however far out the bin lies
        inside = logsigmoid(upper) + logsigmoid(width - upper) + torch.log(-torch.expm1(-width))
        log_mass = torch.where(x[..., None] > 0, inside, logsigmoid(upper))
        return (mixture.log_weights + log_mass).logsumexp(-1)
