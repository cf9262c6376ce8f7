"""Opening the store of runs and the experiment, before any run is written."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from weightflow.errors import InputError
from weightflow.tracking.config import URI_VARIABLE, TrackingConfig
from weightflow.tracking.link import in_words

_DESCRIPTION = (
    "One run for each search, and nested in it one run for each trial. `score` is what is searched: the negative "
    "log-likelihood of held-out snapshots, in nats per sample. The tag `state` says how a run ended, and `reason` why "
    "it failed; `test_...` are metrics of the test part, which no trial has seen."
)


def open_store(config: TrackingConfig) -> tuple[MlflowClient, str]:
    """Return a client and the experiment's id; a missing store or experiment is made.

    Raises:
        InputError: the store cannot be opened.
    """
    try:
        with _alone(config.tracking_uri):
            client = MlflowClient(config.tracking_uri, config.tracking_uri)
            return client, _experiment(client, config)
    # See `Link.attempt`: what a store raises is not known beforehand.
    except Exception as error:
        raise InputError(
            f"the MLflow store {config.shown_uri} cannot be used: {in_words(error)}; start it, or name another as "
            f"`tracking_uri` in mlflow.yml or in {URI_VARIABLE}, such as sqlite:///mlflow.db."
        ) from error


def _experiment(client: MlflowClient, config: TrackingConfig) -> str:
    found = client.get_experiment_by_name(config.experiment)
    if found is None:
        return client.create_experiment(config.experiment, config.artifact_location, {MLFLOW_RUN_NOTE: _DESCRIPTION})
    if found.lifecycle_stage != "active":
        raise InputError(
            f"its experiment `{config.experiment}` is deleted (to get it back: mlflow experiments restore "
            f"--experiment-id {found.experiment_id})"
        )
    return found.experiment_id


@contextmanager
def _alone(uri: str) -> Generator[None, None, None]:
    """Let one process at a time make a SQLite store: two that do it together break it."""
    file = sqlalchemy.make_url(uri).database if uri.startswith("sqlite:") else None
    if not file or file.startswith((":memory:", "file:")):
        yield
        return
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        _check_database(uri)
        yield


def _check_database(uri: str) -> None:
    """Fail at once where SQLite cannot: MLflow would try again for minutes."""
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("PRAGMA schema_version")).fetchone()
    finally:
        engine.dispose()
