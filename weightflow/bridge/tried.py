"""A drift on trial: what it says of snapshots that it has not seen, between others and beyond them.

Interior snapshots are left out in up to `GROUPS` groups, no two neighbours in one: a drift that has not seen a whole
group is a stricter test than the curves pass, which miss one snapshot at a time, and costs a third of it. The last
snapshot is left out by itself and forecast from the one before; of several conditions, that of each one examined. These
drifts are fitted as one batch.

Where they are still far from what they have not seen, they go on, each round with a high learning rate again, as long
as that brings them clearly nearer: measured on six systems that turn, the second round took a third to a half off the
distances of a repressilator, and later ones little. The drift of all snapshots, once it is wanted, goes on from the one
that has missed the last ones: half as many steps bring it as far as it would come from the beginning, or further.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.distance import pdist

from weightflow.bridge.ahead import MOVED, Forecast
from weightflow.bridge.bridge import Bridge
from weightflow.bridge.carried import carry
from weightflow.bridge.chain import Chain
from weightflow.bridge.options import BridgeOptions, Curve
from weightflow.data.snapshots import Snapshots
from weightflow.data.spread import deviation
from weightflow.drift import Drift, Varied, fit_drifts
from weightflow.metrics.energy import energy_distance
from weightflow.progress import Steps, uncounted
from weightflow.rng import derive_seed, generator
from weightflow.types import Kind

GROUPS = 3
DRIFT_ROUNDS = 4
RATIOS = 0.1, 1e4  # bounds of a distance in multiples of what chance makes it
NEARER = 0.9  # of the distances before, below which a round has to come for another one to follow


@dataclass(frozen=True, eq=False)
class Examined:
    """A course, some of whose snapshots are left out in turn.

    Attributes:
        places: of its snapshots, among those of all conditions.
        code: what is seen of its condition.
        chain: of its snapshots, coupled where they are; its clouds are compared.
        interior: which of them are left out.
        sizes: how many samples of each there are; in the chain they may be repeated, or thinned out.
    """

    places: range
    code: Float[np.ndarray, "feature"]
    chain: Chain
    interior: list[int]
    sizes: Sequence[int]

    @cached_property
    def floors(self) -> Float[np.ndarray, "time"]:
        """What chance alone makes of a distance to each snapshot that is left out, on average."""
        return np.array([self.floor(k) for k in self.interior])

    @property
    def last_step(self) -> tuple[float, float]:
        """Distance of the last snapshot from the one before it, and what chance alone makes it, on average."""
        last = len(self.sizes) - 1
        return _distance(self.chain, last, self.chain.clouds[-2]), self.floor(last)

    def floor(self, k: int) -> float:
        """Return what two samples of the distribution of snapshot k have on average: (1/n + 1/m) E|X - X'|.

        One is as large as that snapshot, the other as the one before, which is where what is compared comes from.
        """
        clouds = self.chain.clouds
        unit, size = deviation(clouds.reshape(-1, clouds.shape[-1])), clouds.shape[1]
        shares = [1 / min(self.sizes[j], size) for j in (k - 1, k)]
        return float(sum(shares) * pdist(clouds[k] / unit).mean()) if size > 1 else 0.0


@dataclass(frozen=True, eq=False)
class Tried:
    """How drifts of some of the snapshots did on those of a course that they had not seen.

    Attributes:
        scores: energy distances at the interior snapshots that were left out, shape (time,).
        floors: what chance alone makes of them, on average.
        forecast: of the last snapshot.
    """

    scores: Float[np.ndarray, "time"]
    floors: Float[np.ndarray, "time"]
    forecast: Forecast

    @property
    def ratios(self) -> Float[np.ndarray, "more"]:
        """All distances, the one at the last snapshot included, in multiples of what chance makes them."""
        return in_floors(np.array([*self.scores, self.forecast.drift]), np.array([*self.floors, self.forecast.floor]))


@dataclass(frozen=True, eq=False)
class Trials:
    """Drifts on trial, and what became of them.

    Attributes:
        courses: how they did on each course.
        before_last: the one that has seen all but the last snapshots.
        rounds: of fitting that they took.
    """

    courses: tuple[Tried, ...]
    before_last: Varied
    rounds: int

    @property
    def ratios(self) -> Float[np.ndarray, "time"]:
        """All distances, in multiples of what chance makes them."""
        return np.concatenate([one.ratios for one in self.courses])


def try_drift(
    snapshots: Snapshots,
    courses: Sequence[Examined],
    options: BridgeOptions,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Steps = uncounted,
) -> Trials:
    """Fit drifts to some of the snapshots, and hold them against the others of each course.

    Args:
        snapshots: of one condition or several.
        courses: of three snapshots at least, each.
        options: of the bridge; the curve is not looked at.
        seed: rules what is drawn.
        device: where drifts are fitted.
        progress: told of each step of that.

    Raises:
        TrainingError: a drift cannot be fitted.
    """
    most = min(GROUPS, max(len(course.interior) for course in courses))
    left_out = [
        {course.places[-1] for course in courses},
        *({course.places[k] for course in courses for k in course.interior[g::GROUPS]} for g in range(most)),
    ]
    folds = [[k for k in range(len(snapshots)) if k not in group] for group in left_out]
    counts = tuple(kind is Kind.COUNTS for kind in snapshots.kinds)
    found, drifts = list[Trials](), list[Varied]()
    while len(found) < DRIFT_ROUNDS:
        steps = derive_seed(seed, "round", len(found)), device, progress, drifts
        drifts = fit_drifts(snapshots, folds, options.drift_steps, *steps)
        held = tuple(_held_out(course, counts, drifts, options, seed) for course in courses)
        found.append(Trials(held, drifts[0], len(found) + 1))
        if not _goes_on(found):
            break
    return min(found, key=lambda one: typical(one.ratios))


def _goes_on(found: Sequence[Trials]) -> bool:
    """Whether another round is worth its time: there is something to win, and the last one won something."""
    *before, last = (one.ratios for one in found)
    return has_room(last) and all(typical(last) < NEARER * typical(one) for one in before)


def in_floors(
    distances: Float[np.ndarray, "*shape time"], floors: Float[np.ndarray, "time"]
) -> Float[np.ndarray, "*shape time"]:
    """Return distances in multiples of what chance makes them, within bounds that let no single time rule a mean.

    Where a snapshot does not vary, as after extinction, chance makes none: any distance is the most there is.
    """
    least, most = RATIOS
    varied = floors > 0
    ratios = distances / np.where(varied, floors, 1.0)
    return np.clip(np.where(varied, ratios, np.where(distances > 0, most, 1.0)), least, most)


def typical(ratios: Float[np.ndarray, "*shape time"]) -> Any:
    """Return the geometric mean over the times."""
    return np.exp(np.log(ratios).mean(axis=-1))


def has_room(ratios: Float[np.ndarray, "*shape time"]) -> bool:
    """Whether distances, in multiples of what chance makes them on average, are more than chance explains.

    One such ratio exceeds three about once in twenty times, and a mean over n of them scatters less by the root of n.
    Of several candidates the best one is asked.
    """
    return bool(np.min(typical(ratios)) > 1 + (MOVED - 1) / np.sqrt(ratios.shape[-1]))


def _held_out(
    course: Examined, counts: tuple[bool, ...], drifts: Sequence[Varied], options: BridgeOptions, seed: int
) -> Tried:
    """Hold drifts against the snapshots of a course that they have not seen; the first has missed the last one."""
    before_last, *others = (drift.under(course.code) for drift in drifts)
    scores = [
        _without(k, course.chain, counts, others[i % GROUPS], options, seed) for i, k in enumerate(course.interior)
    ]
    return Tried(np.array(scores), course.floors, _forecast(course, counts, before_last, seed))


def _without(k: int, chain: Chain, counts: tuple[bool, ...], drift: Drift, options: BridgeOptions, seed: int) -> float:
    """Return how far a bridge over a snapshot is from it, by a drift that has not seen it."""
    ends = [k - 1, k + 1]
    named = options.model_copy(update={"curve": Curve.DRIFT})
    upper = np.delete(chain.clouds, k, axis=0).max(axis=(0, 1))
    bridge = Bridge.led(*carry(chain.clouds[ends], chain.times[ends], drift, options, seed), counts, upper, named)
    return _distance(chain, k, bridge.sample(chain.times[[k]], chain.clouds.shape[1], generator(seed, "choice", k))[0])


def _forecast(course: Examined, counts: tuple[bool, ...], drift: Drift, seed: int) -> Forecast:
    chain = course.chain
    rng = generator(seed, "forecast")
    last = len(chain.times) - 1
    before, after = np.diff(chain.times[-3:])
    start = chain.clouds[-2]
    came_from = chain.clouds[-3][chain.couplings[-2].backward]
    went_on = start + (start - came_from) * (after / before)
    carried = drift.paths(start, after, rng)[-1]
    forecasts = [_as_data(x, counts, rng) for x in (carried, start, went_on)]
    ahead, stayed, moved = (_distance(chain, last, x) for x in forecasts)
    return Forecast(
        time=float(chain.times[-1]),
        gap=float(after),
        drift=ahead,
        persistence=stayed,
        transport=moved,
        floor=course.floor(last),
        error=_missed_mean(carried, chain.clouds[-1]),
    )


def _missed_mean(x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "dim"]:
    """Return how far the means are apart, without what their standard errors explain."""
    chance = (x.var(axis=0) + y.var(axis=0)) / len(x)
    return np.sqrt(np.maximum((x.mean(axis=0) - y.mean(axis=0)) ** 2 - chance, 0.0))


def _as_data(
    x: Float[np.ndarray, "n dim"], counts: tuple[bool, ...], rng: np.random.Generator
) -> Float[np.ndarray, "n dim"]:
    """Round counts at random, keeping their mean, and let none be negative."""
    return np.where(np.asarray(counts), np.maximum(np.floor(x + rng.random(x.shape)), 0.0), x)


def _distance(chain: Chain, k: int, samples: Float[np.ndarray, "n dim"]) -> float:
    unit = deviation(chain.clouds.reshape(-1, chain.clouds.shape[-1]))
    return energy_distance(samples / unit, chain.clouds[k] / unit)
