"""Whether data lie among the model's draws as further draws would: ranks, and coverage by time.

The rank of a sample among draws is its probability integral transform (Dawid 1984, *Statistical theory: the prequential
approach*). Where values are tied, as counts are, a sample is spread evenly over all ranks that it may have (Czado,
Gneiting and Held 2009, *Predictive model assessment for count data*, section 2.1), so that a true model is uniform also
there.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightflow.report.picture import Picture, grid_of_axes, label_time, legend_above
from weightflow.report.plots.observed import Observed
from weightflow.report.theme import Theme

BINS = 10
LEVELS = (0.5, 0.9)
LINES = ("mccann", "bridge", "mixture", "nearest", "persistence", "direct")  # colours and dashes of species
SURE = 1.96  # standard errors of a 95 % interval


@dataclass(frozen=True, eq=False)
class Ranks:
    """For each sample the interval of its possible ranks among draws, as shares between 0 and 1."""

    low: Float[np.ndarray, "n"]
    high: Float[np.ndarray, "n"]

    @classmethod
    def of(cls, data: Float[np.ndarray, "n"], draws: Float[np.ndarray, "draw"]) -> "Ranks":
        """Rank each sample among all draws."""
        ordered = np.sort(draws)
        below = np.searchsorted(ordered, data, side="left")
        not_above = np.searchsorted(ordered, data, side="right")
        places = len(draws) + 1
        return cls(below / places, (not_above + 1) / places)

    def between(self, low: float, high: float) -> float:
        """Return the share of samples whose rank lies in an interval; of a true model it is `high - low`."""
        inside = np.clip(np.minimum(self.high, high) - np.maximum(self.low, low), 0.0, None)
        return float(np.mean(inside / (self.high - self.low)))


@dataclass(frozen=True, eq=False)
class Calibration:
    """By species: shares of ranks in each bin, mean over times; and by time the coverage of central intervals.

    Attributes:
        times: at which it was measured.
        bins: shares of samples by rank, of shape (species, bin).
        coverage: shares inside the central intervals, of shape (level, species, time).
        samples: the smallest number of samples of one time.
        draws: of the model at each time.
    """

    times: Float[np.ndarray, "time"]
    bins: Float[np.ndarray, "species bin"]
    coverage: Float[np.ndarray, "level species time"]
    samples: int
    draws: int

    def chance(self, share: float) -> float:
        """Half of the 95 % interval of a share at one time, by the samples and the draws that it comes from."""
        return SURE * float(np.sqrt(share * (1 - share) * (1 / self.samples + 1 / self.draws)))


def measure(observed: Observed) -> Calibration:
    """Rank the data among the model's draws, at the times that were not seen if there are any."""
    places = np.flatnonzero(~observed.seen) if (~observed.seen).any() else np.arange(len(observed.times))
    ranks = [
        [Ranks.of(observed.data[k][:, i], observed.model[k][:, i]) for k in places] for i in observed.shown
    ]  # by species and time
    edges = np.linspace(0, 1, BINS + 1)
    bins = [[[one.between(a, b) for a, b in pairwise(edges)] for one in own] for own in ranks]
    inside = [
        [[one.between((1 - level) / 2, (1 + level) / 2) for one in own] for own in ranks] for level in LEVELS
    ]  # by level, species and time
    fewest = min(len(observed.data[k]) for k in places)
    return Calibration(
        observed.times[places], np.mean(bins, axis=1), np.asarray(inside), fewest, observed.model.shape[1]
    )


def calibration(observed: Observed) -> Picture:
    """Show how ranks are spread, and how much of the data the model's central intervals hold."""
    found = measure(observed)
    worst = float(np.abs(found.coverage.mean(axis=2) - np.array(LEVELS)[:, None]).max())
    where = "that were not seen in fitting" if (~observed.seen).any() else ", all of which were fitted"
    return Picture(
        "calibration",
        "Calibration",
        f"Left: ranks of the data among the model's draws (probability integral transform), over {len(found.times)} "
        f"times {where}. A true model is flat; a hump says that it is too wide, a valley too narrow, a slope that it "
        "is shifted. Right: share of the data in the model's middle 50 % and 90 %, by time. Grey: where a true model "
        f"would be with 95 % at one time, by {found.samples:,} samples and {found.draws:,} draws."
        f"{observed.left_out()}",
        alt=f"Histogram of ranks for each species, and coverage by time; on average the coverage is off by "
        f"{worst:.0%} at most.",
        draw=partial(_draw, found, observed),
    )


def _draw(found: Calibration, observed: Observed, theme: Theme) -> Figure:
    figure, (left, right) = grid_of_axes(2, theme, height=3.3, columns=2)
    _draw_ranks(found, observed, left, theme)
    _draw_coverage(found, observed, right, theme)
    legend_above(figure, *left.get_legend_handles_labels())
    return figure


def _draw_ranks(found: Calibration, observed: Observed, axis: Axes, theme: Theme) -> None:
    share, half = 1 / BINS, found.chance(1 / BINS)
    axis.axhspan(share - half, share + half, color=theme.colour("floor"), alpha=0.55, linewidth=0)
    for i, own in zip(observed.shown, found.bins, strict=True):
        name = LINES[i % len(LINES)]
        axis.stairs(
            own,
            np.linspace(0, 1, BINS + 1),
            baseline=None,
            color=theme.colour(name),
            linewidth=1.6,
            label=observed.species[i],
        )
    axis.set_ylim(0, max(2.2 * share, 1.1 * float(found.bins.max())))
    axis.set_xlim(0, 1)
    axis.set_title("ranks of the data among draws")
    axis.set_xlabel("rank, as a share")
    axis.set_ylabel("share of samples")


def _draw_coverage(found: Calibration, observed: Observed, axis: Axes, theme: Theme) -> None:
    marker = "o" if len(found.times) < 20 else ""
    for level, by_species in zip(LEVELS, found.coverage, strict=True):
        half = found.chance(level)
        axis.axhspan(level - half, level + half, color=theme.colour("floor"), alpha=0.55, linewidth=0)
        for i, own in zip(observed.shown, by_species, strict=True):
            axis.plot(found.times, own, color=theme.colour(LINES[i % len(LINES)]), linewidth=1.3, marker=marker, ms=3.5)
    axis.set_ylim(0, 1.02)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.set_yticks([0, 0.25, 0.5, 0.75, 0.9, 1.0])
    axis.set_title("data in the model's middle 50 % and 90 %")
    label_time(axis, observed.unit)
