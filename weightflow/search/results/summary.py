"""What a search says at its end."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from weightflow.evaluation import Scores, below_bar
from weightflow.report.terminal import print_scores
from weightflow.search.folder import REPORT
from weightflow.search.results.outcome import Outcome, stopped
from weightflow.terminal import tell
from weightflow.trials import Front

PAGES = {"Trials": "runs", "Searches": "searches", "Model": "model_url"}  # what is told -> where MLflow shows it


def print_outcome(console: Console, outcome: Outcome, mlflow: Path | None = None) -> None:
    """Print the scores, where everything lies, and what to type next.

    Args:
        console: where.
        outcome: of the search.
        mlflow: the file that was said to name the store; None where none was.
    """
    if outcome.scores is None:
        _print_interrupted(console, outcome)
        return
    print_scores(console, outcome.scores)
    if outcome.front is not None:
        _print_front(console, outcome.front)
    for repeated in outcome.repeats:
        tell(console, f"Trial {repeated.number}: {repeated.told}.")
    if outcome.decision:
        tell(console, outcome.decision)
    _print_registered(console, outcome.tracked, outcome.scores)
    if "problem" in outcome.tracked:
        tell(console, f"MLflow lacks a part ({outcome.tracked['problem']}); all of it is on disk. Send it later:")
        where = (
            ""
            if outcome.folder.parent == Path("runs").resolve()
            else f" --out {shlex.quote(str(outcome.folder.parent))}"
        )
        where += "" if mlflow is None else f" --mlflow {shlex.quote(str(mlflow))}"
        console.print(f"  python -m weightflow sync {outcome.folder.name}{where}", highlight=False, soft_wrap=True)
    console.print()
    console.print(f"Report: {(outcome.folder / REPORT).as_uri()}", highlight=False, soft_wrap=True)
    pages = {what: outcome.tracked[at] for what, at in PAGES.items() if at in outcome.tracked}
    if pages and not outcome.tracked.get("tracking_uri", "").startswith("http"):
        tell(console, "In MLflow, while `make ui` runs:")
    for what, address in pages.items():
        console.print(f"{what}: {address}", highlight=False, soft_wrap=True)
    console.print("Next:", highlight=False)
    for command in outcome.next_commands:
        console.print(f"  {command}", highlight=False, soft_wrap=True)


def _print_registered(console: Console, tracked: Mapping[str, str], scores: Scores) -> None:
    if "model" in tracked:
        model = f"{tracked['model']} version {tracked['model_version']}, the {tracked['alias']}"
        tell(console, f"MLflow has it as model {model}, in {tracked['tracking_uri']}.")
    elif "unregistered" in tracked:
        tell(
            console,
            f"MLflow has the model, and it is no version of {tracked['unregistered']}: {below_bar(scores)} "
            "`--register` makes it one all the same.",
        )


def _print_front(console: Console, front: Front) -> None:
    table = Table(title="Trials that no other one beats in all criteria", title_justify="left")
    for name in ("trial", *front.criteria):
        table.add_column(name, justify="right")
    for record in front.trials:
        style = "bold" if record.number == front.recommended else ""
        table.add_row(str(record.number), *(f"{record.value(c):.4g}" for c in front.criteria), style=style)
    console.print(table)
    tell(console, f"Trial {front.recommended} is recommended: {front.rule}.")


def _print_interrupted(console: Console, outcome: Outcome) -> None:
    tell(console, stopped(outcome.folder, outcome.trials))
    if outcome.best is not None and outcome.best.score is not None:
        tell(console, f"The best so far is trial {outcome.best.number}, score {outcome.best.score:.4f}:")
        for key, value in outcome.best.chosen.items():
            tell(console, f"  {key}: {value}")
