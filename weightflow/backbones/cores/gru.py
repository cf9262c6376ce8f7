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
        """Take the recurrent matrix, of shape (stack, rows, hidden + 1), the bias last."""
        (recurrent,) = matrices
        return GRUWalk(recurrent[..., :-1].mT, recurrent[..., None, :, -1])


@dataclass(frozen=True)
class GRUWalk:
    """The recurrent gates, the bias apart."""

    w_state: Tensor
    b_state: Tensor

    def read(self, inputs: Tensor) -> Tensor:
        """Read whole sequences of input gates, (stack, species, draw, 3 x hidden)."""
        state = self.start(inputs.shape[2])
        states: list[Tensor] = []
        for one in inputs.unbind(1):
            state = self._next(one, state)
            states.append(state)
        return torch.stack(states, 2)

    def start(self, draws: int) -> Tensor:
        """Zeros."""
        return self.w_state.new_zeros(len(self.w_state), draws, self.w_state.shape[1])

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Read the input gates of one species; the state is also what the next conditional is made of."""
        state = self._next(inputs, state)
        return state, state

    def _next(self, inputs: Tensor, state: Tensor) -> Tensor:
        parts = [2 * state.shape[-1], state.shape[-1]]
        gates_i, new_i = inputs.split(parts, -1)
        gates_h, new_h = torch.baddbmm(self.b_state, state, self.w_state).split(parts, -1)
        reset, update = torch.sigmoid(gates_i + gates_h).chunk(2, -1)
        return torch.lerp(torch.tanh(torch.addcmul(new_i, reset, new_h)), state, update)
