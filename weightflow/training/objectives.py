"""Objectives of rollouts: what a solution of the field is held against."""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.anchors import Anchors
from weightflow.backbones import Backbone
from weightflow.bridge import Samples
from weightflow.dynamics import Rollout, solve
from weightflow.path import Clock
from weightflow.training.options import TrainingOptions
from weightflow.training.teacher import draw_times


@runtime_checkable
class RolloutObjective(Protocol):
    """A loss of rollouts, with the path energy priced in."""

    def loss(self, rollout: Rollout, rng: np.random.Generator) -> Float[Tensor, ""]:
        """Evaluate on fresh randomness."""
        ...


class Likelihood:
    """Negative log-likelihood of snapshots, and of bridge samples between them, along one rollout from the start."""

    def __init__(self, backbone: Backbone, bridge: Samples, clock: Clock, options: TrainingOptions) -> None:
        self.backbone = backbone
        self.bridge = bridge
        self.clock = clock
        self.options = options

    def loss(self, rollout: Rollout, rng: np.random.Generator) -> Float[Tensor, ""]:
        """Evaluate at all seen times and some random ones."""
        times = self.bridge.times
        if self.options.random_times:
            times = np.concatenate([times, draw_times(times, self.options.random_times, rng)])
        samples = self.bridge.sample(times, self.options.draws, rng)
        solution = rollout.solution()
        marks = torch.as_tensor(self.clock(times), dtype=torch.float32, device=solution.tokens.device)
        tokens = solution.at(marks.clamp(0, 1)[None])[0]
        log_prob = self.backbone.log_prob(tokens, torch.as_tensor(samples, dtype=torch.float64, device=tokens.device))
        return self.options.energy * solution.energy.mean() - log_prob.mean()


class AnchorDistance:
    """Mean squared distance between rolled-out weights and anchors over windows of anchors (Li et al. 2026).

    The windows are all runs of `window` intervals, each once: random draws from so few would repeat the same work.
    Every window starts at its own anchor and runs over its own stretch of the clock.
    """

    def __init__(self, anchors: Anchors, clock: Clock, options: TrainingOptions, device: torch.device | str) -> None:
        self.options = options
        self.window = min(options.window, len(anchors.times) - 1)
        self.marks = torch.as_tensor(clock(anchors.times), dtype=torch.float32, device=device)
        self.tokens = torch.tensor(anchors.tokens, device=device)

    def loss(self, rollout: Rollout, rng: np.random.Generator) -> Float[Tensor, ""]:
        """Evaluate on every window."""
        starts = torch.arange(len(self.marks) - self.window, device=self.marks.device)
        inside = starts[:, None] + torch.arange(1, self.window + 1, device=self.marks.device)
        options = rollout.options
        steps = max(self.window, -(-options.steps * self.window // (len(self.marks) - 1)))
        begin, end = self.marks[starts], self.marks[starts + self.window]
        solution = solve(rollout.field, self.tokens[starts], begin, end, steps, options)
        distance = (solution.at(self.marks[inside]) - self.tokens[inside]).pow(2).mean()
        return distance + self.options.energy * solution.energy.mean()
