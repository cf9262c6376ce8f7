"""Conditions: what was done to a system (doses, rates, treatments), as values of some covariates.

A model sees a condition as a few numbers, its features. A numeric covariate is taken as it is or, where it spans
decades, by its logarithm; then in units of the deviation of its distinct values, with its powers up to `powers`. On a
logarithmic scale zero lies infinitely far away: it stands one typical step below the smallest other value, which is
where a dilution series would go on. A categorical covariate has one feature a category, and one that does not vary has
none: a model of a single condition is a model without conditions.

scipy.optimize is imported where it is needed: half a second, which all who read data would wait for.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, SupportsFloat

import numpy as np
from jaxtyping import Float

from weightflow.data.words import listed
from weightflow.errors import InputError

DECADE = 10.0  # ratio of the largest to the smallest positive value, from which the scale is logarithmic by default
ALIKE = 1e-9  # share of a value by which another one differs from it by rounding
OUTSIDE = 1e-6  # how far from the hull, in deviations, rounding may put a condition that lies on it

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
WITH_UNIT = re.compile(r"[-+]?\d+([.,]\d+)?(?P<unit>\D*)")

Value = float | int | str
Point = tuple[Value, ...]  # a condition: one value for each covariate


class Scale(StrEnum):
    """How the values of a covariate are compared."""

    LINEAR = "linear"
    LOG = "log"
    CATEGORY = "category"


@dataclass(frozen=True)
class Covariate:
    """One thing that differs between conditions.

    Attributes:
        name: such as dose.
        scale: how its values are compared.
        levels: its distinct values, increasing; categories by name.

    Raises:
        InputError: there are no levels, or some that the scale does not know.
    """

    name: str
    scale: Scale
    levels: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not self.levels:
            raise InputError(f"covariate `{self.name}` has no value; give each snapshot one.")
        if self.scale is Scale.CATEGORY:
            object.__setattr__(self, "levels", tuple(sorted({str(level) for level in self.levels})))
            return
        levels = tuple(sorted({_number(self.name, level) for level in self.levels}))
        object.__setattr__(self, "levels", levels)
        if self.scale is Scale.LOG and (levels[0] < 0 or levels[-1] == 0):
            raise InputError(
                f"covariate `{self.name}` is on a logarithmic scale and reaches from {levels[0]:g} to {levels[-1]:g}; "
                f"values must be positive there, or zero beside positive ones: take `{self.name}:linear`."
            )

    @classmethod
    def of(cls, name: str, values: Iterable[Value], scale: Scale | str | None = None) -> "Covariate":
        """Take the values of a covariate; without a scale they say which it is (see the top of this file).

        Raises:
            InputError: the scale is not known, or does not know the values.
        """
        values = list(values)
        if scale is not None:
            return cls(name, known_scale(name, scale), tuple(values))
        if any(isinstance(value, str | bool | np.bool_) for value in values):
            return cls(name, Scale.CATEGORY, tuple(values))
        numbers = [_number(name, value) for value in values]
        positive = [number for number in numbers if number > 0]
        decades = min(numbers) >= 0 and len(positive) > 0 and max(positive) >= DECADE * min(positive)
        return cls(name, Scale.LOG if decades else Scale.LINEAR, tuple(numbers))

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return self.scale is not Scale.CATEGORY

    @property
    def varies(self) -> bool:
        """Whether there is more than one level."""
        return len(self.levels) > 1

    @cached_property
    def zero(self) -> float | None:
        """Where a value of 0 stands on a logarithmic scale; None where there is none, or the scale is another."""
        if self.scale is not Scale.LOG or self.levels[0] != 0:
            return None
        positive = np.log([float(level) for level in self.levels[1:]])
        step = float(np.diff(positive).mean()) if len(positive) > 1 else float(np.log(DECADE))
        return float(np.exp(positive[0] - step))

    def value(self, value: object) -> Value:
        """Take a value as a user gives it.

        Raises:
            InputError: it is no category that was seen, no finite number, or not on the scale.
        """
        if not self.numeric:
            if str(value) not in self.levels:
                known = listed([str(level) for level in self.levels])
                raise InputError(f"`{self.name}={value}` was never seen, and categories have none between; {known}.")
            return str(value)
        number = _number(self.name, value)
        if not self.varies and number != self.levels[0]:
            raise InputError(
                f"`{self.name}={number:g}` was given, but all that was seen has {self.name}={self.levels[0]:g}: what "
                "changes with it is not known; give that value."
            )
        if self.scale is Scale.LOG and (number < 0 or (number == 0 and self.zero is None)):
            raise InputError(
                f"`{self.name}={number:g}` is not on the logarithmic scale of {self.levels[0]:g} to "
                f"{self.levels[-1]:g}; give a positive value."
            )
        return number

    def scaled(self, value: Value) -> float:
        """Return a number on the scale; what lies below the place of zero is there."""
        if self.scale is Scale.LINEAR:
            return float(value)
        return float(np.log(max(float(value), self.zero or 0.0)))

    def unscaled(self, number: float) -> float:
        """Return the value that stands at a place of the scale; that of zero is zero."""
        if self.scale is not Scale.LOG:
            return number
        return 0.0 if self.zero is not None and number <= np.log(self.zero) else float(np.exp(number))

    def between(self, one: Value, other: Value, place: float) -> float:
        """Return the value at a place on the scale from 0, at `one`, to 1, at `other`."""
        return self.unscaled((1 - place) * self.scaled(one) + place * self.scaled(other))

    @cached_property
    def _units(self) -> tuple[float, float]:
        """Centre and deviation of the levels, on the scale."""
        places = np.array([self.scaled(level) for level in self.levels])
        return float(places.mean()), float(places.std())

    def position(self, value: Value) -> float:
        """Return a number on the scale, in deviations of the levels from their centre."""
        centre, unit = self._units
        return (self.scaled(value) - centre) / unit

    def features(self, value: Value, powers: int) -> list[float]:
        """Return what a model sees of a value."""
        if not self.varies:
            return []
        if not self.numeric:
            return [float(value == level) for level in self.levels]
        place = self.position(value)
        return [place**power for power in range(1, powers + 1)]

    def of_levels(self, levels: Sequence[Value]) -> "Covariate":
        """Return the same covariate with some of its levels; of zero alone the scale is linear."""
        only_zero = self.scale is Scale.LOG and not any(levels)
        return replace(self, levels=tuple(levels), scale=Scale.LINEAR if only_zero else self.scale)

    @property
    def _numbered(self) -> str:
        """Say how categories that are written with numbers can be compared as such; nothing of others."""
        texts = [str(level) for level in self.levels]
        if all(NUMBER.fullmatch(text) for text in texts):
            return f" (`{self.name}:linear` or `{self.name}:log` compares these as numbers)"
        found = [WITH_UNIT.fullmatch(text) for text in texts]
        if len({match and match["unit"].strip() for match in found}) > 1 or None in found:
            return ""
        return " (to compare these as numbers, write the numbers alone, with a decimal point)"

    def in_words(self) -> str:
        """Say how the values are understood."""
        if not self.numeric:
            return f"`{self.name}` is a category: {listed([str(level) for level in self.levels])}{self._numbered}"
        told = f"`{self.name}` is numeric, {listed([f'{level:g}' for level in self.levels])}"
        if self.scale is Scale.LINEAR:
            return f"{told}, on a linear scale (`{self.name}:log` chooses a logarithmic one)"
        told += f", on a logarithmic scale (`{self.name}:linear` chooses a linear one)"
        return told if self.zero is None else f"{told}; 0 stands at {self.zero:.3g}, one step below the smallest other"


@dataclass(frozen=True)
class Conditions:
    """The conditions of some snapshots.

    Attributes:
        covariates: what differs.
        points: for each snapshot the value of each covariate.
        shared_start: whether the first snapshots of all conditions are of one and the same distribution.
        powers: of a numeric covariate that a model sees.

    Raises:
        InputError: a point has not one value for each covariate, or one that is none.
    """

    covariates: tuple[Covariate, ...]
    points: tuple[Point, ...]
    shared_start: bool = False
    powers: int = 2

    def __post_init__(self) -> None:
        names = self.names
        if len({*names}) < len(names) or not names:
            raise InputError(f"covariates {', '.join(names) or 'of no name'} were given; name at least one, each once.")
        for point in self.points:
            if len(point) != len(names):
                raise InputError(f"a condition has {len(point)} values for the covariates {', '.join(names)}.")
        values = (zip(self.covariates, point, strict=True) for point in self.points)
        object.__setattr__(self, "points", tuple(tuple(one.value(v) for one, v in point) for point in values))

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        points: Sequence[Sequence[Value]],
        scales: Mapping[str, Scale | str] | None = None,
        shared_start: bool = False,
    ) -> "Conditions":
        """Take points, one for each snapshot; `scales` holds those that are not to be told from the values.

        Raises:
            InputError: there is a scale of something else, or as for `Covariate.of`.
        """
        unknown = [name for name in scales or {} if name not in names]
        if unknown:
            raise InputError(f"`{unknown[0]}` has a scale and is no covariate; these are {', '.join(names)}.")
        columns = [[point[i] for point in points] for i in range(len(names))]
        said = scales or {}
        covariates = [Covariate.of(name, column, said.get(name)) for name, column in zip(names, columns, strict=True)]
        return cls(tuple(covariates), tuple(tuple(point) for point in points), shared_start)

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values, which JSON can hold; `of_facts` undoes it."""
        return {
            "covariates": [{"name": c.name, "scale": c.scale.value, "levels": list(c.levels)} for c in self.covariates],
            "points": [list(point) for point in self.points],
            "shared_start": self.shared_start,
            "powers": self.powers,
        }

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any] | None) -> "Conditions | None":
        """Build them from what `facts` has returned; None where there were none."""
        if facts is None:
            return None
        covariates = [Covariate(one["name"], Scale(one["scale"]), tuple(one["levels"])) for one in facts["covariates"]]
        points = tuple(tuple(point) for point in facts["points"])
        return cls(tuple(covariates), points, facts["shared_start"], facts["powers"])

    @property
    def names(self) -> tuple[str, ...]:
        """Of the covariates."""
        return tuple(covariate.name for covariate in self.covariates)

    @cached_property
    def distinct(self) -> tuple[Point, ...]:
        """The conditions, each once, in the order in which they come."""
        return tuple(dict.fromkeys(self.points))

    def subset(self, indices: Sequence[int]) -> "Conditions":
        """Keep the conditions of some snapshots; the levels are those that are left.

        Scales stay, but where zero alone is left, which has no place on a logarithmic one.
        """
        points = tuple(self.points[i] for i in indices)
        levels = [tuple(point[i] for point in points) for i in range(len(self.covariates))]
        covariates = [one.of_levels(left) for one, left in zip(self.covariates, levels, strict=True)]
        return replace(self, covariates=tuple(covariates), points=points)

    def point(self, at: Mapping[str, object]) -> Point:
        """Take a condition as a user gives it, by the names of the covariates.

        Raises:
            InputError: a covariate is missing or not known, or a value is not possible.
        """
        if not isinstance(at, Mapping):
            raise InputError(
                f"`at={at!r}` is no mapping from covariates to values; write at={{{self.names[0]!r}: ..}}."
            )
        unknown = [name for name in at if name not in self.names]
        if unknown:
            raise InputError(f"`at` names `{unknown[0]}`, which is no covariate; they are {listed(self.names)}.")
        missing = [name for name in self.names if name not in at]
        if missing:
            raise InputError(
                f"`at` has no value of `{missing[0]}`; a condition has one for each covariate ({listed(self.names)}): "
                f"at={{{', '.join(f'{name!r}: ..' for name in self.names)}}} (`--at {missing[0]}=..`)."
            )
        return tuple(covariate.value(at[covariate.name]) for covariate in self.covariates)

    def with_powers(self, powers: int) -> "Conditions":
        """Return the same conditions, of whose numeric covariates a model sees so many powers."""
        return replace(self, powers=powers)

    def features(self, point: Point) -> Float[np.ndarray, "feature"]:
        """Return what a model sees of a condition; nothing where all conditions are one."""
        parts = [one.features(value, self.powers) for one, value in zip(self.covariates, point, strict=True)]
        return np.array([number for part in parts for number in part], dtype=np.float64)

    def named(self, point: Point) -> dict[str, Value]:
        """Return a condition by the names of the covariates."""
        return dict(zip(self.names, point, strict=True))

    def between(self, one: Point, other: Point, place: float) -> Point:
        """Return the condition at a place from 0, at `one`, to 1, at `other`, which has the same categories."""
        triples = zip(self.covariates, one, other, strict=True)
        return tuple(a if a == b else known.between(a, b, place) for known, a, b in triples)

    def positions(self, point: Point) -> Float[np.ndarray, "axis"]:
        """Return the place of a condition in the space of the numeric covariates that vary, in their deviations."""
        return np.array([one.position(value) for one, value in self._axes(point)], dtype=np.float64)

    def categories(self, point: Point) -> tuple[Value, ...]:
        """Return the values of the covariates that are not numeric, and of those that do not vary."""
        moving = {one.name for one, _ in self._axes(point)}
        pairs = zip(self.covariates, point, strict=True)
        return tuple(value for one, value in pairs if one.name not in moving)

    def peers(self, point: Point) -> tuple[Point, ...]:
        """Return the seen conditions that differ from one in numeric covariates alone."""
        mine = self.categories(point)
        return tuple(other for other in self.distinct if self.categories(other) == mine)

    def outside(self, point: Point) -> str:
        """Say why a condition is an extrapolation; empty where it lies in the convex hull of what was seen."""
        what, peers = in_words(self.named(point)), self.peers(point)
        if not peers:
            return f"{what} is an extrapolation: no condition with its categories or fixed values was fitted."
        here = self.positions(point)
        if not len(here) or _in_hull(here, np.stack([self.positions(peer) for peer in peers])):
            return ""
        spans = [
            f"{one.name} from {min(float(p[i]) for p in peers):g} to {max(float(p[i]) for p in peers):g}"
            for i, one in enumerate(self.covariates)
            if one.numeric and one.varies
        ]
        return (
            f"{what} is an extrapolation: it lies outside the convex hull of the conditions that were fitted "
            f"({', '.join(spans)})."
        )

    def in_words(self) -> tuple[str, ...]:
        """Say how the conditions are understood."""
        n = len(self.distinct)
        told = [f"{n} {'condition' if n == 1 else 'conditions'} of {listed(self.names)}"]
        told += [covariate.in_words() for covariate in self.covariates]
        return (*told, *(("all conditions share the first snapshot",) if self.shared_start else ()))

    def _axes(self, point: Point) -> list[tuple[Covariate, Value]]:
        pairs = zip(self.covariates, point, strict=True)
        return [(one, value) for one, value in pairs if one.numeric and one.varies]


def tens(conditions: int) -> float:
    """Return how many tens of conditions there are, one at least: by which a fit of very many takes more of the data.

    All of them tell of the same few functions of the condition, so that a model of very many may be richer, and its
    path longer, than the samples of each would carry alone.
    """
    return max(1.0, conditions / 10)


def in_words(at: Mapping[str, Value]) -> str:
    """Return a condition as people write it: dose=1, drug=dex; nothing where there is none."""
    return ", ".join(f"{name}={value}" if isinstance(value, str) else f"{name}={value:g}" for name, value in at.items())


def as_options(at: Mapping[str, Value]) -> str:
    """Return a condition as the options that ask a model at it, each after a space: --at dose=1 --at drug=dex."""
    return "".join(f" --at {shlex.quote(in_words({name: value}))}" for name, value in at.items())


def known_scale(name: str, scale: Scale | str) -> Scale:
    """Take the scale of a covariate.

    Raises:
        InputError: there is no such scale.
    """
    if scale not in set(Scale):
        raise InputError(f"`{name}` is said to be on the scale `{scale}`; known are {', '.join(Scale)}.")
    return Scale(scale)


def _in_hull(here: Float[np.ndarray, "axis"], peers: Float[np.ndarray, "peer axis"]) -> bool:
    """Whether a point is a mean of others with some weights: the smallest error that such a mean has is zero."""
    n, axes = peers.shape
    if axes == 1:
        return bool(peers.min() - OUTSIDE <= here[0] <= peers.max() + OUTSIDE)
    from scipy.optimize import linprog

    # weights w >= 0 of sum 1, and slacks u, v >= 0 with peers^T w + u - v = here; the sum of the slacks is minimised
    equal = np.block([[peers.T, np.eye(axes), -np.eye(axes)], [np.ones((1, n)), np.zeros((1, 2 * axes))]])
    cost = np.concatenate([np.zeros(n), np.ones(2 * axes)])
    return bool(linprog(cost, A_eq=equal, b_eq=np.append(here, 1.0)).fun <= OUTSIDE)


def without_rounding(values: Float[np.ndarray, "row"]) -> Float[np.ndarray, "row"]:
    """Return values of which those that differ by rounding alone are one: the one that takes the fewest digits."""
    distinct, place = np.unique(values, return_inverse=True)
    apart = np.diff(distinct) > ALIKE * np.abs(distinct[1:])
    groups = np.split(distinct, np.flatnonzero(apart) + 1)
    meant = [min(group.tolist(), key=lambda value: len(repr(value))) for group in groups for _ in group]
    return np.array(meant)[place]


def _number(name: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, str | SupportsFloat) else np.nan
    except (ValueError, TypeError, RuntimeError):  # the last ones from arrays and tensors of several values
        number = np.nan
    if not np.isfinite(number):
        raise InputError(f"`{name}={value}` is no finite number; give one (or say `{name}:category`).")
    return float(number)
