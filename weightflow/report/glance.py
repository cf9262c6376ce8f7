"""The data at a glance, before anything is fitted."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightflow.data import Snapshots
from weightflow.report.picture import Picture, grid_of_axes, label_time
from weightflow.report.theme import Theme
from weightflow.rng import generator

MOST = 9  # species that are shown
POINTS = 150  # samples of one time that are shown
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
WIDTH = 0.3  # of a cloud, as a share of the shortest distance of two times


def glance(snapshots: Snapshots, seen: Sequence[int]) -> Picture:
    """Show the samples of each species against time; those times that are not seen are open."""
    shown = min(snapshots.dim, MOST)
    rest = f" The first {shown} of {snapshots.dim} species are shown." if shown < snapshots.dim else ""
    return Picture(
        "data",
        "The data",
        f"Samples (points), median, middle half and middle nine tenths at each time.{rest}",
        alt="Samples of each species against time.",
        draw=partial(_draw, snapshots, frozenset(seen), shown),
    )


def _draw(snapshots: Snapshots, seen: frozenset[int], shown: int, theme: Theme) -> Figure:
    figure, axes = grid_of_axes(shown, theme, height=3.0, columns=3)
    for i, axis in enumerate(axes):
        _draw_species(snapshots, seen, i, axis, theme)
    return figure


def _draw_species(snapshots: Snapshots, seen: frozenset[int], i: int, axis: Axes, theme: Theme) -> None:
    times, random = snapshots.times, generator(0, "places of points")
    room = WIDTH * float(np.diff(times).min()) if len(times) > 1 else 1.0
    if len(times) <= 31:
        for time, cloud in zip(times, snapshots.samples, strict=True):
            some = cloud[:: -(-len(cloud) // POINTS), i]
            places = time + room * random.uniform(-0.5, 0.5, len(some))
            axis.plot(places, some, ".", color=theme.colour("mccann"), ms=2.5, alpha=0.35, markeredgewidth=0)
    levels = np.array([np.quantile(cloud[:, i], LEVELS) for cloud in snapshots.samples])
    axis.vlines(times, levels[:, 0], levels[:, 4], color=theme.ink, linewidth=0.8)
    axis.vlines(times, levels[:, 1], levels[:, 3], color=theme.ink, linewidth=2.6)
    for k, (time, middle) in enumerate(zip(times, levels[:, 2], strict=True)):
        fill = theme.colour("model") if k in seen else theme.background
        axis.plot(time, middle, "o", color=theme.colour("model"), markerfacecolor=fill, ms=5)
    axis.set_title(f"{snapshots.species[i]} ({snapshots.kinds[i]})")
    label_time(axis, snapshots.unit)
