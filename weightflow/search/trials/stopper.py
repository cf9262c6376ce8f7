"""When a search ends before its trials are used up: a budget, the deadline, the sampling floor, or Ctrl-C."""

import math
import time
from dataclasses import dataclass, replace
from typing import Any

from ray import tune

from weightflow.evaluation import FLOOR_LEVEL, FLOOR_POWER, SHIFT
from weightflow.progress import duration
from weightflow.search.cluster.resources import Amount
from weightflow.search.study.options import SearchOptions
from weightflow.search.study.study import Study
from weightflow.search.trials.deadline import MARGIN, NEVER, SHARE_OF_REPEATS, STOPPING, UNKNOWN, Aftermath, Deadline
from weightflow.search.trials.not_pickled import NotPickled
from weightflow.stopping import stop_if_asked
from weightflow.trials import TrialRecord


@dataclass(frozen=True, eq=False)
class Stopper(NotPickled, tune.Stopper):
    """Ends all trials once the search is over; where it may drain, only no new ones begin.

    A budget counts what trials take, and waits for the first one that finishes. A deadline waits for nobody: trials end
    early enough for all that follows them, as far as that can be told from what was measured.

    Attributes:
        study: of the search.
        options: with its budgets.
        cpus: that Ray reserves for a trial.
        gpus: the same.
        deadline: of the whole search.
        aftermath: what follows the trials before that.
        repeating: whether it is the turn of repeats, which come after the budgets: only the deadline and Ctrl-C end
            them.
    """

    study: Study
    options: SearchOptions
    cpus: Amount
    gpus: Amount
    deadline: Deadline = NEVER
    aftermath: Aftermath = UNKNOWN
    repeating: bool = False

    def by(self, deadline: Deadline, aftermath: Aftermath) -> "Stopper":
        """Return the same with a deadline."""
        return replace(self, deadline=deadline, aftermath=aftermath)

    def taking(self, cpus: Amount, gpus: Amount) -> "Stopper":
        """Return the same for trials that take other shares."""
        return replace(self, cpus=cpus, gpus=gpus)

    def of_repeats(self) -> "Stopper":
        """Return the same for repeats."""
        return replace(self, repeating=True)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is ended by this rule."""
        return False

    def stop_all(self) -> bool:
        """Whether everything ends now.

        Raises:
            KeyboardInterrupt: somebody asked for it. Ray would let each trial finish its epoch first.
        """
        stop_if_asked()
        if self._late():
            return True
        goes_on = self.repeating or self.options.drain or (self._owes_a_trial() and self.study.running)
        return not goes_on and bool(self.reason())

    @property
    def left(self) -> float:
        """Seconds that are left to trials; none where a budget is overdrawn."""
        budget = self.options.time_budget - self.study.seconds
        return max(0.0, min(budget, self._latest - time.monotonic()))

    def in_words(self) -> str:
        """Say how much time is left to trials."""
        if self.left:
            return f"{duration(self.left)} left"
        return "all time for trials is used up"

    def reason(self) -> str:
        """Why no further trial begins; empty as long as there may be one.

        Whatever the budgets say, one trial is finished: without any, all that was spent would be for nothing. Where one
        has failed for good, the next one need not be better, and no other begins.
        """
        best = self.study.best
        lasts = MARGIN * best.seconds if best is not None and (self.repeating or self.options.drain) else 0.0
        if self._late(lasts):
            return self._too_late(lasts)
        if self.repeating:
            return ""
        reason = self._used_up()
        return "" if reason and self._owes_a_trial() and not self.study.running and not self.study.failed else reason

    def overdue(self) -> str:
        """Why the search would have ended, if a trial had finished; empty as long as that is no question."""
        return self._used_up() if not self.repeating and self._owes_a_trial() else ""

    def conclusion(self) -> float:
        """Return the seconds that final fits, scores and report will take, as far as that can be told by now.

        Where no trial has finished there is nothing that could be fitted again.
        """
        best = self.study.best
        return 0.0 if best is None else self.aftermath.conclusion(self.study.preparation, best.seconds)

    @property
    def _latest(self) -> float:
        """The moment at which trials end for the sake of what follows, by `time.monotonic`."""
        best = self.study.best
        if math.isinf(self.deadline.at) or best is None:
            return self.deadline.at
        repeats = 0.0 if self.repeating else MARGIN * self.aftermath.repeats * best.seconds
        repeats = min(repeats, SHARE_OF_REPEATS * self.deadline.seconds)
        return self.deadline.at - self.conclusion() - repeats - STOPPING

    def _late(self, needs: float = 0.0) -> bool:
        return time.monotonic() + needs >= self._latest

    def _too_late(self, lasts: float) -> str:
        given = f"the deadline of {duration(self.deadline.seconds)}"
        if self.study.best is None:
            return f"{given} has come"
        needs = f"the final fit and its scores need about {duration(self.conclusion())}"
        return f"{given} leaves {duration(self.deadline.left)}, of which {needs}" + (
            f" and another trial about {duration(lasts)}" if lasts else ""
        )

    def _owes_a_trial(self) -> bool:
        return not self.repeating and self.study.best is None

    def _used_up(self) -> str:
        options, used = self.options, self.study.trial_hours
        if self.study.seconds >= options.time_budget:
            return f"the time budget of {duration(options.time_budget)} is used up"
        if options.cpu_hours is not None and used * self.cpus >= options.cpu_hours:
            return f"the budget of {options.cpu_hours:g} CPU-hours is used up"
        if options.gpu_hours is not None and used * self.gpus >= options.gpu_hours:
            return f"the budget of {options.gpu_hours:g} GPU-hours is used up"
        if options.stop_at_floor and not options.several and self.at_floor():
            return "draws of the best trial cannot be told from the held-out snapshots"
        return ""

    def at_floor(self) -> bool:
        """Whether the held-out data cannot be told from draws of the best trial, by a test that would see an error."""
        best = self.study.best
        return best is not None and _passes(best) and best.history[-1].get("floor_power", 0.0) >= FLOOR_POWER


def floor_decision(best: TrialRecord) -> str:
    """Say for the report how the best trial stands to the floor."""
    measured = best.history[-1]
    p = measured.get("floor_p")
    if p is None:
        return "No trial was held against the sampling floor."
    told = "cannot be told" if _passes(best) else "can be told"
    said = (
        f"The held-out snapshots {told} from as many draws of the best trial (energy distances, permutation test, "
        f"p = {p:.3f}, level {FLOOR_LEVEL:g})"
    )
    if not _passes(best):
        return f"{said}; a better model may be found with more trials."
    if "floor_power" not in measured:
        return f"{said}; what this test could have seen was not measured."
    power, seen = measured["floor_power"], f"a shift of {SHIFT:g} standard deviations of one species"
    if power >= FLOOR_POWER:
        return (
            f"{said}; the test would have seen {seen} with power {power:.2f}: at these times more trials could not "
            "gain much more than that. The test times were not looked at for this; there the scores speak."
        )
    return (
        f"{said}, but that says little: with these data, {measured['floor_samples']:.0f} samples at the smallest "
        f"held-out snapshot, the test would see {seen} with power {power:.2f} only, and {FLOOR_POWER:g} is asked for. "
        "So the search did not stop for it; more samples would tell."
    )


def _passes(best: TrialRecord) -> bool:
    return best.history[-1].get("floor_p", 0.0) >= FLOOR_LEVEL
