"""Tables of the report, as plain values for the template."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from weightflow.evaluation import Scores
from weightflow.evaluation.scores import FLOOR
from weightflow.evaluation.verdict import figure
from weightflow.metrics import METRICS
from weightflow.report.theme import STYLES
from weightflow.trials import TrialRecord, TrialState


@dataclass(frozen=True)
class Cell:
    """One mean score."""

    text: str
    best: bool


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
    known = {name: METRICS[name] for name in scores.metrics if name in METRICS}
    return tuple(
        Column(name, unit if name in known and known[name].unit else "", known[name].meaning if name in known else "")
        for name in scores.metrics
    )


def score_rows(scores: Scores) -> tuple[Row, ...]:
    """Return a row for each method; the floor comes last and never counts as best."""
    methods = [*(method for method in scores.methods if method != FLOOR), FLOOR]
    best = {metric: min(methods[:-1], key=lambda m: scores.mean(m, metric), default="") for metric in scores.metrics}
    return tuple(
        Row(
            method,
            STYLES[method].label if method in STYLES else method,
            tuple(Cell(figure(scores.mean(method, metric)), best[metric] == method) for metric in scores.metrics),
        )
        for method in methods
    )


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
