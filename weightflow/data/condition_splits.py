"""What is fitted and scored where there are conditions: each one left out in turn."""

from dataclasses import replace

from weightflow.data.conditions import Conditions, Point
from weightflow.data.dataset import Dataset
from weightflow.data.parts import FEWEST_NESTED, Fold, Protocol, Split, spread
from weightflow.data.snapshots import Snapshots
from weightflow.errors import InputError

FEWEST = 3


def split_conditions(dataset: Dataset) -> Split:
    """Split a data set of several conditions for a search.

    Those are left out that lie among the others: outside of these every model guesses. Where there are none, all are.
    With seven or more, every second one is kept from the search, and tested at the end.

    Raises:
        InputError: there are fewer than three conditions, or none can be left out.
    """
    whole = leave_one_condition_out(dataset)
    among = sorted([fold for fold in whole.tests if not fold.extrapolation] or whole.tests, key=_place)
    selected = len(among) < FEWEST_NESTED
    searched, tested = (among, among) if selected else (among[::2], among[1::2])
    folds, tests = (tuple(some[i] for i in spread(range(len(some)))) for some in (searched, tested))
    return replace(whole, folds=folds, tests=tests, selected=selected)


def leave_one_condition_out(dataset: Dataset) -> Split:
    """Test each condition that can be left out, by a fit to all others, without a search.

    Raises:
        InputError: as for `conditions_left_out`.
    """
    seen = dataset.visible
    tests = conditions_left_out(seen)
    return Split(Protocol.LEAVE_ONE_CONDITION_OUT, seen, (), tests, units=dataset.visible_units)


def _place(fold: Fold) -> tuple[tuple[str, ...], list[float]]:
    """Return a key to sort by, so that it plays no part in which order a file has its conditions."""
    known = fold.fit.conditions
    if known is None:
        return (), []
    point = known.point(fold.at)
    return tuple(map(str, known.categories(point))), known.positions(point).tolist()


def conditions_left_out(snapshots: Snapshots) -> tuple[Fold, ...]:
    """Return what is fitted and what is scored for each condition that can be left out.

    A condition with a category that no other one has cannot: nothing tells what it does. Of a shared start the first
    snapshot is not scored.

    Raises:
        InputError: there are fewer than three conditions, or none can be left out.
    """
    known = snapshots.conditions
    needed = "leaving one condition out takes three at least, and there"
    if known is None:
        raise InputError(f"{needed} is one; name the columns that tell them apart with `--conditions`.")
    if len(known.distinct) < FEWEST:
        raise InputError(
            f"{needed} are {len(known.distinct)} of {' and '.join(f'`{name}`' for name in known.names)}; observe more, "
            f"or take one with `--where '{known.names[0]}=..'` alone, whose times can be left out."
        )
    folds: list[Fold] = []
    for point in known.distinct:
        mine = [i for i, one in enumerate(known.points) if one == point]
        fit = snapshots.subset([i for i in range(len(snapshots)) if i not in mine])
        scored = mine[1:] if known.shared_start else mine
        if scored and fit.conditions is not None and _reachable(fit.conditions, point):
            held_out = next(iter(snapshots.subset(scored).courses.values()))
            folds.append(Fold(fit, held_out, known.named(point)))
    if not folds:
        raise InputError("no condition can be left out, since each has a category that no other one has.")
    return tuple(folds)


def _reachable(conditions: Conditions, point: Point) -> bool:
    try:
        conditions.point(conditions.named(point))
    except InputError:
        return False
    return bool(conditions.peers(point))
