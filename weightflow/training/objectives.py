"""Objectives of rollouts: what a solution of the field is held against."""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import huber_loss

from weightflow.anchors import Anchors
from weightflow.backbones import Backbone
from weightflow.bridge import Draws, Family
from weightflow.dynamics import Direct, Rollout, solve
from weightflow.path import Clock
from weightflow.training.options import TrainingOptions
from weightflow.training.teacher import draw_within, tokens_at


@runtime_checkable
class RolloutObjective(Protocol):
    """A loss of rollouts, with the path energy priced in."""

    def loss(self, rollout: Rollout, rng: np.random.Generator) -> Float[Tensor, ""]:
        """Evaluate on fresh randomness."""
        ...


class LogRatio:
    """How far log-densities along rollouts are from the teacher's, at snapshots and at bridge samples between them.

    With r = log p(x; theta(t)) - log p(x; theta_teacher(t)) the loss is the mean of r^2 / 2, and of |r| - 1/2 where |r|
    is above one nat: a sample that one of the two holds impossible does not rule a step. To second order in the
    deviation d of the weights it is d F d / 2 with their Fisher information F, the Kullback-Leibler divergence, as for
    a likelihood; but its gradient has no noise left where the two agree, while that of a likelihood keeps the noise of
    the samples. Of several conditions each step takes some, and solves them as one batch.
    """

    def __init__(
        self, backbone: Backbone, family: Family, teacher: Direct, clock: Clock, options: TrainingOptions
    ) -> None:
        self.backbone = backbone
        self.family = family
        self.teacher = teacher
        self.clock = clock
        self.options = options

    def loss(self, rollout: Rollout, rng: np.random.Generator) -> Float[Tensor, ""]:
        """Evaluate at all seen times and some random ones."""
        family, options, place = self.family, self.options, rollout.start.device
        drawn = draw_within(family, family.options.per_step, options.random_times, options.draws, rng)
        starts = np.cumsum([0, *drawn.sizes[:-1]])
        codes = torch.as_tensor(drawn.codes[starts], dtype=torch.float32, device=place) if family.conditions else None
        solution = rollout.solution(codes=codes)
        # windows have as many queries as the longest: those of shorter ones are asked again, and not used
        times, longest = np.split(drawn.times, starts[1:]), max(drawn.sizes)
        asked = np.stack([np.resize(self.clock(when), longest) for when in times])
        found = solution.at(torch.as_tensor(asked, dtype=torch.float32, device=place).clamp(0, 1))
        tokens = torch.cat([one[:size] for one, size in zip(found, drawn.sizes, strict=True)])
        return options.energy * solution.energy.mean() + self.apart(tokens, drawn)

    def apart(self, tokens: Float[Tensor, "query token width"], drawn: Draws) -> Float[Tensor, ""]:
        """Hold weights at the times of some draws against the teacher's there."""
        data = torch.as_tensor(drawn.samples, dtype=torch.float64, device=tokens.device)
        with torch.no_grad():
            best = self.backbone.log_prob(tokens_at(self.teacher, self.family, drawn, tokens.device), data)
        return huber_loss(self.backbone.log_prob(tokens, data), best)


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
