"""Control paths: projected anchors, joined by a natural cubic spline (torchcde).

A natural spline ends without curvature, so it can go on in a straight line, with continuous second derivative: this is
what it does outside its interval, and how a path is extended for a forecast. Refusing instead would mean to look at the
times, for which a GPU would have to stop at each evaluation of a field.
"""

import torch
import torchcde
from jaxtyping import Float
from torch import Tensor, nn


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
        """Evaluate dz/dt; before the first mark and after the last one it is what it is there."""
        return self._spline.derivative(t.clamp(self.marks[0], self.marks[-1]))
