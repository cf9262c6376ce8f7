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

from weightflow.tracking.facts import GIT_COMMIT, UNKNOWN, RunFacts
from weightflow.tracking.trial_run import as_params, shorten
from weightflow.trials import TrialState


def common_tags(facts: RunFacts) -> dict[str, str]:
    """Return what each run of a search is tagged with, so that any of them stands alone."""
    tags = {
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


def create_parent(client: MlflowClient, experiment: str, facts: RunFacts) -> str:
    """Make the run, and return its id."""
    tags = {**common_tags(facts), MLFLOW_RUN_NOTE: shorten(facts.description), "state": TrialState.RUNNING.value}
    run_id = client.create_run(experiment, tags=tags, run_name=facts.name).info.run_id
    known = {
        "data": facts.data_name,
        "data_hash": facts.data_hash,
        "protocol": facts.protocol,
        "seed": facts.seed,
        "space": facts.space_digest,
    }
    try:
        client.log_batch(run_id, params=as_params(known))
        # Files are first wanted when hours of search are over; this one shows now whether they can be stored.
        client.log_dict(run_id, {"name": facts.name, **known, **facts.facts}, "search.json")
    except Exception:
        client.delete_run(run_id)
        raise
    return run_id


def reopen_parent(client: MlflowClient, run_id: str) -> str:
    """Let the run go on, and return the id of its experiment."""
    experiment = client.get_run(run_id).info.experiment_id
    client.update_run(run_id, status="RUNNING")
    client.set_tag(run_id, "state", TrialState.RUNNING.value)
    return experiment


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # in a container, nobody may have a name
        return UNKNOWN
