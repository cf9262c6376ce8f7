"""Scores of the trials in the order of their start."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from weightflow.report.content import Report
from weightflow.report.picture import Picture
from weightflow.report.plots.edges import mark_at_edge, top_of_bulk
from weightflow.report.theme import Theme
from weightflow.trials import TrialRecord, TrialState

TITLE = "Optimisation history"


def history(report: Report) -> Picture:
    """Show every trial's score and the best one so far.

    Drawn from the trial records and not by Optuna's own plot, which knows no difference between a trial that was
    stopped early and one that finished.
    """
    scored = [(trial, trial.score) for trial in report.trials if trial.score is not None and np.isfinite(trial.score)]
    if not scored:
        why = "No trial has a score." if report.trials else "There was no search: one model was trained."
        return Picture("history", TITLE, why)
    return Picture(
        "history",
        TITLE,
        "The score of each trial (held-out negative log-likelihood, lower is better). Hollow: stopped early, so that "
        "the score is that of its last epoch. Diamonds: repeats of a trial with another seed, which are not counted "
        "for the best. Triangles at the upper edge: worse than the axis shows. Crosses at the "
        "lower edge: failed. The line is the best finished trial so far.",
        alt=f"Scatter plot of the scores of {len(scored)} trials by number, with the best so far as a line.",
        draw=partial(_draw, report.trials, scored),
    )


def _draw(trials: tuple[TrialRecord, ...], scored: list[tuple[TrialRecord, float]], theme: Theme) -> Figure:
    figure = Figure(figsize=(11, 3.5), layout="constrained")
    axis = figure.subplots()
    numbers = np.array([trial.number for trial, _ in scored])
    scores = np.array([score for _, score in scored])
    ended = np.array([trial.state is TrialState.FINISHED for trial, _ in scored])
    repeat = np.array([trial.repeat_of is not None for trial, _ in scored])
    finished = ended & ~repeat
    failed = [trial.number for trial in trials if trial.state is TrialState.FAILED]
    top = _set_limits(axis, scores)
    colour = theme.colour("mccann")
    for chosen, marker, fill, word in (
        (finished, "o", colour, "finished"),
        (~ended, "o", "none", "stopped early"),
        (ended & repeat, "D", theme.background, "repeats"),
    ):
        if chosen.any():
            inside, label = chosen & (scores <= top), f"{word} ({chosen.sum()})"
            axis.plot(numbers[inside], scores[inside], marker, color=colour, mfc=fill, ms=6, label=label)
    best = np.minimum.accumulate(scores[finished])
    axis.step(numbers[finished], best, where="post", color=theme.colour("model"), linewidth=2, label="best so far")
    mark_at_edge(axis, numbers[scores > top].tolist(), 0.985, "^", theme.muted, "worse than shown")
    mark_at_edge(axis, failed, 0.0, "x", theme.ink, f"failed ({len(failed)})")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("trial")
    axis.set_ylabel("score")
    figure.legend(loc="outside upper left", ncols=6, fontsize=9.5)
    return figure


def _set_limits(axis: Axes, scores: np.ndarray) -> float:
    """Let the axis end a little above the bulk of the scores, and return where it does."""
    low, top = float(scores.min()), top_of_bulk(scores)
    margin = 0.08 * (top - low) or 0.05 * abs(low) or 1.0
    axis.set_ylim(low - margin, top + margin)
    return top
