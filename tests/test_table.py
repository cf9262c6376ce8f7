"""What a search tells on a terminal of any width, and where there is none, as in the log of a job."""

import io
import re
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from rich.console import Console
from searches import wait_for
from test_progress import Terminal
from test_study import EPOCHS, open_study, run

from weightflow.evaluation import Scores
from weightflow.report.terminal import print_scores
from weightflow.search.cluster.nodes import Joining
from weightflow.search.cluster.resources import Resources
from weightflow.search.results.outcome import Outcome
from weightflow.search.results.summary import print_outcome
from weightflow.search.say import saying
from weightflow.search.study.options import SearchOptions
from weightflow.search.trials.making import Making
from weightflow.search.trials.stopper import Stopper
from weightflow.search.trials.table import LiveTable
from weightflow.search.trials.tuner import StudyCallback, StudySearcher
from weightflow.trials import TrialRecord, TrialState


def test_now_and_then_a_line_says_what_runs_what_ended_the_best_and_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weightflow.search.trials.table.EVERY", 0.1)
    options = SearchOptions(trials=50, time_budget=3600.0)
    study = open_study(tmp_path, options)
    run(study, 1.5)
    run(study, 1.25)
    assert study.next_trial() is not None
    told = io.StringIO()
    with LiveTable(Console(file=told), 50, EPOCHS, Stopper(study, options, 1.0, 0.0), ["dynamics.kind"], study.all()):
        wait_for(told.getvalue)
    study.close()
    lines = told.getvalue().splitlines()
    assert 1 <= len(lines) <= 5
    assert lines[0] == "2 of at most 50 trials ended, 1 running, best so far trial 01, score 1.2500, 60 minutes left"


def test_a_terminal_may_be_closed_while_the_table_is_shown(tmp_path: Path) -> None:
    options = SearchOptions(trials=9, time_budget=3600.0)
    study, out = open_study(tmp_path, options), Terminal()
    with LiveTable(Console(file=out, width=80), 9, EPOCHS, Stopper(study, options, 1.0, 0.0), (), ()) as table:
        out.here = False
        table.end_trial(TrialRecord(0, TrialState.FINISHED, {}, 1.5, 3, 1.0))
    study.close()
    assert "1.5000" in out.getvalue()


@pytest.mark.parametrize(
    ("running", "repeats", "said"),
    [(0, 0, "0"), (2, 0, "2"), (0, 1, "1 repeat"), (0, 2, "2 repeats"), (1, 2, "1 and 2 repeats")],
)
def test_repeats_that_run_are_told_apart_from_trials(running: int, repeats: int, said: str, tmp_path: Path) -> None:
    options = SearchOptions(trials=9, time_budget=3600.4)
    study = open_study(tmp_path, options)
    origins = [None] * running + [7] * repeats
    records = [TrialRecord(i, TrialState.RUNNING, {}, repeat_of=origin) for i, origin in enumerate(origins)]
    table = LiveTable(Console(file=io.StringIO()), 9, 12, Stopper(study, options, 1.0, 0.0), (), records)
    study.close()
    left = "" if repeats else ", 60 minutes left"  # repeats are run whatever the budget
    assert table.stand() == f"0 of at most 9 trials ended, {said} running, none finished yet{left}"


@pytest.mark.parametrize(
    ("running", "waiting", "said"),
    [
        (2, {0, 1}, "2 waiting for a worker to start"),
        (2, {1}, "1 running, 1 waiting for a worker to start"),
        (1, {7}, "1 running"),  # the seventh has ended
    ],
)
def test_trials_that_have_no_process_yet_are_not_said_to_run(
    running: int, waiting: set[int], said: str, tmp_path: Path
) -> None:
    options = SearchOptions(trials=9, time_budget=3600.4)
    study = open_study(tmp_path, options)
    study.waiting |= waiting
    records = [TrialRecord(i, TrialState.RUNNING, {}) for i in range(running)]
    table = LiveTable(Console(file=io.StringIO()), 9, 12, Stopper(study, options, 1.0, 0.0), (), records)
    study.close()
    assert table.stand() == f"0 of at most 9 trials ended, {said}, none finished yet, 60 minutes left"


def test_a_trial_waits_from_when_it_is_handed_out_until_its_process_has_begun(tmp_path: Path) -> None:
    options = SearchOptions(trials=9, time_budget=3600.4)
    study, resources, making = open_study(tmp_path, options), Resources(1, 0), Making([], 1)
    stopper, joining = Stopper(study, options, 1.0, 0.0), Joining(resources, print)
    callback = StudyCallback(study, stopper, resources, joining, making, lambda _: None, print)
    asked = StudySearcher(study, stopper, joining, making).suggest("a")
    assert study.waiting == {asked["number"]}
    callback.on_trial_start(0, [], Mock(config=asked))
    assert study.waiting == set()
    study.close()


SEARCHED = ("dynamics.kind", "backbone.kind", "training.learning_rate", "bridge.width")
RECORDS = (
    TrialRecord(0, TrialState.FINISHED, {"dynamics.kind": "ode", "backbone.kind": "transformer"}, 5.25, 12, 40.0),
    TrialRecord(11, TrialState.FINISHED, {"dynamics.kind": "cde", "training.learning_rate": 0.00123456}, 5.5, 12, 41.0,
                repeat_of=3),
    TrialRecord(12, TrialState.RUNNING, {"dynamics.kind": "ode", "bridge.width": 0.5}, None, 1, 2.0),
)  # fmt: skip


def shown(width: int, tmp_path: Path) -> list[str]:
    options = SearchOptions(trials=50, time_budget=3600.0)
    study = open_study(tmp_path, options)
    told = io.StringIO()
    console = Console(file=told, width=width, force_terminal=True, no_color=True, highlight=False)
    table = LiveTable(console, 50, 12, Stopper(study, options, 1.0, 0.0), SEARCHED, RECORDS)
    console.print(table._render())
    study.close()
    return re.sub(r"\x1b\[[\d;]*m", "", told.getvalue()).splitlines()


@pytest.mark.parametrize("width", [80, 40])
def test_the_live_table_fits_breaks_no_word_and_says_what_is_a_repeat(width: int, tmp_path: Path) -> None:
    lines = shown(width, tmp_path)
    assert max(map(len, lines)) <= width
    rows = [line.split() for line in lines]
    assert ["11", "repeats", "3", "finished", "5.5000", "12/12"] in [row[:6] for row in rows]
    words = {word.strip(",;") for row in rows for word in row}
    assert {"finished", "running", "ended", "better"} <= words
    assert "…" not in " ".join(lines)


def test_the_live_table_shows_the_parameters_that_this_space_searches_as_many_as_fit(tmp_path: Path) -> None:
    wide = shown(120, tmp_path / "a")
    assert wide[1].split() == [
        "trial", "state", "score", "epoch", "sec", "dynamics.kind", "backbone.kind", "learning_rate", "width",
    ]  # fmt: skip
    assert "0.00123" in wide[3]
    assert "more parameters" not in " ".join(wide)
    narrow = shown(80, tmp_path / "b")
    assert narrow[1].split() == ["trial", "state", "score", "epoch", "sec", "dynamics.kind", "backbone.kind", "width"]
    assert "1 more parameter is in the report" in " ".join(" ".join(narrow).split())


@pytest.mark.parametrize("width", [80, 40])
def test_the_table_of_scores_fits_and_ends_with_the_answer(width: int) -> None:
    wide = tuple(np.linspace(-0.01, 0.01, 8))
    methods = {"model": 0.2, "persistence": 1.1, "chosen_bridge": 0.6, "floor": 0.1}
    metrics = ("energy_distance", "species_w1", "sliced_w1", "paper_w1", "paper_jsd")
    means = {name: {str(metric): (mean,) for metric in metrics} for name, mean in methods.items()}
    groups = {
        name: {metric: tuple(mean + part for part in wide) for metric in metrics} for name, mean in methods.items()
    }
    told = io.StringIO()
    console = Console(file=told, width=width, force_terminal=True, color_system=None)
    print_scores(console, Scores("interpolation", 100, "", (1.0,), means, groups))
    lines = told.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    text = " ".join(told.getvalue().split())
    assert "…" not in text
    assert "energy" in lines[1] + lines[2]  # which the answer goes by, however few columns there are
    assert ["chosen_bridge", *["0.6000"] * (5 if width == 80 else 2)] in [line.split() for line in lines]
    assert text.endswith(
        "The model is closer to the data than every alternative beyond chance: it has energy distance 0.2000, the "
        "chosen bridge has 0.6000, and a perfect model would have 0.1000. An alternative wins by 0 of 5 metrics."
    )


@pytest.mark.parametrize("store", ["sqlite:///mlflow.db", "http://127.0.0.1:5000"])
def test_a_search_ends_with_its_answer_and_links_to_report_and_runs(tmp_path: Path, store: str) -> None:
    told = io.StringIO()
    scores = Scores("interpolation", 100, "", (1.0,), {"model": {"sliced_w1": (0.5,)}})
    tracked = {"runs": "http://127.0.0.1:5000/#/a", "searches": "http://127.0.0.1:5000/#/b", "tracking_uri": store}
    outcome = Outcome(tmp_path, RECORDS[0], RECORDS, scores=scores, next_commands=("make ui",), tracked=tracked)
    print_outcome(Console(file=told, width=80), outcome)
    alive = store.startswith("http")  # a store of this machine has no pages until somebody shows them
    assert told.getvalue().splitlines()[-5 - (not alive) :] == [
        f"Report: {(tmp_path / 'report.html').as_uri()}",
        *([] if alive else ["In MLflow, while `make ui` runs:"]),
        "Trials: http://127.0.0.1:5000/#/a",
        "Searches: http://127.0.0.1:5000/#/b",
        "Next:",
        "  make ui",
    ]


@pytest.mark.parametrize("width", [80, 40])
def test_what_a_search_tells_breaks_between_words_on_a_terminal_and_stays_one_line_in_a_file(width: int) -> None:
    address = "postgresql://somebody@tracking.example.org/a-store-of-a-long-name"
    sentence = f"the model is fitted, and kept in {address}, where others find it as soon as they look for it"
    told, kept = io.StringIO(), io.StringIO()
    saying(Console(file=told, width=width, force_terminal=True, color_system=None))(sentence)
    saying(Console(file=kept, width=width))(sentence)
    assert kept.getvalue() == f"{sentence}\n"
    lines = [line.rstrip() for line in told.getvalue().splitlines()]
    assert " ".join(lines) == sentence
    assert max(len(line) for line in lines if address not in line) <= width
