"""Autoregressive GRU for counts: p(x) = prod_i p(x_i | x_1 .. x_{i-1}), as a function of (weights, samples).

The value of the species before is fed as its binary digits; a softmax over the `states` values 0 .. states - 1 gives
the next one (Li et al. 2026, section "Backbone"). The last state stands for "this count or more": larger counts are
moved to it, in fitting and in evaluation, so that the density stays normalised over the states and no count is an
error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from weightflow.backbones.layout import Layer, TokenLayout
from weightflow.types import Options


class GRUOptions(Options):
    """Architecture of the backbone."""

    kind: Literal["gru"] = "gru"
    hidden: int = 8


@dataclass(frozen=True)
class GRUBackbone:
    """The pure function; it owns no weights.

    Attributes:
        dim: number of species.
        states: number of values that a count can take (the largest seen count plus one).
        hidden: size of the recurrent state.
    """

    dim: int
    states: int
    hidden: int

    @property
    def digits(self) -> int:
        """Binary digits of the largest value."""
        return max(1, (self.states - 1).bit_length())

    @cached_property
    def layout(self) -> TokenLayout:
        """Input gates, recurrent gates and output, in this order."""
        return TokenLayout(
            (
                Layer("input", 3 * self.hidden, self.digits),
                Layer("recurrent", 3 * self.hidden, self.hidden),
                Layer("output", self.states, self.hidden),
            )
        )

    def init(self, generator: torch.Generator) -> Float[Tensor, "token width"]:
        """Draw initial weights, uniform in +-1/sqrt(hidden) as in torch's own GRU."""
        bound = self.hidden**-0.5
        shape = (self.layout.n_tokens, self.layout.width)
        return (torch.rand(shape, generator=generator) * 2 - 1) * bound * self.layout.mask

    def log_prob(
        self,
        tokens: Float[Tensor, "stack token width"],
        samples: Float[Tensor, "stack draw dim"],
        species: int | None = None,
    ) -> Float[Tensor, "stack draw"]:
        """Log-probability of `samples`, or of their first `species` dimensions, under each set of weights."""
        values = self._to_states(samples)
        conditionals = self._conditionals(tokens, values)
        chosen = [logits.gather(-1, values[..., i : i + 1])[..., 0] for i, logits in enumerate(conditionals)]
        return torch.stack(chosen)[:species].sum(0)

    def marginals(
        self,
        tokens: Float[Tensor, "stack token width"],
        samples: Float[Tensor, "stack draw dim"],
        weights: Float[Tensor, "stack draw"],
    ) -> Float[Tensor, "stack dim state"]:
        """Average the conditionals p(x_i | x_1 .. x_{i-1}) over weighted samples of the species before.

        The marginals are exact where samples and weights list all states with their probabilities; over samples of the
        model itself (equal weights) they have less variance than histograms.
        """
        conditionals = self._conditionals(tokens, self._to_states(samples))
        return torch.stack([torch.einsum("sd,sdv->sv", weights, logits.exp()) for logits in conditionals], 1)

    def sample(
        self, tokens: Float[Tensor, "stack token width"], n: int, generator: torch.Generator
    ) -> Float[Tensor, "stack draw dim"]:
        """Draw `n` samples under each set of weights of the stack."""
        cell = _Cell.of(self, tokens)
        state = tokens.new_zeros(len(tokens), n, self.hidden)
        digits = tokens.new_zeros(len(tokens), n, self.digits)
        drawn: list[Tensor] = []
        for _ in range(self.dim):
            state = cell.step(digits, state)
            cumulated = cell.logits(state).softmax(-1).cumsum(-1)
            uniform = torch.rand(cumulated.shape[:2], generator=generator, device=tokens.device)
            value = (uniform[..., None] > cumulated).sum(-1).clamp(max=self.states - 1)
            drawn.append(value)
            digits = self._encode(value)
        return torch.stack(drawn, -1).to(tokens.dtype)

    def _to_states(self, samples: Float[Tensor, "stack draw dim"]) -> Int[Tensor, "stack draw dim"]:
        return samples.round().long().clamp(0, self.states - 1)

    def _conditionals(
        self, tokens: Float[Tensor, "stack token width"], values: Int[Tensor, "stack draw dim"]
    ) -> Iterator[Float[Tensor, "stack draw state"]]:
        """Yield log p(x_i | x_1 .. x_{i-1}) for one species after the other."""
        cell = _Cell.of(self, tokens)
        state = tokens.new_zeros(*values.shape[:2], self.hidden)
        digits = tokens.new_zeros(*values.shape[:2], self.digits)
        for i in range(self.dim):
            state = cell.step(digits, state)
            yield cell.logits(state).log_softmax(-1)
            digits = self._encode(values[..., i])

    def _encode(self, values: Int[Tensor, "stack draw"]) -> Float[Tensor, "stack draw digit"]:
        powers = torch.arange(self.digits, device=values.device)
        return ((values[..., None] >> powers) & 1).to(torch.get_default_dtype())


@dataclass(frozen=True)
class _Cell:
    """The GRU's matrices for a whole stack, the bias apart."""

    w_input: Tensor
    b_input: Tensor
    w_state: Tensor
    b_state: Tensor
    w_output: Tensor
    b_output: Tensor

    @classmethod
    def of(cls, backbone: GRUBackbone, tokens: Tensor) -> "_Cell":
        parts: list[Tensor] = []
        for matrix in backbone.layout.unpack(tokens):
            parts += [matrix[..., :-1].transpose(-1, -2), matrix[..., None, :, -1]]
        return cls(*parts)

    def step(self, digits: Tensor, state: Tensor) -> Tensor:
        reset_i, update_i, new_i = torch.baddbmm(self.b_input, digits, self.w_input).chunk(3, -1)
        reset_h, update_h, new_h = torch.baddbmm(self.b_state, state, self.w_state).chunk(3, -1)
        update = torch.sigmoid(update_i + update_h)
        new = torch.tanh(new_i + torch.sigmoid(reset_i + reset_h) * new_h)
        return new + update * (state - new)

    def logits(self, state: Tensor) -> Tensor:
        return torch.baddbmm(self.b_output, state, self.w_output)
