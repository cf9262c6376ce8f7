"""The Pareto front: score against every other criterion."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter, StrMethodFormatter
from matplotlib.transforms import Bbox, BboxBase

from weightflow.report.picture import Picture, grid_of_axes, legend_above
from weightflow.report.plots.edges import mark_at_edge, top_of_bulk
from weightflow.report.theme import Theme
from weightflow.trials import Criterion, Front, TrialRecord, TrialState

TITLE = "Pareto front"
WIDE = 10.0  # a ratio of largest to smallest value from which a logarithmic axis shows more
LONG = 300.0  # one from which the powers of ten are ticks enough
MARGIN = 0.08  # of each axis, free on each side of the points
LARGE = 1000.0  # numbers from here on are written whole, in groups of three digits
REACH = 9.0  # pixels around the middle of a mark that labels keep free

Side = tuple[int, int]
# Right or left, above or below: nothing that a trial of the front dominates lies below to the left of it.
SIDES: tuple[Side, ...] = ((-1, -1), (1, 1), (1, -1), (-1, 1))


@dataclass(frozen=True)
class Shown:
    """The front and the finished trials that it dominates; scores above `top` are marked at the edge."""

    front: Front
    dominated: tuple[TrialRecord, ...]
    top: float

    @property
    def others(self) -> tuple[Criterion, ...]:
        """What the score is drawn against."""
        return tuple(criterion for criterion in self.front.criteria if criterion is not Criterion.SCORE)


def front(chosen: Front, trials: Sequence[TrialRecord]) -> Picture:
    """Show which of the trials no other one beats in all criteria, and the recommended one among them."""
    shown = _shown(chosen, trials)
    if not shown.others:
        return Picture("front", TITLE, "Only the score was minimised: the front is the best trial.")
    names = " and ".join(criterion.value for criterion in shown.others)
    return Picture(
        "front",
        TITLE,
        f"Finished trials by score against {names}, lower is better. No other trial beats those on the front in all "
        "criteria at once; they are labelled by their numbers, as far as there is room. Repeats with other seeds are "
        "left out.",
        alt=f"Scatter plot of score against {names}: {len(chosen.trials)} trials on the front, of which trial "
        f"{chosen.recommended} is recommended, and {len(shown.dominated)} dominated ones.",
        draw=partial(_draw, shown),
    )


def _shown(chosen: Front, trials: Sequence[TrialRecord]) -> Shown:
    on_front = {trial.number for trial in chosen.trials}
    dominated = [
        trial
        for trial in trials
        if trial.state is TrialState.FINISHED
        and trial.repeat_of is None
        and trial.number not in on_front
        and all(np.isfinite(trial.value(criterion)) for criterion in chosen.criteria)
    ]
    scores = _values(chosen.trials, Criterion.SCORE)
    top = max(*scores, top_of_bulk(np.array([*scores, *_values(dominated, Criterion.SCORE)])))
    return Shown(chosen, tuple(dominated), top)


def _draw(shown: Shown, theme: Theme) -> Figure:
    figure, axes = grid_of_axes(len(shown.others), theme, height=3.9, columns=2)
    for other, axis in zip(shown.others, axes, strict=True):
        _draw_criterion(shown, other, axis, theme)
    legend_above(figure, *axes[0].get_legend_handles_labels())
    figure.draw_without_rendering()
    for other, axis in zip(shown.others, axes, strict=True):
        _place_labels(shown, other, axis, theme)
    return figure


def _draw_criterion(shown: Shown, other: Criterion, axis: Axes, theme: Theme) -> None:
    inside = [trial for trial in shown.dominated if trial.value(Criterion.SCORE) <= shown.top]
    outside = [trial for trial in shown.dominated if trial.value(Criterion.SCORE) > shown.top]
    on_front = sorted(shown.front.trials, key=lambda trial: trial.value(other))
    recommended = [trial for trial in on_front if trial.number == shown.front.recommended]
    colour, edge = theme.colour("mccann"), theme.background
    if len(shown.front.criteria) == 2:  # with more, the front is no line in this plane
        axis.step(*_points(on_front, other), where="post", color=colour, linewidth=1.2)
    groups: tuple[tuple[Sequence[TrialRecord], dict[str, Any], str], ...] = (
        (inside, {"color": theme.muted, "alpha": 0.4, "ms": 5.5, "mew": 0}, f"dominated ({len(shown.dominated)})"),
        (on_front, {"color": colour, "ms": 8, "mec": edge}, f"on the front ({len(on_front)})"),
        (recommended, {"color": theme.colour("model"), "ms": 12, "mec": edge}, "recommended"),
    )
    for trials, looks, label in groups:
        if trials:
            axis.plot(*_points(trials, other), "o", label=label, **looks)
    mark_at_edge(axis, _values(outside, other), 0.985, "^", theme.muted, "worse than shown")
    _set_scale(axis, "x", _values([*shown.dominated, *on_front], other))
    _set_scale(axis, "y", _values([*inside, *on_front], Criterion.SCORE))
    axis.set_xlabel(other.meaning)
    axis.set_ylabel(Criterion.SCORE.meaning)


def _values(trials: Sequence[TrialRecord], criterion: Criterion) -> list[float]:
    return [trial.value(criterion) for trial in trials]


def _points(trials: Sequence[TrialRecord], other: Criterion) -> tuple[list[float], list[float]]:
    return _values(trials, other), _values(trials, Criterion.SCORE)


def _set_scale(axes: Axes, name: str, values: Sequence[float]) -> None:
    """Choose a scale, leave room for labels around the points, and write numbers in full."""
    axis = axes.xaxis if name == "x" else axes.yaxis
    low, high = min(values), max(values)
    if low > 0 and high > WIDE * low:
        room = (high / low) ** MARGIN
        axes.set(**{f"{name}scale": "log", f"{name}lim": (low / room, high * room)})
        axis.set_major_locator(LogLocator(subs=(1.0,) if high > LONG * low else (1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    else:
        room = MARGIN * (high - low) or 0.05 * abs(low) or 1.0
        axes.set(**{f"{name}lim": (low - room, high + room)})
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}") if high >= LARGE else ScalarFormatter(useOffset=False))


def _place_labels(shown: Shown, other: Criterion, axis: Axes, theme: Theme) -> None:
    """Write numbers beside the front's trials where they cover nothing, and leave out those that would.

    The axis must have been laid out before, or labels would have no size. The recommended trial comes first and is
    always labelled.
    """
    trials = [*shown.front.trials, *shown.dominated]
    marks = axis.transData.transform(np.transpose(_points(trials, other)))
    taken = [Bbox.from_extents(*(mark - REACH), *(mark + REACH)) for mark in marks]
    for trial in sorted(shown.front.trials, key=lambda trial: trial.number != shown.front.recommended):
        recommended = trial.number == shown.front.recommended
        text = f"trial {trial.number}, recommended" if recommended else str(trial.number)
        places = [_label(axis, trial, other, text, side, theme) for side in SIDES]
        boxes = [label.get_window_extent() for label in places]
        covered = [_covered(box, taken, axis) for box in boxes]
        best = int(np.argmin(covered))
        keep = recommended or covered[best] == 0
        for k, label in enumerate(places):
            if k != best or not keep:
                label.remove()
        taken += [boxes[best]] if keep else []


def _label(axis: Axes, trial: TrialRecord, other: Criterion, text: str, side: Side, theme: Theme) -> Annotation:
    across, up = side
    return axis.annotate(
        text,
        (trial.value(other), trial.value(Criterion.SCORE)),
        xytext=(8 * across, 6 * up),
        textcoords="offset points",
        ha="left" if across > 0 else "right",
        va="bottom" if up > 0 else "top",
        fontsize=9,
        zorder=1.5,  # below the marks, lest the halo hide any
        path_effects=[patheffects.withStroke(linewidth=3, foreground=theme.background)],
    )


def _covered(box: BboxBase, taken: Sequence[BboxBase], axis: Axes) -> int:
    """Count what a label would lie upon; the frame of the axes counts as well."""
    outside = [corner for corner in (box.min, box.max) if not axis.bbox.contains(*corner)]
    return len([one for one in taken if box.overlaps(one)]) + len(outside)
