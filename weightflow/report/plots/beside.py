"""Several scored models beside each other: their means by some metrics, and their error by time."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightflow.evaluation import Scores, figure
from weightflow.evaluation.scores import FLOOR, MCCANN, MODEL
from weightflow.metrics import labelled
from weightflow.report.picture import TIP, Picture, grid_of_axes, label_time, legend_above
from weightflow.report.plots.distances import MARKERS
from weightflow.report.plots.errors import FEWEST_TIMES, MARKERS_UP_TO, WIDE, set_scale
from weightflow.report.theme import STYLES, Theme

DRAWN = 4  # metrics
# methods whose colours and dashes the models take in turn
LOOKS = ("model", "mccann", "bridge", "mixture", "direct", "nearest", "weights_line", "chosen_bridge", "persistence")


def means(models: Mapping[str, Scores], metrics: Sequence[str]) -> Picture:
    """Show the mean of each model with its interval, beside its floor and McCann's interpolation."""
    shown = metrics[:DRAWN]
    return Picture(
        "means",
        "Scores beside each other",
        "Mean over the scored times, with its 95 % interval where that is known; lower is better. The grey line is "
        f"each one's own sampling floor, the square {STYLES[MCCANN].label} on the same data.",
        alt=f"Scores of {', '.join(models)} by {', '.join(map(labelled, shown))}; they are in the table.",
        draw=partial(_draw_means, models, shown),
    )


def by_time(models: Mapping[str, Scores], metrics: Sequence[str], unit: str = "") -> Picture:
    """Show the error of models that were scored at the same times, at each of them."""
    title, (first, *_) = "Error by time", models.values()
    if first.places or len(first.times) < FEWEST_TIMES:
        return Picture("errors", title, f"It takes {FEWEST_TIMES} scored times of one course at least.")
    shown = metrics[:DRAWN]
    return Picture(
        "errors",
        title,
        f"Lower is better. The grey area is the sampling floor ({first.floor}): differences inside say little.",
        alt=f"Plots of {', '.join(map(labelled, shown))} by time for {', '.join(models)} and the sampling floor.",
        draw=partial(_draw_by_time, models, shown, unit),
    )


def _draw_means(models: Mapping[str, Scores], metrics: Sequence[str], theme: Theme) -> Figure:
    drawn, axes = grid_of_axes(len(metrics), theme, height=1.1 + 0.35 * len(models), columns=2)
    for metric, axis in zip(metrics, axes, strict=True):
        _draw_metric(models, metric, axis, theme)
    pairs = {label: one for axis in axes for one, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    legend_above(drawn, list(pairs.values()), list(pairs))
    return drawn


def _draw_metric(models: Mapping[str, Scores], metric: str, axis: Axes, theme: Theme) -> None:
    least = most = next(iter(models.values())).mean(MODEL, metric)
    for row, (name, scores) in enumerate(reversed([*models.items()])):
        for method in (method for method in (FLOOR, MCCANN, MODEL) if scores.has(method, metric)):
            mean = scores.mean(method, metric)
            least, most = min(least, mean), max(most, mean)
            _mark(axis, row, scores, method, metric, f"{TIP}{name}, {STYLES[method].label}: {figure(mean)}", theme)
    if least > 0 and most > WIDE * least:
        axis.set_xscale("log")
    axis.set_yticks(range(len(models)), [*reversed([*models])])
    axis.set_ylim(-0.6, len(models) - 0.4)
    axis.tick_params(axis="y", length=0, labelcolor=theme.ink)
    axis.set_title(labelled(metric))


def _mark(axis: Axes, row: int, scores: Scores, method: str, metric: str, tip: str, theme: Theme) -> None:
    mean, interval, colour = scores.mean(method, metric), scores.interval(method, metric), theme.colour(method)
    if method == FLOOR:
        mark = axis.plot([mean, mean], [row - 0.35, row + 0.35], color=colour, linewidth=2, label=STYLES[FLOOR].label)
    else:
        if method == MODEL and interval is not None:
            axis.plot([interval.low, interval.high], [row, row], color=colour, linewidth=2)
        marker, size = ("o", 7) if method == MODEL else (MARKERS[MCCANN], 5)
        looks: dict[str, Any] = {"color": colour, "ms": size, "linestyle": "", "mec": theme.background, "mew": 0.8}
        mark = axis.plot(mean, row, marker, label=STYLES[method].label, **looks)
    mark[0].set_gid(tip)


def _draw_by_time(models: Mapping[str, Scores], metrics: Sequence[str], unit: str, theme: Theme) -> Figure:
    drawn, axes = grid_of_axes(len(metrics), theme, height=3.1, columns=2)
    for metric, axis in zip(metrics, axes, strict=True):
        _draw_lines(models, metric, axis, theme)
        axis.set_title(labelled(metric))
        label_time(axis, unit)
    legend_above(drawn, *axes[0].get_legend_handles_labels())
    return drawn


def _draw_lines(models: Mapping[str, Scores], metric: str, axis: Axes, theme: Theme) -> None:
    first = next(iter(models.values()))
    floors = [first.by_time(FLOOR, metric)] if first.has(FLOOR, metric) else []
    bottom = set_scale(axis, [*floors, *(scores.by_time(MODEL, metric) for scores in models.values())])
    marker = "o" if len(first.times) <= MARKERS_UP_TO else ""
    for floor in floors:
        high, shade = np.maximum(floor, bottom), theme.colour(FLOOR)
        axis.fill_between(first.times, bottom, high, color=shade, alpha=0.55, linewidth=0, label=STYLES[FLOOR].label)
    for k, (name, scores) in enumerate(models.items()):
        look = LOOKS[k % len(LOOKS)]
        axis.plot(
            first.times,
            scores.by_time(MODEL, metric),
            color=theme.colour(look),
            linestyle=STYLES[look].dashes,
            linewidth=1.8,
            label=name,
            marker=marker,
            markersize=3.5,
        )
