"""All metrics by name, so that evaluation and report go through them without knowing any."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from weightflow.errors import InputError
from weightflow.metrics.correlation import estimate_correlation_error
from weightflow.metrics.energy import MAX_POINTS as ENERGY_POINTS
from weightflow.metrics.energy import estimate_energy_distance
from weightflow.metrics.estimate import Estimate
from weightflow.metrics.joint import MAX_POINTS as JOINT_POINTS
from weightflow.metrics.joint import estimate_joint_w1, estimate_joint_w2
from weightflow.metrics.mmd import MAX_POINTS as MMD_POINTS
from weightflow.metrics.mmd import estimate_mmd_median, estimate_mmd_paper
from weightflow.metrics.paper import estimate_paper_jsd, estimate_paper_w1, numbered
from weightflow.metrics.sliced import estimate_sliced_w1, estimate_sliced_w2
from weightflow.metrics.species import estimate_species_w1
from weightflow.types import Kind


@dataclass(frozen=True)
class Measure:
    """What a reader must know of a score; lower is better.

    Attributes:
        name: its key in score files.
        label: what a table or an axis calls it.
        unit: `data` for the data's own units, empty for a pure number.
        meaning: one sentence for the reader.
        signed: whether it has no natural zero that it cannot fall below, so that ratios say nothing.
    """

    name: str
    label: str
    unit: str
    meaning: str
    signed: bool = False


@dataclass(frozen=True, kw_only=True)
class Metric(Measure):
    """A distance between the model's cloud and the data's.

    Attributes:
        function: (model's samples, data's samples) -> distance with influences; takes `points` if it subsamples.
        points: the largest number of samples of each cloud that it uses; None: all.
        needs_counts: whether every species must be a count.
        fewest_species: of how many species it can tell something.
    """

    function: Callable[..., Estimate]
    points: int | None = None
    needs_counts: bool = False
    fewest_species: int = 1

    def __call__(self, model: np.ndarray, data: np.ndarray) -> float:
        """Return the distance of the model's samples from the data's."""
        return self.estimate(model, data).value

    def estimate(self, model: np.ndarray, data: np.ndarray) -> Estimate:
        """Return the distance with the influence of each sample on it."""
        return self.function(model, data, **({} if self.points is None else {"points": self.points}))

    def with_points(self, points: int) -> "Metric":
        """Return the same metric on at most `points` samples of each cloud, under a name that tells the number.

        Raises:
            InputError: it uses all samples anyway.
        """
        if self.points is None:
            raise InputError(f"metric `{self.name}` uses all samples that it is given; leave out the number of points.")
        return replace(self, name=f"{self.name}_{points}", label=f"{self.label}, {points} points", points=points)

    def fits(self, kinds: Sequence[Kind]) -> bool:
        """Whether species of these kinds can be scored."""
        return len(kinds) >= self.fewest_species and (not self.needs_counts or set(kinds) == {Kind.COUNTS})


def applicable(kinds: Sequence[Kind], names: Sequence[str | Metric] | None = None) -> tuple[Metric, ...]:
    """Return the metrics that fit species of these kinds, all of them or those given, by name or as they are.

    Raises:
        InputError: a name is not known, or the metric needs counts, or more species, than there are.
    """
    if names is None:
        return tuple(metric for metric in METRICS.values() if metric.fits(kinds))
    return tuple(_checked(_known(name) if isinstance(name, str) else name, kinds) for name in names)


def described(name: str) -> Measure | None:
    """Return what is known of a score by its key in score files; None if nothing is."""
    if name == NLL.name or name in METRICS:
        return NLL if name == NLL.name else METRICS[name]
    base, _, points = name.rpartition("_")
    known = base in METRICS and METRICS[base].points is not None and points.isdecimal()
    return METRICS[base].with_points(int(points)) if known else None


def labelled(name: str) -> str:
    """Return what a reader is told instead of a score's key; the key itself where nothing is known of it."""
    known = described(name)
    return name if known is None else known.label


def _known(name: str) -> Metric:
    if name not in METRICS:
        raise InputError(f"metric `{name}` is not known; known are {', '.join(METRICS)}.")
    return METRICS[name]


def _checked(metric: Metric, kinds: Sequence[Kind]) -> Metric:
    if not metric.fits(kinds):
        needs = "counts in every species" if metric.needs_counts else f"{metric.fewest_species} species"
        fitting = ", ".join(other.name for other in applicable(kinds))
        raise InputError(f"metric `{metric.name}` needs {needs}; for this data choose of {fitting}.")
    return metric


def _over_shared_states(
    function: Callable[[np.ndarray, np.ndarray, int], Estimate],
) -> Callable[[np.ndarray, np.ndarray], Estimate]:
    """Bin over the counts that occur in either cloud: all others change neither of these metrics."""
    return lambda model, data: function(*numbered(model, data))


NLL = Measure(
    "nll",
    "negative log-likelihood",
    "",
    "Mean negative log-density of the data, in nats per sample; only of methods that have a density.",
    signed=True,
)

_ALL = (
    Metric(
        "paper_w1",
        "W of the paper",
        "",
        "Transport cost between the species' marginal histograms taken as points, as in the WeightFlow paper.",
        function=_over_shared_states(estimate_paper_w1),
        needs_counts=True,
    ),
    Metric(
        "paper_jsd",
        "JSD of the paper",
        "",
        "Jensen-Shannon divergence of each species' marginal, natural logarithm, mean over species.",
        function=_over_shared_states(estimate_paper_jsd),
        needs_counts=True,
    ),
    Metric(
        "species_w1",
        "W1 per species",
        "data",
        "How far a species' values must be moved on average to turn its marginal into the data's, mean over species.",
        function=estimate_species_w1,
    ),
    Metric(
        "sliced_w1",
        "sliced W1",
        "data",
        "The same for projections of all species together on fixed random directions.",
        function=estimate_sliced_w1,
    ),
    Metric(
        "sliced_w2",
        "sliced W2",
        "data",
        "As sliced W1, with squared distances, so that far moves weigh more.",
        function=estimate_sliced_w2,
    ),
    Metric(
        "joint_w1",
        "joint W1",
        "data",
        "Exact optimal transport between the joint distributions, dependence between species included.",
        function=estimate_joint_w1,
        points=JOINT_POINTS,
    ),
    Metric(
        "joint_w2",
        "joint W2",
        "data",
        "As joint W1, with squared distances.",
        function=estimate_joint_w2,
        points=JOINT_POINTS,
    ),
    Metric(
        "energy_distance",
        "energy distance",
        "data",
        "Mean distance between the two clouds in excess of the mean distances within them.",
        function=estimate_energy_distance,
        points=ENERGY_POINTS,
    ),
    Metric(
        "mmd_paper",
        "MMD of the paper",
        "",
        "Squared maximum mean discrepancy, unbiased (may be negative), summed over three fixed kernel widths.",
        signed=True,
        function=estimate_mmd_paper,
        points=MMD_POINTS,
    ),
    Metric(
        "mmd_median",
        "MMD, median width",
        "",
        "Squared maximum mean discrepancy, unbiased (may be negative); kernel width: the data's median distance.",
        signed=True,
        function=estimate_mmd_median,
        points=MMD_POINTS,
    ),
    Metric(
        "correlation_error",
        "error of correlations",
        "",
        "Absolute difference of Pearson correlations, mean over pairs of species; constant species count as "
        "uncorrelated.",
        function=estimate_correlation_error,
        fewest_species=2,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
