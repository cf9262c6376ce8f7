"""What a search knows of its trials at any moment, without looking at all of them."""

from collections import defaultdict

from weightflow.trials import TrialRecord, TrialState


class Totals:
    """Sums over the records of a search, kept while they change.

    Attributes:
        seconds: that trials have run, one after the other.
        own: how many trials are no repeats.
        failed: how many have failed for good.
        best: the finished trial with the lowest score, repeats left out.
        repeats: by the number of the trial that they repeat, the numbers of its repeats.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.own = 0
        self.failed = 0
        self.best: TrialRecord | None = None
        self.repeats: dict[int, list[int]] = defaultdict(list)

    def change(self, before: TrialRecord | None, after: TrialRecord) -> None:
        """Take note of a new record, or of what has become of one."""
        self.seconds += after.seconds - (before.seconds if before else 0.0)
        self.failed += _failed(after) - (_failed(before) if before else 0)
        if before is None and after.repeat_of is None:
            self.own += 1
        elif before is None and after.repeat_of is not None:
            self.repeats[after.repeat_of].append(after.number)
        if _counts(after) and (self.best is None or _rank(after) < _rank(self.best)):
            self.best = after


def _failed(record: TrialRecord) -> int:
    return int(record.state is TrialState.FAILED)


def _counts(record: TrialRecord) -> bool:
    return record.state is TrialState.FINISHED and record.repeat_of is None and record.score is not None


def _rank(record: TrialRecord) -> tuple[float, int]:
    return record.score or 0.0, record.number
