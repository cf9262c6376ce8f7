"""The clock, the control path and reference paths."""

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from weightflow.anchors import Anchors
from weightflow.errors import InputError
from weightflow.path import Clock, ControlPath, Projection, ReferencePath, project


def anchors(n: int = 6) -> Anchors:
    rng = np.random.default_rng(0)
    return Anchors(np.cumsum(rng.uniform(1, 3, n)), rng.normal(size=(n, 4, 3)).astype(np.float32))


def test_the_uniform_clock_runs_from_zero_to_one_and_on() -> None:
    clock = Clock.uniform(10.0, 30.0)
    np.testing.assert_allclose(clock(np.array([10.0, 15.0, 30.0, 50.0])), [0.0, 0.25, 1.0, 2.0])


@pytest.mark.parametrize("stretch", [0.0, 0.5, 0.9])
def test_a_clock_by_length_increases_and_is_undone_by_its_inverse(stretch: float) -> None:
    a = anchors()
    clock = Clock.by_length(a.times, a.tokens, stretch)
    times = np.linspace(a.times[0], a.times[-1] + 5, 200)
    marks = clock(times)
    assert (np.diff(marks) > 0).all()
    np.testing.assert_allclose(clock.physical(marks), times)
    np.testing.assert_allclose(clock(a.times[[0, -1]]), [0.0, 1.0], atol=1e-12)


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


def test_outside_its_interval_the_control_path_refuses_until_it_is_extended_in_a_straight_line() -> None:
    path = ControlPath(torch.tensor([0.0, 0.4, 1.0]), torch.tensor([[0.0], [2.0], [1.0]]))
    with pytest.raises(InputError, match="extend it first"):
        path.derivative(torch.tensor([1.2]))
    extended = path.extended(1.5)
    slope = path.derivative(torch.tensor([1.0]))
    torch.testing.assert_close(
        extended.derivative(torch.tensor([1.0, 1.2, 1.5])), slope.expand(3, 1), atol=1e-4, rtol=0
    )
    inside = torch.linspace(0, 1, 11)
    torch.testing.assert_close(extended.derivative(inside), path.derivative(inside), atol=1e-4, rtol=0)


@pytest.mark.parametrize("projection", list(Projection))
def test_projected_anchors_are_centred_of_unit_size_and_reproducible(projection: Projection) -> None:
    a = anchors()
    z = project(a.tokens, 2, projection, seed=3)
    assert z.shape == (6, 2)
    np.testing.assert_allclose([z.mean(), z.std()], [0.0, 1.0], atol=1e-5)
    np.testing.assert_array_equal(z, project(a.tokens, 2, projection, seed=3))


def test_pca_keeps_the_order_of_anchors_on_a_line() -> None:
    tokens = (np.arange(5.0)[:, None, None] * np.ones((1, 2, 3))).astype(np.float32)
    z = project(tokens, 1, Projection.PCA, seed=0)[:, 0]
    assert (np.diff(z) > 0).all() or (np.diff(z) < 0).all()


def test_more_channels_than_anchors_allow_are_refused() -> None:
    with pytest.raises(InputError, match=r"lower `dynamics.z_dim`"):
        project(anchors(3).tokens, 3, Projection.PCA, seed=0)


def test_a_reference_path_meets_the_anchors_and_its_velocity_is_its_derivative() -> None:
    a = anchors()
    path = ReferencePath.through(a, stretch=0.3)
    marks = np.rint(path.clock(a.times) * (len(path.marks) - 1)).astype(int)
    np.testing.assert_allclose(path.tokens[marks], a.tokens, atol=0.03)
    numeric = np.gradient(path.tokens.astype(float), path.marks, axis=0)[2:-2]
    np.testing.assert_allclose(path.velocity[2:-2], numeric, atol=0.05 * np.abs(numeric).max())
