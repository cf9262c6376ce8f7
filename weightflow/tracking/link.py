"""The link to MLflow, which may be cut."""

import socket
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from requests import RequestException
from sqlalchemy.exc import OperationalError

from weightflow.masking import hide_password

T = TypeVar("T")


class Link:
    """The one place where MLflow may fail without taking the search with it.

    Args:
        uri: of the store, for people to read.
        search: name of the search, under which what is missing can be sent later.
        aloud: whether the first failure is told on stderr; if not, the caller tells it.

    Attributes:
        broken: whether the last attempt failed.
        problem: what was wrong with it.
        silent: whether that was that nobody answered.
    """

    def __init__(self, uri: str, search: str, aloud: bool) -> None:
        self.uri = uri
        self.search = search
        self.broken = False
        self.problem = ""
        self.silent = False
        self._told = not aloud

    def attempt(self, job: Callable[[], T]) -> T | None:
        """Return what `job` returns, or None if it failed."""
        try:
            done = job()
        # MLflow hands on whatever the client of its store raises (requests, SQLAlchemy, boto3, ...): no list is whole.
        except Exception as error:
            self.broken, self.problem, self.silent = True, in_words(error), unreachable(error)
            self._warn()
            return None
        self.broken = self.silent = False
        return done

    def _warn(self) -> None:
        if self._told:
            return
        self._told = True
        print(
            f"warning: MLflow at {self.uri} cannot be written to: {self.problem}. The search goes on, and results on "
            "disk are not touched; what is missing there is written if that is mended in time, and else by `python -m "
            f"weightflow sync {self.search}`.",
            file=sys.stderr,
        )


def unreachable(error: BaseException) -> bool:
    """Tell whether nobody answered, so that further requests would only take time."""
    return any(isinstance(cause, RequestException | OperationalError) for cause in _causes(error))


def in_words(error: BaseException, limit: int = 300) -> str:
    """Return what is wrong in one line, without passwords."""
    for cause in _causes(error):
        if isinstance(cause, ConnectionError | TimeoutError | socket.gaierror) and cause.strerror:
            return cause.strerror
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = hide_password(lines[0]).rstrip(".")
    return line if len(line) <= limit else line[:limit] + "..."


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
