"""Mean scores of configurations that were trained with fresh seeds."""

from collections.abc import Sequence
from functools import partial

from matplotlib.figure import Figure

from weightflow.report.picture import Picture, legend_above
from weightflow.report.theme import Theme
from weightflow.trials import Criterion, Repeated


def repeats(repeated: Sequence[Repeated]) -> Picture:
    """Show the scores of each configuration, the mean over fresh seeds and its interval; the lowest mean first."""
    ranked = sorted(repeated, key=lambda one: one.rank)
    return Picture(
        "repeats",
        "Means over fresh seeds",
        "Open points: one training each, with a fresh seed. Diamonds: their mean, with its 95 % interval by Student's "
        "t. Filled points are the trials themselves, by whose scores they were chosen for repeats: these tend to be "
        "too low, and count for nothing here.",
        alt="Mean scores with 95 % intervals: "
        + ", ".join(f"trial {one.number} at {one.told}" for one in ranked)
        + ".",
        draw=partial(_draw, ranked),
    )


def _draw(ranked: Sequence[Repeated], theme: Theme) -> Figure:
    figure = Figure(figsize=(theme.width, 1.3 + 0.42 * len(ranked)), layout="constrained")
    axis = figure.subplots()
    for row, one in enumerate(ranked):
        colour = theme.colour("mccann" if row else "model")
        if one.mean is not None:
            axis.errorbar(
                one.mean, row, xerr=one.half, fmt="D", color=colour, ms=9, linewidth=2, capsize=4,
                label=None if row else "mean over fresh seeds, 95 % interval",
            )  # fmt: skip
        for scores, fill, word in (
            (one.scores, theme.background, "one fresh seed"),
            ((one.chosen_by,), theme.ink, "score that it was chosen by"),
        ):
            label = None if row else word
            axis.plot(scores, [row] * len(scores), "o", color=theme.ink, mfc=fill, ms=5, zorder=3, label=label)
    axis.set_yticks(range(len(ranked)), [f"trial {one.number}" for one in ranked])
    axis.set_ylim(len(ranked) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0, labelcolor=theme.ink)
    axis.grid(visible=False, axis="y")
    axis.ticklabel_format(axis="x", useOffset=False)
    axis.set_xlabel(Criterion.SCORE.meaning)
    legend_above(figure, *axis.get_legend_handles_labels(), columns=3)
    return figure
