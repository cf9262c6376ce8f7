"""How the held-out score of each trial fell while it trained."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from weightflow.report.picture import Picture, legend_above, whole_numbers
from weightflow.report.plots.edges import end_above_bulk
from weightflow.report.theme import Theme
from weightflow.trials import TrialRecord, TrialState

TITLE = "Learning curves"
LOOKS = {
    TrialState.FINISHED: ("mccann", "-", "finished"),
    TrialState.PRUNED: ("persistence", "--", "pruned: stopped early"),
    TrialState.STOPPED: ("nearest", ":", "stopped by a budget"),
    TrialState.FAILED: ("model", ":", "failed"),
}


def curves(trials: Sequence[TrialRecord], best: int | None) -> Picture:
    """Show the score after each epoch, the best trial's above all others."""
    learned = [trial for trial in trials if len(_scores(trial)) > 1]
    if not learned:
        return Picture("curves", TITLE, "No trial reported more than one score.")
    marked = "" if best is None else f" Thick: trial {best}, the best."
    return Picture(
        "curves",
        TITLE,
        f"Held-out score after each epoch, in nats per sample, lower is better; one line for each of {len(learned)} "
        f"trials, repeats included.{marked} Where an axis ends below a line, that trial was worse there.",
        alt=f"Held-out score against epoch for {len(learned)} trials.",
        draw=partial(_draw, learned, best),
    )


def _scores(trial: TrialRecord) -> list[tuple[float, float]]:
    """Return epochs and finite scores."""
    pairs = ((entry.get("epoch"), entry.get("score")) for entry in trial.history)
    return [(a, b) for a, b in pairs if a is not None and b is not None and np.isfinite(b)]


def _draw(learned: Sequence[TrialRecord], best: int | None, theme: Theme) -> Figure:
    figure = Figure(figsize=(theme.width, 3.3), layout="constrained")
    axis = figure.subplots()
    named: set[str] = set()
    for trial in sorted(learned, key=lambda one: one.number == best):
        name, dashes, word = LOOKS.get(trial.state, LOOKS[TrialState.STOPPED])
        epochs, scores = zip(*_scores(trial), strict=True)
        colour, width, label = theme.colour(name), 1.2, word
        if trial.number == best:
            colour, width, label = theme.colour("model"), 2.6, f"trial {best}, the best"
        axis.plot(
            epochs, scores, dashes, color=colour, linewidth=width, alpha=1.0 if trial.number == best else 0.75,
            marker="o", ms=3, label=None if label in named else label,
        )  # fmt: skip
        named.add(label)
    end_above_bulk(axis, np.array([score for trial in learned for _, score in _scores(trial)]))
    whole_numbers(axis.xaxis)
    axis.set_xlabel("epoch")
    axis.set_ylabel("score (nats per sample)")
    legend_above(figure, *axis.get_legend_handles_labels())
    return figure
