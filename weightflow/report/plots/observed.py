"""What was observed and what the model says about it, at the same times."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from weightflow.data import Fold, Split
from weightflow.report.content import Report
from weightflow.types import Kind

MAX_SPECIES = 6  # pictures of more would be too small to read
MAX_TIMES = 201
DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Observed:
    """Clouds of the data and of the model at the same times; which times were seen, and which species are counts."""

    times: Float[np.ndarray, "time"]
    data: tuple[Float[np.ndarray, "_ dim"], ...]
    model: Float[np.ndarray, "time draw dim"]
    seen: Bool[np.ndarray, "time"]
    species: tuple[str, ...]
    counts: tuple[bool, ...]

    @property
    def shown(self) -> range:
        """Indices of the species that pictures show."""
        return range(min(len(self.species), MAX_SPECIES))

    def left_out(self) -> str:
        """Say how many species are not shown, if any."""
        rest = len(self.species) - len(self.shown)
        return f" The first {MAX_SPECIES} of {len(self.species)} species are shown." if rest else ""


def observe(report: Report) -> Observed:
    """Collect the data at seen and scored times (the scored part where both exist) and draw from the model there."""
    clouds = dict(zip(report.split.seen.times.tolist(), report.split.seen.samples, strict=True))
    clouds |= dict(zip(report.split.test.times.tolist(), report.split.test.samples, strict=True))
    times = _thin(np.array(sorted(clouds)), report.split)
    model = np.asarray(report.model.sample(times, DRAWS, report.seed), dtype=np.float64)
    return Observed(
        times,
        tuple(clouds[time] for time in times.tolist()),
        model,
        np.isin(times, report.split.seen.times),
        report.split.test.species,
        tuple(kind is Kind.COUNTS for kind in report.split.test.kinds),
    )


def _thin(times: Float[np.ndarray, "all"], split: Split | Fold) -> Float[np.ndarray, "time"]:
    if len(times) <= MAX_TIMES:
        return times
    some = times[np.linspace(0, len(times) - 1, MAX_TIMES).round().astype(int)]
    return np.union1d(some, np.intersect1d(times, split.seen.times))
