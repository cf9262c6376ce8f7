"""Particles that a drift carries from each snapshot to the next, led so that they meet it.

From each point x_0 of a snapshot the drift makes a path y_s, noise and all. Where it ends, y_1, is coupled with the
next snapshot by optimal transport, and the path is led to its partner x_1:

    x_s = y_s + s (x_1 - y_1),    0 <= s <= 1.

Coupled is thus where particles would go, not where they are, and what the drift gets wrong is shared out evenly over
the interval. Of a Brownian motion this makes the Brownian bridge exactly; at s = 0 and s = 1 samples are the data,
whatever the drift. Paths are kept at a few nodes; between two of them particles move straight, with the noise of a
Brownian bridge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from weightflow.bridge.chain import Chain
from weightflow.bridge.coupling import couple
from weightflow.bridge.options import BridgeOptions
from weightflow.drift import Drift
from weightflow.files import Arrays
from weightflow.rng import generator

PATHS = 2000  # from each snapshot: they are kept whole, and so many stand for any distribution
NODES = "nodes"


@dataclass(frozen=True, eq=False)
class Carried:
    """Paths between the clouds of a chain.

    Attributes:
        drift: what carried them.
        nodes: where particles are at evenly spaced times of each interval, both ends included. Of two sides, the first
            holds the particles of the earlier snapshot, the second those of the later one, as in `Chain.ends`.
        steps: lengths of a step between two nodes, in each interval.
    """

    drift: Drift
    nodes: Float[np.ndarray, "side interval node pair dim"]
    steps: Float[np.ndarray, "interval"]

    @classmethod
    def of(
        cls, drift: Drift, times: Float[np.ndarray, "time"], nodes: Float[np.ndarray, "side interval node pair dim"]
    ) -> "Carried":
        """Put together what `carry` has made, and what follows from it."""
        return cls(drift, nodes, np.diff(times) / (nodes.shape[2] - 1))

    def arrays(self) -> Arrays:
        """Return all but the drift as arrays; `of_arrays` undoes it."""
        return {NODES: self.nodes}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], drift: Drift, times: Float[np.ndarray, "time"]) -> "Carried":
        """Build the paths from what `arrays` has returned, among other arrays, and the times of the snapshots."""
        return cls.of(drift, times, arrays[NODES])

    def at(
        self,
        k: Int[np.ndarray, "query"],
        s: Float[np.ndarray, "query"],
        side: Int[np.ndarray, "_ _"],
        pair: Int[np.ndarray, "query n"],
        rng: np.random.Generator,
    ) -> tuple[Float[np.ndarray, "query n dim"], Float[np.ndarray, "query n dim"]]:
        """Return where some particles are in intervals `k`, a share of `s` of the way, and the noise around that."""
        steps = self.nodes.shape[2] - 1
        node = np.minimum((s * steps).astype(np.int64), steps - 1)
        done = (s * steps - node)[:, None, None]
        before, after = (self.nodes[side, k[:, None], (node + j)[:, None], pair] for j in (0, 1))
        between = (1 - done) * before + done * after
        noise = np.sqrt(done * (1 - done) * self.steps[k][:, None, None]) * self.drift.noise_at(between)
        return between, noise * rng.standard_normal(between.shape)


def carry(
    clouds: Float[np.ndarray, "time pair dim"],
    times: Float[np.ndarray, "time"],
    drift: Drift,
    options: BridgeOptions,
    seed: int,
) -> tuple[Chain, Carried]:
    """Carry each cloud to the next, and couple it there.

    Args:
        clouds: of one size.
        times: of the clouds.
        drift: what carries them.
        options: of the coupling.
        seed: rules the noise, and couplings that are drawn.
    """
    rng = generator(seed, "carried")
    paths = [drift.paths(cloud, gap, rng) for cloud, gap in zip(clouds[:-1], np.diff(times), strict=True)]
    arrived = zip(paths, clouds[1:], strict=True)
    chain = Chain(times, clouds, tuple(couple(path[-1], stop, options, seed) for path, stop in arrived))
    return chain, Carried.of(drift, times, _led(paths, chain))


def _led(paths: Sequence[Float[np.ndarray, "node pair dim"]], chain: Chain) -> Float[np.ndarray, "side ..."]:
    """Lead each path from where it begins to where its partner is."""
    sides: list[np.ndarray] = []
    for ends in chain.ends:
        led: list[np.ndarray] = []
        for path, (_, stop), (i, j) in zip(paths, pairwise(chain.clouds), ends.transpose(1, 0, 2), strict=True):
            share = np.linspace(0.0, 1.0, len(path))[:, None, None]
            led.append(path[:, i] + share * (stop[j] - path[-1, i]))
        sides.append(np.stack(led))
    return np.stack(sides)
