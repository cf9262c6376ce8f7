"""Error by time of the model, the alternatives and the floor."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightflow.evaluation import Scores
from weightflow.evaluation.scores import FLOOR
from weightflow.metrics import described, labelled
from weightflow.report.content import Report
from weightflow.report.picture import Picture, grid_of_axes, label_time, legend_above
from weightflow.report.theme import STYLES, Style, Theme

SHOWN = 4
PREFERRED = ("paper_w1", "paper_jsd", "species_w1", "joint_w1", "energy_distance", "sliced_w1")
DRAWN_ORDER = (
    "shrunk_truth",
    "nearest",
    "persistence",
    "mixture",
    "weights_line",
    "direct",
    "bridge",
    "chosen_bridge",
    "mccann",
    "model",
)  # the last lies on top
WIDE = 20.0  # a ratio of largest to smallest error from which a logarithmic axis shows more
MARKERS_UP_TO = 20
FEWEST_TIMES = 3

MARKED = "Marks on the lower edge are the snapshots that were seen in fitting. "
MANY = "Where the axis is logarithmic, lines that leave it at the bottom are zero or nearly so."
FEW = "One point for each scored time."


def errors(report: Report) -> Picture:
    """Show error by time for a few metrics."""
    known = () if report.scores.many_dimensions else PREFERRED
    names = [name for name in known if name in report.scores.metrics] or list(report.scores.metrics)
    names = names[:SHOWN]
    methods = ", ".join(_order(report.scores, names[0]))
    return Picture(
        "errors",
        "Error by time",
        f"Lower is better. The grey area is the sampling floor ({report.scores.floor}): differences inside say little. "
        + _about_times(report),
        alt=f"Plots of {', '.join(map(labelled, names))} by time for {methods} and the sampling floor; "
        "the means are in the table of scores.",
        draw=partial(_draw, report, names),
    )


def _about_times(report: Report) -> str:
    times = report.scores.times
    if len(times) < FEWEST_TIMES:
        return FEW
    return (MARKED if any(times[0] <= time <= times[-1] for time in report.known) else "") + MANY


def _draw(report: Report, names: list[str], theme: Theme) -> Figure:
    if len(report.scores.times) < FEWEST_TIMES:
        return _draw_few(report, names, theme)
    figure, axes = grid_of_axes(len(names), theme, height=3.1, columns=2)
    for name, axis in zip(names, axes, strict=True):
        _draw_metric(report, name, axis, theme)
    handles, labels = axes[0].get_legend_handles_labels()
    legend_above(figure, handles[::-1], labels[::-1])
    return figure


def _draw_few(report: Report, names: list[str], theme: Theme) -> Figure:
    """One or two times make no line: a row for each method instead."""
    figure, axes = grid_of_axes(len(names), theme, height=2.5, columns=2)
    for name, axis in zip(names, axes, strict=True):
        for row, method in enumerate(methods := _order(report.scores, name)):
            by_time = report.scores.by_time(method, name)
            axis.plot(by_time, [row] * len(by_time), "o", color=theme.colour(method), ms=8)
        if report.scores.has(FLOOR, name):
            axis.axvspan(0, report.scores.mean(FLOOR, name), color=theme.colour(FLOOR), alpha=0.55, linewidth=0)
        axis.set_yticks(range(len(methods)), [STYLES[m].label if m in STYLES else m for m in methods])
        axis.tick_params(axis="y", length=0, labelcolor=theme.ink)
        axis.set_title(_heading(report, name))
    return figure


def _draw_metric(report: Report, metric: str, axis: Axes, theme: Theme) -> None:
    scores, times = report.scores, np.asarray(report.scores.times)
    marker = "o" if len(times) <= MARKERS_UP_TO else ""
    bottom = set_scale(axis, [scores.by_time(method, metric) for method in scores.scored(metric)])
    if scores.has(FLOOR, metric):
        floor, shade = np.asarray(scores.by_time(FLOOR, metric)), theme.colour(FLOOR)
        high, label = np.maximum(floor, bottom), STYLES[FLOOR].label
        axis.fill_between(times, bottom, high, color=shade, alpha=0.55, linewidth=0, label=label)
        axis.plot(times, floor, color=shade, linewidth=STYLES[FLOOR].width, marker=marker, markersize=3.5)
    for method in _order(scores, metric):
        style = STYLES.get(method, Style(method, "-", 1.2))
        axis.plot(
            times,
            scores.by_time(method, metric),
            color=theme.colour(method),
            linestyle=style.dashes,
            linewidth=style.width,
            label=style.label,
            marker=marker,
            markersize=3.5,
        )
    _mark_seen(axis, report, theme)
    axis.set_title(_heading(report, metric))
    label_time(axis, report.observed.unit)


def _heading(report: Report, metric: str) -> str:
    known = described(metric)
    name = labelled(metric)
    return f"{name} ({report.unit})" if known is not None and known.unit else name


def set_scale(axis: Axes, lines: Sequence[Sequence[float]]) -> float:
    """Choose a scale on which all lines can be seen, and return where it begins."""
    values = np.concatenate(lines)
    positive = values[values > 0]
    # One value in fifty may lie below the axis: exact zeros and near ones would stretch it without end.
    low = float(np.quantile(positive, 0.02)) if len(positive) else 0.0
    if len(positive) and float(positive.max()) > WIDE * low and values.min() >= 0:
        axis.set_yscale("log")
        axis.set_ylim(low / 1.5, float(positive.max()) * 1.4)
        return low / 1.5
    bottom = min(0.0, float(values.min()))
    axis.set_ylim(bottom, float(values.max()) * 1.06 or 1.0)
    return bottom


def _mark_seen(axis: Axes, report: Report, theme: Theme) -> None:
    """Mark seen times, as far as they lie in or next to the scored ones."""
    low, high = axis.get_xlim()
    seen = report.known
    seen = seen[(seen >= low) & (seen <= high)]
    if not len(seen):
        return
    axis.plot(
        seen, np.zeros(len(seen)), "^", transform=axis.get_xaxis_transform(), color=theme.ink, ms=5, clip_on=False
    )
    axis.set_xlim(low, high)


def _order(scores: Scores, metric: str) -> list[str]:
    """Methods that have the metric, in the order in which they are drawn."""
    having = scores.scored(metric)
    others = [method for method in having if method not in (*DRAWN_ORDER, FLOOR)]
    return [*others, *(method for method in DRAWN_ORDER if method in having)]
