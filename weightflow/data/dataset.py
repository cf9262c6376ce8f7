"""A data set: what was observed, which of it may be fitted, and what else is known of the same system."""

from dataclasses import dataclass

import numpy as np

from weightflow.card import Carded, Facts
from weightflow.data.snapshots import Snapshots
from weightflow.data.words import listed, written
from weightflow.errors import InputError

SPECIES = "species"
FEW_TIMES = 10  # of fewer, each one is worth too much to be only fitted or only scored


@dataclass(frozen=True, repr=False)
class Dataset(Carded):
    """Observations of one system.

    Attributes:
        name: for file names and tables.
        snapshots: every observed time, of the trajectories or cells that may be fitted.
        seen: indices of the times that may be fitted.
        paired: whether row i is the same trajectory at every time (an array), or other cells (a table).
        fresh: other samples at the same times that are never fitted; None where there are none.
        reference: a third, independent sample of the true system, as a perfect model would draw it (simulator only).
        reading: what was understood of a file, in sentences, to be shown before anything is fitted.
        units: for each time the unit (cage, well) that each row was measured on; None where nothing says.
        called: what the columns are, where they are no species: such as `components of X_pca`.
        source: the file, or the built-in system, that it comes from.
    """

    name: str
    snapshots: Snapshots
    seen: tuple[int, ...]
    paired: bool
    fresh: Snapshots | None = None
    reference: Snapshots | None = None
    reading: tuple[str, ...] = ()
    units: tuple[np.ndarray, ...] | None = None
    called: str = SPECIES
    source: str = "memory"

    def __post_init__(self) -> None:
        if len(self.snapshots) < 2:
            raise InputError(
                f"`{self.name}` holds one single snapshot (t={written(self.snapshots.times[0])}); a distribution over "
                "time "
                "needs at least two: add times."
            )
        wrong = [i for i in self.seen if not 0 <= i < len(self.snapshots)]
        if wrong:
            raise InputError(
                f"`seen` holds {wrong[0]}, and `{self.name}` has {len(self.snapshots)} snapshots; give indices of "
                "these, counted from 0."
            )
        if len(self.seen) < 2:
            raise InputError(
                f"only {len(self.seen)} of the {len(self.snapshots)} times of `{self.name}` would be seen; at least "
                "two are needed: lower `--every`."
            )

    @property
    def visible(self) -> Snapshots:
        """What may be fitted: the snapshots at the seen times."""
        return self.snapshots.subset(self.seen)

    def in_words(self) -> str:
        """Say what was measured, under which name."""
        return f"{self.called} {listed(self.snapshots.species)}"

    def _card(self) -> tuple[str, Facts]:
        seen = "all times" if len(self.seen) == len(self.snapshots) else f"{len(self.seen)} of these snapshots"
        facts = [*self.snapshots.facts(), ("may be fitted", seen), ("from", self.source)]
        return f"Dataset {self.name}", [
            *facts,
            *(("" if i else "understood", sentence) for i, sentence in enumerate(self.reading)),
        ]

    @property
    def row_units(self) -> tuple[np.ndarray, ...] | None:
        """The unit of each row at each time; None where nothing says that a row was ever measured again."""
        return tuple(np.arange(len(cloud)) for cloud in self.snapshots.samples) if self.paired else self.units

    @property
    def visible_units(self) -> tuple[np.ndarray, ...] | None:
        """The same of the rows of `visible`."""
        units = self.row_units
        return None if units is None else tuple(units[i] for i in sorted(self.seen))


def every_nth(n_times: int, every: int | None, dense: bool = True) -> tuple[int, ...]:
    """Return the seen indices.

    By default all times are seen; of dense trajectories every tenth, every second where there are fewer than 31 times,
    and all where there are fewer than `FEW_TIMES`.

    Raises:
        InputError: `every` is not positive.
    """
    if every is not None and every < 1:
        raise InputError(f"`--every {every}` was given; it must be 1 (all times are seen) or more.")
    usual = 1 if not dense or n_times < FEW_TIMES else 10 if n_times >= 31 else 2
    return tuple(range(0, n_times, every or usual))
