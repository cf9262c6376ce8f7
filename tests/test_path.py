"""The clock, the control path and reference paths."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.spatial.distance import pdist

from weightflow.anchors import Anchors
from weightflow.errors import InputError
from weightflow.path import Clock, ControlPath, Projection, ReferencePath, project, reference


def anchors(n: int = 6) -> Anchors:
    rng = np.random.default_rng(0)
    return Anchors(np.cumsum(rng.uniform(1, 3, n)), rng.normal(size=(n, 4, 3)).astype(np.float32))


def test_the_uniform_clock_runs_from_zero_to_one_and_on() -> None:
    clock = Clock.uniform(10.0, 30.0)
    np.testing.assert_allclose(clock(np.array([10.0, 15.0, 30.0, 50.0])), [0.0, 0.25, 1.0, 2.0])


@pytest.mark.parametrize("stretch", [0.0, 0.5, 0.9])
def test_a_clock_by_length_increases_from_zero_to_one_and_on(stretch: float) -> None:
    a = anchors()
    clock = Clock.by_length(a.times, a.tokens, stretch)
    assert (np.diff(clock(np.linspace(a.times[0] - 1, a.times[-1] + 5, 200))) > 0).all()
    np.testing.assert_allclose(clock(a.times[[0, -1]]), [0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(clock(a.times), clock.marks)


def relaxing(times: np.ndarray, rate: float) -> np.ndarray:
    """Return a path whose speed falls off exponentially."""
    return -np.exp(-rate * times)[:, None, None] * np.ones((1, 2, 3))


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e5])
@pytest.mark.parametrize("rate", [0.0001, 0.5, 3.0])
def test_beyond_its_span_a_clock_goes_on_as_a_path_does_that_slows_down(rate: float, unit: float) -> None:
    times = np.linspace(2.0, 4.0, 400)
    clock = Clock.by_length(unit * times, relaxing(times, rate), stretch=0.999)
    speed = rate * np.exp(-rate * 4.0) / (np.exp(-rate * 2.0) - np.exp(-rate * 4.0))
    assert clock(np.array([unit * 5.0]))[0] == pytest.approx(1 + speed, rel=2e-3)


def test_a_path_that_turns_off_at_its_free_end_does_not_speed_the_clock_up() -> None:
    times = np.linspace(0.0, 1.0, 400)
    smooth, kicked = relaxing(times, 1.0), relaxing(times, 1.0)
    kicked[times > 0.98, 0, 0] += 2 * (times[times > 0.98] - 0.98)
    even, fast = (Clock.by_length(times, path, stretch=0.9) for path in (smooth, kicked))
    last = np.diff(fast.marks)[-1] / np.diff(times)[-1]
    assert last > 2 * even.rate
    assert fast.rate == pytest.approx(even.rate, rel=0.15)


def test_a_clock_through_few_anchors_goes_on_as_in_its_last_stretch() -> None:
    a = anchors(4)
    clock = Clock.by_length(a.times, a.tokens, 0.9)
    assert clock.rate == pytest.approx(np.diff(clock.marks)[-1] / np.diff(a.times)[-1])


def test_a_fully_stretched_clock_gives_time_by_length() -> None:
    tokens = np.array([0.0, 1.0, 4.0])[:, None, None] * np.ones((1, 1, 1))
    clock = Clock.by_length(np.array([0.0, 1.0, 2.0]), tokens, stretch=1.0)
    np.testing.assert_allclose(clock(np.array([0.0, 1.0, 2.0])), [0.0, 0.25, 1.0])


def test_the_control_path_is_the_natural_cubic_spline() -> None:
    marks, values = np.array([0.0, 0.2, 0.5, 0.6, 1.0]), np.random.default_rng(0).normal(size=(5, 2))
    path = ControlPath(torch.tensor(marks), torch.tensor(values))
    t = np.linspace(0, 1, 41)
    expected = CubicSpline(marks, values, bc_type="natural")(t, 1)
    np.testing.assert_allclose(path.derivative(torch.tensor(t)).numpy(), expected, atol=1e-10)


def test_outside_its_interval_the_control_path_goes_on_in_a_straight_line_as_if_it_were_extended() -> None:
    path = ControlPath(torch.tensor([0.0, 0.4, 1.0]), torch.tensor([[0.0], [2.0], [1.0]]))
    extended = path.extended(1.5)
    slope = path.derivative(torch.tensor([1.0]))
    torch.testing.assert_close(path.derivative(torch.tensor([1.2, 9.0])), slope.expand(2, 1))
    first = path.derivative(torch.tensor([0.0]))
    torch.testing.assert_close(path.derivative(torch.tensor([-0.3])), first)
    torch.testing.assert_close(
        extended.derivative(torch.tensor([1.0, 1.2, 1.5])), slope.expand(3, 1), atol=1e-4, rtol=0
    )
    inside = torch.linspace(0, 1, 11)
    torch.testing.assert_close(extended.derivative(inside), path.derivative(inside), atol=1e-4, rtol=0)


@pytest.mark.parametrize("z_dim", [1, 2])
@pytest.mark.parametrize("projection", list(Projection))
def test_projected_anchors_are_centred_of_unit_size_and_reproducible(projection: Projection, z_dim: int) -> None:
    a = anchors()
    z = project(a.tokens, z_dim, projection, seed=3)
    assert z.shape == (6, z_dim)
    np.testing.assert_allclose([z.mean(), z.std()], [0.0, 1.0], atol=1e-5)
    np.testing.assert_array_equal(z, project(a.tokens, z_dim, projection, seed=3))


@pytest.mark.parametrize("projection", list(Projection))
def test_anchors_on_a_line_keep_their_order_and_the_channel_grows_with_it(projection: Projection) -> None:
    tokens = (np.arange(5.0)[:, None, None] * np.ones((1, 2, 3))).astype(np.float32)
    z = project(-tokens, 1, projection, seed=0)[:, 0]
    assert (np.diff(z) > 0).all()


@pytest.mark.parametrize("projection", [Projection.PCA, Projection.MDS, Projection.ISOMAP])
def test_turning_all_anchors_over_changes_no_projection(projection: Projection) -> None:
    tokens = anchors().tokens
    mirrored = np.ascontiguousarray(-tokens[:, ::-1])
    z, again = (project(x, 2, projection, seed=0) for x in (tokens, mirrored))
    np.testing.assert_allclose(z, again, atol=1e-4)


def test_mds_keeps_the_distances_of_anchors_that_lie_in_a_plane() -> None:
    rng = np.random.default_rng(1)
    plane = rng.normal(size=(7, 2)) @ np.linalg.qr(rng.normal(size=(12, 2)))[0].T
    z = project(plane.reshape(7, 4, 3).astype(np.float32), 2, Projection.MDS, seed=0)
    ratio = pdist(z) / pdist(plane)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)


def test_mds_has_less_stress_than_principal_components() -> None:
    tokens = anchors(8).tokens
    flat = tokens.reshape(8, -1).astype(float)

    def stress(z: np.ndarray) -> float:
        near, far = pdist(z), pdist(flat)
        scale = near @ far / (near @ near)
        return float(((scale * near - far) ** 2).sum())

    assert stress(project(tokens, 1, Projection.MDS, 0)) < stress(project(tokens, 1, Projection.PCA, 0))


def test_isomap_unrolls_an_arc_that_pca_folds() -> None:
    angle = np.linspace(0, 1.8 * np.pi, 25)
    arc = np.stack([np.cos(angle), np.sin(angle)], 1)[:, :, None].astype(np.float32)
    unrolled = project(arc, 1, Projection.ISOMAP, seed=0, neighbours=2)[:, 0]
    assert np.corrcoef(unrolled, angle)[0, 1] > 0.9999
    assert not (np.diff(project(arc, 1, Projection.PCA, seed=0)[:, 0]) > 0).all()


@pytest.mark.parametrize("projection", list(Projection))
def test_more_channels_than_anchors_allow_are_refused(projection: Projection) -> None:
    with pytest.raises(InputError, match=r"needs at least 4 anchors and there are 3; lower `dynamics.z_dim`"):
        project(anchors(3).tokens, 3, projection, seed=0)


def test_isomap_refuses_more_neighbours_than_there_are_and_anchors_in_separate_groups() -> None:
    with pytest.raises(InputError, match=r"at least 6 anchors and there are 5; lower `dynamics.neighbours`"):
        project(anchors(5).tokens, 1, Projection.ISOMAP, seed=0, neighbours=5)
    apart = np.array([0.0, 0.1, 0.2, 9.0, 9.1, 9.2], dtype=np.float32)[:, None, None]
    with pytest.raises(InputError, match=r"2 separate groups; raise `dynamics.neighbours`"):
        project(apart, 1, Projection.ISOMAP, seed=0, neighbours=1)


def test_a_reference_path_meets_the_anchors_and_its_velocity_is_its_derivative() -> None:
    a = anchors()
    path = ReferencePath.through(a, stretch=0.3)
    marks = np.rint(path.clock(a.times) * (len(path.marks) - 1)).astype(int)
    np.testing.assert_allclose(path.tokens[marks], a.tokens, atol=0.03)
    numeric = np.gradient(path.tokens.astype(float), path.marks, axis=0)[2:-2]
    np.testing.assert_allclose(path.velocity[2:-2], numeric, atol=0.05 * np.abs(numeric).max())


def test_a_table_is_the_cubic_spline_through_all_points_however_many_weights_are_splined_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = np.linspace(0.0, 3.0, 500) ** 1.5
    tokens = np.sin(times[:, None, None] * np.arange(1.0, 13.0).reshape(1, 4, 3)).astype(np.float32)
    whole = ReferencePath.of_table(times, tokens, stretch=0.5)
    spline = CubicSpline(whole.clock(times), tokens.astype(np.float64))
    np.testing.assert_allclose(whole.tokens, spline(whole.marks), atol=1e-6)
    np.testing.assert_allclose(whole.velocity, spline(whole.marks, 1), rtol=1e-5, atol=1e-4)
    monkeypatch.setattr(reference, "MAX_VALUES", 1)
    in_parts = ReferencePath.of_table(times, tokens, stretch=0.5)
    np.testing.assert_array_equal(in_parts.tokens, whole.tokens)
    np.testing.assert_array_equal(in_parts.velocity, whole.velocity)


def test_making_a_reference_takes_little_more_memory_than_what_it_returns() -> None:
    times, tokens = np.linspace(0.0, 1.0, 513), np.random.default_rng(0).normal(size=(513, 100, 200)).astype(np.float32)
    tracemalloc.start()
    try:
        path = ReferencePath.of_table(times, tokens, stretch=0.5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    returned = path.tokens.nbytes + path.velocity.nbytes
    assert returned < 1.1 * tokens.nbytes
    assert peak < returned + 4 * 8 * reference.MAX_VALUES
