"""The choice of a curve, by leaving one time out.

Each interior snapshot is left out in turn; every curve is drawn through the others and its samples at the left-out time
are held against the left-out cloud by the energy distance, species in units of their pooled deviation. The energy
distance is taken because the transport distance between finite clouds favours those that spread too little, and costs
ten times as much.

There are seldom more than ten such times, one bad snapshot rules a mean, and intervals without a snapshot are twice as
long as those that the chosen curve will be used in: whoever takes the best mean follows noise. A curve therefore has to
earn its place: it replaces the default, the bounded cubic of the means, only if it is better by Student's one-sided
paired test at 95 %, over the times, of the gain

    (s_0 - s) / (s_0 + s),    s_0 the default's score, s its own,

which counts a score of half the default's as much as one of twice it: relative to the default alone, one time at which
both are at the floor, and chance decides, would outweigh several at which a curve is many times closer. With fewer than
three interior times that test says nothing, and the default stays.

A drift (`carried`) is one more candidate, unless `drift_steps` is 0, where there are `DRIFT_TIMES` snapshots at least
and `DRIFT_SPECIES` species at most: with fewer or more it could not win, or not be learned. It takes as long as half a
fit or longer, and is therefore tried where there is something to win: between the snapshots where the best curve is
further from what was left out than chance explains, and beyond them where the last snapshot can be told from the one
before. It is tested on one time more than the curves, the last one, forecast from the snapshot before, where the others
stand still or go on as they came, whichever is better.

Several conditions are bridged each by itself, all along one curve: it is chosen by the left-out times of `COURSES` of
them, evenly spread, together. Their drift is one that sees the condition; whether it forecasts is told by the last
snapshots of the same ones.

With many times each of them need say less: so that the choice takes no longer than the fit, at most `LEFT_OUT` times,
evenly spread, are left out, and more than `MANY` snapshots are coupled with half as many points.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import stdtrit

from weightflow.bridge.ahead import MOVED, Forecast
from weightflow.bridge.bridge import Bridge, fit_drift, noise_roots
from weightflow.bridge.bridges import Bridges
from weightflow.bridge.chain import Chain
from weightflow.bridge.curves import bends
from weightflow.bridge.options import BridgeOptions, Curve
from weightflow.bridge.tried import Examined, Trials, has_room, in_floors, try_drift
from weightflow.data.conditions import Point
from weightflow.data.snapshots import Snapshots
from weightflow.data.spread import deviation
from weightflow.drift import Varied
from weightflow.metrics.energy import energy_distance
from weightflow.progress import Steps, uncounted
from weightflow.rng import generator
from weightflow.types import Kind

DEFAULT = Curve.SHIFT_BOUNDED
CURVES = (DEFAULT, *(curve for curve in Curve if curve not in {Curve.AUTO, Curve.DRIFT, DEFAULT}))
POINTS = 500  # of each snapshot, for the choice alone
MANY = 16
LEFT_OUT = 24
CONFIDENCE = 0.95
FEWEST_TIMES = 3  # two scores that happen to lie close together would pass any test
DRIFT_TIMES = 5
DRIFT_SPECIES = 10
COURSES = 5  # conditions by which the curve of all is chosen


@dataclass(frozen=True, eq=False)
class BridgeChoice:
    """What was chosen, and why.

    Attributes:
        options: with the chosen curve.
        candidates: the curves, the default first.
        times: the times left out in turn, shape (time,).
        scores: energy distances, shape (candidate, time).
        tried: how drifts did at each course that was looked at, where any was tried.
    """

    options: BridgeOptions
    candidates: tuple[Curve, ...]
    times: Float[np.ndarray, "time"]
    scores: Float[np.ndarray, "candidate time"]
    tried: Trials | None = None

    @property
    def forecast(self) -> Forecast | None:
        """How a drift did at the last snapshots that were looked at; None where none was tried."""
        return None if self.tried is None else Forecast.joint([one.forecast for one in self.tried.courses])

    @property
    def needs_drift(self) -> bool:
        """Whether a drift of all snapshots is wanted: for the paths, or for what is ahead of them."""
        return _is_led(self.options) or (self.forecast is not None and self.forecast.holds)

    def drift(
        self, snapshots: Snapshots, seed: int, device: torch.device | str = "cpu", progress: Steps = uncounted
    ) -> Varied | None:
        """Fit the drift of all snapshots where one is wanted; it goes on from one that was tried, if any was."""
        if not self.needs_drift:
            return None
        start, rounds = ((), 2) if self.tried is None else ((self.tried.before_last,), self.tried.rounds)
        # what goes on takes half as many steps as what was tried; what is begun anew takes all of them
        options = self.options.model_copy(update={"drift_steps": -(-self.options.drift_steps * rounds // 2)})
        return fit_drift(snapshots, options, seed, device, progress, start)


def build_bridge(
    snapshots: Snapshots,
    options: BridgeOptions,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Steps = uncounted,
) -> Bridge:
    """Choose a curve if none is named, and build the bridge; arguments as for `choose_bridge`.

    Raises:
        InputError: there are fewer than two snapshots, or several conditions.
    """
    choice = choose_bridge(snapshots.alone("a bridge"), options, seed, device, progress)
    drift = choice.drift(snapshots, seed, device, progress)
    led = None if drift is None else drift.under(np.empty(0))
    return Bridge.between(snapshots, choice.options, seed, led, choice.forecast)


def build_bridges(
    snapshots: Snapshots,
    options: BridgeOptions,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Steps = uncounted,
) -> Bridges:
    """Build the bridge of each condition, along one curve; there is none for a condition that was observed once.

    Arguments as for `choose_bridge`.

    Raises:
        InputError: there is one condition with fewer than two snapshots, or a drift is asked for in no steps.
        TrainingError: a drift cannot be fitted.
    """
    courses = snapshots.courses
    if len(courses) == 1:
        return Bridges((build_bridge(next(iter(courses.values())), options, seed, device, progress),))
    if all(len(course) < 2 for course in courses.values()):
        return Bridges((None,) * len(courses))
    choice = choose_bridge(snapshots, options, seed, device, progress)
    drift = choice.drift(snapshots, seed, device, progress)
    drifts = [None if drift is None else drift.under(_code(snapshots, point)) for point in courses]
    made = tuple(
        Bridge.between(course, choice.options, seed, led, choice.forecast) if len(course) > 1 else None
        for course, led in zip(courses.values(), drifts, strict=True)
    )
    used = any(bridge is not None and bridge.drift is not None for bridge in made)  # it may forecast nothing after all
    return Bridges(made, drift if used else None)


def _is_led(options: BridgeOptions) -> bool:
    return options.curve is Curve.DRIFT


def _code(snapshots: Snapshots, point: Point) -> Float[np.ndarray, "feature"]:
    """Return what a drift sees of a condition."""
    return np.empty(0) if snapshots.conditions is None else snapshots.conditions.features(point)


def choose_bridge(
    snapshots: Snapshots,
    options: BridgeOptions,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Steps = uncounted,
) -> BridgeChoice:
    """Choose the curve of a bridge by leaving each interior snapshot out in turn.

    A curve that is named stays, without scores; a drift is held against the last snapshots all the same. Between two
    snapshots all curves are one, and it is called straight.

    Args:
        snapshots: of one condition or several.
        options: of the bridge.
        seed: rules all random numbers.
        device: where drifts are fitted.
        progress: told of each step of that.

    Raises:
        TrainingError: a drift cannot be fitted.
    """
    tested = options.curve is Curve.AUTO or (_is_led(options) and options.drift_steps > 0)
    courses = _examined(snapshots, options, seed) if tested else []
    if not courses:
        straight = options.model_copy(update={"curve": Curve.STRAIGHT})
        return _settled(straight if options.curve is Curve.AUTO else options)
    alone = [replace(course, interior=[]) for course in courses]  # of which the last snapshot alone is left out
    if _is_led(options):
        return replace(_settled(options), tried=try_drift(snapshots, alone, options, seed, device, progress))
    counts = tuple(kind is Kind.COUNTS for kind in snapshots.kinds)
    left_out = [(course, k) for course in courses for k in course.interior]
    times = np.array([course.chain.times[k] for course, k in left_out])
    scores = np.stack([_scores_without(k, course.chain, counts, options, seed) for course, k in left_out], axis=1)
    gains = list(_gain(scores, scores[0]))
    settled = BridgeChoice(_chosen(options, CURVES, gains), CURVES, times, scores)
    if not _may_drift(snapshots, courses, options):
        return settled
    if not has_room(in_floors(scores, np.concatenate([course.floors for course in courses]))):
        if not _has_moved(courses):
            return settled
        # nothing turns, and there is less to learn
        fewer = options.model_copy(update={"drift_steps": -(-options.drift_steps // 2)})
        return replace(settled, tried=try_drift(snapshots, alone, fewer, seed, device, progress))
    tried = try_drift(snapshots, courses, options, seed, device, progress)
    ahead = [one.forecast for one in tried.courses]
    others = np.array([*scores[0], *(min(one.persistence, one.transport) for one in ahead)])
    led = np.concatenate([one.scores for one in tried.courses])
    gains.append(_gain(np.array([*led, *(one.drift for one in ahead)]), others))
    candidates = (*CURVES, Curve.DRIFT)
    return BridgeChoice(
        _chosen(options, candidates, gains), candidates, times, np.concatenate([scores, led[None]]), tried
    )


def _has_moved(courses: Sequence[Examined]) -> bool:
    """Whether the last snapshots can be told from those before."""
    distances, floors = zip(*(course.last_step for course in courses), strict=True)
    return sum(distances) > MOVED * sum(floors)


def _examined(snapshots: Snapshots, options: BridgeOptions, seed: int) -> list[Examined]:
    """Return the courses by which a curve is chosen: evenly spread, of three snapshots at least."""
    courses, ends = snapshots.courses, np.cumsum([len(course) for course in snapshots.courses.values()])
    long = [
        (range(end - len(course), end), point, course)
        for end, (point, course) in zip(ends.tolist(), courses.items(), strict=True)
        if len(course) > 2
    ]
    some = np.linspace(0, len(long) - 1, min(len(long), COURSES)).round().astype(int) if long else []
    return [
        Examined(
            places,
            _code(snapshots, point),
            Chain.through(course, options, seed, POINTS if len(course) <= MANY else POINTS // 2),
            _evenly_spread(len(course) - 2),
            course.sizes,
        )
        for places, point, course in (long[i] for i in some)
    ]


def _may_drift(snapshots: Snapshots, courses: Sequence[Examined], options: BridgeOptions) -> bool:
    most = max(len(course.places) for course in courses)
    return options.drift_steps > 0 and most >= DRIFT_TIMES and snapshots.dim <= DRIFT_SPECIES


def _evenly_spread(interior: int) -> list[int]:
    """Return the places of at most `LEFT_OUT` of the interior snapshots."""
    return [int(place) for place in np.linspace(1, interior, min(interior, LEFT_OUT)).round()]


def _settled(options: BridgeOptions) -> BridgeChoice:
    return BridgeChoice(options, (options.curve,), np.empty(0), np.empty((1, 0)))


def _scores_without(
    k: int, chain: Chain, counts: tuple[bool, ...], options: BridgeOptions, seed: int
) -> Float[np.ndarray, "candidate"]:
    rest, target = chain.without(k, options, seed), chain.clouds[k]
    unit = deviation(chain.clouds.reshape(-1, chain.clouds.shape[-1]))
    upper = rest.clouds.max(axis=(0, 1))
    gap = rest.interval(k - 1)  # only what happens in it is looked at, though curves depend on the snapshots around it
    noise = noise_roots(gap, options)
    scores: list[float] = []
    for curve in CURVES:
        named = options.model_copy(update={"curve": curve})
        bridge = Bridge(gap, counts, upper, named, bends(curve, rest, [k - 1]), noise)
        # The same random numbers for all: the differences are then those of the curves.
        samples = bridge.sample(chain.times[[k]], len(target), generator(seed, "choice", k))[0]
        scores.append(energy_distance(samples / unit, target / unit))
    return np.array(scores)


def _gain(scores: Float[np.ndarray, "*shape"], others: Float[np.ndarray, "time"]) -> Float[np.ndarray, "*shape"]:
    return (others - scores) / np.maximum(others + scores, np.finfo(float).tiny)


def _chosen(
    options: BridgeOptions, candidates: Sequence[Curve], gains: Sequence[Float[np.ndarray, "_"]]
) -> BridgeOptions:
    """Take the best of those that clearly gain on the first one, else the first."""
    clear = [_clear_gain(gain) for gain in gains]
    return options.model_copy(update={"curve": candidates[int(np.argmax(clear))]})


def _clear_gain(gain: Float[np.ndarray, "time"]) -> float:
    """Return the mean gain if it is clear, else zero."""
    n = len(gain)
    if n < FEWEST_TIMES:
        return 0.0
    error = gain.std(ddof=1) / np.sqrt(n)
    mean = float(gain.mean())
    return mean if mean > stdtrit(n - 1, CONFIDENCE) * error else 0.0
