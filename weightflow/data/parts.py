"""What is fitted, what is held out while searching, and what is scored once at the end."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
from jaxtyping import Float

from weightflow.card import Carded, Facts
from weightflow.data.conditions import Value, in_words
from weightflow.data.dataset import FEW_TIMES, Dataset
from weightflow.data.snapshots import Snapshots
from weightflow.data.words import at_times, listed
from weightflow.errors import InputError

FEWEST_NESTED = 7  # from here on there are parts enough to score some that the search does not hold out
MOST_FOLDS = 8  # that a search holds out in turn, and as many that are tested: each is a fit of its own


class Protocol(StrEnum):
    """How a model is judged.

    - `auto`: leave-one-condition-out of several conditions; leave-one-out with fewer than ten times or none unseen;
      else interpolation.
    - `leave-one-condition-out`: each condition that lies among the others is left out in turn by a fit to all others.
    - `leave-one-out`: each interior time in turn, and the last one, is left out by a fit to all others.
    - `interpolation`: fitted at the seen times, scored on fresh samples at the unseen times among them.
    - `forecast`: fitted at the seen times up to 70 % of the time span, scored on fresh samples at all times after it.
    - `paper`: fitted at the seen times, scored on the same trajectories at all times after the first (Li et al. 2026).
    """

    AUTO = "auto"
    LEAVE_ONE_CONDITION_OUT = "leave-one-condition-out"
    LEAVE_ONE_OUT = "leave-one-out"
    INTERPOLATION = "interpolation"
    FORECAST = "forecast"
    PAPER = "paper"

    def of(self, dataset: Dataset) -> "Protocol":
        """Return the protocol that this one means for a data set: itself, unless it is `auto`.

        Raises:
            InputError: it is for one course and there are several conditions, or the other way round.
        """
        conditions = dataset.snapshots.conditions
        if self is Protocol.AUTO and conditions is not None:
            return Protocol.LEAVE_ONE_CONDITION_OUT
        if self is Protocol.LEAVE_ONE_CONDITION_OUT and conditions is None:
            raise InputError(
                f"the protocol `{self}` is for several conditions; name the columns of `{dataset.name}` that tell them "
                "apart with `--conditions`."
            )
        if self not in {Protocol.AUTO, Protocol.LEAVE_ONE_CONDITION_OUT} and conditions is not None:
            raise InputError(
                f"the protocol `{self}` is for one course, and `{dataset.name}` has the conditions "
                f"{','.join(conditions.names)}; take `--protocol {Protocol.LEAVE_ONE_CONDITION_OUT}`, or leave it out."
            )
        if self is not Protocol.AUTO:
            return self
        few = len(dataset.snapshots) < FEW_TIMES
        return Protocol.LEAVE_ONE_OUT if few or not unseen(dataset.seen) else Protocol.INTERPOLATION

    def in_words(self, dataset: Dataset) -> str:
        """Say which protocol this one means for a data set, and why."""
        n, meant = len(dataset.snapshots), self.of(dataset)
        if self is meant:
            return f"protocol {meant}"
        if meant is Protocol.LEAVE_ONE_CONDITION_OUT:
            return f"protocol {self}: {meant}, since there are several conditions"
        if meant is Protocol.INTERPOLATION:
            return f"protocol {self}: {meant}, since there are times that are not seen between those that are"
        why = f"{n} times are few" if n < FEW_TIMES else "all times are seen"
        return f"protocol {self}: {meant}, since {why}"


@dataclass(frozen=True)
class Fold:
    """A fit, and what it is judged by.

    Attributes:
        fit: snapshots that are fitted.
        held_out: others, at later times than the first fitted one; or the course of a condition.
        at: the condition of what is held out; nothing where there are none.
    """

    fit: Snapshots
    held_out: Snapshots
    at: Mapping[str, Value] = field(default_factory=dict)

    @property
    def extrapolation(self) -> str:
        """Why its condition is one; empty where it lies among those that are fitted, or there is none."""
        known = self.fit.conditions
        return "" if known is None or not self.at else known.outside(known.point(self.at))


@dataclass(frozen=True, repr=False)
class Split(Carded):
    """The parts of a data set.

    Attributes:
        protocol: how they were chosen, a `Protocol` other than `auto` or other words.
        seen: what the final model is fitted to.
        folds: what a search fits in each trial, and scores it by; none where nothing is searched.
        tests: what is fitted and scored once, at the end. No two folds, and no two tests, hold out the same time.
        floor: a second, independent sample of the true system at the times of `test`; None where there is none.
        selected: whether the tested snapshots are those that the search selected by.
        units: of each row of `seen` the unit that it was measured on; None where each row is a unit of its own.
    """

    protocol: str
    seen: Snapshots
    folds: tuple[Fold, ...]
    tests: tuple[Fold, ...]
    floor: Snapshots | None = None
    selected: bool = False
    units: tuple[np.ndarray, ...] | None = None

    @property
    def of_conditions(self) -> bool:
        """Whether conditions are left out; what is joined over times below is then of no use."""
        return self.seen.conditions is not None

    @cached_property
    def held_out(self) -> tuple[Snapshots, ...]:
        """All that a search holds out: before the end and after it, or each condition by itself."""
        if self.of_conditions:
            return tuple(fold.held_out for fold in self.folds)
        return (self.interior, self.last) if self.folds else ()

    @cached_property
    def courses(self) -> tuple["Split", ...]:
        """What is scored at the end as one course: all of it, or what is tested of each condition."""
        if not self.of_conditions:
            return (self,)
        return tuple(Split(self.protocol, fold.held_out, (), (fold,), selected=self.selected) for fold in self.tests)

    @cached_property
    def interior(self) -> Snapshots:
        """What a search holds out between fitted times."""
        return _held_out(self.folds, after=False)

    @cached_property
    def last(self) -> Snapshots:
        """What a search holds out after all times that are fitted with it."""
        return _held_out(self.folds, after=True)

    @cached_property
    def test(self) -> Snapshots:
        """What is scored at the end."""
        return _joined((fold.held_out, i) for fold in self.tests for i in range(len(fold.held_out)))

    @cached_property
    def observed(self) -> Snapshots:
        """What there is at seen and tested times; at times that are both, what is tested."""
        tested = set(self.test.times.tolist())
        rest = [(self.seen, i) for i, time in enumerate(self.seen.times.tolist()) if time not in tested]
        return _joined([*rest, *((self.test, i) for i in range(len(self.test)))])

    @cached_property
    def known(self) -> Float[np.ndarray, "time"]:
        """Times that every fit has seen that is tested."""
        return np.array([t for t in self.seen.times if all(t in fold.fit.times for fold in self.tests)])

    def _card(self) -> tuple[str, Facts]:
        return f"Split, {self.protocol}", [("", sentence) for sentence in self.in_words()]

    def in_words(self) -> tuple[str, ...]:
        """Say which times, or conditions, are fitted, held out and tested."""
        if self.of_conditions:
            return self._conditions_in_words()
        unit = self.seen.unit
        each = "each left out in turn, by fits to all others"
        said = [f"fitted by the final model: {at_times(self.seen.times, unit)}"]
        if self.folds:
            alone = len(self.folds) == 1
            said.append(
                f"held out while searching: {at_times(self.interior.times, unit)} between fitted times and "
                f"{at_times(self.last.times, unit)} after them" + ("" if alone else f", {each}")
            )
        scored = f"tested at the end: {at_times(self.test.times, unit)}"
        if self.selected:
            return (*said, f"{scored}: there are too few times to test others than the search selects by")
        if len(self.tests) > 1:
            return (*said, f"{scored}, {each}" + ("; the search holds out none of them" if self.folds else ""))
        return (*said, scored)

    def _conditions_in_words(self) -> tuple[str, ...]:
        held, tested = (listed([in_words(fold.at) for fold in folds]) for folds in (self.folds, self.tests))
        each = "each left out in turn, by fits to all others"
        said = [f"fitted by the final model: all {len(self.seen.courses)} conditions"]
        said += [f"held out while searching: {held}; {each}"] if self.folds else []
        scored = f"tested at the end: {tested}"
        if self.selected:
            return (*said, f"{scored}: there are too few conditions to test others than the search selects by")
        return (*said, f"{scored}; {each}" + ("; the search holds out none of them" if self.folds else ""))


def spread(indices: Sequence[int]) -> list[int]:
    """Return `MOST_FOLDS` of the indices, evenly spread, or all where there are no more."""
    places = np.linspace(0, len(indices) - 1, min(len(indices), MOST_FOLDS)).round().astype(int)
    return [indices[place] for place in places]


def unseen(seen: Sequence[int]) -> list[int]:
    """Return the indices between the first and the last seen one that are not seen."""
    return [i for i in range(seen[0], seen[-1]) if i not in set(seen)]


def _is_after(fold: Fold, index: int) -> bool:
    return bool(fold.held_out.times[index] > fold.fit.times[-1])


def _held_out(folds: Sequence[Fold], after: bool) -> Snapshots:
    """Join what folds hold out after all that they fit, or before its end."""
    return _joined((f.held_out, i) for f in folds for i in range(len(f.held_out)) if _is_after(f, i) is after)


def _joined(chosen: Iterable[tuple[Snapshots, int]]) -> Snapshots:
    """Join single snapshots, each given by its place in others, in the order of their times."""
    ordered = sorted(chosen, key=lambda one: one[0].times[one[1]])
    times = np.array([part.times[i] for part, i in ordered])
    return replace(ordered[0][0], times=times, samples=tuple(part.samples[i] for part, i in ordered))
