"""Data beside model at a glance: both as points in the two species that vary most, coloured by time."""

from functools import partial

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from weightflow.metrics.subsample import subsample
from weightflow.report.picture import Picture, label_time, whole_numbers
from weightflow.report.plots.observed import DRAWS, Observed
from weightflow.report.theme import Theme
from weightflow.rng import generator

TIMES = 7  # that are shown, evenly spread
POINTS = 160  # of each time: more would hide each other


def overview(observed: Observed) -> Picture:
    """Show samples of the data and draws of the model at the same few times."""
    both = observed.most_varied
    names = " and ".join(observed.species[i] for i in both)
    place = f"in the plane of {names}" if len(both) > 1 else f"of {names} against time"
    of = "" if len(observed.species) <= 2 else f", the two of {len(observed.species)} {observed.called} that vary most"
    spread = " Counts are spread about their places by chance." if any(observed.counts[i] for i in both) else ""
    return Picture(
        "overview",
        "Data and model",
        f"Samples {place}{of}, coloured by time: above the data, below the model. Each shows {POINTS} points a time "
        f"at most, of {observed.sizes} and {DRAWS:,} draws.{spread}",
        alt=f"Two scatter plots {place}, coloured by time: samples of the data above, draws of the model below.",
        draw=partial(_draw, observed, both),
        small=True,
    )


def chosen_times(observed: Observed, most: int) -> Int[np.ndarray, "_"]:
    """Return the places of evenly spread times, the last among them."""
    return np.unique(np.linspace(0, len(observed.times) - 1, most).round().astype(int))


def _draw(observed: Observed, both: tuple[int, ...], theme: Theme) -> Figure:
    figure = Figure(figsize=(theme.width, 4.5), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True, sharey=True)
    some = chosen_times(observed, TIMES)
    colours = theme.time_map()(np.linspace(0, 1, len(some)))
    for axis, clouds, title in zip(axes, (observed.data, observed.model), ("data", "model"), strict=True):
        for k, colour in zip(some, colours, strict=True):
            points = _points(observed, clouds[k], both, int(k))
            label = f"{observed.times[k]:.4g}"
            axis.plot(*points.T, ".", color=colour, ms=4.5, alpha=0.6, mew=0, label=label, rasterized=True)
        axis.set_title(title)
        _name(axis.yaxis.axes, observed, both)
    _focus(axes[0], observed, both, some)
    if len(both) > 1:
        axes[1].set_xlabel(observed.label(both[0]))
        if observed.counts[both[0]]:
            whole_numbers(axes[1].xaxis)
    else:
        label_time(axes[1], observed.unit)
    title = f"t ({observed.unit})" if observed.unit else "t ="
    legend = figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", title=title)
    for handle in legend.legend_handles:
        if isinstance(handle, Line2D):
            handle.set(markersize=9, alpha=1.0)
    return figure


def _points(observed: Observed, cloud: Float[np.ndarray, "_ dim"], both: tuple[int, ...], k: int) -> np.ndarray:
    some = cloud[subsample(len(cloud), POINTS)][:, list(both)]
    random = generator(k, "places of points")
    some = some + np.array([observed.counts[i] for i in both]) * random.uniform(-0.4, 0.4, some.shape)
    return some if len(both) > 1 else np.stack([np.full(len(some), observed.times[k]), some[:, 0]], axis=1)


def _name(axis: Axes, observed: Observed, both: tuple[int, ...]) -> None:
    axis.set_ylabel(observed.label(both[-1]))
    if observed.counts[both[-1]]:
        whole_numbers(axis.yaxis)


def _focus(axis: Axes, observed: Observed, both: tuple[int, ...], some: Int[np.ndarray, "_"]) -> None:
    """End the axes a little beyond the data, or a model that strays would press them into a corner."""
    points = np.concatenate([observed.data[k] for k in some])
    for i, limit in zip(reversed(both), (axis.set_ylim, axis.set_xlim), strict=False):
        low, high = points[:, i].min(), points[:, i].max()
        room = 0.12 * (high - low) or 0.5
        limit(low - room, high + room)
