"""Which MLflow run belongs to what, kept with the search so that a resumed one goes on in its own runs."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weightflow.errors import InputError

RUNS_FILE = "mlflow-runs.json"
_FORMAT = 1


@dataclass
class RunIds:
    """The run of a search and, by Ray's name of the trial, those of its trials."""

    parent: str
    trials: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "RunIds | None":
        """Read them, if the search in `folder` has any.

        Raises:
            InputError: the file is damaged.
        """
        path = folder / RUNS_FILE
        if not path.exists():
            return None
        try:
            stored: dict[str, Any] = json.loads(path.read_text())
            return cls(stored["parent"], dict(stored["trials"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"`{path}` cannot be read ({error!r}); remove it to begin new MLflow runs.") from None

    def write(self, folder: Path) -> None:
        """Write them, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{RUNS_FILE}.tmp"
        temporary.write_text(json.dumps({"format": _FORMAT, "parent": self.parent, "trials": self.trials}, indent=2))
        os.replace(temporary, folder / RUNS_FILE)
