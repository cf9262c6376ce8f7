"""Cores: networks that read one value after the other, one file for each.

A core is a pure function of its matrices, one for each of its `layers`, with a leading axis for the stack of weights.
`bind` prepares them once for a walk over the species.
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

    def read(self, features: Float[Tensor, "stack draw species feature"]) -> Float[Tensor, "stack draw species hidden"]:
        """Read whole sequences of encoded values; the k-th answer depends on the first k alone."""
        ...

    def start(self, draws: int) -> Any:
        """Return the state before the first species."""
        ...

    def step(self, features: Float[Tensor, "stack draw feature"], state: Any) -> tuple[Tensor, Any]:
        """Read one encoded value; return what the next conditional is made of, (stack, draw, hidden), and the state."""
        ...
