"""Collocation: regress a vector field on a reference path, without a solver in the loop.

The field is asked, at weights near the path, for the path's own derivative less `pull_back` times the deviation. The
path is then attracting: a rollout that strays is led back, so that small errors of the field do not add up. Errors may
count by how much the weight that they move matters (`sensitivity`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.dynamics import CDEField, ODEField, Units
from weightflow.path import ReferencePath
from weightflow.training.options import TrainingOptions

NOISE = 0.3  # largest random deviation, in units of the path's size
NEIGHBOURS = 0.2  # deviations point to weights of the path up to this far away on the clock


class Collocation:
    """The regression problem of reference paths on one device: one path, or one for each of some conditions."""

    def __init__(
        self,
        references: Sequence[ReferencePath],
        units: Units,
        mask: Tensor,
        device: torch.device | str,
        codes: Float[np.ndarray, "path feature"] | None = None,
        sensitivities: Sequence[Float[Tensor, "mark token width"]] | None = None,
    ) -> None:
        self.marks = torch.as_tensor(references[0].marks, dtype=torch.float32, device=device)
        self.tokens = torch.stack([torch.as_tensor(one.tokens, device=device) for one in references])
        self.velocity = torch.stack([torch.as_tensor(one.velocity, device=device) for one in references])
        self.codes = None if codes is None else torch.as_tensor(codes, dtype=torch.float32, device=device)
        self.weights = None if sensitivities is None else torch.stack([one.to(device) for one in sensitivities])
        self.units = units
        self.mask = mask.to(device)

    def loss(
        self, field: ODEField | CDEField, options: TrainingOptions, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Mean squared error of the field near the path, weighted where asked for, in units of the path's speed."""
        path, index = self._draw(options.collocation_batch, generator)
        tokens, deviation = self.tokens[path, index], self._deviation(path, index, generator)
        target = self.velocity[path, index] - options.pull_back * deviation
        code = None if self.codes is None else self.codes[path]
        squares = ((field(self.marks[index], tokens + deviation, code) - target) / self.units.speed).pow(2)
        return (squares if self.weights is None else squares * self.weights[path, index]).mean()

    def _draw(self, n: int, generator: torch.Generator) -> tuple[Tensor | int, Tensor]:
        """Draw paths, where there are several, and places on them."""
        how: dict[str, Any] = {"generator": generator, "device": self.marks.device}
        index = torch.randint(len(self.marks), (n,), **how)
        return (0 if len(self.tokens) == 1 else torch.randint(len(self.tokens), (n,), **how)), index

    def _deviation(
        self, path: Tensor | int, index: Tensor, generator: torch.Generator
    ) -> Float[Tensor, "batch token width"]:
        """Random directions, and directions along the path, where rollouts that lag or lead end up."""
        tokens, n = self.tokens[path, index], len(index)
        how: dict[str, Any] = {"generator": generator, "device": tokens.device}  # nothing is copied to it in a step
        noise, share = (torch.rand(n, 1, 1, **how).to(tokens) for _ in range(2))
        random = torch.randn(tokens.shape, **how).to(tokens) * noise * NOISE * self.units.size
        reach = int(NEIGHBOURS * len(self.marks))
        shift = torch.randint(-reach, reach + 1, (n,), **how)
        neighbour = self.tokens[path, (index + shift).clamp(0, len(self.marks) - 1)]
        return (random + 0.5 * share * (neighbour - tokens)) * self.mask
