"""What a search leaves beside numbers: files, pictures, and the model in the registry."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from weightflow.model import WeightFlow, load
from weightflow.tracking.stored_run import now
from weightflow.trials import TrialRecord
from weightflow.types import Kind

SERVED_WITH = (
    "filelock",
    "jaxtyping",
    "numpy",
    "pandas",
    "POT",
    "pydantic",
    "rich",
    "safetensors",
    "scikit-learn",
    "scipy",
    "torch",
    "torchcde",
    "torchdiffeq",
)
"""What a model needs in order to be loaded; named here because MLflow would otherwise guess by importing everything."""

_PACKAGE = Path(__file__).resolve().parents[1]
_SERVED_MODEL = Path(__file__).parent / "served_model.py"
_TYPE = "weightflow"
_USE = (
    "Samples of the distribution at any time. Input: a column `time`, in the units of the data. Parameters: `draws` "
    "and `seed`. Output: one row for each time and draw."
)


Status = Literal["FINISHED", "KILLED", "FAILED"]


@dataclass(frozen=True)
class Results:
    """What a search has led to.

    Attributes:
        status: how it ended, in MLflow's words.
        best: the trial that won, if one did.
        model_dir: its model directory, which is logged and registered, unless the trial's run has led to a version of
            the registered model before.
        files: scores and report.
        pictures: PNG files.
        metrics: of the test part, for the best trial's run and the search's.
        at: when, in milliseconds.
    """

    status: Status
    best: TrialRecord | None = None
    model_dir: Path | None = None
    files: Sequence[Path] = ()
    pictures: Sequence[Path] = ()
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    at: int = field(default_factory=now)

    def points(self, step: int) -> list[Metric]:
        """Return the metrics as MLflow takes them."""
        return [Metric(key, float(value), self.at, step) for key, value in self.metrics.items()]


def log_files(client: MlflowClient, run_id: str, files: Sequence[Path], folder: str | None = None) -> None:
    """Attach files to a run, in place of those of the same names."""
    for file in files:
        client.log_artifact(run_id, str(file), folder)


def registered_version(client: MlflowClient, run_id: str, name: str) -> str | None:
    """Return the version of a registered model that a run has led to, if there is one."""
    found = client.search_model_versions(f"run_id = '{run_id}'", order_by=["version_number DESC"])
    return next((str(version.version) for version in found if version.name == name), None)


def clear_models(client: MlflowClient, run_id: str, experiment: str) -> None:
    """Delete the logged models of a run that no version came of: an attempt that was cut off has left them."""
    used = {version.model_id for version in client.search_model_versions(f"run_id = '{run_id}'")}
    for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        if model.model_id not in used and model.model_type == _TYPE:
            client.delete_logged_model(model.model_id)


def log_model(client: MlflowClient, run_id: str, model_dir: Path, name: str, params: dict[str, str]) -> LoggedModel:
    """Log a model directory as a pyfunc, with the source of this package: it is not on any index.

    `mlflow.pyfunc.log_model` does the same for the process-wide tracking URI and active run, which are not ours.
    """
    model = load(model_dir)
    example = pd.DataFrame({"time": model.span})
    run = client.get_run(run_id)
    logged = client.create_logged_model(run.info.experiment_id, name, run_id, params=params, model_type=_TYPE)
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch, "model")
        mlflow.pyfunc.save_model(
            str(target),
            python_model=str(_SERVED_MODEL),
            artifacts={"model": str(model_dir)},
            code_paths=[str(_PACKAGE)],
            signature=_signature(model),
            input_example=(example, {"draws": 10, "seed": 0}),
            pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in SERVED_WITH],
            mlflow_model=Model(logged.artifact_location, run_id, model_uuid=logged.model_id, model_id=logged.model_id),
        )
        client.log_model_artifacts(logged.model_id, str(target))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged


def register_model(client: MlflowClient, logged: LoggedModel, name: str, description: str, tags: dict[str, str]) -> str:
    """Make a logged model the next version of a registered one; returns the version."""
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(name, description=_USE)
    # `models:/ID` as the source would be looked up in the process-wide store.
    source, model_id = logged.artifact_location, logged.model_id
    made = client.create_model_version(
        name, source, logged.source_run_id, tags, description=description, model_id=model_id
    )
    link = json.dumps(
        [{"name": name, "version": int(made.version)}]
    )  # by which the UI leads from the model to its version
    client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: link})
    return str(made.version)


def _signature(model: WeightFlow) -> ModelSignature:
    values = {Kind.COUNTS: DataType.long, Kind.CONTINUOUS: DataType.double}
    species = [ColSpec(values[kind], name) for name, kind in zip(model.species, model.kinds, strict=True)]
    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), "time")]),  # any number: a column of doubles would refuse whole ones
        outputs=Schema([ColSpec(DataType.double, "time"), ColSpec(DataType.long, "draw"), *species]),
        params=ParamSchema([ParamSpec("draws", DataType.long, 1000), ParamSpec("seed", DataType.long, 0)]),
    )
