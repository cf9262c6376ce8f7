"""`weightflow score`."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from weightflow import terminal
from weightflow.cli.config import read_config
from weightflow.cli.options import Data, Device, Preset, Seed
from weightflow.cli.output import writable_folder
from weightflow.cli.reading import reads_data, tell
from weightflow.data import ReadOptions, advice
from weightflow.errors import InputError
from weightflow.progress import Shown
from weightflow.systems import load_dataset


@reads_data
def score(
    data: Data,
    model: Annotated[Path | None, typer.Option(help="Model directory to score, such as runs/NAME/best.")] = None,
    each: Annotated[
        bool, typer.Option("--leave-one-out", help="Fit a model without each time in turn, and score it there.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of what is written [default: MODEL-on-DATA, beside the model].")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="With --leave-one-out: YAML of configuration values to fit with.")
    ] = None,
    start: Preset = "default",
    seed: Seed = 0,
    mlflow: Annotated[Path | None, typer.Option(help="Track it as a run, where this file says.")] = None,
    device: Device = "cpu",
    cpus: Annotated[
        int | None, typer.Option(help="CPUs to fit and score on; all that this process may use by default.")
    ] = None,
    *,
    reading: ReadOptions,
) -> None:
    """Judge a model, or what the method makes of data, without a search: scores, alternatives, floor and report.

    A model is scored at the times of the file that it was not fitted to. With --leave-one-out a model is fitted without
    each time but the first in turn, and scored at that time; OUT/best is fitted to all times. With --conditions it is
    each condition that the others say something of.

    \b
    python -m weightflow score --model runs/NAME/best --data cells.csv
    python -m weightflow score --data cells.csv --leave-one-out --out judged
    python -m weightflow score --data doses.csv --conditions dose --leave-one-out --out judged
    """
    from weightflow.device import find_device
    from weightflow.experiment import nest, preset
    from weightflow.model import load
    from weightflow.report.terminal import print_scores
    from weightflow.search.cluster.resources import Node, Resources, Wanted, usable_cpus
    from weightflow.search.results.judged import fitted_before, without_each
    from weightflow.side_by_side import in_processes, in_turn
    from weightflow.tracking import TrackingConfig

    _check(model, each, out, config, start)
    place, usable = find_device(device), Resources.choose([Node(usable_cpus())], Wanted(cpus, 0)).cpus
    mapper = in_processes(usable) if place.type == "cpu" else in_turn  # of one GPU, processes only have a share each
    tracking = None if mlflow is None else TrackingConfig.read(mlflow)
    dataset = load_dataset(data, seed, reading if reading.every else replace(reading, every=1))
    tell(dataset)
    for warning in advice(dataset.snapshots):
        sys.stderr.write(f"warning: {warning}\n")
    console = Console(emoji=False, markup=False)
    say = partial(terminal.tell, console)
    if model is not None:
        dataset.snapshots.alone("`--model`, and all that compares times,")
    folder = out or Path(f"{model}-on-{dataset.name}")
    with writable_folder(folder), Shown(Console(stderr=True)) as shown:
        if model is None:
            options = preset(start, **nest(read_config(config)))
            judged = without_each(dataset, options, seed, place, say, shown, mapper)
        else:
            judged = fitted_before(load(model, device), dataset, seed, say, shown, mapper)
        shown("report", 0, 0)
        files = judged.write(folder, dataset, seed)
    for line in judged.lines():
        say(line)
    print_scores(console, judged.scores)
    say(f"Written: {', '.join(map(str, files))}")
    if tracking is not None:
        say(judged.track(tracking, folder, dataset, seed))


def _check(model: Path | None, each: bool, out: Path | None, config: Path | None, start: str) -> None:
    """Refuse options that do not go together."""
    if (model is None) is not each:
        raise InputError("give one of the two: `--model DIR`, a fitted model, or `--leave-one-out`, to fit without it.")
    if each and out is None:
        raise InputError("`--leave-one-out` leaves a model, scores and a report; name their folder with `--out`.")
    if model is not None and (config, start) != (None, "default"):
        raise InputError(
            "`--config` and `--preset` say how models are fitted, and `--model` is fitted; leave them out."
        )
