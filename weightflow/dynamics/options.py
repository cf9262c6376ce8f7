"""Options of the hypernetwork phi."""

from enum import StrEnum, auto

from pydantic import Field, model_validator

from weightflow.path import Projection
from weightflow.types import Options


class DynamicsKind(StrEnum):
    """What drives the weights."""

    ODE = "ode"
    CDE = "cde"
    DIRECT = "direct"


class Reach(StrEnum):
    """Which tokens a token attends to: all, or those of its own and the neighbouring layers of the weight graph."""

    COMPLETE = "complete"
    GRAPH = "graph"


class Conditioning(StrEnum):
    """How the field sees a condition.

    `added` to every token; as a `token` of its own, which the others attend to; or as `modulation`: each attention
    layer scales and shifts its normalised tokens by it.
    """

    ADDED = auto()
    TOKEN = auto()
    MODULATION = auto()


class Memory(StrEnum):
    """What a rollout keeps for its gradient.

    `store` keeps everything. `checkpoint` keeps the states alone and evaluates the field again on the way back: the
    same gradient from about a fiftieth of the memory. `adjoint` keeps the marks alone and solves the adjoint equation
    backwards (Chen et al. 2018): the gradient of the differential equation, not of its discretisation, so it differs by
    the solver's error. Both take two to three times the time where the field is small.
    """

    STORE = "store"
    CHECKPOINT = "checkpoint"
    ADJOINT = "adjoint"


class Solver(StrEnum):
    """Methods by torchdiffeq's names; those of fixed step but the multistep one are our own, see `runge_kutta`.

    Two are left out. `implicit_adams` iterates a fixed point, which converges only where explicit methods work as well,
    costs as much as rk4, and goes on with a mere warning where it does not converge. `scipy_solver` has no gradient.

    An adaptive method's error is about its tolerance, but for `fehlberg2`: it judges itself by a method that nearly
    equals it, and errs by 50 to 100 times its tolerance.
    """

    EULER = "euler"
    MIDPOINT = "midpoint"
    HEUN2 = "heun2"
    HEUN3 = "heun3"
    RK4 = "rk4"
    EXPLICIT_ADAMS = "explicit_adams"
    ADAPTIVE_HEUN = "adaptive_heun"
    FEHLBERG2 = "fehlberg2"
    BOSH3 = "bosh3"
    DOPRI5 = "dopri5"
    DOPRI8 = "dopri8"

    @property
    def order(self) -> int:
        """Power of the step length that the error of a solution falls with."""
        return ORDERS[self]

    @property
    def steadiness(self) -> float:
        """How large the product of a decay's rate and a step may be: the multistep method is unstable from 0.3 on."""
        return 0.2 if self is Solver.EXPLICIT_ADAMS else 1.0

    @property
    def adaptive(self) -> bool:
        """Whether the method chooses its own steps."""
        return self in ADAPTIVE


ORDERS = {
    Solver.EULER: 1,
    Solver.MIDPOINT: 2,
    Solver.HEUN2: 2,
    Solver.HEUN3: 3,
    Solver.RK4: 4,
    Solver.EXPLICIT_ADAMS: 4,
    Solver.ADAPTIVE_HEUN: 2,
    Solver.FEHLBERG2: 2,
    Solver.BOSH3: 3,
    Solver.DOPRI5: 5,
    Solver.DOPRI8: 8,
}
ADAPTIVE = {Solver.ADAPTIVE_HEUN, Solver.FEHLBERG2, Solver.BOSH3, Solver.DOPRI5, Solver.DOPRI8}


class SolverOptions(Options):
    """How a vector field is integrated between two marks of the solution."""

    solver: Solver = Field(default=Solver.MIDPOINT, description="method, by its name in torchdiffeq")
    substeps: int = Field(default=1, ge=1, description="steps of a fixed-step solver between two marks")
    rtol: float = Field(default=1e-3, gt=0, description="relative tolerance of an adaptive solver")
    atol: float = Field(default=1e-4, gt=0, description="absolute tolerance of an adaptive solver, in units of weights")
    max_steps: int = Field(default=1000, ge=1, description="steps after which an adaptive solver gives up")
    memory: Memory = Field(default=Memory.STORE, description="what is kept for the gradient of a rollout")


class DynamicsOptions(SolverOptions):
    """Architecture of the vector field, and how it is integrated."""

    kind: DynamicsKind = Field(
        default=DynamicsKind.ODE,
        description="neural ODE, neural CDE driven by a control path, or a direct path without a differential equation",
    )
    hidden: int = Field(default=32, ge=1, description="size of a token inside the graph attention")
    depth: int = Field(default=1, ge=1, description="number of attention layers")
    heads: int = Field(default=2, ge=1, description="attention heads; must divide `hidden`")
    attention: Reach = Field(default=Reach.COMPLETE, description="which tokens a token attends to")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    time: bool = Field(
        default=True, description="whether the field sees the clock; that of several conditions always does"
    )
    decay: float | None = Field(
        default=None,
        ge=0,
        description="rate by the clock at which weights decay to the path's centre, beside the field; none: at which a "
        "field that sees the clock leads back",
    )
    conditioning: Conditioning = Field(
        default=Conditioning.ADDED, description="how the field sees a condition, where there are several"
    )
    z_dim: int = Field(default=1, ge=1, description="channels of the control path, fewer than anchors (CDE)")
    time_channel: bool = Field(default=True, description="whether the clock is another channel of the control path")
    projection: Projection = Field(default=Projection.PCA, description="how anchors become the control path (CDE)")
    neighbours: int = Field(default=3, ge=1, description="nearest anchors that Isomap joins each anchor to (CDE)")
    steps: int = Field(default=16, ge=1, description="marks of the solution over the fitted span")
    stretch: float = Field(default=0.9, ge=0, lt=1, description="how far the clock runs by path length instead of time")

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> "DynamicsOptions":
        if self.hidden % self.heads:
            raise ValueError(f"`heads`={self.heads} must divide `hidden`={self.hidden}")
        return self

    @model_validator(mode="after")
    def _adjoint_needs_one_field(self) -> "DynamicsOptions":
        if self.memory is Memory.ADJOINT and self.dropout > 0:
            raise ValueError(
                f"`memory`=adjoint meets another field on its way back where `dropout`={self.dropout:g} is not 0; "
                "take `memory`=checkpoint or `dropout`=0"
            )
        return self
