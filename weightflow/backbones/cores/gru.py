"""Gated recurrent unit (Cho et al. 2014), the backbone of Li et al. 2026."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from weightflow.backbones.layout import Layer
from weightflow.types import Options


class GRU(Options):
    """A recurrent state of `hidden` numbers."""

    kind: Literal["gru"] = "gru"
    hidden: int

    def layers(self, features: int) -> tuple[Layer, ...]:
        """Input gates and recurrent gates, in torch's order: reset, update, new."""
        return Layer("input", 3 * self.hidden, features), Layer("recurrent", 3 * self.hidden, self.hidden)

    def bind(self, matrices: Sequence[Tensor]) -> "GRUWalk":
        """Take the matrices of `layers`, each of shape (stack, rows, fan_in + 1), the bias last."""
        parts = [part for matrix in matrices for part in (matrix[..., :-1].mT, matrix[..., None, :, -1])]
        return GRUWalk(*parts)


@dataclass(frozen=True)
class GRUWalk:
    """The GRU's matrices, the bias apart."""

    w_input: Tensor
    b_input: Tensor
    w_state: Tensor
    b_state: Tensor

    def read(self, features: Tensor) -> Tensor:
        """Read whole sequences of encoded values, (stack, draw, species, feature); what goes in is mapped at once."""
        inputs = torch.baddbmm(self.b_input, features.flatten(1, 2), self.w_input).unflatten(1, features.shape[1:3])
        state = self.start(features.shape[1])
        states: list[Tensor] = []
        for one in inputs.unbind(2):
            state = self._next(one, state)
            states.append(state)
        return torch.stack(states, 2)

    def start(self, draws: int) -> Tensor:
        """Zeros."""
        return self.w_state.new_zeros(len(self.w_state), draws, self.w_state.shape[1])

    def step(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Read one encoded value; the state is also what the next conditional is made of."""
        state = self._next(torch.baddbmm(self.b_input, features, self.w_input), state)
        return state, state

    def _next(self, inputs: Tensor, state: Tensor) -> Tensor:
        reset_i, update_i, new_i = inputs.chunk(3, -1)
        reset_h, update_h, new_h = torch.baddbmm(self.b_state, state, self.w_state).chunk(3, -1)
        update = torch.sigmoid(update_i + update_h)
        new = torch.tanh(new_i + torch.sigmoid(reset_i + reset_h) * new_h)
        return new + update * (state - new)
