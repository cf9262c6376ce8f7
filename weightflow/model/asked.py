"""Times, samples and numbers of draws as users give them.

One rule holds for all that a model answers: several times, in a sequence of any length, are the answer's first axis;
one bare number is a single time, and its answer has no such axis.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from weightflow.data.words import written
from weightflow.errors import InputError

Numbers = float | int | Sequence[Any] | np.ndarray | Tensor  # what users may give for times and samples
ROOM = 60  # characters of a value in a message


def array_of(name: str, values: Numbers) -> Float[np.ndarray, "*shape"]:
    """Return numbers in double precision, whatever holds them, on whichever device.

    Raises:
        InputError: they are no numbers.
    """
    try:
        return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"`{name}`={shortened(values)} holds what is no number; give numbers alone.") from None


def check_draws(name: str, n: int) -> None:
    """Check that so many samples can be drawn.

    Raises:
        InputError: it is no whole number, or none of them would be.
    """
    if not isinstance(n, Integral) or n < 1:
        raise InputError(f"`{name}`={shortened(n)} samples were asked for; ask for at least one, as a whole number.")


def shortened(value: object) -> str:
    """Write a value in as many characters as a message has room for."""
    text = " ".join(repr(value).split())
    return text if len(text) <= ROOM else f"{text[:ROOM]}..."


@dataclass(frozen=True, eq=False)
class Asked:
    """The times that were asked for.

    Attributes:
        times: as an array, whatever was given.
        single: whether it was one bare number.
    """

    times: Float[np.ndarray, "time"]
    single: bool

    @classmethod
    def of(cls, times: Numbers) -> "Asked":
        """Take times as they are given.

        Raises:
            InputError: they are no numbers, or have more than one axis.
        """
        given = array_of("times", times)
        if given.ndim > 1:
            raise InputError(f"`times` has shape {given.shape}; give one number, or a sequence of them.")
        return cls(np.atleast_1d(given), given.ndim == 0)

    def shaped(self, answer: Float[Tensor, "time *rest"]) -> Float[Tensor, "*shape"]:
        """Drop the axis of times where there is a single one."""
        return answer[0] if self.single else answer

    def __iter__(self) -> Iterator[float]:
        return iter(self.times.tolist())

    def __str__(self) -> str:
        if self.times.size == 0:
            return "none"
        return f"{len(self.times)} of them from {written(self.times.min())} to {written(self.times.max())}"
