"""What the benchmark of conditions is fitted to and scored on, as files that a machine without the simulator can read.

A reaction network is observed under some conditions as 500 trajectories at eleven times, and scored under others, and
at three times of each interval, that no fit sees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from weightflow.data import Snapshots, every_nth
from weightflow.rng import derive_seed
from weightflow.systems import Vary, find_system, simulate_varied
from weightflow.types import Kind

TRAJECTORIES, SCORED = 500, 1000
BETWEEN = (2, 5, 8)  # of the ten steps from one seen time to the next
Point = tuple[float, ...]


@dataclass(frozen=True)
class Case:
    """A network whose parameters are varied.

    Attributes:
        system: its name.
        names: of the parameters, all on logarithmic scales.
        fitted: the conditions that are observed.
        unseen: those that are scored.
    """

    system: str
    names: tuple[str, ...]
    fitted: tuple[Point, ...]
    unseen: tuple[Point, ...]


def _spaced(system: str, name: str, low: float, high: float) -> Case:
    """Five values evenly spaced on the scale, and those halfway between, to three digits."""
    values = [float(f"{value:.3g}") for value in np.geomspace(low, high, 9)]
    return Case(system, (name,), tuple((v,) for v in values[::2]), tuple((v,) for v in values[1::2]))


def _chequered(system: str, grid: Mapping[str, Sequence[float]]) -> Case:
    """Every second condition of a grid, and the others."""
    each = product(*(enumerate(values) for values in grid.values()))
    places = [(sum(i for i, _ in point) % 2, tuple(v for _, v in point)) for point in each]
    fitted, unseen = (tuple(point for parity, point in places if parity == which) for which in (0, 1))
    return Case(system, tuple(grid), fitted, unseen)


_BETAS = (0.0012, 0.002, 0.003, 0.0045, 0.007)
CASES = {
    "epidemic": Case("epidemic", ("beta",), tuple((b,) for b in _BETAS), ((0.0016,), (0.0025,), (0.0037,), (0.0055,))),
    "epidemic, two rates": _chequered("epidemic", {"beta": _BETAS, "recovers": (0.01, 0.025, 0.0625, 0.15625)}),
    "toggle_switch": _spaced("toggle_switch", "made", 20.0, 100.0),
    "lotka_volterra": _spaced("lotka_volterra", "hunts", 0.006, 0.016),
}


@dataclass(frozen=True, eq=False)
class Observed:
    """Independent trajectories of one case.

    Attributes:
        seen: indices of the times that may be fitted.
        fitted: by condition, at all times.
        fresh, perfect: by unseen condition: what is scored, and what a perfect model would draw.
    """

    seen: tuple[int, ...]
    fitted: dict[Point, Snapshots]
    fresh: dict[Point, Snapshots]
    perfect: dict[Point, Snapshots]

    @property
    def unseen(self) -> list[int]:
        """Indices of the times that no fit sees."""
        times = len(next(iter(self.fitted.values())).times)
        return [i for i in range(times) if i not in self.seen]


def observed(folder: Path, name: str, seed: int) -> Observed:
    """Read the data of one case and seed; simulate and write them where they are missing."""
    path = folder / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}.npz"
    if not path.is_file():
        _write(path, CASES[name], seed)
    case = CASES[name]
    with np.load(path, allow_pickle=False) as found:
        species = tuple(map(str, found["species"]))
        kinds = (Kind.COUNTS,) * len(species)

        def courses(part: str, points: Sequence[Point]) -> dict[Point, Snapshots]:
            clouds = found[part].astype(float)
            return {p: Snapshots(found["times"], tuple(x), species, kinds) for p, x in zip(points, clouds, strict=True)}

        return Observed(
            tuple(map(int, found["seen"])),
            courses("fitted", case.fitted),
            courses("fresh", case.unseen),
            courses("perfect", case.unseen),
        )


def _write(path: Path, case: Case, seed: int) -> None:
    system = find_system(case.system)
    seen = every_nth(len(system.times), None)
    kept = [i for i in range(len(system.times)) if i % seen[1] in (0, *BETWEEN)]
    times = system.times[kept]
    parts: dict[str, Float[np.ndarray, "condition time trajectory species"]] = {}
    species: tuple[str, ...] = ()
    for part, points, n in (
        ("fitted", case.fitted, TRAJECTORIES),
        ("fresh", case.unseen, SCORED),
        ("perfect", case.unseen, SCORED),
    ):
        # a grid has more conditions than a part of it: each is simulated by itself
        runs = [
            simulate_varied(
                system,
                [Vary(name, (value,)) for name, value in zip(case.names, point, strict=True)],
                n,
                derive_seed(seed, "conditions", part),
                times,
            )
            for point in points
        ]
        species = runs[0].species
        parts[part] = np.stack([run.samples for run in runs]).swapaxes(1, 2).astype(np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    where = np.array([i for i, k in enumerate(kept) if k in seen])
    np.savez_compressed(
        path,
        times=times,
        species=np.array(species),
        seen=where,
        fitted=parts["fitted"],
        fresh=parts["fresh"],
        perfect=parts["perfect"],
    )
