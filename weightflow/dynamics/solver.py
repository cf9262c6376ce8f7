"""Solutions of a vector field on windows of the clock. The only module that imports torchdiffeq."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchdiffeq import odeint

from weightflow.dynamics.field import VectorField
from weightflow.dynamics.options import Solver


@dataclass(frozen=True)
class Solution:
    """Weights and their slopes at evenly spaced marks of each window, with a value at every time between.

    Attributes:
        begin, end: clock times of each window, shape (window,).
        tokens: shape (window, mark, token, width).
        slopes: dtheta/dt at the marks, same shape.
    """

    begin: Float[Tensor, "window"]
    end: Float[Tensor, "window"]
    tokens: Float[Tensor, "window mark token width"]
    slopes: Float[Tensor, "window mark token width"]

    def at(self, t: Float[Tensor, "window query"]) -> Float[Tensor, "window query token width"]:
        """Interpolate by cubic Hermite polynomials, of fourth order as rk4 is; `t` inside each window."""
        steps = self.tokens.shape[1] - 1
        length = (self.end - self.begin)[:, None] / steps
        place = (t - self.begin[:, None]) / length
        k = place.floor().long().clamp(0, steps - 1)
        s = (place - k)[..., None, None]
        rows = torch.arange(len(t), device=t.device)[:, None]
        h = length[..., None, None]
        return (
            (1 + 2 * s) * (1 - s) ** 2 * self.tokens[rows, k]
            + s * (1 - s) ** 2 * h * self.slopes[rows, k]
            + s**2 * (3 - 2 * s) * self.tokens[rows, k + 1]
            + s**2 * (s - 1) * h * self.slopes[rows, k + 1]
        )

    @property
    def energy(self) -> Float[Tensor, "window"]:
        """Path energy of each window, the integral of 1/2 |dtheta/dt|^2, by the trapezoidal rule over the marks."""
        power = 0.5 * self.slopes.pow(2).sum((2, 3))
        return torch.trapezoid(power, dim=1) * (self.end - self.begin) / (self.tokens.shape[1] - 1)


def solve(
    field: VectorField,
    start: Float[Tensor, "window token width"],
    begin: Float[Tensor, "window"],
    end: Float[Tensor, "window"],
    steps: int,
    solver: Solver = Solver.RK4,
    tolerance: float = 1e-3,
) -> Solution:
    """Integrate each window on its own stretch of the clock, all windows as one batch.

    A fixed-step method takes `steps` equal steps; an adaptive one chooses its own and is read at the same marks.
    """
    spans = end - begin

    def on_unit_interval(s: Tensor, tokens: Tensor) -> Tensor:
        # window w runs over t = begin + s (end - begin): it sees the field at its own absolute times
        return spans[:, None, None] * field(begin + s * spans, tokens)

    marks = torch.linspace(0.0, 1.0, steps + 1, device=start.device, dtype=start.dtype)
    settings: dict[str, Any] = {}
    if solver.adaptive:
        # steps end at the marks: by default they reach over them, even beyond the window, where a control path ends
        settings = {"rtol": tolerance, "atol": 0.1 * tolerance, "options": {"step_t": marks}}
    solution = odeint(on_unit_interval, start, marks, method=solver.value, **settings)
    tokens = torch.stack(tuple(solution), 1)
    times = begin[:, None] + marks * spans[:, None]
    slopes = field(times.flatten(), tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
    return Solution(begin, end, tokens, slopes)
