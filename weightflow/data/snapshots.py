"""Snapshots: samples of one system, observed at increasing times, under one condition or several."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from weightflow.card import Carded, Facts
from weightflow.data.conditions import Conditions, Point, Scale, in_words, without_rounding
from weightflow.data.words import listed, written
from weightflow.errors import InputError
from weightflow.types import Kind

LARGEST_COUNT = 2**52  # up to here the numbers half-way between counts are exact, too


@dataclass(frozen=True, eq=False, repr=False)
class Snapshots(Carded):
    """Clouds of samples of one system at increasing times.

    Attributes:
        times: physical times, shape (time,), strictly increasing; where there are conditions, within each of them.
        samples: one cloud per time, each of shape (n, dim); the sizes n may differ.
        species: one name per dimension; by default the columns of the samples, where these are tables of pandas.
        kinds: one kind per dimension, or one for all, as `Kind` or by name; counts are whole and not negative. By
            default a species of whole numbers, none negative, is of counts.
        unit: of the times, as people write it (day, h); empty where none is known.
        conditions: under which each cloud was observed, those of one condition side by side; None where nothing was
            varied. `of_conditions` joins the courses of several.

    Raises:
        InputError: on what is no number, wrong shapes, tables with different columns, non-finite values, times that do
            not increase, empty clouds, unknown kinds, fractional or negative counts, and whole numbers that double
            precision does not hold exactly.
    """

    times: Float[np.ndarray, "time"]
    samples: tuple[Float[np.ndarray, "_ dim"], ...]
    species: tuple[str, ...] = field(default=())
    kinds: tuple[Kind, ...] = field(default=())
    unit: str = ""
    conditions: Conditions | None = None

    def __post_init__(self) -> None:
        times = exact(_numbers("`times`", self.times))
        samples = tuple(exact(_numbers(f"the samples of snapshot {i}", x)) for i, x in enumerate(self.samples))
        _check_times(times, len(samples))
        for stretch in _stretches(self.conditions, len(times)):
            _check_order(times[stretch])
        _check_clouds(times, samples)
        dim = samples[0].shape[1]
        species = (self.species,) if isinstance(self.species, str) else tuple(self.species) or _columns(self.samples)
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "species", species or tuple(f"x{i + 1}" for i in range(dim)))
        object.__setattr__(self, "kinds", _kinds(self.kinds, dim) or guess_kinds(samples))
        _check_species(self.species, self.kinds, dim)
        _check_counts(self)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many samples each snapshot has."""
        return tuple(map(len, self.samples))

    @property
    def dim(self) -> int:
        """Number of species."""
        return self.samples[0].shape[1]

    @classmethod
    def of_conditions(
        cls,
        courses: Mapping[Any, "Snapshots"],
        covariates: str | Sequence[str],
        scales: Mapping[str, Scale | str] | None = None,
        shared_start: bool = False,
    ) -> "Snapshots":
        """Join the courses of several conditions.

        Args:
            courses: by condition: a value of the covariate, or a tuple with one for each covariate.
            covariates: names, such as "dose" or ("dose", "temperature").
            scales: of covariates, where their values are not to say it.
            shared_start: whether the first snapshots of all conditions are of one and the same distribution.

        Raises:
            InputError: the courses are of different species, or the conditions are not possible.
        """
        names = (covariates,) if isinstance(covariates, str) else tuple(covariates)
        if not isinstance(courses, Mapping):
            raise InputError(
                f"a {type(courses).__name__} was given; give a mapping from conditions to snapshots, as in "
                "{1.0: snapshots, 10.0: others}."
            )
        keys = {key if isinstance(key, tuple) else (key,): course for key, course in courses.items()}
        if not keys:
            raise InputError("there is no condition; give one course of snapshots for each.")
        first = next(iter(keys.values()))
        for point, course in keys.items():
            if len(point) != len(names):
                raise InputError(
                    f"the condition {point} has {len(point)} values and the covariates are {', '.join(names)}; give "
                    "one value for each of them."
                )
            if course.species != first.species or course.unit != first.unit or course.conditions is not None:
                raise InputError(
                    f"the snapshots of {point} have species {', '.join(course.species)} and the unit `{course.unit}`, "
                    f"others {', '.join(first.species)} and `{first.unit}`; give courses of the same species and unit, "
                    "without conditions of their own."
                )
        settled = list(zip(*map(_settled, zip(*keys, strict=True)), strict=True))
        twins = [
            (one, other)
            for i, one in enumerate(keys)
            for j, other in enumerate(keys)
            if i < j and settled[i] == settled[j]
        ]
        if twins:
            raise InputError(
                f"the conditions {twins[0][0]} and {twins[0][1]} differ by rounding alone; give one course for both."
            )
        points = [point for point, course in zip(settled, keys.values(), strict=True) for _ in course.times]
        samples = tuple(cloud for course in keys.values() for cloud in course.samples)
        kinds = tuple(
            Kind.COUNTS if {*one} == {Kind.COUNTS} else Kind.CONTINUOUS
            for one in zip(*(course.kinds for course in keys.values()), strict=True)
        )
        times = np.concatenate([course.times for course in keys.values()])
        conditions = Conditions.of(names, points, scales, shared_start)
        return cls(times, samples, first.species, kinds, first.unit, conditions)

    @property
    def courses(self) -> dict[Point, "Snapshots"]:
        """The snapshots of each condition, as if there were no other; one course, of the empty condition, without."""
        if self.conditions is None:
            return {(): self}
        stretches = _stretches(self.conditions, len(self))
        return {
            self.conditions.points[part.start]: replace(
                self, times=self.times[part], samples=self.samples[part], conditions=None
            )
            for part in stretches
        }

    def alone(self, what: str) -> "Snapshots":
        """Return these snapshots where there are no conditions.

        Raises:
            InputError: there are some; `what` says for what one course is needed.
        """
        if self.conditions is None:
            return self
        names = ", ".join(self.conditions.names)
        raise InputError(
            f"{what} is for one course of snapshots, and these are of {len(self.conditions.distinct)} conditions "
            f"({names}); take the rows of one with `--where '{self.conditions.names[0]}=..'`, without `--conditions`."
        )

    def of_condition(self, index: int) -> str:
        """Say under which condition a snapshot was observed; nothing where there is none."""
        known = self.conditions
        return "" if known is None else in_words(known.named(known.points[index]))

    def subset(self, indices: Sequence[int]) -> "Snapshots":
        """Keep the snapshots at `indices`, in the order in which they are."""
        keep = sorted(int(i) for i in indices)
        conditions = None if self.conditions is None else self.conditions.subset(keep)
        return replace(
            self, times=self.times[keep], samples=tuple(self.samples[i] for i in keep), conditions=conditions
        )

    def pooled(self) -> Float[np.ndarray, "all dim"]:
        """Return all samples of all times as one cloud."""
        return np.concatenate(self.samples)

    def digest(self) -> str:
        """Return a hash of times, samples, names, kinds and conditions: equal data, equal digest."""
        sha = hashlib.sha256()
        for array in (self.times, *self.samples):
            sha.update(str(array.shape).encode())
            sha.update(np.ascontiguousarray(array).tobytes())
        sha.update(repr((self.species, [str(kind) for kind in self.kinds])).encode())
        if self.conditions is not None:
            sha.update(repr(self.conditions).encode())
        return sha.hexdigest()[:16]

    def facts(self) -> Facts:
        """Return what was observed in a few lines, each with its name."""
        times, sizes = np.unique(self.times), self.sizes
        each = f"{sizes[0]:,}" if len({*sizes}) == 1 else f"{min(sizes):,} to {max(sizes):,}"
        species = [f"{name} ({kind})" for name, kind in zip(self.species, self.kinds, strict=True)]
        under = () if self.conditions is None else (("conditions", "; ".join(self.conditions.in_words())),)
        return [
            ("times", f"{len(times)}, from {written(times[0])} to {written(times[-1])} {self.unit}".rstrip()),
            ("samples", f"{each} in each of {len(self)} snapshots"),
            ("species", listed(species)),
            *under,
        ]

    def _card(self) -> tuple[str, Facts]:
        return "Snapshots", self.facts()


def _settled(column: Sequence[Any]) -> Sequence[Any]:
    """Return the values of a covariate, of which numbers that differ by rounding alone are one."""
    if any(isinstance(value, str | bool | np.bool_) for value in column):
        return column
    try:
        return without_rounding(np.array(column, dtype=np.float64)).tolist()
    except (TypeError, ValueError):  # what is no number is told with its name, when the covariate is made
        return column


def _stretches(conditions: Conditions | None, n: int) -> list[slice]:
    """Return where the snapshots of each condition stand.

    Raises:
        InputError: there is not one condition for each snapshot, or those of one do not stand side by side.
    """
    if conditions is None:
        return [slice(0, n)]
    if len(conditions.points) != n:
        raise InputError(f"there are {len(conditions.points)} conditions for {n} snapshots; give one for each.")
    runs = [len(list(run)) for _, run in groupby(conditions.points)]
    if len(runs) != len(conditions.distinct):
        raise InputError("snapshots of one condition must stand side by side; sort them by condition, then by time.")
    return [slice(start, stop) for start, stop in pairwise(np.cumsum([0, *runs]).tolist())]


def _numbers(what: str, values: Any) -> np.ndarray:
    """Take numbers in whatever form they are given.

    Raises:
        InputError: they are none, or rows have different lengths.
    """
    try:
        array = np.asarray(values)
        array = array.astype(np.float64) if array.dtype.kind == "O" else array
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} cannot be read as numbers ({error}); give an array of numbers.") from None
    if array.dtype.kind in "mM":
        raise InputError(
            f"{what} are dates or durations; give numbers, such as days since the first (`weightflow.read` takes dates "
            "from tables)."
        )
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} are of type {array.dtype}; give real numbers.")
    return array


def _columns(samples: Sequence[Any]) -> tuple[str, ...]:
    """Return the names of columns where all samples are tables; none where one is not.

    Raises:
        InputError: two tables have different columns, or the same ones in another order.
    """
    tables = [tuple(map(str, cloud.columns)) for cloud in samples if hasattr(cloud, "columns")]
    if not tables or len(tables) < len(samples):
        return ()
    for i, names in enumerate(tables):
        if names != tables[0]:
            raise InputError(
                f"the table of snapshot {i} has the columns {', '.join(names)}, and the first one has "
                f"{', '.join(tables[0])}; give all tables the same columns in one order."
            )
    return tables[0]


def exact(values: np.ndarray) -> Float[np.ndarray, "*shape"]:
    """Return numbers in double precision.

    Raises:
        InputError: there are integers that lose digits there, or the numbers are complex.
    """
    if values.dtype.kind == "c":
        raise InputError("the numbers are complex; all must be real: give their real part, or their modulus.")
    if values.dtype.kind in "iu" and values.size and max(-int(values.min()), int(values.max())) > LARGEST_COUNT:
        raise InputError(
            f"whole numbers reach {max(int(values.max()), int(values.min()), key=abs)}, but they are exact up to "
            f"{LARGEST_COUNT:,} (2^52) only; subtract an offset, or give them as floating-point numbers."
        )
    return np.asarray(values, dtype=np.float64)


def guess_kinds(samples: Sequence[np.ndarray], negative: bool = False) -> tuple[Kind, ...]:
    """Guess the kind of each species: counts where all numbers are whole, and none is negative unless `negative`.

    Numbers beyond `LARGEST_COUNT` say nothing, since there all floating-point numbers are whole.
    """
    whole = np.logical_and.reduce([_whole(cloud, negative) for cloud in samples])
    return tuple(Kind.COUNTS if one else Kind.CONTINUOUS for one in whole)


def _whole(cloud: np.ndarray, negative: bool) -> Bool[np.ndarray, "dim"]:
    allowed = (cloud == np.rint(cloud)) & (np.abs(cloud) <= LARGEST_COUNT)
    return (allowed if negative else allowed & (cloud >= 0)).all(axis=0)


def _kinds(given: Sequence[Kind | str] | Kind | str, dim: int) -> tuple[Kind, ...]:
    kinds = (given,) * dim if isinstance(given, str) else tuple(given)
    unknown = [kind for kind in kinds if kind not in set(Kind)]
    if unknown:
        raise InputError(f"kind {unknown[0]!r} is not known; a species is of kind {' or '.join(Kind)}.")
    return tuple(Kind(kind) for kind in kinds)


def _check_times(times: np.ndarray, n_clouds: int) -> None:
    if times.ndim != 1 or len(times) != n_clouds:
        raise InputError(
            f"`times` has shape {times.shape} and there are {n_clouds} clouds of samples; give one time per cloud."
        )
    if len(times) == 0:
        raise InputError("there is no snapshot; give at least one time with its samples.")
    if not np.isfinite(times).all():
        raise InputError(f"times[{int(np.argmin(np.isfinite(times)))}] is not a finite number; remove that snapshot.")


def _check_order(times: np.ndarray) -> None:
    steps = np.diff(times)
    if (steps <= 0).any():
        i = int(np.argmax(steps <= 0))
        raise InputError(
            f"`times` must strictly increase, but times[{i}]={written(times[i])} and "
            f"times[{i + 1}]={written(times[i + 1])}; "
            "sort the snapshots or merge those two."
        )


def _check_clouds(times: np.ndarray, samples: tuple[np.ndarray, ...]) -> None:
    for time, cloud in zip(times, samples, strict=True):
        if cloud.ndim == 1:
            raise InputError(
                f"the snapshot at t={written(time)} has shape {cloud.shape}; each must be (samples, species): with one "
                "species, add an axis of length 1, as x[:, None] does."
            )
        if cloud.ndim != 2 or cloud.shape[1] != samples[0].shape[-1]:
            raise InputError(
                f"the snapshot at t={written(time)} has shape {cloud.shape}; each must be "
                f"(samples, {samples[0].shape[-1]} species)."
            )
        if cloud.size == 0:
            raise InputError(
                f"the snapshot at t={written(time)} is empty; give it at least one sample or leave that time out."
            )
        if not np.isfinite(cloud).all():
            row, column = np.argwhere(~np.isfinite(cloud))[0]
            raise InputError(
                f"the snapshot at t={written(time)} holds {cloud[row, column]} (row {row}, species {column}); "
                "all values must be finite: fill or drop those rows."
            )


def _check_species(species: tuple[str, ...], kinds: tuple[Kind, ...], dim: int) -> None:
    if len(species) != dim or len(set(species)) != dim or len(kinds) != dim:
        raise InputError(
            f"{len(species)} species names ({', '.join(species)}) and {len(kinds)} kinds for {dim} dimensions; "
            "give one distinct name and one kind to each."
        )


def _check_counts(snapshots: Snapshots) -> None:
    counts = [i for i, kind in enumerate(snapshots.kinds) if kind is Kind.COUNTS]
    for time, cloud in zip(snapshots.times, snapshots.samples, strict=True):
        values = cloud[:, counts]
        bad = (values < 0) | (values != np.rint(values)) | (values > LARGEST_COUNT)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"species `{snapshots.species[counts[column]]}` is of kind counts but holds "
                f"{values[row, column]:g} at t={written(time)}; counts are whole, not negative, and at most 2^52: "
                "correct the data or use `--kind continuous`."
            )
