"""The bridges of all conditions, and the one drift that may lead them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from weightflow.bridge.bridge import Bridge
from weightflow.bridge.options import BridgeOptions
from weightflow.data.snapshots import Snapshots
from weightflow.drift import Drift, Varied
from weightflow.files import Arrays, within

VARIED = "varied."


@dataclass(frozen=True, eq=False)
class Bridges:
    """A bridge for each condition.

    Attributes:
        courses: in the order of the conditions; None for one that was observed once.
        varied: the drift of all conditions, where there are several and one leads the paths or forecasts.
    """

    courses: tuple[Bridge | None, ...]
    varied: Varied | None = None

    def __len__(self) -> int:
        return len(self.courses)

    def __iter__(self) -> Iterator[Bridge]:
        """Go through those that are there."""
        return (bridge for bridge in self.courses if bridge is not None)

    @property
    def drift(self) -> Drift | Varied | None:
        """What leads the paths, or forecasts what follows them; None where no drift does."""
        return self.varied if len(self.courses) > 1 else next((bridge.drift for bridge in self), None)

    def arrays(self) -> Arrays:
        """Return what was computed as arrays; `of_arrays` undoes it."""
        courses = {
            f"{_prefix(i, len(self))}{name}": array
            for i, bridge in enumerate(self.courses)
            if bridge is not None
            for name, array in bridge.arrays().items()
        }
        varied = {} if self.varied is None else self.varied.arrays()
        return {**courses, **{f"{VARIED}{name}": array for name, array in varied.items()}}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], snapshots: Snapshots, options: BridgeOptions) -> "Bridges":
        """Build the bridges from what `arrays` has returned, and from what they were built with."""
        courses = list(snapshots.courses.values())
        parts = [within(arrays, _prefix(i, len(courses))) for i in range(len(courses))]
        pairs = zip(parts, courses, strict=True)
        varied = within(arrays, VARIED)
        return cls(
            tuple(Bridge.of_arrays(part, one, options) if part else None for part, one in pairs),
            Varied.of_arrays(varied) if varied else None,
        )


def _prefix(i: int, courses: int) -> str:
    """Return what stands before the names of the arrays of one of several bridges."""
    return f"{i}." if courses > 1 else ""
