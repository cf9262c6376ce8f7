"""The command line: arguments in, one call out.

Each command imports what it alone needs: importing torch takes longer than many a simulation, and --help needs nothing.
"""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, NoReturn

import numpy as np
import typer
import yaml
from rich.console import Console

from weightflow.data import advice, parse_times
from weightflow.errors import InputError, WeightFlowError
from weightflow.presets import PRESETS
from weightflow.progress import Shown, within
from weightflow.stopping import STOPPED, end_now, listen
from weightflow.streams import outlive_readers
from weightflow.systems import BUILT_IN, MAX_REACTIONS, Simulator, find_system, load_dataset
from weightflow.types import HeadKind, Kind

# options of every command that reads data
Step = Annotated[float | None, typer.Option(help="Time step of .npy trajectories (1 by default).")]
Every = Annotated[int | None, typer.Option(help="Every n-th time is seen: 10 by default, 2 for fewer than 31 times.")]
HEAD = "backbone.head"
HeadOfCounts = Annotated[
    HeadKind | None, typer.Option(help="How counts are described; auto: softmax for fewer than 8 states.")
]
Device = Annotated[str, typer.Option(metavar="cpu|cuda|cuda:N", help="Where to compute; N is the number of a GPU.")]
ValueKind = Annotated[Kind | None, typer.Option(help="Kind of the values; whole numbers are counts by default.")]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def main() -> None:
    """Predict the distribution of a stochastic system between and beyond the times at which it was observed."""


@app.command()
def simulate(
    model: Annotated[
        str,
        typer.Argument(help=f"A built-in system ({', '.join(BUILT_IN)}), or an Antimony (.ant) or SBML (.xml) file."),
    ],
    trajectories: Annotated[int, typer.Option(help="How many independent trajectories.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of all random numbers: the same seed, the same file.")] = 0,
    out: Annotated[
        Path,
        typer.Option(help="File to write, .npz (with times and names) or .npy; an existing file is replaced."),
    ] = Path("trajectories.npy"),
    times: Annotated[
        str | None,
        typer.Option(metavar="START:STOP:STEP", help="Recorded times, the stop included [default: the system's own]."),
    ] = None,
    molecules_per_unit: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="For models in moles or concentrations: molecules in one unit of substance. Amounts and laws are "
            "scaled, volumes, parameters and time are not; a law k A A is not made k A (A - 1) for few molecules.",
        ),
    ] = None,
    max_reactions: Annotated[int, typer.Option(help="A trajectory with more reactions than this is an error.")] = (
        MAX_REACTIONS
    ),
) -> None:
    """Simulate a reaction network exactly, and write its trajectories.

    The file holds numbers of molecules, shape (trajectory, time, species). A built-in system needs no options; a model
    of your own needs --times. Each trajectory starts at time 0 in the model's initial state.

    \b
    python -m weightflow simulate epidemic --trajectories 1000 --seed 0 --out trajectories.npy
    python -m weightflow simulate my_model.ant --times 0:20:0.5 --out mine.npz
    python -m weightflow simulate in_moles.xml --molecules-per-unit 1000 --times 0:20:0.5 --out mine.npz
    """  # noqa: D301 (click reads the control character that the escape stands for)
    system = find_system(model)
    wanted = system.times if times is None else parse_times(times)
    simulator = Simulator(system, molecules_per_unit)
    named = out.suffix.lower() == ".npz"
    with npy_file(out, ".npy", ".npz") as file, Shown(Console(stderr=True)) as shown:
        told = within(shown, "trajectories")
        samples = simulator.run(trajectories, seed, wanted, lambda done: told(done, trajectories), max_reactions)
        if named:
            np.savez(file, times=wanted, samples=samples, species=np.array(simulator.species))
        else:
            np.save(file, samples)
    sys.stdout.write(
        f"{out}: {samples.shape[0]:,} trajectories, {samples.shape[1]:,} times from {wanted[0]:g} to {wanted[-1]:g}, "
        f"species {', '.join(simulator.species)}\n"
        + (f"Use it with: --data {out}\n" if named else _how_to_read(out, wanted))
    )


@app.command()
def fit(
    data: Annotated[str, typer.Option(help="A built-in system, or a .npy, .npz or .csv file.")],
    out: Annotated[Path, typer.Option(help="Model directory to write.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML of configuration values, such as dynamics.hidden: 64.")
    ] = None,
    start: Annotated[
        str, typer.Option("--preset", metavar="NAME", help=f"What --config starts from: {' or '.join(PRESETS)}.")
    ] = "default",
    head: HeadOfCounts = None,
    seed: Annotated[int, typer.Option(min=0, help="Rules all random numbers.")] = 0,
    step: Step = None,
    every: Every = None,
    kind: ValueKind = None,
    device: Device = "cpu",
) -> None:
    """Fit one model to all seen snapshots, without a search and without Ray.

    A key in --config replaces that of --preset, and --head replaces both.

    \b
    python -m weightflow fit --data epidemic --out model
    python -m weightflow fit --data counts.csv --every 1 --config mine.yaml --out model
    python -m weightflow fit --data epidemic --preset paper --out published
    """  # noqa: D301 (click reads the control character that the escape stands for)
    from weightflow.device import find_device
    from weightflow.evaluation import in_words
    from weightflow.experiment import fit_model, nest, preset

    asked = {} if head is None else {HEAD: head.value}
    options = preset(start, **nest({**_read_config(config), **asked}))
    place = find_device(device)
    dataset = load_dataset(data, seed, step, every, kind)
    snapshots = dataset.snapshots.subset(dataset.seen)
    for warning in advice(snapshots):
        sys.stderr.write(f"warning: {warning}\n")
    with Shown(Console(stderr=True)) as shown:
        model = fit_model(snapshots, options, seed, place, progress=shown)
    model.save(out)
    sys.stdout.write(
        f"{out}: fitted to {len(snapshots)} snapshots of {dataset.name}, t = {snapshots.times[0]:g} to "
        f"{snapshots.times[-1]:g}; {in_words(model.record['fidelity'])}\n"
        f"Use it with: python -m weightflow forecast --model {out}\n"
    )


@app.command()
def forecast(
    model: Annotated[Path, typer.Option(help="Model directory, such as runs/NAME/best.")],
    times: Annotated[
        str | None,
        typer.Option(metavar="START:STOP:STEP", help="The stop is included [default: 101 over the fitted span]."),
    ] = None,
    draws: Annotated[int, typer.Option(help="Samples at each time.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of all random numbers: the same seed, the same file.")] = 0,
    out: Annotated[Path, typer.Option(help="Array to write; an existing file is replaced.")] = Path("samples.npy"),
    device: Device = "cpu",
) -> None:
    """Draw samples of a fitted model at any times, in the data's units, and write them.

    The file holds an array of shape (time, draw, species). Times after the last fitted one are forecasts.

    \b
    python -m weightflow forecast --model runs/NAME/best --times 0:100:1 --draws 1000 --seed 0 --out samples.npy
    """  # noqa: D301 (click reads the control character that the escape stands for)
    from weightflow.model import load

    fitted = load(model, device)
    first, last = fitted.span
    wanted = np.linspace(first, last, 101) if times is None else parse_times(times)
    with npy_file(out) as file, Shown(Console(stderr=True)) as shown:
        shown("draws", 0, 0)
        np.save(file, fitted.sample(wanted, draws, seed).numpy())
    beyond = int((wanted > last).sum())
    sys.stdout.write(
        f"{out}: shape ({len(wanted)}, {draws}, {len(fitted.species)}), {draws:,} samples at {len(wanted)} times from "
        f"{wanted.min():g} to {wanted.max():g}"
        + (f", {beyond} of them forecasts beyond t = {last:g}" if beyond else "")
        + f"; species {', '.join(fitted.species)}\n"
    )


@app.command()
def sync(
    name: Annotated[str, typer.Argument(help="Of the search, as in runs/NAME.")],
    out: Annotated[Path, typer.Option(help="Folder of the searches.")] = Path("runs"),
    mlflow: Annotated[Path, typer.Option(help="Where runs are tracked.")] = Path("mlflow.yml"),
) -> None:
    """Send to MLflow what it missed of a search, because it could not be reached; twice does no harm.

    \b
    python -m weightflow sync my-search
    """  # noqa: D301 (click reads the control character that the escape stands for)
    from weightflow.search.sync import sync as send
    from weightflow.tracking import TrackingConfig

    found = send(out.expanduser().resolve() / name, TrackingConfig.read(mlflow))
    sys.stdout.write(f"{name} is complete in MLflow at {found['tracking_uri']}, experiment {found['experiment']}\n")


def _read_config(path: Path | None) -> dict[str, Any]:
    """Read dotted keys from YAML; an unknown key is refused later, by the options themselves."""
    from weightflow.experiment import flat_keys

    if path is None:
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"`--config {path}` cannot be read as YAML ({' '.join(str(error).split())}); mend it."
        ) from None
    if not isinstance(values, dict):
        raise InputError(f"`--config {path}` must hold keys such as `dynamics.hidden: 64`, not {values!r}.")
    for key in values:
        if key not in flat_keys():
            raise InputError(f"`--config {path}` holds `{key}`, which is not known; known: {', '.join(flat_keys())}.")
    return values


@contextmanager
def npy_file(path: Path, *suffixes: str) -> Generator[IO[bytes], None, None]:
    """Open a file that takes the place of `path` only once it is whole; missing folders are made.

    Entered before the work starts, it says at once when the result could not be written.

    Args:
        path: of the file.
        suffixes: in which its name may end; .npy by default.

    Raises:
        InputError: `path` ends in something else, or cannot be written.
    """
    allowed = suffixes or (".npy",)
    if path.suffix.lower() not in allowed:
        kinds = " or ".join(allowed)
        raise InputError(f"`--out {path}` is written as arrays; give a name that ends in {kinds}.")
    if path.is_dir():
        raise InputError(f"`--out {path}` is a folder; give the name of a file in it.")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            yield file
        draft.replace(path)
    except OSError as error:
        raise InputError(f"`--out {path}` cannot be written ({error.strerror}); choose another place.") from error
    finally:
        # Where the parent is no folder there is no draft either, and asking for it would fail.
        if draft.parent.is_dir():
            draft.unlink(missing_ok=True)


def run(application: typer.Typer) -> NoReturn:
    """Run a command line; what the user did wrong is printed alone on stderr, with exit code 2.

    Foreseen errors that are not the user's are printed likewise, with exit code 1; all others keep their traceback. Who
    asks it to stop is answered by a word and exit code 130.
    """
    listen()
    outlive_readers()
    try:
        application()
    except WeightFlowError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2 if isinstance(error, InputError) else 1)
    except SystemExit as end:
        if end.code == STOPPED:
            end_now()
        raise
    sys.exit(0)


def _how_to_read(out: Path, times: np.ndarray) -> str:
    """Say how the reader gets these times back, since an array does not hold them."""
    steps = np.diff(times)
    if times[0] != 0 or not len(steps) or not np.allclose(steps, steps[0]):
        return "The array does not hold these times; write an .npz, which does.\n"
    return f"Use it with: --data {out} --step {steps[0]:g}\n"
