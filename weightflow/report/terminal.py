"""Scores as a table for the terminal, and what they say."""

import textwrap
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from weightflow.evaluation import Scores, short_summary
from weightflow.evaluation.scores import FLOOR, MODEL, SHRUNK
from weightflow.metrics import labelled
from weightflow.terminal import tell

GAP = 2  # between columns
HEADER = 12  # columns of a name
SHOWN = ("paper_w1", "paper_jsd", "energy_distance", "species_w1", "sliced_w1")


def print_scores(console: Console, scores: Scores) -> None:
    """Print a table of a few metrics, as many as fit without breaking a word, and what they come to."""
    times = "1 time" if len(scores.times) == 1 else f"{len(scores.times)} times"
    times = f"{times} of conditions" if scores.places else times
    shared = [metric for metric in scores.metrics if all(scores.has(method, metric) for method in scores.methods)]
    columns = {
        metric: [f"{scores.mean(method, metric):.4f}" for method in scores.ordered]
        for metric in _first_shown(scores, shared)
    }
    names = [f"variant: {method}" if method in scores.variants else method for method in scores.ordered]
    styles = ["bold" if one == MODEL else "dim" if one in (FLOOR, SHRUNK) else "" for one in scores.ordered]
    tell(console, f"Test scores, mean over {times} (lower is better)")
    console.print(_table(console.width, names, columns, styles))
    tell(console, short_summary(scores))


def print_models(console: Console, models: Mapping[str, Scores], metrics: Sequence[str]) -> None:
    """Print the scores of several models with half of their intervals, by as many of the metrics as fit."""
    first = next(iter(models.values()))
    columns = {metric: [_mean(scores, metric) for scores in models.values()] for metric in _first_shown(first, metrics)}
    tell(console, "Test scores of the models (lower is better)")
    console.print(_table(console.width, [*models], columns, [""] * len(models)))


def _mean(scores: Scores, metric: str) -> str:
    interval = scores.interval(MODEL, metric)
    return f"{scores.mean(MODEL, metric):.4f}" + ("" if interval is None else f" ±{interval.half:.4f}")


def _table(width: int, names: Sequence[str], columns: Mapping[str, Sequence[str]], styles: Sequence[str]) -> Table:
    """Make a table of the first columns that fit, with a row for each name."""
    room = width - max(map(len, names))
    table = Table(box=None, pad_edge=False, padding=(0, 0, 0, GAP))
    table.add_column("", no_wrap=True)
    shown: list[Sequence[str]] = []
    for metric, values in columns.items():
        header = _header(metric)
        taken = GAP + max(map(len, (*header.split("\n"), *values)))
        if taken <= room:
            room -= taken
            table.add_column(header, justify="right", no_wrap=True)
            shown.append(values)
    for row, (name, style) in enumerate(zip(names, styles, strict=True)):
        table.add_row(name, *(values[row] for values in shown), style=style)
    return table


def _header(metric: str) -> str:
    """Break a name between its words where it is longer than numbers are."""
    return "\n".join(textwrap.wrap(labelled(metric), HEADER, break_long_words=False))


def _first_shown(scores: Scores, metrics: Sequence[str]) -> list[str]:
    """Return the few of some metrics that there is room for, the one that the answer goes by first."""
    wanted = dict.fromkeys((scores.leading, *(scores.metrics if scores.many_dimensions else SHOWN)))
    return [metric for metric in wanted if metric in metrics][: len(SHOWN)]
