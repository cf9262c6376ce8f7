"""What a model computes does not depend on how much of it is held at once, and what is held is bounded."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from weightflow import Snapshots, WeightFlow
from weightflow.backbones import BackboneOptions
from weightflow.dynamics import Table
from weightflow.model import engine, marginals
from weightflow.path import Clock
from weightflow.torch_rng import torch_generator


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation gives, views and results of the caller aside."""

    def __init__(self, allowed: int) -> None:
        super().__init__()
        self.allowed = allowed
        self.size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = result if isinstance(result, tuple | list) else [result]
        stored = [x.untyped_storage().nbytes() // x.element_size() for x in tensors if isinstance(x, torch.Tensor)]
        self.size = max([self.size, *(size for size in stored if size != self.allowed)])
        return result


def two_anchors(largest: float, dim: int = 2) -> WeightFlow:
    """A model of counts whose weights go in a straight line from one random set to another."""
    cloud = np.linspace(0.0, largest, 50).round()[:, None].repeat(dim, 1)
    snapshots = Snapshots(np.array([0.0, 1.0]), (cloud, cloud))
    backbone = BackboneOptions(hidden=4, components=2).build(snapshots)
    tokens = torch.stack([2 * backbone.init(torch_generator(0, "weights", i)) for i in range(2)])
    path = Table(torch.tensor([0.0, 1.0]), tokens)
    return WeightFlow(backbone, path, Clock.uniform(0.0, 1.0), snapshots.species, snapshots.kinds)


@pytest.mark.parametrize("at_once", [1, 3_000])
def test_samples_densities_and_marginals_are_the_same_in_small_parts(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, times = two_anchors(30.0), np.linspace(0.0, 1.0, 7)
    x = flow.sample(times, 40, seed=1)
    whole = flow.log_prob(x, times), flow.log_prob(x[0], times), flow.log_prob(x[0], 0.3), flow.marginals(times)
    monkeypatch.setattr(engine, "MAX_VALUES", at_once)
    torch.testing.assert_close(flow.sample(times, 40, seed=1), x)
    parts = flow.log_prob(x, times), flow.log_prob(x[0], times), flow.log_prob(x[0], 0.3), flow.marginals(times)
    for part, one in zip(parts, whole, strict=True):
        torch.testing.assert_close(part, one)


def test_marginals_by_draws_are_sums_of_the_density(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = two_anchors(30.0)
    monkeypatch.setattr(marginals, "MAX_STATES", 1)
    listed = flow.backbone.states - 1
    counts = torch.cartesian_prod(torch.arange(500.0), torch.arange(float(listed)))
    expected = flow.log_prob(counts, 0.5).exp().reshape(500, listed).sum(0)
    found = flow.marginals([0.5], draws=4096)[0, 1]
    torch.testing.assert_close(found[:-1], expected, atol=1e-3, rtol=0.0)


def test_one_sample_at_very_many_times_is_evaluated_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, most, n = two_anchors(30.0), 50_000, 20_000
    monkeypatch.setattr(engine, "MAX_VALUES", most)
    with Largest(allowed=n) as largest:
        found = flow.log_prob(np.array([[3.0, 4.0]]), np.linspace(0.0, 1.0, n))
    assert found.shape == (n, 1)
    assert n * flow.backbone.layout.mask.numel() > 50 * most
    assert largest.size <= most


def test_many_samples_at_one_time_are_drawn_and_evaluated_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, most, n = two_anchors(30.0), 50_000, 60_000
    monkeypatch.setattr(engine, "MAX_VALUES", most)
    for call in (lambda: flow.sample(0.5, n), lambda: flow.log_prob(np.ones((n, 2)), 0.5)):
        with Largest(allowed=2 * n) as largest:
            call()
        assert largest.size <= 2 * n
