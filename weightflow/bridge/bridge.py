"""Bridge samples: plausible samples at times between the snapshots.

Neighbouring snapshots are coupled by optimal transport, and a pair (x0, x1) is joined by a Gaussian bridge

    x_s = (1 - s) x0 + s x1 + sqrt(s (1 - s)) * xi,    xi ~ N(0, width * Sigma),    0 <= s <= 1,

where Sigma is the covariance of the displacement x1 - x0 over the coupling. The choice is not arbitrary: since
Cov(x0) + Cov(x1) - Cov(x0, x1) - Cov(x1, x0) = Sigma, a width of 1 makes Cov(x_s) = (1 - s) Cov(x0) + s Cov(x1), the
covariance that grows linearly, as under free diffusion. From a point start it is the Brownian bridge; where the cloud
only moves, Sigma vanishes and the bridge is McCann's displacement interpolation, as it is for a width of 0.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from weightflow.bridge.coupling import couple
from weightflow.data.snapshots import Snapshots
from weightflow.errors import InputError
from weightflow.types import Kind


@dataclass(frozen=True)
class Interval:
    """Coupled pairs of two neighbouring snapshots, and a square root of the displacement's covariance."""

    start: Float[np.ndarray, "pair dim"]
    stop: Float[np.ndarray, "pair dim"]
    noise: Float[np.ndarray, "dim dim"]


@dataclass(frozen=True)
class Bridge:
    """Samples between snapshots, on [times[0], times[-1]]."""

    times: Float[np.ndarray, "time"]
    intervals: tuple[Interval, ...]
    counts: tuple[bool, ...]
    upper: Float[np.ndarray, "dim"]
    width: float

    @classmethod
    def between(cls, snapshots: Snapshots, width: float = 1.0, seed: int = 0) -> "Bridge":
        """Couple each snapshot with the next; `width` scales the bridge's covariance (0: McCann interpolation)."""
        intervals = tuple(
            _interval(snapshots.samples[k], snapshots.samples[k + 1], seed) for k in range(len(snapshots) - 1)
        )
        counts = tuple(kind is Kind.COUNTS for kind in snapshots.kinds)
        return cls(snapshots.times, intervals, counts, snapshots.pooled().max(axis=0), width)

    def with_width(self, width: float) -> "Bridge":
        """Return the same couplings with another width."""
        return Bridge(self.times, self.intervals, self.counts, self.upper, width)

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
        where = np.clip(np.searchsorted(self.times, times, side="right") - 1, 0, len(self.intervals) - 1)
        return np.stack([self._sample_one(int(k), time, n, rng) for k, time in zip(where, times, strict=True)])

    def _sample_one(self, k: int, time: float, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n dim"]:
        interval = self.intervals[k]
        s = (time - self.times[k]) / (self.times[k + 1] - self.times[k])
        pairs = _draw_pairs(len(interval.start), n, rng)
        noise = rng.standard_normal((n, len(self.upper))) @ interval.noise.T
        x = (1 - s) * interval.start[pairs] + s * interval.stop[pairs] + np.sqrt(self.width * s * (1 - s)) * noise
        return self._to_valid(x, rng)

    def _to_valid(self, x: Float[np.ndarray, "n dim"], rng: np.random.Generator) -> Float[np.ndarray, "n dim"]:
        """Round counts up or down at random, keeping their mean, and clip them to the range seen in the data."""
        counts = np.asarray(self.counts)
        rounded = np.floor(x + rng.random(x.shape))
        return np.where(counts, np.clip(rounded, 0, self.upper), x)


def _interval(start: np.ndarray, stop: np.ndarray, seed: int) -> Interval:
    i, j = couple(start, stop, seed)
    covariance = np.atleast_2d(np.cov(stop[j] - start[i], rowvar=False, bias=True))
    values, vectors = np.linalg.eigh(covariance)
    return Interval(start[i], stop[j], vectors * np.sqrt(np.clip(values, 0, None)))


def _draw_pairs(n_pairs: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Without replacement while that is possible: a set of all pairs then has the clouds' exact moments."""
    return rng.permutation(n_pairs)[:n] if n <= n_pairs else rng.integers(n_pairs, size=n)
