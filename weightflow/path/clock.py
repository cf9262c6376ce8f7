"""The clock: physical time becomes a number in [0, 1] over the fitted span, here and nowhere else.

Weights move fast where the distribution changes fast (after a point start, above all). The clock may therefore run by
path length: with `stretch` s its rate is proportional to (1 - s) + s |dtheta/dt| / mean |dtheta/dt|. Vector fields are
then of even size along the path, and equal steps of a solver do equal work. Beyond the fitted span the clock goes on at
the rate that it had at the end.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Clock:
    """A strictly increasing, piecewise linear map from physical time to the clock."""

    times: Float[np.ndarray, "mark"]
    marks: Float[np.ndarray, "mark"]

    @classmethod
    def uniform(cls, start: float, stop: float) -> "Clock":
        """Run at one rate from `start` (clock 0) to `stop` (clock 1)."""
        return cls(np.array([start, stop], dtype=np.float64), np.array([0.0, 1.0]))

    @classmethod
    def by_length(
        cls, times: Float[np.ndarray, "mark"], tokens: Float[np.ndarray, "mark token width"], stretch: float
    ) -> "Clock":
        """Run faster where the path `tokens` moves faster; `stretch` from 0 (not at all) to below 1."""
        spans = np.diff(times)
        lengths = np.array([np.linalg.norm(after - before) for before, after in pairwise(tokens)])
        total = lengths.sum()
        share = lengths / total if total > 0 else spans / spans.sum()
        marks = np.cumsum((1 - stretch) * spans / spans.sum() + stretch * share)
        return cls(np.asarray(times, dtype=np.float64), np.concatenate([[0.0], marks / marks[-1]]))

    def __call__(self, times: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the clock at physical times."""
        return _piecewise(np.asarray(times, dtype=np.float64), self.times, self.marks)

    def physical(self, marks: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the physical times at which the clock shows `marks`."""
        return _piecewise(np.asarray(marks, dtype=np.float64), self.marks, self.times)


def _piecewise(x: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Interpolate linearly; continue with the first and the last slope outside."""
    k = np.clip(np.searchsorted(xs, x, side="right") - 1, 0, len(xs) - 2)
    return ys[k] + (x - xs[k]) * (ys[k + 1] - ys[k]) / (xs[k + 1] - xs[k])
