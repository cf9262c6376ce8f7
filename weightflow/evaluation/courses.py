"""The courses of several conditions, and a method under each of them."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from weightflow.data import Snapshots, Value
from weightflow.errors import ExtrapolationWarning


@runtime_checkable
class Conditional(Protocol):
    """What answers for several conditions: a model, or a baseline."""

    def under(self, at: Mapping[str, Value], /) -> Any:
        """Return what answers for one."""
        ...


def silently(method: Any, at: Mapping[str, Value]) -> Any:
    """Return what answers under a condition, without a warning: that it is an extrapolation is said with its scores."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        return method.under(at)


def by_course(snapshots: Snapshots, method: Any) -> Iterator[tuple[Snapshots, Any]]:
    """Yield the snapshots of each condition, with the method under it; where there are no conditions, as they are."""
    for point, course in snapshots.courses.items():
        known = snapshots.conditions
        yield (
            course,
            method if known is None or not isinstance(method, Conditional) else method.under(known.named(point)),
        )
