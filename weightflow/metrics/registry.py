"""All metrics by name, so that evaluation and report go through them without knowing any."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from weightflow.errors import InputError
from weightflow.metrics.energy import energy_distance
from weightflow.metrics.joint import joint_w1, joint_w2
from weightflow.metrics.mmd import mmd_median, mmd_paper
from weightflow.metrics.paper import paper_jsd, paper_w1
from weightflow.metrics.sliced import sliced_w1, sliced_w2
from weightflow.metrics.species import species_w1
from weightflow.types import Kind


@dataclass(frozen=True)
class Metric:
    """A distance between the model's cloud and the data's; lower is better.

    Attributes:
        name: its key in `METRICS` and in score files.
        function: (model's samples, data's samples) -> distance.
        label: what a table or an axis calls it.
        unit: `data` for the data's own units, empty for a pure number.
        meaning: one sentence for the reader.
        needs_counts: whether every species must be a count.
        signed: whether it is zero on average, and not at least zero, between samples of one distribution.
    """

    name: str
    function: Callable[[np.ndarray, np.ndarray], float]
    label: str
    unit: str
    meaning: str
    needs_counts: bool = False
    signed: bool = False

    def __call__(self, model: np.ndarray, data: np.ndarray) -> float:
        """Return the distance of the model's samples from the data's."""
        return self.function(model, data)


def applicable(kinds: Sequence[Kind], names: Sequence[str] | None = None) -> tuple[Metric, ...]:
    """Return the metrics that fit species of these kinds, all of them or those named.

    Raises:
        InputError: a name is not known, or needs counts and there are none.
    """
    fitting = {
        name: metric for name, metric in METRICS.items() if not metric.needs_counts or set(kinds) == {Kind.COUNTS}
    }
    wanted = list(fitting) if names is None else list(names)
    for name in wanted:
        if name not in METRICS:
            raise InputError(f"metric `{name}` is not known; known are {', '.join(METRICS)}.")
        if name not in fitting:
            raise InputError(
                f"metric `{name}` needs counts in every species; for this data choose of {', '.join(fitting)}."
            )
    return tuple(fitting[name] for name in wanted)


def _over_shared_states(
    function: Callable[[np.ndarray, np.ndarray, int], float],
) -> Callable[[np.ndarray, np.ndarray], float]:
    """Bin over as many states as either cloud reaches: states that neither reaches change neither of these metrics."""
    return lambda model, data: function(model, data, int(max(model.max(), data.max())) + 1)


_ALL = (
    Metric(
        "paper_w1",
        _over_shared_states(paper_w1),
        "W of the paper",
        "",
        "Transport cost between the species' marginal histograms taken as points, as in the WeightFlow paper.",
        needs_counts=True,
    ),
    Metric(
        "paper_jsd",
        _over_shared_states(paper_jsd),
        "JSD of the paper",
        "",
        "Jensen-Shannon divergence of each species' marginal, natural logarithm, mean over species.",
        needs_counts=True,
    ),
    Metric(
        "species_w1",
        species_w1,
        "W1 per species",
        "data",
        "How far a species' values must be moved on average to turn its marginal into the data's, mean over species.",
    ),
    Metric(
        "sliced_w1",
        sliced_w1,
        "sliced W1",
        "data",
        "The same for projections of all species together on fixed random directions.",
    ),
    Metric(
        "sliced_w2",
        sliced_w2,
        "sliced W2",
        "data",
        "As sliced W1, with squared distances, so that far moves weigh more.",
    ),
    Metric(
        "joint_w1",
        joint_w1,
        "joint W1",
        "data",
        "Exact optimal transport between the joint distributions, dependence between species included.",
    ),
    Metric("joint_w2", joint_w2, "joint W2", "data", "As joint W1, with squared distances."),
    Metric(
        "energy_distance",
        energy_distance,
        "energy distance",
        "data",
        "Mean distance between the two clouds in excess of the mean distances within them.",
    ),
    Metric(
        "mmd_paper",
        mmd_paper,
        "MMD of the paper",
        "",
        "Squared maximum mean discrepancy, unbiased (may be negative), summed over three fixed kernel widths.",
        signed=True,
    ),
    Metric(
        "mmd_median",
        mmd_median,
        "MMD, median width",
        "",
        "Squared maximum mean discrepancy, unbiased (may be negative); kernel width: the data's median distance.",
        signed=True,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
