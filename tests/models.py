"""Small models with random weights, whose answers can be summed or differentiated."""

import numpy as np
import torch

from weightflow import Snapshots, WeightFlow
from weightflow.backbones import BackboneOptions
from weightflow.dynamics import Table
from weightflow.path import Clock
from weightflow.torch_rng import torch_generator

SPECIES = ("A", "B", "C")


def model_of(snapshots: Snapshots, scale: float = 2.0, **options: object) -> WeightFlow:
    """A model whose weights go in a straight line from one random set to another, over the times 10 to 20."""
    backbone = BackboneOptions.parse({"hidden": 4, "components": 2, **options}).build(snapshots)
    tokens = torch.stack([scale * backbone.init(torch_generator(0, "weights", i)) for i in range(2)])
    record = {"fidelity": {"missed": [], "ratio": 1.0, "rounds": {"teacher": 1, "fit": 1}}}
    clock = Clock.uniform(10.0, 20.0)
    path = Table(torch.tensor([0.0, 1.0]), tokens)
    return WeightFlow(backbone, path, clock, snapshots.species, snapshots.kinds, record, "day")


def small_counts(largest: int = 5) -> Snapshots:
    rng = np.random.default_rng(0)
    clouds = tuple(rng.integers(0, largest + 1, (80, 3)).astype(float) for _ in range(2))
    return Snapshots(np.array([10.0, 20.0]), clouds, SPECIES)


def numbers(n: int = 200) -> Snapshots:
    rng = np.random.default_rng(0)
    return Snapshots(
        np.array([10.0, 20.0]), tuple(rng.normal([0, 50, -3], [1, 20, 0.1], (n, 3)) for _ in range(2)), SPECIES
    )


def mixed() -> Snapshots:
    """A continuous species, one of counts, and one that is constant."""
    rng = np.random.default_rng(0)
    clouds = tuple(np.stack([rng.normal(3, 1, 90), rng.poisson(4, 90), np.full(90, 0.5)], 1) for _ in range(2))
    return Snapshots(np.array([10.0, 20.0]), clouds, SPECIES)


def of_counts() -> WeightFlow:
    return model_of(small_counts(), scale=20.0, head="softmax")
