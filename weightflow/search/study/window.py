"""The trials that a sampler looks at, so that being asked costs the same however many there were."""

from bisect import insort
from collections import deque
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

BEST = 50  # TPE fits one of its two densities to the best, 25 at most
LATEST = 250  # and the other one to the rest, of which later ones weigh more


class Window:
    """The best of the trials that have ended, and the latest; all of them up to `LATEST`.

    With several criteria the best are those that no other one beats in all.
    """

    def __init__(self, best: int = BEST, latest: int = LATEST) -> None:
        self._most = best
        self._best: list[FrozenTrial] = []
        self._latest: deque[FrozenTrial] = deque(maxlen=latest)

    def add(self, trial: FrozenTrial) -> None:
        """Take note of a trial that has ended; of those that failed there is nothing to learn."""
        if trial.state not in {TrialState.COMPLETE, TrialState.PRUNED}:
            return
        self._latest.append(trial)
        if trial.values is not None and len(trial.values) > 1:
            if not any(_beats(other, trial) for other in self._best):
                self._best = [other for other in self._best if not _beats(trial, other)] + [trial]
        else:
            insort(self._best, trial, key=_rank)
        del self._best[self._most :]

    def trials(self, running: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return them in the order of their numbers, with those that run."""
        seen = {trial.number: trial for trial in (*self._best, *self._latest, *running)}
        return [seen[number] for number in sorted(seen)]


def _rank(trial: FrozenTrial) -> tuple[float, ...]:
    """Return a key by which TPE orders trials: those that ended early after all others, by how far they came."""
    if trial.state is TrialState.COMPLETE:
        return (0.0, 0.0, trial.value or 0.0)
    step = trial.last_step
    return (2.0,) if step is None else (1.0, -float(step), trial.intermediate_values[step])


def _beats(one: FrozenTrial, other: FrozenTrial) -> bool:
    no_worse = all(a <= b for a, b in zip(one.values or (), other.values or (), strict=True))
    return no_worse and one.values != other.values
