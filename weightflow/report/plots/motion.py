"""The drift: where samples are heading, in the plane of the two species that move most."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from weightflow.data.spread import deviation
from weightflow.drift import Drift
from weightflow.metrics.subsample import subsample
from weightflow.report.content import Report
from weightflow.report.picture import Picture
from weightflow.report.theme import Theme

GRID = 25
POINTS = 200  # of each snapshot
NEAR = 1.5  # cells of the grid within which samples speak for a crossing


@dataclass(frozen=True, eq=False)
class Plane:
    """Clouds and the drift in the plane of two species; where no sample is near, the drift is not a number."""

    species: tuple[str, str]
    clouds: tuple[Float[np.ndarray, "_ 2"], ...]
    x: Float[np.ndarray, "x"]
    y: Float[np.ndarray, "y"]
    flow: Float[np.ndarray, "2 y x"]


def motion(report: Report) -> list[Picture]:
    """Show the drift of the model, if it has one, among the samples that it was fitted to."""
    drift = report.motion
    if not isinstance(drift, Drift) or report.observed.dim < 2:
        return []
    plane = _plane(report, drift)
    return [
        Picture(
            "motion",
            "Drift",
            "Where samples are heading, by the drift that all intervals share, in the plane of the two species whose "
            f"means move most, {plane.species[0]} and {plane.species[1]}. At each place it is the "
            "average over the observed samples near it, wherever they are in other species; nothing is drawn where "
            "there are none. Points: observed samples, from the first time (violet) to the last (red).",
            alt="Stream lines of the drift among the observed samples in the plane of two species.",
            draw=partial(_draw, plane),
        )
    ]


def _plane(report: Report, drift: Drift) -> Plane:
    data = report.observed
    first, second = _most_moving(data.samples)
    both = [first, second]
    some = [cloud[subsample(len(cloud), POINTS)] for cloud in data.samples]
    points = np.concatenate(some)
    low, high = points[:, both].min(axis=0), points[:, both].max(axis=0)
    x, y = (np.linspace(a, b if b > a else a + 1.0, GRID) for a, b in zip(low, high, strict=True))
    flow = _near_average(points[:, both], drift(points)[:, both], x, y)
    return Plane((data.species[first], data.species[second]), tuple(cloud[:, both] for cloud in some), x, y, flow)


def _most_moving(clouds: Sequence[Float[np.ndarray, "_ dim"]]) -> tuple[int, int]:
    """Return the two species whose means move most, in units of the deviation within snapshots."""
    means = np.stack([cloud.mean(axis=0) for cloud in clouds])
    within = np.sqrt(np.mean([cloud.var(axis=0) for cloud in clouds], axis=0))
    moves = means.std(axis=0) / np.where(within > 0, within, deviation(np.concatenate(clouds)))
    first, second = sorted(np.argsort(-moves, kind="stable")[:2].tolist())
    return first, second


def _near_average(
    points: Float[np.ndarray, "n 2"],
    moves: Float[np.ndarray, "n 2"],
    x: Float[np.ndarray, "x"],
    y: Float[np.ndarray, "y"],
) -> Float[np.ndarray, "2 y x"]:
    """Average over the points near each crossing, with a Gaussian kernel of one cell."""
    nodes = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    cell = np.array([x[1] - x[0], y[1] - y[0]])
    squares = (((nodes[:, None] - points[None]) / cell) ** 2).sum(axis=-1)
    weights = np.exp(-squares / 2)
    average = weights @ moves / np.maximum(weights.sum(axis=1), np.finfo(float).tiny)[:, None]
    average[squares.min(axis=1) > NEAR**2] = np.nan
    return average.T.reshape(2, len(y), len(x))


def _draw(plane: Plane, theme: Theme) -> Figure:
    figure = Figure(figsize=(min(theme.width, 7.4), 0.73 * min(theme.width, 7.4)), layout="constrained")
    axis = figure.subplots()
    shades = theme.time_map()(np.linspace(0.0, 1.0, len(plane.clouds)))
    for cloud, shade in zip(plane.clouds, shades, strict=True):
        axis.plot(*cloud.T, ".", color=shade, ms=3, alpha=0.5, markeredgewidth=0, rasterized=True)
    axis.streamplot(
        plane.x, plane.y, *np.ma.masked_invalid(plane.flow), color=theme.colour("model"), linewidth=1.1, density=1.3
    )
    axis.autoscale_view()
    axis.margins(0.05)
    axis.set_xlabel(plane.species[0])
    axis.set_ylabel(plane.species[1])
    return figure
