"""A probability for each of the counts 0 .. states - 1 (Li et al. 2026): for small counts.

The last state stands for "this count or more": larger counts are moved to it, in fitting and in evaluation, so that
the density stays normalised over the states and no count is an error. A count is encoded by its binary digits.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from weightflow.types import Options


class Softmax(Options):
    """Free probabilities of `states` counts, for the `species` at these columns of the data."""

    family: Literal["softmax"] = "softmax"
    species: tuple[int, ...]
    states: int

    @property
    def rows(self) -> int:
        """Numbers that describe one conditional."""
        return self.states

    @property
    def features(self) -> int:
        """Length of an encoded value: binary digits of the largest state."""
        return max(1, (self.states - 1).bit_length())

    def take(self, k: int) -> "Softmax":
        """Return the head of the k-th of its species alone."""
        return self.model_copy(update={"species": self.species[k : k + 1]})

    def first_bias(self) -> Float[Tensor, "row"]:
        """Bias of the output layer before fitting: all states alike."""
        return torch.zeros(self.rows)

    def encode(self, x: Float[Tensor, "*shape species"]) -> Float[Tensor, "*shape species feature"]:
        """Binary digits, the lowest first."""
        powers = torch.arange(self.features, device=x.device)
        return ((self._state(x)[..., None] >> powers) & 1).to(x.dtype)

    def log_prob(
        self, params: Float[Tensor, "*shape species row"], x: Float[Tensor, "*shape species"]
    ) -> Float[Tensor, "*shape species"]:
        """Log-probability of counts, in nats."""
        return params.log_softmax(-1).gather(-1, self._state(x)[..., None])[..., 0]

    def log_masses(self, params: Float[Tensor, "*shape species row"]) -> Float[Tensor, "*shape species state"]:
        """Log-probability of each state."""
        return params.log_softmax(-1)

    def quantile(
        self, params: Float[Tensor, "*shape species row"], u: Float[Tensor, "*shape species"]
    ) -> Float[Tensor, "*shape species"]:
        """Smallest count whose cumulative probability reaches `u`."""
        cumulated = params.softmax(-1).cumsum(-1)
        return (u[..., None] > cumulated).sum(-1).clamp(max=self.states - 1).to(params.dtype)

    def _state(self, x: Float[Tensor, "*shape species"]) -> Int[Tensor, "*shape species"]:
        return x.round().long().clamp(0, self.states - 1)
