"""Which condition made some samples: the posterior of the covariates, from the model's own likelihood.

All samples count as independent of each other, those of different times too. The prior is uniform on the scale of each
covariate (so that of a logarithmic one is uniform in the logarithm), within what was fitted, or within given limits;
categories are equally likely. In one or two covariates a grid is evaluated, and closed in on where the posterior is; in
more, a Sobol sequence. With members, each of which has a posterior of its own, the mean of these says what the model's
own error adds.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from weightflow.data import Conditions, Covariate, Dataset, Point, Snapshots, Value, at_times
from weightflow.data.spread import deviation
from weightflow.errors import ExtrapolationWarning, InputError
from weightflow.torch_rng import quasi_uniforms
from weightflow.types import Kind

if TYPE_CHECKING:
    import pandas

LIKELIHOOD, WEIGHT, WEIGHT_ALONE = "log_likelihood", "weight", "weight_without_members"
GRID = {1: 81, 2: 25}  # places on each axis
DRAWS = 2048  # of more than two covariates
CLOSING_IN = 4  # grids at most, each within the one before
FAR = 14.0  # nats below the highest, where a posterior has ended
Prior = Mapping[str, tuple[float, float]]


@runtime_checkable
class Asked(Protocol):
    """A model of several conditions."""

    @property
    def conditions(self) -> Conditions | None:
        """That were fitted."""
        ...

    @property
    def members(self) -> tuple[Any, ...]:
        """Fits to resampled data."""
        ...

    @property
    def species(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        ...

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of the dimensions."""
        ...

    @property
    def span(self) -> tuple[float, float]:
        """The first and the last time that were fitted."""
        ...

    def log_prob_each(self, x: np.ndarray, t: np.ndarray, points: Sequence[Mapping[str, Value]], /) -> Any:
        """Return log-densities under each of some conditions."""
        ...


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Points, and what was found there.

    Attributes:
        points: conditions.
        log_likelihoods: of the model and of each member, in nats.
        log_volume: of the cell of a point, on the scales.
    """

    points: tuple[Point, ...]
    log_likelihoods: Float[np.ndarray, "point fit"]
    log_volume: float


def infer(
    model: Asked, snapshots: Snapshots | Dataset, prior: Prior | None = None, seed: int = 0
) -> "pandas.DataFrame":
    """Return the posterior of the covariates that `snapshots` were observed under.

    Python warns of times beyond the last one that was fitted, and where the posterior reaches an end of its prior.

    Args:
        model: of several conditions.
        snapshots: of one unknown condition, at times that the model can be asked at; of a data set those that are seen.
        prior: limits of covariates, by name; what the model was fitted to where there are none.
        seed: of the sequence, with more than two covariates.

    Returns:
        one row a point: its covariates, `log_likelihood` in nats, and `weight`, which sums to one; of a model with
        members `weight` is the mean of their posteriors with the model's own, which is `weight_without_members`.

    Raises:
        InputError: the model has no conditions that vary, other species, or the prior is not possible; or no condition
            makes the samples possible.
    """
    import pandas as pd

    snapshots = snapshots.visible if isinstance(snapshots, Dataset) else snapshots
    conditions = _varying(model, snapshots)
    free = [one for one in conditions.covariates if one.numeric and one.varies]
    limits = {one.name: _limits(one, (prior or {}).get(one.name)) for one in free}
    unknown = [name for name in prior or {} if name not in limits]
    if unknown:
        raise InputError(f"a prior is given for `{unknown[0]}`, which is no numeric covariate that varies.")
    groups = dict.fromkeys(conditions.categories(point) for point in conditions.distinct)
    data = snapshots.alone("inference")
    _warn_of_times(model, data)
    found = [_posterior(model, conditions, group, limits, free, data, seed, bool(prior)) for group in groups]
    heights = np.concatenate([one.log_likelihoods + one.log_volume for one in found])
    if not np.isfinite(heights.max(axis=0)).all():
        raise InputError(
            "under no condition within the prior the model, or one of its members, gives all of these samples a "
            f"likelihood above zero: {_strangest(data)}. See whether they are of the same kind and in the same units "
            "as what was fitted."
        )
    weights = np.exp(heights - heights.max(axis=0))
    weights = weights / weights.sum(axis=0)
    points = [conditions.named(point) for one in found for point in one.points]
    table = pd.DataFrame(points, columns=list(conditions.names))
    table[LIKELIHOOD] = np.concatenate([one.log_likelihoods[:, 0] for one in found])
    table[WEIGHT] = weights.mean(axis=1)
    if model.members:
        table[WEIGHT_ALONE] = weights[:, 0]
    for one in free:
        _, low, high = interval(table, one)
        for end in ends_reached(one, low, high, (prior or {}).get(one.name)):
            warnings.warn(
                f"the posterior of {one.name} reaches {end:.3g}, where its prior ends, and more may lie beyond; "
                f"another prior (`--prior {one.name}=..`) widens it, as far as the model can be trusted there.",
                ExtrapolationWarning,
                stacklevel=3,
            )
    return table


def interval(
    posterior: "pandas.DataFrame", covariate: Covariate, level: float = 0.95, weight: str = WEIGHT
) -> tuple[float, float, float]:
    """Return the median of a numeric covariate, and the ends of the central interval of a level."""
    by_value = posterior.groupby(covariate.name)[weight].sum()
    places = np.array([covariate.scaled(float(value)) for value in by_value.index])
    reached = by_value.to_numpy().cumsum() - by_value.to_numpy() / 2
    wanted = [0.5, (1 - level) / 2, (1 + level) / 2]
    middle, low, high = (covariate.unscaled(float(np.interp(q, reached, places))) for q in wanted)
    return middle, low, high


def ends_reached(
    covariate: Covariate, low: float, high: float, given: tuple[float, float] | None = None
) -> tuple[float, ...]:
    """Return the ends of the prior that an interval reaches, to a hundredth of its width: more may lie beyond.

    The central interval of 95 % of a posterior that tells nothing stays further away.
    """
    first, last = _limits(covariate, given)
    gaps = ((first, covariate.scaled(low) - first), (last, last - covariate.scaled(high)))
    return tuple(covariate.unscaled(end) for end, gap in gaps if gap < 0.01 * (last - first))


def _varying(model: Asked, snapshots: Snapshots) -> Conditions:
    conditions = model.conditions
    if conditions is None or not any(one.varies for one in conditions.covariates):
        raise InputError("this model was fitted to one condition, so that there is none to infer; fit it to several.")
    if snapshots.species != model.species:
        raise InputError(
            f"the data are of {', '.join(snapshots.species)} and the model is of {', '.join(model.species)}; choose "
            "these, in this order, with `--species`."
        )
    for i, (name, kind) in enumerate(zip(model.species, model.kinds, strict=True)):
        values = snapshots.pooled()[:, i]
        odd = values[(values < 0) | (values % 1 != 0)]
        if kind is Kind.COUNTS and len(odd):
            raise InputError(
                f"`{name}` was fitted as counts, and these data hold {odd[0]:g}, which is none; give them in the same "
                "units as what was fitted."
            )
    return conditions


def _warn_of_times(model: Asked, data: Snapshots) -> None:
    last = model.span[1]
    late = data.times[data.times > last].tolist()
    if late:
        warnings.warn(
            f"{at_times(late, data.unit)} lies beyond {at_times([last], data.unit)}, the last time that was "
            "fitted: what these samples say of the condition rests on a forecast, whose error nothing here counts.",
            ExtrapolationWarning,
            stacklevel=4,
        )


def _strangest(data: Snapshots) -> str:
    """Say how far the species reaches whose values lie farthest off its median, in its deviations."""
    pooled = data.pooled()
    i = int((np.abs(pooled - np.median(pooled, axis=0)) / deviation(pooled)).max(axis=0).argmax())
    return f"`{data.species[i]}` reaches from {pooled[:, i].min():g} to {pooled[:, i].max():g}"


def _limits(covariate: Covariate, given: tuple[float, float] | None) -> tuple[float, float]:
    """Return the limits of a covariate on its scale."""
    low, high = given or (float(covariate.levels[0]), float(covariate.levels[-1]))
    if not low <= high:
        raise InputError(f"the prior of `{covariate.name}` reaches from {low:g} to {high:g}; give the lower end first.")
    return covariate.scaled(covariate.value(low)), covariate.scaled(covariate.value(high))


def _posterior(
    model: Asked,
    conditions: Conditions,
    group: tuple[Value, ...],
    limits: Mapping[str, tuple[float, float]],
    free: list[Covariate],
    data: Snapshots,
    seed: int,
    beyond: bool,
) -> Evaluated:
    """Evaluate the conditions of some categories, closer and closer around those that are likely."""
    template = next(point for point in conditions.distinct if conditions.categories(point) == group)
    box = np.array([limits[one.name] for one in free]).reshape(-1, 2)
    found = Evaluated((), np.zeros((0, 1)), 0.0)
    for _ in range(CLOSING_IN):
        places = _places(box, seed)
        points = [_at(conditions, template, free, place) for place in places]
        inside = [beyond or not conditions.outside(point) for point in points]
        kept = tuple(point for point, there in zip(points, inside, strict=True) if there)
        found = Evaluated(kept, _log_likelihoods(model, conditions, kept, data), _log_cell(box))
        if not np.isfinite(found.log_likelihoods).any():
            break
        near = places[inside][found.log_likelihoods.max(axis=1) > found.log_likelihoods.max() - FAR]
        closer = _around(near, box)
        if len(box) not in GRID or np.prod(_width(closer)) > 0.5 * np.prod(_width(box)):
            break
        box = closer
    return found


def _places(box: Float[np.ndarray, "axis 2"], seed: int) -> Float[np.ndarray, "place axis"]:
    if not len(box):
        return np.zeros((1, 0))
    if len(box) in GRID:
        return np.array(list(product(*(np.unique(np.linspace(low, high, GRID[len(box)])) for low, high in box))))
    shares = quasi_uniforms(DRAWS, len(box), seed, "infer").numpy()
    return box[:, 0] + shares * (box[:, 1] - box[:, 0])


def _around(near: Float[np.ndarray, "place axis"], box: Float[np.ndarray, "axis 2"]) -> Float[np.ndarray, "axis 2"]:
    """Return the box of the likely places, one step wider, within the one before."""
    step = (box[:, 1] - box[:, 0]) / (GRID.get(len(box), 2) - 1)
    low, high = near.min(axis=0) - step, near.max(axis=0) + step
    return np.stack([np.maximum(low, box[:, 0]), np.minimum(high, box[:, 1])], axis=1)


def _width(box: Float[np.ndarray, "axis 2"]) -> Float[np.ndarray, "axis"]:
    width = box[:, 1] - box[:, 0]
    return np.where(width > 0, width, 1.0)


def _log_cell(box: Float[np.ndarray, "axis 2"]) -> float:
    return float(np.log(_width(box)).sum())


def _at(conditions: Conditions, template: Point, free: list[Covariate], place: Float[np.ndarray, "axis"]) -> Point:
    values = {one.name: one.unscaled(float(x)) for one, x in zip(free, place, strict=True)}
    return tuple(values.get(name, value) for name, value in conditions.named(template).items())


def _log_likelihoods(
    model: Asked, conditions: Conditions, points: tuple[Point, ...], data: Snapshots
) -> Float[np.ndarray, "point fit"]:
    """Return the log-likelihood of all samples under each condition, by the model and by each member."""
    sizes = data.sizes
    filled = np.stack([np.resize(cloud, (max(sizes), data.dim)) for cloud in data.samples])
    real = np.arange(max(sizes)) < np.array(sizes)[:, None]

    asked = [conditions.named(point) for point in points]
    per_fit = [
        fit.log_prob_each(filled, data.times, asked).numpy()[:, real].sum(axis=1) for fit in (model, *model.members)
    ]
    return np.stack(per_fit, axis=1)
