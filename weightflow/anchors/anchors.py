"""Anchors: the backbone's weights at the snapshots."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Anchors:
    """One set of weights for each fitted snapshot.

    Plain arrays, so that a shared object store hands them out without a copy.
    """

    times: Float[np.ndarray, "anchor"]
    tokens: Float[np.ndarray, "anchor token width"]

    @classmethod
    def join(cls, parts: Sequence["Anchors"]) -> "Anchors":
        """Put anchors that were fitted apart into one, ordered by time."""
        times = np.concatenate([part.times for part in parts])
        order = np.argsort(times)
        return cls(times[order], np.concatenate([part.tokens for part in parts])[order])

    def replaced(self, indices: Sequence[int], others: "Anchors") -> "Anchors":
        """Return the same anchors with those at `indices` replaced."""
        tokens = self.tokens.copy()
        tokens[list(indices)] = others.tokens
        return Anchors(self.times, tokens)
