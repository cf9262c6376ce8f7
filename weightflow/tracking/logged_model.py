"""The best model of a search as MLflow's logged model: what is served, with all that it needs."""

import tempfile
from importlib.metadata import version
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from weightflow.model import WeightFlow, load
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

USE = (
    "The distribution of a stochastic system at any time. Input: a column `time`, in the units of the data, and one "
    "for each covariate where the model has conditions. The parameter `answer` chooses: `samples` (with `draws` and "
    "`seed`), `log_density` (the input then has a column for each species), `marginals`, `quantiles` (at `levels`) or "
    "`moments`. `encoding` is `rows`, `columns` or `npy` (`numpy.save` in base64: small and fast for many numbers)."
)
_PACKAGE = Path(__file__).resolve().parents[1]
_SERVED_MODEL = Path(__file__).parent / "served_model.py"
_TYPE = "weightflow"


def logged_model(client: MlflowClient, run_id: str, experiment: str) -> LoggedModel | None:
    """Return the logged model of a run, if it is whole; what an attempt that was cut off has left is deleted."""
    whole: LoggedModel | None = None
    for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        if model.model_type == _TYPE and model.status != LoggedModelStatus.READY:
            client.delete_logged_model(model.model_id)
        elif model.model_type == _TYPE:
            whole = whole or model
    return whole


def log_model(client: MlflowClient, run_id: str, model_dir: Path, name: str, params: dict[str, str]) -> LoggedModel:
    """Log a model directory as a pyfunc, with the source of this package: it is not on any index.

    `mlflow.pyfunc.log_model` does the same for the process-wide tracking URI and active run, which are not ours.
    """
    model = load(model_dir)
    example = _example(model)
    run = client.get_run(run_id)
    logged = client.create_logged_model(run.info.experiment_id, name, run_id, params=params, model_type=_TYPE)
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch, "model")
        mlflow.pyfunc.save_model(
            str(target),
            python_model=str(_SERVED_MODEL),
            artifacts={"model": str(model_dir)},
            code_paths=[str(_packed(Path(scratch, "weightflow.zip")))],  # so called in `served_model`
            signature=_signature(model),
            input_example=(example, {"answer": "samples", "draws": 10, "seed": 0}),
            pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in SERVED_WITH],
            mlflow_model=Model(logged.artifact_location, run_id, model_uuid=logged.model_id, model_id=logged.model_id),
        )
        client.log_model_artifacts(logged.model_id, str(target))
    whole = client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return whole


def _packed(archive: Path) -> Path:
    """Write this package into an archive that Python can import from: a server takes one file sooner than hundreds."""
    with ZipFile(archive, "w", ZIP_DEFLATED) as packed:
        for file in sorted(_PACKAGE.rglob("*")):
            if file.is_file() and file.suffix != ".pyc":
                packed.write(file, file.relative_to(_PACKAGE.parent))
    return archive


def _example(model: WeightFlow) -> pd.DataFrame:
    """Return the first and the last fitted time, under one of the conditions where there are some."""
    times = pd.DataFrame({"time": model.span})
    return times if model.conditions is None else times.assign(**model.conditions.named(model.conditions.distinct[0]))


def _signature(model: WeightFlow) -> ModelSignature:
    """Return what is taken and, for `samples`, what is answered."""
    values = {Kind.COUNTS: DataType.long, Kind.CONTINUOUS: DataType.double}
    species = [ColSpec(values[kind], name) for name, kind in zip(model.species, model.kinds, strict=True)]
    given = [ColSpec(AnyType(), name, required=False) for name in model.species]
    covariates = () if model.conditions is None else model.conditions.covariates
    under = [ColSpec(AnyType(), one.name) for one in covariates]
    told = [ColSpec(DataType.double if one.numeric else DataType.string, one.name) for one in covariates]
    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), "time"), *under, *given]),  # any number: doubles refuse whole ones
        outputs=Schema([*told, ColSpec(DataType.double, "time"), ColSpec(DataType.long, "draw"), *species]),
        params=ParamSchema(
            [
                ParamSpec("answer", DataType.string, "samples"),
                ParamSpec("draws", DataType.long, 1000),
                ParamSpec("seed", DataType.long, 0),
                ParamSpec("levels", DataType.double, [0.05, 0.5, 0.95], shape=(-1,)),
                ParamSpec("encoding", DataType.string, "rows"),
            ]
        ),
    )
