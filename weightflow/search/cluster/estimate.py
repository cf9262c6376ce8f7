"""How long the preparation of a search will take: told from its first stretch, before the time is gone."""

import time
from dataclasses import dataclass

from weightflow.anchors import Alignment
from weightflow.experiment import ExperimentConfig
from weightflow.progress import duration
from weightflow.search.say import Say

STRETCH = 1.0  # seconds that are measured at least
WORTH = 10.0  # seconds of which it is worth to speak, where the budget allows them


@dataclass(frozen=True)
class Rows:
    """How many samples a piece evaluates one after the other, which is what its time goes into.

    Attributes:
        first: in its first fit.
        most: in all rounds that it may take to reach its snapshots.
        waves: how often workers take up such a piece, where there are more of them than workers.
    """

    first: float
    most: float
    waves: int = 1


def batches(config: ExperimentConfig, snapshots: int, workers: int, parts: int) -> int:
    """Return in how many batches the anchors of each of some parts are fitted, so that no worker is idle."""
    return 1 if config.anchors.alignment is Alignment.CHAIN else min(-(-workers // parts), snapshots)


def rows_evaluated(
    config: ExperimentConfig, snapshots: int, species: int, workers: int, parts: int = 1
) -> dict[str, Rows]:
    """Return the work of each piece, in the order in which they are made, for some parts of as many snapshots."""
    anchors, teacher = config.anchors, config.teacher
    shared = batches(config, snapshots, workers, parts)
    waves, anchor_waves = -(-parts // workers), -(-parts * shared // workers)
    base = float(anchors.base_steps * anchors.base_batch)
    each = anchors.steps * anchors.batch * snapshots / shared
    step = teacher.draws_of(species) * (snapshots + teacher.random_times)
    rounds = [step * teacher.of_round(number).steps for number in range(teacher.rounds)]
    most = each * (1 + 2 * (anchors.rounds - 1))  # those that go on do so with twice the steps
    return {
        "base": Rows(base, base, waves),
        "anchors": Rows(each, most, anchor_waves),
        "teacher": Rows(float(rounds[0]), float(sum(rounds)), waves),
    }


class Estimate:
    """Listens to the progress of a preparation, and says once how long all that remains will take.

    Args:
        work: as `rows_evaluated` says.
        left: seconds of the time budget that are left.
        say: told what a user should know.
        waits: whether that is of a budget, which waits for a trial; a deadline does not.
    """

    def __init__(self, work: dict[str, Rows], left: float, say: Say, waits: bool = True) -> None:
        self.work = work
        self.until = time.monotonic() + left
        self.say = say
        self.waits = waits
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

    def _remaining(self, phase: str, seconds_a_step: float, done: int, total: int) -> Rows:
        """Return the seconds that remain, if each first fit reaches its snapshots and if none does."""
        pieces, own = list(self.work), self.work[phase]
        later = [self.work[piece] for piece in pieces[pieces.index(phase) + 1 :]]
        seconds_a_row = seconds_a_step * total / own.first
        here, again = seconds_a_step * (total - done), own.most - own.first
        first = (own.waves - 1) * own.first + sum(rows.waves * rows.first for rows in later)
        most = again + (own.waves - 1) * own.most + sum(rows.waves * rows.most for rows in later)
        return Rows(here + seconds_a_row * first, here + seconds_a_row * most)

    def _tell(self, remaining: Rows, left: float) -> None:
        if remaining.most <= min(left, WORTH):
            return
        said = f"preparing will take about {duration(remaining.first)} more"
        if duration(remaining.most) != duration(remaining.first):
            said += f", and up to {duration(remaining.most)} where fits miss their snapshots and go on"
        if remaining.most > left:
            said += (
                f"; the time budget has only {duration(max(left, 0.0))} left: one trial is trained all the same, and a "
                "longer `--time-budget` gives more"
                if self.waits
                else f"; `--deadline` leaves only {duration(max(left, 0.0))}: there may be no model by then"
            )
        self.say(said)
