"""Snapshots joined by couplings, so that particles can be followed through all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from weightflow.bridge.coupling import Coupling, couple, most_pairs, resample
from weightflow.bridge.options import BridgeOptions
from weightflow.data.snapshots import Snapshots
from weightflow.errors import InputError
from weightflow.rng import generator

EVEN = 1000  # points that are coupled in a sixth of a second; clouds of different sizes are repeated up to so many


@dataclass(frozen=True, eq=False)
class Chain:
    """Clouds of one size and the couplings of neighbours.

    Attributes:
        times: shape (time,).
        clouds: the snapshots, resampled to one size, shape (time, pair, dim).
        couplings: one per interval.
    """

    times: Float[np.ndarray, "time"]
    clouds: Float[np.ndarray, "time pair dim"]
    couplings: tuple[Coupling, ...]

    @classmethod
    def through(cls, snapshots: Snapshots, options: BridgeOptions, seed: int, most: int | None = None) -> "Chain":
        """Resample the clouds to one size, `most` or less, and couple neighbours.

        Raises:
            InputError: there are fewer than two snapshots.
        """
        clouds = even_clouds(snapshots, options, seed, most)
        pairs = pairwise(clouds)
        return cls(snapshots.times, clouds, tuple(couple(start, stop, options, seed) for start, stop in pairs))

    @cached_property
    def one_to_one(self) -> bool:
        """Whether a particle followed there and back is the same particle."""
        return all(coupling.one_to_one for coupling in self.couplings)

    def without(self, k: int, options: BridgeOptions, seed: int) -> "Chain":
        """Leave out an interior snapshot: only its two neighbours need a new coupling."""
        bypass = couple(self.clouds[k - 1], self.clouds[k + 1], options, seed)
        couplings = (*self.couplings[: k - 1], bypass, *self.couplings[k + 1 :])
        return Chain(np.delete(self.times, k), np.delete(self.clouds, k, axis=0), couplings)

    def around(self, k: int, reach: int) -> slice:
        """Return the snapshots up to `reach` before and after snapshot `k`."""
        return slice(max(0, k - reach), min(len(self.times), k + reach + 1))

    def interval(self, k: int) -> "Chain":
        """Return the chain of two snapshots, from `k` to the next."""
        both = slice(k, k + 2)
        return Chain(self.times[both], self.clouds[both], self.couplings[k : k + 1])

    def track(self, k: int, within: slice) -> Float[np.ndarray, "time pair dim"]:
        """Follow the particles of snapshot `k`, in its order, through the snapshots `within`, which hold it."""
        here = np.arange(self.clouds.shape[1])
        before, after = [here], [here]
        for coupling in reversed(self.couplings[within.start : k]):
            before.append(coupling.backward[before[-1]])
        for coupling in self.couplings[k : within.stop - 1]:
            after.append(coupling.forward[after[-1]])
        index = np.stack([*reversed(before[1:]), *after])
        return np.take_along_axis(self.clouds[within], index[:, :, None], axis=1)

    @cached_property
    def ends(self) -> Int[np.ndarray, "side end interval pair"]:
        """Where the particles of each interval are in its two snapshots.

        Of the two sides, the first holds the particles of the earlier snapshot, the second those of the later one;
        there is only one where each point has one partner.
        """
        here = np.broadcast_to(np.arange(self.clouds.shape[1]), (len(self.couplings), self.clouds.shape[1]))
        earlier = np.stack([here, [coupling.forward for coupling in self.couplings]])
        if self.one_to_one:
            return earlier[None]
        return np.stack([earlier, np.stack([[coupling.backward for coupling in self.couplings], here])])


def even_clouds(
    snapshots: Snapshots, options: BridgeOptions, seed: int, most: int | None = None
) -> Float[np.ndarray, "time pair dim"]:
    """Resample the snapshots to one size, `most` or less.

    Raises:
        InputError: there are fewer than two snapshots, or they are of several conditions.
    """
    if len(snapshots.alone("a bridge")) < 2:
        raise InputError(
            f"a bridge needs two snapshots at least, but {len(snapshots)} was given; let two times be seen."
        )
    size = min(_common_size(snapshots.sizes), most or most_pairs(options))
    rng = generator(seed, "chain", size)
    return np.stack([cloud[resample(len(cloud), size, rng)] for cloud in snapshots.samples])


def _common_size(sizes: Sequence[int]) -> int:
    """Return the size of the largest cloud, or a multiple where sizes differ and the clouds are small.

    Of 8 samples that are resampled to 12, four stand for twice as much as the others; resampled to 996, each stands for
    as much as any other, to 1 %.
    """
    largest = max(sizes)
    return largest if min(sizes) == largest else largest * max(1, EVEN // largest)
