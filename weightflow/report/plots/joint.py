"""Joint densities of two species at chosen times, data beside model."""

from functools import partial

import numpy as np
from jaxtyping import Float, Int
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from weightflow.report.picture import Picture, whole_numbers
from weightflow.report.plots.marginals import value_edges
from weightflow.report.plots.observed import DRAWS, Observed
from weightflow.report.plots.overview import chosen_times
from weightflow.report.theme import Theme

TIMES = 4
BINS = 24
TITLE = "Joint densities"


def joint(observed: Observed) -> Picture:
    """Show how often pairs of values of the two species that vary most occur, at a few times."""
    if len(observed.species) < 2:
        return Picture("joint", TITLE, f"There is one of the {observed.called} alone: its marginals say all.")
    first, second = observed.most_varied
    return Picture(
        "joint",
        TITLE,
        f"Share of samples by the values of {observed.species[first]} and {observed.species[second]}, the two of the "
        f"{observed.called} that vary most, on one scale for each time: the data ({observed.sizes} a time) beside "
        f"the model ({DRAWS:,} draws).{_unseen(observed)} Rare values beyond a panel are counted at its edge.",
        alt=f"Heat maps of {observed.species[first]} and {observed.species[second]} at {TIMES} times: data and model.",
        draw=partial(_draw, observed, spread_times(observed, TIMES)),
    )


def spread_times(observed: Observed, most: int) -> Int[np.ndarray, "_"]:
    """Return the places of evenly spread times, of those that were not seen in fitting where there are enough."""
    unseen = np.flatnonzero(~observed.seen)
    if len(unseen) < most:
        return chosen_times(observed, most)
    return unseen[np.unique(np.linspace(0, len(unseen) - 1, most).round().astype(int))]


def _unseen(observed: Observed) -> str:
    some = spread_times(observed, TIMES)
    return " None of these times was seen in fitting." if not observed.seen[some].any() else ""


def shares(
    cloud: Float[np.ndarray, "n 2"], edges: tuple[Float[np.ndarray, "_"], Float[np.ndarray, "_"]]
) -> Float[np.ndarray, "x y"]:
    """Return the share of samples in each cell; those beyond the edges are counted in the outermost cells."""
    inside = np.stack([np.clip(cloud[:, i], own[0], own[-1]) for i, own in enumerate(edges)], axis=1)
    return np.histogram2d(inside[:, 0], inside[:, 1], edges)[0] / len(cloud)


def _draw(observed: Observed, some: Int[np.ndarray, "_"], theme: Theme) -> Figure:
    both = list(observed.most_varied)
    edges = value_edges(observed, both[0], BINS), value_edges(observed, both[1], BINS)
    across = 2 if theme.narrow else len(some)  # narrow: a row for each time
    figure = Figure(figsize=(theme.width, (1.9 * len(some) if theme.narrow else 4.6)), layout="constrained")
    axes = figure.subplots(2 * len(some) // across, across, squeeze=False, sharex=True, sharey=True)
    pairs = axes if theme.narrow else axes.T
    for k, pair in zip(some, pairs, strict=True):
        found = [shares(cloud[k][:, both], edges) for cloud in (observed.data, observed.model)]
        norm = PowerNorm(0.5, 0, max(float(np.quantile(one[one > 0], 0.995)) for one in found))
        for axis, one, word in zip(pair, found, ("data", "model"), strict=True):
            axis.pcolormesh(*edges, one.T, cmap=theme.density_map(), norm=norm, rasterized=True)
            axis.set_title(f"{word}, t = {observed.times[k]:.4g} {observed.unit}".strip(), fontsize=9.5)
    for axis in axes[-1]:
        axis.set_xlabel(observed.label(both[0]))
    for axis in axes[:, 0]:
        axis.set_ylabel(observed.label(both[1]))
    for i, axis in zip(both, (axes[0][0].xaxis, axes[0][0].yaxis), strict=True):
        if observed.counts[i]:
            whole_numbers(axis)
    return figure
