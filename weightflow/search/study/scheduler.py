"""Early stopping by epochs: asynchronous successive halving, and Hyperband, which is several of them side by side.

The decisions are those of Optuna's pruners, which write a line for each rung and look at all trials of the study each
time; here each rung keeps its scores sorted. They follow from what trials have reported, so that nothing is written.
"""

import math
from bisect import insort
from collections import defaultdict
from zlib import crc32

from weightflow.trials import SchedulerName

REDUCTION = 2  # of the trials at a rung, one in so many goes on


class Rungs:
    """Asynchronous successive halving (Li et al. 2020, algorithm 2), without pauses.

    Args:
        first: epoch of the first rung; each further one comes after `REDUCTION` times as many.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self._scores: dict[int, list[float]] = defaultdict(list)

    def enter(self, epoch: int, score: float) -> bool:
        """Take a trial's score after an epoch, and return whether it ends there: too many others were better."""
        if not self._is_rung(epoch):
            return False
        if math.isnan(score):
            return True
        scores = self._scores[epoch]
        insort(scores, score)
        return score > scores[max(len(scores) // REDUCTION, 1) - 1]

    def _is_rung(self, epoch: int) -> bool:
        times, rest = divmod(epoch, self.first)
        while times % REDUCTION == 0 and times:
            times //= REDUCTION
        return rest == 0 and times == 1


class Scheduler:
    """Which trials end early.

    Args:
        name: of the rule. Hyperband (Li et al. 2018) has a bracket for each rung that could be the first.
        grace: epochs before which no trial ends.
        epochs: of a whole trial.
        study: its name, by which trials are spread over brackets.
    """

    def __init__(self, name: SchedulerName, grace: int, epochs: int, study: str) -> None:
        self.study = study
        brackets = {
            SchedulerName.NONE: 0,
            SchedulerName.ASHA: 1,
            SchedulerName.HYPERBAND: math.floor(math.log(epochs / grace, REDUCTION)) + 1,
        }[name]
        self._brackets = [Rungs(grace * REDUCTION**bracket) for bracket in range(brackets)]
        self._shares = [math.ceil(brackets * REDUCTION**s / (s + 1)) for s in reversed(range(brackets))]

    def ends(self, number: int, epoch: int, score: float) -> bool:
        """Take the score of a trial after an epoch, each once, and return whether it ends there."""
        return bool(self._brackets) and self._brackets[self._bracket(number)].enter(epoch, score)

    def _bracket(self, number: int) -> int:
        """Return the bracket of a trial: the same whoever asks."""
        left = crc32(f"{self.study}_{number}".encode()) % sum(self._shares)
        for bracket, share in enumerate(self._shares):
            left -= share
            if left < 0:
                return bracket
        raise AssertionError("the rest of a division is smaller than its divisor")
