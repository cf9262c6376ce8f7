"""Graph attention over the tokens of the weight graph: the network inside every vector field.

Each layer of the backbone has its own input and output map; between them a Transformer encoder lets every token attend
to every other (Li et al. 2026, section "Hypernetwork"). A token also carries a learned embedding of its place in the
graph, since the rows of a layer are not interchangeable once the anchors are aligned.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from weightflow.backbones import TokenLayout

CLOCK_FREQUENCIES = 5  # half periods of 1, 1/2, .. 1/16 of the fitted span: finer ones make rollouts stiff


class GraphAttention(nn.Module):
    """Map tokens (and, if asked, the clock) to `channels` numbers for every weight."""

    def __init__(
        self, layout: TokenLayout, hidden: int, depth: int, heads: int, dropout: float, channels: int, clock: bool
    ) -> None:
        super().__init__()
        self.layout = layout
        self.channels = channels
        self.inputs = nn.ModuleList(nn.Linear(layer.fan_in + 1, hidden) for layer in layout.layers)
        self.place = nn.Parameter(torch.randn(layout.n_tokens, hidden) * 0.1)
        self.clock = nn.Linear(2 * CLOCK_FREQUENCIES + 1, hidden) if clock else None
        encoder = nn.TransformerEncoderLayer(
            hidden, heads, 2 * hidden, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(encoder, depth, nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.outputs = nn.ModuleList(nn.Linear(hidden, (layer.fan_in + 1) * channels) for layer in layout.layers)

    def forward(
        self, t: Float[Tensor, "batch"], tokens: Float[Tensor, "batch token width"]
    ) -> Float[Tensor, "batch token width channel"]:
        """Evaluate at the clock times `t`, one for each set of tokens."""
        blocks = self.layout.unpack(tokens)
        hidden = torch.cat([embed(block) for embed, block in zip(self.inputs, blocks, strict=True)], 1) + self.place
        if self.clock is not None:
            hidden = hidden + self.clock(clock_features(t))[:, None]
        hidden = self.encoder(hidden)
        rows = [layer.rows for layer in self.layout.layers]
        padded: list[Tensor] = []
        for head, block in zip(self.outputs, hidden.split(rows, 1), strict=True):
            out = head(block).unflatten(-1, (-1, self.channels))
            padded.append(nn.functional.pad(out, (0, 0, 0, self.layout.width - out.shape[-2])))
        return torch.cat(padded, 1)


def clock_features(t: Float[Tensor, "batch"]) -> Float[Tensor, "batch feature"]:
    """The clock itself with sines and cosines of half periods 1, 1/2, 1/4, .."""
    angles = math.pi * t[:, None] * 2.0 ** torch.arange(CLOCK_FREQUENCIES, device=t.device)
    return torch.cat([t[:, None], angles.sin(), angles.cos()], 1)
