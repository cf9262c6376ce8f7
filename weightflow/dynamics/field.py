"""Vector fields in weight space: dtheta/dt = f(theta, t), or dtheta/dt = g(theta, t) dz/dt.

Of several conditions the field sees which one it is: f(theta, t, c), or g(theta, t, c).

Both are functions of (parameters, clock, weights), so that the parameters of several fields of one shape can be
stacked. Weights come in and speeds go out in units of the reference path, which keeps every number of order one.

A field may decay, -k (theta - centre) in dtheta/dt, beside what it learns. What leads back to a path is then linear and
built in, and a field that sees the clock learns a function of it alone: the path's own velocity, and where it is.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from weightflow.backbones import TokenLayout
from weightflow.dynamics.attention import GraphAttention
from weightflow.dynamics.options import DynamicsKind, DynamicsOptions
from weightflow.errors import InputError
from weightflow.path import ControlPath
from weightflow.torch_rng import seeded


@runtime_checkable
class VectorField(Protocol):
    """Speed of the weights by the clock."""

    def __call__(
        self, t: Float[Tensor, "batch"], tokens: Float[Tensor, "batch token width"], /
    ) -> Float[Tensor, "batch token width"]:
        """Evaluate at one clock time for each set of weights."""
        ...


class Units(nn.Module):
    """Centre, size and speed of the path that a field is taught on."""

    centre: Tensor
    size: Tensor
    speed: Tensor

    def __init__(self, centre: Float[Tensor, "token width"], size: Float[Tensor, ""], speed: Float[Tensor, ""]) -> None:
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("size", size)
        self.register_buffer("speed", speed)

    @classmethod
    def of(cls, tokens: Float[Tensor, "mark token width"], velocity: Float[Tensor, "mark token width"]) -> "Units":
        """Measure a path."""
        centre = tokens.mean(0)
        size = (tokens - centre).pow(2).mean().sqrt().clamp(min=1e-6)
        return cls(centre, size, velocity.pow(2).mean().sqrt().clamp(min=1e-6))


class ODEField(nn.Module):
    """f(theta, t)."""

    def __init__(self, attention: GraphAttention, units: Units, decay: float = 0.0) -> None:
        super().__init__()
        self.attention = attention
        self.units = units
        self.decay = decay

    def forward(
        self,
        t: Float[Tensor, "batch"],
        tokens: Float[Tensor, "batch token width"],
        code: Float[Tensor, "batch feature"] | None = None,
    ) -> Float[Tensor, "batch token width"]:
        """Evaluate dtheta/dt."""
        units = self.units
        away = tokens - units.centre
        return self.attention(t, away / units.size, code)[..., 0] * units.speed - self.decay * away


class CDEField(nn.Module):
    """g(theta, t) dz/dt: with the control held still, the weights stand still.

    Projected anchors do stand still, or turn back, while the weights move on: the clock as a channel of its own, as is
    usual for neural CDEs (Kidger et al. 2020, "Neural controlled differential equations"), lets the field move there.
    Decay goes by that channel, and there is none without it.
    """

    def __init__(self, attention: GraphAttention, units: Units, control: ControlPath, decay: float = 0.0) -> None:
        super().__init__()
        self.attention = attention
        self.units = units
        self.control = control
        self.decay = decay

    def forward(
        self,
        t: Float[Tensor, "batch"],
        tokens: Float[Tensor, "batch token width"],
        code: Float[Tensor, "batch feature"] | None = None,
    ) -> Float[Tensor, "batch token width"]:
        """Evaluate dtheta/dt."""
        units = self.units
        away = tokens - units.centre
        g = self.attention(t, away / units.size, code) * units.speed
        return torch.einsum("btwz,bz->btw", g, self.control.derivative(t)) - self.decay * away


class FieldUnder(nn.Module):
    """A field under one condition for each window, as the solver sees it."""

    code: Tensor

    def __init__(self, field: ODEField | CDEField, code: Float[Tensor, "window feature"]) -> None:
        super().__init__()
        self.field = field
        self.register_buffer("code", code)

    def forward(
        self, t: Float[Tensor, "batch"], tokens: Float[Tensor, "batch token width"]
    ) -> Float[Tensor, "batch token width"]:
        """Evaluate dtheta/dt; where all marks of each window are asked for at once, one window comes after another."""
        return self.field(t, tokens, self.code.repeat_interleave(len(t) // len(self.code), 0))


def build_field(
    layout: TokenLayout,
    options: DynamicsOptions,
    units: Units,
    control: ControlPath | None,
    seed: int,
    features: int = 0,
) -> ODEField | CDEField:
    """Build the field that `options.kind` names, with first weights drawn from `seed`; a CDE needs its control path.

    `features` is how many numbers tell a condition; 0: there is one.

    Raises:
        InputError: the kind has no field, or a CDE no control path.
    """
    if options.kind is DynamicsKind.DIRECT:
        raise InputError("`dynamics.kind`=direct has no vector field; build a `Direct` path, or take ode or cde.")
    driver = control if options.kind is DynamicsKind.CDE else None
    with seeded(seed, "field"):
        attention = GraphAttention(layout, options, driver.dim if driver else 1, features)
    if options.kind is DynamicsKind.ODE:
        return ODEField(attention, units, options.decay or 0.0)
    if driver is None:
        raise InputError("`dynamics.kind`=cde needs a control path; project the anchors to one, or take ode.")
    return CDEField(attention, units, driver, (options.decay or 0.0) if options.time_channel else 0.0)
