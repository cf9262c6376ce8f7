"""Forecasts that need no model, to be beaten: they only rearrange the samples of the seen snapshots.

Between the snapshots:

- `Persistence`: the samples of the last snapshot at or before that time.
- `Nearest`: the samples of the nearest snapshot.
- `Mixture`: samples of the two neighbours, mixed in proportion to time, p_s = (1 - s) p_0 + s p_1.
- `McCann`: optimal-transport (displacement) interpolation, x_s = (1 - s) x_0 + s x_1 over coupled pairs.
- `BridgeSamples`: the same with the spread of a Gaussian bridge of width 1.
- `ChosenBridge`: samples of a given bridge, such as the one that a model was trained with.

Beyond the last snapshot the first three stand still. The others *drift*: the coupled pairs of the last
interval go on in a straight line, x_s with s > 1, without noise, so that there they are one. Counts are rounded at
random, keeping their mean, and stay at zero or above; they may pass the largest value seen. Before the first snapshot
nothing is defined.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from weightflow.bridge import Bridge, BridgeOptions, Curve, Spread
from weightflow.data import Snapshots
from weightflow.data.words import written
from weightflow.errors import InputError
from weightflow.evaluation.sampler import Sampler
from weightflow.rng import generator


def baselines(seen: Snapshots, bridge: Bridge | None = None) -> dict[str, Sampler]:
    """Return all of them for the seen snapshots, by the names that score files use.

    The couplings are those of `bridge`, which is there as `chosen_bridge` unless it is one of the others.

    Raises:
        InputError: there are fewer than two snapshots.
    """
    bridge = bridge or Bridge.between(seen, BridgeOptions(curve=Curve.STRAIGHT, width=0.0))
    known: dict[str, Sampler] = {
        "nearest": Nearest(seen),
        "persistence": Persistence(seen),
        "mixture": Mixture(seen),
        "mccann": McCann(bridge),
        "bridge": BridgeSamples(bridge),
    }
    return known if _is_plain(bridge.options) else {**known, "chosen_bridge": ChosenBridge(bridge)}


@dataclass(frozen=True, eq=False)
class Nearest:
    """The snapshot nearest in time, the earlier one of two equally near; afterwards the last one."""

    seen: Snapshots

    def sample(self, times: Float[np.ndarray, "time"], n: int, seed: int) -> Float[np.ndarray, "time n dim"]:
        """Draw `n` samples at each of `times`."""
        check_not_before(times, self.seen.times)
        rng = generator(seed, "nearest")
        nearest = np.abs(np.subtract.outer(times, self.seen.times)).argmin(axis=1)
        return np.stack([_choose(self.seen.samples[k], n, rng) for k in nearest])


@dataclass(frozen=True, eq=False)
class Persistence:
    """The last snapshot at or before each time: what is known without looking ahead."""

    seen: Snapshots

    def sample(self, times: Float[np.ndarray, "time"], n: int, seed: int) -> Float[np.ndarray, "time n dim"]:
        """Draw `n` samples at each of `times`."""
        check_not_before(times, self.seen.times)
        rng = generator(seed, "persistence")
        last = np.searchsorted(self.seen.times, times, side="right") - 1
        return np.stack([_choose(self.seen.samples[k], n, rng) for k in last])


@dataclass(frozen=True, eq=False)
class Mixture:
    """Samples of both neighbours, a share of s = (t - t_0) / (t_1 - t_0) from the later one."""

    seen: Snapshots

    def sample(self, times: Float[np.ndarray, "time"], n: int, seed: int) -> Float[np.ndarray, "time n dim"]:
        """Draw `n` samples at each of `times`."""
        check_not_before(times, self.seen.times)
        rng = generator(seed, "mixture")
        position = np.interp(times, self.seen.times, np.arange(len(self.seen), dtype=np.float64))
        return np.stack([self._sample_one(at, n, rng) for at in position])

    def _sample_one(self, position: float, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n dim"]:
        before = int(position)
        after = min(before + 1, len(self.seen) - 1)
        late = int(np.floor(n * (position - before) + rng.random()))  # at random up or down: right on average
        early = _choose(self.seen.samples[before], n - late, rng)
        return rng.permutation(np.concatenate([early, _choose(self.seen.samples[after], late, rng)]))


@dataclass(frozen=True, eq=False)
class ChosenBridge:
    """Samples of the given bridge between the snapshots, drift beyond the last."""

    bridge: Bridge

    def sample(self, times: Float[np.ndarray, "time"], n: int, seed: int) -> Float[np.ndarray, "time n dim"]:
        """Draw `n` samples at each of `times`."""
        check_not_before(times, self.bridge.times)
        beyond = times > self.bridge.times[-1]
        samples = np.empty((len(times), n, len(self.bridge.upper)))
        if not beyond.all():
            samples[~beyond] = self.bridge.sample(times[~beyond], n, generator(seed, "bridge"))
        rng = generator(seed, "drift")
        for i in np.flatnonzero(beyond):
            samples[i] = self._drift(times[i], n, rng)
        return samples

    def _drift(self, time: float, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n dim"]:
        clouds, coupling = self.bridge.chain.clouds, self.bridge.chain.couplings[-1]
        before, after = self.bridge.times[-2:]
        s = (time - before) / (after - before)
        x = _choose(np.concatenate([clouds[-2], clouds[-1][coupling.forward]], axis=1), n, rng)
        start, stop = np.split(x, 2, axis=1)
        moved = start + s * (stop - start)
        rounded = np.maximum(np.floor(moved + rng.random(moved.shape)), 0.0)
        return np.where(np.asarray(self.bridge.counts), rounded, moved)


@dataclass(frozen=True, eq=False)
class BridgeSamples(ChosenBridge):
    """Straight bridges of width 1 between the snapshots, drift beyond the last; only the couplings are taken over."""

    width: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bridge", self.bridge.with_paths(Curve.STRAIGHT, self.width))


class McCann(BridgeSamples):
    """Optimal-transport interpolation between the snapshots, drift beyond the last."""

    width: ClassVar[float] = 0.0


def _is_plain(options: BridgeOptions) -> bool:
    """Whether the bridge is McCann's or the one of width 1."""
    free = options.width == BridgeSamples.width and options.spread is Spread.DISPLACEMENT
    return options.curve is Curve.STRAIGHT and (options.width == McCann.width or free)


def check_not_before(times: Float[np.ndarray, "time"], seen: Float[np.ndarray, "seen"]) -> None:
    """Refuse times before the first snapshot.

    Raises:
        InputError: there is such a time.
    """
    if times.size and times.min() < seen[0]:
        raise InputError(
            f"samples were asked for at t={written(times.min())}, before the first seen snapshot at "
            f"t={written(seen[0])}; "
            "ask from there on."
        )


def _choose(cloud: Float[np.ndarray, "m dim"], n: int, rng: np.random.Generator) -> Float[np.ndarray, "n dim"]:
    """Draw `n` rows, without replacement while there are enough: the whole cloud then stands for itself exactly."""
    return cloud[rng.permutation(len(cloud))[:n] if n <= len(cloud) else rng.integers(len(cloud), size=n)]
