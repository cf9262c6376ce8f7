"""What a search has left, for whoever called it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from weightflow.evaluation import Scores
from weightflow.trials import Front, Repeated, TrialRecord, TrialState


@dataclass(frozen=True)
class Outcome:
    """What a search has left.

    Attributes:
        folder: of the search.
        best: the trial that won.
        trials: all of them.
        decision: how the best trial stands to the sampling floor.
        repeats: configurations that were trained with fresh seeds, the best first.
        front: of a search with several criteria.
        scores: on the test part; None where the search was interrupted.
        next_commands: what a user may want to type now.
        tracked: where MLflow has it, as `SearchRun.finish` says.
    """

    folder: Path
    best: TrialRecord | None
    trials: tuple[TrialRecord, ...]
    decision: str = ""
    repeats: tuple[Repeated, ...] = ()
    front: Front | None = None
    scores: Scores | None = None
    next_commands: tuple[str, ...] = ()
    tracked: Mapping[str, str] = field(default_factory=dict)


def stopped(folder: Path, trials: Sequence[TrialRecord]) -> str:
    """Say what a search that was stopped has kept, and how it goes on."""
    finished = sum(record.state is TrialState.FINISHED for record in trials)
    return f"Stopped. {finished} finished trial(s) are kept in {folder}. Go on with `--resume {folder.name}`."
