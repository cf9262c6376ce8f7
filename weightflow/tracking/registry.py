"""Versions of the registered model: which model becomes one, and which one is the champion."""

import json
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from weightflow.errors import InputError
from weightflow.evaluation import Scores, clears_bar, replaces
from weightflow.tracking.logged_model import USE

CHAMPION, CHALLENGER = "champion", "challenger"
SCORES = "scores.json"
DATA_HASH = "data_hash"


def registered_version(client: MlflowClient, run_id: str, name: str) -> str | None:
    """Return the version of a registered model that a run has led to, if there is one."""
    found = client.search_model_versions(f"run_id = '{run_id}'", order_by=["version_number DESC"])
    return next((str(version.version) for version in found if version.name == name), None)


def register_model(client: MlflowClient, logged: LoggedModel, name: str, description: str, tags: dict[str, str]) -> str:
    """Make a logged model the next version of a registered one; returns the version."""
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(name, description=USE)
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


def name_alias(client: MlflowClient, name: str, version: str, scores: Scores | None) -> str:
    """Make a version the champion if it deserves that, else the challenger; returns which it is.

    The first champion clears the bar (`clears_bar`). Another one is better than it beyond chance, on the same data and
    the same test part: on others nobody can tell.
    """
    champion = client.get_registered_model(name).aliases.get(CHAMPION)
    if str(champion) == version:
        return CHAMPION
    if scores is None:
        wins = False
    elif champion is None:
        wins = clears_bar(scores)
    else:
        wins = _beaten(
            client, client.get_model_version(name, champion), client.get_model_version(name, version), scores
        )
    alias = CHAMPION if wins else CHALLENGER
    client.set_registered_model_alias(name, alias, version)
    return alias


def _beaten(client: MlflowClient, champion: ModelVersion, version: ModelVersion, scores: Scores) -> bool:
    """Whether a version's scores are better than the champion's beyond chance; whose scores are lost stays."""
    if champion.tags.get(DATA_HASH) != version.tags.get(DATA_HASH) or not champion.run_id:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = client.download_artifacts(champion.run_id, SCORES, folder)
            return replaces(scores, Scores.from_json(Path(file).read_text(encoding="utf-8")))
        except (MlflowException, InputError, FileNotFoundError):
            return False
