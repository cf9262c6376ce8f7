"""Several scored models on one page: which is closest to the data, their scores beside each other, and each by itself.

It is made of the same parts as a report: the pictures that scores tell are drawn anew, and the one that takes samples,
which no file of scores holds, is the file beside the report.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weightflow.evaluation import Scores, answer, closest, comparable, summary
from weightflow.evaluation.scores import FLOOR, MODEL
from weightflow.evaluation.verdict import NAMES, best_alternative, figure
from weightflow.files import write_text
from weightflow.report.picture import Picture
from weightflow.report.plots.beside import by_time, means
from weightflow.report.plots.distances import distances
from weightflow.report.rendered import Shown, download, environment
from weightflow.report.tables import NOTHING, column, comparison_table, margin
from weightflow.report.theme import DARK, LIGHT
from weightflow.report.words import words

OVERVIEW = Path("pictures", "overview.svg")  # of the files beside a report


@dataclass(frozen=True, eq=False)
class Scored:
    """One model that was scored: its name, its scores, and the folder that they are in."""

    name: str
    scores: Scores
    folder: Path

    @property
    def overview(self) -> dict[str, str]:
        """The picture of data and model as data for a page, in light and in dark colours; empty if there is none."""
        file = self.folder / OVERVIEW
        if not file.is_file():
            return {}
        light = dark = file.read_text(encoding="utf-8")
        for name, colour in LIGHT.named.items():
            dark = dark.replace(colour, DARK.named[name])
        return {"light": _data(light), "dark": _data(dark)}


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
    if len({one.scores.times for one in scored}) > 1:
        return "All were scored on the same data, but not at the same times, some of which are harder than others."
    if len({one.scores.draws for one in scored}) > 1:
        return "All were scored on the same data, but with different numbers of draws, on which distances depend."
    return "All were scored on the same data."


def closest_of(scored: Sequence[Scored]) -> str:
    """Say which model is closest to the data; nothing where their scores cannot be held against each other."""
    return closest(_by_name(scored)) if _comparable(scored) else ""


def common_metrics(scored: Sequence[Scored]) -> list[str]:
    """Return the metrics by which all models were scored, that of the answer first."""
    first = scored[0].scores
    ordered = dict.fromkeys((first.leading, *first.metrics))
    return [metric for metric in ordered if all(one.scores.has(MODEL, metric) for one in scored)]


def write_comparison(path: Path, scored: Sequence[Scored]) -> None:
    """Write the page; it holds its pictures itself.

    Args:
        path: of the HTML file; its folder is made if there is none.
        scored: two models at least, with one metric in common.
    """
    metrics, models, same = common_metrics(scored), _by_name(scored), _comparable(scored)
    path.parent.mkdir(parents=True, exist_ok=True)
    page = (
        environment()
        .get_template("comparison.html.j2")
        .render(
            title=f"WeightFlow: {len(scored)} models compared",
            closest=closest_of(scored),
            same=same_data(scored),
            scored=scored,
            answers=[answer(one.scores) for one in scored],
            summaries=[summary(one.scores) for one in scored],
            distances=[_shown(replace(distances(one.scores), name=f"distances-{one.name}")) for one in scored],
            columns=[column(metric, "") for metric in metrics],
            rows=[[_entry(one, metric, scored if same else ()) for metric in metrics] for one in scored],
            table=download(comparison_table(models)),
            pictures=[_shown(one) for one in (means(models, metrics), *([by_time(models, metrics)] if same else []))],
            words=dict(pair for one in scored for pair in words(one.scores)).items(),
            colours={"light": LIGHT.named, "dark": DARK.named},
        )
    )
    write_text(path, page)


def _by_name(scored: Sequence[Scored]) -> dict[str, Scores]:
    return {one.name: one.scores for one in scored}


def _comparable(scored: Sequence[Scored]) -> bool:
    first = scored[0].scores
    same = all(comparable(first, one.scores) for one in scored)
    return same and all(one.scores.has(MODEL, first.leading) for one in scored)


def _shown(picture: Picture) -> Shown:
    return Shown(picture.name, picture.title, picture.caption, picture.drawn().elements)


def _entry(one: Scored, metric: str, rivals: Sequence[Scored]) -> Entry:
    """`rivals` are those among which the lowest score is marked."""
    scores, interval = one.scores, one.scores.interval(MODEL, metric)
    mean, other = scores.mean(MODEL, metric), best_alternative(scores, metric)
    floor = [f"floor {figure(scores.mean(FLOOR, metric))}"] if scores.has(FLOOR, metric) else []
    rival = [] if other is None else [f"{NAMES.get(other, other)} {figure(scores.mean(other, metric))}"]
    return Entry(
        figure(mean),
        "" if interval is None else f"±{margin(interval.half)}",
        bool(rivals) and mean == min(rival.scores.mean(MODEL, metric) for rival in rivals),
        ", ".join([*rival, *floor]) or NOTHING,
    )


def _data(svg: str) -> str:
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
