"""Scores of the trials in the order of their start."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightflow.report.content import Searched
from weightflow.report.picture import TIP, Picture, legend_above, whole_numbers
from weightflow.report.plots.edges import end_above_bulk, mark_at_edge
from weightflow.report.theme import Theme
from weightflow.trials import TrialRecord, TrialState

TITLE = "Optimisation history"
REPEATED = "Diamonds: repeats of a trial with another seed, which are not counted for the best."
APART = (
    "Trials that were stopped early have an axis of their own, since scores after fewer epochs cannot be compared with "
    "those above."
)


def history(report: Searched) -> Picture:
    """Show every trial's score and the best one so far.

    Drawn from the trial records and not by Optuna's own plot, which knows no difference between a trial that was
    stopped early and one that finished.
    """
    scored = [(trial, trial.score) for trial in report.trials if trial.score is not None and np.isfinite(trial.score)]
    if not scored:
        why = "No trial has a score." if report.trials else "There was no search: one model was trained."
        return Picture("history", TITLE, why)
    whole = any(trial.state is TrialState.FINISHED for trial, _ in scored)
    cut = any(trial.state is not TrialState.FINISHED for trial, _ in scored)
    told = [
        "The score of each trial in the order of their start (held-out negative log-likelihood, lower is better).",
        *(["The line is the best of the trials that were trained to the end so far."] if whole else []),
        *([REPEATED] if any(trial.repeat_of is not None for trial, _ in scored) else []),
        *([APART] if whole and cut else []),
        "Triangles at an upper edge: worse than the axis shows.",
        *(["Crosses: failed."] if any(trial.state is TrialState.FAILED for trial in report.trials) else []),
    ]
    return Picture(
        "history",
        TITLE,
        " ".join(told),
        alt=f"Scatter plot of the scores of {len(scored)} trials by number, with the best so far as a line.",
        draw=partial(_draw, report.trials, scored),
    )


def _draw(trials: tuple[TrialRecord, ...], scored: list[tuple[TrialRecord, float]], theme: Theme) -> Figure:
    ended = [(trial, score) for trial, score in scored if trial.state is TrialState.FINISHED]
    cut = [(trial, score) for trial, score in scored if trial.state is not TrialState.FINISHED]
    rows = [part for part in (ended, cut) if part]
    figure = Figure(figsize=(theme.width, 1.0 + 2.3 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 1, squeeze=False, sharex=True).ravel()
    if ended:
        _draw_finished(axes[0], ended, theme)
    if cut:
        _draw_cut(axes[-1], cut, theme)
    failed = [trial.number for trial in trials if trial.state is TrialState.FAILED]
    mark_at_edge(axes[0], failed, 0.0, "x", theme.ink, f"failed ({len(failed)})")
    whole_numbers(axes[-1].xaxis)
    axes[-1].set_xlabel("trial")
    pairs = {label: one for axis in axes for one, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    legend_above(figure, list(pairs.values()), list(pairs), 5)
    return figure


def _draw_finished(axis: Axes, ended: list[tuple[TrialRecord, float]], theme: Theme) -> None:
    """Show the trials that were trained to their end, and the best of them so far."""
    again = [pair for pair in ended if pair[0].repeat_of is not None]
    first = [pair for pair in ended if pair[0].repeat_of is None]
    for part, marker, fill, word in (
        (first, "o", theme.colour("mccann"), "finished"),
        (again, "D", theme.background, "repeats"),
    ):
        if part:
            _mark(axis, part, marker, fill, f"{word} ({len(part)})", theme)
    if first:
        best = np.minimum.accumulate([score for _, score in first])
        numbers = [trial.number for trial, _ in first]
        axis.step(numbers, best, where="post", color=theme.colour("model"), linewidth=2, label="best so far")
    _end_axis(axis, ended, theme)
    axis.set_title("trained to the end")


def _draw_cut(axis: Axes, cut: list[tuple[TrialRecord, float]], theme: Theme) -> None:
    """Show the trials that were stopped early on an axis of their own: their scores are those of fewer epochs."""
    _mark(axis, cut, "o", theme.background, f"stopped early ({len(cut)})", theme)
    _end_axis(axis, cut, theme)
    axis.set_title("stopped early: score at the last epoch that each had")


def _mark(axis: Axes, part: list[tuple[TrialRecord, float]], marker: str, fill: str, label: str, theme: Theme) -> None:
    for k, (trial, score) in enumerate(part):
        colour, name = theme.colour("mccann"), label if k == 0 else None
        mark = axis.plot(trial.number, score, marker, color=colour, mfc=fill, ms=6, label=name)[0]
        mark.set_gid(f"{TIP}trial {trial.number}, {trial.state}, score {score:.4f} after {trial.epochs} epochs")


def _end_axis(axis: Axes, part: list[tuple[TrialRecord, float]], theme: Theme) -> None:
    """Let the axis end a little above the bulk of the scores; what is worse is marked at its edge."""
    top = end_above_bulk(axis, np.array([score for _, score in part]))
    worse = [trial.number for trial, score in part if score > top]
    mark_at_edge(axis, worse, 0.985, "^", theme.muted, "worse than shown")
    axis.set_ylabel("score (nats per sample)")
