"""Bridge samples have the moments that the bridge promises, and couplings are optimal."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from weightflow.bridge import Bridge, couple
from weightflow.data import Snapshots
from weightflow.errors import InputError

N = 1500


def gaussian_snapshots() -> Snapshots:
    rng = np.random.default_rng(0)
    start = rng.normal([0.0, 5.0], [1.0, 2.0], (N, 2))
    stop = rng.normal([8.0, 1.0], [3.0, 0.5], (N, 2))
    return Snapshots(np.array([0.0, 10.0]), (start, stop))


@pytest.mark.parametrize("s", [0.1, 0.5, 0.8])
def test_the_mean_moves_in_a_straight_line_and_width_one_grows_the_covariance_linearly(s: float) -> None:
    snapshots = gaussian_snapshots()
    start, stop = snapshots.samples
    drawn = Bridge.between(snapshots, width=1.0).sample(np.array([10 * s]), 40_000, np.random.default_rng(1))[0]
    np.testing.assert_allclose(drawn.mean(0), (1 - s) * start.mean(0) + s * stop.mean(0), atol=0.06)
    expected = (1 - s) * np.cov(start.T) + s * np.cov(stop.T)
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.03 * expected.max())


def test_width_zero_is_the_displacement_interpolation_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    start, stop = np.sort(rng.normal(0, 1, (N, 1)), 0), np.sort(rng.normal(5, 3, (N, 1)), 0)
    drawn = Bridge.between(Snapshots(np.array([0.0, 1.0]), (start, stop)), 0.0).sample(np.array([0.5]), N, rng)[0]
    np.testing.assert_allclose(np.sort(drawn, 0), (start + stop) / 2, atol=1e-9)


def test_at_the_snapshots_the_samples_are_the_data() -> None:
    snapshots = gaussian_snapshots()
    drawn = Bridge.between(snapshots).sample(snapshots.times, N, np.random.default_rng(2))
    for cloud, samples in zip(drawn, snapshots.samples, strict=True):
        np.testing.assert_allclose(np.sort(cloud[:, 0]), np.sort(samples[:, 0]))


def test_from_a_point_start_counts_spread_as_a_brownian_bridge_does() -> None:
    rng = np.random.default_rng(0)
    start, stop = np.full((N, 1), 50.0), rng.poisson(30.0, (N, 1)).astype(float)
    bridge = Bridge.between(Snapshots(np.array([0.0, 1.0]), (start, stop)))
    drawn = bridge.sample(np.array([0.5]), 40_000, rng)[0]
    assert np.array_equal(drawn, np.rint(drawn))
    np.testing.assert_allclose(drawn.mean(), (50 + stop.mean()) / 2, atol=0.1)
    np.testing.assert_allclose(drawn.var(), 0.5 * stop.var() + 1 / 6, rtol=0.03)  # the rounding adds at most 1/4


def test_counts_stay_in_the_range_of_the_data() -> None:
    rng = np.random.default_rng(0)
    clouds = (np.zeros((N, 2)), rng.integers(0, 4, (N, 2)).astype(float))
    drawn = Bridge.between(Snapshots(np.array([0.0, 1.0]), clouds), 2.0).sample(np.linspace(0, 1, 9), 500, rng)
    assert drawn.min() >= 0
    assert drawn.max() <= 3


def test_the_coupling_is_as_cheap_as_the_best_assignment() -> None:
    rng = np.random.default_rng(0)
    start, stop = rng.normal(size=(200, 3)), rng.normal(2.0, 3.0, size=(200, 3))
    i, j = couple(start, stop, seed=0)
    scale = np.concatenate([start, stop]).std(0)
    cost = cdist(start / scale, stop / scale, "sqeuclidean")
    np.testing.assert_allclose(cost[i, j].sum(), cost[linear_sum_assignment(cost)].sum(), rtol=1e-9)
    assert len(set(j)) == 200


def test_clouds_of_different_sizes_are_coupled_whole() -> None:
    rng = np.random.default_rng(0)
    i, j = couple(rng.normal(size=(30, 2)), rng.normal(size=(70, 2)), seed=0)
    assert set(i) == set(range(30))
    assert set(j) == set(range(70))


def test_a_time_outside_the_snapshots_is_refused() -> None:
    with pytest.raises(InputError, match=r"span \[0, 10\]; ask inside"):
        Bridge.between(gaussian_snapshots()).sample(np.array([10.5]), 3, np.random.default_rng(0))
