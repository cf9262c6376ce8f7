"""One experiment: from snapshots and a configuration to a trained model.

`prepare` does once what depends on the data alone (anchors, teachers); a `Trial` trains one phi on it. A search shares
the first among its trials; a single fit does both.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from weightflow.anchors import AnchorOptions, Anchors, fit_anchors, fit_base
from weightflow.backbones import Backbone, BackboneOptions
from weightflow.bridge import BridgeOptions, build_bridge
from weightflow.data import Snapshots
from weightflow.dynamics import DynamicsKind, DynamicsOptions, Rollout, Table, Units, build_field
from weightflow.model import WeightFlow
from weightflow.path import Clock, ControlPath, ReferencePath, project
from weightflow.rng import derive_seed
from weightflow.training import (
    AnchorDistance,
    Collocation,
    EpochReport,
    Likelihood,
    Objective,
    RolloutObjective,
    TeacherOptions,
    TrainingOptions,
    fit_teacher,
    train,
)
from weightflow.types import Options


class ExperimentConfig(Options):
    """Everything that a fit depends on beside the data and the seed."""

    backbone: BackboneOptions = BackboneOptions()
    anchors: AnchorOptions = AnchorOptions()
    teacher: TeacherOptions = TeacherOptions()
    bridge: BridgeOptions = BridgeOptions()
    dynamics: DynamicsOptions = DynamicsOptions()
    training: TrainingOptions = TrainingOptions()


def flat_keys() -> tuple[str, ...]:
    """Return the dotted names of all configuration values, such as `dynamics.hidden`."""
    groups = ExperimentConfig().model_dump()
    return tuple(f"{group}.{key}" for group, values in groups.items() for key in values)


def nest(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Turn dotted keys into groups: `dynamics.hidden` becomes `{"dynamics": {"hidden": ..}}`."""
    groups: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = value
    return groups


@dataclass(frozen=True, eq=False)
class Prepared:
    """What depends on the data alone, as plain arrays.

    Attributes:
        snapshots: the snapshots that are fitted.
        backbone: the pure function that the weights belong to.
        anchors: weights at each of those snapshots.
        teachers: by bridge width, physical times and the teacher's weights there.
    """

    snapshots: Snapshots
    backbone: Backbone
    anchors: Anchors
    teachers: dict[float, tuple[Float[np.ndarray, "point"], Float[np.ndarray, "point token width"]]]

    def teacher(self, width: float) -> tuple[Float[np.ndarray, "point"], Float[np.ndarray, "point token width"]]:
        """Return the teacher of the bridge width nearest to `width`."""
        return self.teachers[min(self.teachers, key=lambda known: abs(known - width))]


def prepare(
    snapshots: Snapshots,
    config: ExperimentConfig,
    seed: int,
    widths: Sequence[float] | None = None,
    device: torch.device | str = "cpu",
) -> Prepared:
    """Fit anchors and teachers in this process."""
    backbone = config.backbone.build(snapshots, seed)
    base = fit_base(backbone, snapshots, config.anchors, seed, device)
    anchors = fit_anchors(backbone, snapshots, range(len(snapshots)), base, config.anchors, seed, device)
    teachers = {
        width: teach(backbone, snapshots, base, width, config, seed, device)
        for width in (widths or [config.bridge.width])
    }
    return Prepared(snapshots, backbone, anchors, teachers)


def teach(
    backbone: Backbone,
    snapshots: Snapshots,
    base: Float[np.ndarray, "token width"],
    width: float,
    config: ExperimentConfig,
    seed: int,
    device: torch.device | str = "cpu",
) -> tuple[Float[np.ndarray, "point"], Float[np.ndarray, "point token width"]]:
    """Fit the teacher of one bridge width."""
    options = config.bridge.model_copy(update={"width": width})
    bridge = build_bridge(snapshots, options, derive_seed(seed, "bridge"))
    return fit_teacher(backbone, bridge, base, config.teacher, seed, device)


class Trial:
    """The training of one phi: iterate over its epochs, then take the model."""

    def __init__(
        self,
        prepared: Prepared,
        config: ExperimentConfig,
        seed: int,
        device: torch.device | str = "cpu",
        record: dict[str, Any] | None = None,
    ) -> None:
        self.prepared = prepared
        self.config = config
        self.seed = seed
        self.device = device
        self.record = {"config": config.model_dump(mode="json"), "seed": seed, **(record or {})}
        self.reference = self._reference()
        self.units = Units.of(
            torch.as_tensor(self.reference.tokens, device=device),
            torch.as_tensor(self.reference.velocity, device=device),
        )
        self.rollout = self._rollout().to(device).eval()

    def epochs(self) -> Iterator[EpochReport]:
        """Train, and report after each epoch; at the end the model lies on the CPU, wherever it was trained."""
        mask = self.prepared.backbone.layout.mask
        collocation = Collocation(self.reference, self.units, mask, self.device)
        yield from train(self.rollout, collocation, self._objective(), self.config.training, self.seed)
        self.rollout.cpu()

    def model(self) -> WeightFlow:
        """Return the model as it stands."""
        return _model(self.prepared, self.rollout, self.reference.clock, self.record)

    def _reference(self) -> ReferencePath:
        stretch = self.config.dynamics.stretch
        if self.config.training.objective is Objective.ANCHOR:
            return ReferencePath.through(self.prepared.anchors, stretch)
        return ReferencePath.of_table(*self.prepared.teacher(self.config.bridge.width), stretch)

    def _rollout(self) -> Rollout:
        options = self.config.dynamics
        layout = self.prepared.backbone.layout
        field = build_field(layout, options, self.units, self._control(), self.seed)
        return Rollout(torch.as_tensor(self.reference.tokens[0]), field, options)

    def _control(self) -> ControlPath | None:
        options = self.config.dynamics
        if options.kind is not DynamicsKind.CDE:
            return None
        anchors = self.prepared.anchors
        values = project(anchors.tokens, options.z_dim, options.projection, self.seed)
        marks = self.reference.clock(anchors.times)
        return ControlPath(torch.as_tensor(marks, dtype=torch.float32), torch.as_tensor(values))

    def _objective(self) -> RolloutObjective:
        clock, options = self.reference.clock, self.config.training
        if options.objective is Objective.ANCHOR:
            return AnchorDistance(self.prepared.anchors, clock, options, self.device)
        bridge = build_bridge(self.prepared.snapshots, self.config.bridge, derive_seed(self.seed, "bridge"))
        return Likelihood(self.prepared.backbone, bridge, clock, options)


def fit_model(
    snapshots: Snapshots,
    config: ExperimentConfig | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    observer: Callable[[EpochReport], None] | None = None,
) -> WeightFlow:
    """Fit one model to all `snapshots`, in this process.

    Args:
        snapshots: what is fitted.
        config: the defaults where it is None.
        seed: rules all random numbers.
        device: where to compute.
        observer: told after each epoch.

    Raises:
        InputError: the data cannot be modelled.
        TrainingError: a loss is no longer finite.
    """
    chosen = config or ExperimentConfig()
    prepared = prepare(snapshots, chosen, seed, device=device)
    trial = Trial(prepared, chosen, seed, device, {"data": snapshots.digest()})
    for report in trial.epochs():
        if observer is not None:
            observer(report)
    return trial.model()


def line_model(prepared: Prepared) -> WeightFlow:
    """Return the baseline without phi: straight lines in weight space between the anchors."""
    anchors = prepared.anchors
    clock = Clock.uniform(float(anchors.times[0]), float(anchors.times[-1]))
    marks = torch.as_tensor(clock(anchors.times), dtype=torch.float32)
    return _model(prepared, Table(marks, torch.tensor(anchors.tokens)), clock, {})


def teacher_model(prepared: Prepared, width: float) -> WeightFlow:
    """Return the baseline without a differential equation: the teacher path itself."""
    times, tokens = prepared.teacher(width)
    clock = Clock.uniform(float(times[0]), float(times[-1]))
    return _model(prepared, Table(torch.as_tensor(clock(times), dtype=torch.float32), torch.tensor(tokens)), clock, {})


def _model(prepared: Prepared, path: Rollout | Table, clock: Clock, record: dict[str, Any]) -> WeightFlow:
    snapshots = prepared.snapshots
    return WeightFlow(prepared.backbone, path, clock, snapshots.species, snapshots.kinds, record)
