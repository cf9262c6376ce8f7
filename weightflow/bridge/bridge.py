"""Bridge samples: plausible samples at times between the snapshots.

Neighbouring snapshots are coupled by optimal transport, particles follow a curve (`curves`) through the snapshots, and
between two of them they spread around it as a Gaussian bridge does:

    x_s = curve(s) + sqrt(s (1 - s)) * xi,    xi ~ N(0, width * Sigma),    0 <= s <= 1.

With the spread `displacement`, Sigma is the covariance of the displacement x1 - x0 over the coupling. The choice is not
arbitrary: since Cov(x0) + Cov(x1) - Cov(x0, x1) - Cov(x1, x0) = Sigma, a width of 1 and straight lines make
Cov(x_s) = (1 - s) Cov(x0) + s Cov(x1), the covariance that grows linearly, as under free diffusion. From a point start
it is the Brownian bridge; where the cloud only moves, Sigma vanishes and the bridge is McCann's displacement
interpolation, as it is for a width of 0. Counts near zero spread less: their noise is cut where it would lead below, on
both sides alike, so that their mean stays that of the curve.

But partners are never quite right, above all in many dimensions, and Sigma holds their errors; and a cloud that keeps
its shape and grows moves its particles outwards, each from a place of its own, which a straight line follows without
any noise. What no pair can know is the spread that is new. With the spread `gained`, Sigma is multiplied by the square
of the new share of the deviation, max(0, 1 - D0 / D1)^2 with D^2 the total variance, species in units of their own: 1
from a point start, 0 where the cloud does not grow. On all data measured this is as good as the better of the widths 0
and 1, or nearly so.

Where plans are sampled (entropic and unbalanced couplings), each end has pairs of its own: at s a pair is drawn from a
point of the earlier cloud with probability 1 - s, from one of the later cloud with probability s. Samples at the
snapshots are thus the data, whatever the coupling, and mass that grows does so linearly in time.

Where states switch faster than snapshots follow each other, nobody is on the way: the curve `jump` leaves a particle
where it was until a moment that is uniform in the interval, and then it is at its end, so that the samples are those of
the mixture (1 - s) p_0 + s p_1, without any noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from weightflow.bridge.ahead import Ahead, Forecast
from weightflow.bridge.carried import PATHS, Carried, carry
from weightflow.bridge.chain import Chain, even_clouds
from weightflow.bridge.coupling import Coupling
from weightflow.bridge.curves import bends
from weightflow.bridge.options import BridgeOptions, Curve, Spread
from weightflow.bridge.pace import Pace
from weightflow.data.snapshots import Snapshots
from weightflow.data.spread import deviation
from weightflow.data.words import written
from weightflow.drift import Drift, Varied, fit_drifts
from weightflow.errors import InputError
from weightflow.files import within
from weightflow.progress import Steps, uncounted
from weightflow.rng import generator
from weightflow.types import Kind

DRIFT = "drift."
AHEAD = 1 / 3  # of the span, that forecasts of a drift reach beyond the last snapshot


@dataclass(frozen=True, eq=False)
class Bridge:
    """Samples between snapshots, on [times[0], times[-1]].

    Attributes:
        chain: the coupled snapshots.
        counts: which species are counts.
        upper: the largest value seen of each species, which bounds counts.
        options: curve, width and spread; the couplings are those of the chain.
        bends: of the particles' paths from the straight line, as `curves` returns them. The paths themselves are not
            kept: a sample's is made of the two points that it joins, which the chain holds.
        noise: a square root of the covariance around the path, per interval.
        carried: the paths, where a drift has made them; bends and noise are then zero.
        ahead: samples beyond the last snapshot, where a drift's forecasts hold, whether or not it made the paths.
        forecast: how such samples did at the last snapshot, where a drift was tried.
    """

    chain: Chain
    counts: tuple[bool, ...]
    upper: Float[np.ndarray, "dim"]
    options: BridgeOptions
    bends: Float[np.ndarray, "side interval end #pair #dim"]
    noise: Float[np.ndarray, "interval dim dim"]
    carried: Carried | None = None
    ahead: Ahead | None = None
    forecast: Forecast | None = None

    @classmethod
    def between(
        cls,
        snapshots: Snapshots,
        options: BridgeOptions,
        seed: int = 0,
        drift: Drift | None = None,
        forecast: Forecast | None = None,
    ) -> "Bridge":
        """Couple each snapshot with the next and join them.

        Args:
            snapshots: what is joined.
            options: with a curve that is not `auto`.
            seed: rules what is drawn.
            drift: for the curve of that name, which fits one where none is given, and for what is ahead.
            forecast: how such a drift did at the last snapshot, where it was tried.

        Raises:
            InputError: there are fewer than two snapshots, or the curve is `auto` (`build_bridge` chooses one).
            TrainingError: a drift cannot be fitted.
        """
        if options.curve is not Curve.DRIFT:
            made = cls.along(Chain.through(snapshots, options, seed), *_limits(snapshots), options)
            return replace(made, forecast=forecast, ahead=None if drift is None else made._ahead(drift, forecast, seed))
        clouds = even_clouds(snapshots, options, seed, PATHS)
        drift = drift or fit_drift(snapshots, options, seed).under(np.empty(0))
        made = cls.led(*carry(clouds, snapshots.times, drift, options, seed), *_limits(snapshots), options)
        return replace(made, forecast=forecast, ahead=made._ahead(drift, forecast, seed))

    @classmethod
    def led(
        cls,
        chain: Chain,
        carried: Carried,
        counts: tuple[bool, ...],
        upper: Float[np.ndarray, "dim"],
        options: BridgeOptions,
    ) -> "Bridge":
        """Join the clouds of a chain by paths that a drift has made."""
        straight, dim = np.zeros((1, len(chain.couplings), 2, 1, 1)), chain.clouds.shape[2]
        return cls(chain, counts, upper, options, straight, np.zeros((len(chain.couplings), dim, dim)), carried)

    @classmethod
    def along(
        cls, chain: Chain, counts: tuple[bool, ...], upper: Float[np.ndarray, "dim"], options: BridgeOptions
    ) -> "Bridge":
        """Join the clouds of a chain.

        Raises:
            InputError: the curve is `auto`, or `drift`, whose couplings are its own.
        """
        if options.curve in {Curve.AUTO, Curve.DRIFT}:
            raise InputError(
                f"`curve` is `{options.curve.value}`, which names no curve through couplings that are there; let "
                "`build_bridge` choose or fit one, or name another."
            )
        return cls(
            chain,
            counts,
            upper,
            options,
            bends(options.curve, chain, range(len(chain.couplings))),
            noise_roots(chain, options),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what was computed (clouds, couplings, the chosen curve) as arrays; `of_arrays` undoes it."""
        couplings = self.chain.couplings
        return {
            "clouds": self.chain.clouds,
            "forward": np.stack([coupling.forward for coupling in couplings]),
            "backward": np.stack([coupling.backward for coupling in couplings]),
            "curve": np.array(list(Curve).index(self.options.curve)),
            **({} if self.drift is None else {f"{DRIFT}{name}": part for name, part in self.drift.arrays().items()}),
            **({} if self.carried is None else self.carried.arrays()),
            **({} if self.ahead is None else self.ahead.arrays()),
            **({} if self.forecast is None else self.forecast.arrays()),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], snapshots: Snapshots, options: BridgeOptions) -> "Bridge":
        """Build the bridge from what `arrays` has returned, and from what it was built with."""
        pairs = zip(arrays["forward"], arrays["backward"], strict=True)
        chain = Chain(snapshots.times, arrays["clouds"], tuple(Coupling(*pair) for pair in pairs))
        chosen = options.model_copy(update={"curve": list(Curve)[arrays["curve"].item()]})
        forecast = Forecast.of_arrays(arrays)
        found = within(arrays, DRIFT)
        if not found:
            return replace(cls.along(chain, *_limits(snapshots), chosen), forecast=forecast)
        drift = Drift.of_arrays(found)
        made = (
            cls.led(chain, Carried.of_arrays(arrays, drift, chain.times), *_limits(snapshots), chosen)
            if chosen.curve is Curve.DRIFT
            else cls.along(chain, *_limits(snapshots), chosen)
        )
        return replace(made, forecast=forecast, ahead=Ahead.of_arrays(arrays, drift))

    def with_paths(self, curve: Curve, width: float, spread: Spread = Spread.DISPLACEMENT) -> "Bridge":
        """Return a bridge with the same couplings and other paths between them."""
        options = self.options.model_copy(update={"curve": curve, "width": width, "spread": spread})
        return Bridge.along(self.chain, self.counts, self.upper, options)

    @property
    def drift(self) -> Drift | None:
        """What made the paths between the snapshots, or what is ahead of them; None where no drift was kept."""
        made = self.carried or self.ahead
        return None if made is None else made.drift

    def _ahead(self, drift: Drift, forecast: Forecast | None, seed: int) -> Ahead | None:
        """Carry the last snapshot on as far as the options say, where forecasts of the drift hold.

        A drift that rushes on where the snapshots had slowed down is not believed.
        """
        span, last = float(self.times[-1] - self.times[0]), float(self.times[-1])
        horizon = AHEAD * span if self.options.horizon is None else self.options.horizon
        if forecast is None or not forecast.holds or horizon == 0:
            return None
        ahead = Ahead.of(drift, self.chain.clouds[-1], last, horizon, forecast, seed)
        pace = Pace.of(list(self.chain.clouds), self.times)
        soon = np.array([last + min(pace.gap, horizon)])
        path, noise = ahead.sample(soon, self.chain.clouds.shape[1], generator(seed, "pace"))
        carried = (path + noise)[0]
        return None if pace.is_left_behind(self.chain.clouds[-1], carried, trusted=True) else ahead

    @property
    def times(self) -> Float[np.ndarray, "time"]:
        """Times of the snapshots."""
        return self.chain.times

    @property
    def reach(self) -> float:
        """The last time that there are samples of: of the last snapshot, or of what is ahead of it."""
        return float(self.times[-1] if self.ahead is None else self.ahead.times[-1])

    def sample(
        self, times: Float[np.ndarray, "query"], n: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "query n dim"]:
        """Draw `n` samples at each of `times` (physical units, in any order).

        Raises:
            InputError: a time lies outside the snapshots.
        """
        times = np.asarray(times, dtype=np.float64)
        if times.size and (times.min() < self.times[0] or times.max() > self.times[-1]):
            raise InputError(
                f"bridge samples were asked for between t={written(times.min())} and t={written(times.max())}, but "
                "the snapshots "
                f"span [{written(self.times[0])}, {written(self.times[-1])}]; ask inside."
            )
        k = np.clip(np.searchsorted(self.times, times, side="right") - 1, 0, len(self.times) - 2)
        s = (times - self.times[k]) / (self.times[k + 1] - self.times[k])
        sides, _, _, n_pairs = self.chain.ends.shape
        side = (rng.random((len(s), n)) < s[:, None]).astype(np.int64) if sides == 2 else np.zeros((1, 1), np.int64)
        pair = _draw_pairs(len(s), n_pairs, n, rng)
        if self.options.curve is Curve.JUMP:
            return self._on_curves(k, (rng.random((len(s), n)) < s[:, None]).astype(np.float64), side, pair)
        if self.carried is not None:
            path, noise = self.carried.at(k, s, side, pair, rng)
        else:
            path, noise = self._on_curves(k, s[:, None], side, pair), self._around_curves(k, s, n, rng)
        return self._to_valid(self._shaken(path, noise), rng)

    def _on_curves(
        self,
        k: Int[np.ndarray, "query"],
        s: Float[np.ndarray, "query #n"],
        side: Int[np.ndarray, "_ _"],
        pair: Int[np.ndarray, "query n"],
    ) -> Float[np.ndarray, "query n dim"]:
        ends, clouds, k = self.chain.ends, self.chain.clouds, k[:, None]
        start, stop = clouds[k, ends[side, 0, k, pair]], clouds[k + 1, ends[side, 1, k, pair]]
        # arrays that all sides, or all pairs, share have one of them
        side, pair = (np.minimum(index, self.bends.shape[axis] - 1) for index, axis in ((side, 0), (pair, 3)))
        first, second = (self.bends[side, k, end, pair] for end in range(2))
        s = s[..., None]
        return start + s * (stop - start) + s * (1 - s) * ((1 - s) * first - s * second)

    def _around_curves(
        self, k: Int[np.ndarray, "query"], s: Float[np.ndarray, "query"], n: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "query n dim"]:
        scaled = np.sqrt(s * (1 - s))[:, None, None] * self.noise[k]
        return rng.standard_normal((len(s), n, len(self.upper))) @ scaled.transpose(0, 2, 1)

    def _shaken(
        self, path: Float[np.ndarray, "query n dim"], noise: Float[np.ndarray, "query n dim"]
    ) -> Float[np.ndarray, "query n dim"]:
        """Add noise, that of counts cut on both sides alike where it would lead below zero: their mean is the path's.

        Cut below alone, as negative counts have to be, it would lift the mean: on fifteen species that come up one
        after the other, those still to come had twice the molecules of the path.
        """
        room = np.where(np.asarray(self.counts), np.maximum(path, 0.0), np.inf)
        return path + np.clip(noise, -room, room)

    def sample_ahead(
        self, times: Float[np.ndarray, "query"], n: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "query n dim"]:
        """Draw `n` forecasts at each of `times`, which lie beyond the last snapshot; counts may pass the largest seen.

        Raises:
            InputError: there is no drift that was held against the last snapshot, or it does not reach so far.
        """
        if self.ahead is None or times.max() > self.reach:
            raise InputError(
                f"forecasts were asked for up to t={written(times.max())}, which no drift reaches; raise "
                "`bridge.horizon`."
            )
        forecasts = self._shaken(*self.ahead.sample(times, n, rng))
        rounded = np.maximum(np.floor(forecasts + rng.random(forecasts.shape)), 0.0)
        return np.where(np.asarray(self.counts), rounded, forecasts)

    def _to_valid(
        self, x: Float[np.ndarray, "query n dim"], rng: np.random.Generator
    ) -> Float[np.ndarray, "query n dim"]:
        """Round counts up or down at random, keeping their mean, and clip them to the range seen in the data."""
        if not any(self.counts):
            return x
        rounded = np.clip(np.floor(x + rng.random(x.shape)), 0, self.upper)
        return np.where(np.asarray(self.counts), rounded, x)


def fit_drift(
    snapshots: Snapshots,
    options: BridgeOptions,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Steps = uncounted,
    start: Sequence[Varied] = (),
) -> Varied:
    """Fit a drift to all snapshots; arguments as for `fit_drifts`.

    Raises:
        InputError: it is to be fitted in no steps, or no condition was observed twice.
        TrainingError: it cannot be fitted.
    """
    if all(len(course) < 2 for course in snapshots.courses.values()):
        raise InputError(
            "a drift carries one snapshot to the next, but no condition was observed at two times; let two be seen."
        )
    if options.drift_steps == 0:
        raise InputError(
            "`bridge.curve` is `drift`, which cannot be fitted in `bridge.drift_steps`=0 steps; give it some, such as "
            "250, or name another curve."
        )
    return fit_drifts(snapshots, [range(len(snapshots))], options.drift_steps, seed, device, progress, start)[0]


def _limits(snapshots: Snapshots) -> tuple[tuple[bool, ...], Float[np.ndarray, "dim"]]:
    """Which species are counts, and the largest value seen of each."""
    return tuple(kind is Kind.COUNTS for kind in snapshots.kinds), snapshots.pooled().max(axis=0)


def noise_roots(chain: Chain, options: BridgeOptions) -> Float[np.ndarray, "interval dim dim"]:
    """Return a square root of the covariance around the path in each interval."""
    roots: list[np.ndarray] = []
    for start, stop, coupling in zip(chain.clouds[:-1], chain.clouds[1:], chain.couplings, strict=True):
        moves = np.concatenate([stop[coupling.forward] - start, stop - start[coupling.backward]])
        share = 1.0 if options.spread is Spread.DISPLACEMENT else _growth(start, stop)
        unit = deviation(moves)  # a root of the covariance itself would drown a species that is small beside others
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(moves / unit, rowvar=False, bias=True)))
        roots.append(unit[:, None] * vectors * np.sqrt(options.width * share * np.clip(values, 0, None)))
    return np.stack(roots)


def _growth(start: Float[np.ndarray, "pair dim"], stop: Float[np.ndarray, "pair dim"]) -> float:
    unit = deviation(np.concatenate([start, stop]))
    before, after = (np.sqrt((cloud / unit).var(axis=0).sum()) for cloud in (start, stop))
    return float((1 - before / after) ** 2) if after > before else 0.0


def _draw_pairs(n_queries: int, n_pairs: int, n: int, rng: np.random.Generator) -> Int[np.ndarray, "query n"]:
    """Without replacement while that is possible: a set of all pairs then has the clouds' exact moments.

    The queries take their pairs from one shuffled ring, each from a random place on.
    """
    if n > n_pairs:
        return rng.integers(n_pairs, size=(n_queries, n))
    first = rng.integers(n_pairs, size=(n_queries, 1))
    return rng.permutation(n_pairs)[(first + np.arange(n)) % n_pairs]
