"""Progress that is shown to people, and how long a preparation will take by its first stretch."""

import io
import re
import time

import pytest
from rich.console import Console

from weightflow import progress
from weightflow.experiment import ExperimentConfig
from weightflow.progress import Phase, Shown, duration
from weightflow.search.cluster.estimate import Estimate, Rows, rows_evaluated


def test_what_is_left_of_a_phase_follows_from_what_is_done() -> None:
    assert Phase("base", began=100.0, done=30, total=90).describe(130.0) == "base: 30 of 90, about 60 s left"
    assert Phase("bridge", began=100.0).describe(112.0) == "bridge: 12 s so far"
    assert [duration(s) for s in (0.2, 40.0, 600.0, 7200.0)] == ["1 s", "40 s", "10 minutes", "2.0 hours"]


def test_elsewhere_than_on_a_terminal_a_long_phase_is_told_in_a_line_and_a_short_one_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "FIRST", 1.5)
    out = io.StringIO()
    with Shown(Console(file=out)) as shown:
        shown("short", 1, 3)
        shown("short", 3, 3)
        shown("long", 1, 4)
        time.sleep(2.5)
    assert re.fullmatch(r"long: 1 of 4, about \d+ s left\n", out.getvalue())


def test_on_a_terminal_there_is_a_bar_which_leaves_nothing_behind() -> None:
    out = io.StringIO()
    with Shown(Console(file=out, force_terminal=True, width=80)) as shown:
        shown("teacher", 5, 10)
    assert "teacher" in out.getvalue()
    assert "5/10" in out.getvalue()


class Terminal(io.StringIO):
    """A terminal, until it is closed."""

    here = True

    def isatty(self) -> bool:
        return self.here


def test_a_terminal_may_be_closed_while_progress_is_shown() -> None:
    """Whoever closes the window asks the search to stop, which must not fail for want of the window."""
    out = Terminal()
    with Shown(Console(file=out, width=80)) as shown:
        shown("teacher", 5, 10)
        out.here = False
    assert "teacher" in out.getvalue()


def test_a_preparation_that_is_longer_than_the_deadline_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    now, said = [50.0], list[str]()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    told = Estimate({"base": Rows(100.0, 100.0)}, 10.0, said.append, waits=False)
    for done in (1, 6):
        told("base", done, 50 * 50)
        now[0] += 1.0
    (line,) = said
    assert line.endswith("; `--deadline` leaves only 9 s: there may be no model by then")


@pytest.mark.parametrize(
    ("left", "then"),
    [
        (10.0, "; the time budget has only 9 s left: one trial is trained all the same, and a longer `--time-budget` "),
        (100.0, "; the time budget has only 2 minutes left: one trial is trained all the same"),
        (3600.0, ""),
    ],
)
def test_the_time_of_a_preparation_is_said_early(left: float, then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    said: list[str] = []
    work = {"base": Rows(100.0, 100.0), "anchors": Rows(200.0, 600.0), "teacher": Rows(100.0, 700.0)}
    told = Estimate(work, left, said.append)
    for done in (1, 6, 11):
        told("base", done, 50)
        now[0] += 1.0
    # 5 steps in a second; after 6 of 50 steps there are 44 to come, and 150 that cost as much, or 650 with all rounds
    (line,) = said
    most = "2 minutes where fits miss their snapshots and go on"
    assert line.startswith(f"preparing will take about 39 s more, and up to {most}{then}")
    assert line.endswith(then) or left < 139


def test_a_short_preparation_is_not_worth_a_word() -> None:
    said: list[str] = []
    told = Estimate({"base": Rows(1.0, 1.0)}, 3600.0, said.append)
    for done in range(1, 4):
        told("base", done, 4)
        time.sleep(0.6)
    assert said == []


def test_anchors_that_workers_share_out_take_less_time_and_a_chain_does_not() -> None:
    pooled, chained = (
        ExperimentConfig.parse({"anchors": {"alignment": alignment}}) for alignment in ("pooled", "chain")
    )
    alone = rows_evaluated(pooled, 10, 3, 1)["anchors"].first
    assert rows_evaluated(pooled, 10, 3, 5)["anchors"].first == alone / 5
    assert rows_evaluated(pooled, 10, 3, 50)["anchors"].first == alone / 10
    assert rows_evaluated(chained, 10, 3, 5)["anchors"].first == alone


def test_a_teacher_of_more_species_is_foreseen_to_evaluate_more_samples() -> None:
    few, many = (rows_evaluated(ExperimentConfig(), 10, species, 1) for species in (3, 15))
    assert many["teacher"].first == few["teacher"].first * 120 / 32
    assert many["anchors"] == few["anchors"]


def test_rounds_cost_twice_the_steps_of_those_before() -> None:
    config = ExperimentConfig.parse({"anchors": {"rounds": 2}, "teacher": {"rounds": 3}})
    work = rows_evaluated(config, 10, 3, 1)
    assert [rows.most / rows.first for rows in work.values()] == [1, 1 + 2, 1 + 2 + 4]


def test_more_folds_than_workers_are_prepared_in_waves() -> None:
    config = ExperimentConfig.parse({"anchors": {"rounds": 1}, "teacher": {"rounds": 1}})
    one, five = rows_evaluated(config, 4, 3, 2, 1), rows_evaluated(config, 4, 3, 2, 5)
    assert [rows.waves for rows in five.values()] == [3, 3, 3]
    assert [rows.waves for rows in one.values()] == [1, 1, 1]
    assert five["anchors"].first == 2 * one["anchors"].first  # a worker to each fold, instead of two to one


def test_what_later_waves_take_is_part_of_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    said: list[str] = []
    told = Estimate({"base": Rows(100.0, 100.0, waves=3), "teacher": Rows(50.0, 50.0, waves=3)}, 3600.0, said.append)
    for done in (1, 6, 11):
        told("base", done, 50)
        now[0] += 1.0
    # 5 steps in a second: 44 of this wave, two waves of 50, and three of teachers that cost half as much
    assert said == ["preparing will take about 44 s more"]
