"""A drift on trial: what it says of snapshots that it has not seen, between others and beyond them.

Interior snapshots are left out in up to `GROUPS` groups, no two neighbours in one: a drift that has not seen a whole
group is a stricter test than the curves pass, which miss one snapshot at a time, and costs a third of it. The last
snapshot is left out by itself and forecast from the one before; of several conditions, that of each one examined. These
drifts are fitted as one batch; the one of all snapshots is fitted once it is chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from weightflow.bridge.ahead import Forecast
from weightflow.bridge.bridge import Bridge
from weightflow.bridge.carried import carry
from weightflow.bridge.chain import Chain
from weightflow.bridge.options import BridgeOptions, Curve
from weightflow.data.snapshots import Snapshots
from weightflow.data.spread import deviation
from weightflow.drift import Drift, fit_drifts
from weightflow.metrics.energy import energy_distance
from weightflow.progress import Steps, uncounted
from weightflow.rng import generator
from weightflow.types import Kind

GROUPS = 3


@dataclass(frozen=True, eq=False)
class Examined:
    """A course, some of whose snapshots are left out in turn.

    Attributes:
        places: of its snapshots, among those of all conditions.
        code: what is seen of its condition.
        chain: of its snapshots, coupled where they are; its clouds are compared.
        interior: which of them are left out.
    """

    places: range
    code: Float[np.ndarray, "feature"]
    chain: Chain
    interior: list[int]


@dataclass(frozen=True, eq=False)
class Tried:
    """How drifts of some of the snapshots did on those of a course that they had not seen.

    Attributes:
        scores: energy distances at the interior snapshots that were left out, shape (time,).
        forecast: of the last snapshot.
    """

    scores: Float[np.ndarray, "time"]
    forecast: Forecast


def try_drift(
    snapshots: Snapshots,
    courses: Sequence[Examined],
    options: BridgeOptions,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Steps = uncounted,
) -> list[Tried]:
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
    before_last, *others = fit_drifts(snapshots, folds, options.drift_steps, seed, device, progress)
    counts = tuple(kind is Kind.COUNTS for kind in snapshots.kinds)
    found: list[Tried] = []
    for course in courses:
        drifts = [drift.under(course.code) for drift in others]
        scores = [
            _without(k, course.chain, counts, drifts[i % GROUPS], options, seed) for i, k in enumerate(course.interior)
        ]
        found.append(Tried(np.array(scores), _forecast(course.chain, counts, before_last.under(course.code), seed)))
    return found


def _without(k: int, chain: Chain, counts: tuple[bool, ...], drift: Drift, options: BridgeOptions, seed: int) -> float:
    """Return how far a bridge over a snapshot is from it, by a drift that has not seen it."""
    ends = [k - 1, k + 1]
    named = options.model_copy(update={"curve": Curve.DRIFT})
    upper = np.delete(chain.clouds, k, axis=0).max(axis=(0, 1))
    bridge = Bridge.led(*carry(chain.clouds[ends], chain.times[ends], drift, options, seed), counts, upper, named)
    return _distance(chain, k, bridge.sample(chain.times[[k]], chain.clouds.shape[1], generator(seed, "choice", k))[0])


def _forecast(chain: Chain, counts: tuple[bool, ...], drift: Drift, seed: int) -> Forecast:
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
        floor=_floor(chain, chain.clouds[-1]),
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


def _floor(chain: Chain, cloud: Float[np.ndarray, "n dim"]) -> float:
    """Return what two samples of one distribution have on average: (1/n + 1/n) E|X - X'|, exactly."""
    unit, n = deviation(chain.clouds.reshape(-1, chain.clouds.shape[-1])), len(cloud)
    within = np.linalg.norm((cloud[:, None] - cloud[None]) / unit, axis=-1).sum() / max(1, n * (n - 1))
    return float(2 / n * within)
