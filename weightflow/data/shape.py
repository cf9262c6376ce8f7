"""What can be seen of data before anything is fitted, and says where a search should look first."""

from enum import StrEnum

import numpy as np

from weightflow.data.snapshots import Snapshots
from weightflow.data.spread import deviation, varies

FEW = 100  # samples of the typical snapshot, below which they are few
MANY = 500  # and from which they are many
STEADY = 3.0  # standard errors by which the means of two snapshots differ at least where they do
TURNED = 1.5  # times its range that a mean wanders, from which on it turns


class Shape(StrEnum):
    """A feature of snapshots, which a preparation of a search may suit."""

    TURNING = "turning"
    FEW = "few samples"
    MANY = "many samples"


def shapes(snapshots: Snapshots) -> frozenset[Shape]:
    """Return the features that snapshots have.

    - `few samples`: the median snapshot has fewer than 100; `many samples`: it has at least 500.
    - `turning`: what the means of all species wander from snapshot to snapshot, up and down, is at least 1.5 times
      their ranges, species in units of their pooled deviation. It is once their ranges for whatever goes one way, twice
      for what goes and comes back and for each round of a cycle. Means that differ by less than three standard errors
      do not differ, or else those of few samples would turn all the time.
    """
    typical = float(np.median(snapshots.sizes))
    found = {
        Shape.TURNING: _turns(snapshots),
        Shape.FEW: typical < FEW,
        Shape.MANY: typical >= MANY,
    }
    return frozenset(shape for shape, is_so in found.items() if is_so)


def _turns(snapshots: Snapshots) -> bool:
    pooled = snapshots.pooled()
    unit, moving = deviation(pooled), varies(pooled)
    clouds = [(cloud / unit)[:, moving] for cloud in snapshots.samples if len(cloud) > 1]
    if len(clouds) < 3:
        return False
    means = np.stack([cloud.mean(axis=0) for cloud in clouds])
    squared = np.stack([cloud.var(axis=0, ddof=1) / len(cloud) for cloud in clouds])  # of the errors of the means
    steps = np.abs(np.diff(means, axis=0))
    clear = steps > STEADY * np.sqrt(squared[1:] + squared[:-1])
    wandered, ranges = (steps * clear).sum(), np.ptp(means, axis=0).sum()
    return bool(wandered >= TURNED * ranges > 0)
