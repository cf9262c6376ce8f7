"""How fast the snapshots moved last, which says whether a forecast may be believed.

Beyond the last snapshot nothing is seen. What relaxes goes on to relax, and both a drift and a field that goes on alone
do that well; but nothing forbids them to run away. How far samples may go, over as much time as the last interval took,
is told by how far the snapshots went in the last two intervals, m_1 and then m_2, in energy distances:

- a drift that forecast the last snapshot without having seen it, four times the larger one. That is a square, so twice
  as far; and of two intervals, because whatever swings hardly moves in one where it turns round;
- a field that goes on alone, for which nothing speaks, one and a half times m_2 max(1, m_2 / m_1): about as far as they
  went last, or further by as much as they were becoming faster. The half is for chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from weightflow.data.spread import deviation
from weightflow.metrics.energy import energy_distance

TRUSTED, ALONE = 4.0, 1.5


@dataclass(frozen=True, eq=False)
class Pace:
    """The last steps of the snapshots.

    Attributes:
        gap: time between the last two.
        before, last: energy distances over such a time in the last interval but one and in the last one, chance
            included, species in units of `unit`; between two snapshots there is one interval, which stands for both.
        unit: deviation of each species over all times.
        points: of each cloud, by which distances are told.
    """

    points: ClassVar[int] = 500

    gap: float
    before: float
    last: float
    unit: Float[np.ndarray, "dim"]

    @classmethod
    def of(cls, clouds: Sequence[Float[np.ndarray, "_ dim"]], times: Float[np.ndarray, "time"]) -> "Pace":
        """Measure it at two snapshots or more, and their times."""
        unit = deviation(np.concatenate(list(clouds)))
        gaps = np.diff(times[-3:])
        steps = pairwise(cloud / unit for cloud in clouds[-3:])
        moved = [
            energy_distance(*step, cls.points) * (gaps[-1] / gap) ** 2 for step, gap in zip(steps, gaps, strict=True)
        ]
        return cls(float(gaps[-1]), float(moved[0]), float(moved[-1]), unit)

    def facts(self) -> dict[str, Any]:
        """Return plain values; `of_facts` undoes it."""
        return {"gap": self.gap, "before": self.before, "last": self.last, "unit": self.unit.tolist()}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "Pace":
        """Build it from what `facts` has returned."""
        return cls(facts["gap"], facts["before"], facts["last"], np.array(facts["unit"]))

    def is_left_behind(
        self, start: Float[np.ndarray, "n dim"], stop: Float[np.ndarray, "n dim"], trusted: bool = False
    ) -> bool:
        """Whether samples one such interval later have gone too far, or are no numbers any more.

        Args:
            start: samples at the last snapshot.
            stop: samples as much later as `gap`.
            trusted: whether what made them has forecast a snapshot that it had not seen.
        """
        if not np.isfinite(stop).all():
            return True
        faster = self.last / self.before if self.before > 0 else 1.0
        limit = TRUSTED * max(self.before, self.last) if trusted else ALONE * self.last * max(1.0, faster)
        return bool(energy_distance(start / self.unit, stop / self.unit, self.points) > limit)
