"""Options of the hypernetwork phi."""

from enum import StrEnum

from pydantic import Field, model_validator

from weightflow.path import Projection
from weightflow.types import Options


class DynamicsKind(StrEnum):
    """What drives the weights."""

    ODE = "ode"
    CDE = "cde"


class Solver(StrEnum):
    """Methods of torchdiffeq, by their names there."""

    EULER = "euler"
    MIDPOINT = "midpoint"
    RK4 = "rk4"
    DOPRI5 = "dopri5"

    @property
    def adaptive(self) -> bool:
        """Whether the method chooses its own steps."""
        return self is Solver.DOPRI5


class DynamicsOptions(Options):
    """Architecture of the vector field, and how it is integrated."""

    kind: DynamicsKind = Field(
        default=DynamicsKind.ODE, description="neural ODE, or neural CDE driven by a control path"
    )
    hidden: int = Field(default=32, ge=1, description="size of a token inside the graph attention")
    depth: int = Field(default=1, ge=1, description="number of attention layers")
    heads: int = Field(default=2, ge=1, description="attention heads; must divide `hidden`")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    time: bool = Field(default=True, description="whether the field sees the clock; an autonomous field does not")
    z_dim: int = Field(default=1, ge=1, description="channels of the control path (CDE)")
    projection: Projection = Field(default=Projection.PCA, description="how anchors become the control path (CDE)")
    solver: Solver = Solver.RK4
    steps: int = Field(default=20, ge=1, description="marks of the solution over the fitted span")
    tolerance: float = Field(default=1e-3, gt=0, description="relative tolerance of an adaptive solver")
    stretch: float = Field(default=0.5, ge=0, lt=1, description="how far the clock runs by path length instead of time")

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> "DynamicsOptions":
        if self.hidden % self.heads:
            raise ValueError(f"`heads`={self.heads} must divide `hidden`={self.hidden}")
        return self
