"""Opening the store of runs and the experiment, before any run is written."""

import glob
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

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
    "it failed; `test/...` are metrics of the test part: the description of a search says which times that is, and "
    "whether trials were selected by them."
)


def open_store(config: TrackingConfig) -> MlflowClient:
    """Return a client; a missing store is made.

    Raises:
        InputError: the store cannot be opened.
    """
    with _named(config), _alone(config.tracking_uri):
        return _opened(config.tracking_uri)


def _opened(uri: str) -> MlflowClient:
    """Make the tables where there are none, and find out whether anybody answers."""
    client = MlflowClient(uri, uri)
    client.search_experiments(max_results=1)
    return client


def open_experiment(client: MlflowClient, config: TrackingConfig) -> str:
    """Return the id of the experiment for new runs; a missing one is made.

    Raises:
        InputError: the store does not answer, or the experiment is deleted.
    """
    with _named(config), _alone(config.tracking_uri):
        found = client.get_experiment_by_name(config.experiment)
        if found is None:
            tags = {MLFLOW_RUN_NOTE: _DESCRIPTION}
            return client.create_experiment(config.experiment, config.artifact_location, tags)
        if found.lifecycle_stage != "active":
            raise InputError(
                f"its experiment `{config.experiment}` is deleted (to get it back: mlflow experiments restore "
                f"--experiment-id {found.experiment_id})"
            )
        return found.experiment_id


@contextmanager
def _named(config: TrackingConfig) -> Generator[None, None, None]:
    """Say of what goes wrong where it does, and what to do."""
    try:
        yield
    # See `Link.attempt`: what a store raises is not known beforehand.
    except Exception as error:
        raise InputError(
            f"the MLflow store {config.shown_uri} cannot be used: {in_words(error)}; start it, or name another as "
            f"`tracking_uri` in mlflow.yml or in {URI_VARIABLE}, such as sqlite:///mlflow.db."
        ) from error


@contextmanager
def _alone(uri: str) -> Generator[None, None, None]:
    """Let one process at a time make a SQLite store: two that do it together break it."""
    url = sqlalchemy.make_url(uri) if uri.startswith("sqlite:") else None
    if url is None or not url.database or url.database.startswith((":memory:", "file:")):
        yield
        return
    file = Path(url.database).resolve()  # what a link stands for is made, not replaced
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        if not file.exists():
            _make(file, url)
        _check_database(uri)
        yield


def _make(file: Path, url: sqlalchemy.URL) -> None:
    """Make a SQLite store that has its name once it is whole.

    MLflow makes its tables in many steps, and cannot open what was left by a process that ended between two of them, as
    by Ctrl-C in the first seconds. Each attempt has a name of its own: MLflow keeps its connection to one that failed.
    """
    for left in file.parent.glob(f"{glob.escape(file.name)}.new-*"):
        left.unlink()
    new = file.with_name(f"{file.name}.new-{uuid4().hex}")
    there = url.set(database=str(new)).render_as_string(hide_password=False)
    _check_database(there)
    _opened(there)
    new.replace(file)


def _check_database(uri: str) -> None:
    """Fail at once where SQLite cannot: MLflow would try again for minutes."""
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("PRAGMA schema_version")).fetchone()
    finally:
        engine.dispose()
