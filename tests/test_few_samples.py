"""Few samples: how wide the kernel over them is, what it does to counts, and what a fit of five samples is worth."""

import numpy as np
import pytest
from scipy import stats

from weightflow import Snapshots
from weightflow.bridge import BridgeOptions, Smoothed, build_bridge
from weightflow.bridge.smoothed import MANY, kernel_widths
from weightflow.data import advice
from weightflow.experiment import ExperimentConfig, direct_model, prepare
from weightflow.types import Kind


def clouds(*sizes: int, scale: float = 1.0) -> Snapshots:
    rng = np.random.default_rng(0)
    return Snapshots(np.arange(float(len(sizes))), tuple(rng.normal(k, scale, (n, 2)) for k, n in enumerate(sizes)))


def test_widths_follow_their_formula_and_end_where_samples_speak_for_themselves() -> None:
    data = clouds(5, 20, 100, MANY - 1, MANY, 2000)
    a = 10.0
    widths = kernel_widths(data, a)
    for width, cloud in zip(widths[:4], data.samples, strict=False):
        share = a / (len(cloud) + a) - a / (MANY + a)
        np.testing.assert_allclose(width**2, share * cloud.var(axis=0, ddof=1))
    assert (widths[4:] == 0).all()
    assert (kernel_widths(data, 0.0) == 0).all()


def test_a_point_start_stays_a_point_and_a_single_sample_varies_as_the_others_do() -> None:
    rng = np.random.default_rng(0)
    point = Snapshots(np.arange(3.0), (np.full((50, 2), 7.0), rng.normal(7, 1, (50, 2)), rng.normal(7, 3, (50, 2))))
    widths = kernel_widths(point, 10.0)
    assert (widths[0] == 0).all()
    assert (widths[1:] > 0).all()
    single = clouds(20, 1, 30)
    found = kernel_widths(single, 10.0)
    deviations = np.mean([single.samples[k].std(axis=0, ddof=1) for k in (0, 2)], axis=0)
    np.testing.assert_allclose(found[1], np.sqrt(10 / 11 - 10 / 510) * deviations)
    assert (kernel_widths(clouds(1, 1), 10.0) == 0).all()  # nobody knows


def test_smoothed_samples_have_the_mean_of_the_samples_and_their_variance_and_the_kernels() -> None:
    data = clouds(8, 16)
    smoothed = Smoothed.of(build_bridge(data, BridgeOptions(), 0), data)
    drawn = smoothed.sample(data.times, 200_000, np.random.default_rng(1))
    for moved, cloud, width in zip(drawn, data.samples, smoothed.widths, strict=True):
        np.testing.assert_allclose(moved.mean(axis=0), cloud.mean(axis=0), atol=0.01)
        np.testing.assert_allclose(moved.var(axis=0), cloud.var(axis=0) + width**2, rtol=0.02)


def test_smoothed_counts_are_whole_not_negative_and_keep_their_mean() -> None:
    rng = np.random.default_rng(0)
    start = np.full((6, 2), [40.0, 3.0])
    data = Snapshots(np.arange(3.0), (start, *(rng.poisson([40.0, 6.0], (6, 2)).astype(float) for _ in range(2))))
    smoothed = Smoothed.of(build_bridge(data, BridgeOptions(), 0), data)
    drawn = smoothed.sample(data.times, 100_000, np.random.default_rng(1))
    np.testing.assert_array_equal(drawn, np.rint(drawn))
    assert drawn.min() >= 0
    assert (drawn[0] == start[0]).all()
    np.testing.assert_allclose(drawn[1:, :, 0].mean(axis=1), [c[:, 0].mean() for c in data.samples[1:]], atol=0.1)
    assert drawn[1, :, 0].var() > data.samples[1][:, 0].var() + smoothed.widths[1, 0] ** 2
    between = smoothed.sample(np.array([0.5]), 100_000, np.random.default_rng(2))
    np.testing.assert_array_equal(between, np.rint(between))


@pytest.mark.parametrize("n", [5, 20, 100])
def test_smoothing_does_not_make_rare_counts_less_rare(n: int) -> None:
    rng = np.random.default_rng(n)
    clouds = tuple(np.concatenate([[[1.0, 0.0]], rng.poisson([0.3, 5.0], (n - 1, 2))]) for _ in range(2))
    data = Snapshots(np.arange(2.0), clouds, ("rare", "common"), (Kind.COUNTS, Kind.COUNTS))
    smoothed = Smoothed.of(build_bridge(data, BridgeOptions(width=0.0), 0), data)
    drawn = smoothed.sample(np.array([0.0, 0.5, 1.0]), 200_000, np.random.default_rng(1))
    means = np.stack([cloud.mean(axis=0) for cloud in (clouds[0], np.concatenate(clouds), clouds[1])])
    np.testing.assert_allclose(drawn.mean(axis=1), means, rtol=0.03)
    assert drawn[0, :, 1].var() > clouds[0][:, 1].var()


def test_a_single_sample_of_no_molecules_does_not_say_that_there_are_none() -> None:
    rng = np.random.default_rng(0)
    clouds = rng.poisson(5.0, (30, 1)).astype(float), np.array([[0.0]]), rng.poisson(5.0, (30, 1)).astype(float)
    data = Snapshots(np.arange(3.0), clouds, ("x",), (Kind.COUNTS,))
    drawn = Smoothed.of(build_bridge(data, BridgeOptions(), 0), data).sample(np.ones(1), 10_000, rng)[0]
    assert 0.5 < drawn.mean() < 1.5
    assert 0.3 < (drawn == 0).mean() < 0.7


def test_where_there_are_many_samples_smoothing_changes_nothing() -> None:
    data = clouds(MANY, 2 * MANY)
    bridge = build_bridge(data, BridgeOptions(), 0)
    times = np.array([0.0, 0.3, 1.0])
    plain, smoothed = (one.sample(times, 50, np.random.default_rng(3)) for one in (bridge, Smoothed.of(bridge, data)))
    np.testing.assert_array_equal(plain, smoothed)


def test_advice_says_what_one_five_and_a_hundred_samples_can_carry() -> None:
    assert advice(clouds(100, 30)) == ()
    (single,) = advice(clouds(1, 100))
    assert single.startswith("there is a single sample at t = 0: it says where the distribution is")
    (few,) = advice(clouds(100, 5, 29))
    assert few.startswith("there are fewer than 30 samples at t = 1, 2 (the fewest: 5): they carry a smooth, broad")
    assert len(advice(clouds(1, 5, 100))) == 2
    (many,) = advice(clouds(*[5] * 9))
    assert "at t = 0, 1, 2, 3, 4 and 4 more times" in many


def excess(n: int, seed: int) -> tuple[float, float]:
    """Return by how much the loss on fresh data exceeds the entropy of N(t, 1), for a fit and a Gaussian a time."""
    rng = np.random.default_rng(100 * seed + n)
    times = np.arange(5.0)
    data = Snapshots(times, tuple(rng.normal(t, 1.0, (n, 2)) for t in times))
    fresh = np.stack([rng.normal(t, 1.0, (2000, 2)) for t in times])
    truth = np.stack([stats.norm(t, 1.0).logpdf(x).sum(-1) for t, x in zip(times, fresh, strict=True)]).mean()
    fitted = direct_model(prepare(data, ExperimentConfig(), seed)).log_prob(fresh, times).mean()
    gauss = [
        stats.multivariate_normal(x.mean(0), np.cov(x, rowvar=False)).logpdf(y).mean()
        for x, y in zip(data.samples, fresh, strict=True)
    ]
    return float(truth - fitted), float(truth - np.mean(gauss))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "sets"), [(5, 1), (20, 3)])
def test_a_fit_to_few_samples_is_worth_what_one_gaussian_for_each_time_is(n: int, sets: int) -> None:
    model, gaussian = np.mean([excess(n, seed) for seed in range(sets)], axis=0)
    assert model < 1.5 * gaussian
