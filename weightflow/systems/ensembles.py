"""Data sets of built-in systems, and the one place where a name or a path becomes data."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from weightflow.data import Dataset, ReadOptions, Snapshots, every_nth, read
from weightflow.errors import InputError
from weightflow.places import is_uri
from weightflow.rng import derive_seed
from weightflow.systems.library import BUILT_IN, built_in
from weightflow.systems.simulate import Simulator
from weightflow.types import Kind

TRAJECTORIES = 1000


def load_dataset(source: str, seed: int, options: ReadOptions | None = None) -> Dataset:
    """Simulate a built-in system or read a file.

    A built-in system comes with three independent ensembles of 1,000 trajectories: one to fit, a fresh one to score on,
    and one that stands for a perfect model.

    Args:
        source: a built-in name, a path, or a URI of a file in an object store.
        seed: of the simulation; a file does not depend on it.
        options: how a file is read; for a built-in system `every` alone has a meaning.

    Raises:
        InputError: there is no such system and no such file, or as for `weightflow.data.read`.
    """
    options = options or ReadOptions()
    if source in BUILT_IN:
        options.only(("every",), f"`{source}`, which is built in and knows its times and kinds")
        return _simulated(source, seed, options.every)
    if is_uri(source):
        return read(source, options)
    if not Path(source).exists():
        raise InputError(
            f"`{source}` is neither a built-in system ({', '.join(BUILT_IN)}) nor an existing file; check the name "
            "or the path."
        )
    return read(Path(source), options)


def _simulated(name: str, seed: int, every: int | None) -> Dataset:
    system = built_in(name)
    simulator = Simulator(system)
    seen = every_nth(len(system.times), every)
    training, fresh, reference = (
        _snapshots(simulator.run(TRAJECTORIES, derive_seed(seed, name, part)), system.times, simulator.species)
        for part in ("training", "fresh", "reference")
    )
    source = f"built-in system {name}"
    return Dataset(name, training, seen, paired=True, fresh=fresh, reference=reference, source=source)


def _snapshots(
    trajectories: Float[np.ndarray, "trajectory time species"],
    times: Float[np.ndarray, "time"],
    species: tuple[str, ...],
) -> Snapshots:
    clouds = tuple(np.ascontiguousarray(trajectories[:, i]) for i in range(len(times)))
    return Snapshots(times, clouds, species, (Kind.COUNTS,) * len(species))
