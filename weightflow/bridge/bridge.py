"""Bridge samples: plausible samples at times between the snapshots.

Neighbouring snapshots are coupled by optimal transport, particles follow a curve (`curves`) through the snapshots, and
between two of them they spread around it as a Gaussian bridge does:

    x_s = curve(s) + sqrt(s (1 - s)) * xi,    xi ~ N(0, width * Sigma),    0 <= s <= 1.

With the spread `displacement`, Sigma is the covariance of the displacement x1 - x0 over the coupling. The choice is not
arbitrary: since Cov(x0) + Cov(x1) - Cov(x0, x1) - Cov(x1, x0) = Sigma, a width of 1 and straight lines make
Cov(x_s) = (1 - s) Cov(x0) + s Cov(x1), the covariance that grows linearly, as under free diffusion. From a point start
it is the Brownian bridge; where the cloud only moves, Sigma vanishes and the bridge is McCann's displacement
interpolation, as it is for a width of 0.

But partners are never quite right, above all in many dimensions, and Sigma holds their errors; and a cloud that keeps
its shape and grows moves its particles outwards, each from a place of its own, which a straight line follows without
any noise. What no pair can know is the spread that is new. With the spread `gained`, Sigma is multiplied by the square
of the new share of the deviation, max(0, 1 - D0 / D1)^2 with D^2 the total variance, species in units of their own: 1
from a point start, 0 where the cloud does not grow. On all data measured this is as good as the better of the widths 0
and 1, or nearly so.

Where plans are sampled (entropic and unbalanced couplings), each end has pairs of its own: at s a pair is drawn from a
point of the earlier cloud with probability 1 - s, from one of the later cloud with probability s. Samples at the
snapshots are thus the data, whatever the coupling, and mass that grows does so linearly in time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from weightflow.bridge.carried import PATHS, Carried, carry
from weightflow.bridge.chain import Chain, even_clouds
from weightflow.bridge.coupling import Coupling
from weightflow.bridge.curves import bends
from weightflow.bridge.options import BridgeOptions, Curve, Spread
from weightflow.data.snapshots import Snapshots
from weightflow.data.spread import deviation
from weightflow.drift import Drift, fit_drifts
from weightflow.errors import InputError
from weightflow.types import Kind


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
    """

    chain: Chain
    counts: tuple[bool, ...]
    upper: Float[np.ndarray, "dim"]
    options: BridgeOptions
    bends: Float[np.ndarray, "side interval end #pair #dim"]
    noise: Float[np.ndarray, "interval dim dim"]
    carried: Carried | None = None

    @classmethod
    def between(
        cls, snapshots: Snapshots, options: BridgeOptions, seed: int = 0, drift: Drift | None = None
    ) -> "Bridge":
        """Couple each snapshot with the next and join them.

        Args:
            snapshots: what is joined.
            options: with a curve that is not `auto`.
            seed: rules what is drawn.
            drift: for the curve of that name, where it was fitted before; else it is fitted here.

        Raises:
            InputError: there are fewer than two snapshots, or the curve is `auto` (`build_bridge` chooses one).
            TrainingError: a drift cannot be fitted.
        """
        if options.curve is not Curve.DRIFT:
            return cls.along(Chain.through(snapshots, options, seed), *_limits(snapshots), options)
        clouds = even_clouds(snapshots, options, seed, PATHS)
        drift = drift or _fitted(snapshots, options, seed)
        return cls.led(*carry(clouds, snapshots.times, drift, options, seed), *_limits(snapshots), options)

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
            **({} if self.carried is None else self.carried.arrays()),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], snapshots: Snapshots, options: BridgeOptions) -> "Bridge":
        """Build the bridge from what `arrays` has returned, and from what it was built with."""
        pairs = zip(arrays["forward"], arrays["backward"], strict=True)
        chain = Chain(snapshots.times, arrays["clouds"], tuple(Coupling(*pair) for pair in pairs))
        chosen = options.model_copy(update={"curve": list(Curve)[arrays["curve"].item()]})
        if chosen.curve is Curve.DRIFT:
            return cls.led(chain, Carried.of_arrays(arrays, snapshots.times), *_limits(snapshots), chosen)
        return cls.along(chain, *_limits(snapshots), chosen)

    def with_paths(self, curve: Curve, width: float, spread: Spread = Spread.DISPLACEMENT) -> "Bridge":
        """Return a bridge with the same couplings and other paths between them."""
        options = self.options.model_copy(update={"curve": curve, "width": width, "spread": spread})
        return Bridge.along(self.chain, self.counts, self.upper, options)

    @property
    def times(self) -> Float[np.ndarray, "time"]:
        """Times of the snapshots."""
        return self.chain.times

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
                f"bridge samples were asked for between t={times.min():g} and t={times.max():g}, but the snapshots "
                f"span [{self.times[0]:g}, {self.times[-1]:g}]; ask inside."
            )
        k = np.clip(np.searchsorted(self.times, times, side="right") - 1, 0, len(self.times) - 2)
        s = (times - self.times[k]) / (self.times[k + 1] - self.times[k])
        sides, _, _, n_pairs = self.chain.ends.shape
        side = (rng.random((len(s), n)) < s[:, None]).astype(np.int64) if sides == 2 else np.zeros((1, 1), np.int64)
        pair = _draw_pairs(len(s), n_pairs, n, rng)
        if self.carried is not None:
            return self._to_valid(self.carried.at(k, s, side, pair, rng), rng)
        return self._to_valid(self._on_curves(k, s, side, pair) + self._around_curves(k, s, n, rng), rng)

    def _on_curves(
        self,
        k: Int[np.ndarray, "query"],
        s: Float[np.ndarray, "query"],
        side: Int[np.ndarray, "_ _"],
        pair: Int[np.ndarray, "query n"],
    ) -> Float[np.ndarray, "query n dim"]:
        ends, clouds, k = self.chain.ends, self.chain.clouds, k[:, None]
        start, stop = clouds[k, ends[side, 0, k, pair]], clouds[k + 1, ends[side, 1, k, pair]]
        # arrays that all sides, or all pairs, share have one of them
        side, pair = (np.minimum(index, self.bends.shape[axis] - 1) for index, axis in ((side, 0), (pair, 3)))
        first, second = (self.bends[side, k, end, pair] for end in range(2))
        s = s[:, None, None]
        return start + s * (stop - start) + s * (1 - s) * ((1 - s) * first - s * second)

    def _around_curves(
        self, k: Int[np.ndarray, "query"], s: Float[np.ndarray, "query"], n: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "query n dim"]:
        scaled = np.sqrt(s * (1 - s))[:, None, None] * self.noise[k]
        return rng.standard_normal((len(s), n, len(self.upper))) @ scaled.transpose(0, 2, 1)

    def _to_valid(
        self, x: Float[np.ndarray, "query n dim"], rng: np.random.Generator
    ) -> Float[np.ndarray, "query n dim"]:
        """Round counts up or down at random, keeping their mean, and clip them to the range seen in the data."""
        if not any(self.counts):
            return x
        rounded = np.clip(np.floor(x + rng.random(x.shape)), 0, self.upper)
        return np.where(np.asarray(self.counts), rounded, x)


def _fitted(snapshots: Snapshots, options: BridgeOptions, seed: int) -> Drift:
    """Fit a drift to all snapshots.

    Raises:
        InputError: it was told not to.
    """
    if options.drift_steps == 0:
        raise InputError(
            "`bridge.curve` is `drift`, which cannot be fitted in `bridge.drift_steps`=0 steps; give it some, such as "
            "250, or name another curve."
        )
    return fit_drifts(snapshots, [range(len(snapshots))], options.drift_steps, seed)[0]


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
