"""The sampling floor: what a perfect model would score, since two finite samples of one distribution differ.

A score can only be read against it. It comes from a second independent sample of the true system where there is one,
and from two halves of the test samples otherwise. Halves are smaller than the samples that models are scored with,
which puts the floor too high (by a factor of up to 2 for energy distance and JSD, 1.4 for W1): the label says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from weightflow.data import Snapshots, Split
from weightflow.errors import InputError, WeightFlowError
from weightflow.rng import generator

HALVES = "split halves"  # how the label of such a floor begins
FEWEST = 4  # two in each half, which is what an unbiased MMD needs


@dataclass(frozen=True, eq=False)
class Floor:
    """Two independent samples of the true system at each test time, and in words where they come from."""

    label: str
    first: tuple[Float[np.ndarray, "_ dim"], ...]
    second: tuple[Float[np.ndarray, "_ dim"], ...]

    @classmethod
    def of(cls, split: Split, data: Sequence[Float[np.ndarray, "_ dim"]], seed: int) -> "Floor":
        """Pair the scored test samples `data`, one cloud per test time, with others as many, or with one another."""
        return _halves(data, seed) if split.floor is None else _fresh(split.floor, split.test, data, seed)


def scored_samples(split: Split, draws: int, seed: int) -> tuple[Float[np.ndarray, "_ dim"], ...]:
    """Return at most `draws` samples of the test part at each time, chosen at random by the seed.

    Raises:
        InputError: there is nothing to score at, or a test snapshot is too small.
    """
    check_scorable(split)
    return tuple(_at_most(cloud, draws, seed, "data", i) for i, cloud in enumerate(split.test.samples))


def check_scorable(split: Split) -> None:
    """Refuse test parts that cannot be scored; worth calling before anything is fitted.

    Raises:
        InputError: a test snapshot has fewer than `FEWEST` samples.
    """
    for time, cloud in zip(split.test.times, split.test.samples, strict=True):
        if len(cloud) < FEWEST:
            raise InputError(
                f"the test snapshot at t={time:g} has {len(cloud)} samples, but scores need {FEWEST} at least; "
                "leave that time out or give it more samples."
            )


def _fresh(floor: Snapshots, test: Snapshots, data: Sequence[np.ndarray], seed: int) -> Floor:
    if not np.array_equal(floor.times, test.times):
        raise WeightFlowError("the floor's samples are not at the test times; split both by the same times.")
    pairs = zip(floor.samples, data, strict=True)
    first = tuple(_at_most(cloud, len(y), seed, "floor", i) for i, (cloud, y) in enumerate(pairs))
    return Floor(f"independent samples of the true system, {_sizes(first)} against {_sizes(data)}", first, tuple(data))


def _halves(data: Sequence[np.ndarray], seed: int) -> Floor:
    shuffled = [generator(seed, "halves", i).permutation(cloud) for i, cloud in enumerate(data)]
    first = tuple(cloud[: len(cloud) // 2] for cloud in shuffled)
    second = tuple(cloud[len(cloud) // 2 : 2 * (len(cloud) // 2)] for cloud in shuffled)
    label = (
        f"{HALVES} of the test samples, {_sizes(first)} against {_sizes(second)} "
        f"(models: {_sizes(data)} against {_sizes(data)}), hence too high"
    )
    return Floor(label, first, second)


def _at_most(cloud: np.ndarray, n: int, seed: int, purpose: str, i: int) -> np.ndarray:
    return cloud[generator(seed, "score", purpose, i).permutation(len(cloud))[:n]]


def _sizes(clouds: Sequence[np.ndarray]) -> str:
    fewest, most = min(map(len, clouds)), max(map(len, clouds))
    return f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
