"""The error at each condition that was left out: over one covariate, on a map of two, or in rows."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from weightflow.data import Conditions, Covariate, Scale, Value, in_words
from weightflow.evaluation import LeftOutCondition, Scores, figure
from weightflow.evaluation.scores import FLOOR, MODEL
from weightflow.metrics import labelled
from weightflow.report.content import ConditionReport
from weightflow.report.picture import TIP, Picture, legend_above, tidy
from weightflow.report.theme import STYLES, Theme

TITLE = "Error by condition"
LABELS = 6  # on an axis


def by_condition(report: ConditionReport) -> Picture:
    """Show the leading metric at each left-out condition, beside the alternatives and the floor."""
    conditions, found = report.observed.conditions, report.found
    if conditions is None or not found:
        return Picture("by_condition", TITLE, "No condition was left out.")
    metric = report.scores.leading
    varying = [one for one in conditions.covariates if one.varies]
    on_map = len(varying) == 2 and all(one.numeric for one in varying) and found[0].scores.has(FLOOR, metric)
    on_line = len(varying) == 1 and varying[0].numeric
    draw = partial(_draw_rows, found, metric)
    if on_map or on_line:
        draw = partial(_draw_map if on_map else _draw_line, conditions, found, metric)
    how = (
        "Each condition that was left out, at its place; the colour is the model's error over its sampling floor, and "
        "crosses are conditions that were always fitted."
        if on_map
        else "Means over the times of each condition that was left out, with 95 % intervals; lower is better. Open: it "
        "lies outside the others, where every model guesses. Grey: the sampling floor."
    )
    worst = max(found, key=lambda one: one.scores.mean(MODEL, metric))
    return Picture(
        "by_condition",
        TITLE,
        f"{labelled(metric).capitalize()}. {how}",
        alt=f"{labelled(metric)} at {len(found)} conditions; the model's is highest at {in_words(worst.at)}, with "
        f"{figure(worst.scores.mean(MODEL, metric))}.",
        draw=draw,
    )


def label_levels(axis: Axis, covariate: Covariate) -> None:
    """Put ticks at levels of a numeric covariate, which is drawn on its own scale, where there is room for them."""
    if covariate.scale is Scale.LINEAR:
        return
    levels = [float(level) for level in covariate.levels]
    places = [covariate.scaled(level) for level in levels]
    apart, some = (places[-1] - places[0]) / LABELS, [0]
    some += [i for i in range(1, len(levels) - 1) if places[-1] - places[i] >= apart]
    kept = [some[0]]
    for i in some[1:]:
        if places[i] - places[kept[-1]] >= apart:
            kept.append(i)
    kept.append(len(levels) - 1)
    axis.set_ticks([places[i] for i in kept], labels=[f"{levels[i]:.3g}" for i in kept])


def _draw_line(conditions: Conditions, found: Sequence[LeftOutCondition], metric: str, theme: Theme) -> Figure:
    covariate = next(one for one in conditions.covariates if one.varies)
    ordered = sorted(found, key=lambda one: covariate.scaled(one.at[covariate.name]))
    places = np.array([covariate.scaled(one.at[covariate.name]) for one in ordered])
    drawn = Figure(figsize=(theme.width, 3.6), layout="constrained")
    axis = drawn.subplots()
    _draw_floor(axis, places, [one.scores for one in ordered], metric, theme)
    for method in _methods(ordered, metric):
        values = np.array([one.scores.mean(method, metric) for one in ordered])
        style, colour = STYLES[method], theme.colour(method)
        axis.plot(places, values, color=colour, linestyle=style.dashes, linewidth=style.width, label=style.label)
        for place, value, one in zip(places, values, ordered, strict=True):
            _mark(axis, place, value, one, method, metric, theme)
    label_levels(axis.xaxis, covariate)
    axis.set_xlabel(covariate.name)
    axis.set_ylim(bottom=0)
    axis.set_ylabel(labelled(metric))
    legend_above(drawn, *axis.get_legend_handles_labels())
    return drawn


def _draw_rows(found: Sequence[LeftOutCondition], metric: str, theme: Theme) -> Figure:
    drawn = Figure(figsize=(theme.width, 1.2 + 0.34 * len(found)), layout="constrained")
    axis = drawn.subplots()
    for row, one in enumerate(found):
        for method in _methods(found, metric):
            value, interval = one.scores.mean(method, metric), one.scores.interval(method, metric)
            colour, inside = theme.colour(method), theme.background if one.extrapolation else theme.colour(method)
            if interval is not None:
                axis.plot([interval.low, interval.high], [row, row], color=colour, linewidth=1.4)
            label = STYLES[method].label if row == 0 else None
            size = 7 if method == MODEL else 4.5
            mark = axis.plot(value, row, "o", color=colour, ms=size, markerfacecolor=inside, label=label)[0]
            mark.set_gid(_tip(one, method, metric))
        if one.scores.has(FLOOR, metric):
            floor = one.scores.mean(FLOOR, metric)
            axis.plot([floor, floor], [row - 0.35, row + 0.35], color=theme.colour(FLOOR), linewidth=2)
    axis.set_yticks(range(len(found)), [in_words(one.at) for one in found])
    axis.tick_params(axis="y", length=0, labelcolor=theme.ink)
    axis.set_ylim(len(found) - 0.4, -0.6)
    axis.set_xlim(left=0)
    axis.set_xlabel(labelled(metric))
    legend_above(drawn, *axis.get_legend_handles_labels())
    return drawn


def _draw_map(conditions: Conditions, found: Sequence[LeftOutCondition], metric: str, theme: Theme) -> Figure:
    first, second = (one for one in conditions.covariates if one.varies)
    drawn = Figure(figsize=(theme.width, 4.2 if not theme.narrow else 3.8), layout="constrained")
    axis = drawn.subplots()
    fitted = [conditions.named(point) for point in conditions.distinct]
    held = [one.at for one in found]
    rest = [at for at in fitted if at not in held]
    axis.plot(*_places(first, second, rest), "x", color=theme.muted, ms=6)
    ratios = [one.scores.mean(MODEL, metric) / max(one.scores.mean(FLOOR, metric), 1e-12) for one in found]
    points = axis.scatter(
        *_places(first, second, held), c=ratios, s=150, cmap="viridis_r", edgecolors=theme.ink, linewidths=0.8, zorder=3
    )
    for one, ratio, x, y in zip(found, ratios, *_places(first, second, held), strict=True):
        text = axis.annotate(f"{ratio:.2g}", (x, y), (9, 6), textcoords="offset points", fontsize=8.5)
        text.set_gid(_tip(one, MODEL, metric))
    tidy(drawn.colorbar(points, ax=axis, label="error over the floor"))
    label_levels(axis.xaxis, first)
    label_levels(axis.yaxis, second)
    axis.set_xlabel(first.name)
    axis.set_ylabel(second.name)
    axis.margins(0.12)
    return drawn


def _places(
    first: Covariate, second: Covariate, points: Sequence[Mapping[str, Value]]
) -> tuple[list[float], list[float]]:
    return [first.scaled(at[first.name]) for at in points], [second.scaled(at[second.name]) for at in points]


def _draw_floor(axis: Axes, places: np.ndarray, scores: Sequence[Scores], metric: str, theme: Theme) -> None:
    if all(one.has(FLOOR, metric) for one in scores):
        floor = [one.mean(FLOOR, metric) for one in scores]
        axis.fill_between(places, 0, floor, color=theme.colour(FLOOR), alpha=0.6, linewidth=0, label="sampling floor")


def _methods(found: Sequence[LeftOutCondition], metric: str) -> list[str]:
    first = found[0].scores
    return [name for name in (*first.alternatives, MODEL) if all(one.scores.has(name, metric) for one in found)]


def _mark(
    axis: Axes, place: float, value: float, one: LeftOutCondition, method: str, metric: str, theme: Theme
) -> None:
    colour, interval = theme.colour(method), one.scores.interval(method, metric)
    if interval is not None:
        axis.plot([place, place], [interval.low, interval.high], color=colour, linewidth=1.2, alpha=0.8)
    inside = theme.background if one.extrapolation else colour
    mark = axis.plot(place, value, "o", color=colour, ms=7 if method == MODEL else 4.5, markerfacecolor=inside)[0]
    mark.set_gid(_tip(one, method, metric))


def _tip(one: LeftOutCondition, method: str, metric: str) -> str:
    name = STYLES[method].label if method in STYLES else method
    return f"{TIP}{name} at {in_words(one.at)}: {figure(one.scores.mean(method, metric))}"
