"""Median and ranges of each species over time, model over data."""

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightflow.report.picture import Picture, grid_of_axes, label_time, legend_above, whole_numbers
from weightflow.report.plots.observed import Observed
from weightflow.report.theme import Theme

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def ranges(observed: Observed) -> Picture:
    """Show quantiles of the model as bands and those of the data as marks."""
    return Picture(
        "ranges",
        "Ranges over time",
        "Bands: the middle 50 % and 90 % of the model's samples, with the median as a line. Marks: the data's median "
        "and middle 90 %; filled where the snapshot was seen in fitting, hollow where it was not."
        f"{observed.left_out()}",
        alt="Median, middle half and middle nine tenths of each species against time; the model as bands and the data "
        "as marks with whiskers.",
        draw=partial(_draw, observed),
    )


def _draw(observed: Observed, theme: Theme) -> Figure:
    figure, axes = grid_of_axes(len(observed.shown), theme, height=2.9, columns=3)
    for i, axis in zip(observed.shown, axes, strict=True):
        _draw_species(observed, i, axis, theme)
    legend_above(figure, *axes[0].get_legend_handles_labels())
    return figure


def _draw_species(observed: Observed, i: int, axis: Axes, theme: Theme) -> None:
    colour = theme.colour("model")
    model = np.quantile(observed.model[:, :, i], LEVELS, axis=1)
    for low, high, alpha, word in ((0, 4, 0.16, "90 %"), (1, 3, 0.28, "50 %")):
        label = f"model, middle {word}"
        axis.fill_between(observed.times, model[low], model[high], color=colour, alpha=alpha, linewidth=0, label=label)
    axis.plot(observed.times, model[2], color=colour, linewidth=1.8, label="model, median")
    some = _spread(observed)
    data = np.stack([np.quantile(observed.data[k][:, i], LEVELS) for k in some], axis=1)
    times = observed.times[some]
    axis.vlines(times, data[0], data[4], color=theme.ink, linewidth=0.9)
    looks: dict[str, Any] = {"color": theme.ink, "ms": 4.2, "markeredgewidth": 0.9}
    seen = observed.seen[some]
    for chosen, fill, word in ((seen, theme.ink, "seen"), (~seen, theme.background, "not seen")):
        if chosen.any():
            label = f"data, median and 90 %, {word}"
            axis.plot(times[chosen], data[2][chosen], "o", markerfacecolor=fill, label=label, **looks)
    if observed.counts[i]:
        whole_numbers(axis.yaxis)
    axis.set_title(f"{observed.label(i)}, {observed.sizes} a time")
    label_time(axis, observed.unit)


def _spread(observed: Observed, most: int = 31) -> Int[np.ndarray, "_"]:
    """Indices of evenly spread times and of all seen ones: with many more marks the bands would be hidden."""
    every = 1 if len(observed.times) <= most else -(-len(observed.times) // (most - 10))
    return np.union1d(np.arange(0, len(observed.times), every), np.flatnonzero(observed.seen))
