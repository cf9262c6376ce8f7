"""Options of bridges."""

from enum import StrEnum

from pydantic import Field

from weightflow.types import Options


class Curve(StrEnum):
    """How a particle moves through the snapshots; `curves` gives the formulas, and `carried` that of `drift`."""

    AUTO = "auto"
    STRAIGHT = "straight"
    SHIFT_BOUNDED = "shift-bounded"
    SHIFT_PCHIP = "shift-pchip"
    DAMPED = "damped"
    PCHIP = "pchip"
    CUBIC = "cubic"
    DRIFT = "drift"
    JUMP = "jump"

    @property
    def of_means(self) -> bool:
        """Whether the cloud bends as a whole, along a curve of its means."""
        return self in {Curve.SHIFT_BOUNDED, Curve.SHIFT_PCHIP}

    @property
    def monotone(self) -> bool:
        """Whether the curve stays between the points that it joins."""
        return self in {Curve.PCHIP, Curve.SHIFT_PCHIP}

    @property
    def bounded(self) -> bool:
        """Whether its derivative at a knot is bounded by the slopes beside it."""
        return self is Curve.SHIFT_BOUNDED

    @property
    def share(self) -> float:
        """How far the path goes from the straight line (0) to the spline (1)."""
        return {Curve.STRAIGHT: 0.0, Curve.DAMPED: 0.5}.get(self, 1.0)


class Spread(StrEnum):
    """The covariance that a bridge of width 1 gives its particles on their way."""

    DISPLACEMENT = "displacement"
    GAINED = "gained"


class CouplingKind(StrEnum):
    """How the points of two neighbouring snapshots are paired."""

    AUTO = "auto"
    EXACT = "exact"
    MINIBATCH = "minibatch"
    ENTROPIC = "entropic"


class BridgeOptions(Options):
    """Samples between snapshots."""

    curve: Curve = Field(default=Curve.AUTO, description="path of a particle; auto: chosen by leaving one time out")
    drift_steps: int = Field(
        default=250,
        ge=0,
        description="steps in a round of fitting drifts, of four at most; 0: none is tried (curve `auto`)",
    )
    horizon: float | None = Field(
        default=None,
        ge=0,
        description="time beyond the last snapshot that a drift's forecasts teach; none: a third of the span",
    )
    width: float = Field(default=1.0, ge=0, description="scales the covariance around the curve; 0: no spread")
    spread: Spread = Field(
        default=Spread.GAINED,
        description="what width scales: the covariance of the displacement, or the share of it that is new spread",
    )
    smoothing: float = Field(
        default=10.0, ge=0, description="samples of a time that a kernel over them stands for, in fitting; 0: no kernel"
    )
    coupling: CouplingKind = Field(
        default=CouplingKind.AUTO, description="how points are paired; auto: exact, minibatch for large snapshots"
    )
    entropy: float = Field(
        default=0.02, gt=0, description="price of entropy in entropic plans, in squared deviations of a species"
    )
    unbalanced: float | None = Field(
        default=None,
        gt=0,
        description="price of mass that appears or vanishes, in squared deviations of a species; none: mass is kept",
    )
