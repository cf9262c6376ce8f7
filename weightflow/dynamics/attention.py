"""Graph attention over the tokens of the weight graph: the network inside every vector field.

Each layer of the backbone has its own input and output map; between them a Transformer encoder lets every token attend
to every other, or to those of its own and the neighbouring layers (Li et al. 2026, section "Hypernetwork"). A token
also carries a learned embedding of its place in the graph, since the rows of a layer are not interchangeable once the
anchors are aligned. A condition, where there are several, enters in one of the ways of `Conditioning`.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from weightflow.backbones import TokenLayout
from weightflow.dynamics.options import Conditioning, DynamicsOptions, Reach

CLOCK_FREQUENCIES = 5  # half periods of 1, 1/2, .. 1/16 of the fitted span: finer ones make rollouts stiff
FIRST_OUTPUT_SCALE = 0.02  # a new field is nearly still: its first rollouts stay near the start


class GraphAttention(nn.Module):
    """Map tokens (and, if asked, the clock) to `channels` numbers for every weight.

    The maps of all layers lie in one array, padded to the longest row: a module for each layer, and padding for each
    result, would cost more time than the arithmetic.
    """

    used: Float[Tensor, "token width"]
    reach: Bool[Tensor, "token token"] | None

    def __init__(self, layout: TokenLayout, options: DynamicsOptions, channels: int, features: int = 0) -> None:
        super().__init__()
        hidden, n_layers, width = options.hidden, len(layout.layers), layout.width
        self.rows = [layer.rows for layer in layout.layers]
        self.channels = channels
        fan_in = torch.tensor([layer.fan_in + 1.0 for layer in layout.layers])
        self.inputs = nn.Parameter((torch.rand(n_layers, width, hidden) * 2 - 1) / fan_in.sqrt()[:, None, None])
        self.place = nn.Parameter(torch.randn(layout.n_tokens, hidden) * 0.1)
        self.clock = nn.Linear(2 * CLOCK_FREQUENCIES + 1, hidden) if options.time else None
        self.blocks = nn.ModuleList(_Block(hidden, options.heads, options.dropout) for _ in range(options.depth))
        self.norm = nn.LayerNorm(hidden)
        self.outputs = nn.Parameter(torch.randn(n_layers, hidden, width * channels) * FIRST_OUTPUT_SCALE)
        self.bias = nn.Parameter(torch.zeros(layout.n_tokens, width * channels))
        # last of all, so that the first weights of a field without conditions are what they always were
        self.conditioning = options.conditioning if features else None
        modulated = self.conditioning is Conditioning.MODULATION
        width_of_condition = 2 * hidden * options.depth if modulated else hidden
        self.condition = nn.Linear(features, width_of_condition) if features else None
        self.register_buffer("used", layout.mask.float(), persistent=False)
        self.register_buffer("reach", _reach(layout, options, bool(features)), persistent=False)

    def forward(
        self,
        t: Float[Tensor, "batch"],
        tokens: Float[Tensor, "batch token width"],
        code: Float[Tensor, "batch feature"] | None = None,
    ) -> Float[Tensor, "batch token width channel"]:
        """Evaluate at the clock times `t`, one for each set of tokens, under the conditions `code`."""
        hidden = self._by_layer(tokens, self.inputs) + self.place
        if self.clock is not None:
            hidden = hidden + self.clock(clock_features(t))[:, None]
        seen = None if self.condition is None or code is None else self.condition(code)
        if seen is not None and self.conditioning is Conditioning.ADDED:
            hidden = hidden + seen[:, None]
        if seen is not None and self.conditioning is Conditioning.TOKEN:
            hidden = torch.cat([hidden, seen[:, None]], 1)
        modulation: Sequence[Tensor | None] = [None] * len(self.blocks)
        if seen is not None and self.conditioning is Conditioning.MODULATION:
            modulation = seen[:, None].chunk(len(self.blocks), -1)
        for block, change in zip(self.blocks, modulation, strict=True):
            hidden = block(hidden, self.reach, change)
        hidden = hidden[:, : self.used.shape[0]]
        out = self._by_layer(self.norm(hidden), self.outputs) + self.bias
        return out.unflatten(-1, (-1, self.channels)) * self.used[..., None]

    def _by_layer(
        self, x: Float[Tensor, "batch token from"], maps: Float[Tensor, "layer from to"]
    ) -> Float[Tensor, "batch token to"]:
        """Multiply each token by the matrix of its layer."""
        blocks = zip(x.split(self.rows, 1), maps.unbind(0), strict=True)
        return torch.cat([block @ matrix for block, matrix in blocks], 1)


class _Block(nn.Module):
    """A Transformer layer that normalises before attention and before the two-layer network after it."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))
        self.query_key_value = nn.Linear(hidden, 3 * hidden)
        self.merge = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.feed = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU(), self.dropout, nn.Linear(2 * hidden, hidden))

    def forward(
        self,
        x: Float[Tensor, "batch token hidden"],
        reach: Bool[Tensor, "token token"] | None,
        modulation: Float[Tensor, "batch 1 twice"] | None = None,
    ) -> Float[Tensor, "batch token hidden"]:
        before_attention, before_feed = self.norms
        attending = before_attention(x)
        if modulation is not None:
            scale, shift = modulation.chunk(2, -1)
            attending = (1 + scale) * attending + shift
        x = x + self.dropout(self._attend(attending, reach))
        return x + self.dropout(self.feed(before_feed(x)))

    def _attend(
        self, x: Float[Tensor, "batch token hidden"], reach: Bool[Tensor, "token token"] | None
    ) -> Float[Tensor, "batch token hidden"]:
        query, key, value = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).transpose(1, 3).unbind(2)
        dropout = self.dropout.p if self.training else 0.0
        heads = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=reach, dropout_p=dropout)
        return self.merge(heads.transpose(1, 2).flatten(2))


def _reach(layout: TokenLayout, options: DynamicsOptions, conditions: bool) -> Bool[Tensor, "token token"] | None:
    """Which token (row) attends to which (column), the token of a condition to all and all to it; None: all to all."""
    if options.attention is Reach.COMPLETE:
        return None
    reach = layout.neighbours[layout.layer_of][:, layout.layer_of]
    more = int(conditions and options.conditioning is Conditioning.TOKEN)
    return nn.functional.pad(reach, (0, more, 0, more), value=True)


def clock_features(t: Float[Tensor, "batch"]) -> Float[Tensor, "batch feature"]:
    """The clock itself with sines and cosines of half periods 1, 1/2, 1/4, ..

    Beyond 1, where no data are, the clock stands still and the field is autonomous: what a periodic feature does there
    was never fitted, and most would replay what the field did inside the fitted span. (Epidemic fitted to 70 % of its
    times, three seeds: the JSD after them is the same on average as with a clock that runs on, and varies less.)
    """
    t = t.clamp(max=1.0)
    angles = math.pi * t[:, None] * 2.0 ** torch.arange(CLOCK_FREQUENCIES, device=t.device)
    return torch.cat([t[:, None], angles.sin(), angles.cos()], 1)
