"""Conditions are read, understood, held apart and told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from weightflow.data import Conditions, Covariate, Scale, Snapshots, advice, conditions_left_out, read
from weightflow.errors import InputError


def cloud(n: int, mean: float = 5.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean, (n, 1)).astype(float)


def course(times: list[float], n: int = 20) -> Snapshots:
    return Snapshots(np.array(times, dtype=float), tuple(cloud(n, 3.0 + time, seed=i) for i, time in enumerate(times)))


def table(folder: Path, rows: Sequence[tuple[object, float, int]], names: str = "dose,time,A") -> Path:
    path = folder / "doses.csv"
    path.write_text("\n".join([names, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([20.0, 37.0], Scale.LINEAR),
        ([0.3, 1.0, 100.0], Scale.LOG),
        ([0.0, 0.3, 100.0], Scale.LOG),
        ([-1.0, 100.0], Scale.LINEAR),
        ([0.0, 5.0], Scale.LINEAR),
        (["wt", "mutant"], Scale.CATEGORY),
        ([True, False], Scale.CATEGORY),
    ],
)
def test_what_spans_decades_is_on_a_logarithmic_scale_and_text_is_a_category(values, scale):
    assert Covariate.of("c", values).scale is scale


def test_a_scale_that_is_named_replaces_the_one_that_is_guessed():
    assert Covariate.of("c", [0.3, 100.0], "linear").scale is Scale.LINEAR
    assert Covariate.of("c", [1.0, 2.0], Scale.CATEGORY).levels == ("1.0", "2.0")
    with pytest.raises(InputError, match="known are linear, log, category"):
        Covariate.of("c", [1.0, 2.0], "cubic")
    with pytest.raises(InputError, match="values must be positive there"):
        Covariate.of("c", [-1.0, 2.0], "log")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["1e-9", "2E-9", "10"], "`dose:linear` or `dose:log` compares these as numbers"),
        (["1 nM", "2 nM", "10 nM"], "write the numbers alone"),
        (["0,3", "1,5"], "write the numbers alone"),
        (["4T1", "293T"], None),
        (["3 mM", "3 nM"], None),
        (["wt", "10"], None),
    ],
)
def test_of_categories_that_are_written_as_numbers_it_is_said_how_they_are_compared(values, says):
    told = Covariate.of("dose", values).in_words()
    assert told.startswith("`dose` is a category: ")
    assert says in told if says else told.endswith(sorted(values)[-1])


def test_conditions_that_differ_by_rounding_alone_are_one(tmp_path: Path):
    rows = [(dose, time, 3) for dose in (0.3, 0.1 * 3, 1.0) for time in (0, 1) for _ in range(4)]
    data = read(table(tmp_path, rows), conditions="dose").snapshots
    assert data.conditions is not None
    assert data.conditions.distinct == ((0.3,), (1.0,))
    assert data.sizes == (8, 8, 4, 4)
    noisy = [(dose * (1 + 1e-13 * i), 0, 3) for dose in (1e-12, 2e-12, 1e9) for i in range(5)]
    assert read(table(tmp_path, noisy), conditions="dose").snapshots.sizes == (5, 5, 5)
    with pytest.raises(
        InputError, match=r"conditions \(0\.3,\) and \(0\.30000000000000004,\) differ by rounding alone"
    ):
        Snapshots.of_conditions({0.3: course([0, 1]), 0.1 * 3: course([0, 1])}, "dose")


def test_advice_names_conditions_that_are_times_or_names_of_samples():
    each = {dose: course([time]) for dose, time in ((1.0, 0.0), (2.0, 1.0), (3.0, 2.0))}
    assert "cannot be told from what changes with time" in "".join(advice(Snapshots.of_conditions(each, "dose")))
    batches = Snapshots.of_conditions({"p1": course([0]), "p2": course([1.5, 3])}, "batch")
    assert "changes with `batch` cannot be told from what changes with time" in "".join(advice(batches))
    third = Snapshots.of_conditions({1.0: course([0, 1]), 2.0: course([0, 1]), 3.0: course([2, 3])}, "dose")
    assert "while dose=3 was observed, no other condition was" in "".join(advice(third))
    between = Snapshots.of_conditions({1.0: course([0, 2]), 2.0: course([0, 2]), 3.0: course([1])}, "dose")
    assert "no other condition" not in "".join(advice(between))
    both = Snapshots.of_conditions({1.0: course([0, 1]), 2.0: course([1, 2])}, "dose")
    assert "cannot be told" not in "".join(advice(both))
    single = {float(i): course([0, 1], n=1) for i in range(20)}
    assert "`cage` has 20 values for 40 samples" not in "".join(advice(Snapshots.of_conditions(single, "cage")))
    rows = {float(i): course([0], n=1) for i in range(20)}
    assert "`cage` has 20 values for 20 samples" in "".join(advice(Snapshots.of_conditions(rows, "cage")))


def test_too_few_conditions_to_leave_one_out_are_told_from_conditions_that_nobody_named():
    two = Snapshots.of_conditions({"p1": course([0]), "p2": course([1.5, 3])}, "batch")
    with pytest.raises(
        InputError, match=r"there are 2 of `batch`; observe more, or take one with `--where 'batch=\.\.'`"
    ):
        conditions_left_out(two)
    with pytest.raises(InputError, match=r"there is one; name the columns that tell them apart with `--conditions`"):
        conditions_left_out(course([0, 1]))


def test_a_condition_is_asked_for_by_a_number_of_any_library():
    known = Conditions.of(("dose",), [(1.0,), (2.0,)])
    for value in (2, np.float32(2), np.array(2.0), torch.tensor(2.0), "2"):
        assert known.point({"dose": value}) == (2.0,)
    for value in (None, np.array([1.0, 2.0]), torch.ones(2), "two", [2.0], np.nan):
        with pytest.raises(InputError, match="is no finite number"):
            known.point({"dose": value})


@pytest.mark.usefixtures("untyped")
def test_a_condition_that_is_no_mapping_is_refused():
    asked: Any = 2.0
    with pytest.raises(InputError, match=r"`at=2\.0` is no mapping"):
        Conditions.of(("dose",), [(1.0,), (2.0,)]).point(asked)


def test_zero_stands_one_step_of_the_dilution_series_below_the_smallest_other_dose():
    dose = Covariate.of("dose", [0.0, 0.1, 1.0, 10.0])
    assert dose.zero == pytest.approx(0.01)
    # log10 of the places is -2, -1, 0, 1: evenly spread, so that centre and deviation are known
    unit = np.sqrt(1.25)
    places = [dose.features(value, 2) for value in dose.levels]
    assert places == pytest.approx(np.array([[x / unit, x**2 / 1.25] for x in (-1.5, -0.5, 0.5, 1.5)]))
    assert "0 stands at 0.01, one step below" in dose.in_words()
    assert dose.position(1e-9) == dose.position(0.0)  # nothing lies below the place of zero
    assert [dose.unscaled(dose.scaled(value)) for value in dose.levels] == pytest.approx([0.0, 0.1, 1.0, 10.0])
    assert dose.between(0.1, 10.0, 0.5) == pytest.approx(1.0)
    assert dose.between(0.0, 0.1, 0.0) == 0.0
    with pytest.raises(InputError, match="give a positive value"):
        Covariate.of("dose", [0.1, 10.0]).value(0.0)


def test_a_part_that_holds_the_dose_of_zero_alone_is_a_part_like_any_other():
    """As a batch of anchors has it, or what is left of a file once all other doses are left out."""
    data = Snapshots.of_conditions({dose: course([0, 1]) for dose in (0.0, 0.3, 1.0, 10.0)}, "dose")
    assert data.conditions is not None
    scales = {}
    for some in ([0, 1], [0, 1, 2, 3], [2, 3]):
        part = data.subset(some)
        assert part.conditions is not None
        (dose,) = part.conditions.covariates
        scales[dose.levels] = dose.scale
        assert [list(cloud[:, 0]) for cloud in part.samples] == [list(data.samples[i][:, 0]) for i in some]
    assert scales == {(0.0,): Scale.LINEAR, (0.0, 0.3): Scale.LOG, (0.3,): Scale.LOG}
    folds = conditions_left_out(data)
    assert [(fold.at["dose"], bool(fold.extrapolation)) for fold in folds][-3:] == [
        (0.3, False),
        (1.0, False),
        (10.0, True),
    ]


def test_a_category_has_one_feature_each_and_a_covariate_that_stays_has_none():
    conditions = Conditions.of(("drug", "rate", "lab"), [("a", 1.0, "x"), ("b", 3.0, "x"), ("c", 3.0, "x")])
    rate = [(3.0 - 2.0) / 1.0, 1.0]  # levels 1 and 3: centre 2, deviation 1
    assert conditions.features(("b", 3.0, "x")) == pytest.approx([0, 1, 0, *rate])
    with pytest.raises(InputError, match="was never seen"):
        conditions.point({"drug": "d", "rate": 1.0, "lab": "x"})
    with pytest.raises(InputError, match="no value of `rate`"):
        conditions.point({"drug": "a", "lab": "x"})
    with pytest.raises(InputError, match="`speed`, which is no covariate; they are drug, rate, lab"):
        conditions.point({"drug": "a", "rate": 1.0, "lab": "x", "speed": 2.0})


@pytest.mark.parametrize(("at", "inside"), [((0.2, 0.2), True), ((1.0, 0.0), True), ((0.6, 0.6), False)])
def test_what_lies_outside_the_convex_hull_of_the_conditions_is_said(at, inside):
    triangle = Conditions.of(("a", "b"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
    assert (triangle.outside(at) == "") is inside
    with pytest.raises(InputError, match="all that was seen has a=1"):
        Conditions.of(("a",), [(1.0,)]).point({"a": 2.0})
    line = Conditions.of(("a", "drug"), [(1.0, "x"), (2.0, "x"), (3.0, "y")])
    assert line.outside((1.5, "x")) == ""
    assert "extrapolation" in line.outside((3.0, "x"))
    assert "no condition with its categories" in Conditions.of(("a", "drug"), [("u", "x"), ("v", "y")]).outside(
        ("u", "y")
    )


def test_courses_of_a_mapping_come_back_one_by_one():
    courses = {0.5: course([0, 1, 2]), 5.0: course([0, 2, 4, 8], 30)}
    joined = Snapshots.of_conditions(courses, "dose")
    assert len(joined) == 7
    assert joined.conditions is not None
    assert joined.conditions.points == ((0.5,),) * 3 + ((5.0,),) * 4
    assert joined.of_condition(4) == "dose=5"
    for (point, back), (dose, given) in zip(joined.courses.items(), courses.items(), strict=True):
        assert point == (dose,)
        assert back.digest() == given.digest()
    part = joined.subset([5, 6])
    assert part.conditions is not None
    assert part.conditions.covariates[0].levels == (5.0,)
    assert part.digest() != part.courses[5.0,].digest()


def test_conditions_that_do_not_fit_the_snapshots_are_refused():
    points = [(1.0,), (2.0,), (1.0,)]
    with pytest.raises(InputError, match="must stand side by side"):
        Snapshots(np.arange(3.0), (cloud(5),) * 3, conditions=Conditions.of(("dose",), points))
    with pytest.raises(InputError, match="2 conditions for 3 snapshots"):
        Snapshots(np.arange(3.0), (cloud(5),) * 3, conditions=Conditions.of(("dose",), points[:2]))
    with pytest.raises(InputError, match="must strictly increase"):
        Snapshots(np.array([1.0, 0.0]), (cloud(5),) * 2, conditions=Conditions.of(("dose",), [(1.0,)] * 2))
    other = Snapshots(np.array([0.0, 1.0]), (cloud(5),) * 2, species=("B",))
    with pytest.raises(InputError, match="of the same species and unit"):
        Snapshots.of_conditions({1.0: course([0, 1]), 2.0: other}, "dose")


def test_a_table_is_grouped_by_condition_then_by_time(tmp_path: Path):
    rows = [(dose, time, int(10 * dose + time)) for time in (2, 0) for dose in (10, 1) for _ in range(3)]
    data = read(table(tmp_path, [*rows, (10, 7, 107)]), conditions="dose")
    assert data.snapshots.times.tolist() == [0, 2, 0, 2, 7]
    assert data.snapshots.conditions is not None
    assert [point[0] for point in data.snapshots.conditions.points] == [1, 1, 10, 10, 10]
    assert [x[0, 0] for x in data.snapshots.samples] == [10, 12, 100, 102, 107]
    assert data.snapshots.species == ("A",)
    assert any("`dose` is numeric, 1, 10, on a logarithmic scale" in said for said in data.reading)
    assert data.seen == (0, 1, 2, 3, 4)
    linear = read(tmp_path / "doses.csv", conditions="dose:linear").snapshots.conditions
    assert linear is not None
    assert linear.covariates[0].scale is Scale.LINEAR


def test_a_shared_start_is_all_rows_of_the_earliest_time_at_the_start_of_each_condition(tmp_path: Path):
    rows = [(1, 0, 1), (1, 5, 2), (3, 0, 3), (3, 5, 4), (9, 5, 6), (4, 0, 7)]
    data = read(table(tmp_path, rows), conditions="dose", shared_start=True)
    courses = data.snapshots.courses
    assert list(courses) == [(1.0,), (3.0,), (9.0,)]  # dose 4 has a start and no more: its cells are in all starts
    for course_of_dose in courses.values():
        assert course_of_dose.times.tolist() == [0, 5]
        assert sorted(course_of_dose.samples[0].ravel()) == [1, 3, 7]
    assert data.snapshots.conditions is not None
    assert data.snapshots.conditions.shared_start
    with pytest.raises(InputError, match="`--shared-start` is for `--conditions`"):
        read(tmp_path / "doses.csv", shared_start=True)


def test_a_shared_start_is_no_copy_by_mistake_and_equal_samples_elsewhere_are():
    courses = {1.0: course([0, 1, 2]), 2.0: course([0, 1, 2])}
    shared = Snapshots.of_conditions(courses, "dose", shared_start=True)
    assert [said for said in advice(shared) if "are the same" in said and "t = 0, 0" in said] == []
    assert sum("are the same" in said for said in advice(Snapshots.of_conditions(courses, "dose"))) == 3


def test_a_condition_that_is_missing_or_not_there_is_refused(tmp_path: Path):
    path = table(tmp_path, [(1, 0, 1), ("", 1, 2), (2, 0, 3), (2, 1, 4)])
    with pytest.raises(InputError, match="no time, unit or condition in row 2"):
        read(path, conditions="dose")
    assert len(read(path, conditions="dose", missing="drop").snapshots) == 3
    with pytest.raises(InputError, match="no column `temperature` \\(--conditions\\)"):
        read(path, conditions="temperature")
    with pytest.raises(InputError, match="`dose` is one of `--conditions`"):
        read(path, conditions="dose", drop="dose")


def test_trajectories_have_the_condition_of_their_own_and_stay_whole(tmp_path: Path):
    samples = np.arange(6 * 40 * 2).reshape(6, 40, 2)
    beta = np.array([0.1, 0.3, 0.1, 0.3, 0.3, 0.1])
    np.savez(tmp_path / "t.npz", samples=samples, times=0.5 * np.arange(40), beta=beta)
    data = read(tmp_path / "t.npz", conditions="beta")
    courses = data.snapshots.courses
    assert np.array_equal(np.stack(courses[0.3,].samples, axis=1), samples[beta == 0.3])
    assert data.seen == (0, 10, 20, 30, 40, 50, 60, 70)
    assert data.units is not None
    assert data.units[0].tolist() == data.units[39].tolist() == ["0", "2", "5"]
    np.savez(tmp_path / "l.npz", samples=samples[:, 0], time=np.array([0, 0, 1, 1, 0, 1]), beta=beta)
    rows = read(tmp_path / "l.npz", conditions="beta:category").snapshots
    assert list(rows.courses) == [("0.1",), ("0.3",)]


def test_cells_have_the_condition_that_obs_says(tmp_path: Path):
    anndata = pytest.importorskip("anndata")
    obs = pd.DataFrame({"day": [0, 1, 0, 1], "drug": pd.Categorical(["a", "a", "b", "b"])}, index=list("wxyz"))
    var = pd.DataFrame(index=["g1", "g2"])
    anndata.AnnData(X=np.arange(8.0).reshape(4, 2), obs=obs, var=var).write_h5ad(tmp_path / "c.h5ad")
    cells = read(tmp_path / "c.h5ad", conditions="drug", kind="continuous").snapshots
    assert {point: x.samples[1].tolist() for point, x in cells.courses.items()} == {
        ("a",): [[2.0, 3.0]],
        ("b",): [[6.0, 7.0]],
    }


def test_the_doses_of_dusp1_are_read_with_one_start(shared_data: Path):
    path = shared_data / "dusp1_dose" / "dusp1_dose.csv"
    data = read(path, time="minutes", species="nuclear,cytoplasmic", conditions="dose_nM", shared_start=True)
    frame = pd.read_csv(path)
    courses = data.snapshots.courses
    assert len(courses) == 9
    for (dose,), part in courses.items():
        assert len(part.samples[0]) == (frame["minutes"] == 0).sum()
        rows = frame[(frame["dose_nM"] == dose) & (frame["minutes"] == 75)]
        at_75 = part.samples[part.times.tolist().index(75.0)]
        assert sorted(map(tuple, at_75)) == sorted(map(tuple, rows[["nuclear", "cytoplasmic"]].to_numpy(float)))


def test_advice_compares_the_times_of_one_condition_and_not_the_end_of_one_with_the_start_of_the_next() -> None:
    """R starts at zero and grows, under each condition; under the last one it was not measured at t = 2."""
    rng = np.random.default_rng(0)

    def course(lost: bool) -> Snapshots:
        clouds = [rng.poisson([20.0, 9.0 * t], (50, 2)).astype(float) for t in range(4)]
        if lost:
            clouds[2][:, 1] = 0
        return Snapshots(np.arange(4.0), tuple(clouds), ("S", "R"))

    whole = Snapshots.of_conditions({dose: course(lost=False) for dose in (1.0, 3.0)}, "dose")
    assert advice(whole) == ()
    (said,) = advice(Snapshots.of_conditions({1.0: course(lost=False), 3.0: course(lost=True)}, "dose"))
    assert said == "`R` is zero in all samples at t = 2, and not before or after: was it measured there? (dose=3)"


def test_an_archive_with_an_array_that_nobody_named_is_told_of_conditions(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", times=np.arange(4.0), samples=np.ones((6, 4, 1)), dose=np.arange(6.0))
    with pytest.raises(InputError, match=r"such as a dose, is named too: `--conditions dose`\.$"):
        read(tmp_path / "a.npz")
