"""The command line: arguments in, one call out."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, NoReturn

import numpy as np
import typer

from weightflow.data import parse_times
from weightflow.errors import InputError, WeightFlowError
from weightflow.systems import BUILT_IN, Simulator, find_system

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
    out: Annotated[Path, typer.Option(help="Array to write; an existing file is replaced.")] = Path("trajectories.npy"),
    times: Annotated[
        str | None,
        typer.Option(metavar="START:STOP:STEP", help="Recorded times, the stop included [default: the system's own]."),
    ] = None,
) -> None:
    """Simulate a reaction network exactly, and write its trajectories.

    The file holds numbers of molecules, shape (trajectory, time, species). A built-in system needs no options; a model
    of your own needs --times. Each trajectory starts at time 0 in the model's initial state.

    \b
    python -m weightflow simulate epidemic --trajectories 1000 --seed 0 --out trajectories.npy
    python -m weightflow simulate my_model.ant --times 0:20:0.5 --out mine.npy
    """  # noqa: D301 (click reads the control character that the escape stands for)
    system = find_system(model)
    wanted = system.times if times is None else parse_times(times)
    simulator = Simulator(system)
    with npy_file(out) as file:
        samples = simulator.run(trajectories, seed, wanted)
        np.save(file, samples)
    sys.stdout.write(
        f"{out}: {samples.shape[0]:,} trajectories, {samples.shape[1]:,} times from {wanted[0]:g} to {wanted[-1]:g}, "
        f"species {', '.join(simulator.species)}\n{_how_to_read(out, wanted)}"
    )


@contextmanager
def npy_file(path: Path) -> Generator[IO[bytes], None, None]:
    """Open a file that takes the place of `path` only once it is whole; missing folders are made.

    Entered before the work starts, it says at once when the result could not be written.

    Raises:
        InputError: `path` does not end in .npy, or cannot be written.
    """
    if path.suffix.lower() != ".npy":
        raise InputError(f"`--out {path}` is written as an .npy array; give a name that ends in .npy.")
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

    Foreseen errors that are not the user's are printed likewise, with exit code 1; all others keep their traceback.
    """
    try:
        application()
    except WeightFlowError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2 if isinstance(error, InputError) else 1)
    sys.exit(0)


def _how_to_read(out: Path, times: np.ndarray) -> str:
    """Say how the reader gets these times back, since an array does not hold them."""
    steps = np.diff(times)
    if times[0] != 0 or not len(steps) or not np.allclose(steps, steps[0]):
        return "The array does not hold these times; an .npz with `times` beside it does.\n"
    return f"Use it with: --data {out} --step {steps[0]:g}\n"
