"""The weight graph: a network's weights as a set of tokens.

Each row of a linear layer (a neuron's incoming weights, then its bias) is one token; rows are padded with zeros to the
longest, which gives `tokens` of shape (token, width).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Layer:
    """One linear layer: `rows` neurons with `fan_in` weights and a bias each."""

    name: str
    rows: int
    fan_in: int


@dataclass(frozen=True)
class TokenLayout:
    """Which token belongs to which layer; `pack` and `unpack` are each other's inverse."""

    layers: tuple[Layer, ...]

    @property
    def n_tokens(self) -> int:
        """Number of tokens: the rows of all layers."""
        return sum(layer.rows for layer in self.layers)

    @property
    def width(self) -> int:
        """Length of a token: the longest row with its bias."""
        return max(layer.fan_in for layer in self.layers) + 1

    @property
    def n_weights(self) -> int:
        """Number of weights without the padding."""
        return sum(layer.rows * (layer.fan_in + 1) for layer in self.layers)

    @cached_property
    def mask(self) -> Bool[Tensor, "token width"]:
        """True where a token holds a weight, false where it is padded."""
        used = [layer.fan_in + 1 for layer in self.layers for _ in range(layer.rows)]
        return torch.arange(self.width)[None, :] < torch.tensor(used)[:, None]

    @cached_property
    def layer_of(self) -> Int[Tensor, "token"]:
        """Place in `layers` of each token's layer."""
        return torch.repeat_interleave(torch.arange(len(self.layers)), torch.tensor([x.rows for x in self.layers]))

    @cached_property
    def neighbours(self) -> Bool[Tensor, "layer layer"]:
        """Which layers touch in the weight graph: each one itself, and those before and after it in `layers`."""
        place = torch.arange(len(self.layers))
        return (place[:, None] - place[None, :]).abs() <= 1

    def unpack(self, tokens: Float[Tensor, "*stack token width"]) -> tuple[Tensor, ...]:
        """Split into one matrix per layer, shape (*stack, rows, fan_in + 1), the bias last."""
        blocks = tokens.split([layer.rows for layer in self.layers], dim=-2)
        return tuple(block[..., : layer.fan_in + 1] for block, layer in zip(blocks, self.layers, strict=True))

    def pack(self, matrices: Sequence[Tensor]) -> Float[Tensor, "*stack token width"]:
        """Join one matrix per layer into tokens."""
        padded = [torch.nn.functional.pad(matrix, (0, self.width - matrix.shape[-1])) for matrix in matrices]
        return torch.cat(padded, dim=-2)
