"""The folder of a Ray that a search has started, which goes with the search: at its end, or else with the next one."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from filelock import FileLock

PREFIX = "wf-"
LOCK, MARK = "lock", "locked"  # a folder has the mark once its lock is held: the lock alone may be about to be


@contextmanager
def private_folder(above: str) -> Generator[str, None, None]:
    """Give Ray a folder in one that nobody else may enter: Ray itself opens its folder to everybody.

    Where the process is killed the folder stays, a hundred MiB at times. So those of killed ones go first.
    """
    _clear(Path(above))
    with TemporaryDirectory(prefix=PREFIX, dir=above, ignore_cleanup_errors=True) as folder:  # its mode is 0700
        lock = FileLock(Path(folder, LOCK))
        with suppress(OSError):  # the disk is full, or knows no locks: a folder without the mark is left alone
            lock.acquire(timeout=0)
            Path(folder, MARK).touch()
        try:
            yield str(Path(folder, "r"))
        finally:
            lock.release()


def _clear(above: Path) -> None:
    """Remove the folders of processes of this user that are gone, with all that they started."""
    for mark in above.glob(f"{PREFIX}*/{MARK}"):
        folder = mark.parent
        with suppress(OSError):  # somebody has the lock (`Timeout` is one), or cleared the folder meanwhile
            if folder.stat().st_uid != os.geteuid():
                continue
            with FileLock(folder / LOCK, timeout=0):
                if not _is_used(str(folder)):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_used(folder: str) -> bool:
    """Whether any process names the folder in its command, as all that belong to a Ray do."""
    commands = (process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"]))
    return any(folder in word for words in commands for word in words)
