"""The command line: arguments in, one call out; each command is a function in a file of its own.

A command imports what it alone needs where it runs: importing torch takes longer than many a simulation, and --help
needs nothing.
"""

import typer

from weightflow.cli.compare import compare
from weightflow.cli.export import export
from weightflow.cli.fit import fit
from weightflow.cli.forecast import forecast
from weightflow.cli.helping import HELP_NAMES, Group
from weightflow.cli.infer import infer
from weightflow.cli.inspect import inspect
from weightflow.cli.local import LocalCommand
from weightflow.cli.score import score
from weightflow.cli.simulate import simulate
from weightflow.cli.sync import sync
from weightflow.cli.tune import tune

app = typer.Typer(
    cls=Group,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings=HELP_NAMES,
)


@app.callback()
def main() -> None:
    """Predict the distribution of a stochastic system between and beyond the times at which it was observed."""


for command in (inspect, simulate, fit, tune, score, compare, forecast, infer, export, sync):
    app.command(cls=LocalCommand)(command)
