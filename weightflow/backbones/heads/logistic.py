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

from weightflow.backbones.heads.counts import only_counts
from weightflow.backbones.heads.mixture import Components, Mixture, components, invert

NARROWEST = 0.1  # least scale of a component, in halves of the narrowest bin: all of it can be one count's


class Logistic(Mixture):
    """Weights, means and scales of `components` logistics, for the `species` at these columns of the data.

    Attributes:
        species, components: as above.
        locations, scales: what the square roots of each species are standardised with.
        states: how many counts marginals list.
    """

    family: Literal["logistic"] = "logistic"
    states: int

    def encode(self, x: Float[Tensor, "*shape species"]) -> Float[Tensor, "*shape species feature"]:
        """The standardised square root, in the precision of `x`."""
        return self._standardised(x)[..., None]

    def log_prob(
        self, params: Float[Tensor, "*shape species row"], x: Float[Tensor, "*shape species"]
    ) -> Float[Tensor, "*shape species"]:
        """Log-probability of counts, in nats; minus infinity of what is no count."""
        return only_counts(self._log_mass(self._components(params), x), x)

    def log_masses(
        self, params: Float[Tensor, "*shape species row"], states: int
    ) -> Float[Tensor, "*shape species state"]:
        """Log-probability of the counts 0 .. states - 2, and of states - 1 or more."""
        mixture = self._components(params[..., None, :, :])
        counts = torch.arange(states, dtype=torch.float64, device=params.device)
        grid = counts[:, None].expand(*params.shape[:-2], -1, params.shape[-2])
        last = self._standardised(grid[..., -1, :] - 0.5).to(params.dtype)
        edge = (last[..., None, :, None] - mixture.means) * (-mixture.log_scales).exp()
        tail = (mixture.log_weights + logsigmoid(-edge)).logsumexp(-1)
        return torch.cat([self._log_mass(mixture, grid[..., :-1, :]), tail], -2).mT

    def mean_cumulative(
        self, params: Float[Tensor, "stack draw 1 row"], weights: Float[Tensor, "stack draw"], states: int
    ) -> Float[Tensor, "stack state"]:
        """Sum over weighted draws of the probability of at most 0, 1, .. states - 2, of this head's one species.

        Components and draws are one axis, so that one product sums over both.
        """
        mixture = self._components(params)
        counts = torch.arange(states - 1, dtype=torch.float64, device=params.device)
        edges = self._standardised(counts[:, None] + 0.5)[None, :, 0].to(params.dtype)
        rate = (-mixture.log_scales).exp()
        shares = (weights[..., None, None] * mixture.log_weights.exp()).flatten(1)
        rates, offsets = rate.flatten(1), (rate * mixture.means).flatten(1)
        places = torch.baddbmm(offsets[..., None], rates[..., None], edges.expand(len(rates), 1, -1), beta=-1)
        return (shares[:, None] @ places.sigmoid_())[:, 0]

    def quantile(
        self, params: Float[Tensor, "*shape species row"], u: Float[Tensor, "*shape species"]
    ) -> Float[Tensor, "*shape species"]:
        """Smallest count whose cumulative probability reaches `u`."""
        mixture = self._components(params)
        weights, scales = mixture.log_weights.exp(), mixture.log_scales.exp()
        y = invert(
            lambda y: (weights * torch.sigmoid((y[..., None] - mixture.means) / scales)).sum(-1),
            mixture.means + scales * torch.logit(u)[..., None],
            u,
        )
        root = u.new_tensor(self.locations) + u.new_tensor(self.scales) * y
        return (root.clamp(min=0).square() - 0.5).ceil().clamp(min=0) + 0.0  # no negative zero

    def _components(self, params: Float[Tensor, "*shape species row"]) -> Components:
        narrowest_bin = 0.5 / (params.new_tensor(self.scales) * math.sqrt(self.states))
        return components(params, (NARROWEST * narrowest_bin / 2).log()[:, None])

    def _standardised(self, x: Float[Tensor, "*shape species"]) -> Float[Tensor, "*shape species"]:
        return (x.clamp(min=0).sqrt() - x.new_tensor(self.locations)) / x.new_tensor(self.scales)

    def _log_mass(self, mixture: Components, x: Float[Tensor, "*shape species"]) -> Float[Tensor, "*shape species"]:
        dtype, rate = mixture.means.dtype, (-mixture.log_scales).exp()
        upper = (self._standardised(x + 0.5).to(dtype)[..., None] - mixture.means) * rate
        # sqrt(x + 1/2) - sqrt(x - 1/2), written so that nothing cancels
        bin_width = 1 / ((x + 0.5).sqrt() + (x - 0.5).clamp(min=0).sqrt())
        width = (bin_width / x.new_tensor(self.scales)).to(dtype)[..., None] * rate
        # S(b) - S(a) = S(b) S(-a) (1 - e^(a - b)): exact, however far out the bin lies
        inside = logsigmoid(upper) + logsigmoid(width - upper) + torch.log(-torch.expm1(-width))
        log_mass = torch.where(x[..., None] > 0, inside, logsigmoid(upper))
        return (mixture.log_weights + log_mass).logsumexp(-1)
