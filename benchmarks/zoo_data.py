"""What the benchmark of the zoo is fitted to and scored on, as files that a machine without the simulator can read.

Reaction networks are observed as 1,000 trajectories at eleven times. Two stochastic differential equations are observed
as 200 samples at ten times, each of a trajectory of its own, as where measuring destroys.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from weightflow.data import Snapshots, every_nth
from weightflow.errors import InputError
from weightflow.rng import derive_seed, generator
from weightflow.systems import BUILT_IN, Simulator, find_system
from weightflow.types import Kind

BETWEEN = (2, 5, 8)  # of the ten steps from one seen time to the next
SHARE = 0.7  # of the span of a network that forecasts know, as the protocol `forecast`
TRAJECTORIES, CELLS = 1000, 200
STEPS = 100  # of an equation, from one seen time to the next
PARTS = {"training": 1, "fresh": 1, "reference": 3}  # how many ensembles each is made of


@dataclass(frozen=True)
class Equation:
    """A stochastic differential equation dx = drift(x) dt + noise x dW with independent W, and how it is observed.

    Attributes:
        drift: of states (sample, species).
        noise: relative, for each square root of a unit of time.
        start: of all samples.
        step: between seen times; there are ten of them, from 0 on.
        species: names.
    """

    drift: Callable[[np.ndarray], np.ndarray]
    noise: float
    start: tuple[float, ...]
    step: float
    species: tuple[str, ...]

    def solve(self, n: int, times: Sequence[float], rng: np.random.Generator) -> list[np.ndarray]:
        """Draw `n` samples at each of `times`, increasing from 0 on, of `n` trajectories of their own.

        Between two of them there are steps of `step / STEPS` at most: midpoint for the drift, Milstein for the noise.
        """
        x = np.tile(np.array(self.start), (n * len(times), 1))
        clouds: list[np.ndarray] = []
        for before, time in zip([0.0, *times], times, strict=False):
            steps = ceil((time - before) / self.step * STEPS - 1e-9)
            for _ in range(steps):
                x = self._stepped(x, (time - before) / steps, rng)
            clouds.append(x[:n])
            x = x[n:]
        return clouds

    def _stepped(self, x: np.ndarray, dt: float, rng: np.random.Generator) -> np.ndarray:
        shock = rng.normal(0.0, dt**0.5, x.shape)
        middle = x + self.drift(x) * dt / 2
        return x + self.drift(middle) * dt + self.noise * x * shock + self.noise**2 / 2 * x * (shock**2 - dt)


def _hunted(x: np.ndarray) -> np.ndarray:
    prey, predators = x.T
    return np.stack([prey * (1 - 0.4 * predators), predators * (0.1 * prey - 0.4)], axis=1)


def _repressed(x: np.ndarray) -> np.ndarray:
    return 10 / (1 + np.roll(x, 1, axis=1) ** 3) - x


EQUATIONS = {
    # Lotka (1925) and Volterra (1926), with the rates of Shen, Berlinghieri and Broderick (AISTATS 2025, PMLR 258)
    "noisy_lotka_volterra": Equation(_hunted, 0.02, (5.0, 4.0), 1.0, ("prey", "predators")),
    # The repressilator of Elowitz and Leibler (Nature 403, 335, 2000) without its mRNA, dx = 10 / (1 + y^3) - x, y the
    # protein before it in the ring, started off the diagonal, which it would never leave. Noise and times are chosen as
    # above: a cycle of 3.6 is seen less than four times, so that straight lines cut its corners.
    "noisy_repressilator": Equation(_repressed, 0.02, (1.0, 1.0, 2.0), 1.0, ("A", "B", "C")),
}
SYSTEMS = (*BUILT_IN, *EQUATIONS)


@dataclass(frozen=True, eq=False)
class Observed:
    """Independent samples of one system.

    Attributes:
        seen: indices of the times that may be fitted.
        known: how many of these a forecast is fitted to.
        training, fresh: what is fitted, and what is scored.
        reference: what a perfect model would draw, three times as many: a floor of one single sample says little.
    """

    seen: tuple[int, ...]
    known: int
    training: Snapshots
    fresh: Snapshots
    reference: Snapshots

    @property
    def between(self) -> list[int]:
        """Indices of times between seen ones."""
        return [i for i in range(self.seen[0], self.seen[-1]) if i not in self.seen]

    @property
    def beyond(self) -> list[int]:
        """Indices of times after those that a forecast is fitted to, up to one interval ahead."""
        times, last = self.training.times, self.seen[self.known - 1]
        end = times[last] + (times[last] - times[self.seen[self.known - 2]]) * (1 + 1e-9)
        return [i for i in range(last + 1, len(times)) if times[i] <= end]

    @property
    def counts(self) -> bool:
        return set(self.training.kinds) == {Kind.COUNTS}


def file_of(folder: Path, system: str, seed: int) -> Path:
    """Return where the data of one system and seed lie."""
    return folder / f"{system}-{seed}.npz"


def write(folder: Path, system: str, seed: int) -> Path:
    """Simulate one system, and write what `read` reads."""
    parts, seen, known = _networked(system, seed) if system in BUILT_IN else _solved(system, seed)
    first = parts["training"]
    path = file_of(folder, system, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = first.kinds[0]
    dtype = np.uint16 if kind is Kind.COUNTS and max(p.pooled().max() for p in parts.values()) < 2**16 else np.float64
    arrays = {name: np.stack(part.samples).astype(dtype) for name, part in parts.items()}
    np.savez_compressed(
        path,
        times=first.times,
        species=np.array(first.species),
        kind=np.array(str(kind)),
        seen=np.array(seen),
        known=np.array(known),
        training=arrays["training"],
        fresh=arrays["fresh"],
        reference=arrays["reference"],
    )
    return path


def check(folder: Path, system: str, seed: int) -> Path:
    """Return the file of one system and seed.

    Raises:
        InputError: there is none.
    """
    path = file_of(folder, system, seed)
    if not path.is_file():
        raise InputError(f"{path} is missing; simulate it first: python benchmarks/zoo.py simulate --data {folder}")
    return path


def read(folder: Path, system: str, seed: int) -> Observed:
    """Read what `write` wrote; raises as `check` does."""
    with np.load(check(folder, system, seed), allow_pickle=False) as found:
        species = tuple(map(str, found["species"]))
        kinds = (Kind(str(found["kind"])),) * len(species)
        parts = [Snapshots(found["times"], tuple(found[part].astype(float)), species, kinds) for part in PARTS]
        return Observed(tuple(map(int, found["seen"])), int(found["known"]), *parts)


def _networked(system: str, seed: int) -> tuple[dict[str, Snapshots], list[int], int]:
    simulator = Simulator(find_system(system))
    times = simulator.system.times
    seen = every_nth(len(times), None)
    kept = [i for i in range(len(times)) if i % seen[1] in (0, *BETWEEN)]
    parts: dict[str, Snapshots] = {}
    for part, ensembles in PARTS.items():
        runs = simulator.run(ensembles * TRAJECTORIES, derive_seed(seed, system, part), times)
        clouds = tuple(np.ascontiguousarray(runs[:, i]) for i in kept)
        parts[part] = Snapshots(times[kept], clouds, simulator.species, (Kind.COUNTS,) * len(simulator.species))
    known = sum(i <= SHARE * seen[-1] for i in seen)
    return parts, [place for place, i in enumerate(kept) if i in seen], known


def _solved(system: str, seed: int) -> tuple[dict[str, Snapshots], list[int], int]:
    equation = EQUATIONS[system]
    tenths = [i for i in range(101) if i % 10 in (0, *BETWEEN)]  # ten seen times, and one interval ahead
    times = np.array(tenths) / 10 * equation.step
    parts: dict[str, Snapshots] = {}
    for part, ensembles in PARTS.items():
        rng = generator(derive_seed(seed, system, part), "equation")
        clouds = equation.solve(ensembles * CELLS, times.tolist(), rng)
        parts[part] = Snapshots(times, tuple(clouds), equation.species, (Kind.CONTINUOUS,) * len(equation.species))
    seen = [place for place, i in enumerate(tenths) if i % 10 == 0 and i < 100]
    return parts, seen, len(seen)
