"""The link to MLflow, which may be cut."""

import sys
from collections.abc import Callable
from typing import TypeVar

from weightflow.tracking.config import hide_password

T = TypeVar("T")


class Link:
    """The one place where MLflow may fail without taking the search with it.

    Attributes:
        broken: whether the last attempt failed.
        problem: what was wrong with it.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.broken = False
        self.problem = ""
        self._warned = False

    def attempt(self, job: Callable[[], T]) -> T | None:
        """Return what `job` returns, or None if it failed; the first failure is told on stderr."""
        try:
            done = job()
        # MLflow hands on whatever the client of its store raises (requests, SQLAlchemy, boto3, ...): no list is whole.
        except Exception as error:
            self.broken, self.problem = True, first_line(error)
            self._warn()
            return None
        self.broken = False
        return done

    def _warn(self) -> None:
        if self._warned:
            return
        self._warned = True
        print(
            f"warning: MLflow at {self.uri} cannot be written to ({self.problem}). The search goes on without it; what "
            "is missing there will be written if it answers again, and results on disk are not touched.",
            file=sys.stderr,
        )


def first_line(error: Exception, limit: int = 300) -> str:
    """Return what is wrong in one line, without passwords."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = hide_password(lines[0])
    return line if len(line) <= limit else line[:limit] + "..."
