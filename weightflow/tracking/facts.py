"""What a run depends on, beside its parameters."""

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from weightflow.version import VERSION

GIT_COMMIT = "git_commit"
COMMIT_VARIABLE = "WEIGHTFLOW_GIT_COMMIT"  # by which a tree that was sent to a cluster without git says what it is
DIRTY = " + uncommitted changes"
UNKNOWN = "unknown"
_PACKAGES = ("torch", "ray", "optuna", "mlflow")


@dataclass(frozen=True)
class DataPart:
    """A part of the data, as MLflow's datasets have it.

    Attributes:
        context: what it is for: fit, held out, or test.
        name: of the data set.
        digest: of the part's snapshots.
        species: names, with counts or continuous as their kinds.
        times: of the snapshots, in words.
        samples: of all times together.
        source: the file, or the built-in system, that it was taken from.
    """

    context: str
    name: str
    digest: str
    species: Mapping[str, str]
    times: str
    samples: int
    source: str


@dataclass(frozen=True)
class RunFacts:
    """What is known of a search before its first trial.

    Attributes:
        name: of the search.
        data_name: of the data set.
        data_hash: digest of the data.
        protocol: what is held out.
        seed: the one that the user gave.
        space_digest: digest of the search space.
        facts: further facts by name, such as versions.
        description: a few sentences, shown on top of the run.
        options: all that was asked for, by name, as text.
        parts: of the data.
    """

    name: str
    data_name: str
    data_hash: str
    protocol: str
    seed: int
    space_digest: str
    facts: dict[str, str]
    description: str
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    parts: tuple[DataPart, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "RunFacts":
        """Return what `dataclasses.asdict` has made plain values of; what an older version did not know is empty."""
        known: dict[str, Any] = {**values, "parts": tuple(DataPart(**part) for part in values.get("parts", ()))}
        return cls(**known)


def environment_facts() -> dict[str, str]:
    """Return the versions of what computes, and the git commit of this package's source."""
    return {
        "python": platform.python_version(),
        "weightflow": VERSION,
        **{package: _version(package) for package in _PACKAGES},
        GIT_COMMIT: git_commit(Path(__file__).parent),
    }


def git_commit(package: Path) -> str:
    """Return the commit of the checkout that `package` belongs to; one that merely surrounds it does not count.

    Where there is no checkout, as in a job of a cluster, it is what the environment says.
    """
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return os.environ.get(COMMIT_VARIABLE, UNKNOWN)
    commit = _git(package, "rev-parse", "HEAD")
    changes = _git(package, "status", "--porcelain", "--", ".")
    if commit is None or changes is None:
        return UNKNOWN
    return commit + (DIRTY if changes else "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
