"""The page: one HTML file that needs nothing else, and its pictures as files beside it."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from weightflow.data import SPECIES, Protocol
from weightflow.evaluation import summary, verdict
from weightflow.evaluation.scores import MODEL
from weightflow.evaluation.verdict import standing
from weightflow.files import whole, write_text
from weightflow.report.content import Report
from weightflow.report.picture import Picture
from weightflow.report.plots.bands import bands
from weightflow.report.plots.errors import errors
from weightflow.report.plots.front import front
from weightflow.report.plots.history import history
from weightflow.report.plots.importances import importances
from weightflow.report.plots.marginals import marginals
from weightflow.report.plots.motion import motion
from weightflow.report.plots.observed import observe
from weightflow.report.plots.ranges import ranges
from weightflow.report.plots.repeats import repeats
from weightflow.report.plots.weights import weights
from weightflow.report.tables import compared, front_rows, plain, repeat_rows, score_columns, score_rows, trial_rows
from weightflow.report.theme import DARK, LIGHT, Theme

MANY_DIMENSIONS = (
    "In so many dimensions joint W1 and W2 between finite clouds reward too little spread: points that are drawn "
    "together lie nearer to every other point. The row of the shrunk truth (a true sample at half its spread) shows "
    "how much; where it is below the floor, a low value is no merit. The verdict therefore leads with proper scores: "
    "energy distance, likelihood, sliced distances."
)
OTHER_COLUMNS = "The data are {called}: where this page speaks of species, it means these."


@dataclass(frozen=True)
class Shown:
    """A picture as the template needs it; the data are empty where there are only words."""

    name: str
    title: str
    caption: str
    alt: str
    light: str
    dark: str


def write_report(path: Path, report: Report) -> tuple[Path, ...]:
    """Write the page, and its pictures for a light page as `pictures/NAME.png` beside it; each is whole or not there.

    The page needs none of these files: it holds the pictures itself.

    Args:
        path: of the HTML file; its folder is made if there is none.
        report: what to tell.

    Returns:
        the paths of the pictures, sorted.
    """
    drawn = _pictures(report)
    light = _render(drawn, LIGHT)
    folder = path.parent / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, png in light.items():
        with whole(folder / f"{name}.png") as draft:
            draft.write_bytes(png)
    write_text(path, _page(report, drawn, light, _render(drawn, DARK)))
    return tuple(sorted(folder / f"{name}.png" for name in light))


def environment() -> Environment:
    """Return what renders the pages."""
    return Environment(
        loader=PackageLoader("weightflow.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _pictures(report: Report) -> tuple[Picture, ...]:
    observed = observe(report)
    return (
        errors(report),
        marginals(observed),
        ranges(observed),
        *bands(observed, report.model),
        *motion(report),
        weights(report),
        *([front(report.front, report.trials)] if report.front else []),
        *([repeats(report.repeats)] if len(report.repeats) > 1 else []),
        history(report),
        importances(report),
    )


def _render(drawn: tuple[Picture, ...], theme: Theme) -> dict[str, bytes]:
    return {picture.name: picture.png(theme) for picture in drawn if picture.draw is not None}


def _page(report: Report, drawn: tuple[Picture, ...], light: dict[str, bytes], dark: dict[str, bytes]) -> str:
    shown = {
        p.name: Shown(p.name, p.title, p.caption, p.alt, _data(light.get(p.name)), _data(dark.get(p.name)))
        for p in drawn
    }
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            title=report.title,
            headline=summary(report.scores),
            caveats=_caveats(report),
            verdicts=[
                (metric, standing(report.scores, metric), verdict(report.scores, metric))
                for metric in report.scores.metrics
                if report.scores.has(MODEL, metric)
            ],
            facts=report.facts,
            scores=report.scores,
            columns=score_columns(report.scores, report.unit),
            rows=score_rows(report.scores),
            pictures=shown,
            front=report.front,
            front_rows=() if report.front is None else front_rows(report.front),
            repeats=repeat_rows(report.repeats),
            compared=compared(report.repeats),
            floor_decision=report.floor_decision,
            trials=trial_rows(report.trials, report.repeats),
            config={key: plain(value) for key, value in report.best_config.items()},
            commands=report.next_commands,
        )
    )


def _caveats(report: Report) -> list[str]:
    """What a reader must know to read the scores rightly."""
    notes = [OTHER_COLUMNS.format(called=report.called)] if report.called != SPECIES else []
    notes += [f"Sampling floor (what a perfect model would score, by chance alone): {report.scores.floor}."]
    if report.scores.groups:
        notes.append(
            "Intervals (±) are of 95 % and tell what other samples of the same sizes would change, of the data and of "
            "each method as it was fitted; not what another fit would change. Two methods are compared by the interval "
            "of their difference, which is narrower than the two together, as both are scored on the same data."
        )
    if report.scores.variants:
        notes.append(
            "Alternatives are what somebody without the model could take. Variants come out of the model's own fit; "
            "the verdict does not count them."
        )
    if report.scores.many_dimensions:
        notes.append(MANY_DIMENSIONS)
    if report.scores.protocol == Protocol.LEAVE_ONE_OUT:
        notes.append(
            "Each scored time was left out in turn: all methods are given the other times alone, and pictures show at "
            "each scored time draws of the fit that has not seen it. The model that is left was fitted to all times."
        )
    if report.scores.protocol == Protocol.PAPER:
        notes.append(
            "Under the paper's protocol the scored trajectories are those that were fitted: baselines that rearrange "
            "them can fall below the floor. For a fair ranking use the protocol interpolation or forecast."
        )
    if report.scores.protocol == Protocol.FORECAST:
        notes.append(
            "All scored times lie beyond the last seen snapshot: McCann and bridge samples both drift on there."
        )
    return notes


def _data(png: bytes | None) -> str:
    return "" if png is None else f"data:image/png;base64,{b64encode(png).decode()}"
