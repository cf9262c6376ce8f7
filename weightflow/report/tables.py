"""Tables of the report, as plain values for the template."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from weightflow.evaluation import Interval, Scores
from weightflow.evaluation.scores import FLOOR, MODEL, SHRUNK
from weightflow.evaluation.verdict import figure
from weightflow.metrics import described
from weightflow.report.theme import STYLES
from weightflow.trials import Criterion, Front, Repeated, TrialRecord, TrialState

NOTHING = "–"

Params = tuple[tuple[str, str], ...]


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
    """One metric: its key in score files, what a reader is told instead, its unit, and what it measures."""

    name: str
    label: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class TrialRow:
    """One trial, in words; `marks` tell what is unusual about it."""

    number: int
    marks: tuple[str, ...]
    state: str
    score: str
    epochs: int
    seconds: str
    params: Params
    reason: str
    best: bool


@dataclass(frozen=True)
class FrontRow:
    """One trial of the front; the values are in the order of the criteria."""

    number: int
    values: tuple[str, ...]
    params: Params
    recommended: bool


@dataclass(frozen=True)
class RepeatRow:
    """One configuration that was trained with fresh seeds; `chosen_by` is the score that it was chosen by."""

    number: int
    chosen_by: str
    scores: tuple[str, ...]
    failed: int
    mean: str
    margin: str
    best: bool


def score_columns(scores: Scores, unit: str) -> tuple[Column, ...]:
    """Return the metrics; `unit` is what the data's values are."""
    return tuple(column(name, unit) for name in scores.metrics)


def score_rows(scores: Scores) -> tuple[Row, ...]:
    """Return a row for each method, variants of the model after the alternatives; the truth never counts as best."""
    best = {metric: _best(scores, metric) for metric in scores.metrics}
    return tuple(
        Row(
            method,
            _label(scores, method),
            tuple(_cell(scores, method, metric, best[metric] == method) for metric in scores.metrics),
        )
        for method in scores.ordered
    )


def _label(scores: Scores, method: str) -> str:
    label = STYLES[method].label if method in STYLES else method
    return f"variant of the model: {label}" if method in scores.variants else label


def column(name: str, unit: str) -> Column:
    """Return one metric; `unit` is what the data's values are."""
    known = described(name)
    if known is None:
        return Column(name, name, "", "")
    return Column(name, known.label, unit if known.unit else "", known.meaning)


def _best(scores: Scores, metric: str) -> str:
    methods = [method for method in scores.scored(metric) if method not in (FLOOR, SHRUNK)]
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


def trial_rows(trials: Sequence[TrialRecord], repeats: Sequence[Repeated] = ()) -> tuple[TrialRow, ...]:
    """Return a row for each trial; parameters that are the same everywhere are left out.

    Repeats never count as best: the luck of a seed is no merit of a configuration. Where there are some, fresh seeds
    decide which trial is.
    """
    finished = [trial for trial in trials if trial.state is TrialState.FINISHED and trial.repeat_of is None]
    lowest = min(finished, key=lambda trial: np.inf if trial.score is None else trial.score, default=None)
    best = _ranked(repeats)[0].number if repeats else None if lowest is None else lowest.number
    varied = _varied(trials)
    return tuple(
        TrialRow(
            trial.number,
            tuple(_marks(trial)),
            str(trial.state),
            "" if trial.score is None else f"{trial.score:.4f}",
            trial.epochs,
            f"{trial.seconds:.1f}",
            _params(trial, varied),
            _reason(trial),
            trial.number == best,
        )
        for trial in trials
    )


def _marks(trial: TrialRecord) -> Iterator[str]:
    if trial.repeat_of is not None:
        yield f"repeat of {trial.repeat_of}"
    if trial.retries:
        yield "1 retry" if trial.retries == 1 else f"{trial.retries} retries"


def _reason(trial: TrialRecord) -> str:
    again = trial.retries and trial.reason and trial.state is not TrialState.FAILED
    return f"tried again after: {trial.reason}" if again else trial.reason


def score_table(scores: Scores) -> str:
    """Return the means and their 95 % intervals as a table with commas, a row for each method and metric."""
    return _table(("method", "metric", "mean", "low", "high"), _score_lines(scores))


def comparison_table(models: Mapping[str, Scores]) -> str:
    """Return the same of several models, whose names come first."""
    rows = ((name, *line) for name, scores in models.items() for line in _score_lines(scores))
    return _table(("name", "method", "metric", "mean", "low", "high"), rows)


def _score_lines(scores: Scores) -> Iterator[tuple[Any, ...]]:
    for method in scores.ordered:
        for metric in (metric for metric in scores.metrics if scores.has(method, metric)):
            interval = scores.interval(method, metric)
            ends = (None, None) if interval is None else (interval.low, interval.high)
            yield (method, metric, scores.mean(method, metric), *ends)


def trial_table(trials: Sequence[TrialRecord]) -> str:
    """Return all trials with all that they were trained with as a table with commas."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.chosen))
    head = ("trial", "state", "repeat_of", "score", "epochs", "seconds", *names)
    return _table(
        head,
        (
            (t.number, t.state, t.repeat_of, t.score, t.epochs, t.seconds, *(t.chosen.get(name) for name in names))
            for t in trials
        ),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def front_rows(front: Front) -> tuple[FrontRow, ...]:
    """Return a row for each trial of the front; parameters that are the same everywhere are left out."""
    varied = _varied(front.trials)
    return tuple(
        FrontRow(
            trial.number,
            tuple(_amount(criterion, trial.value(criterion)) for criterion in front.criteria),
            _params(trial, varied),
            trial.number == front.recommended,
        )
        for trial in front.trials
    )


def _amount(criterion: Criterion, value: float) -> str:
    return {Criterion.SCORE: f"{value:.4f}", Criterion.PARAMETERS: f"{value:,.0f}"}.get(criterion, figure(value))


def repeat_rows(repeats: Sequence[Repeated]) -> tuple[RepeatRow, ...]:
    """Return a row for each configuration, the lowest mean first."""
    return tuple(
        RepeatRow(
            one.number,
            f"{one.chosen_by:.4f}",
            tuple(f"{score:.4f}" for score in one.scores),
            one.failed,
            NOTHING if one.mean is None else f"{one.mean:.4f}",
            "" if one.half is None else f"±{margin(one.half)}",
            rank == 0,
        )
        for rank, one in enumerate(_ranked(repeats))
    )


def compared(repeats: Sequence[Repeated]) -> str:
    """Say whether the interval of the best mean overlaps that of the second best, and what could not be repeated."""
    ranked = _ranked(repeats)
    having = [one for one in ranked if one.mean is not None]
    alone = "" if len(having) < 2 else _apart(*having[:2])
    return " ".join(text for text in (alone, *_lost(ranked)) if text)


def _lost(repeats: Sequence[Repeated]) -> Iterator[str]:
    for one in repeats:
        if one.failed:
            yield f"Trial {one.number}: {one.told}."


def _apart(best: Repeated, second: Repeated) -> str:
    text = (
        f"By fresh seeds alone, trial {best.number} has the lowest mean, {_mean(best)}, "
        f"trial {second.number} the next, {_mean(second)}"
    )
    if best.mean is None or second.mean is None or best.half is None or second.half is None:
        return f"{text}; where there is only one seed, there is no interval to compare."
    if best.mean + best.half >= second.mean - second.half:
        return f"{text}. Their 95 % intervals overlap: these seeds do not tell for certain which one is better."
    return f"{text}. Their 95 % intervals do not overlap: the difference is more than the luck of a seed."


def _ranked(repeats: Sequence[Repeated]) -> list[Repeated]:
    return sorted(repeats, key=lambda one: one.rank)


def _mean(one: Repeated) -> str:
    return f"{one.mean:.4f}" + ("" if one.half is None else f" ± {margin(one.half)}")


def _params(trial: TrialRecord, varied: set[str]) -> Params:
    return tuple((name, plain(value)) for name, value in trial.chosen.items() if name in varied)


def plain(value: Any) -> str:
    """Write a configuration's value: four digits are enough to recognise a number."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _varied(trials: Sequence[TrialRecord]) -> set[str]:
    names = {name for trial in trials for name in trial.chosen}
    return {name for name in names if len(trials) == 1 or len({repr(trial.chosen.get(name)) for trial in trials}) > 1}
