"""Mixture of Gaussians in standardised units: for continuous values.

p(x) = sum_c w_c N(y; m_c, s_c^2) / scale with y = (x - location) / scale; the last factor is the Jacobian, so that
log-densities are in the data's own units. A value is encoded by y.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.backbones.heads.mixture import Mixture, components, invert

NARROWEST = 1e-3  # least standard deviation of a component, as a share of the pooled data's


class Gaussian(Mixture):
    """Weights, means and standard deviations of `components` Gaussians, for the `species` at these columns of the data.

    Attributes:
        species, components: as above.
        locations, scales: what the values of each species are standardised with.
    """

    family: Literal["gaussian"] = "gaussian"

    def encode(self, x: Float[Tensor, "*shape species"]) -> Float[Tensor, "*shape species feature"]:
        """The standardised value, in the precision of `x`."""
        return ((x - x.new_tensor(self.locations)) / x.new_tensor(self.scales))[..., None]

    def log_prob(
        self, params: Float[Tensor, "*shape species row"], x: Float[Tensor, "*shape species"]
    ) -> Float[Tensor, "*shape species"]:
        """Log-density in the data's units, in nats."""
        mixture = components(params, params.new_tensor([[math.log(NARROWEST)]]))
        place = (self.encode(x).to(params.dtype) - mixture.means) * (-mixture.log_scales).exp()
        log_normal = -0.5 * place.square() - mixture.log_scales - 0.5 * math.log(2 * math.pi)
        return (mixture.log_weights + log_normal).logsumexp(-1) - x.new_tensor(self.scales).log().to(params.dtype)

    def quantile(
        self, params: Float[Tensor, "*shape species row"], u: Float[Tensor, "*shape species"]
    ) -> Float[Tensor, "*shape species"]:
        """Value at which the cumulative distribution is `u`."""
        mixture = components(params, params.new_tensor([[math.log(NARROWEST)]]))
        weights, scales = mixture.log_weights.exp(), mixture.log_scales.exp()
        y = invert(
            lambda y: (weights * torch.special.ndtr((y[..., None] - mixture.means) / scales)).sum(-1),
            mixture.means + scales * torch.special.ndtri(u)[..., None],
            u,
        )
        return u.new_tensor(self.locations) + u.new_tensor(self.scales) * y
