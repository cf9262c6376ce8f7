"""Samples for fitting, smoothed where there are few: a kernel whose width depends on how many samples a time has.

Five points support no density but a broad one: a likelihood that is fitted to them alone puts its mass on these very
points, and fresh data pay for it. Each sample x_k of a snapshot of n is therefore moved by h sigma_k xi, where sigma_k
is the snapshot's deviation by species, xi is normal, and

    h^2 = a / (n + a) - a / (N + a),    0 from N = 500 samples on

(a smoothed bootstrap, Silverman and Young 1987). A point start, which does not vary, stays a point. Counts that would
be negative are zero, and all counts of that snapshot are scaled so that their mean stays: of a mean of 0.3 molecules,
20 samples would otherwise be taught as 0.41. Between two snapshots widths and scales are interpolated. With a = 10, the
negative log-likelihood of fresh data exceeds the entropy of N(t, 1) in two species by less than that of one Gaussian
fitted to each time; see `benchmarks/few.py`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import norm

from weightflow.bridge.bridge import Bridge
from weightflow.data.snapshots import Snapshots
from weightflow.types import Kind

MANY = 500  # samples of one time that speak for themselves


@runtime_checkable
class Samples(Protocol):
    """Whatever draws samples between snapshots."""

    @property
    def times(self) -> Float[np.ndarray, "time"]:
        """Times of the snapshots."""
        ...

    def sample(
        self, times: Float[np.ndarray, "query"], n: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "query n dim"]:
        """Draw `n` samples at each of `times`."""
        ...


@dataclass(frozen=True, eq=False)
class Smoothed:
    """A bridge whose samples are moved by the kernel of the snapshots around them.

    Attributes:
        bridge: where the samples come from.
        widths: of the kernel, by snapshot and species, in the data's units.
        scales: by which smoothed counts are multiplied so that their mean stays.
    """

    bridge: Bridge
    widths: Float[np.ndarray, "time dim"]
    scales: Float[np.ndarray, "time dim"]

    @classmethod
    def of(cls, bridge: Bridge, snapshots: Snapshots) -> "Smoothed":
        """Measure how wide the kernel of each snapshot is to be; the bridge joins these snapshots."""
        widths = kernel_widths(snapshots, bridge.options.smoothing)
        return cls(bridge, widths, scales_of(snapshots, widths))

    @property
    def times(self) -> Float[np.ndarray, "time"]:
        """Times of the snapshots."""
        return self.bridge.times

    def sample(
        self, times: Float[np.ndarray, "query"], n: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "query n dim"]:
        """Draw `n` samples at each of `times`; counts are rounded at random, keeping their mean, and not negative.

        Raises:
            InputError: a time lies outside the snapshots.
        """
        samples = self.bridge.sample(times, n, rng)
        if not self._smooths:
            return samples
        widths, scales = (
            np.stack([np.interp(times, self.times, column) for column in table.T], axis=1)[:, None]
            for table in (self.widths, self.scales)
        )
        return moved(samples, widths, scales, np.asarray(self.bridge.counts), rng)

    @cached_property
    def _smooths(self) -> bool:
        return bool(self.widths.any())


def moved(
    samples: Float[np.ndarray, "query n dim"],
    widths: Float[np.ndarray, "*#shape"],
    scales: Float[np.ndarray, "*#shape"],
    counts: Bool[np.ndarray, "dim"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "query n dim"]:
    """Move samples by a kernel; counts are not negative, then scaled, and rounded at random, keeping their mean."""
    places = samples + widths * rng.standard_normal(samples.shape)
    rounded = np.floor(scales * np.maximum(places, 0.0) + rng.random(places.shape))
    return np.where(counts, np.where(widths > 0, rounded, samples), places)


def kernel_widths(snapshots: Snapshots, pseudo_samples: float) -> Float[np.ndarray, "time dim"]:
    """Return h sigma for each snapshot and species, where `pseudo_samples` is a in the formula above."""
    sizes = np.array(snapshots.sizes, dtype=np.float64)
    squares = pseudo_samples / (sizes + pseudo_samples) - pseudo_samples / (MANY + pseudo_samples)
    return np.sqrt(np.maximum(squares, 0.0))[:, None] * _spread(snapshots, sizes)


def scales_of(snapshots: Snapshots, widths: Float[np.ndarray, "time dim"]) -> Float[np.ndarray, "time dim"]:
    """Return the mean of each snapshot's counts over that of max(0, x + h sigma xi).

    It is 1 for what is no count, and where a single sample is zero, whose spread is that of other times.
    """
    scales = np.ones_like(widths)
    counts = np.array([kind is Kind.COUNTS for kind in snapshots.kinds])
    for scale, width, cloud in zip(scales, widths, snapshots.samples, strict=True):
        moves = counts & (width > 0) & (cloud.mean(axis=0) > 0)
        x, h = cloud[:, moves], width[moves]
        scale[moves] = x.mean(axis=0) / (x * norm.cdf(x / h) + h * norm.pdf(x / h)).mean(axis=0)
    return scales


def _spread(snapshots: Snapshots, sizes: Float[np.ndarray, "time"]) -> Float[np.ndarray, "time dim"]:
    """Return each snapshot's deviation by species; a single sample is taken to vary as the others do on average."""
    spread = np.stack([cloud.std(axis=0, ddof=min(1, len(cloud) - 1)) for cloud in snapshots.samples])
    if (sizes > 1).any():
        spread[sizes == 1] = spread[sizes > 1].mean(axis=0)
    return spread
