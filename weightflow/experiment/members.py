"""Members: the same fit to resampled data, K times side by side, whose spread says how sure a model is.

What is resampled are units, with replacement: the rows of each time by themselves, or whole trajectories where row i is
the same one at every time. Each member has its own seed, so that the chance of the fit is in the spread, too.
"""

from collections.abc import Callable
from dataclasses import replace

import joblib
import numpy as np

from weightflow.data import Snapshots
from weightflow.errors import InputError
from weightflow.model import WeightFlow
from weightflow.progress import Progress, within
from weightflow.rng import derive_seed, generator


def fit_members(
    fit: Callable[[Snapshots, int], WeightFlow],
    snapshots: Snapshots,
    count: int,
    seed: int,
    paired: bool,
    progress: Progress,
) -> tuple[WeightFlow, ...]:
    """Fit `count` members, as many at a time as there are CPUs, each in a process and on a CPU of its own.

    Args:
        fit: a function of (snapshots, seed), which another process can import.
        snapshots: what the model itself was fitted to.
        count: of the members.
        seed: of the model; that of each member, and what it is fitted to, follow from it.
        paired: whether row i is the same unit at every time.
        progress: told how many are done.

    Raises:
        InputError: as for `fit` and `resampled`.
        TrainingError: as for `fit`.
    """
    told = within(progress, "members")
    told(0, count)
    seeds = [derive_seed(seed, "member", k) for k in range(count)]
    jobs = (joblib.delayed(fit)(resampled(snapshots, one, paired), one) for one in seeds)
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


def resampled(snapshots: Snapshots, seed: int, paired: bool) -> Snapshots:
    """Draw as many units as there are, with replacement.

    Raises:
        InputError: the clouds of paired units have different sizes.
    """
    sizes = [len(cloud) for cloud in snapshots.samples]
    if paired and len(set(sizes)) > 1:
        raise InputError(
            f"units that are the same at every time were announced, but the times have {min(sizes)} to {max(sizes)} "
            "rows; give all units at all times, or let `paired` be false."
        )
    streams = ["units"] * len(sizes) if paired else [float(time).hex() for time in snapshots.times]
    picks = [generator(seed, "resampled", stream).integers(n, size=n) for stream, n in zip(streams, sizes, strict=True)]
    clouds = zip(snapshots.samples, picks, strict=True)
    return replace(snapshots, samples=tuple(np.ascontiguousarray(cloud[pick]) for cloud, pick in clouds))
