"""What the files for deployment tell a reader to type, read by the parsers of what is typed."""

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).resolve().parent.parent


def told(file: str, beginning: str) -> list[str]:
    """Return the words of the one command in the comments of a file that begins so, its continued lines joined."""
    comments = "\n".join(re.findall(r"^# *(.*)$", (ROOT / file).read_text(), re.MULTILINE)).replace("\\\n", " ")
    (command,) = [line for line in comments.splitlines() if line.startswith(beginning)]
    return shlex.split(command, comments=True)


def parsed(script: str, arguments: list[str]) -> dict[str, Any]:
    """Return what the parser of a script in `launch` reads in arguments; what it does not know is an error."""
    app: typer.Typer = runpy.run_path(str(ROOT / script), run_name="parsed")["app"]
    command: Any = typer.main.get_command(app)
    return dict(command.make_context(script, list(arguments)).params)
