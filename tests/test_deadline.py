"""A deadline for the whole search and a limit for each trial: when trials end, and what is left out."""

import math
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_study import EPOCHS, open_study, report, run

from weightflow.data import Fold, Snapshots, Split
from weightflow.errors import InputError, SearchError
from weightflow.experiment import ExperimentConfig
from weightflow.search.cluster.nodes import Joining
from weightflow.search.cluster.resources import Resources
from weightflow.search.request import make_options
from weightflow.search.study.options import SearchOptions
from weightflow.search.trials.deadline import MARGIN, REPORTING, SHARE_OF_REPEATS, STOPPING, Aftermath, Deadline
from weightflow.search.trials.making import Making
from weightflow.search.trials.stopper import Stopper
from weightflow.search.trials.tuner import StudyCallback, StudyScheduler
from weightflow.trials import SchedulerName, TrialState, why_none_finished

AFTER = Aftermath(preparations=2.0, fits=1.0, repeats=3.0, judging=10.0)
PREPARATION, SECONDS = 5.0, float(EPOCHS)  # a trial of `run` takes as many seconds as epochs
CONCLUSION = MARGIN * (2.0 * PREPARATION + SECONDS + 10.0)
OPTIONS = SearchOptions(trials=50, time_budget=math.inf, scheduler=SchedulerName.NONE, stop_at_floor=False)


def stopper(
    folder: Path, left: float, given: float = 1000.0, options: SearchOptions = OPTIONS, trials: int = 1
) -> Stopper:
    study = open_study(folder, options)
    study.note_preparation(PREPARATION)
    for i in range(trials):
        run(study, 0.5 + i)
    return Stopper(study, options, 1.0, 0.0, Deadline(time.monotonic() + left, given), AFTER)


def test_trials_end_early_enough_for_repeats_final_fit_scores_and_report(tmp_path: Path) -> None:
    rules = stopper(tmp_path, left=500.0)
    assert rules.conclusion() == CONCLUSION
    repeats = MARGIN * AFTER.repeats * SECONDS
    assert rules.left == pytest.approx(500 - CONCLUSION - repeats - STOPPING, abs=0.5)
    assert rules.of_repeats().left == pytest.approx(500 - CONCLUSION - STOPPING, abs=0.5)
    assert (rules.reason(), rules.stop_all()) == ("", False)


def test_trials_leave_at_most_a_quarter_of_the_time_to_repeats(tmp_path: Path) -> None:
    rules = stopper(tmp_path, left=70.0, given=60.0)
    assert rules.left == pytest.approx(70 - CONCLUSION - SHARE_OF_REPEATS * 60 - STOPPING, abs=0.5)
    assert rules.of_repeats().left == pytest.approx(70 - CONCLUSION - STOPPING, abs=0.5)


@pytest.mark.parametrize("drain", [False, True])
def test_where_only_the_end_fits_in_no_trial_begins_and_those_that_run_are_stopped(tmp_path: Path, drain: bool) -> None:
    rules = stopper(tmp_path, left=CONCLUSION + STOPPING - 1, given=120.0, options=replace(OPTIONS, drain=drain))
    running = rules.study.next_trial()
    assert running is not None
    assert rules.stop_all()
    assert rules.reason().startswith("the deadline of 2 minutes leaves ")
    assert "of which the final fit and its scores need about 36 s" in rules.reason()
    assert rules.left == 0
    assert rules.in_words() == "all time for trials is used up"


def test_a_repeat_for_which_no_time_is_left_does_not_begin_but_those_that_run_go_on(tmp_path: Path) -> None:
    rules = stopper(tmp_path, left=CONCLUSION + STOPPING + 0.9 * MARGIN * SECONDS).of_repeats()
    assert rules.reason().endswith("and another trial about 6 s")
    assert not rules.stop_all()
    assert rules.by(Deadline(time.monotonic() + 500, 1000.0), AFTER).reason() == ""


def test_without_a_finished_trial_trials_go_on_until_the_deadline_itself_which_waits_for_nobody(tmp_path: Path) -> None:
    rules = stopper(tmp_path, left=30.0, trials=0)
    first = rules.study.next_trial()
    assert first is not None
    assert rules.left == pytest.approx(30, abs=0.5)
    over = rules.by(Deadline(time.monotonic(), 30.0), AFTER)
    assert over.stop_all()
    assert over.reason() == "the deadline of 30 s has come"
    with pytest.raises(SearchError, match=r"has come, and no trial had finished; .*`--resume night`"):
        over.deadline.check("no trial had finished", "night")


def test_the_deadline_is_held_by_a_clock_that_nobody_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = stopper(tmp_path, left=500.0)
    before = rules.left
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert rules.left == pytest.approx(before, abs=0.5)
    assert Deadline.after(100.0, time.monotonic() - 40).left == pytest.approx(60, abs=0.5)
    assert math.isinf(Deadline.after(None, 0.0).left)


def test_how_long_the_preparation_took_is_known_after_a_restart_that_finds_it_in_the_cache(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    study.note_preparation(40.0)
    study.close()
    again = open_study(tmp_path)
    again.note_preparation(0.1)
    assert again.preparation == 40.0


def test_what_follows_is_foreseen_from_the_sizes_of_fits_and_the_number_of_workers() -> None:
    clouds = tuple(np.full((9, 1), time) for time in np.arange(11.0))
    everything = Snapshots(np.arange(11.0), clouds)
    part = Snapshots(np.arange(7.0), clouds[:7])
    parts = Split("by hand", everything, (Fold(part, everything),), (Fold(everything, everything),))
    config, seen, fitted = ExperimentConfig.parse({}), 11, 7
    one = Aftermath.of(parts, config, Resources(1, 0), 0, 6, 80.0)
    two = Aftermath.of(parts, config, Resources(2, 0), 0, 6, 80.0)
    assert one.fits == two.fits == pytest.approx(seen / fitted)
    assert (one.repeats, two.repeats) == (6, 3)
    assert (one.judging, two.judging) == (80 + REPORTING, 40 + REPORTING)
    assert 1.0 < one.preparations < seen / fitted  # the base costs the same, the anchors of more snapshots more
    members = Aftermath.of(parts, config, Resources(2, 0), 4, 6, 80.0)
    assert members.fits == pytest.approx(3 * seen / fitted)  # the final fit, and two rounds of two


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("90s", 90), ("1.5h", 5400), ("2h30m", 9000), ("1h1m1s", 3661), (30.0, 30), ("1min", 60),
        ("1H", 3600), ("1h 30m", 5400), ("1 hour 5 minutes 1 sec", 3901), ("1d", 86400), ("2d12h", 216000),
        ("1:30:00", 5400), ("0:00:05", 5),
    ],
)  # fmt: skip
def test_times_are_read_in_days_hours_minutes_and_seconds(text: str | float, seconds: float) -> None:
    options = asked_for(time_budget=text, deadline=text, trial_time=text)
    assert (options.time_budget, options.deadline, options.trial_time) == (seconds, seconds, seconds)


@pytest.mark.parametrize("option", ["time_budget", "deadline", "trial_time"])
@pytest.mark.parametrize("text", ["", "soon", "0", "30m2h", "-5m", "5 min utes", "1:90:00", "1 0m", "３0m"])
def test_a_time_that_cannot_be_read_is_refused_with_the_name_of_its_option(option: str, text: str) -> None:
    with pytest.raises(InputError, match=rf"`--{option.replace('_', '-')} {text}` cannot be read; write a time"):
        asked_for(**{option: text})


def test_with_a_deadline_alone_trials_may_take_all_that_it_leaves() -> None:
    assert asked_for().time_budget == 360
    assert math.isinf(asked_for(deadline="8h").time_budget)
    assert asked_for(deadline="8h", time_budget="1h").time_budget == 3600


def asked_for(**given: Any) -> SearchOptions:
    usual: dict[str, Any] = {
        "trials": 9, "cpu_hours": None, "gpu_hours": None, "drain": False, "sampler": "tpe", "scheduler": "asha",
        "minimize": "score", "repeats": 3, "stop_at_floor": True, "retries": 2,
    }  # fmt: skip
    return make_options(**{**usual, **given})


def test_a_trial_that_takes_longer_than_it_may_is_ended_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(OPTIONS, trial_time=100.0)
    study = open_study(tmp_path, options)
    dropped, joining, making = list[int](), Joining(Resources(2, 0), print), Making([], 2)
    stopper = Stopper(study, options, 1.0, 0.0)
    callback = StudyCallback(study, stopper, Resources(2, 0), joining, making, dropped.append, print)
    asked = [study.next_trial() for _ in range(2)]
    slow, fast = (OfRay(record.number) for record in asked if record is not None)
    now = time.monotonic()
    callback.on_trial_start(0, [], slow)
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    callback.on_trial_start(0, [], fast)
    callback.on_step_end(0, [])
    assert [record.state for record in study.all()] == [TrialState.RUNNING] * 2
    monkeypatch.setattr(time, "monotonic", lambda: now + 101)
    callback.on_step_end(0, [])
    ended = study.records[0]
    assert (ended.state, study.records[1].state) == (TrialState.PRUNED, TrialState.RUNNING)
    assert ended.reason == "over the limit of 2 minutes that `--trial-time` sets"
    assert dropped == [0]
    late = {"number": 0, "epoch": 1, "score": 0.1, "seconds": 1.0}  # was under way when its process was ended
    assert StudyScheduler(callback).on_trial_result(None, None, late) == "CONTINUE"
    assert study.records[0].epochs == 0
    assert report(study, 1, 0.5, 1, EPOCHS).state is TrialState.FINISHED


class OfRay:
    """What is read of a trial of Ray whose process has not begun."""

    def __init__(self, number: int) -> None:
        self.config = {"number": number}
        self.temporary_state = SimpleNamespace(ray_actor=None)


def test_where_all_trials_took_too_long_the_search_says_so(tmp_path: Path) -> None:
    study = open_study(tmp_path, OPTIONS)
    for _ in range(2):
        record = study.next_trial()
        assert record is not None
        study.end(record.number, TrialState.PRUNED, "over the limit of 5 s that `--trial-time` sets")
    assert why_none_finished(study.all()) == (
        "no trial of 2 finished, 2 of them ended early (over the limit of 5 s that `--trial-time` sets)"
    )
