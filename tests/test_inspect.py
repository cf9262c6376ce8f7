"""`inspect` says what is understood, what a statistician would say, and what would be done; it fits nothing."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner, Result

from weightflow.cli import app
from weightflow.data import Snapshots, advice, at_times
from weightflow.errors import InputError
from weightflow.experiment import ExperimentConfig
from weightflow.experiment.timing import Stopwatch, measure
from weightflow.report.picture import label_time
from weightflow.types import Kind


def snapshots(*clouds: np.ndarray, unit: str = "") -> Snapshots:
    return Snapshots(np.arange(len(clouds), dtype=float), tuple(cloud.astype(float) for cloud in clouds), unit=unit)


def normal(n: int = 60, dim: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim))


def counts(n: int = 60, dim: int = 3, seed: int = 0, mean: float = 8.0) -> np.ndarray:
    return 1 + np.random.default_rng(seed).poisson(mean, (n, dim))


def said(*clouds: np.ndarray, unit: str = "") -> str:
    return " ".join(advice(snapshots(*clouds, unit=unit)))


def test_nothing_is_said_of_data_without_oddities():
    assert said(normal(seed=1), normal(seed=2), normal(seed=3)) == ""
    assert said(counts(seed=1), counts(seed=2), counts(seed=3)) == ""


def test_a_time_with_one_sample_and_one_with_few_are_named_with_their_unit():
    told = said(normal(), normal(1), normal(7), normal(seed=4), unit="h")
    assert "a single sample at t = 1 h" in told
    assert "fewer than 30 samples at t = 2 h (the fewest: 7)" in told


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([0.0, 1 / 3, 2.5e-7, 999.5], "t = 0, 0.333333, 2.5e-07, 999.5"),
        ([1_700_000_000.0, 1_700_003_600.0], "t = 1700000000, 1700003600"),
        ([1_700_000_000_500.0, -45_000.0], "t = 1700000000500, -45000"),
        ([45352.02, 45352.04], "t = 45352.02, 45352.04"),
        ([1e300, np.inf], "t = 1e+300, inf"),
    ],
)
def test_large_times_are_written_with_as_many_digits_as_tell_them_apart(times: list[float], words: str):
    assert at_times(times) == words


def test_a_species_that_never_varies_is_named_with_its_value():
    def still(seed: int) -> np.ndarray:
        return np.column_stack([normal(seed=seed), np.full(60, 2.5)])

    assert "`x3` (2.5) never varies" in said(still(0), still(1))


def test_spreads_a_million_apart_are_named_and_a_thousand_are_not():
    def scaled(factor: float) -> str:
        return said(*(normal(seed=seed) * [1.0, factor] for seed in (0, 1)))

    assert "`x2` spreads 1e+07 times as widely as `x1`" in scaled(1e7)
    assert scaled(1e3) == ""


def test_values_over_decades_and_far_out_are_named_with_what_to_take_instead():
    rng = np.random.default_rng(0)

    def small(seed: int) -> np.ndarray:
        return np.column_stack([np.exp(3 * normal(dim=1, seed=seed)), normal(dim=1, seed=seed + 9)])

    assert "`x1` (" in said(small(1), small(2))
    assert "never negative and spans decades" in said(small(1), small(2))
    assert "and zero)" in said(small(1) * (rng.random((60, 2)) < 0.9), small(2))
    assert said(np.exp(normal(seed=1)), np.exp(normal(seed=2))) == ""  # a factor of three is no decade
    far = normal(seed=3)
    far[0, 1] = -500.0
    assert "`x2` (-500 to" in said(normal(), far)
    assert "arcsinh(x / a)" in said(normal(), far)
    assert said(counts(), counts(seed=1) * 1000) == ""


def test_a_common_start_that_repeats_itself_is_no_copy():
    start = np.column_stack([np.full(60, 200.0), np.repeat(normal(30, 1), 2)])
    assert "copies" not in said(start, normal(seed=1), normal(seed=2))
    assert said(np.tile([200.0, 3.5], (60, 1)), normal(seed=1), normal(seed=2)) == ""


def test_ties_of_rounding_are_no_copies_and_repeated_rows_are():
    one = [np.clip(95 + 5 * normal(200, 1, seed), 0, 100).round(1) for seed in range(3)]
    assert said(*one) == ""
    twentieths = [np.rint(20 * np.clip(normal(200, 1, seed) / 9 + 0.5, 0, 1)) / 20 for seed in range(3)]
    assert said(*twentieths) == ""
    both = [np.column_stack([one[i], (one[i][:, 0] / 3).round(1)]) for i in range(3)]
    assert said(*both) == ""
    fine = [normal(100, 3, seed).round(2) for seed in range(3)]
    assert said(*fine) == ""
    told = said(*(np.repeat(cloud, 2, axis=0) for cloud in fine))
    assert "300 of 600 samples are exact copies of others" in told
    assert "remove repeated rows." in told
    assert "counts" not in told
    one_exact = [np.column_stack([one[i], normal(200, 1, i)]) for i in range(3)]
    assert said(*one_exact) == ""
    assert "copies" in said(*(np.repeat(cloud, 2, axis=0) for cloud in one_exact))


def test_samples_in_which_nothing_was_found_are_no_copies():
    clouds = [np.maximum(normal(200, 3, seed), 0.3) for seed in range(3)]
    assert said(*clouds) == ""
    assert "copies" in said(*(np.repeat(cloud, 2, axis=0) for cloud in clouds))
    ends = [np.repeat([[0.1234567, 0.3]], 40, axis=0), np.repeat([[0.7654321, 0.1]], 40, axis=0)]
    ends[1][0] = ends[0][0]
    assert "copies" not in said(*ends)  # nothing lies between the ends


def test_whole_numbers_that_repeat_may_be_counts_that_were_called_otherwise():
    clouds = tuple(np.repeat(counts(seed=seed, mean=1e9), 2, axis=0).astype(float) for seed in range(2))
    told = " ".join(advice(Snapshots(np.arange(2.0), clouds, kinds=(Kind.CONTINUOUS,) * 3)))
    assert "remove repeated rows, or say `--kind counts` if they are counts." in told


def test_a_species_that_is_constant_at_some_times_alone_is_named_and_a_common_start_is_not():
    clouds = [normal(seed=seed) for seed in range(4)]
    clouds[1][:, 1] = clouds[2][:, 1] = 1.5
    told = said(*clouds, unit="h")
    assert "`x2` (1.5 at t = 1, 2 h) is the same in all samples there, and varies at other times: was it" in told
    first = np.column_stack([normal(60, 1), np.full(60, 0.1)])
    assert "`x2` (0.1 at t = 0) is the same in all samples there" in said(first, *clouds[:1], *clouds[3:])
    start = np.tile([0.5, 1.5, 7.5], (60, 1))
    later = [np.column_stack([cloud, np.full(60, 7.5)]) for cloud in clouds[:1] + clouds[3:]]
    assert "same in all samples" not in said(start, *later)
    still = [counts(seed=seed) for seed in range(3)]
    still[1][:, 0] = 5
    assert "`x1` (5 at t = 1) is the same in all samples there" in said(*still)
    for k in (0, 2):
        gone = [counts(seed=seed) for seed in range(3)]
        gone[k][:, 0] = 5
        assert said(*gone) == ""


def test_copies_of_samples_and_of_whole_times_are_named():
    doubled = np.repeat(normal(30), 2, axis=0)
    assert "30 of 120 samples are exact copies" in said(doubled, normal(seed=5))
    again = counts(seed=2)
    assert "the samples at t = 0, 2 are the same" in said(again, counts(seed=3), again[::-1])


def test_a_time_at_which_one_species_was_not_measured_or_more_was_read_is_named():
    lost = counts(seed=2)
    lost[:, 1] = 0
    assert "`x2` is zero in all samples at t = 1" in said(counts(seed=1), lost, counts(seed=3))
    told = said(counts(seed=1), counts(seed=2) * 10, counts(seed=3))
    assert "samples at t = 1 hold" in told
    assert "--pca" in told


def inspected(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)])


@pytest.fixture
def course(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = [f"D{t},{i % 2},{rng.poisson(5 + t)},{rng.normal():.3f}" for t in (0, 2, 5) for i in range(40)]
    (tmp_path / "cells.csv").write_text("day,batch,rna,size\n" + "\n".join(rows))
    return tmp_path / "cells.csv"


def test_a_file_is_inspected_in_words_and_in_a_picture(course: Path, tmp_path: Path):
    result = inspected(course, "--drop", "batch", "--out", tmp_path / "deep" / "look.png", "--no-measure")
    assert result.exit_code == 0, result.output
    for words in (
        "the time is `day`",
        "3 times (day), with samples: 0 (40), 2 (40), 5 (40)",
        "rna (counts, ",
        "size (continuous, ",
        "nothing stands out",
        "described by mixtures of Gaussians: size",
        "described by mixtures of discretised logistics: rna",
        "`fit` takes 3 of 3 times",
        "the protocol `leave-one-out`",
    ):
        assert words in result.output
    assert (tmp_path / "deep" / "look.png").read_bytes().startswith(b"\x89PNG")


def test_a_condition_is_named_before_anything_is_fitted(course: Path, tmp_path: Path):
    result = inspected(course, "--out", tmp_path / "look.png", "--no-measure")
    assert "warning: `batch` is read as a species, but looks like a condition" in result.output
    assert "What to look at:\n  - nothing but what was warned of above.\n" in result.output
    assert "nothing stands out" not in result.output


def test_two_times_are_inspected_and_it_is_said_that_nothing_can_be_judged(tmp_path: Path):
    (tmp_path / "a.csv").write_text("day,A\n" + "".join(f"{t},{i % 7}\n" for t in (0, 1) for i in range(40)))
    result = inspected(tmp_path / "a.csv", "--no-measure", "--out", tmp_path / "a.png")
    assert result.exit_code == 0, result.output
    assert "a search cannot be judged" in result.output


def test_a_picture_of_another_kind_is_refused_before_the_file_is_read(tmp_path: Path):
    result = inspected(tmp_path / "nowhere.csv", "--out", "look.pdf")
    assert isinstance(result.exception, InputError)
    assert "ends in .png" in str(result.exception)


def test_a_step_is_timed_without_what_came_before_the_first(monkeypatch: pytest.MonkeyPatch):
    now = iter([5.0, 5.5, 6.5])
    monkeypatch.setattr("weightflow.experiment.timing.time.perf_counter", lambda: next(now))
    watch = Stopwatch()
    for done in (1, 2, 4):
        watch("base", done, 20)
    assert watch.step("base") == 0.5
    assert watch.step("anchors") == 0.0


def test_what_lies_between_two_fits_of_one_phase_is_no_step(monkeypatch: pytest.MonkeyPatch):
    now = iter([5.0, 5.5, 9.0, 9.5, 10.0])
    monkeypatch.setattr("weightflow.experiment.timing.time.perf_counter", lambda: next(now))
    watch = Stopwatch()
    for done in (1, 2, 1, 2, 3):
        watch("drift", done, 3)
    assert (watch.step("drift"), watch.seconds("drift")) == (0.5, 1.5)


def test_a_fit_whose_every_round_is_needed_is_estimated_to_take_longer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("weightflow.experiment.timing.STEPS", 3)
    data, config = snapshots(normal(12), normal(12, seed=1), normal(12, seed=2)), ExperimentConfig()
    pace = measure(data, config, 0)
    assert 0 < pace.trial < pace.trial_most
    assert 0 < pace.preparation < pace.preparation_most


@pytest.mark.parametrize(("unit", "label"), [("day", "time (day)"), ("", "time")])
def test_the_unit_stands_on_the_axis_of_time(unit: str, label: str):
    axis = Figure().subplots()
    label_time(axis, unit)
    assert axis.get_xlabel() == label
