"""Whether a model's samples can be told from held-out snapshots at all: whoever cannot be is at the sampling floor."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from weightflow.data import Snapshots
from weightflow.data.spread import deviation
from weightflow.errors import InputError
from weightflow.evaluation.sampler import Sampler, draw
from weightflow.rng import derive_seed, generator

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
