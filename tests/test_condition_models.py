"""One model of many conditions: what it knows between them, and that one condition changes nothing."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy.spatial import Delaunay

import weightflow
from weightflow.backbones.heads import Gaussian
from weightflow.bridge import BridgeOptions, ConditionOptions, Family, neighbours
from weightflow.bridge.family import Lone
from weightflow.cli import app
from weightflow.data import Conditions, Covariate, Snapshots, conditions_left_out
from weightflow.errors import ExtrapolationWarning, InputError
from weightflow.evaluation import Scores, condition_baselines
from weightflow.experiment import ExperimentConfig, Preparation, flatten, preset
from weightflow.experiment.members import resampled
from weightflow.model import WeightFlow, interval
from weightflow.training.teacher import steps_for

TIMES = np.array([0.0, 1.0, 2.0, 3.0])
DOSES = (1.0, 3.0, 9.0)
SMALL = {
    "backbone": {"hidden": 4},
    "anchors": {"base_steps": 40, "steps": 20},
    "teacher": {"steps": 60, "draws": 32, "rounds": 1, "width": 32},
    "training": {"epochs": 3, "collocation_steps": 20, "rollout_steps": 2, "rounds": 1},
    "bridge": {"drift_steps": 0},
}


def mean(dose: float, time: float) -> float:
    """The mean of the simulated system: it moves up with time, at a rate that grows with the logarithm of the dose."""
    return 5.0 + 2.0 * time * np.log(dose) / np.log(3.0)


def course(dose: float, times: np.ndarray = TIMES, n: int = 60, seed: int = 0) -> Snapshots:
    rng = np.random.default_rng([seed, round(100 * dose)])
    clouds = [rng.normal(mean(dose, time), 1.0, (n, 1)) for time in times]
    return Snapshots(times, tuple(clouds))


def doses(values: tuple[float, ...] = DOSES) -> Snapshots:
    return Snapshots.of_conditions({dose: course(dose) for dose in values}, "dose", {"dose": "log"})


def small(kind: str = "direct", **groups: Mapping[str, object]) -> ExperimentConfig:
    dynamics = {"kind": kind, "hidden": 8, "heads": 1, "steps": 4, **groups.pop("dynamics", {})}
    return preset("default", **{**SMALL, "dynamics": dynamics, **groups})


def dose_of(model: WeightFlow) -> Covariate:
    assert model.conditions is not None
    return model.conditions.covariates[0]


@pytest.fixture(scope="module")
def model() -> WeightFlow:
    return weightflow.fit(doses(), small(teacher={"steps": 200, "draws": 64, "rounds": 1, "width": 32}))


@pytest.mark.parametrize(
    ("points", "powers", "across", "taught"),
    [
        ([(1.0, 5.0), (3.0, 5.0)], 2, 4, 4),  # the second number never varies
        ([(1.0, "wild"), (3.0, "mutant")], 2, 4, 0),  # nothing lies between two categories
        ([(1.0, 5.0), (3.0, 5.0), (1.0, 7.0)], 1, 0, 0),
    ],
)
def test_squares_and_samples_on_the_way_are_for_one_covariate_that_varies(points, powers, across, taught):
    data = Snapshots.of_conditions({point: course(point[0]) for point in points}, ("dose", "other"), {"dose": "log"})
    conditions = data.conditions
    assert conditions is not None
    found = ConditionOptions().of(conditions)
    assert (found.powers, found.across) == (powers, across)
    assert ConditionOptions(powers=3, across=1).of(conditions) == ConditionOptions(powers=3, across=1)
    preparation = Preparation(data, small(), 0)
    family = Family.of(data, preparation.bridges(preparation.bridge()).courses, BridgeOptions(), ConditionOptions(), 0)
    numbers = sum(powers if one.numeric else 2 for one in conditions.covariates if one.varies)
    assert family.codes.shape == (len(points), numbers)
    drawn = family.between(3, np.random.default_rng(0))
    assert (0 if drawn is None else len(drawn.times)) == taught


@pytest.mark.parametrize("kind", ["direct", "cde"])
def test_one_condition_gives_the_model_without_conditions_to_the_digit(kind):
    plain = weightflow.fit(course(3.0), small(kind))
    named = weightflow.fit(doses((3.0,)), small(kind))
    times = np.array([0.0, 0.7, 3.0, 3.5])
    assert torch.equal(named.weights(times, at={"dose": 3.0}), plain.weights(times))
    assert torch.equal(named.sample(times, 50, 7, at={"dose": 3.0}), plain.sample(times, 50, 7))
    x = course(3.0, seed=1).samples[1]
    assert torch.equal(named.log_prob(x, 1.0, at={"dose": 3.0}), plain.log_prob(x, 1.0))
    with pytest.raises(InputError, match="all that was seen has dose=3"):
        named.weights(times, at={"dose": 4.0})


def test_a_dose_and_a_time_between_those_that_were_fitted_have_the_mean_in_between(model):
    # without a word about the formula: log-spaced doses, and a path that is fitted at three of them
    for dose, time in ((3.0**0.5, 1.5), (3.0**1.5, 2.5), (3.0, 3.0)):
        found = model.mean_and_cov(time, at={"dose": dose})
        assert float(found.mean[0]) == pytest.approx(mean(dose, time), abs=0.5)
        assert float(found.cov[0, 0]) == pytest.approx(1.0, abs=0.5)


@pytest.mark.parametrize(("kind", "conditioning"), [("ode", "added"), ("ode", "token"), ("cde", "modulation")])
def test_a_vector_field_sees_the_condition_in_each_way_and_comes_back_from_a_file(kind, conditioning, tmp_path: Path):
    training = {"epochs": 4, "collocation_steps": 80, "rollout_steps": 4, "rounds": 1, "learning_rate": 1e-2}
    fitted = weightflow.fit(
        doses(), small(kind, dynamics={"conditioning": conditioning, "attention": "graph"}, training=training)
    )
    ends = [float(fitted.mean_and_cov(3.0, at={"dose": dose}).mean[0]) for dose in (1.0, 5.0, 9.0)]
    assert ends[0] + 1 < ends[1] < ends[2] - 1
    fitted.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dynamics"]["time"]  # it sees the clock, though not asked
    again, at = weightflow.load(tmp_path), {"dose": 2.0}
    assert again.conditions == fitted.conditions
    assert torch.equal(again.sample([0.5, 3.0], 20, 1, at=at), fitted.sample([0.5, 3.0], 20, 1, at=at))


def test_weights_at_a_shared_start_are_the_same_under_all_conditions():
    data = doses()
    shared = Snapshots.of_conditions({(d,): c for (d,), c in data.courses.items()}, "dose", {"dose": "log"}, True)
    for kind in ("direct", "ode"):
        fitted = weightflow.fit(shared, small(kind))
        first, second = (fitted.weights(TIMES, at={"dose": dose}) for dose in (1.0, 9.0))
        assert torch.equal(first[0], second[0])
        assert not torch.allclose(first[3], second[3])


def test_a_condition_is_needed_by_models_of_several_and_refused_by_others(model):
    with pytest.raises(InputError, match=r"say which, at=\{'dose': ..\}, on the command line `--at dose=..`"):
        model.sample(1.0, 5)
    with pytest.raises(InputError, match="`at` names `rate`"):
        model.sample(1.0, 5, at={"rate": 1.0})
    with pytest.raises(InputError, match="this model has no conditions"):
        model.under({"dose": 3.0}).log_prob(np.ones((1, 1)), 1.0, at={"dose": 3.0})
    with pytest.raises(InputError, match="save the model of all"):
        model.under({"dose": 2.0}).save("nowhere")


def test_a_condition_outside_those_that_were_fitted_is_an_extrapolation_and_one_inside_is_none(model):
    with pytest.warns(ExtrapolationWarning, match="dose=10 is an extrapolation.*dose from 1 to 9"):
        model.sample(1.0, 5, at={"dose": 10.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.sample(1.0, 5, at={"dose": 9.0})


def test_whatever_a_model_is_asked_at_a_condition_is_asked_of_the_model_under_it(model):
    at, times = {"dose": 2.0}, [0.5, 2.0]
    here = model.under(at)
    x = course(2.0).samples[1][:5]
    assert torch.equal(model.quantiles(times, 0.5, at=at), here.quantiles(times, 0.5))
    assert torch.equal(model.score(x, 1.0, at=at), here.score(x, 1.0))
    assert model.to_frame(times, 3, at=at).equals(here.to_frame(times, 3))
    assert "on a logarithmic scale" in repr(model)


def test_conditions_may_have_other_times_and_other_numbers_of_samples_or_a_single_time():
    courses = {1.0: course(1.0), 3.0: course(3.0, np.array([0.0, 2.5]), 40), 9.0: course(9.0, np.array([3.0]), 30)}
    fitted = weightflow.fit(Snapshots.of_conditions(courses, "dose", {"dose": "log"}), small("ode"))
    assert fitted.span == (0.0, 3.0)
    assert fitted.record["courses"] == {"dose=1": [0, 1, 2, 3], "dose=3": [0, 2.5], "dose=9": [3]}


def test_neighbours_follow_each_other_on_the_scale_and_share_edges_of_the_triangulation():
    line = Conditions.of(("dose", "drug"), [(9.0, "a"), (1.0, "a"), (3.0, "a"), (1.0, "b")], {"dose": "log"})
    assert neighbours(line) == (((1.0, "a"), (3.0, "a")), ((3.0, "a"), (9.0, "a")))
    corners = [(0.0, 0.0), (2.0, 0.0), (0.0, 2.0), (2.0, 2.0), (1.0, 1.0)]
    square = neighbours(Conditions.of(("x", "y"), corners))
    sides = {frozenset(pair) for pair in square}
    assert len(sides) == 8  # four sides, and four spokes to the middle; no diagonal
    assert frozenset(((0.0, 0.0), (2.0, 2.0))) not in sides


def test_of_very_many_edges_the_shortest_make_neighbours():
    places = np.random.default_rng(0).normal(size=(150, 4))
    many = Conditions.of(("a", "b", "c", "d"), [tuple(map(float, place)) for place in places])
    where = np.stack([many.positions(point) for point in many.distinct])
    index = {point: i for i, point in enumerate(many.distinct)}
    edges = {tuple(sorted(pair)) for each in Delaunay(where).simplices for pair in combinations(each.tolist(), 2)}
    length = {pair: float(np.linalg.norm(where[pair[0]] - where[pair[1]])) for pair in edges}
    kept = {tuple(sorted((index[one], index[other]))) for one, other in neighbours(many)}
    assert len(edges) > len(kept) == 600
    assert max(length[pair] for pair in kept) <= min(length[pair] for pair in edges - kept)
    few = Conditions.of(("a", "b", "c", "d"), many.distinct[:40])
    ends = np.stack([few.positions(point) for point in few.distinct])
    all_of_few = {frozenset(pair) for each in Delaunay(ends).simplices for pair in combinations(each.tolist(), 2)}
    assert len(neighbours(few)) == len(all_of_few) < 600


@pytest.mark.parametrize(
    ("number", "components", "together", "steps"), [(3, 4, 2, 73), (10, 4, 2, 134), (40, 6, 4, 268), (100, 7, 10, 337)]
)
def test_many_conditions_carry_a_richer_model_and_a_step_takes_more_of_them(
    number: int, components: int, together: int, steps: int
):
    data = doses(tuple(np.geomspace(1.0, 9.0, number).tolist()))
    config = small()
    (head,) = Preparation(data, config, 0).backbone.heads
    assert isinstance(head, Gaussian)
    assert head.components == components
    (asked,) = Preparation(data, small(backbone={"hidden": 4, "components": 1}), 0).backbone.heads
    assert isinstance(asked, Gaussian)
    assert asked.components == 1
    bridges = [Lone.of(one, BridgeOptions()) for one in data.courses.values()]
    family = Family(tuple(bridges), np.zeros((number, 1)), data.conditions)
    assert family.together == together
    assert len(set(family.chosen(family.together, np.random.default_rng(0)))) == together
    assert steps_for(family, config.teacher) == steps


def test_samples_between_neighbouring_conditions_move_with_the_place():
    data = doses((1.0, 9.0))
    preparation = Preparation(data, small(), 0)
    family = Family.of(data, preparation.bridges(preparation.bridge()).courses, BridgeOptions(), ConditionOptions(), 0)
    drawn = family.between(100, np.random.default_rng(0))
    assert drawn is not None
    # standardised log dose is -1 at the first and 1 at the second: half of it plus one half is the place
    for time, code, cloud in zip(drawn.times, drawn.codes, drawn.samples, strict=True):
        dose = 9.0 ** ((code[0] + 1) / 2)
        assert code[1] == pytest.approx(code[0] ** 2)
        assert cloud.mean() == pytest.approx(mean(dose, time), abs=0.5)


def test_what_needs_one_course_refuses_several(model: WeightFlow):
    with pytest.raises(InputError, match=r"`training.objective`: anchor is for one course"):
        weightflow.fit(doses(), small("ode", training={"objective": "anchor", "epochs": 2, "rollout_steps": 1}))


def test_the_posterior_is_the_likelihood_over_a_grid_and_holds_the_dose_that_made_the_samples(model):
    unknown = course(4.0, np.array([1.0, 2.5]), 40, seed=5)
    posterior = model.infer(unknown)
    assert posterior["weight"].sum() == pytest.approx(1.0)
    row = posterior.iloc[posterior["weight"].argmax()]
    own = sum(
        float(model.log_prob(cloud, time, at={"dose": row["dose"]}).sum())
        for time, cloud in zip(unknown.times, unknown.samples, strict=True)
    )
    assert row["log_likelihood"] == pytest.approx(own)
    # weights are uniform in log dose: the ratio of two is that of their likelihoods
    first, second = posterior.iloc[row.name - 1], row
    ratio = np.exp(first["log_likelihood"] - second["log_likelihood"])
    assert first["weight"] / second["weight"] == pytest.approx(ratio)
    dose = dose_of(model)
    middle, low, high = interval(posterior, dose)
    assert low < middle < high
    assert low < 4.0 * 1.3
    assert high > 4.0 / 1.3
    # 80 samples of deviation 1 say the mean, which moves by 2 t / log 3 with the logarithm of the dose
    error = 1 / np.sqrt(40 * sum((2 * time / np.log(3)) ** 2 for time in unknown.times))
    assert np.log(high / low) == pytest.approx(2 * 1.96 * error, rel=0.5)


@pytest.mark.parametrize("kind", ["direct", "ode"])
def test_log_densities_under_several_conditions_at_once_are_those_under_each(kind):
    fitted = weightflow.fit(doses(), small(kind))
    x, times = np.stack(course(2.0).samples[:3]), TIMES[:3]
    found = fitted.log_prob_each(x, times, [{"dose": 1.0}, {"dose": 5.0}])
    each = torch.stack([fitted.log_prob(x, times, at={"dose": dose}) for dose in (1.0, 5.0)])
    assert torch.allclose(found, each, atol=1e-4)


def test_a_posterior_of_weights_that_are_known_has_the_median_and_the_interval_of_its_quantiles():
    dose = Covariate.of("dose", [1.0, 100.0])
    z = np.linspace(-5, 5, 401)
    table = pd.DataFrame({"dose": 10.0 ** (1 + 0.1 * z), "weight": np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()})
    assert np.log10(interval(table, dose)) == pytest.approx([1.0, 1 - 0.196, 1 + 0.196], abs=1e-3)


def test_a_prior_restricts_a_covariate_and_one_that_is_impossible_is_refused(model):
    unknown = course(4.0, np.array([1.0, 2.5]), 10, seed=5)
    with pytest.warns(ExtrapolationWarning, match="the posterior of dose reaches 2, where its prior ends"):
        assert model.infer(unknown, {"dose": (1.0, 2.0)})["dose"].between(1.0, 2.0).all()
    with pytest.raises(InputError, match="a prior is given for `rate`"):
        model.infer(unknown, {"rate": (1.0, 2.0)})
    with pytest.raises(InputError, match="give the lower end first"):
        model.infer(unknown, {"dose": (2.0, 1.0)})
    with pytest.raises(InputError, match="fitted to one condition"):
        model.under({"dose": 2.0}).infer(unknown)
    with pytest.raises(InputError, match="inference is for one course"):
        model.infer(doses())


def test_samples_that_no_condition_makes_possible_are_refused_and_later_ones_warned_of(model):
    unknown = course(4.0, np.array([1.0, 2.5]), 10, seed=5)
    with pytest.raises(InputError, match=r"no condition within the prior .* `x1` reaches from .* to 1e\+200"):
        model.infer(replace(unknown, samples=(unknown.samples[0], np.full((1, 1), 1e200))))
    counts = {dose: Snapshots(TIMES, tuple(np.round(x**2) for x in course(dose).samples)) for dose in DOSES}
    fitted = weightflow.fit(Snapshots.of_conditions(counts, "dose"), small())
    with pytest.raises(InputError, match=r"`x1` was fitted as counts, and these data hold 20\.5"):
        fitted.infer(Snapshots(TIMES[1:3], (np.array([[3.0]]), np.array([[20.5]]))))
    with pytest.warns(ExtrapolationWarning, match=r"t = 9 lies beyond t = 3, the last time that was fitted"):
        model.infer(replace(unknown, times=np.array([1.0, 9.0])))


def test_a_data_set_is_inferred_as_its_snapshots_are(model, tmp_path: Path):
    frame = pd.DataFrame({"time": np.repeat([1.0, 2.0], 30), "x1": np.concatenate(course(4.0).samples[1:3])[:60, 0]})
    data = weightflow.read(frame, kind="continuous")
    pd.testing.assert_frame_equal(model.infer(data), model.infer(data.snapshots))


def test_the_command_line_asks_a_model_at_a_condition_and_infers_one(model, tmp_path: Path, capsys):
    model.save(tmp_path / "m")
    asked = ["--model", str(tmp_path / "m")]
    run = partial(app, standalone_mode=False)
    run(["forecast", *asked, "--times", "0:3:1", "--draws", "20", "--at", "dose=2", "--out", str(tmp_path / "s.npy")])
    assert np.array_equal(np.load(tmp_path / "s.npy"), model.sample(np.arange(4.0), 20, 0, at={"dose": 2.0}).numpy())
    run(["export", *asked, "--times", "0,3", "--at", "dose=20", "--out", str(tmp_path / "e")])
    assert "dose=20 is an extrapolation" in capsys.readouterr().err
    frame = pd.DataFrame({"time": np.repeat([1.0, 2.0], 30), "x1": np.concatenate(course(4.0).samples[1:3])[:60, 0]})
    frame.to_csv(tmp_path / "new.csv", index=False)
    out = tmp_path / "p.csv"
    run(["infer", *asked, "--data", str(tmp_path / "new.csv"), "--kind", "continuous", "--out", str(out)])
    assert pd.read_csv(out).columns.tolist() == ["dose", "log_likelihood", "weight"]
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr()
    assert "with probability 0.95" in said.out
    assert "its prior ends" not in said.err
    narrow = ["--prior", "dose=6:9", "--out", str(out)]  # the truth is 4
    run(["infer", *asked, "--data", str(tmp_path / "new.csv"), "--kind", "continuous", *narrow])
    assert "warning: the posterior of dose reaches 6, where its prior ends" in capsys.readouterr().err
    with pytest.raises(InputError, match="`--at dose` cannot be read"):
        run(["forecast", *asked, "--at", "dose"])
    with pytest.raises(InputError, match=r"`--at dose=..`"):
        run(["forecast", *asked, "--out", str(tmp_path / "s.npy")])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_intervals_of_95_percent_hold_the_dose_in_90_to_98_percent_of_200_cases():
    model = weightflow.fit(
        Snapshots.of_conditions({dose: course(dose, n=1000) for dose in (1.0, 2.0, 4.5, 9.0)}, "dose", {"dose": "log"}),
        preset("default", dynamics={"kind": "direct"}, bridge={"drift_steps": 0}),
    )
    dose, rng = dose_of(model), np.random.default_rng(7)
    held = 0
    warnings.simplefilter("ignore", ExtrapolationWarning)  # of a posterior that reaches its prior's end
    for case, truth in enumerate(9.0 ** rng.random(200)):
        found = interval(model.infer(course(truth, np.array([1.0, 2.5]), 8, seed=1000 + case)), dose)
        held += found[1] <= truth <= found[2]
    assert 180 <= held <= 196


def test_each_condition_that_can_be_left_out_is_scored_without_it_and_a_lone_category_is_not():
    courses = {(dose, drug): course(dose) for dose, drug in ((1.0, "a"), (3.0, "a"), (9.0, "a"), (3.0, "b"))}
    data = Snapshots.of_conditions(courses, ("dose", "drug"), {"dose": "log"})
    folds = conditions_left_out(data)
    assert [fold.at for fold in folds] == [{"dose": dose, "drug": "a"} for dose in DOSES]
    for fold in folds:
        assert (*fold.at.values(),) not in fold.fit.courses
        assert len(fold.fit) == 12
        assert fold.held_out.digest() == course(float(fold.at["dose"])).digest()
    with pytest.raises(InputError, match="takes three at least, and there are 2"):
        conditions_left_out(doses((1.0, 9.0)))


def test_anchors_of_the_dose_of_zero_alone_are_fitted_as_those_of_all():
    """Workers take a batch of snapshots each, and one of them may have the untreated ones."""
    data = Snapshots.of_conditions({dose: course(1.0 + dose) for dose in (0.0, 1.0, 30.0)}, "dose")
    preparation = Preparation(data, small("cde"), 0)
    base = preparation.base()
    zero = preparation.anchors(range(4), base)
    assert np.array_equal(zero["times"], TIMES)
    assert np.allclose(zero["tokens"], preparation.anchors(range(8), base)["tokens"][:4], atol=1e-5)


def test_neighbouring_conditions_rearranged_lie_between_them():
    seen = doses((1.0, 9.0))
    found = {name: one.sample(TIMES, 500, 0) for name, one in condition_baselines(seen, (3.0,)).items()}
    ends = [mean(1.0, 3.0), mean(9.0, 3.0)]
    # half-way on the logarithmic scale: transport moves each point half-way, a mixture takes half of each
    assert found["transport_between_conditions"][3].mean() == pytest.approx(mean(3.0, 3.0), abs=0.3)
    assert found["transport_between_conditions"][3].std() == pytest.approx(1.0, abs=0.3)
    assert found["mixture_of_conditions"][3].mean() == pytest.approx(np.mean(ends), abs=0.7)
    assert found["mixture_of_conditions"][3].std() == pytest.approx(np.hypot(1.0, (ends[1] - ends[0]) / 2), abs=0.5)
    assert min(abs(found["nearest_condition"][3].mean() - end) for end in ends) < 0.4


@pytest.mark.slow
def test_the_command_line_leaves_each_dose_out_in_turn_and_writes_scores_of_each(tmp_path: Path, capsys):
    rows = [
        pd.DataFrame({"dose": dose, "time": time, "x1": cloud[:, 0]})
        for dose in DOSES
        for time, cloud in zip(TIMES, course(dose).samples, strict=True)
    ]
    pd.concat(rows).to_csv(tmp_path / "doses.csv", index=False)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(flatten(small())))
    asked = ["--data", str(tmp_path / "doses.csv"), "--conditions", "dose:log", "--config", str(tmp_path / "c.yaml")]
    out = tmp_path / "judged"
    app(["score", *asked, "--leave-one-out", "--cpus", "1", "--out", str(out)], standalone_mode=False)
    scores = json.loads((out / "conditions.json").read_text())
    assert scores["protocol"] == "leave-one-condition-out"
    assert [one["at"]["dose"] for one in scores["conditions"]] == [1.0, 3.0, 9.0]
    assert [bool(one["extrapolation"]) for one in scores["conditions"]] == [True, False, True]
    assert {"model", "transport_between_conditions", "floor"} <= {*scores["conditions"][1]["scores"]["methods"]}
    assert Scores.from_json((out / "scores.json").read_text()).places == tuple(f"dose=3, t={time:g}" for time in TIMES)
    assert "outside the others" in (out / "report.html").read_text()
    assert dose_of(weightflow.load(out / "best")).levels == DOSES
    said = " ".join(capsys.readouterr().out.split())
    assert "without dose=1: " in said
    assert "dose=1 is an extrapolation" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tune", "--trials", "1"], "leaving one condition out takes three at least, and there are 2"),
        (["tune", "--protocol", "forecast"], "is for one course, and `d` has the conditions dose"),
        (["score", "--model", "m"], "is for one course of snapshots, and these are of 2 conditions"),
    ],
)
def test_commands_say_what_conditions_they_cannot_judge(words, says, model, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save(tmp_path / "m")
    frame = pd.DataFrame({"dose": [1, 1, 2, 2] * 5, "time": [0, 1] * 10, "x1": np.arange(20) * 0.5})
    frame.to_csv(tmp_path / "d.csv", index=False)
    with pytest.raises(InputError, match=says):
        app([*words, "--data", "d.csv", "--conditions", "dose"], standalone_mode=False)


def test_members_of_several_conditions_give_bands_and_widen_the_posterior():
    fitted = weightflow.fit(doses(), small(), members=3)
    at = {"dose": 2.0}
    band = fitted.band("mean", [1.0, 3.0], at=at)
    assert (band.low < band.high).all()
    assert torch.equal(band.mid, fitted.mean_and_cov([1.0, 3.0], 2000, at=at).mean)
    found = fitted.infer(course(4.0, np.array([1.0, 2.5]), 200, seed=5))
    spread = [
        np.ptp(interval(found, dose_of(fitted), weight=name)[1:]) for name in ("weight", "weight_without_members")
    ]
    assert spread[0] > spread[1]


def test_clouds_of_one_time_are_resampled_apart_under_each_condition():
    same = Snapshots.of_conditions({dose: course(1.0) for dose in DOSES}, "dose")
    drawn = [one.samples[1] for one in resampled(same, 0, None).courses.values()]
    assert not np.array_equal(drawn[0], drawn[1])
    plain = resampled(course(1.0), 0, None)
    assert not np.array_equal(plain.samples[1], drawn[0])


def test_fit_says_how_many_conditions_it_has_fitted_and_how_to_ask_at_one(tmp_path: Path, capsys):
    frames = [
        pd.DataFrame({"dose": dose, "time": time, "x1": cloud[:, 0]})
        for dose in DOSES[::-1]
        for time, cloud in zip(TIMES, course(dose).samples, strict=True)
    ]
    pd.concat(frames).to_csv(tmp_path / "doses.csv", index=False)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(flatten(small())))
    asked = ["--data", str(tmp_path / "doses.csv"), "--conditions", "dose:log", "--config", str(tmp_path / "c.yaml")]
    app(["fit", *asked, "--out", str(tmp_path / "m")], standalone_mode=False)
    told = capsys.readouterr()
    assert "fitted to 12 snapshots of doses under 3 conditions of dose, t = 0 to 3" in told.out
    assert f"forecast --model {tmp_path / 'm'} --at dose=.." in told.out
    assert "`dose` is numeric, 1, 3, 9, on a logarithmic scale" in told.err
    pd.concat(frames[:4]).drop(columns="dose").to_csv(tmp_path / "one.csv", index=False)
    with pytest.raises(InputError, match="this model is of 3 conditions, and is asked about one"):
        app(["score", "--data", str(tmp_path / "one.csv"), "--model", str(tmp_path / "m")], standalone_mode=False)
