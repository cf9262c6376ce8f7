"""Several scored models on one page: their scores beside each other, with intervals, and their pictures."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightflow.evaluation import Scores, summary
from weightflow.evaluation.scores import FLOOR, MODEL
from weightflow.evaluation.verdict import best_alternative, figure
from weightflow.files import write_text
from weightflow.metrics import labelled
from weightflow.report.picture import Picture, grid_of_axes
from weightflow.report.rendered import environment
from weightflow.report.tables import NOTHING, column, margin
from weightflow.report.theme import DARK, LIGHT, Theme

DRAWN = 4  # metrics in the picture
SHOWN = ("ranges", "errors")  # of the pictures that each has left


@dataclass(frozen=True, eq=False)
class Scored:
    """One model that was scored: its name, its scores, and the folder that they are in."""

    name: str
    scores: Scores
    folder: Path

    @property
    def pictures(self) -> tuple[str, ...]:
        """What is there of the pictures that are shown, as data for a page."""
        files = [self.folder / "pictures" / f"{name}.png" for name in SHOWN]
        return tuple(_data(file.read_bytes()) for file in files if file.is_file())


@dataclass(frozen=True)
class Entry:
    """The score of one model by one metric: mean, half of its interval, and what stands beside it."""

    text: str
    margin: str
    best: bool
    beside: str


def same_data(scored: Sequence[Scored]) -> str:
    """Say whether scores can be held against each other."""
    digests = {one.scores.data for one in scored}
    if "" in digests:
        return "Whether all were scored on the same data is not known: a score file is older than this."
    if len(digests) > 1:
        return "They were not scored on the same data: differences may be those of the data."
    if len({one.scores.draws for one in scored}) > 1:
        return "All were scored on the same data, but with different numbers of draws, on which distances depend."
    return "All were scored on the same data."


def common_metrics(scored: Sequence[Scored]) -> list[str]:
    """Return the metrics by which all models were scored."""
    return [metric for metric in scored[0].scores.metrics if all(one.scores.has(MODEL, metric) for one in scored)]


def write_comparison(path: Path, scored: Sequence[Scored]) -> None:
    """Write the page; it holds its pictures itself.

    Args:
        path: of the HTML file; its folder is made if there is none.
        scored: two models at least, with one metric in common.
    """
    metrics = common_metrics(scored)
    comparable = len({one.scores.data for one in scored}) == 1
    names = ", ".join(one.name for one in scored)
    picture = Picture(
        "comparison",
        "Scores beside each other",
        "Mean over the scored times, with its 95 % interval where that is known; lower is better. The grey line is "
        "each one's own sampling floor.",
        alt=f"Scores of {names} by {', '.join(map(labelled, metrics[:DRAWN]))}; they are in the table.",
        draw=partial(_draw, scored, metrics[:DRAWN]),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    page = (
        environment()
        .get_template("comparison.html.j2")
        .render(
            scored=scored,
            same=same_data(scored),
            places=[one.scores.where for one in scored],
            summaries=[summary(one.scores) for one in scored],
            columns=[column(metric, "") for metric in metrics],
            rows=[[_entry(one, metric, scored if comparable else ()) for metric in metrics] for one in scored],
            picture=picture,
            drawings=picture.drawn().elements,
            colours={"light": LIGHT.named, "dark": DARK.named},
        )
    )
    write_text(path, page)


def _entry(one: Scored, metric: str, rivals: Sequence[Scored]) -> Entry:
    """`rivals` are those among which the lowest score is marked."""
    scores, interval = one.scores, one.scores.interval(MODEL, metric)
    mean, other = scores.mean(MODEL, metric), best_alternative(scores, metric)
    floor = [f"floor {figure(scores.mean(FLOOR, metric))}"] if scores.has(FLOOR, metric) else []
    rival = [] if other is None else [f"{other} {figure(scores.mean(other, metric))}"]
    return Entry(
        figure(mean),
        "" if interval is None else f"±{margin(interval.half)}",
        bool(rivals) and mean == min(rival.scores.mean(MODEL, metric) for rival in rivals),
        ", ".join([*rival, *floor]) or NOTHING,
    )


def _draw(scored: Sequence[Scored], metrics: Sequence[str], theme: Theme) -> Figure:
    drawn, axes = grid_of_axes(len(metrics), theme, height=1.1 + 0.35 * len(scored), columns=2)
    for metric, axis in zip(metrics, axes, strict=True):
        _draw_metric(scored, metric, axis, theme)
    return drawn


def _draw_metric(scored: Sequence[Scored], metric: str, axis: Axes, theme: Theme) -> None:
    for row, one in enumerate(reversed(scored)):
        mean, interval = one.scores.mean(MODEL, metric), one.scores.interval(MODEL, metric)
        if interval is not None:
            axis.plot([interval.low, interval.high], [row, row], color=theme.colour(MODEL), linewidth=2)
        axis.plot(mean, row, "o", color=theme.colour(MODEL), ms=7)
        if one.scores.has(FLOOR, metric):
            floor = one.scores.mean(FLOOR, metric)
            axis.plot([floor, floor], [row - 0.35, row + 0.35], color=theme.colour(FLOOR), linewidth=2)
    axis.set_yticks(np.arange(len(scored)), [one.name for one in reversed(scored)])
    axis.set_ylim(-0.6, len(scored) - 0.4)
    axis.tick_params(axis="y", length=0, labelcolor=theme.ink)
    axis.set_title(labelled(metric))


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"
