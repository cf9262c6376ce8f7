"""Objectives of rollouts: what a solution of the field is held against."""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.anchors import Anchors
from weightflow.backbones import Backbone
from weightflow.bridge import Family
from weightflow.dynamics import Rollout, solve
from weightflow.path import Clock
from weightflow.training.options import TrainingOptions
from weightflow.training.teacher import with_times_between


@runtime_checkable
class RolloutObjective(Protocol):
    """A loss of rollouts, with the path energy priced in."""

    def loss(self, rollout: Rollout, rng: np.random.Generator) -> Float[Tensor, ""]:
        """Evaluate on fresh randomness."""
        ...


class Likelihood:
    """Negative log-likelihood of snapshots, and of bridge samples between them, along rollouts from the start.

    Of several conditions each step takes some, and solves them as one batch.
    """

    def __init__(self, backbone: Backbone, family: Family, clock: Clock, options: TrainingOptions) -> None:
        self.backbone = backbone
        self.family = family
        self.clock = clock
        self.options = options

    def loss(self, rollout: Rollout, rng: np.random.Generator) -> Float[Tensor, ""]:
        """Evaluate at all seen times and some random ones."""
        family, options, place = self.family, self.options, rollout.start.device
        chosen = family.chosen(rng)
        courses = [family.courses[i] for i in chosen]
        times = [with_times_between(course.times, options.random_times, rng) for course in courses]
        samples = [course.sample(when, options.draws, rng) for course, when in zip(courses, times, strict=True)]
        sizes = [len(when) for when in times]
        codes = torch.as_tensor(family.codes[chosen], dtype=torch.float32, device=place) if family.conditions else None
        solution = rollout.solution(codes=codes)
        # windows have as many queries as the longest: those of shorter ones are asked again, and not used
        asked = np.stack([np.resize(self.clock(when), max(sizes)) for when in times])
        found = solution.at(torch.as_tensor(asked, dtype=torch.float32, device=place).clamp(0, 1))
        tokens = torch.cat([one[:size] for one, size in zip(found, sizes, strict=True)])
        data = torch.as_tensor(np.concatenate(samples), dtype=torch.float64, device=place)
        return options.energy * solution.energy.mean() - self.backbone.log_prob(tokens, data).mean()


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
