"""The sampling floor: what a perfect model would score, since two finite samples of one distribution differ.

A score can only be read against it. It comes from a second independent sample of the true system where there is one,
and from two disjoint halves of the test samples otherwise. Halves that are smaller than the samples that models are
scored with put the floor too high (by a factor of up to 2 for energy distance and JSD, 1.4 for W1): the label says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from weightflow.data import Snapshots, Split, in_words
from weightflow.data.words import written
from weightflow.errors import InputError, WeightFlowError
from weightflow.evaluation.grouping import GROUPS, HALF_GROUPS, arranged

TOO_HIGH = "hence too high"  # how the label of a floor of smaller samples ends
FEWEST = 4  # two in each half, which is what an unbiased MMD needs


@dataclass(frozen=True, eq=False)
class Floor:
    """Two independent samples of the true system at each test time.

    Attributes:
        label: where they come from, and how many they are.
        first: the sample that takes the model's place, one cloud for each time.
        second: the one that takes the data's.
        groups: row p of each cloud belongs to the group p modulo this number.
    """

    label: str
    first: tuple[Float[np.ndarray, "_ dim"], ...]
    second: tuple[Float[np.ndarray, "_ dim"], ...]
    groups: int

    @classmethod
    def of(cls, split: Split, data: Sequence[Float[np.ndarray, "_ dim"]], draws: int, seed: int) -> "Floor":
        """Pair the scored test samples `data`, one cloud for each test time, with others as many, or halve them."""
        if split.floor is None:
            return _halves(split.test, data, draws, seed)
        return _fresh(split.floor, split.test, data, seed)


def scored_samples(split: Split, draws: int, seed: int) -> tuple[Float[np.ndarray, "_ dim"], ...]:
    """Return at most `draws` samples of the test part at each time, chosen at random by the seed and in groups.

    Raises:
        InputError: there is nothing to score at, or a test snapshot is too small.
    """
    check_scorable(split)
    groups = count_groups(split.test.samples, draws)
    return tuple(arranged(cloud, groups, seed, "data", i)[:draws] for i, cloud in enumerate(split.test.samples))


def count_groups(clouds: Sequence[Float[np.ndarray, "_ dim"]], draws: int) -> int:
    """Return how many groups the smallest of the clouds can be put into."""
    return min(GROUPS, draws, *map(len, clouds))


def check_scorable(split: Split) -> None:
    """Refuse test parts that cannot be scored; worth calling before anything is fitted.

    Raises:
        InputError: a test snapshot has fewer than `FEWEST` samples.
    """
    for part in split.courses:
        where = "".join(f" of {in_words(fold.at)}" for fold in part.tests if fold.at)
        for time, cloud in zip(part.test.times, part.test.samples, strict=True):
            if len(cloud) < FEWEST:
                raise InputError(
                    f"the test snapshot{where} at t={written(time)} has {len(cloud)} samples, but scores need "
                    f"{FEWEST} at "
                    "least; leave that time out or give it more samples."
                )


def _fresh(floor: Snapshots, test: Snapshots, data: Sequence[np.ndarray], seed: int) -> Floor:
    if not np.array_equal(floor.times, test.times):
        raise WeightFlowError("the floor's samples are not at the test times; split both by the same times.")
    groups = count_groups([*floor.samples, *data], max(map(len, data)))
    pairs = zip(floor.samples, data, strict=True)
    first = tuple(arranged(cloud, groups, seed, "floor", i)[: len(y)] for i, (cloud, y) in enumerate(pairs))
    label = f"independent samples of the true system, {_sizes(first)} against {_sizes(data)}"
    return Floor(label, first, tuple(data), groups)


def _halves(test: Snapshots, data: Sequence[np.ndarray], draws: int, seed: int) -> Floor:
    """Halve the whole clouds, also what is left over of them where models are scored with fewer samples."""
    groups = max(2, min(HALF_GROUPS, min(test.sizes) // 4))
    pairs = [_halve(arranged(x, groups, seed, "halves", i), groups, draws) for i, x in enumerate(test.samples)]
    first, second = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
    label = f"split halves of the test samples, {_sizes(first)} against {_sizes(second)}"
    if any(len(half) < len(cloud) for half, cloud in zip(first, data, strict=True)):
        label += f" (models: {_sizes(data)} against {_sizes(data)}), {TOO_HIGH}"
    return Floor(label, first, second, groups)


def _halve(cloud: np.ndarray, groups: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Take turns, one row of each group at a time: both halves keep the order of the groups."""
    even = np.arange(len(cloud)) // groups % 2 == 0
    size = min(int(even.sum()), int((~even).sum()), most)
    return cloud[even][:size], cloud[~even][:size]


def _sizes(clouds: Sequence[np.ndarray]) -> str:
    fewest, most = min(map(len, clouds)), max(map(len, clouds))
    return f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
