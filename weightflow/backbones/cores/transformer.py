"""Causal Transformer, pre-norm (Vaswani et al. 2017; Xiong et al. 2020): each species attends to those before it.

The norms have no weights of their own, so that all weights are rows of linear layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

from weightflow.backbones.layout import Layer
from weightflow.types import Options

Memory = tuple[tuple[Tensor, Tensor], ...]  # keys and values of each block, (stack, draw, head, species so far, size)


class Transformer(Options):
    """`depth` blocks of `heads` attention heads on `hidden` numbers for each species."""

    kind: Literal["transformer"] = "transformer"
    hidden: int
    depth: int
    heads: int

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> "Transformer":
        if self.hidden % self.heads:
            raise ValueError(f"`heads`={self.heads} must divide `hidden`={self.hidden}")
        return self

    def layers(self, features: int) -> tuple[Layer, ...]:
        """An embedding, then for each block queries, keys and values, their output, and two layers of a perceptron."""
        h = self.hidden
        blocks = [
            layer
            for k in range(1, self.depth + 1)
            for layer in (
                Layer(f"attend{k}", 3 * h, h),
                Layer(f"gather{k}", h, h),
                Layer(f"widen{k}", 2 * h, h),
                Layer(f"narrow{k}", h, 2 * h),
            )
        ]
        return Layer("embed", h, features), *blocks

    def bind(self, matrices: Sequence[Tensor]) -> "TransformerWalk":
        """Take the matrices of the blocks, each of shape (stack, rows, fan_in + 1), the bias last."""
        return TransformerWalk(tuple((m[..., :-1].mT, m[..., None, :, -1]) for m in matrices), self.heads)


@dataclass(frozen=True)
class TransformerWalk:
    """Each layer's matrix and bias; keys and values of the species before are remembered."""

    parts: tuple[tuple[Tensor, Tensor], ...]
    heads: int

    def read(self, inputs: Tensor) -> Tensor:
        """Read whole sequences of embeddings, (stack, species, draw, hidden), each under a causal mask."""
        shape = (inputs.shape[1], inputs.shape[2])
        return self._walk(inputs.flatten(1, 2), shape, ())[0].unflatten(1, shape).transpose(1, 2)

    def start(self, draws: int) -> Memory:
        """Nothing to attend to."""
        return ()

    def step(self, inputs: Tensor, state: Memory) -> tuple[Tensor, Memory]:
        """Read one embedding, attend to all before it and to itself."""
        return self._walk(inputs, (1, inputs.shape[1]), state)

    def _walk(self, x: Tensor, shape: tuple[int, int], state: Memory) -> tuple[Tensor, Memory]:
        """Read (stack, species x draw, hidden); `shape` says how many species and draws they are."""
        memory: list[tuple[Tensor, Tensor]] = []
        for block in range(len(self.parts) // 4):
            first = 4 * block
            query, key, value = (self._split(part, shape) for part in self._linear(first, _norm(x)).chunk(3, -1))
            if state:
                key, value = torch.cat([state[block][0], key], -2), torch.cat([state[block][1], value], -2)
            memory.append((key, value))
            # with one axis for stack and draw torch takes a kernel that holds no table of species by species
            q, k, v = (part.flatten(0, 1) for part in (query, key, value))
            attended = scaled_dot_product_attention(q, k, v, is_causal=shape[0] > 1).unflatten(0, query.shape[:2])
            x = x + self._linear(first + 1, attended.permute(0, 3, 1, 2, 4).flatten(3).flatten(1, 2))
            x = x + self._linear(first + 3, gelu(self._linear(first + 2, _norm(x))))
        return _norm(x), tuple(memory)

    def _linear(self, k: int, x: Tensor) -> Tensor:
        matrix, bias = self.parts[k]
        return torch.baddbmm(bias, x, matrix)

    def _split(self, x: Tensor, shape: tuple[int, int]) -> Tensor:
        return x.unflatten(1, shape).unflatten(-1, (self.heads, -1)).permute(0, 2, 3, 1, 4)


def _norm(x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:])
