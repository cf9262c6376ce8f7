"""The weights at some clock times put to work, on so many samples at once that memory is bounded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.backbones import MAX_VALUES, Backbone
from weightflow.dynamics import Between, Direct, Rollout, Solved, Table, Under

AnyPath = Rollout | Solved | Table | Direct | Under | Between
Function = Callable[[Tensor, Tensor], Tensor]  # of (weights, values), with axes (time, draw) in front of the answer


@dataclass(frozen=True, eq=False)
class Engine:
    """A backbone and its path of weights; what comes out lies on the CPU, wherever it was computed."""

    backbone: Backbone
    path: AnyPath

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(iter(self.path.state_dict().values())).device

    @property
    def max_values(self) -> int:
        """How many numbers are held at once, about."""
        return MAX_VALUES

    def weights(self, clock: Float[Tensor, "time"]) -> Float[Tensor, "time token width"]:
        """Return the weights at clock times, on the engine's own device."""
        with torch.no_grad():
            return self.path.weights(clock.to(self.device))

    def each(self, clock: Float[Tensor, "time"]) -> Iterator[Float[Tensor, "1 token width"]]:
        """Yield the weights at one time after the other, in double precision, on the engine's own device."""
        for part in clock.split(self._times_at_once):
            yield from self.weights(part).double().split(1)

    def apply(
        self,
        function: Function,
        clock: Float[Tensor, "time"],
        values: Float[Tensor, "time draw dim"],
    ) -> Tensor:
        """Apply a function of (weights, values) at several times."""
        parts = zip(clock.split(self._times_at_once), values.split(self._times_at_once), strict=True)
        return torch.cat([self.over_draws(function, self.weights(t).double(), clouds) for t, clouds in parts])

    def over_draws(
        self,
        function: Function,
        tokens: Float[Tensor, "time token width"],
        values: Float[Tensor, "time draw dim"],
    ) -> Tensor:
        """Apply a function of (weights, values) with weights that are there already."""
        draws = max(1, self.max_values // (len(tokens) * self.backbone.held))
        with torch.no_grad():
            return torch.cat([function(tokens, part.to(self.device)).cpu() for part in values.split(draws, 1)], 1)

    @property
    def _times_at_once(self) -> int:
        return max(1, self.max_values // max(self.backbone.held, self.backbone.layout.mask.numel()))
