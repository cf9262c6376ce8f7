"""One phi of one configuration: its clock, its path of weights, and its training."""

import math
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from weightflow.anchors import Anchors
from weightflow.bridge import neighbours
from weightflow.dynamics import Direct, DynamicsKind, DynamicsOptions, Rollout, Units, build_field
from weightflow.experiment.config import ExperimentConfig
from weightflow.experiment.preparation import Prepared
from weightflow.path import Clock, ControlPath, ReferencePath, project
from weightflow.training import (
    AnchorDistance,
    Collocation,
    LogRatio,
    Objective,
    RolloutObjective,
    Training,
    sensitivity,
)

# Of several conditions each has a shorter table, not to hold a hundred long ones: the fewest points, and the most.
TABLE_SIZES, MARKS, PLACES, SHARED = (129, 1025), (33, 257), (3, 33), 4
# And phi takes so many times the rollouts: on ten pairs of rates it was then a quarter as far from its teacher.
ROLLOUTS = 2


class Attempt:
    """What is trained, and how.

    Attributes:
        clock: physical time to clock.
        path: weights by the clock; trained in place.
    """

    def __init__(self, prepared: Prepared, config: ExperimentConfig, seed: int, device: torch.device | str) -> None:
        self.prepared = prepared
        self.config = config
        self.seed = seed
        self.device = device
        self.clock, self.path = self._direct() if config.dynamics.kind is DynamicsKind.DIRECT else self._solved()

    @cached_property
    def training(self) -> Training | None:
        """The training of the field; a direct path was trained when it was prepared, and has none."""
        if isinstance(self.path, Direct):
            return None
        mask = self.prepared.backbone.layout.mask
        codes = self.codes if self.varied else None
        collocation = Collocation(
            self.references, self.path.field.units, mask, self.device, codes, self._sensitivities()
        )
        options, effort = self.config.training, self.prepared.family.effort(len(self.codes))
        more = {
            "collocation_steps": round(options.collocation_steps * effort),
            "rollout_steps": round(options.rollout_steps * effort * (ROLLOUTS if self.varied else 1)),
            "pull_back": self.config.leads_back,
        }
        return Training(self.path, collocation, self._objective(), options.model_copy(update=more), self.seed)

    @property
    def varied(self) -> bool:
        """Whether there are several conditions."""
        return self.codes.shape[1] > 0

    @property
    def dynamics(self) -> DynamicsOptions:
        """The architecture of the field: that of several conditions sees the clock, and one that does so decays.

        What leads back to the path then is linear and need not be learned: the field is a function of the clock alone.
        Without either, a field of five infection rates of an epidemic needed a second round, and was no better then.
        """
        options, config = self.config.dynamics, self.config
        sees = options.time or self.varied
        followed = config.leads_back if sees else 0.0
        decay = followed if options.decay is None else min(options.decay, config.fastest)
        return options.model_copy(update={"time": sees, "decay": decay})

    @cached_property
    def codes(self) -> Float[np.ndarray, "path feature"]:
        """What is seen of the conditions that the field is taught on: the fitted ones, and half-way between."""
        family, known = self.prepared.family, self.prepared.conditions
        pairs = () if known is None else neighbours(known)
        between = [known.features(known.between(*pair, 0.5)) for pair in pairs] if known is not None else []
        return np.concatenate([family.codes, *(code[None] for code in between)])

    @cached_property
    def references(self) -> tuple[ReferencePath, ...]:
        """The paths that a field is taught on: the teacher's, one a condition, or the spline through the anchors."""
        stretch, backbone = self.config.dynamics.stretch, self.prepared.backbone
        if self.config.training.objective is Objective.ANCHOR:
            self.prepared.snapshots.alone("`training.objective`: anchor")
            return (ReferencePath.through(self.prepared.anchored, stretch),)
        if not self.varied:
            return (ReferencePath.of_table(*self.prepared.taught.table(backbone), stretch),)
        tables = [self.prepared.taught.table(backbone, code, self._shared(TABLE_SIZES)) for code in self.codes]
        tokens = np.stack([tokens for _, tokens in tables])
        return ReferencePath.of_tables(tables[0][0], tokens, stretch, self._shared(MARKS))

    def _sensitivities(self) -> list[Float[torch.Tensor, "mark token width"]] | None:
        """Return how much the weights of each path matter, for a field that sees the clock.

        An autonomous field must find out where on the path it is, and the weights that tell are seldom those that
        matter: it did no better with these than with plain squares.
        """
        if not self.dynamics.time:
            return None
        backbone, places = self.prepared.backbone, self._shared(PLACES)
        return [sensitivity(backbone, path, self.prepared.seed, places) for path in self.references]

    def _shared(self, sizes: tuple[int, int]) -> int:
        """Return the size of a table of one of several paths, between the fewest and the most points."""
        fewest, most = sizes
        return min(max(fewest, most * SHARED // len(self.codes)), most)

    def _direct(self) -> tuple[Clock, Direct]:
        teacher = self.prepared.taught
        return Clock.uniform(*teacher.span), teacher.path(self.prepared.backbone)

    def _solved(self) -> tuple[Clock, Rollout]:
        layout, options, paths = self.prepared.backbone.layout, self._with_marks(), self.references
        tokens = torch.cat([torch.as_tensor(path.tokens) for path in paths])
        velocity = torch.cat([torch.as_tensor(path.velocity) for path in paths])
        features, origin = self.codes.shape[1], None
        if features:
            origin = self.prepared.taught.path(self.prepared.backbone)
        field = build_field(layout, options, Units.of(tokens, velocity), self._control(), self.seed, features)
        start = tokens[len(paths) // 2 * len(paths[0].marks)]
        return paths[0].clock, Rollout(start, field, options, origin, coasts=options.time).to(self.device).eval()

    def _with_marks(self) -> DynamicsOptions:
        """Return the options with more marks where forecasts are taught: between the snapshots there are as many."""
        options = self.dynamics
        fitted = float(self.references[0].clock(self.prepared.snapshots.times.max()[None])[0])
        return options.model_copy(update={"steps": math.ceil(options.steps / min(fitted, 1.0) - 1e-6)})

    def _control(self) -> ControlPath | None:
        options = self.config.dynamics
        if options.kind is not DynamicsKind.CDE:
            return None
        anchors = self._mean_anchors() if self.varied else self.prepared.anchored
        most = len(anchors.times) - 1  # so many directions do few anchors differ in, and so many neighbours have they
        z_dim, neighbours = min(options.z_dim, most), min(options.neighbours, most)
        values = project(anchors.tokens, z_dim, options.projection, self.seed, neighbours)
        marks = self.references[0].clock(anchors.times).astype(np.float32)
        if options.time_channel:
            values = np.concatenate([marks[:, None], values], 1)
        path = ControlPath(torch.as_tensor(marks), torch.as_tensor(values))
        forecast = any(bridge.ahead is not None for bridge in self.prepared.bridges)
        return path.extended(1.0) if forecast else path

    def _mean_anchors(self) -> Anchors:
        """Return the teacher's weights at all fitted times, in the mean over the conditions: one control serves all."""
        times = np.unique(self.prepared.snapshots.times)
        first, last = self.prepared.taught.span
        s = torch.as_tensor((times - first) / (last - first), dtype=torch.float32)
        path = self.prepared.taught.path(self.prepared.backbone)
        with torch.no_grad():
            tokens = [path(s, torch.as_tensor(code, dtype=torch.float32)[None]) for code in self.prepared.family.codes]
        return Anchors(times, torch.stack(tokens).mean(0).numpy())

    def _objective(self) -> RolloutObjective:
        clock, options = self.clock, self.config.training
        if options.objective is Objective.ANCHOR:
            return AnchorDistance(self.prepared.anchored, clock, options, self.device)
        prepared = self.prepared
        teacher = prepared.taught.path(prepared.backbone).to(self.device)
        return LogRatio(prepared.backbone, prepared.family, teacher, clock, options)
