"""What is fitted, what is held out while searching, and what is scored once at the end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from weightflow.data.dataset import Dataset
from weightflow.data.snapshots import Snapshots
from weightflow.data.words import at_times
from weightflow.errors import InputError
from weightflow.rng import generator

LAST_SHARE = 0.15
INTERIOR_SHARE = 0.2
FORECAST_SHARE = 0.7
FRESH_SHARE = 0.2
FEWEST_FRESH = 4  # rows of a time: fewer cannot be scored
MIN_SEEN = 4
FEW_TIMES = 10  # of fewer, each one is worth too much to be only fitted or only scored
FEWEST_NESTED = 7  # from here on there are times enough to score some that the search does not hold out
MOST_FOLDS = 8  # interior times that a search holds out, and as many that are tested: each is a fit of its own


class Protocol(StrEnum):
    """How a model is judged.

    - `auto`: leave-one-out with fewer than ten times or none unseen, else interpolation.
    - `leave-one-out`: each interior time in turn, and the last one, is left out by a fit to all others.
    - `interpolation`: fitted at the seen times, scored on fresh samples at the unseen times among them.
    - `forecast`: fitted at the seen times up to 70 % of the time span, scored on fresh samples at all times after it.
    - `paper`: fitted at the seen times, scored on the same trajectories at all times after the first (Li et al. 2026).
    """

    AUTO = "auto"
    LEAVE_ONE_OUT = "leave-one-out"
    INTERPOLATION = "interpolation"
    FORECAST = "forecast"
    PAPER = "paper"

    def of(self, dataset: Dataset) -> "Protocol":
        """Return the protocol that this one means for a data set: itself, unless it is `auto`."""
        if self is not Protocol.AUTO:
            return self
        few = len(dataset.snapshots) < FEW_TIMES
        return Protocol.LEAVE_ONE_OUT if few or not _unseen(dataset.seen) else Protocol.INTERPOLATION

    def in_words(self, dataset: Dataset) -> str:
        """Say which protocol this one means for a data set, and why."""
        n, meant = len(dataset.snapshots), self.of(dataset)
        if self is meant:
            return f"protocol {meant}"
        if meant is Protocol.INTERPOLATION:
            return f"protocol {self}: {meant}, since there are times that are not seen between those that are"
        why = f"{n} times are few" if n < FEW_TIMES else "all times are seen"
        return f"protocol {self}: {meant}, since {why}"


@dataclass(frozen=True)
class Fold:
    """A fit, and what it is judged by.

    Attributes:
        fit: snapshots that are fitted.
        held_out: others, at later times than the first fitted one.
    """

    fit: Snapshots
    held_out: Snapshots


@dataclass(frozen=True)
class Split:
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

    def in_words(self) -> tuple[str, ...]:
        """Say which times are fitted, held out and tested."""
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


def split(dataset: Dataset, protocol: Protocol, seed: int) -> Split:
    """Split a data set for a search.

    Trajectories without a fresh ensemble beside them give up a fifth of themselves, drawn by `seed`, as the fresh
    samples of the protocols that need them; clouds of different cells at every time are fresh at the unseen times as
    they stand.

    Raises:
        InputError: too few snapshots are seen, or none is left to be scored.
    """
    if dataset.snapshots.conditions is not None:
        names = ",".join(dataset.snapshots.conditions.names)
        raise InputError(
            f"`{dataset.name}` has conditions ({names}), over which nothing is searched yet; `fit` fits one model of "
            f"all, and `score --conditions {names} --leave-one-out` judges it at conditions that it has not seen."
        )
    protocol = protocol.of(dataset)
    if protocol is Protocol.LEAVE_ONE_OUT:
        return _nested(dataset, seed)
    full, seen = dataset.snapshots, list(dataset.seen)
    if protocol is Protocol.FORECAST:
        span = full.times[-1] - full.times[0]
        limit = full.times[0] + (FORECAST_SHARE + 1e-9) * span  # 0.7 of a span may fall just short of its own time
        seen = [i for i in seen if full.times[i] <= limit]
        scored = [i for i in range(len(full)) if full.times[i] > limit]
    elif protocol is Protocol.PAPER:
        scored = list(range(1, len(full)))
    else:
        scored = _unseen(seen)
    if not scored:
        raise InputError(
            f"no time of `{dataset.name}` is left to be scored under the protocol `{protocol}`: {len(seen)} of "
            f"{len(full)} times are seen; raise `--every`, or take `--protocol {Protocol.LEAVE_ONE_OUT}`."
        )
    kept, fresh, floor, units = _ensembles(dataset, protocol, seed)
    interior, last = held_out_indices(len(seen), dataset.name)
    held_out = [*interior, *last]
    visible = kept.subset(seen)
    fold = Fold(visible.subset([i for i in range(len(seen)) if i not in held_out]), visible.subset(held_out))
    test = Fold(visible, fresh.subset(scored))
    return Split(
        protocol,
        visible,
        (fold,),
        (test,),
        None if floor is None else floor.subset(scored),
        units=None if units is None else tuple(units[i] for i in seen),
    )


def leave_one_out(dataset: Dataset, seed: int = 0, times: Sequence[int] | None = None) -> Split:
    """Test each time in turn by a fit to all others, without a search.

    All times of the file count as seen, whatever `dataset.seen` says. Trajectories are split as in `split`, so that
    those that are scored were not fitted at the neighbouring times.

    Args:
        dataset: with three times at least.
        seed: as for `split`.
        times: indices of those that are left out; all but the first one by default, before which nothing is defined.

    Raises:
        InputError: there are fewer than three times, or as for `split`.
    """
    n = len(dataset.snapshots.alone("leaving out one time after the other"))
    if n < 3:
        raise InputError(
            f"`{dataset.name}` has {n} times, and leaving one of them out takes three at least: nothing can be judged "
            "here. Give more times, or fit a model without judging it: python -m weightflow fit."
        )
    left_out = range(1, n) if times is None else times
    kept, fresh, floor, units = _ensembles(dataset, Protocol.LEAVE_ONE_OUT, seed)
    tests = tuple(Fold(_without(kept, i), fresh.subset([i])) for i in left_out)
    scored = None if floor is None else floor.subset(left_out)
    return Split(Protocol.LEAVE_ONE_OUT, kept, (), tests, scored, units=units)


def _nested(dataset: Dataset, seed: int) -> Split:
    """Leave out every second interior time at the end, the others and the last one while searching.

    With few times there are none to spare: those that the search holds out are tested too.
    """
    n = len(dataset.snapshots)
    interior = range(1, n - 1)
    selected = n < FEWEST_NESTED
    searched, tested = (interior, range(1, n)) if selected else (interior[::2], interior[1::2])
    parts = leave_one_out(dataset, seed, _spread(tested))
    held_out = [*_spread(searched), n - 1]
    folds = tuple(Fold(_without(parts.seen, i), parts.seen.subset([i])) for i in held_out)
    return replace(parts, folds=folds, selected=selected)


def _spread(indices: Sequence[int]) -> list[int]:
    """Return `MOST_FOLDS` of the indices, evenly spread, or all where there are no more."""
    places = np.linspace(0, len(indices) - 1, min(len(indices), MOST_FOLDS)).round().astype(int)
    return [indices[place] for place in places]


def _without(snapshots: Snapshots, index: int) -> Snapshots:
    return snapshots.subset([i for i in range(len(snapshots)) if i != index])


def _unseen(seen: Sequence[int]) -> list[int]:
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


def held_out_indices(n_seen: int, name: str = "the data") -> tuple[list[int], list[int]]:
    """Choose the held-out snapshots among `n_seen`: some interior ones, evenly spread, and the last ones.

    Raises:
        InputError: fewer than four are seen.
    """
    if n_seen < MIN_SEEN:
        raise InputError(
            f"{n_seen} snapshots of `{name}` can be fitted, and a search holds one interior and one last out of at "
            f"least {MIN_SEEN}; give more times, lower `--every`, or take `--protocol {Protocol.LEAVE_ONE_OUT}`."
        )
    n_last = max(1, round(LAST_SHARE * n_seen))
    rest = n_seen - n_last  # the first and the last of these stay, so that the held-out ones lie between fitted ones
    n_interior = max(1, min(round(INTERIOR_SHARE * rest), (rest - 1) // 2))
    places = np.linspace(0, rest - 1, n_interior + 2)[1:-1]
    return [round(place) for place in places], list(range(rest, n_seen))


class _Ensembles(NamedTuple):
    """What is fitted from, what is scored, an independent sample of the same law as the latter; units of the former."""

    fitted: Snapshots
    scored: Snapshots
    floor: Snapshots | None
    units: tuple[np.ndarray, ...] | None


def _ensembles(dataset: Dataset, protocol: Protocol, seed: int) -> _Ensembles:
    full, units = dataset.snapshots, dataset.row_units
    if protocol is Protocol.PAPER:
        return _Ensembles(full, full, dataset.reference or dataset.fresh, units)
    if dataset.fresh is not None:
        return _Ensembles(full, dataset.fresh, dataset.reference, units)
    if not dataset.paired and units is not None:
        is_fresh = _fresh_rows(dataset, units, seed)
        kept, fresh = _where(full, [~held for held in is_fresh]), _where(full, is_fresh)
        return _Ensembles(kept, fresh, kept, tuple(unit[~held] for unit, held in zip(units, is_fresh, strict=True)))
    if not dataset.paired:
        return _Ensembles(full, full, None, None)
    n = len(full.samples[0])
    if n < 2:
        raise InputError(
            f"`{dataset.name}` holds a single trajectory, and the protocol `{protocol}` scores on trajectories that "
            "were not fitted; give more, or fit and score the same ones with the protocol `paper`."
        )
    order = generator(seed, "held-back trajectories").permutation(n)
    n_fresh = max(1, round(FRESH_SHARE * n))
    kept, fresh = (_where(full, [np.sort(rows)] * len(full)) for rows in (order[n_fresh:], order[:n_fresh]))
    # at the scored times nothing of the kept trajectories is fitted: they are a perfect model's draws
    return _Ensembles(kept, fresh, kept, tuple(np.arange(len(cloud)) for cloud in kept.samples))


def _fresh_rows(dataset: Dataset, units: tuple[np.ndarray, ...], seed: int) -> list[Bool[np.ndarray, "row"]]:
    """Part units that were measured repeatedly; return for each time which rows are scored, and not fitted.

    Raises:
        InputError: at some time there are not enough for both.
    """
    everyone = np.unique(np.concatenate(units))
    order = everyone[generator(seed, "held-back trajectories").permutation(len(everyone))]
    fresh = {*order[: max(1, round(FRESH_SHARE * len(everyone)))].tolist()}
    for present in units:  # not every unit is there at every time
        here = [unit for unit in order.tolist() if unit in present]
        for unit in here[:-1]:  # one at least remains to be fitted
            if np.isin(present, sorted(fresh)).sum() >= FEWEST_FRESH:
                break
            fresh.add(unit)
    is_fresh = [np.isin(present, sorted(fresh)) for present in units]
    for time, held in zip(dataset.snapshots.times, is_fresh, strict=True):
        if held.all() or not held.any():
            raise InputError(
                f"`{dataset.name}` has too few units at t={time:g} to fit some and to score others; leave out that "
                "time, or leave out `--unit` if rows of one unit may count as independent."
            )
    return is_fresh


def _where(snapshots: Snapshots, rows: Sequence[np.ndarray]) -> Snapshots:
    """Return some rows of each time."""
    return replace(snapshots, samples=tuple(cloud[some] for cloud, some in zip(snapshots.samples, rows, strict=True)))
