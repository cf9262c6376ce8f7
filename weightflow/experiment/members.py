"""Members: the same fit to resampled data, K times side by side, whose spread says how sure a model is.

What is resampled are units, with replacement: the rows of each time by themselves, or, where units were measured
repeatedly (trajectories, cages, wells), these with all their rows. Each member has its own seed, so that the chance of
the fit is in the spread, too.
"""

from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial

import joblib
import numpy as np
import torch
from jaxtyping import Int

from weightflow.data import Snapshots
from weightflow.errors import InputError, TrainingError, WeightFlowError, first_line
from weightflow.experiment.config import ExperimentConfig
from weightflow.experiment.preparation import prepare
from weightflow.experiment.trial import train
from weightflow.model import WeightFlow
from weightflow.progress import Progress, within
from weightflow.rng import derive_seed, generator
from weightflow.side_by_side import Mapper, in_processes
from weightflow.types import whole_number

Units = Sequence[np.ndarray]  # for each time the unit of each row
REDRAWS = 1000  # after which a time that stays empty is taken for one that cannot be resampled


@dataclass(frozen=True)
class Failed:
    """What is left of a member that could not be fitted: why."""

    reason: str


def with_members(
    model: WeightFlow,
    fit_one: Callable[[int], WeightFlow | Failed],
    count: int,
    seed: int,
    progress: Progress,
    mapper: Mapper | None = None,
) -> WeightFlow:
    """Return a model with members; its record says, under `members`, how many were asked for, and why some failed.

    One that fails takes no other one with it: fewer members make a wider band, and not a wrong one.

    Args:
        model: of all units.
        fit_one: a function of a seed, such as `fitting` returns.
        count: of the members.
        seed: of the model; that of each member, and what it is fitted to, follow from it.
        progress: told how many are done.
        mapper: fits them; as many at a time as there are CPUs, each in a process of its own, where it is None.

    Raises:
        TrainingError: fewer than two could be fitted, which have no spread.
    """
    told = within(progress, "members")
    told(0, count)
    seeds = [derive_seed(seed, "member", k) for k in range(count)]
    found: list[WeightFlow | Failed] = []
    try:
        for one in (mapper or in_processes(joblib.cpu_count()))(fit_one, seeds):
            found.append(one)
            told(len(found), count)
    except BrokenProcessPool as error:  # whose process was killed, nobody knows: all that had not come is lost
        found += [Failed(first_line(error))] * (count - len(found))
    members = tuple(one for one in found if isinstance(one, WeightFlow))
    failed = [one.reason for one in found if isinstance(one, Failed)]
    if len(members) < 2:
        raise TrainingError(
            f"{len(failed)} of {count} members could not be fitted ({'; '.join(dict.fromkeys(failed))}), and bands "
            "need two at least; ask for more `--members`, or fit without."
        )
    record = {**model.record, "members": {"asked": count, "failed": failed}}
    return replace(model, members=members, record=record)


def fitting(
    snapshots: Snapshots, units: Units | None, config: ExperimentConfig, device: torch.device | str | None = None
) -> Callable[[int], WeightFlow | Failed]:
    """Return what fits a member, as a function of its seed that other processes can call.

    Args:
        snapshots: what the model itself was fitted to.
        units: as for `resampled`.
        config: of the model.
        device: where to compute; None: on a GPU where the process that calls has one.
    """
    return partial(_fit_one, snapshots=snapshots, units=units, config=config, device=device)


def _fit_one(
    seed: int, snapshots: Snapshots, units: Units | None, config: ExperimentConfig, device: torch.device | str | None
) -> WeightFlow | Failed:
    place = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        prepared = prepare(resampled(snapshots, seed, units), config, seed, place)
        return train(prepared, config, seed, place)
    except WeightFlowError as error:
        return Failed(first_line(error))


def told_of(model: WeightFlow) -> str:
    """Say how many members a model has, and why it has not as many as were asked for; empty where it has none."""
    if not model.members:
        return ""
    failed = model.record.get("members", {}).get("failed", [])
    lost = f" ({len(failed)} failed: {'; '.join(dict.fromkeys(failed))})" if failed else ""
    return f"{len(model.members)} members{lost}"


def check_members(count: int) -> None:
    """See that so many members make sense, before anything is fitted.

    Raises:
        InputError: they are one, which has no spread, fewer than none, or no whole number.
    """
    if whole_number("members", count, 0) == 1:
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
        streams = [float(time).hex() + snapshots.of_condition(i) for i, time in enumerate(snapshots.times)]
        sizes = snapshots.sizes
        rows = [generator(seed, "resampled", key).integers(n, size=n) for key, n in zip(streams, sizes, strict=True)]
    else:
        rows = _rows_of_units(snapshots, seed, units)
    clouds = zip(snapshots.samples, rows, strict=True)
    return replace(snapshots, samples=tuple(np.ascontiguousarray(cloud[row]) for cloud, row in clouds))


def _rows_of_units(snapshots: Snapshots, seed: int, units: Units) -> list[Int[np.ndarray, "row"]]:
    """Return the rows of the units that were drawn; a time that none of them has is reason to draw again."""
    if tuple(map(len, units)) != snapshots.sizes:
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
