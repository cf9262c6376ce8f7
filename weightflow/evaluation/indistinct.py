"""Whether a model's samples can be told from held-out snapshots at all: whoever cannot be is at the sampling floor.

That says something only where the test would have seen a wrong model: its *power*, how often it sees a given error in
data of these sizes, goes with it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from weightflow.data import Snapshots
from weightflow.data.spread import deviation
from weightflow.errors import InputError
from weightflow.evaluation.sampler import Sampler, draw
from weightflow.rng import derive_seed, generator
from weightflow.types import Kind

FLOOR_LEVEL = 0.1  # of the test: above the usual 0.05, because a search that ends too early costs more than a late one
FLOOR_POWER = 0.9  # with which the test must see `SHIFT` for its silence to mean anything
SHIFT = 0.25  # standard deviations of one species
SCREENED, CANDIDATES = 100, 3  # samples by which the species are found whose shift is hardest to see, and how many
TIE = 1e-9  # sums of the same distances in another order differ by less; chance moves the statistic by far more


def floor_p_value(
    model: Sampler, parts: Sequence[Snapshots], seed: int, points: int = 500, permutations: int = 199
) -> float:
    """Return the p-value of one permutation test, over all times, that model and data have the same distributions.

    Székely and Rizzo, *Testing for equal distributions in high dimension* (2004). At each time as many samples of the
    model as there are of the data meet these. The statistic is the sum over times of the energy distance
    2 E|X - Y| - E|X - X'| - E|Y - Y'|, with each species in units of its deviation in both samples of that time
    together, so that all times weigh alike. One test of the sum has more power than one of each time with a
    correction.

    The data and the model's samples of one time must be independent of each other, which a model's ordinary draws may
    not be: a sampler whose `sample` has the option `independent` is asked for that. Labels are permuted at each time
    on its own. Where trajectories are followed over times, the data of different times depend on one another, the
    statistic varies more than the permutations tell, and a perfect model is rejected more often than the level says: at
    5 %, in about 12 % of all cases for six times at which the data are the very same.

    Args:
        model: draws samples, an array of shape (time, n, dim).
        parts: snapshots that the model has not seen, clouds of shape (n, dim) in the units of the data.
        seed: decides the draws, the choice of data and the permutations.
        points: of each cloud at most so many are compared, chosen at random.
        permutations: how many; the p-value is at least 1 / (permutations + 1).

    Returns:
        the share of labellings, the true one among them, whose statistic is at least the observed one. It is uniform
        if the distributions are equal, and small if they can be told apart.

    Raises:
        InputError: there are no snapshots, no points or no permutations.
        WeightFlowError: the model returned samples of another shape, or not finite.
    """
    if not parts or points < 1 or permutations < 1:
        raise InputError(
            f"there are {len(parts)} parts, {points} points, {permutations} permutations; give one of each at least."
        )
    rng = generator(seed, "indistinct", "labels")
    energies = np.sum([_energies(x, y, permutations, rng) for x, y in _pairs(model, parts, seed, points)], axis=0)
    return float(np.mean(energies >= energies[0] - TIE))


def floor_power(
    model: Sampler, parts: Sequence[Snapshots], seed: int, points: int = 500, labellings: int = 199
) -> float:
    """Return how often `floor_p_value` would fall below `FLOOR_LEVEL` if one species were off by `SHIFT`.

    The species is shifted at all times by that many of its own standard deviations at each; counts are rounded at
    random. It is the species whose shift is seen least often, of those whose shift moves the energy distance least;
    one that never varies is left out, and where none varies any difference is seen. The share is that over random
    halves of twice as many draws of the model as there are data: the first half takes the place of the model's draws,
    the other one, shifted, that of the data.

    Args:
        model: draws samples, an array of shape (time, n, dim).
        parts: snapshots, of which only times, sizes and kinds matter.
        seed: decides the draws and the halves.
        points: as for the test.
        labellings: how many halves; the standard error is at most half the root of one over their number.
    """
    times = np.concatenate([part.times for part in parts])
    sizes = [min(len(cloud), points) for part in parts for cloud in part.samples]
    own = derive_seed(seed, "power", "model")
    drawn = draw("model", model, times, 2 * max(sizes), parts[0].dim, own, independent=True)
    pools = [x[: 2 * n] for x, n in zip(drawn, sizes, strict=True)]
    varied = [i for i in range(parts[0].dim) if any(np.ptp(pool[:, i]) > 0 for pool in pools)]
    counts = [kind is Kind.COUNTS for kind in parts[0].kinds]
    effects = {i: sum(_effect(pool[:SCREENED], i, counts[i], seed) for pool in pools) for i in varied}
    least = sorted(varied, key=effects.__getitem__)[:CANDIDATES]
    return min((_power(pools, i, counts[i], seed, labellings) for i in least), default=1.0)


def _power(pools: Sequence[Float[np.ndarray, "_ dim"]], i: int, counts: bool, seed: int, labellings: int) -> float:
    rng = generator(seed, "power", "halves")
    sums = np.zeros((2, labellings))  # over times, without and with the shift under the same labels
    for pool in pools:
        half = len(pool) // 2
        labels = rng.permuted(np.tile(np.repeat([1.0, 0.0], half), (labellings, 1)), axis=1)
        own, other = _shifted(pool, i, counts, seed)
        within = cdist(own, own)
        sums[0] += _energies_of_halves(labels, within, within, within)
        sums[1] += _energies_of_halves(labels, within, cdist(own, other), cdist(other, other))
    return float(np.mean(sums[1] > np.quantile(sums[0], 1 - FLOOR_LEVEL) + TIE))


def _effect(pool: Float[np.ndarray, "_ dim"], i: int, counts: bool, seed: int) -> float:
    """Return the energy distance between the pool and its shifted self."""
    own, other = _shifted(pool, i, counts, seed)
    return float(2 * cdist(own, other).mean() - cdist(own, own).mean() - cdist(other, other).mean())


def _shifted(
    pool: Float[np.ndarray, "n dim"], i: int, counts: bool, seed: int
) -> tuple[Float[np.ndarray, "n dim"], Float[np.ndarray, "n dim"]]:
    """Return the pool and the same with species `i` shifted, in units of the deviations in both."""
    moved = pool.copy()
    moved[:, i] += SHIFT * pool[:, i].std()
    if counts:
        moved[:, i] = np.floor(moved[:, i] + generator(seed, "power", "rounding", i).random(len(pool)))
    deviation = np.concatenate([pool, moved]).std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return pool / scale, moved / scale


def _energies_of_halves(
    labels: Float[np.ndarray, "labelling n"],
    within: Float[np.ndarray, "n n"],
    across: Float[np.ndarray, "n n"],
    beyond: Float[np.ndarray, "n n"],
) -> Float[np.ndarray, "labelling"]:
    """Return the energy distance between the labelled half of a pool and the other half of what takes its place."""
    rest = 1 - labels
    sums = [
        np.einsum("lp,lp->l", one @ distances, other)
        for one, distances, other in ((labels, across, rest), (labels, within, labels), (rest, beyond, rest))
    ]
    return (2 * sums[0] - sums[1] - sums[2]) / (labels.shape[1] / 2) ** 2


def _pairs(
    model: Sampler, parts: Sequence[Snapshots], seed: int, points: int
) -> Iterator[tuple[Float[np.ndarray, "n dim"], Float[np.ndarray, "n dim"]]]:
    """Yield, for each time, samples of the model and as many of the data."""
    rng = generator(seed, "indistinct", "data")
    times = np.concatenate([part.times for part in parts])
    data = [rng.permutation(cloud)[:points] for part in parts for cloud in part.samples]
    n = max(map(len, data))
    drawn = draw("model", model, times, n, parts[0].dim, derive_seed(seed, "indistinct", "model"), independent=True)
    yield from ((x[: len(y)], y) for x, y in zip(drawn, data, strict=True))


def _energies(
    x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "n dim"], permutations: int, rng: np.random.Generator
) -> Float[np.ndarray, "labelling"]:
    """Return the energy distance under the true labels, which come first, and under permuted ones.

    With labels z of +1 and -1, equally many, it is -z'Dz / n^2 for the matrix D of all distances.
    """
    both = np.concatenate([x, y])
    scaled = both / deviation(both)
    labels = np.repeat([1.0, -1.0], len(x))
    permuted = rng.permuted(np.tile(labels, (permutations, 1)), axis=1)
    z = np.concatenate([labels[None], permuted])
    return -np.einsum("lp,lp->l", z @ cdist(scaled, scaled), z) / len(x) ** 2
