"""How far the model and its alternatives are from the floor by every metric, on one axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightflow.evaluation import Scores, figure
from weightflow.evaluation.floor import TOO_HIGH
from weightflow.evaluation.scores import FLOOR, MODEL
from weightflow.evaluation.verdict import NAMES
from weightflow.metrics import labelled
from weightflow.report.picture import TIP, Picture, legend_above
from weightflow.report.theme import LIKE, STYLES, Theme

UNIT = "persistence"  # whose distance from the floor is 1: what somebody has who takes it that nothing moves
TITLE = "Distance from the best possible"
LINEAR = 1.5  # where the axis goes over into a logarithmic one, if it must reach far
MARKERS = {"mccann": "s", "bridge": "D", "chosen_bridge": "d", "mixture": "^", "nearest": "v", "persistence": "X"}


@dataclass(frozen=True)
class Distance:
    """Distance from the floor of one method by one metric, with its interval, in units of the unit's own."""

    method: str
    value: float
    low: float
    high: float
    score: float


@dataclass(frozen=True)
class Line:
    """One metric; the distances of the alternatives, and at last that of the model."""

    metric: str
    distances: tuple[Distance, ...]


def distances(scores: Scores) -> Picture:
    """Show every metric on one axis, where 0 is the floor and 1 is where persistence is."""
    lines, unit = floor_distances(scores), _unit(scores)
    left = [labelled(m) for m in scores.metrics if m not in {line.metric for line in lines} and scores.has(MODEL, m)]
    named = STYLES[unit].label if unit in STYLES else unit
    without = (
        f" Not shown, as there {named} is not above a floor beyond chance, or there is none: {', '.join(left)}."
        if left
        else ""
    )
    if not lines:
        return Picture("distances", TITLE, without.strip() or "Nothing was scored beside the model.")
    high = scores.floor.endswith(TOO_HIGH)
    zero = "halves of the test samples from each other, more than a perfect model" if high else "a perfect model"
    return Picture(
        "distances",
        TITLE,
        f"0 is the sampling floor, the distance of {zero}; 1 is as far from it as {named}. Bars: 95 % intervals of "
        f"each score. Means over {len(scores.times)} scored times, {scores.draws:,} samples a time at most."
        f"{without}",
        alt="Distances from the floor, in units of that of " + named + ": " + "; ".join(map(_told, lines)) + ".",
        draw=partial(_draw, lines),
        small=True,
    )


def floor_distances(scores: Scores) -> tuple[Line, ...]:
    """Return (score - floor) / (unit's score - floor) for each metric by which the unit is worse beyond chance."""
    unit = _unit(scores)
    lines = []
    for metric in scores.metrics:
        if not all(scores.has(method, metric) for method in (MODEL, FLOOR, unit)):
            continue
        floor = scores.mean(FLOOR, metric)
        scale = scores.mean(unit, metric) - floor
        interval = scores.interval(unit, metric)
        if scale > 0 and (interval is None or interval.low > floor):  # else it is chance that is drawn large
            methods = [one for one in (*scores.alternatives, MODEL) if scores.has(one, metric)]
            lines.append(Line(metric, tuple(_distance(scores, one, metric, floor, scale) for one in methods)))
    leading = scores.leading
    return tuple(sorted(lines, key=lambda line: line.metric != leading))


def _unit(scores: Scores) -> str:
    return UNIT if UNIT in scores.alternatives or not scores.alternatives else scores.alternatives[0]


def _distance(scores: Scores, method: str, metric: str, floor: float, scale: float) -> Distance:
    mean, interval = scores.mean(method, metric), scores.interval(method, metric)
    low, high = (mean, mean) if interval is None else (interval.low, interval.high)
    value, least, most = ((part - floor) / scale for part in (mean, low, high))
    return Distance(method, value, least, most, mean)


def _told(line: Line) -> str:
    model, best = line.distances[-1], min(line.distances[:-1], key=lambda one: one.value)
    rival = NAMES.get(best.method, best.method)
    return f"{labelled(line.metric)} {model.value:.2g}, best alternative {rival} {best.value:.2g}"


def _draw(lines: Sequence[Line], theme: Theme) -> Figure:
    drawn = Figure(figsize=(theme.width, 1.3 + 0.34 * len(lines)), layout="constrained")
    axis = drawn.subplots()
    _set_scale(axis, lines)
    axis.axvline(0, color=theme.ink, linewidth=1.4)
    for row, line in enumerate(lines):
        for one in line.distances:
            _draw_one(axis, row, line.metric, one, theme)
    axis.set_yticks(range(len(lines)), [labelled(line.metric) for line in lines])
    axis.set_ylim(len(lines) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0, labelcolor=theme.ink)
    axis.set_xlabel("distance from the floor (0)")
    handles, labels = axis.get_legend_handles_labels()
    legend_above(drawn, handles[::-1], labels[::-1])
    return drawn


def _draw_one(axis: Axes, row: int, metric: str, one: Distance, theme: Theme) -> None:
    model = one.method == MODEL
    colour, place = theme.colour(one.method), row + (0.0 if model else 0.12)
    axis.plot([one.low, one.high], [place, place], color=colour, linewidth=2.4 if model else 1.2, alpha=0.8)
    mark = axis.plot(
        one.value,
        place,
        "o" if model else MARKERS.get(LIKE.get(one.method, one.method), "P"),
        color=colour,
        ms=8 if model else 5,
        mec=theme.background,
        mew=0.8,
        zorder=4 if model else 3,
        label=STYLES[one.method].label if one.method in STYLES and row == 0 else None,
    )[0]
    name = STYLES[one.method].label if one.method in STYLES else one.method
    mark.set_gid(f"{TIP}{name}, {labelled(metric)}: {figure(one.score)}, {one.value:.2f} from the floor")


def _set_scale(axis: Axes, lines: Sequence[Line]) -> None:
    far = max(one.high for line in lines for one in line.distances)
    near = min(one.low for line in lines for one in line.distances)
    if far <= 2 * LINEAR:
        axis.set_xlim(min(-0.05, near - 0.05), 1.05 * far)
        return
    axis.set_xscale("symlog", linthresh=LINEAR, linscale=1.0)
    powers = 10.0 ** np.arange(1, int(np.floor(np.log10(far))) + 1)
    axis.set_xticks([0, 0.5, 1, *powers], ["0", "0.5", "1", *(f"{power:,.0f}" for power in powers)])
    axis.minorticks_off()
    axis.set_xlim(min(-0.1, near - 0.1), 1.4 * far)
