"""What a statistician would say before a fit: how much these samples can carry, and what looks like a mistake."""

from collections.abc import Iterator

import numpy as np

from weightflow.data.conditions import in_words
from weightflow.data.snapshots import Snapshots
from weightflow.data.spread import deviation, varies
from weightflow.data.words import at_times, listed
from weightflow.types import Kind

SHOWN = 5
FEW = 30  # samples of one time; fewer support a broad density, and scores that vary much
APART = 1e6  # ratio of the spreads of two species from which distances tell nothing of the smaller one
COPIES = 0.05  # share of continuous samples that are copies, from which that is no chance
DECADES = 1e3  # ratio of large to small values of a positive species from which Gaussians describe the small ones badly
DIGITS = 6  # of a number, up to which it may well be rounded
GRID = 1e-3  # how far values lie off a grid of rounding, in its steps
STILL = 10  # samples from which it is no chance that all are the same
TAILS = 50.0  # widths of its middle half that a species' farthest sample lies off its median, from which its tails rule
JUMP = 5.0  # factor by which the total of one time is off both its neighbours


def advice(snapshots: Snapshots) -> tuple[str, ...]:
    """Return warnings in whole sentences; none where there is nothing to say."""
    return (
        *_few(snapshots),
        *_mingled(snapshots),
        *_constant(snapshots),
        *_apart(snapshots),
        *_far(snapshots),
        *_copies(snapshots),
        *(
            f"{said}{f' ({under})' if under else ''}"
            for under, course in _courses(snapshots)
            for said in (*_composition(course), *_still(course))
        ),
    )


def _courses(snapshots: Snapshots) -> Iterator[tuple[str, Snapshots]]:
    """Yield the snapshots of each condition, which alone follow each other, and the condition in words."""
    for point, course in snapshots.courses.items():
        yield "" if snapshots.conditions is None else in_words(snapshots.conditions.named(point)), course


def _few(snapshots: Snapshots) -> list[str]:
    sizes = snapshots.sizes
    single = [time for time, n in zip(snapshots.times, sizes, strict=True) if n == 1]
    few = [time for time, n in zip(snapshots.times, sizes, strict=True) if 1 < n < FEW]
    unit, said = snapshots.unit, list[str]()
    if single:
        said.append(
            f"there is a single sample at {at_times(single, unit, SHOWN)}: it says where the distribution is, and "
            "nothing of how wide it is; that is taken from the other times."
        )
    if few:
        smallest = min(n for n in sizes if n > 1)
        said.append(
            f"there are fewer than {FEW} samples at {at_times(few, unit, SHOWN)} (the fewest: {smallest}): they carry "
            "a smooth, broad density and no detail, and every score of so few varies much by chance."
        )
    return said


def _mingled(snapshots: Snapshots) -> list[str]:
    """Say where conditions cannot be told from the times, or name single samples."""
    known = snapshots.conditions
    if known is None or len(known.distinct) < 2:
        return []
    names, n = listed([f"`{name}`" for name in known.names]), len(known.distinct)
    if 2 * n > sum(snapshots.sizes):
        return [
            f"{names} has {n:,} values for {sum(snapshots.sizes):,} samples, as their names have: a condition is what "
            "many samples share; `--unit` names what was measured repeatedly."
        ]
    if len({*snapshots.times.tolist()}) == len(snapshots):
        return [
            f"no two conditions were observed at the same time: what changes with {names} cannot be told from what "
            "changes with time."
        ]
    spans = {point: (course.times[0], course.times[-1]) for point, course in snapshots.courses.items()}
    apart = [
        in_words(known.named(point))
        for point, (first, last) in spans.items()
        if all(last < start or end < first for other, (start, end) in spans.items() if other != point)
    ]
    if not apart:
        return []
    return [
        f"while {listed(apart, SHOWN)} was observed, no other condition was: what is different there cannot be told "
        "from what changes with time."
    ]


def _constant(snapshots: Snapshots) -> list[str]:
    pooled = snapshots.pooled()
    still = np.flatnonzero(~varies(pooled))
    if not len(still) or len(pooled) < 2:
        return []
    names = listed([f"`{snapshots.species[i]}` ({pooled[0, i]:g})" for i in still], SHOWN)
    return [f"{names} never varies: it is drawn as this constant, and tells nothing; `--drop` leaves it out."]


def _still(snapshots: Snapshots) -> list[str]:
    """Say where a species is the same in all samples of some times and varies at others.

    A start that all samples have in common is none, nor are counts that begin or end so: all may be healthy, or dead.
    """
    moving = np.array([varies(cloud) for cloud in snapshots.samples])
    told: list[str] = []
    for i, (name, kind) in enumerate(zip(snapshots.species, snapshots.kinds, strict=True)):
        times = [
            k
            for k, cloud in enumerate(snapshots.samples)
            if not moving[k, i] and len(cloud) >= STILL and (k > 0 or (moving[0] & moving.any(axis=0)).any())
        ]
        when = np.flatnonzero(moving[:, i])
        if kind is Kind.COUNTS:
            times = [k for k in times if len(when) and when[0] < k < when[-1] and snapshots.samples[k][0, i] > 0]
        if not times or not len(when):
            continue
        held = listed([f"{value:g}" for value in dict.fromkeys(float(snapshots.samples[k][0, i]) for k in times)], 3)
        told.append(f"`{name}` ({held} at {at_times([snapshots.times[k] for k in times], snapshots.unit, SHOWN)})")
    if not told:
        return []
    return [
        f"{listed(told, SHOWN)} is the same in all samples there, and varies at other times: was it measured, or is "
        "that a limit of detection, or where values were cut off?"
    ]


def _apart(snapshots: Snapshots) -> list[str]:
    pooled = snapshots.pooled()
    moving = np.flatnonzero(varies(pooled))
    if len(moving) < 2:
        return []
    spread = deviation(pooled)[moving]
    wide, narrow = moving[spread.argmax()], moving[spread.argmin()]
    if spread.max() < APART * spread.min():
        return []
    return [
        f"`{snapshots.species[wide]}` spreads {spread.max() / spread.min():.0e} times as widely as "
        f"`{snapshots.species[narrow]}`: distances over all species see the former alone; give both in units of their "
        "own size, or take logarithms."
    ]


def _far(snapshots: Snapshots) -> list[str]:
    """Say which continuous species a mixture of Gaussians describes badly: over decades, or with heavy tails."""
    decades, tails = list[str](), list[str]()
    for i, kind in enumerate(snapshots.kinds):
        if kind is Kind.COUNTS:
            continue
        values = snapshots.pooled()[:, i]
        small, large = np.quantile(values[values > 0], [0.05, 0.95]) if (values > 0).any() else (1.0, 1.0)
        name = f"`{snapshots.species[i]}`"
        if values.min() >= 0 and large > DECADES * small:
            decades.append(f"{name} ({small:.2g} to {large:.2g}{', and zero' if not values.all() else ''})")
        elif any(_reach(cloud[:, i]) > TAILS for cloud in snapshots.samples):
            tails.append(f"{name} ({values.min():.4g} to {values.max():.4g})")
    said: list[str] = []
    if decades:
        said.append(
            f"{listed(decades, SHOWN)} is never negative and spans decades: a mixture of Gaussians draws values below "
            "zero where it is small. Take logarithms before, such as log(x), or log(x + a) with a small a where there "
            "are zeros."
        )
    if tails:
        said.append(
            f"{listed(tails, SHOWN)} has samples more than {TAILS:g} times as far out as its middle half is wide: a "
            "mixture of Gaussians spreads too widely for the sake of a few. See whether they are mistakes, or take "
            "arcsinh(x / a) before, with a the size of what is usual."
        )
    return said


def _reach(values: np.ndarray) -> float:
    """Return how far the farthest value lies off the median, in widths of the middle half."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(np.abs(values - middle).max() / (high - low)) if high > low and len(values) >= FEW else 0.0


def _copies(snapshots: Snapshots) -> list[str]:
    """Say where samples are copies of each other: of continuous ones hardly any should be."""
    said: list[str] = []
    shared = snapshots.conditions is not None and snapshots.conditions.shared_start  # which are copies on purpose
    sorted_clouds = [cloud[np.lexsort(cloud.T)] for cloud in snapshots.samples]
    for i, cloud in enumerate(sorted_clouds):
        others = [k for k in range(i) if not (shared and snapshots.times[k] == snapshots.times[i])]
        same = [k for k in others if len(cloud) > 1 and np.array_equal(sorted_clouds[k], cloud)]
        if same and varies(cloud).any():
            when = at_times([snapshots.times[same[0]], snapshots.times[i]], snapshots.unit)
            said.append(f"the samples at {when} are the same: one may be a copy of the other by mistake.")
    if Kind.COUNTS not in snapshots.kinds:
        pooled = snapshots.pooled()
        moving = varies(pooled)
        whole = [cloud for cloud in sorted_clouds if varies(cloud)[moving].all()]  # a common start repeats itself
        ends = (pooled.min(axis=0), pooled.max(axis=0))  # where all that lies farther out is written as one value
        whole = [cloud[((cloud > ends[0]) & (cloud < ends[1]))[:, moving].any(axis=1)] for cloud in whole]
        copies = sum(int((np.diff(cloud, axis=0) == 0).all(axis=1).sum()) for cloud in whole)
        total = sum(map(len, whole))
        if copies > COPIES * total and copies > 2 * _ties(whole, np.flatnonzero(moving)):
            counted = bool((pooled == np.rint(pooled)).all() and (pooled >= 0).all())
            said.append(
                f"{copies:,} of {total:,} samples are exact copies of others at the same time, which continuous values "
                f"hardly are by chance: remove repeated rows{', or say `--kind counts` if they are counts' * counted}."
            )
    return said


def _ties(clouds: list[np.ndarray], moving: np.ndarray) -> float:
    """Return how many samples are copies of others because values are rounded; none where one species is not.

    Of a single species all may be. Of several two samples are as likely to agree in all as in each, one after the
    other; more likely where species go along with each other, as their correlation says of Gaussians.
    """
    if not all(_rounded(np.concatenate([cloud[:, i] for cloud in clouds])) for i in moving):
        return 0.0
    expected = 0.0
    for cloud in (cloud for cloud in clouds if len(cloud) > 1 and varies(cloud)[moving].all()):
        n, agree = len(cloud), [_agreement(cloud[:, i]) for i in moving]
        alike = np.linalg.det(np.atleast_2d(np.corrcoef(cloud[:, moving], rowvar=False)))
        both = min(float(np.prod(agree)) / np.sqrt(max(alike, 1e-12)), *agree) if len(moving) > 1 else agree[0]
        # n samples that fall on 1 / both values equally often, leave so many of these empty
        expected += n - (1 - np.exp(-n * both)) / both if both > 0 else 0.0
    return expected


def _agreement(values: np.ndarray) -> float:
    """Return the share of pairs that are equal."""
    repeated, n = np.unique(values, return_counts=True)[1], len(values)
    return float((repeated * (repeated - 1)).sum() / (n * (n - 1))) if n > 1 else 0.0


def _rounded(values: np.ndarray) -> bool:
    """Whether values have few digits, or stand on a grid: are whole multiples of the smallest distance of two."""
    distinct = np.unique(values)
    if all(float(f"{value:.{DIGITS}g}") == value for value in distinct):
        return True
    places = (distinct - distinct[0]) / np.diff(distinct).min(initial=np.inf)
    return bool(len(distinct) > 2 and (np.abs(places - np.rint(places)) < GRID).all())


def _composition(snapshots: Snapshots) -> list[str]:
    """Say where one time is unlike both its neighbours in a way that measuring, and hardly time, explains."""
    said: list[str] = []
    counts = [i for i, kind in enumerate(snapshots.kinds) if kind is Kind.COUNTS]
    if len(snapshots) < 3 or not counts:
        return said
    present = np.array([(cloud[:, counts] > 0).mean(axis=0) for cloud in snapshots.samples])
    totals = np.array([cloud[:, counts].sum(axis=1).mean() for cloud in snapshots.samples])
    for k in range(1, len(snapshots) - 1):
        around = np.minimum(present[k - 1], present[k + 1])
        lost = [snapshots.species[counts[i]] for i in np.flatnonzero((present[k] == 0) & (around > 0.5))]
        when = at_times([snapshots.times[k]], snapshots.unit)
        if lost:
            names = listed([f"`{name}`" for name in lost], SHOWN)
            said.append(f"{names} is zero in all samples at {when}, and not before or after: was it measured there?")
        low, high = sorted((totals[k - 1], totals[k + 1]))
        if len(counts) > 2 and low > 0 and not low / JUMP <= totals[k] <= high * JUMP:
            said.append(
                f"samples at {when} hold {totals[k]:.3g} in total, and those before and after {totals[k - 1]:.3g} and "
                f"{totals[k + 1]:.3g}: if that is how much was read of each, scale it, or take `--pca`."
            )
    return said
