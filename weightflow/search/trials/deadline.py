"""The moment by which a whole search is over, and how much of the time until then its end will need."""

import math
import time
from dataclasses import dataclass

from weightflow.data import Split
from weightflow.errors import SearchError
from weightflow.experiment import ExperimentConfig
from weightflow.progress import duration
from weightflow.search.cluster.estimate import rows_evaluated
from weightflow.search.cluster.resources import Resources

MARGIN = 1.5  # of what was foreseen: single measurements vary by half
REPORTING = 20.0  # seconds for pictures, report and MLflow
STOPPING = 15.0  # seconds that trials have to stop before Ray kills them
SHARE_OF_REPEATS = 0.25  # of the whole time, which trials leave to repeats at most


@dataclass(frozen=True)
class Aftermath:
    """What follows the trials of a search, in units of what was measured before it.

    Attributes:
        preparations: how many times the search's own preparation the final ones take.
        fits: how many times a trial the final fits take.
        repeats: fits with fresh seeds one after the other, in units of a trial.
        judging: seconds of scores and report.
    """

    preparations: float = 1.0
    fits: float = 1.0
    repeats: float = 0.0
    judging: float = REPORTING

    @classmethod
    def of(
        cls,
        parts: Split,
        config: ExperimentConfig,
        resources: Resources,
        members: int,
        repeats: int,
        judging: float,
    ) -> "Aftermath":
        """Foresee the work of all that is fitted in the end: to everything seen, to each test fold, and members.

        Args:
            parts: of the data.
            config: with which most trials prepare.
            resources: of the search.
            members: how many are fitted.
            repeats: how many are run.
            judging: seconds of all scores on one CPU.
        """
        workers, before = resources.workers, [len(fold.fit) for fold in parts.folds]
        tests = [fold.fit for fold in parts.tests]
        after = len({part.digest() for part in (parts.seen, *tests)})
        most = max(len(part) for part in (parts.seen, *tests))

        def work(snapshots: int, fits: int) -> float:
            pieces = rows_evaluated(config, snapshots, parts.seen.dim, workers, fits)
            return sum(rows.waves * rows.first for rows in pieces.values())

        final = work(most, after) + (work(most, workers) * -(-members // workers) if members else 0.0)
        # a trial trains all its folds in one process, the final fits are trained side by side
        waves = -(-after // workers) + -(-members // workers)
        longer = most / max(before)
        return cls(
            preparations=final / work(max(before), len(before)),
            fits=max(1.0, waves * longer / len(before)),
            repeats=float(-(-repeats // resources.concurrent_trials)),
            judging=judging / resources.cpus + REPORTING,
        )

    def conclusion(self, preparation: float, trial: float) -> float:
        """Return the seconds of final fits, scores and report, with a margin, from those of a preparation and trial."""
        return MARGIN * (self.preparations * preparation + self.fits * trial + self.judging)


@dataclass(frozen=True)
class Deadline:
    """When a search is over, whatever it has found.

    Attributes:
        at: by `time.monotonic`, which nobody sets; infinity: there is none.
        seconds: that were given to the whole search.
    """

    at: float = math.inf
    seconds: float = math.inf

    @classmethod
    def after(cls, seconds: float | None, began: float) -> "Deadline":
        """Return the one so many seconds after `began`, or none."""
        return cls() if seconds is None else cls(began + seconds, seconds)

    @property
    def left(self) -> float:
        """Seconds until then."""
        return max(0.0, self.at - time.monotonic())

    def check(self, meanwhile: str, name: str) -> None:
        """Find out whether there is time left.

        Raises:
            SearchError: there is none; `name` is that of the search.
        """
        if not self.left:
            raise SearchError(
                f"the deadline of {duration(self.seconds)} has come, and {meanwhile}; what was done is kept: go on "
                f"with `--resume {name}`, and more time."
            )


NEVER, UNKNOWN = Deadline(), Aftermath()
