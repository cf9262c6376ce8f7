"""Reference paths: a path through weight space, tabulated with its derivative.

A vector field is first taught by regression on such a path, without a solver in the loop (collocation). The reference
is either the teacher, a path that fits the data at all times, or the spline through the anchors.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from weightflow.anchors import Anchors
from weightflow.path.clock import Clock

MARKS = 257  # a field is solved with tens of steps: what it could not follow need not be tabulated
MAX_VALUES = 4_000_000  # knots and coefficients of a spline held at once; the tables are in single precision


@dataclass(frozen=True, eq=False)
class ReferencePath:
    """Weights and their derivative with respect to the clock, at evenly spaced marks of it.

    Attributes:
        clock: the clock that the path is tabulated on.
        marks: clock times, shape (mark,), from 0 to 1.
        tokens: weights, shape (mark, token, width).
        velocity: derivative of the weights by the clock, shape (mark, token, width).
    """

    clock: Clock
    marks: Float[np.ndarray, "mark"]
    tokens: Float[np.ndarray, "mark token width"]
    velocity: Float[np.ndarray, "mark token width"]

    @classmethod
    def of_table(
        cls, times: Float[np.ndarray, "point"], tokens: Float[np.ndarray, "point token width"], stretch: float
    ) -> "ReferencePath":
        """Interpolate weights given at dense physical `times` by a cubic spline on their own clock."""
        return cls.of_tables(times, tokens[None], stretch)[0]

    @classmethod
    def of_tables(
        cls,
        times: Float[np.ndarray, "point"],
        tokens: Float[np.ndarray, "path point token width"],
        stretch: float,
        marks: int = MARKS,
    ) -> tuple["ReferencePath", ...]:
        """Interpolate the weights of several conditions, on one clock that runs by the length of all their paths."""
        clock = Clock.by_length(times, tokens.swapaxes(0, 1).reshape(len(times), -1, tokens.shape[-1]), stretch)
        return tuple(cls._splined(times, one, clock, "not-a-knot", marks) for one in tokens)

    @classmethod
    def through(cls, anchors: Anchors, stretch: float) -> "ReferencePath":
        """Join the anchors by a natural cubic spline."""
        clock = Clock.by_length(anchors.times, anchors.tokens, stretch)
        return cls._splined(anchors.times, anchors.tokens, clock, "natural")

    @classmethod
    def _splined(
        cls,
        times: Float[np.ndarray, "point"],
        tokens: Float[np.ndarray, "point token width"],
        clock: Clock,
        ends: Literal["not-a-knot", "natural"],
        n_marks: int = MARKS,
    ) -> "ReferencePath":
        """Tabulate a cubic spline, some weights after the others: its coefficients take ten times what it is given."""
        knots, marks = clock(times), np.linspace(0.0, 1.0, n_marks)
        flat = tokens.reshape(len(tokens), -1)
        path, velocity = (np.empty((n_marks, flat.shape[1]), dtype=np.float32) for _ in range(2))
        chunk = max(1, MAX_VALUES // (5 * len(knots)))
        for first in range(0, flat.shape[1], chunk):
            some = slice(first, first + chunk)
            spline = CubicSpline(knots, flat[:, some].astype(np.float64), bc_type=ends)
            path[:, some], velocity[:, some] = spline(marks), spline(marks, 1)
        shape = (n_marks, *tokens.shape[1:])
        return cls(clock, marks, path.reshape(shape), velocity.reshape(shape))
