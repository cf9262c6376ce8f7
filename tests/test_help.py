"""The text of `--help` fits the terminal, in groups and in full words, at any width."""

import re
import runpy
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from weightflow.cli import app

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("", "inspect", "simulate", "fit", "tune", "score", "compare", "forecast", "infer", "export", "sync")


def help_of(app: typer.Typer, width: int, *command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": str(width)})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def submit() -> typer.Typer:
    return runpy.run_path(str(ROOT / "launch" / "submit.py"), run_name="submit")["app"]


@pytest.mark.parametrize("width", [80, 40])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_fits_its_terminal_and_breaks_no_word(command: str, width: int) -> None:
    narrow, wide = (help_of(app, one, *command.split()) for one in (width, 100))
    # what is longer than a line by itself stays whole, and stands alone on its line
    assert [line for line in narrow.splitlines() if len(line) > width and len(line.split()) > 1] == []
    assert words(narrow) == words(wide)
    assert not re.search(r"[a-z]\.\.\.", narrow)


def words(text: str) -> list[str]:
    """All words, whatever lines they stand on; a backslash joins lines of an example."""
    joined = re.sub(r" \\\n\s+", " ", text)
    joined = re.sub(r"\|\s+", "|", joined)
    return sorted(joined.split())


def test_options_of_a_search_are_grouped() -> None:
    text = help_of(app, 80, "tune")
    groups = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert groups == ["Search", "Machine", "Budget", "Results", "Model", "How a file is read", "Options"]
    budget = text[text.index("\nBudget:") : text.index("\nResults:")]
    assert re.findall(r"^  (--[\w-]+)", budget, re.MULTILINE) == [
        "--trials", "--time-budget", "--deadline", "--trial-time", "--cpu-hours", "--gpu-hours", "--drain",
    ]  # fmt: skip


def test_examples_can_be_copied_from_a_narrow_terminal() -> None:
    text = help_of(app, 40, "fit")
    assert "  python -m weightflow fit --data \\\n      epidemic --out model\n" in text


@pytest.mark.parametrize("width", [80, 40])
def test_the_help_of_submit_has_its_examples_on_lines_and_no_escapes(submit: typer.Typer, width: int) -> None:
    text = help_of(submit, width)
    assert "\\b" not in text
    assert "\b" not in text
    assert len(re.findall(r"^  launch/submit\.py --address", text, re.MULTILINE)) == 4
    assert [line for line in text.splitlines() if len(line) > width] == []
    assert {"The cluster:", "What is sent:", "A job that was sent before:"} <= set(text.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_short_option_shows_the_same_help(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "-h"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert result.output == help_of(app, 80, *command.split())


def test_submit_has_the_short_option_too(submit: typer.Typer) -> None:
    result = CliRunner().invoke(submit, ["-h"], env={"COLUMNS": "80"})
    assert result.output == help_of(submit, 80)
