"""The direct path: weights as a function of time, and of a condition, without a differential equation.

theta(s, c) = theta_0 + MLP(features of s, features of c). It fits snapshots as well as a rollout does and costs less.
Nothing leads it beyond the fitted span, though: there it is merely evaluated, and what it gives is no forecast.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

FREQUENCIES = 4
TIME_FEATURES = 2 * FREQUENCIES + 3
EARLY = 1e-2  # share of the span within which a point start spreads


class Direct(nn.Module):
    """theta at s, physical time over the fitted span; a model with this path has a uniform clock, which is s.

    Attributes:
        base: theta_0; training starts from these weights at all times, up to a small random deviation.
        used: 1 where a token holds a weight, 0 where it is padded, as the layout's `mask` says.
        shared_start: where there are conditions: 1 if all have the same weights at s = 0, else 0.
    """

    used: Float[Tensor, "token width"]
    shared_start: Float[Tensor, ""]

    def __init__(
        self,
        base: Float[Tensor, "token width"],
        width: int,
        mask: Bool[Tensor, "token width"],
        channels: int = 0,
        shared_start: bool = False,
    ) -> None:
        super().__init__()
        self.base = nn.Parameter(base.clone())
        self.channels = channels
        self.hidden = nn.Sequential(
            nn.Linear(TIME_FEATURES + channels, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.out = nn.Linear(width, base.numel())
        nn.init.normal_(self.out.weight, std=1e-3)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("used", mask.to(base), persistent=False)
        self.register_buffer("shared_start", torch.tensor(float(shared_start)), persistent=channels > 0)

    @classmethod
    def of_state(cls, state: dict[str, Tensor], mask: Bool[Tensor, "token width"]) -> "Direct":
        """Build the path that `state_dict` has written."""
        channels = state["hidden.0.weight"].shape[1] - TIME_FEATURES
        path = cls(torch.zeros_like(state["base"]), len(state["out.weight"][0]), mask, channels)
        path.load_state_dict(state)
        return path.eval()

    def forward(
        self, s: Float[Tensor, "query"], code: Float[Tensor, "#query feature"] | None = None
    ) -> Float[Tensor, "query token width"]:
        """Return the weights at `s`; `code` is what is seen of the condition, for each of them or for all."""
        features = direct_features(s)
        if self.channels:
            features = torch.cat([features, self._seen(s, code)], 1)
        return (self.base + self.out(self.hidden(features)).unflatten(-1, self.base.shape)) * self.used

    def weights(self, t: Float[Tensor, "query"]) -> Float[Tensor, "query token width"]:
        """Return the weights at clock times, in any order, from 0 on; beyond 1 they are no forecasts."""
        return self(t)

    def each(
        self, t: Float[Tensor, "query"], codes: Float[Tensor, "condition feature"]
    ) -> Float[Tensor, "condition query token width"]:
        """Return the weights at clock times under each of some conditions."""
        n = len(codes)
        return self(t.repeat(n), codes.repeat_interleave(len(t), 0)).unflatten(0, (n, len(t)))

    def _seen(
        self, s: Float[Tensor, "query"], code: Float[Tensor, "#query feature"] | None
    ) -> Float[Tensor, "query feature"]:
        """Return the condition, which fades in from a start that all share.

        Raises:
            ValueError: there is none.
        """
        if code is None:
            raise ValueError("a path of several conditions was asked for none")
        there = 1 - self.shared_start * torch.exp(-s.clamp(min=0) / EARLY)
        return there[:, None] * code


def direct_features(s: Float[Tensor, "query"]) -> Float[Tensor, "query feature"]:
    """Time, sines and cosines, and two features that resolve the fast change after a point start."""
    angles = math.pi * s[:, None] * 2.0 ** torch.arange(FREQUENCIES, device=s.device)
    early = s[:, None] + EARLY
    return torch.cat([s[:, None], angles.sin(), angles.cos(), early.sqrt(), early.log()], 1)
