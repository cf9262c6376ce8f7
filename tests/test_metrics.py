"""The metrics agree with independent references, and with what was measured on the paper's own data."""

from pathlib import Path

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist, jensenshannon
from scipy.stats import energy_distance as scipy_energy_distance
from scipy.stats import wasserstein_distance

from weightflow import metrics
from weightflow.data import Snapshots
from weightflow.errors import InputError
from weightflow.evaluation import baselines
from weightflow.metrics import METRICS, applicable, described
from weightflow.metrics.joint import MAX_POINTS
from weightflow.metrics.paper import marginals
from weightflow.metrics.sliced import directions
from weightflow.metrics.transport import columns_cost
from weightflow.types import Kind

COUNTS = (Kind.COUNTS,) * 3
SHIFTING = [name for name in METRICS if name != "correlation_error"]  # a shift changes no correlation
BIASED = [name for name, metric in METRICS.items() if not metric.signed]


def clouds(n: int = 120, m: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Two clouds of counts that differ in location and in dependence."""
    rng = np.random.default_rng(3)
    x = rng.poisson([4.0, 9.0, 2.0], (n, 3))
    y = rng.poisson([6.0, 7.0, 2.5], (m, 3))
    y[:, 2] += y[:, 0] // 2
    return x.astype(float), y.astype(float)


@pytest.mark.parametrize("name", METRICS)
def test_the_order_of_samples_does_not_matter(name):
    x, y = clouds()
    rng = np.random.default_rng(0)
    assert METRICS[name](rng.permutation(x), rng.permutation(y)) == pytest.approx(METRICS[name](x, y), rel=1e-6)


@pytest.mark.parametrize("name", BIASED)
@pytest.mark.parametrize("n", [120, 2 * MAX_POINTS])
def test_a_cloud_is_at_distance_zero_from_itself(name, n):
    x, _ = clouds(n)
    assert METRICS[name](x, x.copy()) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", SHIFTING)
def test_distances_grow_with_a_shift_and_do_not_depend_on_the_direction(name):
    x, _ = clouds()
    near, far = METRICS[name](x, x + 1), METRICS[name](x, x + 4)
    assert 0 < near < far
    assert METRICS[name](x + 4, x) == pytest.approx(far, rel=1e-6)


@pytest.mark.parametrize("sizes", [(120, 120), (120, 77)])
def test_species_w1_is_the_mean_of_scipys_wasserstein_distances(sizes):
    x, y = clouds(*sizes)
    expected = np.mean([wasserstein_distance(a, b) for a, b in zip(x.T, y.T, strict=True)])
    assert metrics.species_w1(x, y) == pytest.approx(expected)


def test_paper_jsd_is_the_mean_of_scipys_squared_jensenshannon():
    x, y = clouds()
    expected = np.mean([jensenshannon(p, q) ** 2 for p, q in zip(marginals(x, 40), marginals(y, 40), strict=True)])
    assert metrics.paper_jsd(x, y, 40) == pytest.approx(expected)
    assert metrics.paper_jsd(np.zeros((5, 1)), np.ones((9, 1)), 2) == pytest.approx(np.log(2))


def test_paper_w1_transports_marginals_as_points_and_may_match_one_species_with_another():
    x, y = clouds()
    p, q = marginals(x, 40), marginals(y, 40)
    assert metrics.paper_w1(x, y, 40) == pytest.approx(float(np.asarray(ot.emd2(ot.unif(3), ot.unif(3), cdist(p, q)))))
    assert metrics.paper_w1(x, x[:, ::-1], 40) == pytest.approx(0.0, abs=1e-12)


def test_states_that_neither_cloud_reaches_change_nothing():
    x, y = clouds()
    assert METRICS["paper_w1"](x, y) == pytest.approx(metrics.paper_w1(x, y, 500))
    assert METRICS["paper_jsd"](x, y) == pytest.approx(metrics.paper_jsd(x, y, 500))


def test_counts_of_millions_cost_no_more_than_small_ones_and_are_no_other_states():
    x, y = clouds()
    for name in ("paper_w1", "paper_jsd"):
        assert METRICS[name](1e7 + x, 1e7 + y) == pytest.approx(METRICS[name](x, y))
        with pytest.raises(InputError, match="whole numbers, none negative"):
            METRICS[name](x + 0.5, y)


def test_an_offset_and_a_constant_species_change_no_metric_of_differences():
    x, y = clouds()
    offset = np.array([1e9, -1e9, 3e8])
    for name in ("species_w1", "sliced_w1", "sliced_w2", "joint_w1", "energy_distance", "mmd_median"):
        assert METRICS[name](x + offset, y + offset) == pytest.approx(METRICS[name](x, y), rel=1e-6)
    tenth = [np.insert(cloud.astype(float), 3, 0.1, axis=1) for cloud in (x, y)]
    for name in ("joint_w1", "energy_distance", "mmd_median"):
        assert METRICS[name](*tenth) == pytest.approx(METRICS[name](x, y), rel=1e-6)
    # six pairs of species in place of three, and the three new ones tell nothing
    assert METRICS["correlation_error"](*tenth) == pytest.approx(METRICS["correlation_error"](x, y) / 2)


@pytest.mark.parametrize("bad", [np.array([[0.5]]), np.array([[-1.0]]), np.array([[7.0]])])
def test_values_that_are_no_states_are_refused(bad):
    with pytest.raises(InputError, match="whole numbers from 0 to 6"):
        metrics.paper_w1(bad, np.array([[1.0]]), 7)


def test_joint_distances_agree_with_pot():
    x, y = clouds(90, 60)
    a, b = ot.unif(90), ot.unif(60)
    assert metrics.joint_w1(x, y) == pytest.approx(float(np.asarray(ot.emd2(a, b, cdist(x, y)))))
    assert metrics.joint_w2(x, y) == pytest.approx(float(np.asarray(ot.emd2(a, b, cdist(x, y, "sqeuclidean")))) ** 0.5)


@pytest.mark.parametrize(("power", "name"), [(1, "sliced_w1"), (2, "sliced_w2")])
def test_sliced_distances_agree_with_pot(power, name):
    x, y = clouds()
    expected = ot.sliced_wasserstein_distance(x, y, projections=directions(3), p=power)
    assert METRICS[name](x, y) == pytest.approx(float(np.asarray(expected)))


@pytest.mark.parametrize("power", [1, 2])
def test_sorting_and_the_general_way_agree_on_one_dimensional_transport(power):
    x, y = clouds()
    twice = np.concatenate([y, y])  # the same distribution in another number of samples
    np.testing.assert_allclose(columns_cost(x, twice, power), columns_cost(x, y, power))


def test_only_joint_metrics_see_a_dependence():
    rng = np.random.default_rng(1)
    u = rng.standard_normal((200, 1))
    together, apart = np.hstack([u, u]), np.hstack([u, rng.permutation(u)])
    assert metrics.species_w1(together, apart) == pytest.approx(0.0, abs=1e-12)
    assert min(metrics.joint_w1(together, apart), metrics.sliced_w1(together, apart)) > 0.1


def test_in_one_dimension_energy_distance_is_the_square_of_scipys():
    x, y = clouds(80, 120)
    expected = scipy_energy_distance(x[:, 0], y[:, 0]) ** 2
    assert metrics.energy_distance(x[:, :1], y[:, :1]) == pytest.approx(expected)


def test_mmd_is_the_unbiased_estimate_summed_over_the_papers_bandwidths():
    x, y = clouds(50, 40)
    expected = 0.0
    for sigma in (0.1, 1.0, 10.0):
        xx, yy, xy = (np.exp(-cdist(a, b, "sqeuclidean") / (2 * sigma**2)) for a, b in ((x, x), (y, y), (x, y)))
        off_diagonal = [(k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
        expected += sum(off_diagonal) - 2 * xy.mean()
    assert metrics.mmd_paper(x, y) == pytest.approx(expected, abs=1e-6)


def test_mmd_is_zero_on_average_between_samples_of_one_distribution():
    rng = np.random.default_rng(2)
    values = [metrics.mmd_median(rng.standard_normal((40, 2)), rng.standard_normal((40, 2))) for _ in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)


def test_mmd_with_all_data_in_one_state_is_zero_only_for_the_same_state():
    point = np.full((30, 2), 5.0)
    assert metrics.mmd_median(point, point) == 0.0
    assert metrics.mmd_median(point + 1, point) > 0.1


def test_correlation_error_is_the_mean_difference_of_numpys_correlations():
    x, y = clouds(120, 77)
    pairs = np.triu_indices(3, 1)
    expected = np.abs(np.corrcoef(x.T) - np.corrcoef(y.T))[pairs].mean()
    assert metrics.correlation_error(x, y) == pytest.approx(expected)
    assert metrics.correlation_error(x, 3 * y + 2) == pytest.approx(expected)


def test_a_constant_species_counts_as_uncorrelated_and_a_single_one_has_no_correlations():
    u = np.random.default_rng(0).standard_normal((50, 1))
    constant = np.hstack([u, np.full_like(u, 0.1)])
    assert metrics.correlation_error(constant, np.hstack([u, -u])) == pytest.approx(1.0)
    assert metrics.correlation_error(constant, constant + 1) == 0.0
    assert "correlation_error" not in [metric.name for metric in applicable((Kind.COUNTS,))]
    with pytest.raises(InputError, match=r"`correlation_error` needs 2 species.*joint_w1"):
        applicable((Kind.COUNTS,), ["correlation_error"])
    with pytest.raises(InputError, match="two species"):
        metrics.correlation_error(u, u)


def test_joint_distances_use_as_many_points_as_asked_for():
    x, y = clouds(400, 400)
    everything = float(np.asarray(ot.emd2(ot.unif(400), ot.unif(400), cdist(x, y))))
    assert metrics.joint_w1(x, y, points=400) == pytest.approx(everything)
    same_law, _ = clouds(800, 1)
    halves = same_law[:400], same_law[400:]
    assert metrics.joint_w1(*halves) > metrics.joint_w1(*halves, points=400)  # fewer points lie further apart
    larger = METRICS["joint_w1"].with_points(400)
    assert (larger.name, larger(x, y)) == ("joint_w1_400", pytest.approx(everything))
    assert described("joint_w1_400") == larger
    assert described("species_w1_400") is None
    assert applicable(COUNTS, [larger, "joint_w2"])[0] is larger
    with pytest.raises(InputError, match="`points`=1"):
        metrics.joint_w1(x, y, points=1)
    with pytest.raises(InputError, match="all samples"):
        METRICS["species_w1"].with_points(10)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("sizes", [(300, 300), (300, 200)])
def test_influences_foretell_what_a_few_samples_less_would_change(name, sizes):
    """A delete-a-group jackknife, with nothing but the metric's own values, is the reference."""
    x, y = clouds(*sizes)
    x = x + np.random.default_rng(5).random(x.shape) * (not METRICS[name].needs_counts)
    metric = METRICS[name] if METRICS[name].points is None else METRICS[name].with_points(1000)
    groups = 20
    total = metric.estimate(x, y).grouped(groups)
    keep = [(np.arange(len(x)) % groups != k, np.arange(len(y)) % groups != k) for k in range(groups)]
    without = np.array([metric(x[i], y[j]) for i, j in keep])
    pseudo = groups * metric(x, y) - (groups - 1) * without  # Tukey's pseudo-values
    assert np.corrcoef(total, pseudo)[0, 1] > 0.9
    assert np.std(total) == pytest.approx(np.std(pseudo), rel=0.25)


def test_the_standard_error_of_transport_is_that_of_repeated_samples():
    rng = np.random.default_rng(8)
    estimates = [metrics_of(rng) for _ in range(120)]
    for name in ("species_w1", "sliced_w2", "joint_w1", "energy_distance", "mmd_median"):
        spread = np.std([one[name].value for one in estimates], ddof=1)
        told = np.sqrt(np.mean([one[name].model.var() / 80 + one[name].data.var() / 80 for one in estimates]))
        assert told == pytest.approx(spread, rel=0.25)


def metrics_of(rng: np.random.Generator) -> dict[str, metrics.Estimate]:
    x, y = rng.standard_normal((80, 2)), rng.normal([1.5, 0.5], 1.0, (80, 2))
    return {
        name: METRICS[name].estimate(x, y)
        for name in ("species_w1", "sliced_w2", "joint_w1", "energy_distance", "mmd_median")
    }


def test_more_groups_than_samples_are_refused():
    x, y = clouds(10, 10)
    with pytest.raises(InputError, match="cannot be put into 11 groups"):
        METRICS["species_w1"].estimate(x, y).grouped(11)


def test_metrics_for_counts_are_left_out_for_continuous_data():
    assert [metric.name for metric in applicable(COUNTS)] == list(METRICS)
    names = [metric.name for metric in applicable((Kind.COUNTS, Kind.CONTINUOUS))]
    assert "joint_w1" in names
    assert not {"paper_w1", "paper_jsd"} & set(names)
    with pytest.raises(InputError, match=r"`paper_w1` needs counts.*species_w1"):
        applicable((Kind.CONTINUOUS,), ["paper_w1"])
    with pytest.raises(InputError, match=r"`w3` is not known.*joint_w1"):
        applicable(COUNTS, ["w3"])


@pytest.mark.parametrize(
    ("method", "w", "jsd"),
    [
        pytest.param("nearest", 0.077, 0.025, marks=pytest.mark.slow),
        pytest.param("mixture", 0.060, 0.016, marks=pytest.mark.slow),
        ("mccann", 0.036, 0.0056),
        pytest.param("bridge", 0.033, 0.0043, marks=pytest.mark.slow),
    ],
)
def test_baselines_score_what_was_measured_on_the_papers_epidemic(shared_data: Path, method, w, jsd):
    data = np.load(shared_data / "epidemic" / "trajectories.npy")
    seen = Snapshots(np.arange(0.0, 101, 10), tuple(data[:, t] for t in range(0, 101, 10)))
    drawn = [baselines(seen)[method].sample(np.arange(1.0, 101), 1000, seed) for seed in range(3)]
    scores = [
        [METRICS[name](x, data[:, t + 1]) for samples in drawn for t, x in enumerate(samples)]
        for name in ("paper_w1", "paper_jsd")
    ]
    assert np.mean(scores[0]) == pytest.approx(w, rel=0.03)
    assert np.mean(scores[1]) == pytest.approx(jsd, rel=0.04)
