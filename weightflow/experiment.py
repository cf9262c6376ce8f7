"""One experiment: from snapshots and a configuration to a trained model.

`prepare` does once what depends on the data alone (anchors, teachers); a `Trial` trains one phi on it. A search shares
the first among its trials; a single fit does both.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from weightflow.anchors import AnchorOptions, Anchors, ArrayCache, fit_anchors, fit_base
from weightflow.backbones import Backbone, BackboneOptions
from weightflow.bridge import Bridge, BridgeOptions, build_bridge
from weightflow.data import Snapshots
from weightflow.dynamics import Direct, DynamicsKind, DynamicsOptions, Rollout, Table, Units, build_field
from weightflow.errors import InputError
from weightflow.files import Arrays
from weightflow.model import WeightFlow
from weightflow.path import Clock, ControlPath, ReferencePath, project
from weightflow.presets import PRESETS
from weightflow.progress import Progress, unseen
from weightflow.rng import derive_seed
from weightflow.training import (
    AnchorDistance,
    Checkpoint,
    Collocation,
    EpochReport,
    Likelihood,
    Objective,
    RolloutObjective,
    Teacher,
    TeacherOptions,
    Training,
    TrainingOptions,
    fit_teacher,
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


def preset(name: str, **groups: Mapping[str, Any]) -> ExperimentConfig:
    """Return the configuration of this name, with single values of some groups replaced.

    `preset("paper", dynamics={"dropout": 0.0})` is the paper's method without dropout.

    Raises:
        InputError: there is no such preset, or a key or value is not allowed.
    """
    if name not in PRESETS:
        raise InputError(f"there is no preset `{name}`; known are {', '.join(PRESETS)}.")
    known = PRESETS[name]
    return ExperimentConfig.parse(
        {group: {**known.get(group, {}), **groups.get(group, {})} for group in {*known, *groups}}
    )


def flat_keys() -> tuple[str, ...]:
    """Return the dotted names of all configuration values, such as `dynamics.hidden`."""
    return tuple(flatten(ExperimentConfig()))


def nest(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Turn dotted keys into groups: `dynamics.hidden` becomes `{"dynamics": {"hidden": ..}}`."""
    groups: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = value
    return groups


def flatten(config: ExperimentConfig) -> dict[str, Any]:
    """Return a configuration by dotted keys, as plain values; `nest` undoes it."""
    groups = config.model_dump(mode="json")
    return {f"{group}.{key}": value for group, values in groups.items() for key, value in values.items()}


@dataclass(frozen=True, eq=False)
class Prepared:
    """What does not depend on phi; trials share it.

    Attributes:
        snapshots: the snapshots that are fitted.
        backbone: the pure function that the weights belong to.
        anchors: weights at each of those snapshots.
        bridge: samples between them.
        teacher: a direct path through weight space; None where nothing asks for it.
    """

    snapshots: Snapshots
    backbone: Backbone
    anchors: Anchors
    bridge: Bridge
    teacher: Teacher | None

    @property
    def taught(self) -> Teacher:
        """The teacher.

        Raises:
            ValueError: there is none, because `prepare` was told that nothing asks for it.
        """
        if self.teacher is None:
            raise ValueError("this was prepared without a teacher")
        return self.teacher


# The pieces of a preparation, and the groups of the configuration that each depends on, beside data and seed.
PIECES = {
    "base": ("backbone", "anchors"),
    "anchors": ("backbone", "anchors"),
    "bridge": ("bridge",),
    "teacher": ("backbone", "anchors", "bridge", "teacher"),
}


class Preparation:
    """How the pieces are made: each as plain arrays, so that workers can make them and a cache can keep them."""

    def __init__(self, snapshots: Snapshots, config: ExperimentConfig, seed: int) -> None:
        self.snapshots = snapshots
        self.config = config
        self.seed = seed
        self.backbone = config.backbone.build(snapshots, seed)

    def depends_on(self, piece: str) -> dict[str, Any]:
        """Return, as plain values, everything that a piece depends on."""
        groups = {group: getattr(self.config, group).model_dump(mode="json") for group in PIECES[piece]}
        return {"data": self.snapshots.digest(), "seed": self.seed, **groups}

    def base(self, device: torch.device | str = "cpu", progress: Progress = unseen) -> Arrays:
        """Fit one set of weights to all snapshots together."""
        return {"tokens": fit_base(self.backbone, self.snapshots, self.config.anchors, self.seed, device, progress)}

    def anchors(
        self, indices: Sequence[int], base: Arrays, device: torch.device | str = "cpu", progress: Progress = unseen
    ) -> Arrays:
        """Fit the anchors of some snapshots."""
        options = self.config.anchors
        made = fit_anchors(self.backbone, self.snapshots, indices, base["tokens"], options, self.seed, device, progress)
        return {"times": made.times, "tokens": made.tokens}

    def bridge(self, progress: Progress = unseen) -> Arrays:
        """Couple the snapshots, and choose a curve if none is named."""
        progress("bridge", 0, 0)
        return build_bridge(self.snapshots, self.config.bridge, derive_seed(self.seed, "bridge")).arrays()

    def teacher(
        self, base: Arrays, bridge: Arrays, device: torch.device | str = "cpu", progress: Progress = unseen
    ) -> Arrays:
        """Fit the direct path."""
        samples = Bridge.of_arrays(bridge, self.snapshots, self.config.bridge)
        options = self.config.teacher
        return fit_teacher(self.backbone, samples, base["tokens"], options, self.seed, device, progress).arrays()

    def assemble(self, anchors: Arrays, bridge: Arrays, teacher: Arrays | None) -> Prepared:
        """Put the pieces together."""
        return Prepared(
            self.snapshots,
            self.backbone,
            Anchors(anchors["times"], anchors["tokens"]),
            Bridge.of_arrays(bridge, self.snapshots, self.config.bridge),
            None if teacher is None else Teacher.of_arrays(teacher),
        )


def prepare(
    snapshots: Snapshots,
    config: ExperimentConfig,
    seed: int,
    device: torch.device | str = "cpu",
    cache: ArrayCache | None = None,
    progress: Progress = unseen,
) -> Prepared:
    """Prepare in this process what a fit with `config` needs; a cache is asked first.

    Raises:
        InputError: the data cannot be modelled.
        TrainingError: a likelihood is no longer finite.
    """
    preparation = Preparation(snapshots, config, seed)

    def piece(name: str, make: Callable[[], Arrays]) -> Arrays:
        return make() if cache is None else cache.get_or_make(name, preparation.depends_on(name), make)

    base = piece("base", lambda: preparation.base(device, progress))
    anchors = piece("anchors", lambda: preparation.anchors(range(len(snapshots)), base, device, progress))
    bridge = piece("bridge", lambda: preparation.bridge(progress))
    progress("bridge", 1, 1)
    wanted = needs_teacher(config)
    teacher = piece("teacher", lambda: preparation.teacher(base, bridge, device, progress)) if wanted else None
    return preparation.assemble(anchors, bridge, teacher)


def needs_teacher(config: ExperimentConfig) -> bool:
    """Whether a fit follows the teacher; the paper's objective follows the anchors alone."""
    return config.training.objective is not Objective.ANCHOR or config.dynamics.kind is DynamicsKind.DIRECT


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
        self.clock, self.path = self._direct() if config.dynamics.kind is DynamicsKind.DIRECT else self._solved()

    def epochs(self) -> Iterator[EpochReport]:
        """Train, and report after each epoch; at the end the model lies on the CPU, wherever it was trained.

        A direct path is trained when it is prepared: it reports once, as its last epoch.
        """
        if self.training is None:
            yield EpochReport(self.config.training.epochs, "direct", self.prepared.taught.loss, 0.0, 0.0)
            return
        yield from self.training
        self.path.cpu()

    def checkpoint(self) -> Checkpoint | None:
        """Return where the training stands; None for a direct path, which has no epochs to be cut off between."""
        return None if self.training is None else self.training.checkpoint()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from where a trial of the same preparation, configuration and seed stood."""
        if self.training is not None:
            self.training.restore(checkpoint)

    @cached_property
    def training(self) -> Training | None:
        """The training of the field; a direct path has none."""
        if isinstance(self.path, Direct):
            return None
        mask = self.prepared.backbone.layout.mask
        collocation = Collocation(self.reference, self.path.field.units, mask, self.device)
        return Training(self.path, collocation, self._objective(), self.config.training, self.seed)

    def model(self) -> WeightFlow:
        """Return the model as it stands."""
        return _model(self.prepared, self.path, self.clock, self.record)

    @cached_property
    def reference(self) -> ReferencePath:
        """The path that a field is taught on: the teacher, or the spline through the anchors."""
        stretch = self.config.dynamics.stretch
        if self.config.training.objective is Objective.ANCHOR:
            return ReferencePath.through(self.prepared.anchors, stretch)
        return ReferencePath.of_table(*self.prepared.taught.table(self.prepared.backbone), stretch)

    def _direct(self) -> tuple[Clock, Direct]:
        teacher = self.prepared.taught
        return Clock.uniform(*teacher.span), teacher.path(self.prepared.backbone)

    def _solved(self) -> tuple[Clock, Rollout]:
        options, layout = self.config.dynamics, self.prepared.backbone.layout
        tokens, velocity = (torch.as_tensor(part) for part in (self.reference.tokens, self.reference.velocity))
        field = build_field(layout, options, Units.of(tokens, velocity), self._control(), self.seed)
        return self.reference.clock, Rollout(tokens[0], field, options).to(self.device).eval()

    def _control(self) -> ControlPath | None:
        options = self.config.dynamics
        if options.kind is not DynamicsKind.CDE:
            return None
        anchors = self.prepared.anchors
        values = project(anchors.tokens, options.z_dim, options.projection, self.seed, options.neighbours)
        marks = self.reference.clock(anchors.times).astype(np.float32)
        if options.time_channel:
            values = np.concatenate([marks[:, None], values], 1)
        return ControlPath(torch.as_tensor(marks), torch.as_tensor(values))

    def _objective(self) -> RolloutObjective:
        clock, options = self.clock, self.config.training
        if options.objective is Objective.ANCHOR:
            return AnchorDistance(self.prepared.anchors, clock, options, self.device)
        return Likelihood(self.prepared.backbone, self.prepared.bridge, clock, options)


def fit_model(
    snapshots: Snapshots,
    config: ExperimentConfig | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    observer: Callable[[EpochReport], None] | None = None,
    progress: Progress = unseen,
) -> WeightFlow:
    """Fit one model to all `snapshots`, in this process.

    Args:
        snapshots: what is fitted.
        config: the defaults where it is None.
        seed: rules all random numbers.
        device: where to compute.
        observer: told after each epoch.
        progress: told which phase it is in, and how far.

    Raises:
        InputError: the data cannot be modelled.
        TrainingError: a loss is no longer finite.
    """
    chosen = config or ExperimentConfig()
    prepared = prepare(snapshots, chosen, seed, device=device, progress=progress)
    trial = Trial(prepared, chosen, seed, device, {"data": snapshots.digest()})
    progress("fit", 0, chosen.training.epochs)
    for report in trial.epochs():
        progress("fit", report.epoch, chosen.training.epochs)
        if observer is not None:
            observer(report)
    return trial.model()


def line_model(prepared: Prepared) -> WeightFlow:
    """Return the baseline without phi: straight lines in weight space between the anchors."""
    anchors = prepared.anchors
    clock = Clock.uniform(float(anchors.times[0]), float(anchors.times[-1]))
    marks = torch.as_tensor(clock(anchors.times), dtype=torch.float32)
    return _model(prepared, Table(marks, torch.tensor(anchors.tokens)), clock, {})


def direct_model(prepared: Prepared) -> WeightFlow:
    """Return the baseline without a differential equation: the teacher path itself."""
    return _model(prepared, prepared.taught.path(prepared.backbone), Clock.uniform(*prepared.taught.span), {})


def _model(prepared: Prepared, path: Rollout | Table | Direct, clock: Clock, record: dict[str, Any]) -> WeightFlow:
    snapshots = prepared.snapshots
    bridge = {"bridge": prepared.bridge.options.model_dump(mode="json")}
    return WeightFlow(prepared.backbone, path, clock, snapshots.species, snapshots.kinds, {**record, **bridge})
