"""Search, train, score and track a model of a stochastic system: see `python launch/tune.py --help`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a fresh checkout, or one unpacked by a cluster, runs without being installed

from weightflow.stopping import listen

if __name__ == "__main__":
    listen()  # first of all: the imports below take a second, in which Ctrl-C may be pressed too

import typer

from weightflow.cli.helping import HELP_NAMES, Command
from weightflow.cli.running import run
from weightflow.cli.tune import tune
from weightflow.search.jobs.sealed import take_up

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP_NAMES)
app.command(cls=Command)(tune)


def main() -> None:
    """Search, with the settings for tracking that launch/submit.py has sent along, if it did."""
    take_up(ROOT)
    app()


if __name__ == "__main__":
    run(main)
