"""`weightflow export`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from weightflow.cli.conditions import At, condition, told
from weightflow.cli.output import writable_folder
from weightflow.data import parse_times
from weightflow.data.words import written


def export(
    model: Annotated[Path, typer.Option(help="Model directory, such as runs/NAME/best.")],
    times: Annotated[
        str, typer.Option(metavar="START:STOP:STEP", help="Times to export, the stop included, or a list: 0,2.5,10.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    at: At = None,
) -> None:
    """Write a model for those who have NumPy alone: its weights at some times, and a short reader.

    The reader draws samples and evaluates log-densities at these times; the same uniform numbers give the same samples
    as here.

    \b
    python -m weightflow export --model runs/NAME/best --times 0:100:10 --out for_a_colleague
    """
    from weightflow.model import export_model, load

    wanted = parse_times(times)
    with told():
        fitted = load(model).under(condition(at))
    with writable_folder(out):
        export_model(fitted, wanted, out)
    sys.stdout.write(
        f"{out}: weights.npz with {len(wanted)} times from {written(wanted[0])} to {written(wanted[-1])}"
        f"{fitted.unit and f' {fitted.unit}'}, and reader.py, which needs NumPy alone:\n"
        f"from reader import Model; Model({str(out)!r}).sample({wanted[-1]:g}, 1000)\n"
    )
