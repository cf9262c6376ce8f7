"""The posterior of the covariates as a picture."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightflow.data import Conditions, Covariate, Scale
from weightflow.model import WEIGHT, interval
from weightflow.report.picture import Picture, grid_of_axes
from weightflow.report.theme import Theme

MOST = 9  # covariates that are shown


def posterior_picture(conditions: Conditions, posterior: Any) -> Picture:
    """Show the posterior of each covariate that varies by itself; the middle 95 % of numeric ones are filled.

    Args:
        conditions: of the model.
        posterior: a DataFrame as `WeightFlow.infer` returns it.
    """
    varying = [one for one in conditions.covariates if one.varies][:MOST]
    return Picture(
        "posterior",
        "The conditions",
        "Posterior of each covariate; the middle 95 % of numeric ones are filled, and the line is the median.",
        alt=f"Posterior of {', '.join(one.name for one in varying)}.",
        draw=partial(_draw, varying, posterior),
    )


def _draw(varying: Sequence[Covariate], posterior: Any, theme: Theme) -> Figure:
    figure, axes = grid_of_axes(len(varying), theme, height=3.0, columns=3)
    for covariate, axis in zip(varying, axes, strict=True):
        (_draw_numeric if covariate.numeric else _draw_category)(covariate, posterior, axis, theme)
        axis.set_xlabel(covariate.name)
        axis.set_ylim(bottom=0)
    return figure


def _draw_numeric(covariate: Covariate, posterior: Any, axis: Axes, theme: Theme) -> None:
    by_value = posterior.groupby(covariate.name)[WEIGHT].sum()
    places = np.array([covariate.scaled(float(value)) for value in by_value.index])
    values = np.array([covariate.unscaled(place) for place in places])
    density = by_value.to_numpy() / np.gradient(places) if len(places) > 1 else by_value.to_numpy()
    middle, low, high = interval(posterior, covariate)
    axis.plot(values, density, color=theme.colour("model"))
    axis.fill_between(
        values, density, where=(values >= low) & (values <= high), color=theme.colour("model"), alpha=0.25
    )
    axis.axvline(middle, color=theme.ink, linewidth=1)
    if covariate.scale is Scale.LOG and covariate.zero is None:
        axis.set_xscale("log")
    axis.set_ylabel("density" if covariate.scale is Scale.LINEAR else "density of the logarithm")


def _draw_category(covariate: Covariate, posterior: Any, axis: Axes, theme: Theme) -> None:
    shares = posterior.groupby(covariate.name)[WEIGHT].sum()
    names = [str(level) for level in covariate.levels]
    axis.bar(names, [float(shares.get(level, 0.0)) for level in covariate.levels], color=theme.colour("model"))
    axis.set_ylabel("probability")
