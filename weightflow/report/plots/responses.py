"""Dose-response curves: what the model says over a covariate at some times, and what was observed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightflow.data import Conditions, Covariate, Snapshots, Value, in_words
from weightflow.data.words import written
from weightflow.evaluation import silently
from weightflow.model import WeightFlow
from weightflow.report.content import ConditionReport
from weightflow.report.picture import Picture, grid_of_axes, legend_above
from weightflow.report.plots.by_condition import label_levels
from weightflow.report.theme import Theme

TITLE = "Response curves"
POINTS, TIMES, SPECIES, DRAWS = 25, 4, 6, 600
BAND = (0.25, 0.5, 0.75)
LEVEL = 0.9  # of the band of the median


@dataclass(frozen=True, eq=False)
class Responses:
    """Quantiles of the model over a covariate, and of the data at its levels.

    Attributes:
        covariate: what they are drawn over.
        fixed: the values of all others.
        times: at which.
        places: of the covariate, on its scale.
        model: quantiles, shape (time, place, quantile, species).
        median: the ends of the band in which the true median lies, shape (2, time, place, species); None where the
            model has no members to tell.
        data: for each time, the place on the scale and the median of each species, of each condition observed there.
        species: names.
    """

    covariate: Covariate
    fixed: Mapping[str, Value]
    times: Float[np.ndarray, "time"]
    places: Float[np.ndarray, "place"]
    model: Float[np.ndarray, "time place quantile species"]
    median: Float[np.ndarray, "end time place species"] | None
    data: tuple[tuple[Float[np.ndarray, "_"], Float[np.ndarray, "_ species"]], ...]
    species: tuple[str, ...]


def responses(report: ConditionReport) -> Picture:
    """Show medians and middle halves over the first numeric covariate, at a few times."""
    conditions = report.observed.conditions
    numeric = [] if conditions is None else [one for one in conditions.covariates if one.varies and one.numeric]
    if conditions is None or not numeric:
        return Picture("responses", TITLE, "No covariate is a number that varies: there is no curve over it.")
    found = _computed(report, conditions, numeric[0])
    others = f", at {in_words(found.fixed)}" if found.fixed else ""
    rest = len(report.observed.species) - len(found.species)
    return Picture(
        "responses",
        TITLE,
        f"Lines: the model's median over {found.covariate.name}{others}; light: the middle half of its samples. "
        + ("" if found.median is None else _told_of_band(len(report.model.members)))
        + "Dots: medians of the data, all of which the model was fitted to."
        + (f" The first {SPECIES} of {len(report.observed.species)} {report.called} are shown." if rest else ""),
        alt=f"Median of {', '.join(found.species)} over {found.covariate.name} at {len(found.times)} times.",
        draw=partial(_draw, found, report.observed.unit),
    )


def _computed(report: ConditionReport, conditions: Conditions, covariate: Covariate) -> Responses:
    data, model = report.observed, report.model
    fixed = _most_observed(conditions, covariate)
    courses = {
        covariate.scaled(conditions.named(point)[covariate.name]): course
        for point, course in data.courses.items()
        if all(conditions.named(point)[name] == value for name, value in fixed.items())
    }
    times = _some_times(data)
    low, high = min(courses), max(courses)
    places = np.linspace(low, high, POINTS)
    under = [{**fixed, covariate.name: covariate.unscaled(place)} for place in places]
    drawn = [
        np.quantile(np.asarray(silently(model, at).sample(times, DRAWS, report.seed))[..., :SPECIES], BAND, axis=1)
        for at in under
    ]
    seen = []
    for time in times:
        at = {place: _at(course, time) for place, course in courses.items()}
        known = {place: np.median(cloud[:, :SPECIES], axis=0) for place, cloud in at.items() if cloud is not None}
        seen.append((np.array(list(known)), np.array(list(known.values()))))
    return Responses(
        covariate,
        fixed,
        times,
        places,
        np.stack(drawn).transpose(2, 0, 1, 3),
        np.stack([_band(model, times, at) for at in under], axis=2) if len(model.members) > 1 else None,
        tuple(seen),
        data.species[:SPECIES],
    )


def _band(
    model: WeightFlow, times: Float[np.ndarray, "time"], at: Mapping[str, Value]
) -> Float[np.ndarray, "end time species"]:
    """Return the ends of the band of the median under one condition."""
    found = model.band(lambda one, when: one.quantiles(when, 0.5, DRAWS), times, LEVEL, at=at)
    return np.stack([found.low.numpy(), found.high.numpy()])[..., :SPECIES]


def _told_of_band(members: int) -> str:
    return (
        f"Dark: where the true median lies with {LEVEL:.0%}, by the spread of {members} members, which are fits to "
        "resampled data. "
    )


def _most_observed(conditions: Conditions, covariate: Covariate) -> dict[str, Value]:
    """Return the values of all other covariates under which most levels of this one were observed."""
    others: dict[tuple[tuple[str, Value], ...], int] = {}
    for point in conditions.distinct:
        rest = tuple((name, value) for name, value in conditions.named(point).items() if name != covariate.name)
        others[rest] = others.get(rest, 0) + 1
    return dict(max(others, key=lambda rest: others[rest]))


def _some_times(data: Snapshots) -> Float[np.ndarray, "time"]:
    """Return a few times, evenly spread over those that were observed; the first one seldom tells conditions apart."""
    times = np.unique(data.times)
    times = times[1:] if len(times) > TIMES else times
    return times[np.unique(np.linspace(0, len(times) - 1, min(len(times), TIMES)).round().astype(int))]


def _at(course: Snapshots, time: float) -> np.ndarray | None:
    found = np.flatnonzero(course.times == time)
    return course.samples[int(found[0])] if len(found) else None


def _draw(found: Responses, unit: str, theme: Theme) -> Figure:
    figure, axes = grid_of_axes(len(found.species), theme, height=2.9, columns=3)
    for i, axis in enumerate(axes):
        _draw_species(found, i, unit, axis, theme)
    legend_above(figure, *axes[0].get_legend_handles_labels())
    return figure


def _draw_species(found: Responses, i: int, unit: str, axis: Axes, theme: Theme) -> None:
    colours = theme.time_map()(np.linspace(0, 1, len(found.times)))
    for k, (colour, time, (places, medians)) in enumerate(zip(colours, found.times, found.data, strict=True)):
        low, middle, high = found.model[k, ..., i].T
        axis.fill_between(found.places, low, high, color=colour, alpha=0.16, linewidth=0)
        if found.median is not None:
            axis.fill_between(found.places, *found.median[:, k, :, i], color=colour, alpha=0.4, linewidth=0)
        label = f"t = {written(time)} {unit}".strip()
        axis.plot(found.places, middle, color=colour, linewidth=1.8, label=label)
        if len(places):
            axis.plot(places, medians[:, i], "o", color=colour, ms=4.5, mec=theme.background, mew=0.7)
    label_levels(axis.xaxis, found.covariate)
    axis.set_xlabel(found.covariate.name)
    axis.set_title(found.species[i])
