"""`weightflow fit`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from weightflow.cli.config import read_config
from weightflow.cli.options import HEAD, HORIZON, Data, Device, HeadOfCounts, Horizon, Members, Preset, Seed
from weightflow.cli.output import writable_folder
from weightflow.cli.reading import reads_data, tell
from weightflow.data import ReadOptions, advice
from weightflow.data.words import listed, written
from weightflow.progress import Shown
from weightflow.systems import load_dataset


@reads_data
def fit(
    data: Data,
    out: Annotated[Path, typer.Option(help="Model directory to write.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML of configuration values, such as dynamics.hidden: 64.")
    ] = None,
    start: Preset = "default",
    head: HeadOfCounts = None,
    seed: Seed = 0,
    device: Device = "cpu",
    members: Members = 0,
    horizon: Horizon = None,
    *,
    reading: ReadOptions,
) -> None:
    """Fit one model to all seen snapshots, without a search and without Ray.

    A key in --config replaces that of --preset, and --head and --horizon replace both.

    \b
    python -m weightflow fit --data epidemic --out model
    python -m weightflow fit --data counts.csv --time day --drop batch --config mine.yaml --out model
    python -m weightflow fit --data epidemic --preset paper --out published
    python -m weightflow fit --data doses.csv --conditions dose --shared-start --out doses
    """
    from weightflow.device import find_device
    from weightflow.evaluation import forecasts_in_words, in_words
    from weightflow.experiment import fit_model, nest, preset, told_of

    asked = {**({} if head is None else {HEAD: head.value}), **({} if horizon is None else {HORIZON: horizon})}
    options = preset(start, **nest({**read_config(config), **asked}))
    place = find_device(device)
    dataset = load_dataset(data, seed, reading)
    tell(dataset)
    snapshots = dataset.visible
    for warning in advice(snapshots):
        sys.stderr.write(f"warning: {warning}\n")
    with writable_folder(out), Shown(Console(stderr=True)) as shown:
        model = fit_model(dataset, options, seed, place, progress=shown, members=members)
        model.save(out)
    known = snapshots.conditions
    under = "" if known is None else f" under {len(known.distinct)} conditions of {listed(known.names)}"
    at = "" if known is None else "".join(f" --at {name}=.." for name in known.names)
    sys.stdout.write(
        f"{out}: fitted to {len(snapshots)} snapshots of {dataset.name}{under}, t = {written(snapshots.times.min())} "
        "to "
        f"{written(snapshots.times.max())}; {in_words(model.record['fidelity'])}\n"
        f"Forecasts: {forecasts_in_words(model.record['forecast'], model.rests)}\n"
        + (f"{told_of(model)} beside it give bands: {out / 'members'}\n" if members else "")
        + f"Use it with: python -m weightflow forecast --model {out}{at}\n"
    )
