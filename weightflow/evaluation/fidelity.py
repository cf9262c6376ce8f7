"""Whether a model reaches the very snapshots that it was fitted to.

At each fitted time as many independent draws of the model as there are samples, `POINTS` at most, meet these by the
sliced W2, species in units of their deviation over all times. Two samples of one law, of n points each, are apart as
well: by about 1 / sqrt(2) of what halves of the data are apart, since in one dimension W2 falls with the root of n. The
ratio of the two is near 1 where the model is right, whatever the data. A shift of a fifth of a deviation makes it 1.5
with 300 points; one draw in a hundred that lies five deviations off makes it 4, which no test of the bulk would see.
Where a cloud is far narrower than its way, one draw in a thousand at the place of another time still doubles its
spread: the ratio is that of the spreads where this is larger, of the species where it is the largest, less what chance
makes of the deviation of n samples (two standard errors of it, about 2 / sqrt(n)).

A fit misses its snapshots where the median ratio over times is above `MISSED`, or that of one time above `FAR`: a few
stray draws at single times are no reason to fit again, and cost nothing by any score. Nothing finer than `RESOLUTION`
of a species' deviation counts: a continuous model spreads where all samples are one point, however little. With fewer
than `FEWEST` samples, halves tell too little, and such a time is not looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from weightflow.data import Snapshots
from weightflow.data.spread import deviation, varies
from weightflow.evaluation.courses import by_course
from weightflow.evaluation.sampler import Sampler, draw
from weightflow.metrics import sliced_w2
from weightflow.rng import derive_seed, generator

POINTS = 300
FEWEST = 20
RESOLUTION = 0.02
REPEATS, HALVINGS = 4, 3
MISSED, FAR = 1.5, 10.0
MOST_TIMES = 25  # of more snapshots so many are looked at, evenly spread, the first and the last among them
MOST_CLOUDS = 50  # the same, of several conditions


@dataclass(frozen=True, eq=False)
class Fidelity:
    """How a model stands to the snapshots that it was fitted to.

    Attributes:
        times: that were looked at, shape (time,).
        ratios: distance of draws from the data at each, or their spread, in units of what chance makes it.
    """

    times: Float[np.ndarray, "time"]
    ratios: Float[np.ndarray, "time"]

    @property
    def missed(self) -> tuple[float, ...]:
        """Times at which draws and data can be told apart."""
        limit = MISSED if self.ratio > MISSED else FAR
        return tuple(map(float, np.unique(self.times[self.ratios > limit])))

    @property
    def ratio(self) -> float:
        """Median ratio; 1 where no time could be looked at."""
        return float(np.median(self.ratios)) if len(self.ratios) else 1.0


def fidelity(model: Sampler, snapshots: Snapshots, seed: int) -> Fidelity:
    """Hold a model against the snapshots that it was fitted to.

    Args:
        model: draws samples, an array of shape (time, n, species).
        snapshots: what it was fitted to.
        seed: decides the draws, the choice of data and the halves.

    Raises:
        WeightFlowError: the model returned samples of another shape, or not finite.
    """
    most, unit = MOST_TIMES if len(snapshots.courses) == 1 else MOST_CLOUDS, deviation(snapshots.pooled())
    some = snapshots.subset(_evenly(len(snapshots), most))
    found: list[Fidelity] = []
    for course, under in by_course(some, model):
        n = REPEATS * min(POINTS, max(course.sizes))
        purpose = derive_seed(seed, "fidelity", "model")
        drawn = draw("model", under, course.times, n, some.dim, purpose, independent=True)
        found.append(held_against(drawn, course, unit, seed))
    return Fidelity(*(np.concatenate(parts) for parts in zip(*((one.times, one.ratios) for one in found), strict=True)))


def held_against(
    draws: Float[np.ndarray, "time n dim"], snapshots: Snapshots, unit: Float[np.ndarray, "dim"], seed: int
) -> Fidelity:
    """Hold independent draws, `REPEATS` clouds for each snapshot, against these; `unit` is a deviation of each species.

    A model's draws and the part of the data that they meet are others each time: one pair alone may differ by chance.
    """
    clouds = zip(draws, snapshots.samples, snapshots.times, strict=True)
    looked = [(x / unit, y / unit, float(time)) for x, y, time in clouds if len(y) >= FEWEST]
    ratios = [max(_ratio(x, y, generator(seed, "fidelity", time.hex())), _wider(x, y)) for x, y, time in looked]
    return Fidelity(np.array([time for *_, time in looked]), np.array(ratios))


def _ratio(draws: Float[np.ndarray, "n dim"], cloud: Float[np.ndarray, "m dim"], rng: np.random.Generator) -> float:
    n = min(len(draws) // REPEATS, len(cloud))
    apart: list[float] = []
    halves: list[float] = []
    for part in np.array_split(draws, REPEATS):
        data = rng.permutation(cloud)[:n]
        apart.append(sliced_w2(part[:n], data) ** 2)
        halves += [sliced_w2(*_halved(rng.permutation(data))) ** 2 for _ in range(HALVINGS)]
    return float(np.sqrt((np.mean(apart) + RESOLUTION**2) / (np.mean(halves) / 2 + RESOLUTION**2)))


def _wider(draws: Float[np.ndarray, "n dim"], cloud: Float[np.ndarray, "m dim"]) -> float:
    """Return by how much more than chance explains draws of a species spread more widely than the data, at most.

    A species that is one value at this time is left out: nothing that is continuous is as narrow.
    """
    moving = varies(cloud)
    if not moving.any():
        return 0.0
    spreads = (draws.std(axis=0) + RESOLUTION) / (cloud.std(axis=0) + RESOLUTION)
    return float(spreads[moving].max() / (1 + 2 / np.sqrt(len(cloud))))


def _halved(cloud: Float[np.ndarray, "n dim"]) -> tuple[np.ndarray, np.ndarray]:
    half = len(cloud) // 2
    return cloud[:half], cloud[half : 2 * half]


def _evenly(n: int, most: int) -> Sequence[int]:
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist()
