"""Reference paths: a path through weight space, tabulated with its derivative.

A vector field is first taught by regression on such a path, without a solver in the loop (collocation). The reference
is either the teacher, a path that fits the data at all times, or the spline through the anchors.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from weightflow.anchors import Anchors
from weightflow.path.clock import Clock

TABLE_SIZE = 1025


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
        clock = Clock.by_length(times, tokens, stretch)
        spline = CubicSpline(clock(times), tokens.astype(np.float64))
        marks = np.linspace(0.0, 1.0, TABLE_SIZE)
        return cls(clock, marks, spline(marks).astype(np.float32), spline(marks, 1).astype(np.float32))

    @classmethod
    def through(cls, anchors: Anchors, stretch: float) -> "ReferencePath":
        """Join the anchors by a natural cubic spline."""
        clock = Clock.by_length(anchors.times, anchors.tokens, stretch)
        spline = CubicSpline(clock(anchors.times), anchors.tokens.astype(np.float64), bc_type="natural")
        marks = np.linspace(0.0, 1.0, TABLE_SIZE)
        return cls(clock, marks, spline(marks).astype(np.float32), spline(marks, 1).astype(np.float32))
