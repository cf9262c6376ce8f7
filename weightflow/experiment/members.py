"""Members: the same fit to resampled data, K times side by side, whose spread says how sure a model is.

What is resampled are units, with replacement: the rows of each time by themselves, or, where units were measured
repeatedly (trajectories, cages, wells), these with all their rows. Each member has its own seed, so that the chance of
the fit is in the spread, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import joblib
import numpy as np
from jaxtyping import Int

from weightflow.data import Snapshots
from weightflow.errors import InputError
from weightflow.model import WeightFlow
from weightflow.progress import Progress, within
from weightflow.rng import derive_seed, generator

Units = Sequence[np.ndarray]  # for each time the unit of each row
REDRAWS = 1000  # after which a time that stays empty is taken for one that cannot be resampled


def fit_members(
    fit: Callable[[Snapshots, int], WeightFlow],
    snapshots: Snapshots,
    count: int,
    seed: int,
    units: Units | None,
    progress: Progress,
) -> tuple[WeightFlow, ...]:
    """Fit `count` members, as many at a time as there are CPUs, each in a process and on a CPU of its own.

    Args:
        fit: a function of (snapshots, seed), which another process can import.
        snapshots: what the model itself was fitted to.
        count: of the members.
        seed: of the model; that of each member, and what it is fitted to, follow from it.
        units: as for `resampled`.
        progress: told how many are done.

    Raises:
        InputError: as for `fit` and `resampled`.
        TrainingError: as for `fit`.
    """
    told = within(progress, "members")
    told(0, count)
    seeds = [derive_seed(seed, "member", k) for k in range(count)]
    jobs = (joblib.delayed(fit)(resampled(snapshots, one, units), one) for one in seeds)
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        side_by_side = joblib.Parallel(n_jobs=min(count, joblib.cpu_count()), return_as="generator")
        members: list[WeightFlow] = []
        for member in side_by_side(jobs):
            members.append(member)
            told(len(members), count)
    return tuple(members)


def check_members(count: int) -> None:
    """See that so many members make sense, before anything is fitted.

    Raises:
        InputError: they are one, which has no spread, or fewer than none.
    """
    if count < 0 or count == 1:
        raise InputError(f"`--members {count}` was asked for; a spread needs two at least, and 10 are a good number.")


def resampled(snapshots: Snapshots, seed: int, units: Units | None) -> Snapshots:
    """Draw as many units as there are, with replacement.

    Args:
        snapshots: what is resampled.
        seed: decides what is drawn.
        units: for each time the unit of each row; None: each row is a unit of its own.

    Raises:
        InputError: units are not given for each row, or so few of them have some time that it remains empty.
    """
    if units is None:
        streams = [float(time).hex() for time in snapshots.times]
        sizes = [len(cloud) for cloud in snapshots.samples]
        rows = [generator(seed, "resampled", key).integers(n, size=n) for key, n in zip(streams, sizes, strict=True)]
    else:
        rows = _rows_of_units(snapshots, seed, units)
    clouds = zip(snapshots.samples, rows, strict=True)
    return replace(snapshots, samples=tuple(np.ascontiguousarray(cloud[row]) for cloud, row in clouds))


def _rows_of_units(snapshots: Snapshots, seed: int, units: Units) -> list[Int[np.ndarray, "row"]]:
    """Return the rows of the units that were drawn; a time that none of them has is reason to draw again."""
    if [len(present) for present in units] != [len(cloud) for cloud in snapshots.samples]:
        raise InputError("`units` must name the unit of each row, one array for each time.")
    names = np.unique(np.concatenate(units))
    places = [np.searchsorted(names, present) for present in units]
    rng = generator(seed, "resampled", "units")
    for _ in range(REDRAWS):
        times_drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        rows = [np.repeat(np.arange(len(place)), times_drawn[place]) for place in places]
        if all(len(row) for row in rows):
            return rows
    raise InputError(
        f"there are {len(names)} units, and so few of them at some time that a resample has none; give more units, or "
        "fit without `--members`."
    )
