"""Samples grouped by condition and time, and how they become a data set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from weightflow.data.conditions import Conditions, Point, Value, in_words, without_rounding
from weightflow.data.dataset import SPECIES, Dataset, every_nth
from weightflow.data.reading.columns import Rows
from weightflow.data.reading.components import Components, principal_components
from weightflow.data.reading.options import ReadOptions
from weightflow.data.reading.times import distinct_times
from weightflow.data.snapshots import Snapshots, guess_kinds
from weightflow.data.words import listed, written
from weightflow.errors import InputError
from weightflow.types import Kind

MANY = 300  # species; more are refused, since nobody means to fit them one by one


@dataclass(frozen=True, eq=False)
class Clouds:
    """One cloud of samples for each time, and for each condition.

    Attributes:
        times: increasing, within each condition.
        unit: of the times.
        samples: for each time a matrix (row, species), dense, or sparse where it is to be reduced.
        species: names.
        units: for each time the unit of each row; None where nothing says.
        paired: whether row i is the same unit at every time.
        alike: whether all species are of one kind, as the genes of one matrix.
        kinds: of the species, where the file says them.
        dense: whether the times are those of a simulation, of which every tenth is seen by default.
        said: what was understood.
        called: what the species are.
        conditions: of each cloud; None where nothing was varied.
    """

    times: Float[np.ndarray, "time"]
    unit: str
    samples: tuple[Any, ...]
    species: tuple[str, ...]
    units: tuple[np.ndarray, ...] | None = None
    paired: bool = False
    dense: bool = False
    alike: bool = False
    said: tuple[str, ...] = ()
    called: str = SPECIES
    conditions: Conditions | None = None
    kinds: tuple[Kind, ...] = ()


def grouped(rows: Rows, options: ReadOptions) -> Clouds:
    """Collect rows of one time, and of one condition, into a cloud; the order of the rows means nothing.

    Units that were each measured once at every time are paired.
    """
    times, place = distinct_times(rows.times.values)
    if rows.covariates:
        return _by_condition(rows, times, place, options)
    members = [np.flatnonzero(place == k) for k in range(len(times))]
    units, paired, said = None, False, (*rows.said, *rows.times.said)
    if rows.units is not None:
        members = [where[np.argsort(rows.units[where], kind="stable")] for where in members]
        units = tuple(rows.units[where] for where in members)
        paired = all(len({*one}) == len(one) and np.array_equal(one, units[0]) for one in units)
        seen = [{*one} for one in units]
        everyone, always = len(set.union(*seen)), len(set.intersection(*seen))
        gaps = "all of them" if everyone == always else f"{always:,} of them"
        said += (f"{everyone:,} units, {gaps} observed at every time, and none is both fitted and scored",)
        said += _gone(units, tuple(rows.values[where] for where in members), seen)
    samples = tuple(rows.values[where] for where in members)
    return Clouds(times, rows.times.unit, samples, rows.species, units, paired, said=said)


def _by_condition(rows: Rows, times: Float[np.ndarray, "time"], place: np.ndarray, options: ReadOptions) -> Clouds:
    """Collect rows of one condition and time; a shared start is all rows of the earliest time, once a condition."""
    columns = [
        (without_rounding(values) if values.dtype.kind == "f" else values).tolist()
        for values in rows.covariates.values()
    ]
    of_row: list[Point] = list(zip(*columns, strict=True))
    members: dict[tuple[Point, int], list[int]] = {}
    for row, key in enumerate(zip(of_row, place.tolist(), strict=True)):
        members.setdefault(key, []).append(row)
    if options.shared_start:
        start = [row for (_, k), some in sorted(members.items(), key=_order) if k == 0 for row in some]
        later = {point: start for point, k in members if k > 0}
        members = {key: some for key, some in members.items() if key[1] > 0} | {(p, 0): start for p in later}
    keys = sorted(members, key=lambda key: _order((key, [])))
    found = [np.array(members[key]) for key in keys]
    conditions = Conditions.of(tuple(rows.covariates), [key[0] for key in keys], options.scales, options.shared_start)
    said = (*rows.said, *rows.times.said, *conditions.in_words())
    units = None
    if rows.units is not None:
        units = tuple(rows.units[where] for where in found)
        said += (f"{len({*rows.units.tolist()}):,} units, none of which is both fitted and scored",)
    samples = tuple(rows.values[where] for where in found)
    when = np.array([times[key[1]] for key in keys])
    return Clouds(when, rows.times.unit, samples, rows.species, units, said=said, conditions=conditions)


def _order(item: tuple[tuple[Point, int], list[int]]) -> tuple[tuple[tuple[bool, Value], ...], int]:
    """Sort by condition, numbers before text, then by time."""
    (point, k), _ = item
    return tuple((isinstance(value, str), value) for value in point), k


def _gone(units: tuple[np.ndarray, ...], clouds: tuple[np.ndarray, ...], seen: list[set[str]]) -> tuple[str, ...]:
    """Warn of units that were last seen at zero, and are missing later: what died out must count as zero."""
    gone: set[str] = set()
    for k, (present, cloud) in enumerate(zip(units, clouds, strict=True)):
        later = set.union(set(), *seen[k + 1 :])
        empty = {*present[(cloud == 0).all(axis=1)].tolist()}
        gone |= empty - later if k + 1 < len(units) else set()
    if not gone:
        return ()
    return (
        f"warning: {len(gone):,} units ({listed(sorted(gone), 5)}) are missing after they were seen at zero: if they "
        "died out, add them as zeros, or what is left looks as if it thrived",
    )


def dataset_of(name: str, clouds: Clouds, options: ReadOptions) -> Dataset:
    """Make a data set: reduce it if asked to, settle the kinds, and say what was understood.

    Raises:
        InputError: there are too many species to fit, or as for `Snapshots` and `Dataset`.
    """
    seen = _seen(clouds, options)
    found: Components | None = None
    if options.pca is not None:
        found = principal_components(clouds.samples, seen, options.pca)
        said = (*clouds.said, found.said)
        clouds = replace(clouds, samples=found.samples, species=found.names, said=said, called="principal components")
    elif len(clouds.species) > MANY:
        raise InputError(
            f"there are {len(clouds.species):,} species, and no more than {MANY} are fitted one by one; choose some "
            "with `--species A,B`, or take principal components with `--pca 10`."
        )
    # Negative whole numbers are taken for counts and then refused, as likely a mistake as another kind.
    guessed = guess_kinds(clouds.samples, negative=True) if found is None else (Kind.CONTINUOUS,)
    if len(guessed) < len(clouds.species) or (clouds.alike and Kind.CONTINUOUS in guessed):
        guessed = (Kind.CONTINUOUS,) * len(clouds.species)
    kinds = options.kinds_of(clouds.species, clouds.kinds or guessed)
    snapshots = Snapshots(clouds.times, clouds.samples, clouds.species, kinds, clouds.unit, clouds.conditions)
    said = (*clouds.said, *_of_courses(snapshots, seen), _of_species(snapshots))
    return Dataset(name, snapshots, seen, clouds.paired, reading=said, units=clouds.units, called=clouds.called)


def _seen(clouds: Clouds, options: ReadOptions) -> tuple[int, ...]:
    """Return the indices of what is seen: every n-th time of each condition."""
    points = [()] * len(clouds.times) if clouds.conditions is None else clouds.conditions.points
    courses = [[i for i, one in enumerate(points) if one == point] for point in dict.fromkeys(points)]
    return tuple(course[k] for course in courses for k in every_nth(len(course), options.every, clouds.dense))


def _of_courses(snapshots: Snapshots, seen: Sequence[int]) -> list[str]:
    """Say what was observed when; of many conditions those that differ in it."""
    if snapshots.conditions is None:
        return [_of_times(snapshots, seen)]
    told: dict[str, list[str]] = {}
    visible = snapshots.subset(seen)
    for point, course in visible.courses.items():
        at = in_words(snapshots.conditions.named(point))
        told.setdefault(_of_times(course, range(len(course))), []).append(at)
    return [f"seen under {listed(points, 6)}: {times}" for times, points in told.items()]


def _of_times(snapshots: Snapshots, seen: Sequence[int]) -> str:
    times, sizes = snapshots.times, snapshots.sizes
    unit = f" ({snapshots.unit})" if snapshots.unit else ""
    if len(times) <= 20:
        held = listed([f"{written(time)} ({n:,})" for time, n in zip(times, sizes, strict=True)], 20)
        told = f"{len(times)} times{unit}, with samples: {held}"
    else:
        of = f"{sizes[0]:,}" if len({*sizes}) == 1 else f"{min(sizes):,} to {max(sizes):,}"
        told = f"{len(times)} times{unit} from {written(times[0])} to {written(times[-1])}, of {of} samples"
    return told if len(seen) == len(times) else f"{told}; {len(seen)} of them are seen"


def _of_species(snapshots: Snapshots) -> str:
    pooled = snapshots.pooled()
    low, high = pooled.min(axis=0), pooled.max(axis=0)
    told = [
        f"{name} ({kind}, {a:g} to {b:g})"
        for name, kind, a, b in zip(snapshots.species, snapshots.kinds, low, high, strict=True)
    ]
    return f"{len(told)} species: {listed(told)}"
