"""How much weights matter, against the Fisher information summed over all counts."""

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from weightflow import Snapshots
from weightflow.backbones import Backbone, BackboneOptions
from weightflow.path import ReferencePath
from weightflow.training import sensitivity

COUNTS = np.stack(np.meshgrid(np.arange(60.0), np.arange(60.0), indexing="ij"), -1).reshape(-1, 2)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    clouds = tuple(np.random.default_rng(k).integers(0, 6, (80, 2)).astype(float) for k in range(2))
    return BackboneOptions(hidden=4, components=2).build(Snapshots(np.array([0.0, 1.0]), clouds), seed=0)


@pytest.fixture(scope="module")
def reference(backbone: Backbone) -> ReferencePath:
    """A path between two sets of weights."""
    ends = [backbone.init(torch.Generator().manual_seed(k)).numpy() for k in range(2)]
    times = np.linspace(0.0, 1.0, 9)
    return ReferencePath.of_table(times, np.stack([(1 - t) * ends[0] + t * ends[1] for t in times]), stretch=0.0)


def information(backbone: Backbone, tokens: Float[np.ndarray, "token width"]) -> Float[Tensor, "token width"]:
    """Sum over all counts that have any probability."""
    samples = torch.as_tensor(COUNTS)
    each = torch.tensor(tokens).expand(len(samples), -1, -1).clone().requires_grad_()
    log_prob = backbone.log_prob(each, samples[:, None])[:, 0]
    probability = log_prob.detach().exp()
    assert float(probability.sum()) == pytest.approx(1.0, abs=1e-4)
    (scores,) = torch.autograd.grad(log_prob.sum(), each)
    return (scores.pow(2) * probability[:, None, None]).sum(0)


def test_it_is_the_root_of_the_fisher_information(backbone: Backbone, reference: ReferencePath) -> None:
    found = sensitivity(backbone, reference, seed=0, places=33)
    used = backbone.layout.mask
    assert found.shape == reference.tokens.shape
    assert float(found[:, used].mean()) == pytest.approx(1.0, rel=1e-5)
    marks = [0, 128, 256]
    exact = torch.stack([information(backbone, reference.tokens[i])[used] for i in marks])
    ours = found[marks][:, used]
    matter = exact > 0.01 * exact.mean()  # below that, what is added so that nothing is free hides it
    ratio = ours[matter] / exact[matter].sqrt()
    assert float(np.corrcoef(ours[matter].log(), exact[matter].sqrt().log())[0, 1]) > 0.95
    assert float(ratio.max() / ratio.min()) < 4  # of 64 draws; the roots themselves span far more
    assert float(ours.max() / ours.median()) > 5


def test_fewer_places_are_joined_by_lines(backbone: Backbone, reference: ReferencePath) -> None:
    squares = sensitivity(backbone, reference, seed=0, places=3).pow(2)
    torch.testing.assert_close(squares[64], (squares[0] + squares[128]) / 2, rtol=1e-4, atol=1e-6)


def test_the_seed_decides_the_draws(backbone: Backbone, reference: ReferencePath) -> None:
    first, again, other = (sensitivity(backbone, reference, seed, places=3) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
