"""`weightflow forecast`."""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from weightflow.cli import certainty
from weightflow.cli.conditions import At, condition, told
from weightflow.cli.options import Device
from weightflow.cli.output import whole_file
from weightflow.cli.samples import WRITERS, check_library, write_samples
from weightflow.data import parse_times
from weightflow.data.words import written
from weightflow.progress import Shown


def forecast(
    model: Annotated[Path, typer.Option(help="Model directory, such as runs/NAME/best.")],
    times: Annotated[
        str | None,
        typer.Option(metavar="START:STOP:STEP", help="The stop is included [default: 101 over the fitted span]."),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Samples at each time.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of all random numbers: the same seed, the same file.")] = 0,
    out: Annotated[
        Path, typer.Option(help="File to write: .npy, .npz, .csv, .parquet or .h5ad; an existing one is replaced.")
    ] = Path("samples.npy"),
    device: Device = "cpu",
    at: At = None,
) -> None:
    """Draw samples of a fitted model at any times, in the data's units, and write them.

    An .npy holds an array of shape (time, draw, species), and an .npz names and times beside it; .csv and .parquet are
    tables with the columns time, draw and one for each species, and so is .h5ad, whose obs has time and draw. Times
    after the last fitted one are forecasts. Of a model with members an .npz also holds the means with their 90 % bands:
    mean, mean_low and mean_high, of shape (time, species).

    \b
    python -m weightflow forecast --model runs/NAME/best --times 0:100:1 --draws 1000 --seed 0 --out samples.npy
    python -m weightflow forecast --model runs/NAME/best --times 12 --out at_noon.csv
    python -m weightflow forecast --model doses --at dose=1 --out one.csv
    """
    from weightflow.model import load

    with told():
        fitted = load(model, device).under(condition(at))
    first, last = fitted.span
    wanted = np.linspace(first, last, 101) if times is None else parse_times(times)
    check_library(out)
    with whole_file(out, *WRITERS) as file, Shown(Console(stderr=True)) as shown:
        shown("draws", 0, 0)
        means = certainty.means(fitted, wanted) if out.suffix.lower() == ".npz" else None
        write_samples(file, fitted.draws(wanted, draws, seed), means)
    sys.stderr.write(certainty.beyond(fitted, wanted))
    beyond, unit = int((wanted > last).sum()), fitted.unit and f" {fitted.unit}"
    several = f"{len(wanted)} times from {written(wanted.min())} to {written(wanted.max())}"
    count = several if len(wanted) > 1 else f"t = {written(wanted[0])}"
    sys.stdout.write(
        f"{out}: shape ({len(wanted)}, {draws}, {len(fitted.species)}), {draws:,} samples at {count}{unit}"
        + (f", {beyond} of them forecasts beyond t = {written(last)}{unit}" if beyond else "")
        + f"; species {', '.join(fitted.species)}\n"
    )
