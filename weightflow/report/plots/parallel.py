"""All finished trials across all parameters that the search varied: parallel coordinates, one line for each trial."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from weightflow.report.content import Searched
from weightflow.report.picture import TIP, Picture, tidy
from weightflow.report.plots.edges import top_of_bulk
from weightflow.report.theme import Theme
from weightflow.trials import Parameter, TrialRecord, TrialState

TITLE = "Configurations and their scores"
FEWEST = 3
MOST_NAMED = 5  # values of an axis that are written
RATIO = 20.0  # of the largest to the smallest value of a parameter, from which its axis is logarithmic


@dataclass(frozen=True, eq=False)
class Axis:
    """One parameter: places between 0 and 1 of each trial (not a number where it has none), and words for some."""

    name: str
    places: Float[np.ndarray, "trial"]
    words: tuple[tuple[float, str], ...]


def parallel(report: Searched) -> Picture:
    """Show which values went with low scores."""
    trials = [
        trial
        for trial in report.trials
        if trial.state is TrialState.FINISHED and trial.repeat_of is None and trial.score is not None
    ]
    axes = [axis for axis in parameter_axes(trials) if len(set(axis.places[np.isfinite(axis.places)])) > 1]
    if len(trials) < FEWEST or not axes:
        are = "is 1" if len(trials) == 1 else f"are {len(trials)}"
        why = f"It takes {FEWEST} finished trials that differ; there {are}, repeats not counted."
        return Picture("parallel", TITLE, why)
    return Picture(
        "parallel",
        TITLE,
        f"Each line is one of {len(trials)} finished trials; it passes each parameter at its value, and ends at its "
        "score (lower, to the left, is better). A line is broken where a parameter does not apply. Thick: the lowest "
        "score.",
        alt=f"Parallel coordinates of {len(trials)} trials over {', '.join(axis.name for axis in axes)} and the score.",
        draw=partial(_draw, tuple(axes), tuple(trials)),
    )


def parameter_axes(trials: Sequence[TrialRecord]) -> list[Axis]:
    """Return an axis for each parameter that any trial has a value of, in the order in which trials name them."""
    names = dict.fromkeys(name for trial in trials for name, value in trial.chosen.items() if value is not None)
    return [_axis(name, [trial.chosen.get(name) for trial in trials]) for name in names]


def _axis(name: str, values: Sequence[Parameter | None]) -> Axis:
    known = [value for value in values if value is not None]
    if any(isinstance(value, str | bool) for value in known):
        words = sorted({str(value) for value in known})
        at = {word: (k + 0.5) / len(words) for k, word in enumerate(words)}
        places = [np.nan if value is None else at[str(value)] for value in values]
        return Axis(name, np.array(places), tuple((place, word) for word, place in at.items()))
    numbers = np.array([np.nan if value is None else float(value) for value in values])
    low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    logarithmic = low > 0 and high > RATIO * low
    scaled = np.log(numbers) if logarithmic else numbers
    least, most = np.nanmin(scaled), np.nanmax(scaled)
    places = (scaled - least) / (most - least) if most > least else np.where(np.isfinite(numbers), 0.5, np.nan)
    different = np.unique(numbers[np.isfinite(numbers)])
    shown = different if len(different) <= MOST_NAMED else np.array([low, high])
    return Axis(name, places, tuple((float(places[np.nanargmin(abs(numbers - v))]), f"{v:.3g}") for v in shown))


def _draw(axes: tuple[Axis, ...], trials: tuple[TrialRecord, ...], theme: Theme) -> Figure:
    scores = np.array([trial.score for trial in trials], dtype=np.float64)
    top = top_of_bulk(scores)
    norm = Normalize(float(scores.min()), top if top > scores.min() else float(scores.min()) + 1.0)
    score = Axis("score", np.clip(norm(scores), 0, 1), ((0.0, f"{norm.vmin:.4g}"), (1.0, f"{norm.vmax:.4g}")))
    rows = (*axes, score)
    figure = Figure(figsize=(theme.width, 0.9 + 0.62 * len(rows)), layout="constrained")
    axis = figure.subplots()
    colours = LinearSegmentedColormap.from_list("score", [theme.colour("model"), theme.colour("mccann")])
    for k in np.argsort(-scores, kind="stable"):
        best = scores[k] == scores.min()
        line = axis.plot(
            [row.places[k] for row in rows], range(len(rows)), "-o", color=colours(norm(min(scores[k], top))), ms=3.5,
            linewidth=2.6 if best else 1.1, alpha=1.0 if best else 0.7,
        )[0]  # fmt: skip
        line.set_gid(f"{TIP}trial {trials[k].number}, score {scores[k]:.4g}")
    for row, one in enumerate(rows):
        axis.axhline(row, color=theme.muted, linewidth=0.8, zorder=0)
        for place, word in one.words:
            axis.annotate(
                word, (place, row), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8, zorder=4,
                bbox={"facecolor": theme.background, "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
            )  # fmt: skip
    axis.set_yticks(range(len(rows)), [one.name for one in rows])
    axis.set_ylim(len(rows) - 0.7, -0.55)
    axis.set_xlim(-0.04, 1.04)
    axis.set_xticks([])
    axis.grid(visible=False)
    axis.tick_params(axis="y", length=0, labelcolor=theme.ink)
    axis.spines[["left", "bottom"]].set_visible(False)
    bar = figure.colorbar(
        ScalarMappable(norm, colours), ax=axis, location="bottom", aspect=40, shrink=0.6, pad=0.02, label="score"
    )
    tidy(bar)
    return figure
