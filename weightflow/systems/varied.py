"""The same reaction network at several values of its parameters, or of what its species start with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import joblib
import numpy as np
from jaxtyping import Float

from weightflow.errors import InputError
from weightflow.rng import derive_seed
from weightflow.systems.library import System
from weightflow.systems.simulate import MAX_REACTIONS, Simulator

START = "_start"  # of the name of a species: what it starts with
RESERVED = ("time", "times", "samples", "species")  # names in a table, or of arrays
MOST = 10_000  # values of one parameter: more are a slip


@dataclass(frozen=True)
class Vary:
    """A parameter and its values."""

    name: str
    values: tuple[float, ...]

    @classmethod
    def of(cls, text: str) -> "Vary":
        """Read `beta=0.001:0.007:6`, six values evenly spaced, `beta=0.001:0.007:6:log`, or `beta=0.001,0.003`.

        Raises:
            InputError: it is none of these.
        """
        name, equals, said = (part.strip() for part in text.partition("="))
        numbers, _, scale = said.partition(":log")
        parts = numbers.replace(",", ":").split(":")
        try:
            given = [float(part) for part in parts]
        except ValueError:
            given = [np.nan]
        is_list = ":" not in numbers
        good = bool(name and equals and not scale and np.isfinite(given).all())
        if good and is_list and ":log" not in said:
            return cls(name, tuple(given))
        if good and "," not in numbers and len(given) == 3 and given[2] == int(given[2]) and 1 <= given[2] <= MOST:
            start, stop, n = given[0], given[1], int(given[2])
            if ":log" not in said:
                return cls(name, tuple(np.linspace(start, stop, n).tolist()))
            if start > 0 and stop > 0:
                return cls(name, tuple(np.geomspace(start, stop, n).tolist()))
        raise InputError(
            f"`--vary {text}` cannot be read; write a name with start:stop:number, as in 'beta=0.001:0.007:6', with "
            "`:log` behind it for even steps of the logarithm of positive values, or with values: 'beta=0.001,0.003'."
        )


@dataclass(frozen=True, eq=False)
class Varied:
    """Trajectories under several conditions, those of one condition side by side.

    Attributes:
        names: of what was varied; what a species starts with is called `I_start`.
        values: of each trajectory.
        samples: numbers of molecules.
        species: their names.
    """

    names: tuple[str, ...]
    values: Float[np.ndarray, "trajectory covariate"]
    samples: Float[np.ndarray, "trajectory time species"]
    species: tuple[str, ...]


def simulate_varied(
    system: System,
    grid: Sequence[Vary],
    trajectories: int,
    seed: int,
    times: Float[np.ndarray, "time"],
    molecules_per_unit: float | None = None,
    watch: Callable[[int, int], None] = lambda _done, _total: None,
    max_reactions: int = MAX_REACTIONS,
) -> Varied:
    """Simulate a network at every combination of values, each in a process of its own while there are CPUs.

    Args:
        system: the network.
        grid: what is varied; of several parameters, all combinations are taken.
        trajectories: at each combination.
        seed: the same seed gives the same trajectories, whatever else is simulated beside them.
        times: when the state is recorded.
        molecules_per_unit: as for `Simulator`.
        watch: told how many combinations are done, and how many there are.
        max_reactions: of one trajectory.

    Raises:
        InputError: a name is varied twice or is not in the model, or as for `Simulator` and its `run`.
    """
    names = tuple(vary.name for vary in grid)
    twins = [name for i, name in enumerate(names) if name in names[:i]]
    if twins:
        raise InputError(f"`{twins[0]}` is given to `--vary` twice; give all its values at once.")
    points = list(product(*(vary.values for vary in grid)))
    species = Simulator(system, molecules_per_unit, dict(zip(names, points[0], strict=True))).species
    called = tuple(f"{name}{START}" if name in species else name for name in names)
    taken = [name for name, column in zip(names, called, strict=True) if column in (*species, *RESERVED)]
    if taken:
        raise InputError(
            f"`--vary {taken[0]}` would have the name of something else in the file, which holds "
            f"{', '.join((*species, *RESERVED))}; give that parameter another name in the model."
        )
    calls = (
        joblib.delayed(_one)(
            system, dict(zip(names, point, strict=True)), trajectories, seed, times, molecules_per_unit, max_reactions
        )
        for point in points
    )
    workers = joblib.Parallel(n_jobs=min(joblib.cpu_count(), len(points)), return_as="generator")
    parts: list[np.ndarray] = []
    for part in workers(calls):
        parts.append(part)
        watch(len(parts), len(points))
    return Varied(called, np.repeat(np.array(points), trajectories, axis=0), np.concatenate(parts), species)


def _one(
    system: System,
    values: dict[str, float],
    trajectories: int,
    seed: int,
    times: Float[np.ndarray, "time"],
    molecules_per_unit: float | None,
    max_reactions: int,
) -> Float[np.ndarray, "trajectory time species"]:
    purpose = [f"{name}={value.hex()}" for name, value in values.items()]
    simulator = Simulator(system, molecules_per_unit, values)
    return simulator.run(trajectories, derive_seed(seed, "varied", *purpose), times, max_reactions=max_reactions)


def columns_of(varied: Varied, times: Float[np.ndarray, "time"]) -> dict[str, np.ndarray]:
    """Return the columns of a long table: what was varied, `time` and the species."""
    n, n_times = varied.samples.shape[:2]
    flat = varied.samples.reshape(n * n_times, -1).astype(np.int64)
    return {
        **{name: np.repeat(varied.values[:, i], n_times) for i, name in enumerate(varied.names)},
        "time": np.tile(times, n),
        **{name: flat[:, i] for i, name in enumerate(varied.species)},
    }
