"""Parts of the data as MLflow's datasets, by which its pages name and filter runs."""

import json
from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from weightflow.tracking.facts import DataPart
from weightflow.types import Kind

FIT, HELD_OUT, TEST = "fit", "held out", "test"
_TYPES = {Kind.COUNTS: "long", Kind.CONTINUOUS: "double"}


def log_datasets(client: MlflowClient, run_id: str, parts: Sequence[DataPart]) -> None:
    """Attach parts of the data to a run; what is attached already stays as it is."""
    inputs = [DatasetInput(as_dataset(part), [InputTag(MLFLOW_DATASET_CONTEXT, part.context)]) for part in parts]
    if inputs:
        client.log_inputs(run_id, inputs)


def as_dataset(part: DataPart) -> Dataset:
    """Return a part in MLflow's form."""
    columns = [{"type": "double", "name": "time", "required": True}]
    columns += [{"type": _TYPES[Kind(kind)], "name": name, "required": True} for name, kind in part.species.items()]
    return Dataset(
        name=part.name,
        digest=part.digest,
        source_type="local",
        source=json.dumps({"uri": part.source}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps({"times": part.times, "num_rows": part.samples}),
    )
