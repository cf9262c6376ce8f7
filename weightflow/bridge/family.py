"""Samples of several conditions, and between neighbouring ones: what one path theta(t, c) is fitted to.

Within a condition, samples between the snapshots are those of its own bridge. Between two neighbouring conditions there
are samples at the times that both have: their clouds are two snapshots of which the position between the conditions is
the time, so that a bridge without spread joins them (McCann's displacement interpolation). Neighbours are conditions
that follow each other in the one numeric covariate that varies, or share an edge of the Delaunay triangulation of
several, and have the same categories.

One condition is the family of one course, whose code has no number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field
from scipy.spatial import Delaunay, QhullError

from weightflow.bridge.bridge import Bridge
from weightflow.bridge.chain import Chain
from weightflow.bridge.lengthened import samples_for_fitting
from weightflow.bridge.options import BridgeOptions, Curve
from weightflow.bridge.smoothed import Samples, kernel_widths, moved, scales_of
from weightflow.data.conditions import Conditions, Point, tens
from weightflow.data.snapshots import Snapshots
from weightflow.rng import derive_seed
from weightflow.types import Kind, Options

PAIRS = 256  # points of each cloud that are coupled between conditions: there may be very many pairs of clouds
ACROSS = 4  # places between neighbours in a step, where one covariate varies
EDGES = (600, 3)  # pairs of neighbours at most: so many, or so many a condition if these are more; of more the nearest


class ConditionOptions(Options):
    """How several conditions are fitted together; of one condition nothing here changes anything."""

    powers: int | None = Field(
        default=None,
        ge=1,
        le=4,
        description="powers of each numeric covariate that a model sees; none: 2 where one varies, 1 where several do",
    )
    per_step: int = Field(default=2, ge=1, description="conditions whose samples a step of training takes")
    across: int | None = Field(
        default=None,
        ge=0,
        description="places between neighbouring conditions that a step of the teacher takes, or 0; none: 4 where one "
        "covariate varies, 0 where several do",
    )

    def of(self, conditions: Conditions) -> "ConditionOptions":
        """Return the options with nothing left open.

        Where several covariates vary, conditions are few in each direction and neighbours far apart: squares are more
        numbers than they tell apart, and straight transport between them is wrong by more than a network that bends by
        itself. Over two rates of an epidemic, at rates never seen, sliced W1 of the direct path was 2.14 and 1.71 times
        that of perfect samples with both, 1.78 and 1.33 without squares, and 1.58 and 1.33 without either (two seeds).
        Where one dose varies, both help: at a dose of DUSP1's never seen, joint W1 was 7.9 with both, 9.6 without.
        """
        several = sum(covariate.numeric and covariate.varies for covariate in conditions.covariates) > 1
        chosen = {"powers": 1 if several else Conditions.powers, "across": 0 if several else ACROSS}
        return self.model_copy(update={name: value for name, value in chosen.items() if getattr(self, name) is None})


class Draws(NamedTuple):
    """Samples of some conditions at some times each.

    Attributes:
        times: of all of them, one condition after the other.
        codes: of the condition of each time.
        samples: shape (query, draw, dim).
        sizes: how many of the times belong to each condition.
    """

    times: Float[np.ndarray, "query"]
    codes: Float[np.ndarray, "query feature"]
    samples: Float[np.ndarray, "query draw dim"]
    sizes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Lone:
    """The samples of a condition that was observed once; between its one time and others there is nothing."""

    snapshots: Snapshots
    width: Float[np.ndarray, "dim"]
    scale: Float[np.ndarray, "dim"]

    @classmethod
    def of(cls, snapshots: Snapshots, options: BridgeOptions) -> "Lone":
        """Take one snapshot."""
        widths = kernel_widths(snapshots, options.smoothing)
        return cls(snapshots, widths[0], scales_of(snapshots, widths)[0])

    @property
    def times(self) -> Float[np.ndarray, "time"]:
        """The one time."""
        return self.snapshots.times

    def sample(
        self, times: Float[np.ndarray, "query"], n: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "query n dim"]:
        """Draw `n` samples, as often as the time is asked for."""
        cloud = self.snapshots.samples[0]
        counts = np.array([kind is Kind.COUNTS for kind in self.snapshots.kinds])
        return moved(cloud[rng.integers(len(cloud), size=(len(times), n))], self.width, self.scale, counts, rng)


@dataclass(frozen=True, eq=False)
class Across:
    """Samples between two neighbouring conditions, at the times that both have."""

    ends: tuple[Point, Point]
    clouds: tuple[Snapshots, ...]
    times: Float[np.ndarray, "time"]
    options: BridgeOptions
    seed: int
    _made: dict[int, Bridge] = field(default_factory=dict)

    def sample(self, k: int, place: float, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n dim"]:
        """Draw `n` samples at the k-th time; `place` is 0 at the first condition and 1 at the second."""
        if k not in self._made:
            both, options = self.clouds[k], self.options.model_copy(update={"curve": Curve.STRAIGHT, "width": 0.0})
            chain = Chain.through(both, options, derive_seed(self.seed, k), PAIRS)
            counts = tuple(kind is Kind.COUNTS for kind in both.kinds)
            self._made[k] = Bridge.along(chain, counts, both.pooled().max(axis=0), options)
        return self._made[k].sample(np.array([place]), n, rng)[0]


@dataclass(frozen=True, eq=False)
class Family:
    """The samples that one path is fitted to.

    Attributes:
        courses: the samples of each condition.
        codes: what a model sees of each condition.
        conditions: what they are; None where there is one course without any.
        across: samples between neighbours.
        options: how many conditions, and places between them, a step takes.
    """

    courses: tuple[Samples, ...]
    codes: Float[np.ndarray, "condition feature"]
    conditions: Conditions | None = None
    across: tuple[Across, ...] = ()
    options: ConditionOptions = field(default_factory=ConditionOptions)

    @classmethod
    def of(
        cls,
        snapshots: Snapshots,
        bridges: Sequence[Bridge | None],
        bridging: BridgeOptions,
        options: ConditionOptions,
        seed: int,
    ) -> "Family":
        """Put the bridges of all courses together; a course of one snapshot has none."""
        courses = snapshots.courses
        samples = tuple(
            Lone.of(course, bridging) if bridge is None else samples_for_fitting(bridge, course)
            for course, bridge in zip(courses.values(), bridges, strict=True)
        )
        known = seen(snapshots, options)
        if known is None:
            return cls(samples, np.zeros((1, 0)), options=options)
        codes = np.stack([known.features(point) for point in courses])
        options = options.of(known)
        pairs = neighbours(known) if options.across else ()
        made = [
            _across(snapshots, courses, pair, bridging, derive_seed(seed, "across", i)) for i, pair in enumerate(pairs)
        ]
        return cls(samples, codes, known, tuple(one for one in made if len(one.times)), options)

    @cached_property
    def span(self) -> tuple[float, float]:
        """The first time of all courses, and the last."""
        times = [course.times for course in self.courses]
        return float(min(one[0] for one in times)), float(max(one[-1] for one in times))

    def effort(self, paths: int) -> float:
        """Return by how much more steps than one path so many take: the root of the steps that it takes to see all.

        What is learned of one tells of the others, so that not each needs as many as it would alone. More than twice as
        many as there are conditions count as twice.
        """
        return max(1.0, min(paths, 2 * len(self.courses)) / self.options.per_step) ** 0.5

    @property
    def many(self) -> float:
        """How many tens of conditions there are, one at least."""
        return tens(len(self.courses))

    @property
    def together(self) -> int:
        """Conditions that a step of the teacher takes: a tenth of very many, since two say little of hundreds."""
        return max(self.options.per_step, int(self.many))

    def chosen(self, wanted: int, rng: np.random.Generator) -> list[int]:
        """Choose the conditions of a step."""
        n = len(self.courses)
        return [0] if n == 1 else sorted(rng.choice(n, min(n, wanted), replace=False).tolist())

    def between(self, n: int, rng: np.random.Generator) -> Draws | None:
        """Draw samples at random places between neighbouring conditions; None where there are none."""
        if not self.across or self.conditions is None or not self.options.across:
            return None
        times, codes, samples = list[float](), list[np.ndarray](), list[np.ndarray]()
        for _ in range(self.options.across):
            pair = self.across[int(rng.integers(len(self.across)))]
            k, place = int(rng.integers(len(pair.times))), float(rng.random())
            times.append(float(pair.times[k]))
            codes.append(self.conditions.features(self.conditions.between(*pair.ends, place)))
            samples.append(pair.sample(k, place, n, rng))
        return Draws(np.array(times), np.stack(codes), np.stack(samples), (1,) * len(times))


def seen(snapshots: Snapshots, options: ConditionOptions) -> Conditions | None:
    """Return the conditions of snapshots as a model sees them."""
    known = snapshots.conditions
    return None if known is None else known.with_powers(options.of(known).powers or Conditions.powers)


def neighbours(conditions: Conditions) -> tuple[tuple[Point, Point], ...]:
    """Return the pairs of conditions that are neighbours of each other."""
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in conditions.distinct:
        groups.setdefault(conditions.categories(point), []).append(point)
    return tuple(pair for group in groups.values() for pair in _neighbours(conditions, group))


def _neighbours(conditions: Conditions, group: list[Point]) -> list[tuple[Point, Point]]:
    places = np.stack([conditions.positions(point) for point in group])
    if places.shape[1] == 0 or len(group) < 2:
        return []
    if places.shape[1] == 1:
        order = places[:, 0].argsort().tolist()
        return [(group[i], group[j]) for i, j in pairwise(order)]
    try:
        simplices = Delaunay(places).simplices
    except QhullError:  # too few, or all on one line: in the order along the line that they lie nearest to
        centred = places - places.mean(axis=0)
        axis = np.linalg.svd(centred, full_matrices=False)[2][0]
        return [(group[i], group[j]) for i, j in pairwise((centred @ axis).argsort().tolist())]
    edges = sorted({tuple(sorted(edge)) for simplex in simplices.tolist() for edge in combinations(simplex, 2)})
    apart = np.linalg.norm([places[i] - places[j] for i, j in edges], axis=1)
    nearest = sorted(apart.argsort(kind="stable")[: max(EDGES[0], EDGES[1] * len(group))].tolist())
    return [(group[i], group[j]) for i, j in (edges[k] for k in nearest)]


def _across(
    snapshots: Snapshots, courses: dict[Point, Snapshots], ends: tuple[Point, Point], options: BridgeOptions, seed: int
) -> Across:
    first, second = (courses[point] for point in ends)
    shared = np.intersect1d(first.times, second.times)
    if snapshots.conditions is not None and snapshots.conditions.shared_start:
        shared = shared[1:]  # the same cloud at both
    clouds = tuple(
        Snapshots(
            np.array([0.0, 1.0]),
            tuple(course.samples[int(np.searchsorted(course.times, time))] for course in (first, second)),
            first.species,
            snapshots.kinds,
        )
        for time in shared
    )
    return Across(ends, clouds, shared, options, seed)
