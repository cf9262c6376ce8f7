"""Bridges have the moments and curves that they promise, couplings are optimal, and the choice follows the data."""

import itertools

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline, CubicSpline, PchipInterpolator
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from weightflow.bridge import (
    Bridge,
    BridgeOptions,
    Chain,
    Coupling,
    CouplingKind,
    Curve,
    Pace,
    Spread,
    build_bridge,
    chain,
    choose_bridge,
    couple,
)
from weightflow.bridge.curves import bends
from weightflow.data import Snapshots
from weightflow.errors import InputError

N = 700
CURVES = [curve for curve in Curve if curve is not Curve.AUTO]
THROUGH = [
    curve for curve in CURVES if curve not in {Curve.DRIFT, Curve.JUMP}
]  # those through couplings that are there
PLANS = {
    "exact": BridgeOptions(curve=Curve.STRAIGHT, coupling=CouplingKind.EXACT),
    "minibatch": BridgeOptions(curve=Curve.STRAIGHT, coupling=CouplingKind.MINIBATCH),
    "entropic": BridgeOptions(curve=Curve.STRAIGHT, coupling=CouplingKind.ENTROPIC),
    "unbalanced": BridgeOptions(curve=Curve.STRAIGHT, unbalanced=1.0),
}


def straight(width: float = 1.0) -> BridgeOptions:
    return BridgeOptions(curve=Curve.STRAIGHT, width=width, spread=Spread.DISPLACEMENT)


def along(curve: Curve) -> BridgeOptions:
    return BridgeOptions(curve=curve, width=0.0)


def gaussian_snapshots() -> Snapshots:
    rng = np.random.default_rng(0)
    start = rng.normal([0.0, 5.0], [1.0, 2.0], (N, 2))
    stop = rng.normal([8.0, 1.0], [3.0, 0.5], (N, 2))
    return Snapshots(np.array([0.0, 10.0]), (start, stop))


def particles(positions: np.ndarray, times: np.ndarray) -> Snapshots:
    """Well separated particles on a line, (time, particle), in another order at each time."""
    rng = np.random.default_rng(0)
    return Snapshots(times, tuple(rng.permutation(row)[:, None] for row in positions))


def moving(mean: np.ndarray, times: np.ndarray, n: int = 300, noise: float = 1.0) -> Snapshots:
    """Independent Gaussian clouds around a mean path in two dimensions."""
    rng = np.random.default_rng(0)
    return Snapshots(times, tuple(rng.normal(at, noise, (n, 2)) for at in mean))


@pytest.mark.parametrize("s", [0.1, 0.5, 0.8])
def test_the_mean_moves_in_a_straight_line_and_width_one_grows_the_covariance_linearly(s: float) -> None:
    snapshots = gaussian_snapshots()
    start, stop = snapshots.samples
    drawn = Bridge.between(snapshots, straight()).sample(np.array([10 * s]), 40_000, np.random.default_rng(1))[0]
    np.testing.assert_allclose(drawn.mean(0), (1 - s) * start.mean(0) + s * stop.mean(0), atol=0.06)
    expected = (1 - s) * np.cov(start.T) + s * np.cov(stop.T)
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.03 * expected.max())


def test_width_zero_is_the_displacement_interpolation_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    start, stop = np.sort(rng.normal(0, 1, (N, 1)), 0), np.sort(rng.normal(5, 3, (N, 1)), 0)
    bridge = Bridge.between(Snapshots(np.array([0.0, 1.0]), (start, stop)), straight(0.0))
    np.testing.assert_allclose(np.sort(bridge.sample(np.array([0.5]), N, rng)[0], 0), (start + stop) / 2, atol=1e-9)


@pytest.mark.parametrize("curve", CURVES)
def test_at_the_snapshots_the_samples_are_the_data(curve: Curve) -> None:
    times = np.array([0.0, 1.0, 4.0, 5.0])
    snapshots = moving(np.array([[0.0, 0.0], [3.0, 1.0], [2.0, 5.0], [0.0, 0.0]]), times)
    drawn = Bridge.between(snapshots, BridgeOptions(curve=curve, drift_steps=5)).sample(
        times, 300, np.random.default_rng(2)
    )
    for cloud, samples in zip(drawn, snapshots.samples, strict=True):
        np.testing.assert_allclose(np.sort(cloud[:, 0]), np.sort(samples[:, 0]))


@pytest.mark.parametrize("name", PLANS)
def test_samples_at_the_snapshots_are_the_data_whatever_the_coupling(name: str) -> None:
    snapshots = moving(np.array([[0.0, 0.0], [3.0, 1.0], [2.0, 5.0]]), np.arange(3.0), n=60)
    drawn = Bridge.between(snapshots, PLANS[name]).sample(snapshots.times, 60, np.random.default_rng(2))
    for cloud, samples in zip(drawn, snapshots.samples, strict=True):
        np.testing.assert_allclose(np.sort(cloud[:, 0]), np.sort(samples[:, 0]))


@pytest.mark.parametrize("curve", THROUGH)
def test_particles_that_move_steadily_do_so_on_every_curve(curve: Curve) -> None:
    times = np.array([0.0, 1.0, 3.0, 4.0, 8.0])
    lines = np.array([0.0, 100.0, 250.0])[None] + times[:, None] * np.array([1.0, 2.0, -1.5])
    at = np.linspace(0.0, 8.0, 17)
    drawn = Bridge.between(particles(lines, times), along(curve)).sample(at, 3, np.random.default_rng(0))
    expected = np.array([0.0, 100.0, 250.0])[None] + at[:, None] * np.array([1.0, 2.0, -1.5])
    np.testing.assert_allclose(np.sort(drawn[:, :, 0]), expected, atol=1e-9)


@pytest.mark.parametrize(("curve", "n"), [(Curve.CUBIC, 7), (Curve.CUBIC, 4), (Curve.PCHIP, 5), (Curve.DAMPED, 6)])
def test_each_particle_follows_scipys_spline_through_its_chained_positions(curve: Curve, n: int) -> None:
    times = np.cumsum(np.random.default_rng(1).uniform(0.5, 2.0, n))
    paths = np.random.default_rng(2).uniform(0, 10, (n, 3)) + np.array([0.0, 100.0, 200.0])
    at = np.linspace(times[0], times[-1], 40)
    cubic = CubicSpline(times, paths, bc_type="not-a-knot" if n >= 6 else "natural")(at)
    line = np.stack([np.interp(at, times, path) for path in paths.T], axis=1)
    expected = {Curve.CUBIC: cubic, Curve.PCHIP: PchipInterpolator(times, paths)(at), Curve.DAMPED: (cubic + line) / 2}
    drawn = Bridge.between(particles(paths, times), along(curve)).sample(at, 3, np.random.default_rng(0))
    np.testing.assert_allclose(np.sort(drawn[:, :, 0]), expected[curve], atol=1e-9)


@pytest.mark.parametrize("curve", [Curve.SHIFT_PCHIP, Curve.SHIFT_BOUNDED])
def test_a_shift_moves_the_whole_straight_cloud_to_the_spline_of_the_means(curve: Curve) -> None:
    times = np.arange(6.0)
    snapshots = moving(
        np.stack([30 * np.exp(0.2 * times), -10 * times], axis=1), times
    )  # so steady that no slope is bounded
    means = np.stack([cloud.mean(0) for cloud in snapshots.samples])
    at = np.linspace(0.0, 5.0, 21)
    line = Bridge.between(snapshots, straight(0.0)).sample(at, 300, np.random.default_rng(0))
    shifted = Bridge.between(snapshots, along(curve)).sample(at, 300, np.random.default_rng(0))
    spline = PchipInterpolator(times, means) if curve.monotone else CubicSpline(times, means)
    shift = spline(at) - line.mean(1)
    np.testing.assert_allclose(shifted, line + shift[:, None], atol=1e-9)


def test_slopes_of_the_bounded_cubic_are_at_most_half_more_than_the_smaller_one_beside_them() -> None:
    """The secants are 4, 1, 0.5 and -0.05: bounds at the knots are 6, 1.5, 0.75, 0.075 and 0.075."""
    times, means = np.array([0.0, 1.0, 2.0, 4.0, 24.0]), np.array([0.5, 4.5, 5.5, 6.5, 5.5])
    snapshots = Snapshots(times, tuple(np.array([[mean]]) for mean in means))
    cubic = CubicSpline(times, means, bc_type="natural")(times, 1)
    assert cubic == pytest.approx([4.762, 2.476, 0.335, 0.538, -0.344], abs=1e-3)
    expected = np.array([cubic[0], 1.5, cubic[2], 0.075, -0.075])
    at = np.linspace(0.0, 24.0, 97)
    drawn = Bridge.between(snapshots, along(Curve.SHIFT_BOUNDED)).sample(at, 1, np.random.default_rng(0))[:, 0, 0]
    hermite = CubicHermiteSpline(times, means, expected)
    np.testing.assert_allclose(drawn, hermite(at), atol=1e-9)
    assert drawn.max() < 6.7  # the cubic itself rises to 8.4 in the long gap


def test_the_order_of_the_samples_means_nothing() -> None:
    rng = np.random.default_rng(3)
    snapshots = moving(np.array([[0.0, 0.0], [3.0, 1.0], [2.0, 5.0], [0.0, 0.0]]), np.arange(4.0), n=100)
    mixed = Snapshots(snapshots.times, tuple(rng.permutation(cloud) for cloud in snapshots.samples))
    a, b = (
        Bridge.between(given, along(Curve.PCHIP)).sample(np.array([1.3]), 100, rng)[0] for given in (snapshots, mixed)
    )
    np.testing.assert_allclose(np.sort(a, axis=0), np.sort(b, axis=0), atol=1e-9)


def test_the_same_seed_gives_the_same_bridge() -> None:
    first, second = (
        Bridge.between(gaussian_snapshots(), PLANS["entropic"], 5).sample(np.array([3.0]), 9, np.random.default_rng(0))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("spread", Spread)
def test_from_a_point_start_counts_spread_as_a_brownian_bridge_does(spread: Spread) -> None:
    rng = np.random.default_rng(0)
    start, stop = np.full((N, 1), 50.0), rng.poisson(30.0, (N, 1)).astype(float)
    options = BridgeOptions(curve=Curve.STRAIGHT, spread=spread)
    bridge = Bridge.between(Snapshots(np.array([0.0, 1.0]), (start, stop)), options)
    drawn = bridge.sample(np.array([0.5]), 40_000, rng)[0]
    assert np.array_equal(drawn, np.rint(drawn))
    np.testing.assert_allclose(drawn.mean(), (50 + stop.mean()) / 2, atol=0.1)
    np.testing.assert_allclose(drawn.var(), 0.5 * stop.var() + 1 / 6, rtol=0.03)  # the rounding adds at most 1/4


@pytest.mark.parametrize("s", [0.2, 0.5, 0.8])
def test_few_molecules_that_come_up_from_none_keep_the_mean_of_their_path(s: float) -> None:
    """Noise that is cut at zero alone gives the rarest of these 3.6 times their mean at s = 0.2."""
    rng = np.random.default_rng(0)
    stop = rng.poisson([0.1, 0.5, 20.0], (N, 3)).astype(float)
    bridge = Bridge.between(Snapshots(np.array([0.0, 1.0]), (np.zeros((N, 3)), stop)), straight())
    drawn = bridge.sample(np.array([s]), 40_000, rng)[0]
    assert bridge.noise.any()
    assert np.array_equal(drawn, np.rint(drawn))
    error = 4 * drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - s * stop.mean(axis=0)) < error).all()
    np.testing.assert_allclose(drawn[:, 2].var(), s * stop[:, 2].var(), rtol=0.1)  # far from zero nothing is cut


def test_a_constant_species_stays_itself_and_a_small_one_is_not_drowned_by_a_large_one() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([1e9, 1e-3])
    clouds = [np.insert(rng.normal(0.0, size, (N, 2)) * sizes, 2, 0.1, axis=1) for size in (1.0, 2.0)]
    bridge = Bridge.between(Snapshots(np.array([0.0, 1.0]), tuple(clouds)), straight())
    drawn = bridge.sample(np.array([0.5]), 40_000, rng)[0]
    np.testing.assert_allclose(drawn[:, 2], 0.1, rtol=1e-14)
    np.testing.assert_allclose(drawn[:, :2].var(0), sum(cloud[:, :2].var(0) for cloud in clouds) / 2, rtol=0.05)


def test_a_cloud_that_does_not_grow_gains_no_spread() -> None:
    rng = np.random.default_rng(0)
    clouds = rng.normal(0, 2, (N, 3)), rng.normal(5, 1.5, (N, 3))
    bridge = Bridge.between(Snapshots(np.array([0.0, 1.0]), clouds), BridgeOptions(curve=Curve.STRAIGHT))
    assert not bridge.noise.any()


@pytest.mark.parametrize("curve", CURVES)
def test_counts_stay_in_the_range_of_the_data(curve: Curve) -> None:
    rng = np.random.default_rng(0)
    clouds = tuple(rng.integers(low, low + 3, (200, 2)).astype(float) for low in (0, 9, 0, 9))
    bridge = Bridge.between(Snapshots(np.arange(4.0), clouds), BridgeOptions(curve=curve, width=2.0, drift_steps=5))
    drawn = bridge.sample(np.linspace(0, 3, 31), 500, rng)
    assert drawn.min() == 0
    assert drawn.max() == 11
    assert np.array_equal(drawn, np.rint(drawn))


def test_the_exact_coupling_is_the_best_assignment() -> None:
    rng = np.random.default_rng(0)
    start, stop = rng.normal(size=(200, 3)), rng.normal(2.0, 3.0, size=(200, 3))
    coupling = couple(start, stop, PLANS["exact"], seed=0)
    assert transport_cost(coupling, start, stop) == pytest.approx(assignment_cost(start, stop), rel=1e-9)
    assert coupling.one_to_one


def test_minibatches_pair_every_point_once_at_little_more_than_the_best_price() -> None:
    rng = np.random.default_rng(0)
    start, stop = rng.normal(size=(1200, 2)), rng.normal(3.0, 2.0, size=(1200, 2))
    coupling = couple(start, stop, PLANS["minibatch"], seed=0)
    assert coupling.one_to_one
    assert set(coupling.forward) == set(range(1200))
    blocks, best = transport_cost(coupling, start, stop), assignment_cost(start, stop)
    assert best < blocks < 1.05 * best


def test_entropic_couplings_tend_to_the_exact_one() -> None:
    rng = np.random.default_rng(0)
    start, stop = rng.normal(size=(200, 2)), rng.normal(2.0, 3.0, size=(200, 2))
    excess = [
        transport_cost(
            couple(start, stop, BridgeOptions(coupling=CouplingKind.ENTROPIC, entropy=price), 0), start, stop
        )
        - assignment_cost(start, stop)
        for price in (1.0, 0.1, 0.01)
    ]
    assert excess[0] > 3 * excess[1] > 9 * abs(excess[2])


def test_where_one_of_two_groups_grew_unbalanced_partners_stay_in_their_group() -> None:
    rng = np.random.default_rng(0)
    group = [np.repeat([0, 1], sizes) for sizes in ([150, 150], [200, 100])]
    start, stop = (rng.normal(20.0 * members[:, None], 1.0, (300, 2)) for members in group)
    crossing = {
        name: [
            (group[0] != group[1][coupling.forward]).mean(),
            (group[1] != group[0][coupling.backward]).mean(),
        ]
        for name, options in {"balanced": BridgeOptions(), "unbalanced": BridgeOptions(unbalanced=0.1)}.items()
        for coupling in [couple(start, stop, options, seed=0)]
    }
    np.testing.assert_allclose(crossing["balanced"], 50 / 300)
    np.testing.assert_allclose(crossing["unbalanced"], 0.0)


def test_an_unbalanced_coupling_cannot_be_exact() -> None:
    cloud = np.zeros((3, 1))
    with pytest.raises(InputError, match=r"`unbalanced`=1 needs an entropic plan.*choose `entropic` or `auto`"):
        couple(cloud, cloud, BridgeOptions(unbalanced=1.0, coupling=CouplingKind.EXACT), seed=0)


def test_clouds_of_different_sizes_are_used_whole() -> None:
    rng = np.random.default_rng(0)
    sizes = (30, 70, 50)
    snapshots = Snapshots(np.arange(3.0), tuple(rng.normal(size=(size, 2)) for size in sizes))
    bridge = Bridge.between(snapshots, along(Curve.PCHIP))
    drawn = bridge.sample(snapshots.times, len(bridge.chain.clouds[0]), rng)
    assert [len(np.unique(cloud.round(9), axis=0)) for cloud in drawn] == list(sizes)


def test_each_sample_stands_for_as_much_as_any_other_where_clouds_differ_in_size() -> None:
    snapshots = Snapshots(np.arange(3.0), tuple(np.arange(float(size))[:, None] for size in (8, 12, 5)))
    bridge = Bridge.between(snapshots, straight())
    drawn = bridge.sample(snapshots.times, len(bridge.chain.clouds[0]), np.random.default_rng(0))
    for draws, cloud in zip(drawn, snapshots.samples, strict=True):
        counts = np.unique_counts(draws.round(9)).counts
        assert len(counts) == len(cloud)
        assert counts.max() / counts.min() < 1.02


def test_where_particles_curve_each_by_itself_they_are_given_a_curve_of_their_own() -> None:
    """One half goes up and down again, the other down and up: the mean, which a shift follows, stays where it is."""
    times = np.linspace(0.0, 1.0, 8)
    up, down = (np.stack([100 * times, side * (1000 + 400 * times * (1 - times))], axis=1) for side in (1, -1))
    pairs = zip(moving(up, times).samples, moving(down, times).samples, strict=True)
    snapshots = Snapshots(times, tuple(np.concatenate(pair) for pair in pairs))
    chosen = choose_bridge(snapshots, BridgeOptions(drift_steps=0)).options.curve
    assert chosen in {Curve.CUBIC, Curve.PCHIP, Curve.DAMPED}


def test_a_steady_path_is_given_no_curve_that_leaves_it_and_what_was_compared_is_said() -> None:
    times = np.linspace(0.0, 1.0, 7)
    straight_on = moving(np.stack([9 * times, -9 * times], axis=1), times)
    choice = choose_bridge(straight_on, BridgeOptions(width=0.5, drift_steps=0))
    assert choice.options.curve in {choice.candidates[0], Curve.STRAIGHT}
    assert choice.options.width == 0.5
    assert choice.scores.shape == (len(choice.candidates), 5)
    assert list(choice.times) == list(times[1:-1])


@pytest.mark.parametrize("seed", range(3))
def test_times_at_rest_where_chance_decides_do_not_outweigh_those_where_a_curve_is_better(seed: int) -> None:
    """Mass passes to a cloud ten away over four intervals; over four more nothing happens, and all curves are level."""
    rng = np.random.default_rng(seed)
    shares = [0.02, 0.2, 0.4, 0.6, *[0.8] * 5]
    clouds = [10.0 * (np.arange(200) < 200 * share)[:, None] + rng.normal(size=(200, 2)) for share in shares]
    choice = choose_bridge(Snapshots(np.arange(9.0), tuple(clouds)), BridgeOptions(drift_steps=0))
    assert choice.options.curve is Curve.JUMP


def test_a_path_that_jumps_to_and_fro_is_given_no_curve_that_overshoots() -> None:
    times = np.arange(9.0)
    jumps = np.stack([20.0 * (-1.0) ** times, 0 * times], axis=1)
    chosen = choose_bridge(moving(jumps, times), BridgeOptions(drift_steps=0)).options.curve
    assert chosen in {Curve.STRAIGHT, Curve.SHIFT_PCHIP, Curve.PCHIP, Curve.JUMP}


def test_where_mass_passes_from_one_state_to_another_nobody_is_on_the_way() -> None:
    """Two clouds ten apart, the second holding 0.02 + 0.16 t of all: what moves particles puts them between the two."""
    times, rng = np.arange(7.0), np.random.default_rng(0)

    def cloud(share: float) -> np.ndarray:
        return 10.0 * (np.arange(400) < 400 * share)[:, None] + rng.normal(size=(400, 2))

    snapshots = Snapshots(times, tuple(cloud(0.02 + 0.16 * time) for time in times))
    bridge = build_bridge(snapshots, BridgeOptions(drift_steps=0))
    assert bridge.options.curve is Curve.JUMP
    drawn = drawn_of(bridge, 40_000)
    far = drawn.mean(axis=1) > 5
    assert far.mean() == pytest.approx(0.54, abs=0.01)
    np.testing.assert_allclose(drawn[far].mean(axis=0), 10.0, atol=0.15)
    np.testing.assert_allclose(drawn[far].var(axis=0), 1.0, rtol=0.15)
    again = Bridge.of_arrays(bridge.arrays(), snapshots, BridgeOptions())
    np.testing.assert_array_equal(drawn_of(again, 9), drawn_of(bridge, 9))


def drawn_of(bridge: Bridge, n: int) -> np.ndarray:
    return bridge.sample(np.array([3.25]), n, np.random.default_rng(1))[0]


def test_a_named_curve_is_kept_and_between_two_snapshots_it_is_straight() -> None:
    assert choose_bridge(gaussian_snapshots(), along(Curve.CUBIC)).options == along(Curve.CUBIC)
    assert build_bridge(gaussian_snapshots(), BridgeOptions()).options.curve is Curve.STRAIGHT


def test_a_curve_must_be_chosen_before_a_bridge_is_built() -> None:
    with pytest.raises(InputError, match="let `build_bridge` choose"):
        Bridge.between(gaussian_snapshots(), BridgeOptions())


def test_a_time_outside_the_snapshots_is_refused() -> None:
    with pytest.raises(InputError, match=r"span \[0, 10\]; ask inside"):
        Bridge.between(gaussian_snapshots(), straight()).sample(np.array([10.5]), 3, np.random.default_rng(0))


def test_the_choice_couples_each_interval_once_and_a_fixed_number_of_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []

    def counted(start: np.ndarray, stop: np.ndarray, options: BridgeOptions, seed: int) -> Coupling:
        computed.append(len(start))
        return couple(start, stop, options, seed)

    monkeypatch.setattr(chain, "couple", counted)
    for n in (10, 40, 80):
        computed.clear()
        times = np.linspace(0.0, 1.0, n)
        choice = choose_bridge(moving(np.stack([times, times], axis=1), times, n=20), BridgeOptions(drift_steps=0))
        left_out = min(n - 2, 24)
        assert len(computed) == n - 1 + left_out
        assert choice.scores.shape == (len(choice.candidates), left_out)
        assert (np.diff(choice.times) > 0).all()
        assert [choice.times[0], choice.times[-1]] == [times[1], times[-2]]


@pytest.mark.parametrize("name", ["exact", "entropic"])
def test_a_particle_followed_only_nearby_bends_as_one_followed_through_all_snapshots(name: str) -> None:
    n = 40
    times = np.cumsum(np.random.default_rng(1).uniform(0.5, 2.0, n))
    snapshots = moving(np.stack([np.sin(times), times], axis=1), times, n=15)
    joined = Chain.through(snapshots, PLANS[name], 0)
    for curve, k in itertools.product((Curve.PCHIP, Curve.CUBIC, Curve.DAMPED), (0, 1, 20, n - 3, n - 2)):
        sides = bends(curve, joined, [k])[:, 0]
        assert len(sides) == (1 if name == "exact" else 2)
        for side, found in enumerate(sides):
            track = joined.track(k + side, slice(0, n))
            spline = PchipInterpolator(times, track) if curve.monotone else CubicSpline(times, track)
            slopes = spline.derivative()(times[k : k + 2])
            expected = curve.share * ((times[k + 1] - times[k]) * slopes - (track[k + 1] - track[k]))
            np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("curve", "share"), [(Curve.SHIFT_BOUNDED, 0.04), (Curve.CUBIC, 4.0)])
def test_what_a_bridge_keeps_beside_its_clouds_grows_with_the_data_alone(curve: Curve, share: float) -> None:
    times = np.arange(40.0)
    snapshots = moving(np.stack([times, times], axis=1), times, n=50)
    for options in (BridgeOptions(curve=curve), BridgeOptions(curve=curve, coupling=CouplingKind.ENTROPIC)):
        bridge = Bridge.between(snapshots, options)
        assert bridge.chain.one_to_one == (options.coupling is CouplingKind.AUTO)
        assert bridge.bends.nbytes <= share * bridge.chain.clouds.nbytes


def transport_cost(coupling: Coupling, start: np.ndarray, stop: np.ndarray) -> float:
    return float(squared_distance(start, stop)[np.arange(len(start)), coupling.forward].mean())


def assignment_cost(start: np.ndarray, stop: np.ndarray) -> float:
    cost = squared_distance(start, stop)
    return float(cost[linear_sum_assignment(cost)].mean())


def squared_distance(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    unit = np.concatenate([start, stop]).std(0)
    return cdist(start / unit, stop / unit, "sqeuclidean")


def test_how_far_a_forecast_may_go_is_told_by_the_last_two_intervals() -> None:
    """Shifted copies: their energy distance grows with the square of a small shift, whatever the units are."""
    base = np.random.default_rng(0).normal(size=(500, 2)) * [1.0, 1e6]
    step = np.array([0.1, 0.0])

    def pace(shifts: tuple[float, ...], times: tuple[float, ...]) -> Pace:
        return Pace.of([base + shift * step for shift in shifts], np.array(times, dtype=float))

    even, turned = pace((0, 1, 2), (0, 1, 2)), pace((0, 1, 1.2), (0, 1, 2))
    faster, slowed = pace((0, 1, 2.5), (0, 1, 2)), pace((0, 1, 2), (0, 1, 3))
    assert even.last == pytest.approx(even.before, rel=0.02)
    assert slowed.before == pytest.approx(4 * slowed.last, rel=0.02)  # twice the time at the pace of the first
    assert pace((0, 1, 2), (0, 2, 4)).last == pytest.approx(even.last, rel=1e-9)
    assert pace((0, 1), (0, 1)).before == pace((0, 1), (0, 1)).last
    far = {  # in steps: what nothing speaks for, and what has forecast a snapshot
        even: (1.0, 2.0),
        turned: (0.2, 2.0),  # whatever swings hardly moves where it turns round
        faster: (1.5 * 1.5, 3.0),
        slowed: (1.0, 4.0),
        Pace.of_facts(even.facts()): (1.0, 2.0),
    }
    for one, (alone, trusted_limit) in far.items():
        for trusted, limit in ((False, np.sqrt(1.5) * alone), (True, trusted_limit)):
            assert not one.is_left_behind(base, base + 0.95 * limit * step, trusted)
            assert one.is_left_behind(base, base + 1.05 * limit * step, trusted)
            assert one.is_left_behind(base, base * np.nan, trusted)
