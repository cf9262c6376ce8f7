"""The run of the search itself."""

import getpass
import sys
from pathlib import Path

from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import (
    MLFLOW_GIT_COMMIT,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)

from weightflow.tracking import views
from weightflow.tracking.datasets import log_datasets
from weightflow.tracking.facts import GIT_COMMIT, UNKNOWN, RunFacts
from weightflow.tracking.lookup import SEARCH_ID
from weightflow.tracking.stored_run import StoredRun, shorten
from weightflow.trials import TrialState


def common_tags(search_id: str, facts: RunFacts) -> dict[str, str]:
    """Return what each run of a search is tagged with, so that any of them stands alone."""
    tags = {
        SEARCH_ID: search_id,
        "search": facts.name,
        "data": facts.data_name,
        "data_hash": facts.data_hash,
        "protocol": facts.protocol,
        "seed": str(facts.seed),
        "space": facts.space_digest,
        **facts.facts,
        MLFLOW_SOURCE_NAME: Path(sys.argv[0]).name,
        MLFLOW_SOURCE_TYPE: "LOCAL",
        MLFLOW_USER: _user(),
    }
    commit = facts.facts.get(GIT_COMMIT, "").split(" ")[0]
    return tags | ({MLFLOW_GIT_COMMIT: commit} if len(commit) == 40 else {})


def create_parent(
    client: MlflowClient, experiment: str, search_id: str, facts: RunFacts, began: int | None
) -> StoredRun:
    """Make the run, or none if its files cannot be stored; `began` is in milliseconds, or now."""
    own = {MLFLOW_RUN_NOTE: shorten(facts.description), "state": TrialState.RUNNING.value}
    own[views.ROLE] = views.SEARCH if facts.space_digest else views.SCORED
    tags = {**common_tags(search_id, facts), **own}
    run = StoredRun(client, client.create_run(experiment, began, tags, facts.name))
    try:
        describe(client, run, facts)
    except Exception:
        client.delete_run(run.id)
        raise
    return run


def describe(client: MlflowClient, run: StoredRun, facts: RunFacts) -> None:
    """Write what is known before the first trial; a process that was killed may not have come to it."""
    known = {
        "data": facts.data_name,
        "data_hash": facts.data_hash,
        "protocol": facts.protocol,
        "seed": facts.seed,
        "space": facts.space_digest,
        **facts.options,
    }
    run.write(params=known)
    log_datasets(client, run.id, facts.parts)
    # Files are first wanted when hours of search are over; this one shows now whether they can be stored.
    client.log_dict(run.id, {"name": facts.name, **known, **facts.facts}, "search.json")


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # in a container, nobody may have a name
        return UNKNOWN
