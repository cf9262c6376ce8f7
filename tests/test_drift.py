"""Drifts that are known are followed exactly, those that are fitted are found, and the choice keeps those that hold."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import model_of, numbers
from scipy.linalg import expm
from test_report import Mover, in_words, make_report
from torch import Tensor

from weightflow import WeightFlow, load
from weightflow.bridge import (
    Bridge,
    BridgeOptions,
    Bridges,
    CouplingKind,
    Curve,
    Forecast,
    build_bridge,
    build_bridges,
    choose_bridge,
    samples_for_fitting,
)
from weightflow.bridge.ahead import Ahead
from weightflow.bridge.chain import Chain
from weightflow.bridge.tried import DRIFT_ROUNDS, Examined, has_room, in_floors
from weightflow.data import Snapshots
from weightflow.drift import Drift, Varied, fit_drifts
from weightflow.errors import InputError
from weightflow.experiment import ExperimentConfig, direct_model, line_model, prepare
from weightflow.experiment.preparation import Preparation
from weightflow.experiment.trial import train
from weightflow.files import read_arrays, write_arrays
from weightflow.model import forecasts_in_words
from weightflow.report.plots.motion import _plane, motion
from weightflow.report.theme import LIGHT
from weightflow.rng import derive_seed
from weightflow.types import Kind

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])
DRIFT = BridgeOptions(curve=Curve.DRIFT)


def linear(matrix: np.ndarray, noise: float, centre: float = 0.0, unit: float = 2.0, span: float = 0.5) -> Drift:
    """f(x) = matrix (x - centre), exactly: silu(z) - silu(-z) = z."""
    dim = len(matrix)
    eye = np.eye(dim)
    both = np.concatenate([eye, -eye], axis=1)
    none = np.zeros((1, 2 * dim))
    units = np.full(dim, noise), np.full(dim, centre), np.full(dim, unit)
    bounds = np.array([np.full(dim, -1e3), np.full(dim, 1e3)])
    half = matrix.T * (span / 2)  # the other half of f is the linear part's
    weights = both, both.T @ both, both.T @ half
    return Drift(weights, (none, none, none[:, :dim]), half, *units, span, np.zeros(dim, dtype=bool), bounds)


def turning(times: np.ndarray, seed: int = 0, n: int = 200, noise: float = 0.1) -> Snapshots:
    """dx = TURN x dt + noise dW from around (3, 0): turned Gaussians, whose variance grows by noise^2 t."""
    rng = np.random.default_rng(seed)
    clouds = [rng.normal(expm(TURN * t) @ [3.0, 0.0], np.sqrt(0.2**2 + noise**2 * t), (n, 2)) for t in times]
    return Snapshots(times, tuple(clouds))


def at_speeds(speeds: Sequence[float], seed: int = 0) -> Snapshots:
    """Clouds that turn at different speeds, each a condition, seen at uneven times."""
    times = np.array([0.0, 0.7, 1.3, 2.2, 3.0, 3.6, 4.5])
    courses = {speed: replace(turning(speed * times, seed + i), times=times) for i, speed in enumerate(speeds)}
    return Snapshots.of_conditions(courses, "speed", {"speed": "linear"})


def test_a_drift_is_given_in_the_units_of_the_data() -> None:
    matrix = np.array([[-0.3, 2.0], [-1.0, 0.7]])
    x = np.random.default_rng(0).normal(5.0, 3.0, (4, 7, 2))
    np.testing.assert_allclose(linear(matrix, 0.0, centre=1.5)(x), (x - 1.5) @ matrix.T, atol=1e-10)


def test_beyond_what_was_seen_a_drift_no_longer_changes() -> None:
    bounded = replace(linear(np.array([[1.0]]), 0.0, unit=1.0), bounds=np.array([[-2.0], [3.0]]))
    np.testing.assert_allclose(bounded(np.array([[-50.0], [1.0], [50.0]])), [[-2.0], [1.0], [3.0]])


def test_particles_follow_the_exact_flow_to_second_order() -> None:
    x = np.random.default_rng(0).normal(0.0, 3.0, (5, 2))
    exact = x @ expm(TURN * 1.2).T
    errors = [np.abs(linear(TURN, 0.0).paths(x, 1.2, np.random.default_rng(0), n)[-1] - exact).max() for n in (8, 16)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)


def test_noise_is_given_by_the_root_of_time() -> None:
    path = linear(np.zeros((1, 1)), 0.6).paths(np.zeros((40_000, 1)), 2.5, np.random.default_rng(0))
    np.testing.assert_allclose(path[-1].var(), 0.6**2 * 2.5, rtol=0.03)
    np.testing.assert_allclose(path[4].var(), 0.6**2 * 1.25, rtol=0.03)


@pytest.mark.parametrize("s", [0.0, 0.06, 0.5, 0.8, 1.0])
def test_without_a_drift_the_path_between_two_points_is_the_brownian_bridge(s: float) -> None:
    ends = Snapshots(np.array([1.0, 3.0]), (np.zeros((600, 1)), np.full((600, 1), 4.0)), kinds=(Kind.CONTINUOUS,))
    bridge = Bridge.between(ends, DRIFT, drift=linear(np.zeros((1, 1)), 0.5))
    drawn = bridge.sample(np.array([1.0 + 2.0 * s]), 20_000, np.random.default_rng(0))[0]
    assert drawn.mean() == pytest.approx(4.0 * s, abs=0.05)
    assert drawn.var() == pytest.approx(0.5**2 * 2.0 * s * (1 - s), rel=0.2, abs=1e-12)


def test_with_the_right_drift_particles_turn_instead_of_cutting_the_corner() -> None:
    snapshots = turning(np.array([0.0, 2.0, 4.0]), noise=0.0)
    drawn = Bridge.between(snapshots, DRIFT, drift=linear(TURN, 0.0)).sample(
        np.array([1.0, 3.0]), 200, np.random.default_rng(0)
    )
    for cloud, t in zip(drawn, (1.0, 3.0), strict=True):
        np.testing.assert_allclose(cloud.mean(0), expm(TURN * t) @ [3.0, 0.0], atol=0.06)
        np.testing.assert_allclose(cloud.std(0), 0.2, atol=0.03)


@pytest.mark.parametrize("coupling", [CouplingKind.EXACT, CouplingKind.MINIBATCH, CouplingKind.ENTROPIC])
def test_at_the_snapshots_the_samples_are_the_data_however_wrong_the_drift(coupling: CouplingKind) -> None:
    snapshots = turning(np.array([0.0, 1.0, 3.0]), n=80)
    wrong = linear(-3 * TURN, 1.0)
    bridge = Bridge.between(snapshots, DRIFT.model_copy(update={"coupling": coupling}), drift=wrong)
    for cloud, data in zip(
        bridge.sample(snapshots.times, 80, np.random.default_rng(2)), snapshots.samples, strict=True
    ):
        np.testing.assert_allclose(np.sort(cloud[:, 0]), np.sort(data[:, 0]), atol=1e-9)


def test_a_bridge_of_a_drift_is_the_same_after_it_was_kept_as_arrays() -> None:
    snapshots = turning(np.array([0.0, 1.0, 3.0]), n=60)
    bridge = Bridge.between(snapshots, DRIFT, drift=linear(TURN, 0.1))
    again = Bridge.of_arrays(bridge.arrays(), snapshots, BridgeOptions())
    at = np.linspace(0.0, 3.0, 7)
    assert again.options == bridge.options
    before, after = (one.sample(at, 50, np.random.default_rng(3)) for one in (bridge, again))
    np.testing.assert_array_equal(before, after)


def test_the_drift_of_a_turning_cloud_is_found_from_snapshots_at_uneven_times() -> None:
    times = np.array([0.0, 0.5, 1.4, 2.0, 2.4, 3.3, 4.0, 4.8, 5.2, 6.0])
    found = fit_drifts(turning(times), [range(len(times))], 200, seed=0)[0].drift
    fresh = turning(times, seed=1).pooled()
    error = np.linalg.norm(found(fresh) - fresh @ TURN.T, axis=1)
    assert np.mean(error) < 0.15 * 3.0
    assert found.noise == pytest.approx(np.full(2, 0.1), abs=0.06)


def test_drifts_fitted_together_are_those_fitted_alone_but_for_chance() -> None:
    """The fold that is asked for decides what a drift sees: one that misses half of the circle knows nothing of it."""
    times = np.linspace(0.0, 6.0, 9)
    whole, half = (one.drift for one in fit_drifts(turning(times), [range(9), range(4)], 100, seed=0))
    unseen = turning(times, seed=1).subset(range(5, 9)).pooled()
    errors = [np.linalg.norm(one(unseen) - unseen @ TURN.T, axis=1).mean() for one in (whole, half)]
    assert errors[0] < 0.3 * errors[1]


def test_one_drift_of_several_conditions_knows_the_speed_of_each_and_of_those_between() -> None:
    snapshots = at_speeds([0.7, 1.0, 1.2, 1.5])
    assert snapshots.conditions is not None
    (found,) = fit_drifts(snapshots, [range(len(snapshots))], 300, seed=0)
    fresh = turning(np.arange(0.0, 4.0, 0.5), seed=9).pooled()
    for speed in (0.7, 1.2, 1.35, 1.5):  # the third was not seen
        drift = found.under(snapshots.conditions.features((speed,)))
        error = np.linalg.norm(drift(fresh) - speed * fresh @ TURN.T, axis=1)
        assert np.mean(error) < 0.15 * 3.0
        assert drift.span == pytest.approx(0.75)


def test_a_drift_that_sees_no_condition_is_the_same_under_all() -> None:
    """What was left out of one condition alone is told by the others: a fold may hold any of the snapshots."""
    snapshots = at_speeds([0.7, 1.5])
    known = snapshots.conditions
    assert known is not None
    (found,) = fit_drifts(snapshots, [[*range(7), 7, 13]], 20, seed=0)  # of the second condition its two ends
    slow, fast = (found.under(known.features((speed,))) for speed in (0.7, 1.5))
    blind = replace(found, hidden=np.zeros_like(found.hidden), straight=np.zeros_like(found.straight))
    x = snapshots.samples[0]
    np.testing.assert_array_equal(blind.under(known.features((0.7,)))(x), found.drift(x))
    assert np.abs(slow(x) - fast(x)).max() > 1e-3


def test_clouds_that_turn_at_several_speeds_are_bridged_each_along_its_own_circle() -> None:
    snapshots = at_speeds([0.7, 1.0, 1.5])
    choice = choose_bridge(snapshots, BridgeOptions(drift_steps=150))
    assert choice.options.curve is Curve.DRIFT
    assert len(choice.times) == choice.scores.shape[1] == 3 * 5  # the interior of each course
    bridges = build_bridges(snapshots, BridgeOptions(drift_steps=150))
    for speed, bridge in zip([0.7, 1.0, 1.5], bridges, strict=True):
        assert bridge.reach == pytest.approx(4.5 * 4 / 3)
        (ahead,) = bridge.sample_ahead(np.array([5.0]), 400, np.random.default_rng(1))
        np.testing.assert_allclose(ahead.mean(0), expm(TURN * speed * 5.0) @ [3.0, 0.0], atol=0.3)
        drawn = bridge.sample(np.array([1.75, 2.6]), 200, np.random.default_rng(1))
        for cloud, time in zip(drawn, (1.75, 2.6), strict=True):
            np.testing.assert_allclose(cloud.mean(0), expm(TURN * speed * time) @ [3.0, 0.0], atol=0.12)


def test_bridges_of_conditions_along_a_drift_are_the_same_after_they_were_kept_as_arrays() -> None:
    config = ExperimentConfig.parse({"bridge": {"curve": "drift", "drift_steps": 5}})
    preparation = Preparation(at_speeds([0.7, 1.5]), config, 0)
    kept = preparation.bridge()
    at = np.linspace(0.0, 4.5, 7)
    for one, again in zip(build_bridges_of(preparation), preparation.bridges(kept), strict=True):
        before, after = (each.sample(at, 50, np.random.default_rng(3)) for each in (one, again))
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("powers", [1, 2, 3])
def test_a_model_of_several_conditions_has_the_drift_of_each_and_of_those_between(powers: int, tmp_path: Path) -> None:
    config = ExperimentConfig.parse(
        {
            "bridge": {"curve": "drift", "drift_steps": 300},
            "conditions": {"powers": powers},
            "anchors": {"base_steps": 2, "steps": 2, "rounds": 1},
            "teacher": {"steps": 2, "rounds": 1},
        }
    )
    model = direct_model(prepare(at_speeds([0.7, 1.0, 1.2, 1.5]), config, 0))
    model.save(tmp_path)
    fresh = turning(np.arange(0.0, 4.0, 0.5), seed=9).pooled()
    for speed in (0.7, 1.2, 1.35, 1.5):  # the third was not seen
        moves = model.drift(fresh, 1.0, at={"speed": speed})
        assert np.mean(np.linalg.norm(moves - speed * fresh @ TURN.T, axis=1)) < 0.15 * 3.0
        again = load(tmp_path).drift(fresh[None].repeat(2, 0), [0.0, 3.0], at={"speed": speed})
        assert torch.equal(again, moves.expand(2, -1, -1))
        under = model.under({"speed": speed})
        assert torch.equal(under.drift(fresh, 1.0), moves)
        assert isinstance(under.motion, Drift)
    assert (model.record["forecast"]["by"], model.taught_until) == ("drift", pytest.approx(4.5 * 4 / 3))
    assert not model.rests
    assert model.sample([5.5, 9.0], 7, at={"speed": 1.35}).isfinite().all()
    with pytest.raises(InputError, match=r"4 conditions, and is asked about one: say which, at={'speed': \.\.}"):
        model.drift(fresh, 1.0)


def test_courses_of_any_length_times_and_category_follow_one_drift() -> None:
    """Each keeps its own snapshots; one that was seen once has no bridge, and more are bridged than are looked at."""
    lengths, times = (1, 2, 3, 5, 8, 4, 6), np.array([0.0, 0.5, 1.1, 2.0, 2.4, 3.1, 4.0, 4.4])
    courses = {
        (float(i), "wt" if i % 2 else "mutant"): turning(times[i % 2 : i % 2 + n], seed=i, n=30 + i)
        for i, n in enumerate(lengths)
    }
    snapshots = Snapshots.of_conditions(courses, ("dose", "genotype"), {"dose": "linear"})
    for curve in (Curve.AUTO, Curve.DRIFT):
        bridges = build_bridges(snapshots, BridgeOptions(curve=curve, drift_steps=5))
        for course, bridge in zip(courses.values(), bridges.courses, strict=True):
            assert (bridge is None) == (len(course) == 1)
            if bridge is not None:
                np.testing.assert_array_equal(bridge.times, course.times)
                assert np.isfinite(bridge.sample(course.times, 10, np.random.default_rng(0))).all()
    assert bridges.courses[-1] is not None
    assert bridges.courses[-1].options.curve is Curve.DRIFT


@pytest.mark.parametrize("conditions", [1, 3])
def test_a_drift_through_single_snapshots_is_refused_or_not_needed(conditions: int) -> None:
    courses = {float(i): turning(np.array([float(i)]), seed=i) for i in range(conditions)}
    snapshots = Snapshots.of_conditions(courses, "dose", {"dose": "linear"})
    if conditions == 1:
        with pytest.raises(InputError, match="a drift carries one snapshot to the next, but no condition was observed"):
            build_bridges(snapshots, DRIFT)
    else:
        assert build_bridges(snapshots, DRIFT).courses == (None,) * conditions


def build_bridges_of(preparation: Preparation) -> Bridges:
    return build_bridges(preparation.snapshots, preparation.config.bridge, derive_seed(preparation.seed, "bridge"))


def test_a_turning_cloud_is_given_its_drift_and_the_forecast_of_its_last_snapshot_is_told() -> None:
    snapshots = turning(np.linspace(0.0, 7.0, 8))
    choice = choose_bridge(snapshots, BridgeOptions(drift_steps=120))
    assert choice.options.curve is Curve.DRIFT
    assert choice.candidates[-1] is Curve.DRIFT
    assert choice.scores.shape == (len(choice.candidates), 6)
    assert choice.tried is not None
    (tried,) = choice.tried.courses
    ahead = tried.forecast
    assert ahead.time == 7.0
    assert ahead.drift < 0.2 * min(ahead.persistence, ahead.transport)
    assert 0.2 * ahead.floor < ahead.drift < 20 * ahead.floor


def test_clouds_that_go_to_and_fro_on_a_line_are_given_no_drift_since_none_turns_there() -> None:
    rng = np.random.default_rng(0)
    snapshots = Snapshots(np.arange(9.0), tuple(rng.normal(5 * np.cos(0.8 * k), 0.5, (100, 1)) for k in range(9)))
    assert choose_bridge(snapshots, BridgeOptions(drift_steps=60)).options.curve is not Curve.DRIFT


@pytest.mark.parametrize(("times", "species", "steps"), [(4, 2, 5), (6, 11, 5), (6, 2, 0)])
def test_no_drift_is_tried_where_it_cannot_win(times: int, species: int, steps: int) -> None:
    rng = np.random.default_rng(0)
    snapshots = Snapshots(np.arange(float(times)), tuple(rng.normal(size=(20, species)) for _ in range(times)))
    assert choose_bridge(snapshots, BridgeOptions(drift_steps=steps)).tried is None


def test_nor_where_curves_are_at_the_floor_and_nothing_moves_at_the_end() -> None:
    rng = np.random.default_rng(0)
    still = Snapshots(np.arange(7.0), tuple(rng.normal(size=(60, 2)) for _ in range(7)))
    choice = choose_bridge(still, BridgeOptions(drift_steps=5))
    assert choice.tried is None
    assert choice.forecast is None
    assert Curve.DRIFT not in choice.candidates


def test_where_curves_are_at_the_floor_a_drift_is_tried_for_what_is_ahead_alone() -> None:
    rng = np.random.default_rng(0)
    steady = Snapshots(np.arange(7.0), tuple(rng.normal(2.0 * k, 0.5, (60, 2)) for k in range(7)))
    choice = choose_bridge(steady, BridgeOptions(drift_steps=100))
    assert choice.tried is not None
    assert choice.forecast is not None
    assert len(choice.tried.courses[0].scores) == 0
    assert Curve.DRIFT not in choice.candidates
    assert choice.forecast.drift < 0.2 * choice.forecast.persistence


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([2.9], False),
        ([3.1], True),
        ([1.9, 1.9, 1.9, 1.9], False),
        ([2.1, 2.1, 2.1, 2.1], True),
        ([50.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], False),  # a single time
        ([[50.0, 50.0, 50.0, 50.0], [1.5, 1.5, 1.5, 1.5]], False),  # the better of two candidates
    ],
)
def test_there_is_room_where_distances_are_more_than_chance_makes_them(ratios: list[float], expected: bool) -> None:
    assert has_room(np.array(ratios)) is expected


def test_where_snapshots_do_not_vary_any_distance_is_more_than_chance_makes() -> None:
    ratios = in_floors(np.array([0.0, 1e-9, 0.3, 0.3]), np.array([0.0, 0.0, 0.1, 1e-9]))
    np.testing.assert_allclose(ratios, [1.0, 1e4, 3.0, 1e4])


def test_a_course_that_ends_in_extinction_is_joined_without_a_warning() -> None:
    rng = np.random.default_rng(0)
    clouds = [rng.poisson(mean, (50, 2)).astype(float) for mean in (20.0, 12.0, 5.0, 1.0, 0.2)]
    extinct = Snapshots(np.arange(7.0), (*clouds, np.zeros((50, 2)), np.zeros((50, 2))))
    choice = choose_bridge(extinct, BridgeOptions(drift_steps=10))
    assert choice.forecast is None or not choice.forecast.holds
    drawn = Bridge.between(extinct, choice.options.model_copy(update={"curve": Curve.STRAIGHT}))
    np.testing.assert_array_equal(drawn.sample(np.array([5.5]), 30, rng), 0.0)


@pytest.mark.parametrize("sizes", [(400, 400), (40, 60), (5, 8)])
def test_what_chance_makes_of_a_distance_is_told_by_the_samples_there_are_and_not_by_their_repetitions(
    sizes: tuple[int, int],
) -> None:
    rng = np.random.default_rng(0)
    found, chance = list[float](), list[float]()
    for _ in range(40):
        clouds = tuple(rng.normal(size=(sizes[k % 2], 2)) for k in range(4))
        chain = Chain.through(Snapshots(np.arange(4.0), clouds), BridgeOptions(), 0, 500)
        course = Examined(range(4), np.empty(0), chain, [1, 2], [len(cloud) for cloud in clouds])
        found.append(course.last_step[0])
        chance.append(course.last_step[1])
    assert np.mean(chance) == pytest.approx(np.mean(found), rel=0.15)


@pytest.mark.parametrize("conditions", [1, 2])
def test_a_drift_goes_on_from_where_it_stood(conditions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = turning(np.arange(5.0), n=40) if conditions == 1 else at_speeds([0.8, 1.4])
    folds = [range(len(snapshots)), range(len(snapshots) - 1)]
    before = fit_drifts(snapshots, folds, 30, seed=0)
    monkeypatch.setattr("weightflow.drift.fit.LEARNING_RATE", 1e-9)
    after = fit_drifts(snapshots, folds, 1, seed=1, start=before)
    code = np.array([] if conditions == 1 else [0.3, -0.2])
    x = snapshots.samples[0]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other.under(code)(x), one.under(code)(x), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(other.under(code).noise, one.under(code).noise, rtol=1e-4)


def test_drifts_on_trial_go_on_while_that_brings_them_nearer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 20 steps at a time the second round is clearly nearer; where none comes nearer, none follows."""
    snapshots = turning(np.linspace(0.0, 7.0, 8))
    going = choose_bridge(snapshots, BridgeOptions(drift_steps=20)).tried
    assert going is not None
    assert 1 < going.rounds <= DRIFT_ROUNDS
    first = fit_drifts(snapshots, [range(7)], 20, derive_seed(0, "round", 0))[0].drift
    seen = snapshots.subset(range(7)).pooled()
    far, near = (np.linalg.norm(one(seen) - seen @ TURN.T) for one in (first, going.before_last.drift))
    assert near < 0.8 * far
    monkeypatch.setattr("weightflow.drift.fit.LEARNING_RATE", 1e-9)
    fitted: list[int] = []

    def counting(snapshots: Snapshots, folds: Sequence[Sequence[int]], *rest: Any) -> list[Varied]:
        fitted.append(len(folds))
        return fit_drifts(snapshots, folds, *rest)

    monkeypatch.setattr("weightflow.bridge.tried.fit_drifts", counting)
    choose_bridge(snapshots, BridgeOptions(drift_steps=5))
    assert fitted == [4, 4]  # the second brought nothing


def test_a_named_drift_that_must_not_be_fitted_is_refused() -> None:
    with pytest.raises(InputError, match="give it some, such as 250"):
        Bridge.between(turning(np.arange(3.0)), BridgeOptions(curve=Curve.DRIFT, drift_steps=0))


def test_more_snapshots_take_no_longer_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    carried: list[int] = []
    from weightflow.drift import fit

    energy: Callable[[Tensor, Tensor], Tensor] = fit._energy

    def counted(x: Tensor, y: Tensor) -> Tensor:
        carried.append(len(x))
        return energy(x, y)

    monkeypatch.setattr(fit, "_energy", counted)
    fit_drifts(turning(np.arange(40.0), n=10), [range(40)], 3, seed=0)
    assert set(carried) == {fit.INTERVALS}


def moved_model() -> WeightFlow:
    return replace(model_of(numbers()), motion=linear(np.diag([-1.0, 0.5, 0.0]), 0.3, centre=1.0))


def test_a_model_tells_the_drift_in_the_shapes_of_its_log_density() -> None:
    model, x = moved_model(), np.array([[1.0, 3.0, 2.0], [0.0, 1.0, 9.0]])
    expected = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(model.drift(x, 15.0), expected)
    torch.testing.assert_close(model.drift(x[0], 15.0), expected[0])
    torch.testing.assert_close(model.drift(x, [10.0, 20.0]), expected.expand(2, 2, 3))
    torch.testing.assert_close(model.drift(np.stack([x, x]), [10.0, 20.0]), expected.expand(2, 2, 3))


def test_a_drift_is_saved_with_its_model_and_models_from_before_there_were_any_still_load(tmp_path: Path) -> None:
    model, x = moved_model(), np.random.default_rng(0).normal(size=(5, 3))
    model.save(tmp_path)
    torch.testing.assert_close(load(tmp_path).drift(x, 12.0), model.drift(x, 12.0))
    replace(model, motion=None).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "format": 3}))
    assert load(tmp_path).motion is None


def test_a_model_without_a_drift_says_how_to_have_one() -> None:
    with pytest.raises(InputError, match=r"fit it with `bridge\.curve: drift`"):
        model_of(numbers()).drift(np.zeros((1, 3)), 15.0)


def test_a_drift_at_no_place_or_no_time_is_refused() -> None:
    with pytest.raises(InputError, match="not finite"):
        moved_model().drift(np.array([[np.inf, 0.0, 0.0]]), 15.0)
    with pytest.raises(InputError, match=r"\[10, "):
        moved_model().drift(np.zeros((1, 3)), 9.0)
    with pytest.raises(InputError, match="give x of shape"):
        moved_model().drift(np.zeros((1, 2)), 15.0)


@pytest.mark.slow
def test_the_picture_shows_the_drift_of_the_two_species_that_move_most_where_samples_are() -> None:
    rng = np.random.default_rng(0)
    still = [rng.normal(5.0, 9.0, (200, 1)) for _ in range(7)]
    turned = turning(np.linspace(0.0, 6.0, 7), noise=0.0).samples
    clouds = [np.concatenate([noise, cloud], axis=1) for noise, cloud in zip(still, turned, strict=True)]
    matrix = np.zeros((3, 3))
    matrix[1:, 1:] = TURN
    data = Snapshots(np.arange(7.0), tuple(clouds), species=("still", "x", "y"))
    report = replace(make_report(), observed=data, drawn=Mover(3, counts=False), motion=linear(matrix, 0.1))
    report = replace(report, model=Mover(3, counts=False))
    plane = _plane(report, linear(matrix, 0.1))
    assert plane.species == ("x", "y")
    x, y = np.meshgrid(plane.x, plane.y)
    drawn = np.isfinite(plane.flow[0])
    assert 0.2 < drawn.mean() < 0.9
    assert not drawn[len(y) // 2, len(x) // 2]  # nobody is in the middle of the circle
    errors = np.abs(plane.flow - np.stack([-y, x]))[:, drawn]
    assert errors.max() < 2.5 * (plane.x[1] - plane.x[0])  # drawn is the mean of samples up to 1.5 cells away
    assert errors.mean() < plane.x[1] - plane.x[0]
    (picture,) = motion(report)
    assert picture.png(LIGHT)[:4] == b"\x89PNG"
    assert 'id="motion"' in in_words(report)
    assert motion(replace(report, motion=None)) == []


def test_the_picture_of_a_drift_shows_all_of_a_file_that_is_sorted() -> None:
    rng = np.random.default_rng(0)
    kinds = [rng.normal(place, 0.5, (300, 2)) for place in (-10.0, 10.0)]  # the first 200 rows are of one kind
    data = Snapshots(np.arange(3.0), tuple(np.concatenate(kinds) + k for k in range(3)))
    report = replace(make_report(), observed=data, drawn=Mover(2, counts=False), motion=linear(TURN, 0.1))
    plane = _plane(report, linear(TURN, 0.1))
    assert plane.x[0] < -9.0
    assert plane.x[-1] > 9.0
    assert all(0.3 < (cloud[:, 0] > 0).mean() < 0.7 for cloud in plane.clouds)


def held_out(error: float) -> Forecast:
    return Forecast(2.0, 0.5, 0.1, 1.0, 1.0, 0.01, np.full(2, error))


def test_forecasts_follow_the_drift_and_are_doubted_the_more_the_further_they_reach() -> None:
    snapshots = turning(np.array([0.0, 1.0, 2.0]), noise=0.0, n=2000)
    options = DRIFT.model_copy(update={"horizon": 2.0})
    sure, doubted = (
        Bridge.between(snapshots, options, drift=linear(TURN, 0.3, span=1.0), forecast=held_out(error))
        for error in (0.0, 0.2)
    )
    at = np.array([2.7, 4.0])
    clouds = [bridge.sample_ahead(at, 20_000, np.random.default_rng(0)) for bridge in (sure, doubted)]
    for k, tau in enumerate(at - 2.0):
        expected = expm(TURN * at[k]) @ [3.0, 0.0]
        variance = 0.2**2 + 0.3**2 * tau  # a turn changes no spread, and noise adds up
        for cloud, doubt in zip(clouds, (0.0, 0.2 * tau / 0.5), strict=True):
            np.testing.assert_allclose(cloud[k].mean(0), expected, atol=0.06)
            np.testing.assert_allclose(cloud[k].var(0), variance + doubt**2, rtol=0.08)


def test_a_drift_that_rushes_on_where_the_snapshots_have_slowed_down_forecasts_nothing() -> None:
    """The clouds stand still; 0.2 a unit of time is a tenth of the pace at which they would have to be left behind."""
    rng = np.random.default_rng(0)
    still = Snapshots(np.arange(4.0), tuple(rng.normal(3.0, 1.0, (2000, 2)) for _ in range(4)))
    slow, fast = (
        Bridge.between(still, DRIFT, drift=linear(rate * np.eye(2), 0.0), forecast=held_out(0.0))
        for rate in (0.005, 0.5)
    )
    assert (slow.reach, fast.reach) == (4.0, 3.0)


def test_forecasts_reach_a_third_of_the_span_or_as_far_as_asked_and_no_further() -> None:
    snapshots = turning(np.array([1.0, 2.0, 4.0]), n=20)
    for horizon, reach in ((None, 5.0), (7.0, 11.0), (0.0, 4.0)):
        options = DRIFT.model_copy(update={"horizon": horizon})
        bridge = Bridge.between(snapshots, options, drift=linear(TURN, 0.1), forecast=held_out(0.1))
        assert bridge.reach == pytest.approx(reach)
        with pytest.raises(InputError, match=r"raise `bridge\.horizon`"):
            bridge.sample_ahead(np.array([reach + 0.1]), 3, np.random.default_rng(0))


def test_what_is_fitted_goes_on_beyond_the_snapshots_where_a_drift_forecasts() -> None:
    snapshots = turning(np.array([0.0, 1.0, 2.0, 3.0]), n=50)
    bridge = Bridge.between(snapshots, DRIFT, drift=linear(TURN, 0.1), forecast=held_out(0.1))
    samples = samples_for_fitting(bridge, snapshots)
    np.testing.assert_allclose(samples.times, [0.0, 1.0, 2.0, 3.0, 4.0])
    at = np.array([0.5, 3.0, 3.7])
    np.testing.assert_allclose(
        samples.sample(at, 5000, np.random.default_rng(0)).mean(1),
        [expm(TURN * t) @ [3.0, 0.0] for t in at],
        atol=0.15,
    )
    without = Bridge.between(snapshots, BridgeOptions(curve=Curve.CUBIC))
    assert list(samples_for_fitting(without, snapshots).times) == [0.0, 1.0, 2.0, 3.0]


def test_counts_ahead_are_whole_and_not_negative_and_keep_their_mean() -> None:
    rng = np.random.default_rng(0)
    clouds = tuple(rng.poisson(4.0, (500, 2)).astype(float) for _ in range(3))
    bridge = Bridge.between(
        Snapshots(np.arange(3.0), clouds), DRIFT, drift=linear(0 * TURN, 0.1), forecast=held_out(0.0)
    )
    ahead = bridge.sample_ahead(np.array([2.5]), 20_000, rng)[0]
    assert ahead.min() == 0
    assert np.array_equal(ahead, np.rint(ahead))
    np.testing.assert_allclose(ahead.mean(0), clouds[-1].mean(0), atol=0.1)


def test_doubt_of_a_forecast_makes_rare_counts_no_less_rare_and_the_extinct_stay_extinct() -> None:
    """Doubt that is cut at zero alone makes the mean of the rare ones more than twice as large."""
    rng = np.random.default_rng(0)
    clouds = tuple(np.insert(rng.poisson(0.3, (500, 1)).astype(float), 1, 0.0, axis=1) for _ in range(3))
    clouds = (np.insert(clouds[0][:, :1], 1, 5.0, axis=1), *clouds[1:])
    data = Snapshots(np.arange(3.0), clouds, ("rare", "extinct"), (Kind.COUNTS, Kind.COUNTS))
    bridge = Bridge.between(data, DRIFT, drift=linear(0 * TURN, 0.0), forecast=held_out(1.0))
    ahead = bridge.sample_ahead(np.array([2.5]), 40_000, rng)[0]
    np.testing.assert_allclose(ahead[:, 0].mean(), clouds[-1][:, 0].mean(), rtol=0.05)
    assert not ahead[:, 1].any()


def test_a_model_that_was_taught_forecasts_still_tells_fitted_times_from_those_beyond(tmp_path: Path) -> None:
    snapshots = turning(np.array([0.0, 1.0, 2.0, 3.0]), n=50)
    config = ExperimentConfig.parse(
        {
            "anchors": {"base_steps": 5, "steps": 2, "rounds": 1},
            "teacher": {"steps": 5, "rounds": 1},
            "dynamics": {"kind": "cde", "hidden": 4, "heads": 1, "steps": 4},
            "training": {"epochs": 2, "collocation_steps": 2, "rollout_steps": 1, "rounds": 1, "draws": 8},
        }
    )
    making = Preparation(snapshots, config, 0)
    base = making.base()
    bridge = Bridge.between(snapshots, DRIFT, drift=linear(TURN, 0.1), forecast=held_out(0.1)).arrays()
    prepared = making.assemble(making.anchors(range(4), base), bridge, making.teacher(base, bridge))
    model = train(prepared, config, 0)
    model.save(tmp_path)
    for one in (model, load(tmp_path)):
        assert (one.span, one.taught_until) == ((0.0, 3.0), 4.0)
        assert one.motion is not None
        assert one.sample([3.5, 6.0], 5).isfinite().all()
        assert one.record["forecast"] == {
            "by": "drift",
            "until": 4.0,
            "drift": 0.1,
            "persistence": 1.0,
            "transport": 1.0,
            "floor": 0.01,
        }
    assert line_model(prepared).record["forecast"]["by"] == "field"  # straight lines between anchors know no drift


def test_forecasts_are_told_in_words_with_what_they_are_worth() -> None:
    worth = {"until": 4.0, "drift": 0.1, "persistence": 1.0, "transport": 0.8, "floor": 0.01}
    taught, alone = (forecasts_in_words({"by": by, **worth}) for by in ("drift", "field"))
    assert "taught by a drift up to t = 4" in taught
    assert "no drift was kept for them" in alone
    for said in (taught, alone):
        assert "distance 0.1, where the snapshot before has 1, transport that goes on 0.8, and chance" in said
    assert "no drift was tried" in forecasts_in_words(None)


@pytest.mark.parametrize(
    ("drift", "persistence", "transport", "floor", "holds"),
    [
        (0.3, 0.7, 1.0, 0.1, True),
        (0.4, 0.7, 1.0, 0.1, False),
        (0.3, 0.7, 0.2, 0.1, True),
        (0.3, 0.7, 0.1, 0.1, False),
        (0.3, 0.7, 1.0, 0.25, False),  # nothing moved that chance would not
    ],
)
def test_a_forecast_holds_where_it_is_clearly_better_than_standing_still_and_transport_is_not_clearly_better(
    drift: float, persistence: float, transport: float, floor: float, holds: bool
) -> None:
    assert Forecast(2.0, 0.5, drift, persistence, transport, floor, np.zeros(2)).holds == holds


def test_forecasts_of_several_conditions_are_judged_together() -> None:
    two = [
        Forecast(2.0, 0.5, 0.1, 1.0, 0.5, 0.01, np.array([0.3, 0.0])),
        Forecast(5.0, 1.5, 0.7, 1.0, 0.9, 0.03, np.ones(2)),
    ]
    both = Forecast.joint(two)
    assert both is not None
    assert (both.time, both.gap) == (5.0, 1.0)
    assert both.facts() == pytest.approx({"drift": 0.4, "persistence": 1.0, "transport": 0.7, "floor": 0.02})
    np.testing.assert_allclose(both.error, [np.sqrt((0.6**2 + (2 / 3) ** 2) / 2), 2 / 3 / np.sqrt(2)])
    assert both.holds
    assert not two[1].holds
    alone = Forecast.joint(two[:1])
    assert alone is not None
    assert alone.facts() == two[0].facts()
    np.testing.assert_allclose(alone.error, two[0].error)
    assert Forecast.joint([]) is None


def test_a_drift_whose_forecast_does_not_hold_makes_paths_and_no_forecasts() -> None:
    snapshots = turning(np.array([0.0, 1.0, 2.0]), n=20)
    weak = replace(held_out(0.1), drift=0.9)
    bridge = Bridge.between(snapshots, DRIFT, drift=linear(TURN, 0.1), forecast=weak)
    assert bridge.carried is not None
    assert (bridge.ahead, bridge.reach) == (None, 2.0)


@pytest.mark.parametrize("curve", [Curve.DRIFT, Curve.CUBIC])
def test_a_bridge_and_what_its_drift_forecast_come_back_whole_from_files(curve: Curve, tmp_path: Path) -> None:
    """Files hold numbers as arrays of one, as do the pieces that the workers of a search are given."""
    snapshots = turning(np.array([0.0, 1.0, 2.0]), n=20)
    options = BridgeOptions(curve=curve)
    bridge = Bridge.between(snapshots, options, drift=linear(TURN, 0.1), forecast=held_out(0.1))
    write_arrays(tmp_path / "bridge", bridge.arrays(), {})
    again = Bridge.of_arrays(read_arrays(tmp_path / "bridge")[0], snapshots, BridgeOptions())
    assert again.forecast is not None
    assert again.forecast.facts() == held_out(0.1).facts()
    assert again.reach == bridge.reach
    at = np.array([0.3, 1.7])
    drawn, drawn_again = (one.sample(at, 9, np.random.default_rng(0)) for one in (bridge, again))
    np.testing.assert_array_equal(drawn, drawn_again)
    ahead, ahead_again = (one.sample_ahead(np.array([2.3]), 9, np.random.default_rng(0)) for one in (bridge, again))
    np.testing.assert_array_equal(ahead, ahead_again)


def test_a_drift_that_curves_have_beaten_between_the_snapshots_makes_no_paths_and_may_forecast_all_the_same() -> None:
    snapshots, drift = turning(np.array([0.0, 1.0, 2.0]), n=20), linear(TURN, 0.0)
    for drifts, reach in ((0.1, 2.0 + 2.0 / 3), (0.9, 2.0)):  # of which the second has failed beyond them, too
        forecast = replace(held_out(0.0), drift=drifts)
        bridge = Bridge.between(snapshots, BridgeOptions(curve=Curve.CUBIC), drift=drift, forecast=forecast)
        again = Bridge.of_arrays(bridge.arrays(), snapshots, BridgeOptions())
        for one in (bridge, again):
            assert one.carried is None
            assert one.reach == pytest.approx(reach)
            assert (one.drift is None) == (one.ahead is None) == (drifts == 0.9)
    bridge = Bridge.between(snapshots, BridgeOptions(curve=Curve.CUBIC), drift=drift, forecast=held_out(0.0))
    ahead = bridge.sample_ahead(np.array([2.5]), 2000, np.random.default_rng(0))[0]
    np.testing.assert_allclose(ahead.mean(0), expm(TURN * 0.5) @ snapshots.samples[-1].mean(0), atol=0.03)


def test_forecasts_without_doubt_and_noise_are_numbers_at_every_node_however_times_are_rounded() -> None:
    cloud, still = np.full((3, 2), 2.0), linear(np.zeros((2, 2)), 0.1)
    for last, horizon in ((0.1, 0.7), (50.0, 100.0 / 6), (1 / 3, 1e-3)):
        ahead = Ahead.of(still, cloud, last, horizon, held_out(0.0), 0)
        for times in (ahead.times, np.nextafter(ahead.times, np.inf)[:-1], np.nextafter(ahead.times, -np.inf)[1:]):
            assert all(np.isfinite(part).all() for part in ahead.sample(times, 5, np.random.default_rng(0)))
        path, noise = ahead.sample(ahead.times[:1], 5, np.random.default_rng(0))
        np.testing.assert_allclose(path + noise, 2.0)


def test_a_fit_along_curves_is_given_a_drift_for_its_forecasts_alone() -> None:
    snapshots = turning(np.linspace(0.0, 7.0, 8), noise=0.0)
    bridge = build_bridge(snapshots, BridgeOptions(drift_steps=150))
    straight = build_bridge(snapshots, BridgeOptions(curve=Curve.STRAIGHT))
    assert bridge.forecast is not None
    assert bridge.forecast.holds
    assert bridge.ahead is not None
    assert (straight.forecast, straight.ahead) == (None, None)  # who names a curve has no drift tried
