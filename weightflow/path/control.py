"""Control paths: projected anchors, joined by a natural cubic spline (torchcde).

A natural spline ends without curvature, so it can go on in a straight line, with continuous second derivative: this is
how a path is extended for a forecast, explicitly and up to a stated end. Outside its interval a path refuses.
"""

import torch
import torchcde
from jaxtyping import Float
from torch import Tensor, nn

from weightflow.errors import InputError


class ControlPath(nn.Module):
    """z(t) on the clock, from the first mark to the last.

    Attributes:
        marks: clock times of the anchors, shape (anchor,).
        values: projected anchors, shape (anchor, z).
    """

    marks: Tensor
    values: Tensor
    coefficients: Tensor

    def __init__(self, marks: Float[Tensor, "anchor"], values: Float[Tensor, "anchor z"]) -> None:
        super().__init__()
        self.register_buffer("marks", marks)
        self.register_buffer("values", values)
        self.register_buffer("coefficients", torchcde.natural_cubic_coeffs(values, marks), persistent=False)

    @property
    def dim(self) -> int:
        """Number of control channels."""
        return self.values.shape[1]

    def extended(self, end: float) -> "ControlPath":
        """Return the same path, continued in a straight line up to clock time `end`."""
        if end <= float(self.marks[-1]):
            return self
        last = self.marks[-1]
        slope = self._spline.derivative(last)
        marks = torch.cat([self.marks, self.marks.new_tensor([end])])
        values = torch.cat([self.values, (self.values[-1] + (end - last) * slope)[None]])
        return ControlPath(marks, values)

    @property
    def _spline(self) -> torchcde.CubicSpline:
        return torchcde.CubicSpline(self.coefficients, self.marks)

    def derivative(self, t: Float[Tensor, "batch"]) -> Float[Tensor, "batch z"]:
        """Evaluate dz/dt.

        Raises:
            InputError: a time lies outside the path.
        """
        low, high = self.marks[0], self.marks[-1]
        slack = 1e-5 * (high - low)
        if bool((t < low - slack).any()) or bool((t > high + slack).any()):
            raise InputError(
                f"the control path spans [{low:g}, {high:g}] on the clock but was asked at {t.min():g} to {t.max():g}; "
                "extend it first."
            )
        return self._spline.derivative(t.clamp(low, high))
