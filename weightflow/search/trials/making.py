"""Who makes a preparation that several trials need, and who waits for it, without a CPU or a GPU meanwhile."""

from collections.abc import Callable, Collection
from contextlib import suppress

from weightflow.errors import InputError
from weightflow.experiment import ExperimentConfig, nest, prepares_as
from weightflow.trials import TrialRecord


class Making:
    """Hands out trials such that each preparation is made by one of them; those that need the same come after it.

    Attributes:
        made: preparations that are there.
        most: trials that wait at a time; with more, nobody new is asked for.
        waiting: trials that were asked for, and wait for another one to make what they need.
    """

    def __init__(self, made: Collection[str], most: int) -> None:
        self.made = set(made)
        self.most = most
        self.waiting: list[TrialRecord] = []
        self._makers: dict[str, int] = {}  # numbers of trials, by what they make

    def next(self, ask: Callable[[], TrialRecord | None]) -> TrialRecord | None:
        """Return a trial that can run now, if there is one."""
        for record in self.waiting:
            if self._may_run(record):
                self.waiting.remove(record)
                return record
        while len(self.waiting) < self.most and (record := ask()) is not None:
            if self._may_run(record):
                return record
            self.waiting.append(record)
        return None

    def makes(self, number: int) -> bool:
        """Whether a trial makes its own preparation."""
        return number in self._makers.values()

    def done(self, number: int) -> None:
        """A trial has made its preparation."""
        self.made |= {name for name, maker in self._makers.items() if maker == number}
        self.gone(number)

    def gone(self, number: int) -> None:
        """A trial has ended; what it did not come to make, another one will."""
        self._makers = {name: maker for name, maker in self._makers.items() if maker != number}

    def _may_run(self, record: TrialRecord) -> bool:
        with suppress(InputError):  # what is wrong with its configuration, the trial will say
            name = prepares_as(ExperimentConfig.parse(nest(record.params)))
            return name in self.made or self._makers.setdefault(name, record.number) == record.number
        return True
