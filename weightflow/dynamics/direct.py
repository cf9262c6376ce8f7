"""The direct path: weights as a function of time, without a differential equation.

theta(s) = theta_0 + MLP(features of s). It fits snapshots as well as a rollout does and costs less. Nothing leads it
beyond the fitted span, though: there it is merely evaluated, and what it gives is no forecast.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

FREQUENCIES = 4
EARLY = 1e-2  # share of the span within which a point start spreads


class Direct(nn.Module):
    """theta at s, physical time over the fitted span; a model with this path has a uniform clock, which is s.

    Attributes:
        base: theta_0; training starts from these weights at all times, up to a small random deviation.
        used: 1 where a token holds a weight, 0 where it is padded, as the layout's `mask` says.
    """

    used: Float[Tensor, "token width"]

    def __init__(self, base: Float[Tensor, "token width"], width: int, mask: Bool[Tensor, "token width"]) -> None:
        super().__init__()
        self.base = nn.Parameter(base.clone())
        self.hidden = nn.Sequential(
            nn.Linear(2 * FREQUENCIES + 3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.out = nn.Linear(width, base.numel())
        nn.init.normal_(self.out.weight, std=1e-3)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("used", mask.to(base), persistent=False)

    @classmethod
    def of_state(cls, state: dict[str, Tensor], mask: Bool[Tensor, "token width"]) -> "Direct":
        """Build the path that `state_dict` has written."""
        path = cls(torch.zeros_like(state["base"]), len(state["out.weight"][0]), mask)
        path.load_state_dict(state)
        return path.eval()

    def forward(self, s: Float[Tensor, "query"]) -> Float[Tensor, "query token width"]:
        """Return the weights at `s`."""
        return (self.base + self.out(self.hidden(direct_features(s))).unflatten(-1, self.base.shape)) * self.used

    def weights(self, t: Float[Tensor, "query"]) -> Float[Tensor, "query token width"]:
        """Return the weights at clock times, in any order, from 0 on; beyond 1 they are no forecasts."""
        return self(t)


def direct_features(s: Float[Tensor, "query"]) -> Float[Tensor, "query feature"]:
    """Time, sines and cosines, and two features that resolve the fast change after a point start."""
    angles = math.pi * s[:, None] * 2.0 ** torch.arange(FREQUENCIES, device=s.device)
    early = s[:, None] + EARLY
    return torch.cat([s[:, None], angles.sin(), angles.cos(), early.sqrt(), early.log()], 1)
