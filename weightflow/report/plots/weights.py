"""The path of the weights, in the two directions in which it moves most."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from weightflow.data.words import written
from weightflow.report.content import Report
from weightflow.report.picture import Picture, grid_of_axes, label_time
from weightflow.report.theme import Theme

STEPS = 201
LABELS = 12


@dataclass(frozen=True, eq=False)
class Plane:
    """The path and the anchors in two principal components; `share` of the variance is what each component holds."""

    times: Float[np.ndarray, "time"]
    path: Float[np.ndarray, "time 2"]
    anchors_times: Float[np.ndarray, "anchor"]
    anchors: Float[np.ndarray, "anchor 2"]
    share: Float[np.ndarray, "2"]
    last_seen: float
    unit: str


def weights(report: Report) -> Picture:
    """Show the model's weights over time beside the path that it learned from."""
    plane = _project(report)
    beyond = " The dotted part lies beyond the last seen snapshot." if plane.times[-1] > plane.last_seen else ""
    return Picture(
        "weights",
        "Path of the weights",
        "The model's weights over time, in the two principal components that hold "
        f"{plane.share.sum():.0%} of what moves.{beyond} Points: {report.points}, labelled by their times. "
        "A model trained by likelihood need not pass through them: different "
        "weights can describe the same distribution.",
        alt="Left, the path of the weights in the plane of the first two principal components, the reference path as "
        "points. Right, each of the two components against time.",
        draw=partial(_draw, plane),
    )


def _project(report: Report) -> Plane:
    seen = report.anchors_times
    times = np.linspace(seen[0], max(seen[-1], report.scores.times[-1]), STEPS)
    path = np.asarray(report.model.weights(times), dtype=np.float64).reshape(STEPS, -1)
    anchors = np.asarray(report.anchors_tokens, dtype=np.float64).reshape(len(report.anchors_times), -1)
    together = np.concatenate([path, anchors])
    centred = together - together.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    flat = np.zeros((len(together), 2))
    kept = min(2, len(directions))
    flat[:, :kept] = centred @ directions[:kept].T
    share = np.zeros(2)
    share[:kept] = sizes[:kept] ** 2 / max(float((sizes**2).sum()), np.finfo(float).tiny)
    return Plane(
        times,
        flat[:STEPS],
        np.asarray(report.anchors_times),
        flat[STEPS:],
        share,
        float(seen[-1]),
        report.observed.unit,
    )


def _draw(plane: Plane, theme: Theme) -> Figure:
    figure, (left, right) = grid_of_axes(2, theme, height=4.1, columns=2)
    _draw_plane(plane, left, theme)
    _draw_components(plane, right, theme)
    return figure


def _draw_plane(plane: Plane, axis: Axes, theme: Theme) -> None:
    pieces = np.stack([plane.path[:-1], plane.path[1:]], axis=1)
    beyond = plane.times[1:] > plane.last_seen + 1e-9
    for chosen, dashes in ((~beyond, "-"), (beyond, ":")):
        axis.add_collection(
            LineCollection(list(pieces[chosen]), colors=theme.colour("model"), linestyles=dashes, linewidths=2.0)
        )
    axis.plot(*plane.anchors.T, "o", color=theme.colour("mccann"), ms=6, markeredgecolor=theme.background)
    some = np.unique(np.linspace(0, len(plane.anchors) - 1, LABELS).round().astype(int))
    for k in some:
        x, y = plane.anchors[k]
        time = written(float(plane.anchors_times[k]))
        axis.annotate(time, (x, y), xytext=(6, 5), textcoords="offset points", fontsize=9)
    axis.autoscale_view()
    axis.margins(0.08)
    axis.set_title("in the plane")
    axis.set_xlabel(f"first component ({plane.share[0]:.0%})")
    axis.set_ylabel(f"second component ({plane.share[1]:.0%})")


def _draw_components(plane: Plane, axis: Axes, theme: Theme) -> None:
    for i, (method, label, marker) in enumerate((("model", "first", "o"), ("bridge", "second", "s"))):
        axis.plot(plane.times, plane.path[:, i], color=theme.colour(method), linewidth=1.8, label=f"{label} component")
        axis.plot(
            plane.anchors_times,
            plane.anchors[:, i],
            marker,
            color=theme.colour(method),
            ms=5.5,
            markeredgecolor=theme.ink,
        )
    if plane.times[-1] > plane.last_seen:
        axis.axvline(plane.last_seen, color=theme.muted, linestyle=":", linewidth=1.2)
    axis.set_title("over time (points: reference path)")
    label_time(axis, plane.unit)
    axis.legend()
