"""Where runs are kept: `mlflow.yml`."""

import os
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import StringConstraints

from weightflow.errors import InputError
from weightflow.masking import hide_password, without_account
from weightflow.types import Options

URI_VARIABLE = "MLFLOW_TRACKING_URI"
_SQLITE = "sqlite:///"

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class TrackingConfig(Options):
    """Where runs are kept, and under which names.

    Attributes:
        tracking_uri: the store of runs: a database (`sqlite:///FILE`, `postgresql://...`) or a server (`http://...`).
        artifact_root: folder or URI for files. A server keeps files itself, so that a folder counts only without one.
        experiment: the experiment that holds the runs.
        registered_model: name in the model registry; `{data}` stands for the name of the data set.
    """

    tracking_uri: Text = f"{_SQLITE}mlflow.db"
    artifact_root: Text = "mlartifacts"
    experiment: Text = "weightflow"
    registered_model: Text = "weightflow-{data}"

    @classmethod
    def read(cls, path: Path, folder: Path | None = None, of_environment: bool = True) -> "TrackingConfig":
        """Read `mlflow.yml`; relative paths in it start at its own folder, and MLFLOW_TRACKING_URI wins over it.

        Args:
            path: of the file.
            folder: where relative paths start instead.
            of_environment: whether the variable counts.

        Raises:
            InputError: the file is missing or malformed, or a key is unknown.
        """
        config, folder = cls.parse(_load(path), str(path)), folder or path.resolve().parent
        given = os.environ.get(URI_VARIABLE, "").strip() if of_environment else ""
        uri = _absolute_database(given, Path.cwd()) if given else _absolute_database(config.tracking_uri, folder)
        return config.model_copy(update={"tracking_uri": uri, "artifact_root": _absolute(config.artifact_root, folder)})

    @property
    def on_server(self) -> bool:
        """Whether a server keeps the runs."""
        return urlsplit(self.tracking_uri).scheme in {"http", "https"}

    @property
    def artifact_location(self) -> str | None:
        """Where a new experiment keeps its files; None leaves it to the server."""
        return None if self.on_server and self.artifact_root.startswith("file:") else self.artifact_root

    @property
    def shown_uri(self) -> str:
        """The tracking URI without a password, for people to read."""
        return hide_password(self.tracking_uri)

    @property
    def page(self) -> str:
        """Where a server shows the runs, for links that are opened: the browser asks for the account itself."""
        return without_account(self.tracking_uri)

    def model_name(self, data_name: str) -> str:
        """Return the registered model's name for a data set; MLflow allows neither slash nor colon in it."""
        return re.sub(r"[/:]", "-", self.registered_model.replace("{data}", data_name))


def _load(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"`{path}` cannot be read ({error.strerror}); give a file such as the mlflow.yml of the checkout."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"`{path}` is not YAML: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        known = ", ".join(TrackingConfig.model_fields)
        raise InputError(
            f"`{path}` must hold lines of the form `key: value`, but holds {values!r}; known keys: {known}."
        )
    return {str(key): value for key, value in values.items()}


def _absolute_database(uri: str, folder: Path) -> str:
    file = uri.removeprefix(_SQLITE)
    if file == uri or not file or file.startswith((":memory:", "file:")):
        return uri
    return f"{_SQLITE}{folder / file}"


def _absolute(root: str, folder: Path) -> str:
    return root if urlsplit(root).scheme else (folder / root).as_uri()
