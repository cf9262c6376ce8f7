"""Solutions of a vector field on windows of the clock. The only module that imports torchdiffeq."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchdiffeq import odeint, odeint_adjoint

from weightflow.dynamics.field import VectorField
from weightflow.dynamics.options import Memory, Solver, SolverOptions
from weightflow.dynamics.runge_kutta import TABLEAUS, march
from weightflow.errors import TrainingError

COASTED, SLOWING = 1 / 8, 5.0
ADAMS_TERMS = 5  # a multistep method of order 4; torchdiffeq counts the slope it is about to evaluate


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

    def coasting(self, t: Float[Tensor, "window query"]) -> Float[Tensor, "window query token width"]:
        """Interpolate inside each window; beyond its end the weights go on as they went, slower and slower.

        With v the mean velocity over the last `COASTED` of the clock, theta(end + s) is
        theta(end) + v (1 - exp(-k s)) / k, k = `SLOWING`.
        """
        end = self.end[:, None]
        inside = self.at(torch.minimum(t, end))
        before, last = self.at(torch.cat([end - COASTED, end], 1)).unbind(1)
        velocity = (last - before)[:, None] / COASTED
        return inside + velocity * (-torch.expm1(-SLOWING * (t - end).clamp(min=0.0)) / SLOWING)[..., None, None]

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
    options: SolverOptions | None = None,
) -> Solution:
    """Integrate each window on its own stretch of the clock, all windows as one batch.

    A fixed-step method takes `options.substeps` equal steps between two of the `steps` + 1 marks; an adaptive one
    chooses its own, the same for all windows, and lands on the marks.

    Raises:
        TrainingError: an adaptive method's steps become too many or too short.
    """
    chosen = options or SolverOptions()
    memory = chosen.memory if torch.is_grad_enabled() else Memory.STORE
    evaluate = field if memory is Memory.STORE else _recomputed(field)
    marks = torch.linspace(0.0, 1.0, steps + 1, device=start.device, dtype=start.dtype)
    system = _OnUnitInterval(field if memory is Memory.ADJOINT else evaluate, begin, end, chosen)
    settings: dict[str, Any] = {"method": chosen.solver.value, "rtol": chosen.rtol, "atol": chosen.atol}
    settings["options"] = _method_options(chosen, marks)
    if memory is not Memory.ADJOINT and chosen.solver in TABLEAUS:
        states = march(system, start, steps * chosen.substeps, chosen.solver)
        solution = islice(states, 0, None, chosen.substeps)
    elif memory is Memory.ADJOINT:
        parameters = tuple(field.parameters()) if isinstance(field, nn.Module) else ()
        # no state depends on the parameters' gradient: its error need not hold back the steps (Kidger et al. 2021)
        backwards = {**settings["options"], "norm": "seminorm"} if chosen.solver.adaptive else settings["options"]
        solution = odeint_adjoint(
            system, start, marks, adjoint_params=parameters, adjoint_options=backwards, **settings
        )
    else:
        solution = odeint(system, start, marks, **settings)
    tokens = torch.stack(tuple(solution), 1)
    times = begin[:, None] + marks * (end - begin)[:, None]
    return Solution(begin, end, tokens, _slopes(evaluate, times, tokens, at_once=memory is Memory.STORE))


class _OnUnitInterval:
    """The field with every window's clock stretched to [0, 1]: window w sees it at its own absolute times.

    torchdiffeq calls `callback_step` before each step (`callback_step_adjoint` on the way back), which is where an
    adaptive method is stopped that would go on for ever.
    """

    def __init__(self, field: VectorField, begin: Tensor, end: Tensor, options: SolverOptions) -> None:
        self.field = field
        self.begin = begin
        self.spans = end - begin
        self.options = options
        self.taken = 0

    def __call__(self, s: Float[Tensor, ""] | float, tokens: Float[Tensor, "window token width"]) -> Tensor:
        # a trial step may reach over the last mark, where a control path has ended
        t = self.begin + (s.clamp(0.0, 1.0) if isinstance(s, Tensor) else s) * self.spans
        return self.spans[:, None, None] * self.field(t, tokens)

    def callback_step(self, s: Tensor, state: Tensor | tuple[Tensor, ...], step: Tensor) -> None:
        if not self.options.solver.adaptive:
            return
        self.taken += 1
        parts = state if isinstance(state, tuple) else (state,)
        if not all(bool(part.isfinite().all()) for part in parts):
            reason = "a value is no longer finite"
        elif not bool(s.abs() + step > s.abs()):
            reason = "its steps have shrunk to nothing"
        elif self.taken > self.options.max_steps:
            reason = f"it took `dynamics.max_steps`={self.options.max_steps}"
        else:
            return
        raise TrainingError(
            f"the solver {self.options.solver} gave up at {float(s):.3g} of its stretch of the clock: {reason}. The "
            "field is too steep there; lower `training.learning_rate`, raise `dynamics.rtol` and `dynamics.atol` (now "
            f"{self.options.rtol:g} and {self.options.atol:g}), or take a fixed-step `dynamics.solver`."
        )

    callback_step_adjoint = callback_step


def _method_options(options: SolverOptions, marks: Tensor) -> dict[str, Any]:
    if options.solver.adaptive:
        # The first step is tried up to the first mark: torchdiffeq's own guess depends on the length of the window, and
        # weights at one time must not depend on how far a rollout goes on. `step_t` cuts steps that reach over a mark.
        return {"step_t": marks, "first_step": 1.01 * float(marks[1])}
    extra = {"max_order": ADAMS_TERMS} if options.solver is Solver.EXPLICIT_ADAMS else {}
    return {"grid_constructor": _subdivision(options.substeps), **extra}


def _subdivision(substeps: int) -> Callable[[Any, Tensor, Tensor], Tensor]:
    """Return torchdiffeq's way to say how the stretches between marks are divided."""

    def grid(_system: Any, _start: Tensor, marks: Tensor) -> Tensor:
        parts = torch.arange(substeps, device=marks.device, dtype=marks.dtype) / substeps
        inner = marks[:-1, None] + parts * (marks[1:] - marks[:-1])[:, None]
        return torch.cat([inner.flatten(), marks[-1:]])

    return grid


def _recomputed(field: VectorField) -> VectorField:
    """Return the field, forgetting what is inside an evaluation and evaluating again when its gradient is asked for."""

    def evaluate(t: Tensor, tokens: Tensor) -> Tensor:
        speed: Tensor = checkpoint(field, t, tokens, use_reentrant=False)
        return speed

    return evaluate


def _slopes(
    field: VectorField,
    times: Float[Tensor, "window mark"],
    tokens: Float[Tensor, "window mark token width"],
    at_once: bool,
) -> Float[Tensor, "window mark token width"]:
    """Evaluate the field at all marks: as one batch, which is fast, or one after the other, which is small."""
    if at_once:
        return field(times.flatten(), tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
    return torch.stack([field(t, x) for t, x in zip(times.unbind(1), tokens.unbind(1), strict=True)], 1)
