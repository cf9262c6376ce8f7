"""What the model says of conditions that its fit has not seen, over time, and what was observed there."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightflow.data import Snapshots, in_words
from weightflow.evaluation import LeftOutCondition, silently
from weightflow.model import WeightFlow
from weightflow.report.content import ConditionReport
from weightflow.report.picture import Picture, grid_of_axes, label_time, legend_above
from weightflow.report.theme import Theme

TITLE = "Conditions that were left out"
CONDITIONS, DRAWS = 6, 1000
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def left_out(report: ConditionReport) -> Picture:
    """Show quantiles of the species that varies most, at left-out conditions, by the fits that have not seen them."""
    courses, conditions = report.observed.courses, report.observed.conditions
    if conditions is None or not report.found:
        return Picture("left_out", TITLE, "No condition was left out.")
    some = np.unique(np.linspace(0, len(report.found) - 1, min(len(report.found), CONDITIONS)).round().astype(int))
    shown = [
        (report.found[i], report.left_out[i], courses[conditions.point(report.found[i].at)]) for i in some.tolist()
    ]
    species = int(np.argmax(report.observed.pooled().var(axis=0)))
    return Picture(
        "left_out",
        TITLE,
        f"{report.observed.species[species]} under conditions that the drawn fit has not seen. Bands: the middle 50 % "
        "and 90 % of its samples, with the median as a line. Marks: the data's median and middle 90 %.",
        alt="Median and ranges of one species against time under each left-out condition, model and data.",
        draw=partial(_draw, shown, species, report.seed, report.observed.unit),
    )


def _draw(
    shown: list[tuple[LeftOutCondition, WeightFlow, Snapshots]], species: int, seed: int, unit: str, theme: Theme
) -> Figure:
    figure, axes = grid_of_axes(len(shown), theme, height=2.7, columns=3)
    for one, axis in zip(shown, axes, strict=True):
        _draw_one(*one, species, seed, axis, theme)
        label_time(axis, unit)
    legend_above(figure, *axes[0].get_legend_handles_labels())
    return figure


def _draw_one(
    one: LeftOutCondition, model: WeightFlow, course: Snapshots, species: int, seed: int, axis: Axes, theme: Theme
) -> None:
    colour, times = theme.colour("model"), course.times
    drawn = np.asarray(silently(model, one.at).sample(times, DRAWS, seed))[..., species]
    low, lower, middle, upper, high = np.quantile(drawn, LEVELS, axis=1)
    axis.fill_between(times, low, high, color=colour, alpha=0.16, linewidth=0, label="model, middle 90 %")
    axis.fill_between(times, lower, upper, color=colour, alpha=0.28, linewidth=0, label="model, middle 50 %")
    axis.plot(times, middle, color=colour, linewidth=1.8, label="model, median")
    data = np.stack([np.quantile(cloud[:, species], LEVELS) for cloud in course.samples], axis=1)
    axis.vlines(times, data[0], data[-1], color=theme.ink, linewidth=0.9)
    axis.plot(times, data[2], "o", color=theme.ink, ms=4.2, label="data, median and 90 %")
    axis.set_title(in_words(one.at))
