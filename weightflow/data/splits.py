"""What is fitted, what is held out while searching, and what is scored once at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from weightflow.data.dataset import Dataset
from weightflow.data.snapshots import Snapshots
from weightflow.errors import InputError
from weightflow.rng import generator

LAST_SHARE = 0.15
INTERIOR_SHARE = 0.2
FORECAST_SHARE = 0.7
FRESH_SHARE = 0.2
MIN_SEEN = 4


class Protocol(StrEnum):
    """How a model is judged.

    - `interpolation`: fitted at the seen times, scored on fresh samples at the unseen times among them.
    - `forecast`: fitted at the seen times up to 70 % of the time span, scored on fresh samples at all times after it.
    - `paper`: fitted at the seen times, scored on the same trajectories at all times after the first (Li et al. 2026).
    """

    INTERPOLATION = "interpolation"
    FORECAST = "forecast"
    PAPER = "paper"


LEAVE_ONE_OUT = "leave_one_out"  # not one of `Protocol`: it takes as many fits as there are times to leave out


@dataclass(frozen=True)
class Fold:
    """A data set without one of its times.

    Attributes:
        protocol: `leave_one_out`.
        seen: all other times, which may be fitted.
        test: the time that was left out, to be scored.
        floor: as in `Split`.
    """

    protocol: str
    seen: Snapshots
    test: Snapshots
    floor: Snapshots | None

    @property
    def fit(self) -> Snapshots:
        """What is fitted: all that is seen."""
        return self.seen


@dataclass(frozen=True)
class Split:
    """Disjoint parts of a data set.

    Attributes:
        protocol: how the parts were chosen.
        seen: all that may be fitted at the end.
        fit: what trials of a search are fitted to: `seen` less the next two.
        interior: held-out snapshots between fitted ones.
        last: held-out snapshots after the fitted ones.
        test: scored once, at the end.
        floor: a second, independent sample of the true system at the times of `test`; None where there is none.
    """

    protocol: Protocol
    seen: Snapshots
    fit: Snapshots
    interior: Snapshots
    last: Snapshots
    test: Snapshots
    floor: Snapshots | None


def split(dataset: Dataset, protocol: Protocol, seed: int) -> Split:
    """Split a data set.

    Trajectories without a fresh ensemble beside them give up a fifth of themselves, drawn by `seed`, as the fresh
    samples of the protocols that need them; clouds of different cells at every time are fresh at the unseen times as
    they stand.

    Raises:
        InputError: too few snapshots are seen, or none is left to be scored.
    """
    full, seen = dataset.snapshots, list(dataset.seen)
    if protocol is Protocol.FORECAST:
        span = full.times[-1] - full.times[0]
        limit = full.times[0] + (FORECAST_SHARE + 1e-9) * span  # 0.7 of a span may fall just short of its own time
        seen = [i for i in seen if full.times[i] <= limit]
        scored = [i for i in range(len(full)) if full.times[i] > limit]
    elif protocol is Protocol.PAPER:
        scored = list(range(1, len(full)))
    else:
        scored = [i for i in range(seen[0], seen[-1]) if i not in set(seen)]
    if not scored:
        raise InputError(
            f"no time of `{dataset.name}` is left to be scored under the protocol `{protocol}`: {len(seen)} of "
            f"{len(full)} times are seen; raise `--every`."
        )
    kept, fresh, floor = _ensembles(dataset, protocol, seed)
    interior, last = held_out_indices(len(seen), dataset.name)
    fit = [i for i in range(len(seen)) if i not in {*interior, *last}]
    visible = kept.subset(seen)
    return Split(
        protocol,
        visible,
        visible.subset(fit),
        visible.subset(interior),
        visible.subset(last),
        fresh.subset(scored),
        None if floor is None else floor.subset(scored),
    )


def leave_one_out(dataset: Dataset, seed: int = 0) -> tuple[Fold, ...]:
    """Leave out each interior time in turn, for real data with few times.

    All times of the file count as seen, whatever `dataset.seen` says: fit `fold.seen`, score on
    `fold.test`, and join the scores of all folds with `Scores.joined`. Trajectories are split as in `split`, so that
    those that are scored were not fitted at the neighbouring times.

    Raises:
        InputError: there are fewer than three times, so that none is interior, or as for `split`.
    """
    times = len(dataset.snapshots)
    if times < 3:
        raise InputError(
            f"`{dataset.name}` has {times} times, and only one between two others can be left out; give three at least."
        )
    kept, fresh, floor = _ensembles(dataset, Protocol.INTERPOLATION, seed)
    return tuple(
        Fold(
            LEAVE_ONE_OUT,
            kept.subset([i for i in range(times) if i != left_out]),
            fresh.subset([left_out]),
            None if floor is None else floor.subset([left_out]),
        )
        for left_out in range(1, times - 1)
    )


def held_out_indices(n_seen: int, name: str = "the data") -> tuple[list[int], list[int]]:
    """Choose the held-out snapshots among `n_seen`: some interior ones, evenly spread, and the last ones.

    Raises:
        InputError: fewer than four are seen.
    """
    if n_seen < MIN_SEEN:
        raise InputError(
            f"{n_seen} snapshots of `{name}` can be fitted, and a search holds one interior and one last out of at "
            f"least {MIN_SEEN}; give more times, lower `--every`, or fit without a search: python -m weightflow fit."
        )
    n_last = max(1, round(LAST_SHARE * n_seen))
    rest = n_seen - n_last  # the first and the last of these stay, so that the held-out ones lie between fitted ones
    n_interior = max(1, min(round(INTERIOR_SHARE * rest), (rest - 1) // 2))
    places = np.linspace(0, rest - 1, n_interior + 2)[1:-1]
    return [round(place) for place in places], list(range(rest, n_seen))


def _ensembles(dataset: Dataset, protocol: Protocol, seed: int) -> tuple[Snapshots, Snapshots, Snapshots | None]:
    """Return what is fitted from, what is scored, and an independent sample of the same law as the latter."""
    full = dataset.snapshots
    if protocol is Protocol.PAPER:
        return full, full, dataset.reference or dataset.fresh
    if dataset.fresh is not None:
        return full, dataset.fresh, dataset.reference
    if not dataset.paired and dataset.units is not None:
        kept, fresh = _units_apart(dataset, dataset.units, seed)
        return kept, fresh, kept
    if not dataset.paired:
        return full, full, None
    n = len(full.samples[0])
    if n < 2:
        raise InputError(
            f"`{dataset.name}` holds a single trajectory, and the protocol `{protocol}` scores on trajectories that "
            "were not fitted; give more, or fit and score the same ones with the protocol `paper`."
        )
    order = generator(seed, "held-back trajectories").permutation(n)
    n_fresh = max(1, round(FRESH_SHARE * n))
    kept = _rows(full, np.sort(order[n_fresh:]))
    # at the scored times nothing of the kept trajectories is fitted: they are a perfect model's draws
    return kept, _rows(full, np.sort(order[:n_fresh])), kept


def _units_apart(dataset: Dataset, units: tuple[np.ndarray, ...], seed: int) -> tuple[Snapshots, Snapshots]:
    """Part units that were measured repeatedly into those that are fitted and those that are scored.

    Raises:
        InputError: at some time there are not enough for both.
    """
    everyone = np.unique(np.concatenate(units))
    order = everyone[generator(seed, "held-back trajectories").permutation(len(everyone))]
    fresh = {*order[: max(1, round(FRESH_SHARE * len(everyone)))].tolist()}
    for present in units:  # not every unit is there at every time
        if not fresh & {*present.tolist()}:
            fresh.add(next(unit for unit in order.tolist() if unit in present))
    is_fresh = [np.isin(present, sorted(fresh)) for present in units]
    for time, held in zip(dataset.snapshots.times, is_fresh, strict=True):
        if held.all():
            raise InputError(
                f"`{dataset.name}` has too few units at t={time:g} to fit some and to score others; leave out that "
                "time, or leave out `--unit` if rows of one unit may count as independent."
            )
    samples = dataset.snapshots.samples
    kept_part = tuple(cloud[~held] for cloud, held in zip(samples, is_fresh, strict=True))
    fresh_part = tuple(cloud[held] for cloud, held in zip(samples, is_fresh, strict=True))
    return replace(dataset.snapshots, samples=kept_part), replace(dataset.snapshots, samples=fresh_part)


def _rows(snapshots: Snapshots, rows: Sequence[int] | np.ndarray) -> Snapshots:
    return replace(snapshots, samples=tuple(cloud[rows] for cloud in snapshots.samples))
