"""Control paths: the anchors, projected to a few numbers and joined by a natural cubic spline (torchcde).

A natural spline ends without curvature, so it can go on in a straight line, with continuous second derivative: this is
how a path is extended for a forecast, explicitly and up to a stated end. Outside its interval a path refuses.
"""

from collections.abc import Callable
from enum import StrEnum

import numpy as np
import torch
import torchcde
from jaxtyping import Float
from sklearn.decomposition import PCA
from torch import Tensor, nn

from weightflow.errors import InputError
from weightflow.rng import seeded


class Projection(StrEnum):
    """How flattened anchors become `z_dim` numbers."""

    PCA = "pca"
    AUTOENCODER = "autoencoder"


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


def project(
    tokens: Float[np.ndarray, "anchor token width"], z_dim: int, projection: Projection, seed: int
) -> Float[np.ndarray, "anchor z"]:
    """Project flattened anchors to `z_dim` numbers of unit overall scale.

    Raises:
        InputError: more numbers are asked for than there are anchors less one.
    """
    if z_dim > len(tokens) - 1:
        raise InputError(
            f"`z_dim`={z_dim} needs at least {z_dim + 1} anchors and there are {len(tokens)}; lower `dynamics.z_dim`."
        )
    flat = tokens.reshape(len(tokens), -1)
    z = PROJECTIONS[projection](flat - flat.mean(0), z_dim, seed)
    z = z - z.mean(0)
    return (z / max(float(z.std()), 1e-12)).astype(np.float32)


def _pca(flat: np.ndarray, z_dim: int, _seed: int) -> np.ndarray:
    return PCA(z_dim, svd_solver="full").fit_transform(flat)


def _autoencoder(flat: np.ndarray, z_dim: int, seed: int) -> np.ndarray:
    """Train a small autoencoder on the flattened anchors, as the paper does, and return its codes."""
    x = torch.as_tensor(flat / max(float(flat.std()), 1e-12), dtype=torch.float32)
    with seeded(seed, "autoencoder"):
        encode = nn.Sequential(nn.Linear(x.shape[1], 32), nn.Tanh(), nn.Linear(32, z_dim))
        decode = nn.Sequential(nn.Linear(z_dim, 32), nn.Tanh(), nn.Linear(32, x.shape[1]))
    optimiser = torch.optim.Adam([*encode.parameters(), *decode.parameters()], 5e-3)
    for _ in range(500):
        loss = (decode(encode(x)) - x).pow(2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return encode(x).detach().numpy()


PROJECTIONS: dict[Projection, Callable[[np.ndarray, int, int], np.ndarray]] = {
    Projection.PCA: _pca,
    Projection.AUTOENCODER: _autoencoder,
}
