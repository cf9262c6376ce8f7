"""Collocation: regress a vector field on a reference path, without a solver in the loop.

The field is asked, at weights near the path, for the path's own derivative less `pull_back` times the deviation. The
path is then attracting: a rollout that strays is led back, so that small errors of the field do not add up.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.dynamics import Units, VectorField
from weightflow.path import ReferencePath
from weightflow.training.options import TrainingOptions

NOISE = 0.3  # largest random deviation, in units of the path's size
NEIGHBOURS = 0.2  # deviations point to weights of the path up to this far away on the clock


class Collocation:
    """The regression problem of one reference path on one device."""

    def __init__(self, reference: ReferencePath, units: Units, mask: Tensor, device: torch.device | str) -> None:
        self.marks = torch.as_tensor(reference.marks, dtype=torch.float32, device=device)
        self.tokens = torch.as_tensor(reference.tokens, device=device)
        self.velocity = torch.as_tensor(reference.velocity, device=device)
        self.units = units
        self.mask = mask.to(device)

    def loss(self, field: VectorField, options: TrainingOptions, generator: torch.Generator) -> Float[Tensor, ""]:
        """Mean squared error of the field near the path, in units of the path's speed."""
        index = self._draw(options.collocation_batch, generator)
        tokens, deviation = self.tokens[index], self._deviation(index, generator)
        target = self.velocity[index] - options.pull_back * deviation
        return ((field(self.marks[index], tokens + deviation) - target) / self.units.speed).pow(2).mean()

    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randint(len(self.marks), (n,), generator=generator, device=self.marks.device)

    def _deviation(self, index: Tensor, generator: torch.Generator) -> Float[Tensor, "batch token width"]:
        """Random directions, and directions along the path, where rollouts that lag or lead end up."""
        tokens, n = self.tokens[index], len(index)
        how: dict[str, Any] = {"generator": generator, "device": tokens.device}  # nothing is copied to it in a step
        noise, share = (torch.rand(n, 1, 1, **how).to(tokens) for _ in range(2))
        random = torch.randn(tokens.shape, **how).to(tokens) * noise * NOISE * self.units.size
        reach = int(NEIGHBOURS * len(self.marks))
        shift = torch.randint(-reach, reach + 1, (n,), **how)
        neighbour = self.tokens[(index + shift).clamp(0, len(self.marks) - 1)]
        return (random + 0.5 * share * (neighbour - tokens)) * self.mask
