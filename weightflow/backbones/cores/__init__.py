"""Cores: networks that read one value after the other, one file for each.

A core is a pure function of its matrices, one for each of its `layers`, with a leading axis for the stack of weights.
The first layer reads values and places; the backbone, which knows them, applies it. `bind` prepares the others once for
a walk over the species.
"""

from typing import Annotated, Any, Protocol, runtime_checkable

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from weightflow.backbones.cores.gru import GRU
from weightflow.backbones.cores.transformer import Transformer

Core = Annotated[GRU | Transformer, Field(discriminator="kind")]

__all__ = ["GRU", "Core", "Transformer", "Walk"]


@runtime_checkable
class Walk(Protocol):
    """A core with its weights, ready to walk over the species."""

    def read(self, inputs: Float[Tensor, "stack species draw row"]) -> Float[Tensor, "stack draw species hidden"]:
        """Read whole sequences of what the first layer gave; the k-th answer depends on the first k alone.

        The species come first on the way in, where they are walked over, and last on the way out, as in the samples.
        """
        ...

    def start(self, draws: int) -> Any:
        """Return the state before the first species."""
        ...

    def step(self, inputs: Float[Tensor, "stack draw row"], state: Any) -> tuple[Tensor, Any]:
        """Read what the first layer gave for one species.

        Returns:
            what the next conditional is made of, shape (stack, draw, hidden), and the state.
        """
        ...
