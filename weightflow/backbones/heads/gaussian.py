"""Mixture of Gaussians in standardised units: for continuous values.

p(x) = sum_c w_c N(y; m_c, s_c^2) / scale with y = (x - location) / scale; the last factor is the Jacobian, so that
log-densities are in the data's own units. A value is encoded by y.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.backbones.heads.mixture import components, first_bias, invert
from weightflow.types import Options

NARROWEST = 1e-3  # least standard deviation of a component, as a share of the pooled data's


class Gaussian(Options):
    """Weights, means and standard deviations of `components` Gaussians."""

    family: Literal["gaussian"] = "gaussian"
    components: int
    location: float
    scale: float

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
        """Log-density in the data's units, in nats."""
        mixture = components(params, math.log(NARROWEST))
        place = (self.encode(x) - mixture.means) * (-mixture.log_scales).exp()
        log_normal = -0.5 * place.square() - mixture.log_scales - 0.5 * math.log(2 * math.pi)
        return (mixture.log_weights + log_normal).logsumexp(-1) - math.log(self.scale)

    def quantile(self, params: Float[Tensor, "*shape row"], u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Value at which the cumulative distribution is `u`."""
        mixture = components(params, math.log(NARROWEST))
        weights, scales = mixture.log_weights.exp(), mixture.log_scales.exp()
        y = invert(
            lambda y: (weights * torch.special.ndtr((y[..., None] - mixture.means) / scales)).sum(-1),
            mixture.means + scales * torch.special.ndtri(u)[..., None],
            u,
        )
        return self.location + self.scale * y
