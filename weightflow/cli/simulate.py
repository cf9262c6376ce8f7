"""`weightflow simulate`."""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from weightflow.cli.output import whole_file
from weightflow.data import parse_times
from weightflow.data.words import written
from weightflow.progress import Shown, within
from weightflow.systems import (
    BUILT_IN,
    MAX_REACTIONS,
    Simulator,
    System,
    Vary,
    columns_of,
    find_system,
    simulate_varied,
)


def simulate(
    model: Annotated[
        str,
        typer.Argument(help=f"A built-in system ({', '.join(BUILT_IN)}), or an Antimony (.ant) or SBML (.xml) file."),
    ],
    trajectories: Annotated[int, typer.Option(help="How many independent trajectories.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of all random numbers: the same seed, the same file.")] = 0,
    out: Annotated[
        Path,
        typer.Option(
            help="File to write, .npz (with times and names) or .npy; with --vary .csv or .npz; an existing file is "
            "replaced."
        ),
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
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=START:STOP:NUMBER[:log]",
            help="A parameter, or what a species starts with, and its values; may be given several times: then all "
            "combinations are simulated, each with --trajectories.",
        ),
    ] = None,
) -> None:
    """Simulate a reaction network exactly, and write its trajectories.

    The file holds numbers of molecules, shape (trajectory, time, species). A built-in system needs no options; a model
    of your own needs --times. Each trajectory starts at time 0 in the model's initial state.

    \b
    python -m weightflow simulate epidemic --trajectories 1000 --seed 0 --out trajectories.npy
    python -m weightflow simulate my_model.ant --times 0:20:0.5 --out mine.npz
    python -m weightflow simulate in_moles.xml --molecules-per-unit 1000 --times 0:20:0.5 --out mine.npz
    python -m weightflow simulate epidemic --vary beta=0.001:0.007:5:log --trajectories 500 --out rates.npz
    """
    system = find_system(model)
    wanted = system.times if times is None else parse_times(times)
    if vary:
        _simulate_varied(
            system, [Vary.of(text) for text in vary], trajectories, seed, out, wanted, molecules_per_unit, max_reactions
        )
        return
    simulator = Simulator(system, molecules_per_unit)
    named = out.suffix.lower() == ".npz"
    with whole_file(out, ".npy", ".npz") as file, Shown(Console(stderr=True)) as shown:
        told = within(shown, "trajectories")
        samples = simulator.run(trajectories, seed, wanted, lambda done: told(done, trajectories), max_reactions)
        if named:
            np.savez(file, times=wanted, samples=samples, species=np.array(simulator.species))
        else:
            np.save(file, samples)
    sys.stdout.write(
        f"{out}: {samples.shape[0]:,} trajectories, {samples.shape[1]:,} times from {written(wanted[0])} to "
        f"{written(wanted[-1])}, "
        f"species {', '.join(simulator.species)}\n"
        + (f"Use it with: --data {out}\n" if named else _how_to_read(out, wanted))
    )


def _simulate_varied(
    system: System,
    grid: list[Vary],
    trajectories: int,
    seed: int,
    out: Path,
    times: np.ndarray,
    molecules_per_unit: float | None,
    max_reactions: int,
) -> None:
    """Simulate at several values, and write a table, or arrays."""
    with whole_file(out, ".csv", ".npz") as file, Shown(Console(stderr=True)) as shown:
        told = within(shown, "conditions")
        found = simulate_varied(system, grid, trajectories, seed, times, molecules_per_unit, told, max_reactions)
        if out.suffix.lower() == ".npz":
            varied = {name: found.values[:, i] for i, name in enumerate(found.names)}
            np.savez(
                file, allow_pickle=False, times=times, samples=found.samples, species=np.array(found.species), **varied
            )
        else:
            from pandas import DataFrame

            DataFrame(columns_of(found, times)).to_csv(file, index=False)
    conditions = len(found.samples) // trajectories
    sys.stdout.write(
        f"{out}: {trajectories:,} trajectories at each of {conditions:,} values of {', '.join(found.names)}, "
        f"{len(times):,} times from {written(times[0])} to {written(times[-1])}, species {', '.join(found.species)}\n"
        f"Use it with: --data {out} --conditions {','.join(found.names)}\n"
    )


def _how_to_read(out: Path, times: np.ndarray) -> str:
    """Say how the reader gets these times back, since an array does not hold them."""
    steps = np.diff(times)
    if times[0] != 0 or not len(steps) or not np.allclose(steps, steps[0]):
        return "The array does not hold these times; write an .npz, which does.\n"
    return f"Use it with: --data {out} --step {steps[0]:g}\n"
