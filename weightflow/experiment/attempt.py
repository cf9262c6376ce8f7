"""One phi of one configuration: its clock, its path of weights, and its training."""

import math
from functools import cached_property

import numpy as np
import torch

from weightflow.dynamics import Direct, DynamicsKind, DynamicsOptions, Rollout, Units, build_field
from weightflow.experiment.config import ExperimentConfig
from weightflow.experiment.preparation import Prepared
from weightflow.path import Clock, ControlPath, ReferencePath, project
from weightflow.training import AnchorDistance, Collocation, Likelihood, Objective, RolloutObjective, Training


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
        collocation = Collocation(self.reference, self.path.field.units, mask, self.device)
        return Training(self.path, collocation, self._objective(), self.config.training, self.seed)

    @cached_property
    def reference(self) -> ReferencePath:
        """The path that a field is taught on: the teacher, or the spline through the anchors."""
        stretch = self.config.dynamics.stretch
        if self.config.training.objective is Objective.ANCHOR:
            return ReferencePath.through(self.prepared.anchored, stretch)
        return ReferencePath.of_table(*self.prepared.taught.table(self.prepared.backbone), stretch)

    def _direct(self) -> tuple[Clock, Direct]:
        teacher = self.prepared.taught
        return Clock.uniform(*teacher.span), teacher.path(self.prepared.backbone)

    def _solved(self) -> tuple[Clock, Rollout]:
        layout, options = self.prepared.backbone.layout, self._with_marks()
        tokens, velocity = (torch.as_tensor(part) for part in (self.reference.tokens, self.reference.velocity))
        field = build_field(layout, options, Units.of(tokens, velocity), self._control(), self.seed)
        return self.reference.clock, Rollout(tokens[0], field, options).to(self.device).eval()

    def _with_marks(self) -> DynamicsOptions:
        """Return the options with more marks where forecasts are taught: between the snapshots there are as many."""
        options = self.config.dynamics
        fitted = float(self.reference.clock(self.prepared.snapshots.times[-1:])[0])
        return options.model_copy(update={"steps": math.ceil(options.steps / min(fitted, 1.0) - 1e-6)})

    def _control(self) -> ControlPath | None:
        options = self.config.dynamics
        if options.kind is not DynamicsKind.CDE:
            return None
        anchors = self.prepared.anchored
        most = len(anchors.times) - 1  # so many directions do few anchors differ in, and so many neighbours have they
        z_dim, neighbours = min(options.z_dim, most), min(options.neighbours, most)
        values = project(anchors.tokens, z_dim, options.projection, self.seed, neighbours)
        marks = self.reference.clock(anchors.times).astype(np.float32)
        if options.time_channel:
            values = np.concatenate([marks[:, None], values], 1)
        path = ControlPath(torch.as_tensor(marks), torch.as_tensor(values))
        return path if self.prepared.bridge.ahead is None else path.extended(1.0)

    def _objective(self) -> RolloutObjective:
        clock, options = self.clock, self.config.training
        if options.objective is Objective.ANCHOR:
            return AnchorDistance(self.prepared.anchored, clock, options, self.device)
        return Likelihood(self.prepared.backbone, self.prepared.samples, clock, options)
