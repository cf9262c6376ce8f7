"""What is read is what was written, and no split lets a model be scored on what it was fitted to."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightflow.data import Dataset, Protocol, Snapshots, Split, every_nth, parse_times, split
from weightflow.data.splits import held_out_indices
from weightflow.data.spread import deviation, varies
from weightflow.errors import InputError
from weightflow.evaluation import Scores
from weightflow.types import Kind

HELD_BACK = (Protocol.INTERPOLATION, Protocol.FORECAST)
SEARCHED = (*HELD_BACK, Protocol.PAPER)  # with one fold and one test


def labelled(n: int, n_times: int, offset: int = 0, name: str = "x") -> Snapshots:
    """Samples that say who they are: (trajectory, time index)."""
    clouds = tuple(np.stack([offset + np.arange(n), np.full(n, k)], axis=1).astype(float) for k in range(n_times))
    return Snapshots(0.5 * np.arange(n_times), clouds, (f"{name}1", f"{name}2"), (Kind.COUNTS,) * 2)


def dataset(n_times: int, every: int | None = None, paired: bool = True, **others: Any) -> Dataset:
    return Dataset("data", labelled(20, n_times), every_nth(n_times, every), paired, **others)


def who(snapshots: Snapshots) -> set[tuple[float, float]]:
    return {(float(row[0]), float(row[1])) for row in snapshots.pooled()}


def together(*parts: Snapshots) -> set[float]:
    times = [float(time) for part in parts for time in part.times]
    assert len(times) == len(set(times)), "a snapshot lies in two parts"
    return set(times)


@given(n_times=st.integers(7, 120), every=st.integers(1, 12), protocol=st.sampled_from(SEARCHED), paired=st.booleans())
def test_fitted_held_out_and_scored_parts_never_overlap(n_times, every, protocol, paired):
    try:
        parts = split(dataset(n_times, every, paired), protocol, seed=1)
    except InputError:
        return  # too few are seen, or none is left to be scored; tested below
    (fold,) = parts.folds
    assert together(fold.fit, parts.interior, parts.last) == set(parts.seen.times.tolist())
    assert fold.fit.times[0] == parts.seen.times[0]
    for time in parts.interior.times:
        assert fold.fit.times[0] < time < fold.fit.times[-1]
    assert parts.last.times[0] > max(fold.fit.times[-1], parts.interior.times[-1])
    if protocol is not Protocol.PAPER:
        assert not who(parts.seen) & who(parts.test)
        assert not set(parts.seen.times) & set(parts.test.times)
    if parts.floor is not None:
        assert np.array_equal(parts.floor.times, parts.test.times)
        assert not who(parts.floor) & who(parts.test)
        assert not who(parts.floor) & who(parts.seen)


def test_many_data_sets_can_be_split():
    for protocol in {*Protocol} - {Protocol.LEAVE_ONE_CONDITION_OUT}:
        assert len(split(dataset(101), protocol, 0).seen) >= 8
        assert len(split(dataset(12, paired=False), protocol, 0).seen) >= 4


def test_the_paper_s_snapshots_are_split_as_described():
    data = dataset(101)
    interpolation, forecast, paper = (split(data, protocol, 0) for protocol in SEARCHED)
    tens = 5.0 * np.arange(11)
    assert interpolation.seen.times == pytest.approx(tens)
    assert interpolation.interior.times == pytest.approx([15, 25])
    assert interpolation.last.times == pytest.approx([45, 50])
    assert sorted({*tens, *interpolation.test.times}) == pytest.approx(data.snapshots.times)
    assert forecast.seen.times == pytest.approx(tens[:8])
    assert forecast.test.times == pytest.approx(data.snapshots.times[71:])
    assert paper.seen.times == pytest.approx(tens)
    assert paper.test.times == pytest.approx(data.snapshots.times[1:])
    assert who(paper.seen) == {(i, k) for i in range(20) for k in range(0, 101, 10)}
    assert paper.floor is None


@pytest.mark.parametrize("n_seen", range(4, 60))
def test_held_out_snapshots_are_spread_and_lie_between_fitted_ones(n_seen):
    interior, last = held_out_indices(n_seen)
    assert last == list(range(n_seen - len(last), n_seen))
    assert len(last) == max(1, round(0.15 * n_seen))
    assert interior
    assert min(interior) > 0
    assert max(interior) < last[0] - 1
    if n_seen > 4:
        assert np.diff([0, *interior]).min() > 1
    assert abs(len(interior) - (n_seen - len(last)) / 5) <= 1


@pytest.mark.parametrize("protocol", HELD_BACK)
def test_a_fifth_of_the_trajectories_is_held_back_by_the_seed(protocol):
    parts = split(dataset(101), protocol, seed=3)
    fitted, scored = ({row[0] for row in who(part)} for part in (parts.seen, parts.test))
    assert len(scored) == 4
    assert fitted | scored == set(range(20))
    assert not fitted & scored
    assert parts.floor is not None
    assert {row[0] for row in who(parts.floor)} == fitted
    assert who(split(dataset(101), protocol, seed=3).test) == who(parts.test)
    assert who(split(dataset(101), protocol, seed=4).test) != who(parts.test)


@pytest.mark.parametrize("protocol", HELD_BACK)
def test_fresh_trajectories_spare_the_fitted_ones(protocol):
    fresh, reference = labelled(20, 101, 100), labelled(20, 101, 200)
    parts = split(dataset(101, fresh=fresh, reference=reference), protocol, seed=0)
    assert {row[0] for row in who(parts.seen)} == set(range(20))
    assert {row[0] for row in who(parts.test)} == set(range(100, 120))
    assert parts.floor is not None
    assert {row[0] for row in who(parts.floor)} == set(range(200, 220))


@pytest.mark.parametrize("protocol", SEARCHED)
def test_unpaired_clouds_are_scored_as_they_stand(protocol):
    parts = split(dataset(12, paired=False), protocol, seed=0)
    assert {len(cloud) for part in (parts.seen, parts.test) for cloud in part.samples} == {20}
    assert parts.floor is None


FOLDS = {  # times: those that each fold of a search holds out, those that are tested, and whether these are selected by
    3: ([1, 2], [1, 2], True),
    4: ([1, 2, 3], [1, 2, 3], True),
    5: ([1, 2, 3, 4], [1, 2, 3, 4], True),
    6: ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], True),
    7: ([1, 3, 5, 6], [2, 4], False),
    8: ([1, 3, 5, 7], [2, 4, 6], False),
    9: ([1, 3, 5, 7, 8], [2, 4, 6], False),
    10: ([1, 3, 5, 7, 9], [2, 4, 6, 8], False),
}


def places(snapshots: Snapshots) -> list[int]:
    return [round(2 * time) for time in snapshots.times]


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("n_times", FOLDS)
def test_one_time_after_another_is_left_out_and_nothing_that_is_tested_was_fitted(n_times, paired):
    held_out, tested, selected = FOLDS[n_times]
    parts = split(dataset(n_times, 1, paired), Protocol.LEAVE_ONE_OUT, seed=0)
    everything = set(range(n_times))
    assert [places(fold.held_out) for fold in parts.folds] == [[k] for k in held_out]
    assert [places(fold.held_out) for fold in parts.tests] == [[k] for k in tested]
    for fold in (*parts.folds, *parts.tests):
        assert set(places(fold.fit)) == everything - set(places(fold.held_out))
        assert not who(fold.fit) & who(fold.held_out)
    assert places(parts.seen) == sorted(everything)
    assert places(parts.interior) == held_out[:-1]
    assert places(parts.last) == [n_times - 1]
    assert places(parts.test) == tested
    assert parts.selected is selected
    assert selected or not set(held_out) & set(tested)
    assert {round(2 * time) for time in parts.known} == everything - set(tested)
    if paired:  # those that are scored at a time were fitted nowhere
        fitted, scored = ({row[0] for row in who(part)} for part in (parts.seen, parts.test))
        assert not fitted & scored
        assert parts.floor is not None
        assert places(parts.floor) == tested


@pytest.mark.parametrize(
    ("n_times", "every", "becomes"),
    [
        (3, None, Protocol.LEAVE_ONE_OUT),
        (9, None, Protocol.LEAVE_ONE_OUT),
        (10, None, Protocol.INTERPOLATION),
        (10, 1, Protocol.LEAVE_ONE_OUT),
        (101, None, Protocol.INTERPOLATION),
        (101, 1, Protocol.LEAVE_ONE_OUT),
    ],
)
def test_auto_leaves_one_out_where_times_are_few_or_none_is_unseen(n_times, every, becomes):
    data = dataset(n_times, every)
    assert Protocol.AUTO.of(data) is becomes
    assert split(data, Protocol.AUTO, 0).protocol is becomes
    assert Protocol.AUTO.in_words(data).startswith(f"protocol auto: {becomes}, since ")
    assert Protocol.FORECAST.of(data) is Protocol.FORECAST
    assert Protocol.FORECAST.in_words(data) == "protocol forecast"


def test_of_many_times_a_bounded_number_is_left_out_evenly_spread():
    parts = split(dataset(101, 1), Protocol.LEAVE_ONE_OUT, 0)
    assert len(parts.folds) == 9
    assert len(parts.tests) == 8
    assert not set(parts.interior.times) & set(parts.test.times)
    assert np.diff(parts.test.times).max() <= 8


def test_two_times_can_be_fitted_and_the_search_says_that_nothing_can_be_judged():
    with pytest.raises(InputError, match=r"has 2 times.*nothing can be judged here.*weightflow fit"):
        split(dataset(2, 1), Protocol.AUTO, 0)


def test_what_is_fitted_held_out_and_tested_is_said_with_its_unit():
    named = replace(labelled(20, 7), unit="d")
    fitted, held_out, scored = split(Dataset("data", named, every_nth(7, 1), False), Protocol.AUTO, 0).in_words()
    assert fitted == "fitted by the final model: t = 0, 0.5, 1, 1.5, 2, 2.5, 3 d"
    assert held_out.startswith("held out while searching: t = 0.5, 1.5, 2.5 d between fitted times and t = 3 d after")
    assert scored == (
        "tested at the end: t = 1, 2 d, each left out in turn, by fits to all others; the search holds out none of them"
    )
    few = split(dataset(4, 1, paired=False), Protocol.AUTO, 0)
    assert few.in_words()[2].endswith("too few times to test others than the search selects by")
    many = split(dataset(101), Protocol.AUTO, 0).in_words()
    assert many[2] == "tested at the end: t = 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5.5, 6, 6.5 and 78 more times"


def test_forecast_sees_a_snapshot_that_lies_exactly_at_the_end_of_its_share():
    for scale in (0.1, 0.3, 1.0, 7.7):
        snapshots = labelled(20, 11)
        stretched = Snapshots(scale * np.arange(11), snapshots.samples, snapshots.species, snapshots.kinds)
        parts = split(Dataset("data", stretched, every_nth(11, 1), True), Protocol.FORECAST, 0)
        assert len(parts.seen) == 8
        assert len(parts.test) == 3


def test_every_tenth_time_is_seen_or_every_second_of_few():
    assert every_nth(101, None) == tuple(range(0, 101, 10))
    assert every_nth(31, None) == (0, 10, 20, 30)
    assert every_nth(30, None) == tuple(range(0, 30, 2))
    assert every_nth(10, None) == tuple(range(0, 10, 2))
    assert every_nth(9, None) == tuple(range(9))
    assert every_nth(5, 1) == (0, 1, 2, 3, 4)


def test_kinds_may_be_given_by_name_and_unknown_ones_are_refused(untyped: None):
    def kinds(given: Any) -> tuple[Kind, ...]:
        return Snapshots(np.array([0.0]), (np.zeros((3, 2)),), kinds=given).kinds

    assert kinds(("counts", "continuous")) == (Kind.COUNTS, Kind.CONTINUOUS)
    assert all(isinstance(kind, Kind) for kind in kinds(("counts", "counts")))
    assert kinds("continuous") == (Kind.CONTINUOUS,) * 2
    with pytest.raises(InputError, match=r"kind 'typo' is not known; a species is of kind counts or continuous"):
        kinds(("counts", "typo"))
    with pytest.raises(InputError, match=r"is of kind counts but holds 0\.5"):
        Snapshots(np.array([0.0]), (np.full((3, 1), 0.5),), kinds=cast(Any, ("counts",)))


def test_floating_point_numbers_so_large_that_all_are_whole_are_continuous():
    values = np.array([[1.5e20], [3.25e25]])
    assert Snapshots(np.array([0.0]), (values,)).kinds == (Kind.CONTINUOUS,)
    with pytest.raises(InputError, match=r"at most 2\^52"):
        Snapshots(np.array([0.0]), (values,), kinds=(Kind.COUNTS,))


def test_a_column_is_constant_where_its_values_differ_by_rounding_alone():
    rng = np.random.default_rng(0)
    tenth = np.full(1000, 0.1)
    almost = np.where(np.arange(1000) == 7, 0.1 + 0.2, 0.3)
    columns = np.stack([tenth, almost, np.zeros(1000), rng.normal(1e9, 1.0, 1000), rng.normal(0.0, 1e-200, 1000)], 1)
    assert tenth.std() > 0
    assert almost.std() > 0
    assert varies(columns).tolist() == [False, False, False, True, True]
    assert deviation(columns)[:3].tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(deviation(columns)[3], (columns[:, 3] - 1e9).std(), rtol=1e-9)
    np.testing.assert_allclose(deviation(columns)[4], 1e-200, rtol=0.1)
    assert deviation(columns * 1e150)[4] == pytest.approx(deviation(columns)[4] * 1e150)


@given(start=st.integers(-20, 20), steps=st.integers(0, 500), step=st.sampled_from([0.1, 0.25, 0.3, 1, 7]))
def test_a_grid_of_times_includes_its_stop(start, steps, step):
    stop = start + steps * step
    times = parse_times(f"{start}:{stop!r}:{step}")
    assert times[0] == start
    assert times[-1] == stop
    assert len(times) == steps + 1
    assert np.diff(times) == pytest.approx(step)


def test_times_can_be_listed():
    assert parse_times("0,2.5,10").tolist() == [0, 2.5, 10]
    assert parse_times("7").tolist() == [7]


def test_equal_data_have_equal_digests_and_others_have_not():
    data = labelled(5, 4)
    assert labelled(5, 4).digest() == data.digest()
    others = [
        labelled(6, 4),
        labelled(5, 5),
        labelled(5, 4, offset=1),
        labelled(5, 4, name="y"),
        data.subset([0, 1, 2]),
    ]
    assert len({data.digest(), *(other.digest() for other in others)}) == 6


def test_a_split_names_its_parts():
    parts = split(dataset(101), Protocol.INTERPOLATION, 0)
    assert isinstance(parts, Split)
    assert parts.protocol == "interpolation"


def test_data_and_scores_are_shown_by_facts_and_not_by_all_their_numbers() -> None:
    rng = np.random.default_rng(0)
    course = Snapshots(
        np.array([0.0, 1.0, 2.5]),
        tuple(rng.poisson(3.0, (n, 2)).astype(float) for n in (20, 30, 20)),
        ("A<b>", "C"),
        unit="day",
    )
    assert repr(course).splitlines() == [
        "Snapshots",
        "  times    3, from 0 to 2.5 day",
        "  samples  20 to 30 in each of 3 snapshots",
        "  species  A<b> (counts), C (counts)",
    ]
    assert "A&lt;b&gt; (counts)" in course._repr_html_()
    data = Dataset("cells", course, (0, 1), False, reading=("the time is `day`", "2 species"), source="cells.csv")
    assert repr(data).splitlines()[0] == "Dataset cells"
    assert repr(data).splitlines()[-4:] == [
        "  may be fitted  2 of these snapshots",
        "  from           cells.csv",
        "  understood     the time is `day`",
        "                 2 species",
    ]
    parts = split(data, "leave-one-out", 0)
    assert repr(parts) == "\n".join(["Split, leave-one-out", *(f"    {sentence}" for sentence in parts.in_words())])
    both = Snapshots.of_conditions({1.0: course, 10.0: course}, "dose")
    assert "3, from 0 to 2.5 day" in repr(both)
    assert "in each of 6 snapshots" in repr(both)
    assert "`dose` is numeric, 1, 10" in repr(both)
    scores = Scores("given", 20, "none", (1.0, 2.0), {"model": {"nll": (1.0, 2.0)}, "floor": {"sliced_w1": (0.1, 0.2)}})
    assert repr(scores).splitlines()[1:] == [
        "  protocol   given",
        "  scored     t = 1, 2",
        "  nll        model 1.5",
        "  sliced_w1  floor 0.15",
    ]


def test_a_protocol_may_be_named_and_one_that_is_unknown_is_refused() -> None:
    data = Dataset("cells", labelled(20, 12), every_nth(12, 2), False)
    named, meant = (split(data, protocol, 0) for protocol in ("interpolation", Protocol.INTERPOLATION))
    assert named.in_words() == meant.in_words()
    with pytest.raises(InputError, match=r"`interpolated` is not known; known are auto, leave-one-condition-out,"):
        split(data, "interpolated", 0)


def test_what_is_no_number_is_no_snapshot(untyped: None) -> None:
    given: Any = Snapshots
    cloud = np.ones((2, 1))
    for times, samples, said in (
        (["a", "b"], [cloud, cloud], r"`times` are of type <U1; give real numbers"),
        ([0, {}], [cloud, cloud], r"`times` cannot be read as numbers"),
        (
            np.array(["2020-01-01", "2020-01-02"], "M8[D]"),
            [cloud, cloud],
            r"`times` are dates or durations; give numbers",
        ),
        ([0, 1], [cloud, cloud * 1j], r"the samples of snapshot 1 are of type complex128; give real numbers"),
        ([0, 1], [[[1.0], [2.0, 3.0]], cloud], r"the samples of snapshot 0 cannot be read as numbers"),
    ):
        with pytest.raises(InputError, match=said):
            given(times, samples)
    assert given([0, 1], [cloud.tolist(), cloud.astype(int)], "count").species == ("count",)
    tables = [pd.DataFrame({"A": [1, 2], "B": [3, 4]}) for _ in range(2)]
    assert given([0, 1], tables).species == ("A", "B")
    assert given([0, 1], tables, ("C", "D")).species == ("C", "D")
    assert given([0, 1], [tables[0], tables[1].to_numpy()]).species == ("x1", "x2")
    with pytest.raises(InputError, match=r"the table of snapshot 1 has the columns B, A, and the first one has A, B"):
        given([0, 1], [tables[0], tables[1][["B", "A"]]])


def test_conditions_and_indices_that_are_not_there_are_refused(untyped: None) -> None:
    course, join = labelled(20, 3), cast(Any, Snapshots.of_conditions)
    for words, said in (
        (([course, course], "dose"), r"a list was given; give a mapping from conditions to snapshots"),
        (({1.0: course, 2.0: course}, ("dose", "drug")), r"\(1.0,\) has 1 values and the covariates are dose, drug"),
        (
            ({1.0: course, 2.0: course}, "dose", {"does": "log"}),
            r"`does` has a scale and is no covariate; these are dose",
        ),
    ):
        with pytest.raises(InputError, match=said):
            join(*words)
    with pytest.raises(InputError, match=r"`seen` holds 5, and `cells` has 3 snapshots; give indices of these"):
        Dataset("cells", course, (0, 5), False)
