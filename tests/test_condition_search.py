"""A search over several conditions: what it holds out, how it scores, what it leaves, and what its page shows."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import browsing
from searches import check_results, furnish, tracked, trials_of, tune_here
from test_condition_models import TIMES, course, dose_of, doses, mean, small
from test_report_pages import SCHEMES, SIZES, check_readable, keep

import weightflow
from weightflow.data import Dataset, Fold, Protocol, Snapshots, Split, conditions_left_out, split
from weightflow.errors import InputError
from weightflow.evaluation import (
    LeftOutCondition,
    Scores,
    clears_bar,
    overall,
    read_conditions,
    score_of_conditions,
    summary,
    write_conditions,
)
from weightflow.evaluation.scores import LINE_BETWEEN
from weightflow.experiment import flat_keys, judge_conditions, line_between, prepares_as, preset
from weightflow.model import WeightFlow
from weightflow.report import ConditionReport, write_condition_report
from weightflow.report.plots.responses import responses
from weightflow.report.theme import LIGHT
from weightflow.search.space.space import Space
from weightflow.tracking import Results

ROOT = Path(__file__).resolve().parent.parent


def dataset_of(snapshots: Snapshots) -> Dataset:
    return Dataset("doses", snapshots, tuple(range(len(snapshots))), paired=False)


def left_out(parts: Split, which: str) -> list[float]:
    return [float(fold.at["dose"]) for fold in getattr(parts, which)]


def test_few_conditions_that_lie_among_others_are_held_out_and_tested_and_that_is_said() -> None:
    parts = split(dataset_of(doses((1.0, 2.0, 4.0, 9.0))), Protocol.AUTO, 0)
    assert parts.protocol == "leave-one-condition-out"
    assert left_out(parts, "folds") == left_out(parts, "tests") == [2.0, 4.0]
    assert parts.selected
    said = " ".join(parts.in_words())
    assert "held out while searching: dose=2, dose=4; each left out in turn" in said
    assert "too few conditions to test others than the search selects by" in said
    assert all(len(fold.fit) == 4 * 3 for fold in parts.folds)


def test_with_many_conditions_every_second_is_kept_from_the_search_whatever_the_order_of_the_file() -> None:
    values = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 9.0)
    shuffled = tuple(np.random.default_rng(0).permutation(values).tolist())
    for order in (values, shuffled):
        parts = split(dataset_of(doses(order)), Protocol.LEAVE_ONE_CONDITION_OUT, 0)
        assert left_out(parts, "folds") == [1.5, 3.0, 5.0, 8.0]
        assert left_out(parts, "tests") == [2.0, 4.0, 6.0]
        assert not parts.selected


def test_where_no_condition_lies_among_others_all_are_left_out() -> None:
    """Four corners of a square: each is outside the triangle of the other three."""
    corners = {(dose, place): course(dose) for dose in (1.0, 9.0) for place in (20.0, 30.0)}
    data = Snapshots.of_conditions(corners, ("dose", "temperature"))
    parts = split(dataset_of(data), Protocol.AUTO, 0)
    assert len(parts.tests) == 4
    assert all(fold.extrapolation for fold in parts.tests)


@pytest.mark.parametrize(
    ("protocol", "conditions", "says"),
    [
        ("interpolation", True, "is for one course, and `doses` has the conditions dose"),
        ("leave-one-out", True, "take `--protocol leave-one-condition-out`, or leave it out"),
        ("leave-one-condition-out", False, "is for several conditions; name the columns"),
    ],
)
def test_protocols_of_the_other_kind_are_refused(protocol: str, conditions: bool, says: str) -> None:
    data = doses() if conditions else course(1.0)
    with pytest.raises(InputError, match=says):
        split(dataset_of(data), Protocol(protocol), 0)


def test_the_score_is_the_mean_over_left_out_conditions_of_the_mean_over_their_times() -> None:
    parts = split(dataset_of(doses((1.0, 2.0, 4.0, 9.0))), Protocol.AUTO, 0)
    models = [weightflow.fit(fold.fit, small()) for fold in parts.folds]
    found = score_of_conditions(models, parts.folds)
    by_hand = [
        np.mean([-model.log_prob(cloud, time, at=fold.at).mean() for cloud, time in zip(*held(fold), strict=True)])
        for model, fold in zip(models, parts.folds, strict=True)
    ]
    assert found.score == pytest.approx(np.mean(by_hand), abs=1e-6)
    assert found.facts().keys() == {"score", "score_error"}
    lost = [
        -model.log_prob(cloud, time, at=fold.at).numpy()
        for model, fold in zip(models, parts.folds, strict=True)
        for cloud, time in zip(*held(fold), strict=True)
    ]
    assert found.error == pytest.approx(np.linalg.norm([x.std() / len(x) ** 0.5 for x in lost]) / len(lost), rel=1e-4)


def held(fold: Fold) -> tuple[tuple[np.ndarray, ...], list[float]]:
    return fold.held_out.samples, fold.held_out.times.tolist()


Judged = tuple[Snapshots, tuple[WeightFlow, ...], tuple[LeftOutCondition, ...]]


@pytest.fixture(scope="module")
def judged() -> Judged:
    """Four doses; fits without each of those among the others, and without the largest; their scores."""
    data = doses((1.0, 2.0, 4.0, 9.0))
    parts = split(dataset_of(data), Protocol.AUTO, 0)
    tests = conditions_left_out(data)[1:]
    parts = replace(parts, tests=tests)
    models = tuple(weightflow.fit(fold.fit, small()) for fold in tests)
    return data, models, tuple(judge_conditions(models, parts.courses, 0))


def test_scores_of_all_conditions_are_means_over_those_among_the_others(judged: Judged) -> None:
    _, _, found = judged
    assert [(one.at["dose"], bool(one.extrapolation)) for one in found] == [(2.0, False), (4.0, False), (9.0, True)]
    scores = overall(found, selected=True)
    assert scores.places == tuple(f"dose={dose}, t={time:g}" for dose in (2, 4) for time in TIMES)
    for method in ("model", "transport_between_conditions", "floor"):
        mean = np.mean([one.scores.mean(method, "energy_distance") for one in found[:2]])
        assert scores.mean(method, "energy_distance") == pytest.approx(mean)
    interval, single = (one.interval("model", "sliced_w1") for one in (scores, found[0].scores))
    assert interval is not None
    assert single is not None
    assert interval.half < single.half  # of twice the samples
    again = Scores.from_json(scores.to_json())
    assert (again.places, again.data, again.selected) == (scores.places, scores.data, True)
    assert "at these very conditions" in summary(scores)


def test_scores_by_condition_are_read_as_they_were_written_and_mlflow_has_each(judged: Judged, tmp_path: Path) -> None:
    _, _, found = judged
    write_conditions(tmp_path / "conditions.json", found)
    read = read_conditions(tmp_path / "conditions.json")
    assert [(one.at, one.extrapolation) for one in read] == [(one.at, one.extrapolation) for one in found]
    told = Results("FINISHED", scores=overall(found), conditions=read).means
    for dose, one in zip((2, 4, 9), found, strict=True):
        for method in one.scores.ordered:
            mean = told.pop(f"at dose {dose}/energy_distance/{method}")
            assert mean == pytest.approx(one.scores.mean(method, "energy_distance"), rel=1e-12)
    assert not any(key.startswith("at ") and "energy_distance" in key for key in told)
    assert all(re.fullmatch(r"[/\w.\- :]+", key) for key in told), "MLflow refuses any other sign"


def test_no_file_of_conditions_is_none_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "conditions.json"
    assert read_conditions(path) == ()
    path.write_text('{"conditions": [{"at": {}}]}')
    with pytest.raises(InputError, match=r"conditions\.json` is no file of scores by condition \(KeyError"):
        read_conditions(path)


def test_a_line_in_weights_between_conditions_passes_through_the_models_of_both_and_is_a_variant(
    judged: Judged,
) -> None:
    _, models, found = judged
    model = models[1]  # of doses 1, 2 and 9
    times = np.array([0.5, 3.0])
    for at, lower in ((2.0, 2.0), (4.0, 2.0)):
        place = (np.log(at) - np.log(lower)) / (np.log(9.0) - np.log(lower))
        low, high = (model.weights(times, at={"dose": dose}) for dose in (lower, 9.0))
        line = line_between(model, {"dose": at}).weights(times)
        assert torch.allclose(line, torch.lerp(low, high, place), atol=1e-6)
    assert not torch.allclose(line_between(model, {"dose": 4.0}).weights(times), model.weights(times, at={"dose": 4.0}))
    for one in found:
        assert LINE_BETWEEN in one.scores.variants
        assert LINE_BETWEEN not in one.scores.alternatives


def test_a_model_must_beat_what_the_neighbouring_conditions_give_for_nothing(judged: Judged) -> None:
    _, _, found = judged
    scores = overall(found)
    rivals = ("nearest_condition", "mixture_of_conditions", "transport_between_conditions")
    far = {metric: tuple(10 * value + 1 for value in by) for metric, by in scores.methods["nearest_condition"].items()}
    groups = {
        metric: tuple(10 * value + 1 for value in by) for metric, by in scores.groups["nearest_condition"].items()
    }
    worse = replace(
        scores,
        methods={**scores.methods, **dict.fromkeys(rivals, far)},
        groups={**scores.groups, **dict.fromkeys(rivals, groups)},
    )
    assert clears_bar(worse)
    assert not clears_bar(
        replace(
            worse,
            methods={**worse.methods, rivals[2]: scores.methods["model"]},
            groups={**worse.groups, rivals[2]: scores.groups["model"]},
        )
    )


def report_of(judged: Judged) -> ConditionReport:
    data, models, found = judged
    return ConditionReport(
        scores=overall(found),
        study=None,
        trials=(),
        facts={"Data": "doses"},
        best_config={},
        next_commands=(),
        observed=data,
        found=found,
        left_out=models,
        model=weightflow.fit(data, small()),
    )


def test_the_page_tells_scores_by_condition_and_shows_curves_over_the_dose(judged: Judged, tmp_path: Path) -> None:
    files = write_condition_report(tmp_path / "report.html", report_of(judged))
    assert {"by_condition.png", "responses.svg", "left_out.png", "distances.png"} <= {file.name for file in files}
    page = (tmp_path / "report.html").read_text()
    for one in judged[2]:
        assert f'<tr><th scope="row">dose={one.at["dose"]:g}' in page
    assert page.count("<small>outside the others</small>") == 1
    assert "2 of them that lie among the others" in page
    assert "Lines: the model&#39;s median over dose" in page
    assert len(page) < 5_000_000
    assert 'src="http' not in page


def test_members_put_a_band_around_the_median_that_holds_the_law(judged: Judged, tmp_path: Path) -> None:
    plain = report_of(judged)
    model = weightflow.fit(plain.observed, small(), members=4)
    told = responses(replace(plain, model=model))
    assert "Dark: where the true median lies with 90%, by the spread of 4 members" in told.caption
    assert "Dark" not in responses(plain).caption
    assert told.draw is not None
    (axis,) = told.draw(LIGHT).axes
    bands = [np.asarray(one.get_paths()[0].vertices) for one in axis.collections if one.get_alpha() == 0.4]
    assert len(bands) == len(TIMES)
    held: list[bool] = []
    for points, time in zip(bands, TIMES, strict=True):
        for dose in (1.0, 2.0, 4.0, 9.0):
            place = dose_of(model).scaled(dose)
            ends = points[np.abs(points[:, 0] - place) == np.abs(points[:, 0] - place).min(), 1]
            held.append(bool(ends.min() - 0.1 < mean(dose, time) < ends.max() + 0.1))
    assert np.mean(held) > 0.7


def test_with_categories_the_page_has_rows_and_with_two_numbers_a_map(judged: Judged, tmp_path: Path) -> None:
    _, _, found = judged
    for name, others in (("drug", ("a", "b")), ("temperature", (20.0, 30.0))):
        courses = {(dose, other): course(dose) for dose in (1.0, 2.0, 4.0, 9.0) for other in others}
        data = Snapshots.of_conditions(courses, ("dose", name), {"dose": "log"})
        model = weightflow.fit(data, small())
        some = tuple(replace(one, at={**one.at, name: others[0]}) for one in found)
        report = replace(report_of(judged), observed=data, model=model, found=some, left_out=(model,) * len(some))
        write_condition_report(tmp_path / name / "report.html", report)
        page = (tmp_path / name / "report.html").read_text()
        assert ("the colour is the model&#39;s error over its sampling floor" in page) is (name == "temperature")
        assert f"over dose, at {name}={'a' if name == 'drug' else '20'}" in page


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", SIZES)
def test_the_page_is_readable_at_every_size_in_both_schemes(
    judged: Judged, tmp_path: Path, width: int, scheme: str
) -> None:
    write_condition_report(tmp_path / "report.html", report_of(judged))
    with browsing() as page:
        file = keep(f"conditions-{width}-{scheme}.png", tmp_path)
        check_readable(page, (tmp_path / "report.html").as_uri(), "Error by condition", file, width, scheme, texts=100)


def test_preparations_of_a_space_tell_conditions_apart() -> None:
    """Two trials that see other powers of a dose must not share a teacher."""
    space = Space.read(ROOT / "search_spaces" / "conditions.yaml", flat_keys())
    assert {"linear", "cubic", "not_across"} <= {*space.preparations}
    one, other = (prepares_as(preset("default", conditions={"powers": powers})) for powers in (1, 2))
    assert one != other


SHARED = ("--conditions", "dose:log", "--every", "1", "--trials", "3", "--repeats", "2", "--seed", "3")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_search_over_doses_is_scored_at_doses_that_its_trials_have_not_seen(
    ray_environment: dict[str, str], tmp_path: Path
) -> None:
    furnish(tmp_path)
    rows = [
        f"{dose:g},{time:g},{x:.5f}"
        for dose in (1.0, 2.0, 4.0, 9.0)
        for time, cloud in zip(TIMES, course(dose).samples, strict=True)
        for (x,) in cloud.tolist()
    ]
    (tmp_path / "doses.csv").write_text("\n".join(["dose,time,x1", *rows]) + "\n")
    done = tune_here(tmp_path, ray_environment, *SHARED, "--name", "doses", data="doses.csv")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "trials fitted to 12 in 2 folds, score = the negative log-likelihood of 2 left-out conditions" in said
    assert "protocol auto: leave-one-condition-out, since there are several conditions" in said
    folder = tmp_path / "out" / "doses"
    check_results(folder)
    scores = Scores.from_json((folder / "scores.json").read_text())
    assert (scores.protocol, len(scores.places), scores.selected) == ("leave-one-condition-out", 8, True)
    by_condition = json.loads((folder / "conditions.json").read_text())["conditions"]
    assert [one["at"] for one in by_condition] == [{"dose": 2.0}, {"dose": 4.0}]
    parent = tracked(tmp_path, "doses")[0]
    for at, one in zip(("dose 2", "dose 4"), by_condition, strict=True):
        told = {key: value for key, value in parent.data.metrics.items() if key.startswith(f"at {at}/")}
        means = one["scores"]["methods"]
        assert told[f"at {at}/energy_distance/model"] == pytest.approx(means["model"]["energy_distance"]["mean"])
        assert f"at {at}/energy_distance/transport_between_conditions" in told
    model = weightflow.load(folder / "best")
    assert dose_of(model).levels == (1.0, 2.0, 4.0, 9.0)
    assert model.sample(1.0, 5, at={"dose": 3.0}).shape == (5, 1)
    for trial in trials_of(tmp_path, "doses"):
        for before, after in pairwise(trial.history):
            assert before["epoch"] < after["epoch"]
        assert "score_interior" not in trial.history[-1]
    resumed = tune_here(tmp_path, ray_environment, *SHARED, "--resume", "doses", data="doses.csv")
    assert resumed.returncode == 0, resumed.stderr
    again = weightflow.load(folder / "best")
    assert torch.equal(again.weights(TIMES, at={"dose": 3.0}), model.weights(TIMES, at={"dose": 3.0}))
