"""Scores as a table for the terminal, and what they say."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from weightflow.evaluation import Scores, summary
from weightflow.evaluation.scores import FLOOR, MODEL, SHRUNK

SHOWN = ("paper_w1", "paper_jsd", "energy_distance", "species_w1", "sliced_w1")


def print_scores(console: Console, scores: Scores) -> None:
    """Print a table of a few metrics, and the verdict."""
    times = "1 time" if len(scores.times) == 1 else f"{len(scores.times)} times"
    table = Table(title=f"Test scores, mean over {times} (lower is better)", title_justify="left")
    shared = [metric for metric in scores.metrics if all(scores.has(method, metric) for method in scores.methods)]
    shown = first_shown(scores, shared)
    table.add_column("")
    for metric in shown:
        table.add_column(metric, justify="right")
    for method in scores.ordered:
        style = "bold" if method == MODEL else "dim" if method in (FLOOR, SHRUNK) else ""
        name = f"variant: {method}" if method in scores.variants else method
        table.add_row(name, *(f"{scores.mean(method, metric):.4f}" for metric in shown), style=style)
    console.print(table)
    console.print(summary(scores), highlight=False)


def first_shown(scores: Scores, metrics: Sequence[str]) -> list[str]:
    """Return the few of some metrics that there is room for."""
    wanted = scores.metrics if scores.many_dimensions else SHOWN
    return [metric for metric in wanted if metric in metrics][: len(SHOWN)]
