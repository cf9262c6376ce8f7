"""How sure a model is of its means and marginals, by the spread of its members."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import ndtri
from torch import Tensor

from weightflow.data.words import written
from weightflow.model import Band, Numbers, WeightFlow
from weightflow.report.picture import Picture, grid_of_axes, label_time, legend_above, whole_numbers
from weightflow.report.plots.marginals import value_edges
from weightflow.report.plots.observed import Observed
from weightflow.report.theme import Theme

LEVEL = 0.9
DRAWS = 1000  # of each member, at each time
TIMES = 41  # of the means
MOST_TIMES = 4  # of the marginals, evenly spread
BINS = 24


def bands(observed: Observed, model: object) -> Iterator[Picture]:
    """Yield the pictures of a model with members; of others there are none."""
    if not isinstance(model, WeightFlow) or not model.members:
        return
    told = (
        f"where the truth lies with {LEVEL:.0%}, by the spread of {len(model.members)} members, which are fits to "
        "resampled data. The model is the one that is left, fitted to all seen times."
    )
    times = np.linspace(model.span[0], max(model.span[1], observed.times[-1]), TIMES)
    yield Picture(
        "means",
        f"Means over time, with {LEVEL:.0%} bands",
        f"Line: the model's mean. Band: {told} Marks: means of the data with {LEVEL:.0%} intervals of their own; "
        f"filled where the snapshot was seen in fitting, hollow where it was not.{observed.left_out()}",
        alt="Mean of each species against time: the model as a line in a band, the data as marks with whiskers.",
        draw=partial(_draw_means, observed, times, model.band("mean", times, LEVEL, DRAWS)),
    )
    possible = np.flatnonzero(observed.times >= model.span[0])
    some = possible[np.unique(np.linspace(0, len(possible) - 1, MOST_TIMES).round().astype(int))]
    edges = [value_edges(observed, i, BINS) for i in observed.shown]
    yield Picture(
        "shares",
        f"Marginals, with {LEVEL:.0%} bands",
        f"Line: the share of the model's samples in each bin. Band: {told} Shaded: shares of the data. Rare values "
        f"beyond a panel are counted in its outermost bins.{observed.left_out()}",
        alt="Shares of samples by value, one row for each species and one column for each of some times: the model as "
        "steps in a band, the data shaded.",
        draw=partial(_draw_shares, observed, some, edges, share_bands(model, observed.times[some], edges)),
    )


def _draw_means(observed: Observed, times: Float[np.ndarray, "time"], band: Band, theme: Theme) -> Figure:
    figure, axes = grid_of_axes(len(observed.shown), theme, height=2.9, columns=3)
    for i, axis in zip(observed.shown, axes, strict=True):
        low, mid, high = (part[:, i].numpy() for part in band)
        axis.fill_between(
            times, low, high, color=theme.colour("model"), alpha=0.28, linewidth=0, label=f"model, {LEVEL:.0%} band"
        )
        axis.plot(times, mid, color=theme.colour("model"), linewidth=1.8, label="model's mean")
        _mark_means(axis, observed, i, theme)
        axis.set_title(observed.label(i))
        label_time(axis, observed.unit)
    legend_above(figure, *axes[0].get_legend_handles_labels())
    return figure


def _mark_means(axis: Axes, observed: Observed, i: int, theme: Theme) -> None:
    clouds = [cloud[:, i] for cloud in observed.data]
    mean = np.array([x.mean() for x in clouds])
    half = float(ndtri((1 + LEVEL) / 2)) * np.array([x.std() / np.sqrt(len(x)) for x in clouds])
    axis.vlines(observed.times, mean - half, mean + half, color=theme.ink, linewidth=0.9)
    for chosen, fill, word in ((observed.seen, theme.ink, "seen"), (~observed.seen, theme.background, "not seen")):
        if chosen.any():
            times, label = observed.times[chosen], f"data's mean, {word}"
            axis.plot(times, mean[chosen], "o", color=theme.ink, markerfacecolor=fill, ms=4.2, label=label)


def _draw_shares(
    observed: Observed,
    some: Int[np.ndarray, "time"],
    edges: Sequence[Float[np.ndarray, "_"]],
    found: Sequence[Band],
    theme: Theme,
) -> Figure:
    figure = Figure(figsize=(theme.width, 0.9 + 1.8 * len(edges)), layout="constrained")
    places = range(0, len(some), 2 if theme.narrow else 1)  # of so narrow ones there is room for half as many
    axes = figure.subplots(len(edges), len(places), squeeze=False, sharex="row", sharey="row")
    for i, (own, band) in enumerate(zip(edges, found, strict=True)):
        for axis, k in zip(axes[i], places, strict=True):
            data = _shares(observed.data[some[k]][:, i], own)
            _draw_one(axis, own, data, Band(*(part[k] for part in band)), theme)
            if observed.counts[i]:
                whole_numbers(axis.xaxis)
        axes[i][0].set_ylabel(f"share at {observed.label(i)}")
    for axis, k in zip(axes[0], places, strict=True):
        axis.set_title(f"t = {written(float(observed.times[some[k]]))} {observed.unit}".strip())
    legend_above(figure, *axes[0][0].get_legend_handles_labels())
    return figure


def _draw_one(
    axis: Axes, edges: Float[np.ndarray, "edge"], data: Float[np.ndarray, "bin"], band: Band, theme: Theme
) -> None:
    low, mid, high = (part.numpy() for part in band)
    colour = theme.colour("model")
    axis.stairs(data, edges, fill=True, color=theme.muted, alpha=0.35, label="data")
    axis.stairs(high, edges, baseline=low, fill=True, color=colour, alpha=0.28, label=f"model, {LEVEL:.0%} band")
    axis.stairs(mid, edges, color=colour, linewidth=1.4, label="model")


def share_bands(
    model: WeightFlow, times: Float[np.ndarray, "time"], edges: Sequence[Float[np.ndarray, "_"]]
) -> list[Band]:
    """Return for each of the first species a band of shares by bin, of shape (time, bin) and between 0 and 1.

    Args:
        model: with members.
        times: that are asked for.
        edges: of the bins of each species.
    """

    def ask(one: WeightFlow, at: Numbers) -> Float[Tensor, "time bins"]:
        drawn = one.sample(at, DRAWS).numpy()
        return torch.as_tensor(
            np.stack([np.concatenate([_shares(x[:, i], own) for i, own in enumerate(edges)]) for x in drawn])
        )

    found = model.band(ask, times, LEVEL)
    ends = np.cumsum([len(own) - 1 for own in edges])[:-1].tolist()
    parts = [torch.tensor_split(part.clamp(0.0, 1.0), ends, dim=1) for part in found]
    return [Band(*pieces) for pieces in zip(*parts, strict=True)]


def _shares(values: Float[np.ndarray, "n"], edges: Float[np.ndarray, "edge"]) -> Float[np.ndarray, "bin"]:
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
