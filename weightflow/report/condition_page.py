"""The page of a model of several conditions: how well it knows those that it has not seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weightflow.data import in_words
from weightflow.evaluation import LeftOutCondition, figure
from weightflow.evaluation.scores import FLOOR, MODEL
from weightflow.evaluation.verdict import best_alternative, standing
from weightflow.files import write_text
from weightflow.metrics import labelled
from weightflow.report.content import ConditionReport
from weightflow.report.plots.by_condition import by_condition
from weightflow.report.plots.distances import distances
from weightflow.report.plots.left_out import left_out
from weightflow.report.plots.responses import responses
from weightflow.report.rendered import environment, save_pictures, told_of
from weightflow.report.searched import search_pictures
from weightflow.report.tables import NOTHING, margin
from weightflow.report.theme import STYLES


@dataclass(frozen=True)
class ConditionRow:
    """How the model did at one condition, by the leading metric."""

    condition: str
    model: str
    margin: str
    alternative: str
    floor: str
    multiple: str
    standing: str
    note: str


def write_condition_report(path: Path, report: ConditionReport) -> tuple[Path, ...]:
    """Write the page, and its pictures as `pictures/NAME.png` and `.svg`; as `write_report` does.

    Args:
        path: of the HTML file; its folder is made if there is none.
        report: what to tell.

    Returns:
        the paths of the pictures, sorted.
    """
    pictures = (
        by_condition(report),
        distances(report.scores),
        responses(report),
        left_out(report),
        *search_pictures(report),
    )
    shown, files = save_pictures(path.parent / "pictures", pictures)
    told = told_of(report, report.unit, shown)
    metric = report.scores.leading
    page = environment().get_template("conditions.html.j2")
    asked, notes = _asked(report), tuple(_notes(report))
    rows = [_row(one, metric) for one in report.found]
    write_text(path, page.render(told, asked=asked, caveats=notes, conditions=rows, metric=labelled(metric)))
    return files


def _asked(report: ConditionReport) -> str:
    conditions = report.observed.conditions
    names = "" if conditions is None else ", ".join(conditions.names)
    count = len(report.observed.courses)
    among = sum(not one.extrapolation for one in report.found)
    judged = (
        f"{among} of them that lie among the others" if among else f"{len(report.found)} of them, none of which does"
    )
    return (
        f"How are {', '.join(report.observed.species[:6])} distributed at any time, under any condition of {names}? "
        f"Learned from {count} conditions; judged at {judged}, each by a fit that has not seen it."
    )


def _notes(report: ConditionReport) -> Iterator[str]:
    yield f"Sampling floor (what a perfect model would score, by chance alone): {report.scores.floor}."
    yield (
        "Alternatives know the two conditions around the one that was left out, at the very times that are asked for: "
        "the nearest one as it is, a mixture of both, and samples on their way by optimal transport."
    )
    if any(one.extrapolation for one in report.found) and not all(one.extrapolation for one in report.found):
        yield "Conditions that lie outside the others are shown and listed, and not in the means."
    if report.scores.groups:
        yield "Intervals (±) are of 95 % and tell what other samples of the same sizes would change."


def _row(one: LeftOutCondition, metric: str) -> ConditionRow:
    scores = one.scores
    value, interval, rival = (
        scores.mean(MODEL, metric),
        scores.interval(MODEL, metric),
        best_alternative(scores, metric),
    )
    floor = scores.mean(FLOOR, metric) if scores.has(FLOOR, metric) else None
    named = NOTHING if rival is None else f"{figure(scores.mean(rival, metric))} ({STYLES[rival].label})"
    return ConditionRow(
        in_words(one.at),
        figure(value),
        "" if interval is None else f"±{margin(interval.half)}",
        named,
        NOTHING if floor is None else figure(floor),
        f"{value / floor:.2f}" if floor else NOTHING,
        standing(scores, metric),
        "outside the others" if one.extrapolation else "",
    )
