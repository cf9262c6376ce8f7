"""What the model forecasts beyond the last snapshot that it was fitted to, as a fan of ranges."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightflow.data.words import written
from weightflow.report.content import Report
from weightflow.report.picture import Picture, grid_of_axes, label_time, legend_above, whole_numbers
from weightflow.report.plots.observed import Observed
from weightflow.report.theme import Theme

BEYOND = 0.25  # of the fitted span, where the data do not reach further themselves
BEHIND = 0.5  # of the fitted span that is shown before the forecast begins
TIMES = 25
DRAWS = 500
LEVELS = (0.8, 0.5)


@dataclass(frozen=True, eq=False)
class Fan:
    """Draws at some times; the forecast begins at `start`."""

    times: Float[np.ndarray, "time"]
    draws: Float[np.ndarray, "time draw dim"]
    start: float


def fan(report: Report, observed: Observed) -> Picture:
    """Show ranges of the model's draws before and after the last snapshot that it was fitted to."""
    first, last = float(report.anchors_times[0]), float(report.anchors_times[-1])
    span = last - first
    end = max(float(observed.times[-1]), last + BEYOND * span)
    times = np.union1d(np.linspace(last - BEHIND * span, end, TIMES), [last])
    draws = np.asarray(report.model.sample(times, DRAWS, report.seed), dtype=np.float64)
    after = observed.times > last
    held = f" At {after.sum()} times after it there are data, which it has not seen." if after.any() else ""
    return Picture(
        "fan",
        "Forecast",
        f"The model goes on beyond its last fitted snapshot (dotted line, t = {written(last)}): median, middle 50 % "
        "and "
        f"middle 80 % of {DRAWS} draws a time. Marks: median and middle 80 % of the data.{held} What a forecast is "
        f"worth is told among the facts.{observed.left_out()}",
        alt="Median and ranges of the model's draws of each species against time, before and after the last fitted "
        "snapshot, with the data as marks.",
        draw=partial(_draw, Fan(times, draws, last), observed),
    )


def _draw(found: Fan, observed: Observed, theme: Theme) -> Figure:
    figure, axes = grid_of_axes(len(observed.shown), theme, height=2.7, columns=3)
    for i, axis in zip(observed.shown, axes, strict=True):
        _draw_species(found, observed, i, axis, theme)
    legend_above(figure, *axes[0].get_legend_handles_labels())
    return figure


def _draw_species(found: Fan, observed: Observed, i: int, axis: Axes, theme: Theme) -> None:
    colour, values = theme.colour("model"), found.draws[:, :, i]
    for level, alpha in zip(LEVELS, (0.18, 0.3), strict=True):
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=1)
        label = f"model, middle {100 * level:.0f} %"
        axis.fill_between(found.times, low, high, color=colour, alpha=alpha, linewidth=0, label=label)
    axis.plot(found.times, np.median(values, axis=1), color=colour, linewidth=1.8, label="model, median")
    shown = np.flatnonzero((observed.times >= found.times[0]) & (observed.times <= found.times[-1]))
    shown = shown[:: -(-len(shown) // TIMES)]
    if len(shown):
        low, middle, high = (
            np.array([np.quantile(observed.data[k][:, i], level) for k in shown]) for level in (0.1, 0.5, 0.9)
        )
        axis.vlines(observed.times[shown], low, high, color=theme.ink, linewidth=0.9)
        axis.plot(observed.times[shown], middle, "o", color=theme.ink, ms=3.6, label="data, median and 80 %")
    axis.axvline(found.start, color=theme.muted, linestyle=":", linewidth=1.3, label="last fitted snapshot")
    if observed.counts[i]:
        whole_numbers(axis.yaxis)
    axis.set_title(observed.label(i))
    label_time(axis, observed.unit)
