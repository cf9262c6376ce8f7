"""Marginal distributions over time, data beside model, as heat maps."""

from functools import partial

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from weightflow.report.picture import Picture, label_time, tidy, whole_numbers
from weightflow.report.plots.observed import DRAWS, Observed
from weightflow.report.theme import Theme

FEWEST_TIMES = 12  # with fewer, columns are so broad that a heat map pretends to know what lies between
MAX_BINS = 60
TAIL = 0.01  # of each snapshot, on either side: what lies beyond the rest goes into the outermost bins


def marginals(observed: Observed) -> Picture:
    """Show how often each value of each species occurs at each time."""
    title = "Marginals over time"
    if len(observed.times) < FEWEST_TIMES:
        caption = (
            f"Heat maps need {FEWEST_TIMES} times at least, and there are {len(observed.times)}: "
            "the ranges below show the same data."
        )
        return Picture("marginals", title, caption)
    return Picture(
        "marginals",
        title,
        "How often each value occurs (the stronger the colour, the more often): left the data, "
        "right the model, on one scale for each species. The line is the mean. Marks on the upper edge are the "
        "snapshots that were seen in fitting. Rare values beyond a panel are counted in its outermost bins."
        f"{observed.left_out()}",
        alt="Heat maps of the share of samples at each value against time, one row for each of "
        f"{', '.join(observed.species[i] for i in observed.shown)}: data in the left column, model in the right.",
        draw=partial(_draw, observed),
    )


def _draw(observed: Observed, theme: Theme) -> Figure:
    rows = len(observed.shown)
    figure = Figure(figsize=(theme.width, 0.5 + 2.15 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False, sharex=True, sharey="row")
    for row in observed.shown:
        _draw_species(observed, row, list(axes[row]), theme, figure)
    for axis in axes[-1]:
        label_time(axis, observed.unit)
    axes[0][0].set_title(f"data, {observed.sizes} a time" if not theme.narrow else "data")
    axes[0][1].set_title(f"model, {DRAWS:,} draws a time" if not theme.narrow else "model")
    return figure


def _draw_species(observed: Observed, i: int, pair: list[Axes], theme: Theme, figure: Figure) -> None:
    edges = value_edges(observed, i)
    clouds = [cloud[:, i] for cloud in observed.data], [cloud[:, i] for cloud in observed.model]
    shares = [
        np.stack([np.histogram(np.clip(x, edges[0], edges[-1]), edges)[0] / len(x) for x in side]) for side in clouds
    ]
    # Square root, or one spike (a start from one state) would leave everything else blank; for the same reason the
    # scale ends where one cell in two hundred is higher.
    norm = PowerNorm(0.5, 0, max(float(np.quantile(share[share > 0], 0.995)) for share in shares))
    for axis, share, side in zip(pair, shares, clouds, strict=True):
        axis.pcolormesh(
            _time_edges(observed.times), edges, share.T, cmap=theme.density_map(), norm=norm, rasterized=True
        )
        axis.plot(observed.times, [x.mean() for x in side], color=theme.colour("model"), linewidth=1.4)
        seen = observed.times[observed.seen]
        axis.plot(
            seen, np.ones(len(seen)), "v", transform=axis.get_xaxis_transform(), color=theme.muted, ms=4, clip_on=False
        )
        axis.grid(visible=False)
    pair[0].set_ylabel(observed.label(i))
    if observed.counts[i]:
        whole_numbers(pair[0].yaxis)
    bar = figure.colorbar(ScalarMappable(norm, theme.density_map()), ax=pair, pad=0.01, aspect=14, extend="max")
    tidy(bar)
    bar.set_label("share of samples")


def value_edges(observed: Observed, i: int, bins: int = MAX_BINS) -> Float[np.ndarray, "edge"]:
    """Return the edges of bins that hold nearly all of the data; a few far values would press all others together."""
    parts = np.stack([np.quantile(cloud[:, i], (TAIL, 1 - TAIL)) for cloud in observed.data])
    low, high = float(parts[:, 0].min()), float(parts[:, 1].max())
    if not observed.counts[i]:
        margin = (high - low) / 20 or 0.5
        return np.linspace(low - margin, high + margin, bins + 1)
    step = max(1, int(np.ceil((high - low + 1) / bins)))
    return np.arange(np.floor(low), np.ceil(high) + step + 0.5, step) - 0.5


def _time_edges(times: Float[np.ndarray, "time"]) -> Float[np.ndarray, "edge"]:
    middle = (times[1:] + times[:-1]) / 2
    return np.concatenate([[times[0] - (middle[0] - times[0])], middle, [times[-1] + (times[-1] - middle[-1])]])
