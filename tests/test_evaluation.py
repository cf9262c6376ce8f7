"""Baselines move samples as they say, scores can be trusted, and verdicts follow from the numbers."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm, poisson

from weightflow.bridge import Bridge, BridgeOptions, Curve, build_bridge
from weightflow.data import Dataset, Fold, Protocol, Snapshots, Split, leave_one_out
from weightflow.errors import InputError, WeightFlowError
from weightflow.evaluation import (
    FLOOR_LEVEL,
    FLOOR_POWER,
    SHIFT,
    BridgeSamples,
    ChosenBridge,
    McCann,
    Mixture,
    Nearest,
    Persistence,
    Sampler,
    Scores,
    baselines,
    evaluate,
    floor_p_value,
    floor_power,
    held_out_score,
    left_out,
    summary,
    verdict,
)
from weightflow.evaluation.floor import check_scorable
from weightflow.evaluation.grouping import arranged
from weightflow.evaluation.measured import count_repetitions
from weightflow.evaluation.scores import Interval
from weightflow.evaluation.verdict import figure, standing
from weightflow.metrics import METRICS
from weightflow.model import Numbers
from weightflow.torch_rng import quasi_uniforms
from weightflow.types import Kind

TIMES = np.array([0.0, 2.0, 4.0])


class Poisson:
    """The true system of these tests: two independent counts whose rates grow with time."""

    def sample(self, times: np.ndarray, n: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return rng.poisson(5 + np.multiply.outer(times, [2.0, 1.0])[:, None], (len(times), n, 2)).astype(float)


def poisson_snapshots(times: np.ndarray, n: int, seed: int) -> Snapshots:
    return Snapshots(times, tuple(Poisson().sample(times, n, seed)))


def scored_on(
    seen: Snapshots, test: Snapshots, protocol: Protocol = Protocol.INTERPOLATION, floor: Snapshots | None = None
) -> Split:
    return Split(protocol, seen, (), (Fold(seen, test),), floor)


def poisson_split(floor: bool, n: int = 400) -> Split:
    seen, test = poisson_snapshots(TIMES, n, 1), poisson_snapshots(np.arange(0.5, 4.1, 0.5), n, 2)
    reference = poisson_snapshots(test.times, n, 3) if floor else None
    return scored_on(seen, test, floor=reference)


def line(kind: Kind = Kind.CONTINUOUS) -> Snapshots:
    """Two particles, at 1 and 10, that move by 2 and by 20 in each unit of time."""
    clouds = tuple(np.array([[1.0 + 2 * t], [10.0 + 20 * t]]) for t in (0.0, 1.0))
    return Snapshots(np.array([0.0, 1.0]), clouds, kinds=(kind,))


def scores(**means: float) -> Scores:
    methods = {method: {"paper_jsd": (value, value)} for method, value in means.items()}
    return Scores("interpolation", 100, "independent samples of the true system, 100 against 100", (1.0, 2.0), methods)


@pytest.mark.parametrize(
    "baseline", [Nearest(line()), Persistence(line()), Mixture(line()), *baselines(line()).values(), Poisson()]
)
def test_baselines_are_samplers(baseline):
    assert isinstance(baseline, Sampler)


def test_nearest_persistence_and_mixture_take_samples_of_the_neighbours_and_stand_still_afterwards():
    times = np.array([0.0, 0.3, 0.8, 1.0, 9.0])
    nearest = Nearest(line()).sample(times, 2, 0)
    np.testing.assert_array_equal(np.sort(nearest[:, :, 0]), [[1, 10], [1, 10], [3, 30], [3, 30], [3, 30]])
    last = Persistence(line()).sample(times, 2, 0)
    np.testing.assert_array_equal(np.sort(last[:, :, 0]), [[1, 10], [1, 10], [1, 10], [3, 30], [3, 30]])
    mixture = Mixture(line()).sample(times, 1000, 0)
    np.testing.assert_allclose(np.isin(mixture, [3, 30]).mean(axis=(1, 2)), [0, 0.3, 0.8, 1, 1], atol=0.002)


def test_mccann_moves_coupled_particles_on_straight_lines_and_lets_them_drift_on():
    times = np.array([0.0, 0.5, 1.0, 3.0])
    samples = baselines(line())["mccann"].sample(times, 2, 0)
    np.testing.assert_allclose(np.sort(samples[:, :, 0]), [[1, 10], [2, 20], [3, 30], [7, 70]])


def test_a_bridge_is_wider_than_mccann_inside_and_equal_to_it_beyond():
    both = baselines(line())
    inside = {name: both[name].sample(np.array([0.5]), 2000, 0).var() for name in ("mccann", "bridge")}
    displacement_variance = np.var([2.0, 20.0])
    assert inside["bridge"] == pytest.approx(inside["mccann"] + displacement_variance / 4, rel=0.1)
    beyond = [both[name].sample(np.array([2.5]), 50, 4) for name in ("mccann", "bridge")]
    np.testing.assert_array_equal(*beyond)


@pytest.mark.parametrize("name", ["nearest", "persistence", "mixture", "mccann", "bridge"])
def test_counts_stay_counts_between_and_beyond(name):
    falling = Snapshots(np.array([0.0, 1.0]), (np.array([[9.0], [3.0]]), np.array([[4.0], [0.0]])))
    samples = baselines(falling)[name].sample(np.linspace(0, 5, 26), 100, 0)
    assert (samples >= 0).all()
    assert (samples == np.rint(samples)).all()


def test_drifting_counts_are_rounded_without_bias_and_may_pass_the_largest_seen():
    rising = Snapshots(np.array([0.0, 2.0]), (np.zeros((5, 1)), np.full((5, 1), 3.0)))
    samples = baselines(rising)["mccann"].sample(np.array([3.0]), 4000, 0)
    assert samples.mean() == pytest.approx(4.5, abs=0.05)
    assert samples.max() == 5


def test_the_width_of_a_bridge_baseline_is_its_own():
    bridge = Bridge.between(line(), BridgeOptions(curve=Curve.CUBIC, width=7.0))
    assert (McCann(bridge).bridge.options.width, BridgeSamples(bridge).bridge.options.width) == (0.0, 1.0)


def test_a_chosen_bridge_stands_beside_the_others_where_it_is_another_one():
    seen = poisson_snapshots(TIMES, 50, 1)
    chosen = baselines(seen, build_bridge(seen, BridgeOptions()))["chosen_bridge"]
    assert isinstance(chosen, ChosenBridge)
    assert chosen.bridge.options.curve is not Curve.AUTO
    assert "chosen_bridge" not in baselines(seen, Bridge.between(seen, BridgeOptions(curve=Curve.STRAIGHT, width=0.0)))


@pytest.mark.parametrize("name", ["nearest", "persistence", "mixture", "mccann", "bridge"])
def test_times_before_the_first_snapshot_are_refused(name):
    with pytest.raises(InputError, match=r"t=-1, before the first seen snapshot at t=0"):
        baselines(line())[name].sample(np.array([-1.0, 0.5]), 3, 0)


def test_a_bridge_over_one_snapshot_is_refused():
    with pytest.raises(InputError, match="two snapshots at least"):
        baselines(line().subset([0]))


def test_the_true_sampler_sits_at_the_floor_and_baselines_above_it():
    split = poisson_split(floor=True)
    result = evaluate({"model": Poisson(), **baselines(split.seen)}, split, draws=400, seed=0)
    assert list(result.methods) == ["model", "nearest", "persistence", "mixture", "mccann", "bridge", "floor"]
    assert result.metrics == tuple(METRICS)
    for metric in result.metrics:
        above = np.subtract(result.by_time("model", metric), result.by_time("floor", metric))
        assert abs(above.mean()) < 3.5 * above.std(ddof=1) / np.sqrt(len(above))
        if metric != "correlation_error":  # the species are independent in every snapshot
            assert result.mean("nearest", metric) > result.mean("model", metric)


def test_the_same_seed_gives_the_same_scores_and_another_seed_others():
    split = poisson_split(floor=False)
    first, again, other = (evaluate({"model": Poisson()}, split, 100, seed, ["species_w1"]) for seed in (0, 0, 1))
    assert first == again
    assert first.by_time("model", "species_w1") != other.by_time("model", "species_w1")


def test_sizes_are_equal_and_the_floors_label_tells_them():
    fresh = evaluate({"model": Poisson()}, poisson_split(floor=True), 150, 0, ["species_w1"])
    assert fresh.floor == "independent samples of the true system, 150 against 150"
    halves = evaluate({"model": Poisson()}, poisson_split(floor=False, n=81), 150, 0, ["species_w1"])
    assert halves.floor.startswith("split halves of the test samples, 40 against 40 (models: 81 against 81)")
    # Distances between samples of one distribution fall with the root of their size: 40 against 81.
    assert 1.1 < halves.mean("floor", "species_w1") / halves.mean("model", "species_w1") < 2.0


def test_under_the_papers_protocol_the_nearest_snapshot_scores_zero_at_seen_times():
    data = poisson_snapshots(np.array([0.0, 1.0, 2.0]), 60, 0)
    seen = data.subset([0, 2])
    split = scored_on(seen, data, Protocol.PAPER)
    by_time = evaluate({"nearest": Nearest(seen)}, split, 60, 0, ["paper_w1", "joint_w1"]).by_time(
        "nearest", "paper_w1"
    )
    assert by_time[0] == by_time[2] == 0.0
    assert by_time[1] > 0


def test_progress_is_told_before_the_first_and_after_each_piece():
    told = []
    samplers = {"model": Poisson(), "other": Poisson()}
    evaluate(samplers, poisson_split(floor=True), 50, 0, ["species_w1"], progress=lambda *args: told.append(args))
    each = count_repetitions(times=8, groups=20)  # of both methods, and the floor once
    assert told == [(done, 2 * each + 1) for done in range(2 * each + 2)]


class Broken:
    """A sampler that returns something wrong."""

    def __init__(self, value: float, dim: int) -> None:
        self.value, self.dim = value, dim

    def sample(self, times: np.ndarray, n: int, seed: int) -> np.ndarray:
        samples = np.ones((len(times), n, self.dim))
        samples[-1] = self.value
        return samples


@pytest.mark.parametrize(
    ("sampler", "message"),
    [(Broken(np.nan, 2), "`model` returned samples that are not finite at t=4"), (Broken(1, 3), r"shape \(8, 50, 2\)")],
)
def test_what_a_broken_sampler_returned_is_said(sampler, message):
    with pytest.raises(WeightFlowError, match=message):
        evaluate({"model": sampler}, poisson_split(floor=True), 50, 0)


def test_the_name_of_the_floor_is_taken():
    with pytest.raises(InputError, match="call that sampler something else"):
        evaluate({"floor": Poisson()}, poisson_split(floor=True), 50, 0)


def test_a_test_snapshot_too_small_to_be_scored_is_refused():
    with pytest.raises(InputError, match=r"test snapshot at t=0\.5 has 3 samples"):
        check_scorable(poisson_split(floor=False, n=3))


def test_scores_survive_their_file(tmp_path):
    split = poisson_split(floor=True)
    result = evaluate({"model": Poisson()}, split, 50, 0)
    assert Scores.from_json(result.to_json()) == result
    path = tmp_path / "run" / "scores.json"
    result.write(path)
    result.write(path)
    assert [file.name for file in path.parent.iterdir()] == ["scores.json"]
    values = json.loads(path.read_text())
    assert list(values) == [
        *("format", "protocol", "draws", "floor", "selected", "data"),
        *("alternatives", "variants", "times", "methods", "differences"),
    ]
    entry = values["methods"]["model"]["joint_w1"]
    assert entry["mean"] == pytest.approx(np.mean(entry["by_time"]))
    assert values["protocol"] == "interpolation"
    low, high = entry["interval"]
    assert low < entry["mean"] < high


class Drifting:
    """The law of the data below, N(t, 1) in two species; knows its density."""

    def sample(self, times: np.ndarray, n: int, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).standard_normal((len(times), n, 2)) + times[:, None, None]

    def log_prob(self, x: np.ndarray, t: np.ndarray) -> torch.Tensor:
        z = torch.as_tensor(x - np.asarray(t)[..., None, None])
        return (-(z**2) / 2 - np.log(2 * np.pi) / 2).sum(-1)


class Ahead:
    """A method without density that is off by `shift`; its draws are its own unless `share` is given."""

    def __init__(self, shift: float, share: int | None = None) -> None:
        self.shift = shift
        self.stream = round(1000 * shift) if share is None else share

    def sample(self, times: np.ndarray, n: int, seed: int) -> np.ndarray:
        return Drifting().sample(times, n, seed + self.stream) + self.shift


def gaussian_split(seed: int, n: int = 100) -> Split:
    """Trajectories whose noise is the same at all times: only whole trajectories are independent."""
    times = np.array([1.0, 2.0, 3.0])
    noise = np.random.default_rng([7, seed]).standard_normal((n, 2))
    data = Snapshots(times, tuple(noise + time for time in times))
    return scored_on(data, data)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """The likelihood's mean is the entropy, and far apart W1 of the marginals is the shift; both are known exactly."""
    methods = {"model": Drifting(), "near": Ahead(4.0), "far": Ahead(6.0)}
    truths = {"nll": 1 + np.log(2 * np.pi), "near": 4.0, "far": 6.0, "difference": -2.0}
    held = dict.fromkeys(truths, 0)
    for seed in range(150):
        result = evaluate(methods, gaussian_split(seed), 100, seed, ["species_w1", "nll"])
        intervals = {name: result.interval(name, "species_w1") for name in ("near", "far")}
        intervals["nll"] = result.interval("model", "nll")
        intervals["difference"] = result.difference("near", "far", "species_w1")
        for name, interval in intervals.items():
            assert interval is not None
            held[name] += interval.low <= truths[name] <= interval.high
    assert all(135 <= count <= 149 for count in held.values()), held  # 95 % of 150, give or take three deviations


class EvenCounts:
    """Two Poisson counts drawn as a model draws its own: evenly spread numbers through the inverse distribution."""

    def __init__(self, rate: float) -> None:
        self.steps = poisson.cdf(np.arange(60), rate)

    def sample(self, times: np.ndarray, n: int, seed: int) -> np.ndarray:
        even = [quasi_uniforms(n, 2, seed, "sample", float(time).hex()).numpy() for time in times]
        return np.searchsorted(self.steps, np.stack(even)).astype(float)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_intervals_of_evenly_spread_draws_hold_the_true_mean_as_often_as_they_say():
    """The true mean is that over everything random: data, and randomisations of the draws."""
    times, metrics = np.array([0.2, 0.9]), ["paper_jsd", "sliced_w1", "energy_distance"]
    values: dict[str, list[float]] = {metric: [] for metric in metrics}
    intervals: dict[str, list[Interval]] = {metric: [] for metric in metrics}
    for seed in range(300):
        data = Snapshots(times, tuple(np.random.default_rng([9, seed]).poisson(5.0, (2, 40, 2)).astype(float)))
        part = scored_on(data, data)
        result = evaluate({"model": EvenCounts(6.0)}, part, 40, seed, metrics)
        for metric in metrics:
            interval = result.interval("model", metric)
            assert interval is not None
            values[metric].append(result.mean("model", metric))
            intervals[metric].append(interval)
    held = {m: np.mean([one.low <= np.mean(values[m]) <= one.high for one in intervals[m]]) for m in metrics}
    assert all(0.92 <= share <= 0.98 for share in held.values()), held


def test_any_part_of_a_models_draws_is_as_good_as_any_other():
    """Means of a quarter of 1,000 uniform numbers, in whatever way it is taken, vary by no more than chance allows."""
    parts = {"every fourth": slice(None, None, 4), "first": slice(250), "last": slice(750, None)}
    drawn = [quasi_uniforms(1000, 2, seed, "sample").numpy() for seed in range(200)]
    expected = np.sqrt(1 / 12 / 250 * 3 / 4)  # of a quarter without replacement of points that are even as a whole
    for rows in parts.values():
        deviations = [np.std([x[rows, axis].mean() for x in drawn]) for axis in (0, 1)]
        np.testing.assert_allclose(deviations, expected, rtol=0.2)
    assert np.std([x[:, 0].mean() for x in drawn]) < expected / 20
    residues = np.stack([[x[k::20].mean(axis=0) for k in range(20)] for x in drawn])
    np.testing.assert_allclose(residues.std(axis=1).mean(axis=0), np.sqrt(1 / 12 / 50), rtol=0.1)


@pytest.mark.parametrize("groups", [8, 20])
def test_intervals_hold_the_mean_of_skewed_scores_too(groups):
    """Student's would hold the mean of exponential values, which is 1, in 90 and 92 % of all cases."""
    values = np.random.default_rng(3).exponential(size=(1500, groups))
    intervals = [Interval.of(float(row.mean()), row.tolist()) for row in values]
    held = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    assert 0.925 <= held <= 0.965


def test_what_two_methods_share_does_not_blur_their_difference():
    samplers = {"model": Drifting(), "near": Ahead(4.0, share=9), "far": Ahead(4.3, share=9)}
    result = evaluate(samplers, gaussian_split(0), 100, 0, ["sliced_w1"])
    each = [result.interval(name, "sliced_w1") for name in ("near", "far")]
    both = result.difference("near", "far", "sliced_w1")
    assert both is not None
    assert all(one is not None and 5 * both.half < one.half for one in each)
    assert both.high < 0
    assert result.difference("near", "floor", "sliced_w1") is None  # other samples


def test_a_metric_that_only_some_methods_have_survives_its_file_and_counts_for_no_other():
    samplers = {"model": Drifting(), "mccann": Ahead(1.0), "direct": Drifting()}
    result = evaluate(samplers, gaussian_split(1), 100, 0, ["species_w1", "nll"])
    assert Scores.from_json(result.to_json()) == result
    assert result.metrics == ("species_w1", "nll")
    assert result.scored("nll") == ("model", "direct")
    assert "nll" not in json.loads(result.to_json())["methods"]["mccann"]
    with pytest.raises(InputError, match="no score of `mccann` by `nll`"):
        result.mean("mccann", "nll")
    assert "McCann" not in verdict(result, "nll")
    assert "floor" not in verdict(result, "nll")
    assert result.leading == "species_w1"
    assert "It beats every alternative beyond chance: McCann's interpolation." in summary(result)
    alone = evaluate({"model": Drifting(), "mccann": Ahead(1.0)}, gaussian_split(1), 100, 0, ["species_w1", "nll"])
    assert verdict(alone, "nll").endswith("has no alternative beside it.")


def test_the_likelihood_by_time_is_that_of_each_cloud_whatever_their_sizes():
    clouds = tuple(Drifting().sample(np.array([t]), n, 3)[0] for t, n in ((1.0, 40), (2.0, 60)))
    data = Snapshots(np.array([1.0, 2.0]), clouds)
    split = scored_on(data, data)
    by_time = evaluate({"model": Drifting()}, split, 100, 0, ["nll"]).by_time("model", "nll")
    expected = [-norm.logpdf(cloud, loc=t).sum(1).mean() for t, cloud in zip(data.times, clouds, strict=True)]
    np.testing.assert_allclose(by_time, expected)


def test_an_infinite_likelihood_is_an_error_that_says_whose():
    class Sure(Drifting):
        def log_prob(self, x: np.ndarray, t: np.ndarray) -> torch.Tensor:
            return torch.full(np.shape(x)[:-1], -torch.inf)

    with pytest.raises(WeightFlowError, match="`model` returned a log-density that is not finite at t=1"):
        evaluate({"model": Sure()}, gaussian_split(0), 50, 0, ["nll"])


def test_what_is_within_chance_is_called_level():
    groups = {"model": {"paper_jsd": (1.0, 2.0, 3.0) * 3}, "mccann": {"paper_jsd": (2.5, 0.9, 3.2) * 3}}
    methods = {"model": {"paper_jsd": (2.0,)}, "mccann": {"paper_jsd": (2.2,)}, "floor": {"paper_jsd": (1.0,)}}
    noisy = Scores("interpolation", 9, "", (1.0,), methods, groups)
    assert standing(noisy, "paper_jsd") == "level"
    assert "is no more than chance." in verdict(noisy, "paper_jsd")
    exact = dataclasses.replace(noisy, groups={})
    assert standing(exact, "paper_jsd") == "wins"
    assert "chance" not in verdict(exact, "paper_jsd")


def test_the_first_interval_and_all_others_have_their_own_means():
    result = Scores("interpolation", 9, "", (1.0, 2.0, 3.0), {"model": {"joint_w1": (9.0, 1.0, 2.0)}})
    assert result.mean("model", "joint_w1", until=1.0) == 9.0
    assert result.mean("model", "joint_w1", after=1.0) == 1.5
    assert result.mean("model", "joint_w1", after=1.0, until=2.0) == 1.0
    with pytest.raises(InputError, match=r"after 3 and not after inf; they go from 1 to 3"):
        result.mean("model", "joint_w1", after=3.0)


def cells(paired: bool = False) -> Dataset:
    times = np.arange(5.0)
    clouds = tuple(Drifting().sample(times[[i]], 90 if paired else 90 + i, i)[0] for i in range(5))
    return Dataset("cells", Snapshots(times, clouds), (0, 2, 4), paired)


def test_scores_of_all_left_out_times_are_those_of_the_fits_that_have_not_seen_them():
    parts = leave_one_out(cells())
    names, metrics = ("nearest", "mccann"), ["joint_w1", "sliced_w2"]
    each = [baselines(fold.fit) for fold in parts.tests]
    times = [fold.held_out.times for fold in parts.tests]
    together = evaluate({name: left_out([by[name] for by in each], times) for name in names}, parts, 90, 0, metrics)
    assert (together.protocol, together.times) == ("leave-one-out", (1.0, 2.0, 3.0, 4.0))
    alone = Scores.joined(
        [
            evaluate({n: by[n] for n in names}, scored_on(f.fit, f.held_out), 90, 0, metrics)
            for by, f in zip(each, parts.tests, strict=True)
        ]
    )
    for name in names:
        for metric in metrics:
            one, other = together.by_time(name, metric), alone.by_time(name, metric)
            assert one == pytest.approx(other, rel=0.35), (name, metric)  # other draws, of the same fits


def test_a_time_is_drawn_and_weighed_by_the_fit_that_left_it_out():
    data = cells().snapshots
    times = np.array([3.0, 1.0, 2.0])
    parts = [Ahead(10.0 * k) for k in range(3)]
    one = left_out(parts, [np.array([1.0]), np.array([2.0]), np.array([3.0])])
    drawn = np.asarray(one.sample(times, 500, 0))
    truth = np.asarray(Drifting().sample(times, 500, 0))
    offsets = drawn.mean(axis=(1, 2)) - truth.mean(axis=(1, 2))
    assert offsets == pytest.approx([20.0, 0.0, 10.0], abs=0.5)
    assert left_out(parts[:1], [data.times]) is parts[0]
    with pytest.raises(InputError, match="t=4 was not left out"):
        one.sample(np.array([4.0]), 1, 0)


def test_scores_that_were_selected_by_say_so_wherever_they_are_read():
    parts = dataclasses.replace(poisson_split(floor=True), selected=True)
    scores = evaluate({"model": Poisson()}, parts, 50, 0, ["species_w1"])
    assert json.loads(scores.to_json())["selected"] is True
    assert Scores.from_json(scores.to_json()) == scores
    assert "Read the model's scores as selected" in summary(scores)
    plain = evaluate({"model": Poisson()}, poisson_split(floor=True), 50, 0, ["species_w1"])
    assert "selected" not in summary(plain)
    assert json.loads(plain.to_json())["selected"] is False


def test_trajectories_that_are_scored_are_not_fitted_at_the_neighbouring_times():
    parts = leave_one_out(cells(paired=True))
    assert {len(cloud) for fold in parts.tests for cloud in fold.fit.samples} == {72}
    assert {len(cloud) for cloud in parts.test.samples} == {18}
    assert parts.floor is not None
    assert parts.floor.times.tolist() == parts.test.times.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_scores_of_all_left_out_times_join_into_one():
    parts = [
        evaluate(
            {"model": Drifting(), **baselines(fold.fit)},
            scored_on(fold.fit, fold.held_out, Protocol.LEAVE_ONE_OUT),
            60,
            0,
            ["joint_w1", "nll"],
        )
        for fold in leave_one_out(cells(), times=[1, 2, 3]).tests
    ]
    joined = Scores.joined(parts[::-1])
    assert (joined.protocol, joined.times) == ("leave-one-out", (1.0, 2.0, 3.0))
    assert list(joined.methods) == ["model", "nearest", "persistence", "mixture", "mccann", "bridge", "floor"]
    assert joined.mean("mccann", "joint_w1") == pytest.approx(
        np.mean([one.mean("mccann", "joint_w1") for one in parts])
    )
    halves = [interval.half for one in parts if (interval := one.interval("model", "joint_w1")) is not None]
    whole = joined.interval("model", "joint_w1")
    assert whole is not None
    assert whole.half == pytest.approx(np.mean(halves) / np.sqrt(3), rel=0.5)
    assert (
        joined.floor
        == "split halves of the test samples, 41 to 43 against 41 to 43 (models: 60 against 60), hence too high"
    )
    assert Scores.from_json(joined.to_json()) == joined
    with pytest.raises(InputError, match="t=1 was scored twice"):
        Scores.joined([parts[0], parts[0]])
    with pytest.raises(InputError, match="differ in `draws`"):
        Scores.joined([parts[0], dataclasses.replace(parts[1], draws=7)])
    with pytest.raises(InputError, match="no scores to join"):
        Scores.joined([])


def test_halves_of_a_cloud_large_enough_are_as_large_as_what_models_are_scored_with():
    result = evaluate({"model": Poisson()}, poisson_split(floor=False, n=400), 150, 0, ["species_w1"])
    assert result.floor == "split halves of the test samples, 150 against 150"
    assert result.mean("floor", "species_w1") == pytest.approx(result.mean("model", "species_w1"), rel=0.25)


def test_trajectories_are_in_one_group_at_all_times_and_in_another_order_at_each():
    rows = np.arange(50.0)[:, None]
    first, second = (arranged(rows, 7, 0, "data", time)[:, 0] for time in (0, 1))
    for k in range(7):
        assert set(first[k::7]) == set(second[k::7])
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', '{"format": 1, "methods": 3}'])
def test_a_file_that_holds_no_scores_is_refused(text):
    with pytest.raises(InputError, match="format"):
        Scores.from_json(text)


def test_asking_for_a_score_that_is_not_there_names_those_that_are():
    with pytest.raises(InputError, match="methods are model, floor, metrics paper_jsd"):
        scores(model=1.0, floor=0.5).by_time("mccann", "paper_jsd")


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        (
            {"model": 0.0080, "mccann": 0.0056, "nearest": 0.025, "floor": 0.004},
            "The model's mean JSD of the paper, 0.0080, is above McCann's 0.0056: "
            "on this metric an alternative is better. "
            "It is 2.00 times the sampling floor of 0.0040.",
        ),
        (
            {"model": 0.0050, "mccann": 0.0056, "nearest": 0.025, "floor": 0.005},
            "The model's mean JSD of the paper, 0.0050, is below McCann's 0.0056: "
            "on this metric it beats every alternative. "
            "It is at or below the sampling floor of 0.0050.",
        ),
        (
            {"model": 0.0050, "mccann": 0.0056, "bridge": 0.0043, "floor": 0.004},
            "The model's mean JSD of the paper, 0.0050, is below McCann's 0.0056 and above the bridge's 0.0043: "
            "on this metric an alternative is better. It is 1.25 times the sampling floor of 0.0040.",
        ),
        (
            {"model": 0.02501, "nearest": 0.025, "floor": -0.001},
            "The model's mean JSD of the paper, 0.0250, is level with the nearest snapshot's 0.0250: "
            "on this metric an alternative is as good. It is 0.0260 above the sampling floor of -0.0010.",
        ),
    ],
)
def test_the_verdict_follows_from_the_numbers(means, expected):
    assert verdict(scores(**means), "paper_jsd") == expected


def energies(**means: float) -> Scores:
    methods = {method: {"paper_jsd": (value,), "energy_distance": (value,)} for method, value in means.items()}
    return Scores("interpolation", 9, "", (1.0,), methods)


def test_the_headline_says_by_one_metric_what_the_model_is_worth_beside_the_alternatives():
    mixed = energies(model=2.0, nearest=3.0, persistence=4.0, mixture=2.001, mccann=1.0, floor=0.5)
    assert summary(mixed) == (
        "By energy distance the model has 2.000. It is 4.00 times the sampling floor of 0.5000. "
        "It beats the nearest snapshot and persistence in the mean, is level with the mixture, loses to McCann's "
        "interpolation. By other metrics an alternative wins: McCann's interpolation by JSD of the paper."
    )
    assert summary(energies(model=0.88, mccann=1.0, nearest=1.1, floor=0.8)).endswith(
        "It beats every alternative in the mean: McCann's interpolation and the nearest snapshot. "
        "By no other metric an alternative wins."
    )
    assert "it was scored without any alternative beside it." in summary(energies(model=1.0, floor=0.5)).lower()
    with pytest.raises(InputError, match="no `model`"):
        summary(scores(mccann=1.0, floor=0.5))


def test_variants_of_the_fit_are_no_alternatives_to_it():
    """A model 12 % below all alternatives is not talked down because its own teacher path is as good."""
    result = energies(floor=0.7, direct=0.87, model=0.88, weights_line=0.5, mccann=1.0, nearest=1.1, persistence=1.3)
    assert (result.alternatives, result.variants) == (("mccann", "nearest", "persistence"), ("direct", "weights_line"))
    assert result.ordered == (
        *("model", "mccann", "nearest", "persistence"),
        *("direct", "weights_line", "floor"),
    )
    assert standing(result, "paper_jsd") == "wins"
    assert "It beats every alternative in the mean" in summary(result)
    assert verdict(result, "paper_jsd").endswith(
        "is below McCann's 1.000: on this metric it beats every alternative. It is 1.26 times the sampling floor of "
        "0.7000."
    )


class Wide:
    """N(0, 1) in many species, at another spread if one is given."""

    def __init__(self, dim: int, spread: float = 1.0) -> None:
        self.dim, self.spread = dim, spread

    def sample(self, times: np.ndarray, n: int, seed: int) -> np.ndarray:
        return self.spread * np.random.default_rng(seed).standard_normal((len(times), n, self.dim))


def wide_result(dim: int) -> Scores:
    data = Snapshots(np.array([1.0]), tuple(Wide(dim).sample(np.array([1.0]), 550, 7)))
    part = scored_on(data, data)
    metrics = ["joint_w1", "joint_w2", "sliced_w1", "energy_distance"]
    return evaluate({"model": Wide(dim), "narrow": Wide(dim, 0.5)}, part, 275, 0, metrics)


def test_in_many_dimensions_proper_scores_lead_and_a_shrunk_truth_shows_what_transport_rewards():
    result = wide_result(30)
    assert result.metrics[:2] == ("energy_distance", "sliced_w1")
    assert result.mean("shrunk_truth", "joint_w1") < 0.95 * result.mean("floor", "joint_w1")
    assert result.mean("shrunk_truth", "energy_distance") > 5 * result.mean("floor", "energy_distance")
    assert result.mean("narrow", "joint_w1") == pytest.approx(result.mean("shrunk_truth", "joint_w1"), rel=0.05)
    assert result.leading == "energy_distance"
    assert "beats every alternative" in summary(result)
    assert "narrow by joint W1 (which rewards too little spread here)" in summary(result)
    assert not result.rewards_shrinking("energy_distance")
    assert Scores.from_json(result.to_json()).metrics == result.metrics
    assert "shrunk_truth" not in json.loads(result.to_json())["alternatives"]


def test_in_few_dimensions_there_is_no_shrunk_truth_and_transport_tells_it_apart():
    result = wide_result(3)
    assert not result.many_dimensions
    assert result.metrics[0] == "joint_w1"
    assert result.mean("narrow", "joint_w1") > result.mean("floor", "joint_w1")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0435, "0.0435"),
        (-1e-9, "0.00000"),
        (0.00012, "0.00012"),
        (1.59, "1.590"),
        (123.456, "123.5"),
        (4e4, "40,000"),
    ],
)
def test_scores_are_written_with_about_four_digits(value, text):
    assert figure(value) == text


class Normal:
    """Independent N(0, 1) in three species, off by `shift`; quasi-random draws would break the test's assumption."""

    def __init__(self, shift: float = 0.0, scale: float = 1.0) -> None:
        self.shift, self.scale = shift, scale

    def sample(self, times: np.ndarray, n: int, seed: int, *, independent: bool = False) -> np.ndarray:
        assert independent
        noise = np.random.default_rng(seed).standard_normal((len(times), n, 3))
        return self.scale * (noise + self.shift)


def normal_parts(n: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> list[Snapshots]:
    """Two held-out parts of two and one snapshots, which differ in size; `shift` is of the first species."""
    rng = np.random.default_rng([7, seed])
    clouds = [scale * (rng.standard_normal((n + i, 3)) + np.array([shift, 0, 0])) for i in range(3)]
    return [Snapshots(np.array([1.0, 2.0]), tuple(clouds[:2])), Snapshots(np.array([3.0]), tuple(clouds[2:]))]


def test_a_perfect_model_is_told_from_the_data_as_seldom_as_the_level_says():
    p = np.array([floor_p_value(Normal(), normal_parts(20, seed), seed, permutations=99) for seed in range(60)])
    for level in (0.1, 0.5):
        low, high = binom.ppf([0.001, 0.999], len(p), level)
        assert low <= (p <= level).sum() <= high


def test_the_power_is_how_often_a_shift_of_a_quarter_deviation_is_seen():
    """In 150 and 40 samples, against the frequency among data sets that are really shifted."""
    for n in (150, 40):
        shifted = [normal_parts(n, seed, shift=SHIFT) for seed in range(80)]
        seen = np.mean([floor_p_value(Normal(), p, i, permutations=99) < FLOOR_LEVEL for i, p in enumerate(shifted)])
        power = np.mean([floor_power(Normal(), normal_parts(n, 0), seed) for seed in range(3)])
        assert power == pytest.approx(seen, abs=0.17)  # three deviations of 80 cases


def test_ten_samples_a_time_cannot_vouch_for_a_model_and_a_thousand_can():
    """A model that is half a deviation off passes with ten samples, most often; but then the power is small."""
    few = [floor_p_value(Normal(shift=0.5), normal_parts(10, seed)[1:], seed, permutations=99) for seed in range(20)]
    assert np.mean(np.array(few) >= FLOOR_LEVEL) > 0.4
    assert floor_power(Normal(shift=0.5), normal_parts(10, 0), 0) < 0.5 < FLOOR_POWER
    assert floor_power(Normal(), normal_parts(1000, 0), 0) >= FLOOR_POWER
    assert floor_p_value(Normal(), normal_parts(1000, 0), 0, permutations=99) >= FLOOR_LEVEL


def test_the_power_leaves_out_what_never_varies():
    class Still(Normal):
        """Two species that vary and one that does not."""

        def sample(self, times: np.ndarray, n: int, seed: int, *, independent: bool = False) -> np.ndarray:
            x = super().sample(times, n, seed, independent=independent)
            return np.stack([x[..., 0], x[..., 1], np.full_like(x[..., 2], 4.0)], axis=-1)

    parts = normal_parts(100, 0)
    assert 0.3 < floor_power(Still(), parts, 0) < 0.9
    still = Snapshots(np.array([1.0]), (np.full((9, 2), 3.0),))
    assert floor_power(Nearest(still), [still], 0) == 1.0


def test_the_held_out_score_of_a_sorted_file_is_that_of_all_its_cells():
    """Half of the cells are of one type, and stand first in the file; who knows these alone must lose."""
    cells = np.concatenate([Drifting().sample(np.array([place]), 3000, i)[0] for i, place in enumerate((0.0, 9.0))])
    held_out = Snapshots(np.array([0.0]), (cells,))

    class Types:
        def __init__(self, *places: float) -> None:
            self.places = places

        def log_prob(self, x: Numbers, t: Numbers) -> torch.Tensor:
            one = [Drifting().log_prob(np.asarray(x)[None], np.array([place]))[0] for place in self.places]
            return torch.logsumexp(torch.stack(one), 0) - np.log(len(one))

    first, both = (held_out_score(Types(*places), held_out, held_out) for places in ((0.0,), (0.0, 9.0)))
    entropy = 1 + np.log(2 * np.pi) + np.log(2)
    assert both.score == pytest.approx(entropy, abs=0.1)
    assert first.score == pytest.approx(1 + np.log(2 * np.pi) + 81 / 2, rel=0.1)  # two nines off, in half of all


def test_a_wrong_model_is_told_from_the_data_at_all_times_together():
    assert floor_p_value(Normal(shift=0.3), normal_parts(150, 0), 0) == 1 / 200
    # too little to be seen at one time alone
    slight = [floor_p_value(Normal(shift=0.2), normal_parts(150, seed)[1:], seed) for seed in range(8)]
    together = [floor_p_value(Normal(shift=0.2), normal_parts(150, seed), seed) for seed in range(8)]
    assert np.mean(together) < np.mean(slight)


def test_whether_model_and_data_differ_is_decided_by_the_seed_and_by_no_unit():
    parts = normal_parts(60, 0)
    p = floor_p_value(Normal(), parts, 5, points=30)
    assert p == floor_p_value(Normal(), parts, 5, points=30)
    assert p == floor_p_value(Normal(scale=2.0**20), normal_parts(60, 0, scale=2.0**20), 5, points=30)
    assert len({floor_p_value(Normal(), parts, seed, points=30) for seed in range(4)}) > 1


def test_a_point_mass_cannot_be_told_from_itself():
    point = Snapshots(np.array([1.0, 2.0]), (np.full((9, 2), 3.0), np.full((5, 2), 3.0)))
    assert floor_p_value(Broken(1.0, 2), [point], 0) == 1 / 200
    assert floor_p_value(Nearest(point), [point], 0) == 1.0


class Unit:
    """Independent uniform numbers between 0 and 1."""

    def sample(self, times: np.ndarray, n: int, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).random((len(times), n, 1))


def test_labellings_that_are_equal_but_for_rounding_are_counted_as_equal():
    """Of two points on each side a third of all labellings is the true one or its mirror image."""
    parts = [Snapshots(np.array([1.0]), (np.array([[10.1], [10.3]]),))]
    p = [floor_p_value(Unit(), parts, seed, permutations=399) for seed in range(5)]
    assert p == pytest.approx([1 / 3] * 5, abs=0.1)


@pytest.mark.parametrize("wrong", [{"parts": []}, {"points": 0}, {"permutations": 0}])
def test_nothing_to_compare_is_refused(wrong):
    arguments: dict[str, Any] = {"model": Normal(), "parts": normal_parts(9, 0), "seed": 0, **wrong}
    with pytest.raises(InputError, match="give one of each at least"):
        floor_p_value(**arguments)
