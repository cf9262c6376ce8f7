"""What a search tells where no terminal is, as in the log of a job."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from searches import wait_for
from test_book import EPOCHS, open_book, run

from weightflow.search.ending import Ending
from weightflow.search.plan import Plan
from weightflow.search.table import LiveTable


def test_now_and_then_a_line_says_what_runs_what_ended_the_best_and_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weightflow.search.table.EVERY", 0.1)
    plan = Plan(trials=50, time_budget=3600.0)
    book = open_book(tmp_path, plan)
    run(book, 1.5)
    run(book, 1.25)
    assert book.next_trial() is not None
    told = io.StringIO()
    with LiveTable(Console(file=told), 50, EPOCHS, Ending(book, plan, 1.0, 0.0), book.all()):
        wait_for(told.getvalue)
    book.close()
    lines = told.getvalue().splitlines()
    assert 1 <= len(lines) <= 5
    assert lines[0] == "2 of at most 50 trials ended, 1 running, best so far trial 01, score 1.2500, 60 minutes left"
