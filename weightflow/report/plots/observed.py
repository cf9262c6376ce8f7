"""What was observed and what the model says about it, at the same times."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from weightflow.data import SPECIES
from weightflow.report.content import Report
from weightflow.types import Kind

MAX_SPECIES = 6  # pictures of more would be too small to read
MAX_TIMES = 201
DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Observed:
    """Clouds of the data and of the model at the same times; which were seen; which species are counts; their names."""

    times: Float[np.ndarray, "time"]
    data: tuple[Float[np.ndarray, "_ dim"], ...]
    model: Float[np.ndarray, "time draw dim"]
    seen: Bool[np.ndarray, "time"]
    species: tuple[str, ...]
    counts: tuple[bool, ...]
    unit: str = ""
    called: str = SPECIES

    @property
    def shown(self) -> range:
        """Indices of the species that pictures show."""
        return range(min(len(self.species), MAX_SPECIES))

    @property
    def sizes(self) -> str:
        """How many samples of the data there are at each time."""
        return sizes_in_words([len(cloud) for cloud in self.data])

    def label(self, i: int) -> str:
        """Name of a species, and what its values are."""
        return f"{self.species[i]} (count)" if self.counts[i] else self.species[i]

    @property
    def most_varied(self) -> tuple[int, ...]:
        """The two species that vary most over all times together, in the order of the data; of one species, itself."""
        variance = np.concatenate(self.data).var(axis=0)
        return tuple(sorted(np.argsort(-variance, kind="stable")[:2].tolist()))

    def left_out(self) -> str:
        """Say how many species are not shown, if any."""
        rest = len(self.species) - len(self.shown)
        return f" The first {MAX_SPECIES} of {len(self.species)} {self.called} are shown." if rest else ""


def sizes_in_words(sizes: Sequence[int]) -> str:
    """Say how many samples each of some clouds has, or from how many to how many."""
    least, most = min(sizes), max(sizes)
    return f"{most:,} samples" if least == most else f"{least:,} to {most:,} samples"


def observe(report: Report) -> Observed:
    """Take the data, and as many draws as are enough for pictures at the same times."""
    data = report.observed
    some = _thin(data.times, report.known)
    times = data.times[some]
    return Observed(
        times,
        tuple(data.samples[i] for i in some),
        np.asarray(report.drawn.sample(times, DRAWS, report.seed), dtype=np.float64),
        np.isin(times, report.known),
        data.species,
        tuple(kind is Kind.COUNTS for kind in data.kinds),
        data.unit,
        report.called,
    )


def _thin(times: Float[np.ndarray, "all"], known: Float[np.ndarray, "known"]) -> Int[np.ndarray, "_"]:
    """Return the places of evenly spread times and of all known ones."""
    some = np.linspace(0, len(times) - 1, min(len(times), MAX_TIMES)).round().astype(int)
    return np.union1d(some, np.flatnonzero(np.isin(times, known)))
