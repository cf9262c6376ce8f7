"""How fast the snapshots moved last, which says whether a forecast may be believed.

Beyond the last snapshot nothing is seen. What relaxes goes on to relax, and both a drift and a field that goes on alone
do that well; but nothing forbids them to run away. Over as much time as the last interval took, samples may therefore
go `FURTHER` times as far as the snapshots did in the faster one of the last two intervals, by the energy distance, a
square: four times as much is twice as far. Two intervals, because whatever swings hardly moves where it turns round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from weightflow.data.spread import deviation
from weightflow.metrics.energy import energy_distance

POINTS = 500
FURTHER = 4.0


@dataclass(frozen=True, eq=False)
class Pace:
    """The last steps of the snapshots.

    Attributes:
        gap: time between the last two.
        moved: energy distance over such a time, chance included, species in units of `unit`.
        unit: deviation of each species over all times.
    """

    gap: float
    moved: float
    unit: Float[np.ndarray, "dim"]

    @classmethod
    def of(cls, clouds: Sequence[Float[np.ndarray, "_ dim"]], times: Float[np.ndarray, "time"]) -> "Pace":
        """Measure it at two snapshots or more, and their times."""
        unit = deviation(np.concatenate(list(clouds)))
        gaps = np.diff(times[-3:])
        steps = pairwise(cloud / unit for cloud in clouds[-3:])
        moved = [energy_distance(*step, POINTS) * (gaps[-1] / gap) ** 2 for step, gap in zip(steps, gaps, strict=True)]
        return cls(float(gaps[-1]), float(max(moved)), unit)

    def facts(self) -> dict[str, Any]:
        """Return plain values; `of_facts` undoes it."""
        return {"gap": self.gap, "moved": self.moved, "unit": self.unit.tolist()}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "Pace":
        """Build it from what `facts` has returned."""
        return cls(facts["gap"], facts["moved"], np.array(facts["unit"]))

    def is_left_behind(self, before: Float[np.ndarray, "n dim"], after: Float[np.ndarray, "n dim"]) -> bool:
        """Whether samples one such interval later have gone too far, or are no numbers any more."""
        if not np.isfinite(after).all():
            return True
        return bool(energy_distance(before / self.unit, after / self.unit, POINTS) > FURTHER * self.moved)
