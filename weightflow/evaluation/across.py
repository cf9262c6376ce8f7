"""What a user could take instead of a model at a condition that was not observed: its neighbours, rearranged.

All of them know the neighbours at the very times that are asked for, if these were observed there, and else at the
nearest time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from weightflow.bridge import BridgeOptions, couple
from weightflow.data import Conditions, Point, Snapshots
from weightflow.evaluation.sampler import Sampler
from weightflow.rng import derive_seed, generator
from weightflow.types import Kind

POINTS = 1000  # of each cloud that are coupled
NEAREST, MIXTURE, TRANSPORT = "nearest_condition", "mixture_of_conditions", "transport_between_conditions"
Clouds = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class BetweenConditions:
    """Samples made of two conditions.

    Attributes:
        first, second: their courses.
        place: of the condition that is asked for: 0 at the first, 1 at the second.
        draw: makes samples of a cloud of each.
    """

    first: Snapshots
    second: Snapshots
    place: float
    draw: Callable[[Clouds, float, int, np.random.Generator], np.ndarray]

    def sample(self, times: Float[np.ndarray, "time"], n: int, seed: int) -> Float[np.ndarray, "time n dim"]:
        """Draw `n` samples at each of `times`."""
        rng = generator(seed, "between conditions")
        clouds = [(_at(self.first, time), _at(self.second, time)) for time in times.tolist()]
        return np.stack([self.draw(both, self.place, n, rng) for both in clouds])


def condition_baselines(seen: Snapshots, at: Point, seed: int = 0) -> dict[str, Sampler]:
    """Return the alternatives at a condition: of the two neighbours around it, or of the two that are nearest to it.

    Args:
        seen: of several conditions, some of the same categories as the one that is asked for.
        at: the condition.
        seed: of the couplings.
    """
    conditions = seen.conditions
    if conditions is None:
        return {}
    first, second, place = around(conditions, at)
    courses = seen.courses
    ends = courses[first], courses[second]
    counts = np.array([kind is Kind.COUNTS for kind in seen.kinds])
    draws = {
        NEAREST: _nearest,
        MIXTURE: _mixture,
        TRANSPORT: partial(_transport, counts=counts, seed=derive_seed(seed, "across")),
    }
    return {name: BetweenConditions(*ends, place, draw) for name, draw in draws.items()}


def around(conditions: Conditions, at: Point) -> tuple[Point, Point, float]:
    """Return two conditions, and the place between them that is nearest to a third one."""
    here, peers = conditions.positions(at), conditions.peers(at) or conditions.distinct
    away = [conditions.positions(peer) - here for peer in peers]
    order = sorted(range(len(peers)), key=lambda i: float(np.linalg.norm(away[i])))
    near = order[0]
    # the nearest on the other side, where there is one
    opposite = [i for i in order[1:] if float(away[i] @ away[near]) < 0]
    other = (opposite or order[1:] or order)[0]
    line = away[other] - away[near]
    length = float(line @ line)
    return peers[near], peers[other], float(np.clip(-(away[near] @ line) / length, 0, 1)) if length else 0.0


def _at(course: Snapshots, time: float) -> Float[np.ndarray, "n dim"]:
    return course.samples[int(np.abs(course.times - time).argmin())]


def _nearest(clouds: Clouds, place: float, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n dim"]:
    return _some(clouds[int(place > 0.5)], n, rng)


def _mixture(clouds: Clouds, place: float, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n dim"]:
    first, second = (_some(cloud, n, rng) for cloud in clouds)
    return np.where(rng.random((n, 1)) < place, second, first)


def _transport(
    clouds: Clouds, place: float, n: int, rng: np.random.Generator, counts: np.ndarray, seed: int
) -> Float[np.ndarray, "n dim"]:
    size = min(POINTS, max(map(len, clouds)))
    first, second = (_some(cloud, size, rng) for cloud in clouds)
    moved = (1 - place) * first + place * second[couple(first, second, BridgeOptions(), seed).forward]
    return _some(np.where(counts, np.floor(moved + rng.random(moved.shape)), moved), n, rng)


def _some(cloud: np.ndarray, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n dim"]:
    """Choose rows, each as often as any other."""
    rows = np.concatenate([rng.permutation(len(cloud)) for _ in range(-(-n // len(cloud)))])
    return cloud[rows[:n]]
