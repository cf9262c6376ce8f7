"""How long the preparation of a search will take: told from its first stretch, before the time is gone."""

import time

from weightflow.anchors import Alignment
from weightflow.experiment import ExperimentConfig
from weightflow.progress import duration
from weightflow.search.say import Say

STRETCH = 1.0  # seconds that are measured at least
WORTH = 10.0  # seconds of which it is worth to speak, where the budget allows them


def rows_evaluated(config: ExperimentConfig, snapshots: int, workers: int) -> dict[str, float]:
    """Return how many samples each piece evaluates one after the other, which is what its time goes into."""
    anchors, teacher = config.anchors, config.teacher
    at_once = 1 if anchors.alignment is Alignment.CHAIN else min(workers, snapshots)
    return {
        "base": float(anchors.base_steps * anchors.base_batch),
        "anchors": anchors.steps * anchors.batch * snapshots / at_once,
        "teacher": float(teacher.steps * teacher.draws * (snapshots + teacher.random_times)),
    }


class Estimate:
    """Listens to the progress of a preparation, and says once how long all that remains will take.

    Args:
        work: as `rows_evaluated` says, in the order in which the pieces are made.
        left: seconds of the time budget that are left.
        say: told what a user should know.
    """

    def __init__(self, work: dict[str, float], left: float, say: Say) -> None:
        self.work = work
        self.until = time.monotonic() + left
        self.say = say
        self._first: dict[str, tuple[float, int]] = {}
        self._said = False

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Take a report of progress."""
        if self._said or phase not in self.work or not 0 < done < total:
            return
        now = time.monotonic()
        began, before = self._first.setdefault(phase, (now, done))  # what starting cost is not measured
        if now - began >= STRETCH and done > before:
            self._said = True
            self._tell(self._remaining(phase, (now - began) / (done - before), done, total), self.until - now)

    def _remaining(self, phase: str, seconds_a_step: float, done: int, total: int) -> float:
        pieces = list(self.work)
        later = sum(self.work[piece] for piece in pieces[pieces.index(phase) + 1 :])
        return seconds_a_step * (total - done + total * later / self.work[phase])

    def _tell(self, remaining: float, left: float) -> None:
        if remaining > left:
            self.say(
                f"preparing will take about {duration(remaining)} more, but the time budget has only "
                f"{duration(max(left, 0.0))} left: one trial is trained all the same; a longer `--time-budget` gives "
                "more"
            )
        elif remaining > WORTH:
            self.say(f"preparing will take about {duration(remaining)} more")
