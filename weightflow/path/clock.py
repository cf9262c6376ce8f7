"""The clock: physical time becomes a number in [0, 1] over the fitted span, here and nowhere else.

Weights move fast where the distribution changes fast (after a point start, above all). The clock may therefore run by
path length: with `stretch` s its rate is proportional to (1 - s) + s |dtheta/dt| / mean |dtheta/dt|. Vector fields are
then of even size along the path, and equal steps of a solver do equal work. Beyond the fitted span the clock goes on at
the rate that it had at the end.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

LATE = 0.5  # share of the span that tells the rate at its end
FEWEST = 4  # stretches of that share that make a trend


@dataclass(frozen=True, eq=False)
class Clock:
    """A strictly increasing, piecewise linear map from physical time to the clock.

    Attributes:
        times: physical times of its nodes.
        marks: what it shows there, from 0 to 1.
        rate: at which it goes on beyond the last of them.
    """

    times: Float[np.ndarray, "mark"]
    marks: Float[np.ndarray, "mark"]
    rate: float

    @classmethod
    def uniform(cls, start: float, stop: float) -> "Clock":
        """Run at one rate from `start` (clock 0) to `stop` (clock 1)."""
        return cls(np.array([start, stop], dtype=np.float64), np.array([0.0, 1.0]), 1.0 / (stop - start))

    @classmethod
    def by_length(
        cls, times: Float[np.ndarray, "mark"], tokens: Float[np.ndarray, "mark token width"], stretch: float
    ) -> "Clock":
        """Run faster where the path `tokens` moves faster; `stretch` from 0 (not at all) to below 1."""
        spans = np.diff(times)
        lengths = np.array([np.linalg.norm(after - before) for before, after in pairwise(tokens)])
        total = lengths.sum()
        share = lengths / total if total > 0 else spans / spans.sum()
        passed = np.cumsum((1 - stretch) * spans / spans.sum() + stretch * share)
        nodes, marks = np.asarray(times, dtype=np.float64), np.concatenate([[0.0], passed / passed[-1]])
        return cls(nodes, marks, _rate_at_the_end(nodes, marks))

    def __call__(self, times: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the clock at physical times; before the first node it runs as just after it."""
        t, (first, second, last) = np.asarray(times, dtype=np.float64), self.times[[0, 1, -1]]
        early = (self.marks[1] - self.marks[0]) / (second - first) * np.minimum(t - first, 0.0)
        return early + np.interp(t, self.times, self.marks) + self.rate * np.maximum(t - last, 0.0)


def _rate_at_the_end(times: Float[np.ndarray, "mark"], marks: Float[np.ndarray, "mark"]) -> float:
    """Return what a straight line through the logarithms of the later rates says for the last time."""
    rates, middles = np.diff(marks) / np.diff(times), (times[1:] + times[:-1]) / 2
    late = middles > times[-1] - LATE * (times[-1] - times[0])
    if late.sum() < FEWEST:
        return float(rates[-1])
    return math.exp(np.polyfit(middles[late] - times[-1], np.log(rates[late]), 1)[-1])
