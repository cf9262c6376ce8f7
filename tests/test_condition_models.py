"""One model of many conditions: what it knows between them, and that one condition changes nothing."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

import weightflow
from weightflow.bridge import BridgeOptions, ConditionOptions, Family, neighbours
from weightflow.data import Conditions, Snapshots
from weightflow.errors import ExtrapolationWarning, InputError
from weightflow.experiment import ExperimentConfig, Preparation, preset
from weightflow.model import WeightFlow

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


@pytest.fixture(scope="module")
def model() -> WeightFlow:
    return weightflow.fit(doses(), small(teacher={"steps": 200, "draws": 64, "rounds": 1, "width": 32}))


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
    with pytest.raises(InputError, match=r"say at=\{'dose': ..\}, on the command line `--at dose=..`"):
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


def test_samples_between_neighbouring_conditions_move_with_the_place():
    data = doses((1.0, 9.0))
    preparation = Preparation(data, small(), 0)
    family = Family.of(data, preparation.bridges(preparation.bridge()), BridgeOptions(), ConditionOptions(), 0)
    drawn = family.between(100, np.random.default_rng(0))
    assert drawn is not None
    # standardised log dose is -1 at the first and 1 at the second: half of it plus one half is the place
    for time, code, cloud in zip(drawn.times, drawn.codes, drawn.samples, strict=True):
        dose = 9.0 ** ((code[0] + 1) / 2)
        assert code[1] == pytest.approx(code[0] ** 2)
        assert cloud.mean() == pytest.approx(mean(dose, time), abs=0.5)


def test_what_needs_one_course_refuses_several(tmp_path: Path):
    with pytest.raises(InputError, match=r"`training.objective`: anchor is for one course"):
        weightflow.fit(doses(), small("ode", training={"objective": "anchor", "epochs": 2, "rollout_steps": 1}))
    with pytest.raises(InputError, match=r"`bridge.curve` is `drift`"):
        weightflow.fit(doses(), small(bridge={"curve": "drift"}))
