"""Weights as a function of the clock: what a model is made of."""

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from weightflow.dynamics.direct import Direct
from weightflow.dynamics.field import CDEField, FieldUnder, ODEField
from weightflow.dynamics.options import DynamicsOptions
from weightflow.dynamics.solver import Solution, solve


@runtime_checkable
class WeightPath(Protocol):
    """theta(t)."""

    def weights(self, t: Float[Tensor, "query"]) -> Float[Tensor, "query token width"]:
        """Return the weights at clock times, in any order, from 0 on; beyond 1 they are forecasts."""
        ...


class Rollout(nn.Module):
    """The solution of a vector field that starts at clock 0.

    Attributes:
        start: weights there; of several conditions, those of the middle one.
        field: dtheta/dt.
        options: how it is solved.
        origin: where there are several conditions, a direct path that has the start of each; it is not trained.
        coasts: whether beyond clock 1 the weights go on as they last went, slower and slower (`Solution.coasting`),
            instead of as the field says. A field that sees the clock knows there how to lead back to the path's end,
            and not where the path goes.
    """

    start: Tensor

    def __init__(
        self,
        start: Float[Tensor, "token width"],
        field: ODEField | CDEField,
        options: DynamicsOptions,
        origin: Direct | None = None,
        coasts: bool = False,
    ) -> None:
        super().__init__()
        self.coasts = coasts
        self.register_buffer("start", start)
        self.field = field
        self.options = options
        self.origin = None if origin is None else origin.requires_grad_(False)

    def solution(self, end: float = 1.0, codes: Float[Tensor, "window feature"] | None = None) -> Solution:
        """Solve from 0 to `end`, with the same step length whatever the end; under each of some conditions."""
        options, steps = self.options, round(end * self.options.steps)
        zero = self.start.new_zeros(1 if codes is None else len(codes))
        if codes is None or self.origin is None:
            return solve(self.field, self.start[None], zero, zero + end, steps, options)
        field = FieldUnder(self.field, codes)
        return solve(field, self.origin(zero, codes), zero, zero + end, steps, options)

    def weights(self, t: Float[Tensor, "query"]) -> Float[Tensor, "query token width"]:
        """Return the weights at clock times; the answer at one time does not depend on the others."""
        return self.read(self.solution(self.end(t)), t[None])[0]

    def each(
        self, t: Float[Tensor, "query"], codes: Float[Tensor, "condition feature"]
    ) -> Float[Tensor, "condition query token width"]:
        """Return the weights at clock times under each of some conditions."""
        return self.read(self.solution(self.end(t), codes), t.expand(len(codes), -1))

    def read(self, solution: Solution, t: Float[Tensor, "window query"]) -> Float[Tensor, "window query token width"]:
        """Return the weights at clock times from a solution that reaches their `end`."""
        return solution.coasting(t) if self.coasts else solution.at(t)

    def end(self, t: Float[Tensor, "query"]) -> float:
        """Return the clock time that a solution reaches which answers for these times."""
        steps = self.options.steps
        if self.coasts:
            return 1.0
        return max(1.0, math.ceil(float(t.max()) * steps - 1e-6) / steps)


class Solved(nn.Module):
    """A rollout that is not trained any more: it is solved when it is first asked, and not at each question.

    Attributes:
        rollout: whose weights these are, to the last digit.
    """

    def __init__(self, rollout: Rollout) -> None:
        super().__init__()
        self.rollout = rollout
        self._known: dict[tuple[float, torch.device], Solution] = {}

    @torch.no_grad()
    def weights(self, t: Float[Tensor, "query"]) -> Float[Tensor, "query token width"]:
        """Return the weights at clock times."""
        end = self.rollout.end(t)
        if (end, t.device) not in self._known:
            self._known[end, t.device] = self.rollout.solution(end)
        return self.rollout.read(self._known[end, t.device], t[None])[0]


class Under(nn.Module):
    """A path of several conditions under one of them.

    Attributes:
        path: of all.
        code: what it sees of the one.
    """

    code: Tensor

    def __init__(self, path: Rollout | Direct, code: Float[Tensor, "1 feature"]) -> None:
        super().__init__()
        self.path = path
        self.register_buffer("code", code)

    def weights(self, t: Float[Tensor, "query"]) -> Float[Tensor, "query token width"]:
        """Return the weights at clock times."""
        return self.path.each(t, self.code)[0]


class Between(nn.Module):
    """A straight line in weights between two paths, at each time.

    Attributes:
        first, second: the paths.
        place: on the line: 0 at the first, 1 at the second.
    """

    def __init__(self, first: Under, second: Under, place: float) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.place = place

    def weights(self, t: Float[Tensor, "query"]) -> Float[Tensor, "query token width"]:
        """Return the weights at clock times."""
        return torch.lerp(self.first.weights(t), self.second.weights(t), self.place)


class Table(nn.Module):
    """A tabulated path, joined by straight lines: the anchors alone, or the teacher; no differential equation.

    Beyond the last mark the last stretch goes on.
    """

    marks: Tensor
    tokens: Tensor

    def __init__(self, marks: Float[Tensor, "mark"], tokens: Float[Tensor, "mark token width"]) -> None:
        super().__init__()
        self.register_buffer("marks", marks)
        self.register_buffer("tokens", tokens)

    def weights(self, t: Float[Tensor, "query"]) -> Float[Tensor, "query token width"]:
        """Interpolate linearly."""
        k = (torch.searchsorted(self.marks, t, right=True) - 1).clamp(0, len(self.marks) - 2)
        s = ((t - self.marks[k]) / (self.marks[k + 1] - self.marks[k]))[:, None, None]
        return torch.lerp(self.tokens[k], self.tokens[k + 1], s)
