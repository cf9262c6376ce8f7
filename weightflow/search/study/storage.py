"""The file of a search: Optuna's journal, of which this process may be the only writer.

Optuna appends each change to the file, flushes it to the disk and reads it back. That costs an `fsync` and a few reads
for each of several lines that belong together. A journal that is claimed writes such lines at once, and hands back from
memory what it has written; the lines are those that Optuna would write.
"""

import json
import sys
import warnings
from collections import deque
from collections.abc import Callable, Container, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from weightflow.errors import InputError, first_line

BEGINS = {0: "study_id", 4: "trial_id"}  # operations of Optuna's journal that begin what others then speak of by number
QUEUED = (TrialState.WAITING,)
Seen = Callable[[], Iterable[FrozenTrial]]


class _NoLock(JournalFileOpenLock):
    """The process has the whole folder for itself; a lock in a file would outlive a killed process."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class Journal(JournalFileBackend):
    """Knows which line is being read, and reads none of what no line before it has begun.

    Optuna passes over lines on what it does not know: without the line that began a trial, those of the next one would
    be taken for its own.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _NoLock(str(path)))
        self.line = 0
        self._begun = dict.fromkeys(BEGINS.values(), 0)
        self._held: list[dict[str, Any]] | None = None
        self._fresh: deque[dict[str, Any]] | None = None  # of the only writer: what Optuna has not yet read back
        self._first = 0  # number of the first of them

    def claim(self) -> None:
        """Be the only writer from here on; all that was written is read."""
        self._fresh, self._first = deque(), self.line - 1

    @contextmanager
    def together(self) -> Generator[None, None, None]:
        """Write what is appended in a `with` block at its end, and flush it once."""
        if self._held is not None:
            yield
            return
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            if held:
                super().append_logs(held)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines now, or at the end of the block."""
        if self._held is None:
            super().append_logs(logs)
        else:
            self._held += logs
        if self._fresh is not None:
            self._fresh.extend(_as_read(log) for log in logs)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the lines from a number on: of the file, or of those that were written here."""
        if self._fresh is None:
            yield from self._read_file(log_number_from)
            return
        while self._fresh and self._first < log_number_from:
            self._fresh.popleft()
            self._first += 1
        yield from tuple(self._fresh)

    def _read_file(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        logs = super().read_logs(log_number_from)
        self.line = log_number_from
        while True:
            self.line += 1
            log = next(logs, None)
            if log is None:
                return
            if not isinstance(log, dict):
                raise ValueError("it is no JSON object")
            for what, begun in self._begun.items():
                if log.get(what, -1) >= begun:
                    raise ValueError(f"it speaks of {what[:5]} {log[what]}, and the line that began it is missing")
            if (begins := BEGINS.get(log["op_code"])) is not None:
                self._begun[begins] += 1
            yield log


def _as_read(log: dict[str, Any]) -> dict[str, Any]:
    """Return a line as it would be read; thousands of trials then share the names of what they reported."""
    return json.loads(json.dumps(log), object_pairs_hook=_named)


def _named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {sys.intern(name): value for name, value in pairs}


class Storage(JournalStorage):
    """Optuna's storage in a journal, which can show its reader a part of the trials."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._seen: Seen | None = None
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            super().__init__(journal)

    @contextmanager
    def showing(self, seen: Seen | None) -> Generator[None, None, None]:
        """Let whoever asks for all trials in a `with` block see these alone; None: all of them."""
        self._seen = seen
        try:
            yield
        finally:
            self._seen = None

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials that are shown; none is ever queued, for which Optuna looks whenever it is asked."""
        if states == QUEUED:
            return []
        if self._seen is None:
            return super().get_all_trials(study_id, deepcopy, states)
        return [trial for trial in self._seen() if states is None or trial.state in states]


def open_storage(path: Path) -> Storage:
    """Read a file.

    Raises:
        InputError: a line is damaged, as a disk or an editor may have left it; the message says how to go on.
    """
    journal = Journal(path)
    try:
        lines = path.read_bytes().count(b"\n")  # before they are read: a search that runs goes on appending
        storage = Storage(journal)
        if journal.line <= lines:
            raise ValueError("it is no JSON")  # of the last line, which Optuna takes for one that is being written
    except OSError:
        raise
    except Exception as error:  # whatever Optuna makes of a line that it cannot have written
        before = journal.line - 1
        raise InputError(
            f"line {journal.line} of `{path}` is damaged ({first_line(error)}). Copy the file, so that nothing is "
            f"lost; then mend or delete that line, or keep those before it (`head -n {before}`), and go on with "
            f"`--resume {path.parent.name}`."
        ) from None
    return storage


def mend(path: Path) -> None:
    """Cut off a last line that a full disk or a killed process has left unfinished."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
