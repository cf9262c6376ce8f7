"""When a search ends before its trials are used up: a budget, the sampling floor, or Ctrl-C."""

from typing import Any

from ray import tune

from weightflow.evaluation import FLOOR_LEVEL, FLOOR_POWER, SHIFT
from weightflow.search.book import Book
from weightflow.search.not_pickled import NotPickled
from weightflow.search.plan import Plan
from weightflow.stopping import stop_if_asked
from weightflow.trials import TrialRecord, TrialState


class Ending(NotPickled, tune.Stopper):
    """Ends all trials once the search is over; where it may drain, only no new ones begin.

    Args:
        book: of the search.
        plan: with its budgets.
        cpus: that Ray reserves for a trial.
        gpus: the same.
        repeating: whether it is the turn of repeats, which come after the budgets: only Ctrl-C ends them.
    """

    def __init__(self, book: Book, plan: Plan, cpus: float, gpus: float, repeating: bool = False) -> None:
        self.book = book
        self.plan = plan
        self.cpus = cpus
        self.gpus = gpus
        self.repeating = repeating

    def of_repeats(self) -> "Ending":
        """Return the same for repeats."""
        return Ending(self.book, self.plan, self.cpus, self.gpus, repeating=True)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is ended by this rule."""
        return False

    def stop_all(self) -> bool:
        """Whether everything ends now.

        Raises:
            KeyboardInterrupt: somebody asked for it. Ray would let each trial finish its epoch first.
        """
        stop_if_asked()
        goes_on = self.plan.drain or (self._owes_a_trial() and self.book.running)
        return not goes_on and bool(self.reason())

    @property
    def left(self) -> float:
        """Seconds of the time budget that are left; none where it is overdrawn."""
        return max(0.0, self.plan.time_budget - self.book.seconds)

    def reason(self) -> str:
        """Why no further trial begins; empty as long as there may be one.

        Whatever the budgets say, one trial is finished: without any, all that was spent would be for nothing. Where one
        has failed for good, the next one need not be better, and no other begins.
        """
        reason = "" if self.repeating else self._used_up()
        failed = any(record.state is TrialState.FAILED for record in self.book.records.values())
        return "" if reason and self._owes_a_trial() and not self.book.running and not failed else reason

    def overdue(self) -> str:
        """Why the search would have ended, if a trial had finished; empty as long as that is no question."""
        return self._used_up() if not self.repeating and self._owes_a_trial() else ""

    def _owes_a_trial(self) -> bool:
        return not self.repeating and not self.book.finished()

    def _used_up(self) -> str:
        plan, used = self.plan, self.book.trial_hours
        if self.book.seconds >= plan.time_budget:
            return f"the time budget of {plan.time_budget / 60:.3g} minutes is used up"
        if plan.cpu_hours is not None and used * self.cpus >= plan.cpu_hours:
            return f"the budget of {plan.cpu_hours:g} CPU-hours is used up"
        if plan.gpu_hours is not None and used * self.gpus >= plan.gpu_hours:
            return f"the budget of {plan.gpu_hours:g} GPU-hours is used up"
        if plan.stop_at_floor and not plan.several and self.at_floor():
            return "draws of the best trial cannot be told from the held-out snapshots"
        return ""

    def at_floor(self) -> bool:
        """Whether the held-out data cannot be told from draws of the best trial, by a test that would see an error."""
        best = next(iter(self.book.finished()), None)
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
