"""What each protocol fits, holds out and scores."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from weightflow.data.condition_splits import split_conditions
from weightflow.data.dataset import Dataset
from weightflow.data.parts import FEWEST_NESTED, Fold, Protocol, Split, spread, unseen
from weightflow.data.snapshots import Snapshots
from weightflow.data.words import written
from weightflow.errors import InputError
from weightflow.rng import generator

LAST_SHARE = 0.15
INTERIOR_SHARE = 0.2
FORECAST_SHARE = 0.7
FRESH_SHARE = 0.2
FEWEST_FRESH = 4  # rows of a time: fewer cannot be scored
MIN_SEEN = 4


def split(dataset: Dataset, protocol: Protocol | str, seed: int) -> Split:
    """Split a data set for a search.

    Trajectories without a fresh ensemble beside them give up a fifth of themselves, drawn by `seed`, as the fresh
    samples of the protocols that need them; clouds of different cells at every time are fresh at the unseen times as
    they stand.

    Raises:
        InputError: too few snapshots or conditions are seen, none is left to be scored, or the protocol is for others
            or not known.
    """
    if protocol not in set(Protocol):
        raise InputError(f"the protocol `{protocol}` is not known; known are {', '.join(Protocol)}.")
    protocol = Protocol(protocol).of(dataset)
    if protocol is Protocol.LEAVE_ONE_CONDITION_OUT:
        return split_conditions(dataset)
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
        scored = unseen(seen)
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
    parts = leave_one_out(dataset, seed, spread(tested))
    held_out = [*spread(searched), n - 1]
    folds = tuple(Fold(_without(parts.seen, i), parts.seen.subset([i])) for i in held_out)
    return replace(parts, folds=folds, selected=selected)


def _without(snapshots: Snapshots, index: int) -> Snapshots:
    return snapshots.subset([i for i in range(len(snapshots)) if i != index])


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
                f"`{dataset.name}` has too few units at t={written(time)} to fit some and to score others; leave out "
                "that "
                "time, or leave out `--unit` if rows of one unit may count as independent."
            )
    return is_fresh


def _where(snapshots: Snapshots, rows: Sequence[np.ndarray]) -> Snapshots:
    """Return some rows of each time."""
    return replace(snapshots, samples=tuple(cloud[some] for cloud, some in zip(snapshots.samples, rows, strict=True)))
