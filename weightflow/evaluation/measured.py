"""Scores of one method by one metric, and the independent groups from which the interval of their mean is computed.

What other data would change, groups of the data tell to first order (`weightflow.metrics.estimate`). What other draws
of the method would change, they cannot: evenly spread draws avoid each other, and a baseline may hand out a whole
snapshot, which is no sample at all. So each method is drawn from several times, with seeds of their own, and how much
its scores at one time differ between these *repetitions* is the error of its draws: the independent randomisations by
which randomised quasi-Monte Carlo knows its error (Owen 1997). A score is the mean over repetitions.

Where the model is all but the truth, a distance depends on the data to second order, and the first order overstates
that part: intervals of such means are too wide, by a factor of up to the root of two. Of two methods both so near, the
interval of the difference in a transport distance may be too narrow: 95 % were measured to be 89 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from weightflow.metrics import Estimate


def count_repetitions(times: int, groups: int) -> int:
    """Return how often a method is drawn from: twice at many times, more often where there are few.

    That leaves at least half as many degrees of freedom for the error of the draws as there are groups of data.
    """
    return 1 + -(-groups // (2 * times))


@dataclass(frozen=True)
class Measured:
    """What is kept of one method by one metric.

    Attributes:
        by_time: one score for each time.
        groups: mean score over times of each of some independent groups of samples.
    """

    by_time: tuple[float, ...]
    groups: tuple[float, ...]

    @classmethod
    def once(cls, estimates: Sequence[Estimate], groups: int) -> "Measured":
        """Keep one estimate for each time, of two samples that are grouped alike."""
        means = np.mean([estimate.grouped(groups) for estimate in estimates], axis=0)
        return cls(tuple(estimate.value for estimate in estimates), _plain(means))

    @classmethod
    def repeated(cls, repetitions: Sequence[Sequence[Estimate]], groups: int) -> "Measured":
        """Keep the mean of several estimates for each time, whose model samples are independent of each other."""
        values = np.array([[estimate.value for estimate in estimates] for estimates in repetitions])
        data = np.mean([e.grouped_data(groups) for estimates in repetitions for e in estimates], axis=0)
        return cls(_plain(values.mean(axis=0)), _plain(data + _scattered(values, groups)))


def _scattered(values: Float[np.ndarray, "repetition time"], groups: int) -> Float[np.ndarray, "group"]:
    """Hand the deviations between repetitions out to groups in turn, so that their mean varies as `values.mean()`.

    Deviations at one time sum to zero over its repetitions; the factor is Bessel's.
    """
    repetitions = len(values)
    deviations = (values - values.mean(axis=0)) * np.sqrt(repetitions / (repetitions - 1))
    cells = deviations.T.ravel()  # repetitions of one time follow each other, and fall into different groups
    return np.bincount(np.arange(len(cells)) % groups, cells, groups) * groups / len(cells)


def _plain(values: Float[np.ndarray, "_"]) -> tuple[float, ...]:
    return tuple(map(float, values))
