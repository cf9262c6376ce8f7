"""What all pages share: their pictures as elements and as files, scores, trials, configuration and facts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from weightflow.evaluation import answer, summary, verdict
from weightflow.evaluation.scores import MODEL
from weightflow.evaluation.verdict import standing
from weightflow.files import whole
from weightflow.metrics import labelled
from weightflow.report.content import Searched
from weightflow.report.picture import Picture
from weightflow.report.tables import (
    compared,
    front_rows,
    plain,
    repeat_rows,
    score_columns,
    score_rows,
    score_table,
    trial_rows,
    trial_table,
)
from weightflow.report.theme import DARK, LIGHT
from weightflow.report.words import words


@dataclass(frozen=True)
class Shown:
    """A picture as the template needs it: its drawings by their width, none where there are only words."""

    name: str
    title: str
    caption: str
    drawings: dict[str, str]


def environment() -> Environment:
    """Return what renders the pages."""
    return Environment(
        loader=PackageLoader("weightflow.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def save_pictures(folder: Path, pictures: Iterable[Picture]) -> tuple[list[Shown], tuple[Path, ...]]:
    """Draw pictures, and write them for a light page as `NAME.png` and `NAME.svg`; each file is whole or not there.

    Returns:
        what a page shows, and the paths of the files, sorted.
    """
    drawn = {picture: picture.drawn() for picture in pictures}
    files = {f"{picture.name}.{end}": it for picture, made in drawn.items() for end, it in made.files.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        with whole(folder / name) as draft:
            draft.write_bytes(content)
    shown = [Shown(one.name, one.title, one.caption, made.elements) for one, made in drawn.items()]
    return shown, tuple(sorted(folder / name for name in files))


def told_of(report: Searched, unit: str, shown: Sequence[Shown]) -> dict[str, Any]:
    """Return what the templates of all reports tell; `unit` is what distances between samples are measured in."""
    scores = report.scores
    return {
        "title": report.title,
        "colours": {"light": LIGHT.named, "dark": DARK.named},
        "answer": answer(scores),
        "headline": summary(scores),
        "verdicts": [
            (labelled(metric), standing(scores, metric), verdict(scores, metric))
            for metric in scores.metrics
            if scores.has(MODEL, metric)
        ],
        "facts": report.facts,
        "scores": scores,
        "columns": score_columns(scores, unit),
        "rows": score_rows(scores),
        "score_table": download(score_table(scores)),
        "pictures": {picture.name: picture for picture in shown},
        "front": report.front,
        "front_rows": () if report.front is None else front_rows(report.front),
        "repeats": repeat_rows(report.repeats),
        "compared": compared(report.repeats),
        "floor_decision": report.floor_decision,
        "trials": trial_rows(report.trials, report.repeats),
        "trial_table": download(trial_table(report.trials)),
        "config": {key: plain(value) for key, value in {**report.config, **report.best_config}.items()},
        "searched": set(report.best_config) if report.trials else set(),
        "commands": report.next_commands,
        "again": report.again,
        "words": words(scores),
    }


def download(table: str) -> str:
    """Return an address that holds a table itself."""
    return f"data:text/csv;charset=utf-8,{quote(table)}"
