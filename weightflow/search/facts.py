"""What MLflow is told of a search before its first trial: the parts of its data, and all that was asked for."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from weightflow.data import Dataset, Snapshots, Split, at_times
from weightflow.search.space.space import Space
from weightflow.search.study.options import SearchOptions
from weightflow.tracking import FIT, HELD_OUT, TEST, DataPart
from weightflow.trials import PREPARATION


def data_parts(dataset: Dataset, split: Split) -> tuple[DataPart, ...]:
    """Return what is fitted in the end, what a search holds out, and what is tested."""
    parts = {FIT: (split.seen,), HELD_OUT: split.held_out, TEST: tuple(part.test for part in split.courses)}
    return tuple(_part(context, dataset, one) for context, some in parts.items() for one in some)


def _part(context: str, dataset: Dataset, snapshots: Snapshots) -> DataPart:
    return DataPart(
        context=context,
        name=dataset.name,
        digest=snapshots.digest(),
        species={name: kind.value for name, kind in zip(snapshots.species, snapshots.kinds, strict=True)},
        times=at_times(snapshots.times, snapshots.unit),
        samples=sum(snapshots.sizes),
        source=dataset.source,
    )


def told_options(options: SearchOptions, space: Space, members: int) -> Mapping[str, str]:
    """Return all options of a search by name, and its space by parameter."""
    told = {field.name: getattr(options, field.name) for field in fields(options)}
    told |= {"criteria": ",".join(options.criteria), "warm_start": len(options.warm_start), "members": members}
    told |= {"shapes": ", ".join(sorted(options.shapes))}
    searched = {f"space.{name}": parameter.describe() for name, parameter in space.parameters.items()}
    fixed = {f"fixed.{name}": value for name, value in space.fixed.items()}
    sets = {f"{PREPARATION}.{name}": _said(preparation.values) for name, preparation in space.preparations.items()}
    return {name: str(value) for name, value in {**told, **searched, **fixed, **sets}.items()}


def _said(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
