"""The options that say how a file is read: written once, and given to every command that reads one."""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from weightflow.cli.options import READING
from weightflow.data import Dataset, ReadOptions

Command = Callable[..., None]


def _options(
    time: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of the times.", rich_help_panel=READING)
    ] = None,
    species: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Columns to fit; all others are left out.", rich_help_panel=READING),
    ] = None,
    drop: Annotated[
        str | None, typer.Option(metavar="A,B", help="Columns to leave out.", rich_help_panel=READING)
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COL=VALUE", help="Rows to keep; may be given several times.", rich_help_panel=READING),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="COL", help="Column of the unit (cage, well) that was measured repeatedly.", rich_help_panel=READING
        ),
    ] = None,
    missing: Annotated[
        str | None,
        typer.Option(
            metavar="refuse|drop|zero",
            help="What becomes of missing values [default: refuse].",
            rich_help_panel=READING,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="counts|continuous|A=counts,..",
            help="Kind of the values; whole numbers are counts by default.",
            rich_help_panel=READING,
        ),
    ] = None,
    use_rep: Annotated[
        str | None, typer.Option(metavar="KEY", help="Of .h5ad: what to take of obsm (X_pca).", rich_help_panel=READING)
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Of .h5ad: the layer to take instead of X.", rich_help_panel=READING),
    ] = None,
    genes: Annotated[
        str | None, typer.Option(metavar="A,B", help="Of .h5ad: the genes to fit.", rich_help_panel=READING)
    ] = None,
    pca: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Take so many principal components instead of the species.", rich_help_panel=READING
        ),
    ] = None,
    sep: Annotated[
        str | None,
        typer.Option(
            metavar="X", help="What separates columns of text: a character, tab or space.", rich_help_panel=READING
        ),
    ] = None,
    decimal: Annotated[
        str | None, typer.Option(metavar=".|,", help="Decimal mark of text.", rich_help_panel=READING)
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Encoding of text, such as latin-1.", rich_help_panel=READING)
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(
            help="Every n-th time is seen "
            "[default: all; of trajectories 10, 2 for fewer than 31 times, 1 for fewer than 10].",
            rich_help_panel=READING,
        ),
    ] = None,
    step: Annotated[
        float | None, typer.Option(help="Time step of .npy trajectories (1 by default).", rich_help_panel=READING)
    ] = None,
    conditions: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Columns that say under which condition a row was observed; A:log, A:linear and A:category choose a "
            "scale.",
            rich_help_panel=READING,
        ),
    ] = None,
    shared_start: Annotated[
        bool | None,
        typer.Option(
            "--shared-start",
            help="All conditions start alike: rows of the earliest time stand at the start of each.",
            rich_help_panel=READING,
        ),
    ] = None,
) -> None:
    """Stand for the options; `reads_data` copies them."""


def reading_options() -> list[str]:
    """Return the names of the options."""
    return list(inspect.signature(_options).parameters)


def reads_data(command: Command) -> Command:
    """Give a command all reading options, and hand what they say to its argument `reading`, a `ReadOptions`."""
    mine, theirs = (dict(inspect.signature(one).parameters) for one in (command, _options))
    del mine["reading"]
    keyword = inspect.Parameter.KEYWORD_ONLY

    @wraps(command)
    def reading_command(*given: Any, **named: Any) -> None:
        said = {name: named.pop(name) for name in theirs if name in named}
        command(*given, reading=ReadOptions.of(**said), **named)

    parameters = [*mine.values(), *(option.replace(kind=keyword) for option in theirs.values())]
    reading_command.__dict__["__signature__"] = inspect.Signature(parameters)
    reading_command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return reading_command


def tell(dataset: Dataset) -> None:
    """Say what was understood of a file, beside what a command returns."""
    for sentence in dataset.reading:
        sys.stderr.write(f"{dataset.name}: {sentence}\n")
