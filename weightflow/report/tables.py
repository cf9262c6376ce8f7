"""Tables of the report, as plain values for the template."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from weightflow.evaluation import Interval, Scores
from weightflow.evaluation.scores import FLOOR, MODEL
from weightflow.evaluation.verdict import figure
from weightflow.metrics import Measure, described
from weightflow.report.theme import STYLES
from weightflow.trials import TrialRecord, TrialState

NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """One mean score; a dash where the method has none.

    Attributes:
        text: the mean.
        margin: half of its 95 % interval, empty where that is not known.
        best: whether it is the lowest of its column.
        note: the interval, and that of the difference from the model, for those who ask.
    """

    text: str
    margin: str
    best: bool
    note: str


@dataclass(frozen=True)
class Row:
    """One method's mean scores, in the order of the metrics."""

    method: str
    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Column:
    """One metric."""

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class TrialRow:
    """One trial, in words."""

    number: int
    state: str
    score: str
    epochs: int
    seconds: str
    params: tuple[tuple[str, str], ...]
    reason: str
    best: bool


def score_columns(scores: Scores, unit: str) -> tuple[Column, ...]:
    """Return the metrics; `unit` is what the data's values are."""
    return tuple(_column(name, described(name), unit) for name in scores.metrics)


def score_rows(scores: Scores) -> tuple[Row, ...]:
    """Return a row for each method; the floor comes last and never counts as best."""
    methods = [*(method for method in scores.methods if method != FLOOR), FLOOR]
    best = {metric: _best(scores, metric) for metric in scores.metrics}
    return tuple(
        Row(
            method,
            STYLES[method].label if method in STYLES else method,
            tuple(_cell(scores, method, metric, best[metric] == method) for metric in scores.metrics),
        )
        for method in methods
    )


def _column(name: str, known: Measure | None, unit: str) -> Column:
    return Column(name, "", "") if known is None else Column(name, unit if known.unit else "", known.meaning)


def _best(scores: Scores, metric: str) -> str:
    methods = [method for method in scores.scored(metric) if method != FLOOR]
    return min(methods, key=lambda method: scores.mean(method, metric), default="")


def _cell(scores: Scores, method: str, metric: str, best: bool) -> Cell:
    if not scores.has(method, metric):
        return Cell(NOTHING, "", best=False, note="this method has no such score")
    interval = scores.interval(method, metric)
    return Cell(
        figure(scores.mean(method, metric)),
        "" if interval is None else f"±{margin(interval.half)}",
        best,
        "; ".join(_notes(scores, method, metric)),
    )


def _notes(scores: Scores, method: str, metric: str) -> Iterator[str]:
    interval = scores.interval(method, metric)
    if interval is not None:
        yield f"95 % interval {_range(interval)}"
    if method != MODEL and scores.has(MODEL, metric):
        difference = scores.difference(MODEL, method, metric)
        if difference is not None:
            yield f"the model's less this: 95 % interval {_range(difference)}"


def _range(interval: Interval) -> str:
    return f"{figure(interval.low)} to {figure(interval.high)}"


def margin(value: float) -> str:
    """Write half of an interval with two digits: more of an uncertainty would be noise."""
    return "0" if value == 0 else f"{value:,.0f}" if value >= 100 else f"{float(f'{value:.1e}'):.{_decimals(value)}f}"


def _decimals(value: float) -> int:
    return min(6, max(0, 1 - int(np.floor(np.log10(float(f"{value:.1e}"))))))


def trial_rows(trials: tuple[TrialRecord, ...]) -> tuple[TrialRow, ...]:
    """Return a row for each trial; parameters that are the same everywhere are left out."""
    finished = [trial for trial in trials if trial.state is TrialState.FINISHED]
    best = min(finished, key=lambda trial: np.inf if trial.score is None else trial.score, default=None)
    varied = _varied(trials)
    return tuple(
        TrialRow(
            trial.number,
            str(trial.state),
            "" if trial.score is None else f"{trial.score:.4f}",
            trial.epochs,
            f"{trial.seconds:.1f}",
            tuple((name, plain(value)) for name, value in trial.params.items() if name in varied),
            trial.reason,
            trial is best,
        )
        for trial in trials
    )


def plain(value: Any) -> str:
    """Write a configuration's value: four digits are enough to recognise a number."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _varied(trials: tuple[TrialRecord, ...]) -> set[str]:
    names = {name for trial in trials for name in trial.params}
    return {name for name in names if len(trials) == 1 or len({repr(trial.params.get(name)) for trial in trials}) > 1}
