"""A content-addressed store of arrays on disk.

The key is a hash of everything that the arrays depend on; a changed input is another file, never a stale hit. Files
are written under a temporary name and moved into place, so that a reader sees a whole file or none.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from filelock import FileLock
from safetensors import SafetensorError

from weightflow.files import Arrays, read_arrays, write_arrays

FORMAT_VERSION = 8


@runtime_checkable
class Cache(Protocol):
    """Whoever keeps arrays by what they depend on."""

    def get_or_make(self, purpose: str, depends_on: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """Return the kept arrays, or make and keep them."""
        ...


@dataclass(frozen=True)
class ArrayCache:
    """Arrays by key, in one folder."""

    folder: Path

    def get_or_make(self, purpose: str, depends_on: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """Return the stored arrays, or make and store them; of several processes that ask, the first one makes them."""
        path = self._path(purpose, depends_on)
        if (found := self._read(path)) is not None:  # without the lock, which a reader of a shared folder may not take
            return found
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            found = self._read(path)
            if found is not None:
                return found
            arrays = make()
            write_arrays(path, arrays, depends_on)
            return arrays

    def put(self, purpose: str, depends_on: Mapping[str, Any], arrays: Arrays) -> None:
        """Store arrays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_arrays(self._path(purpose, depends_on), arrays, depends_on)

    def get(self, purpose: str, depends_on: Mapping[str, Any]) -> Arrays | None:
        """Return the stored arrays; None where there are none, or not whole."""
        return self._read(self._path(purpose, depends_on))

    def _path(self, purpose: str, depends_on: Mapping[str, Any]) -> Path:
        return self.folder / f"{key(purpose, depends_on)}.safetensors"

    def _read(self, path: Path) -> Arrays | None:
        try:
            return read_arrays(path)[0] if path.is_file() else None
        except SafetensorError:  # a damaged file is no error: it is made again and replaced
            return None


def key(purpose: str, depends_on: Mapping[str, Any]) -> str:
    """Return what tells these arrays from others."""
    text = json.dumps({"format": FORMAT_VERSION, **depends_on}, sort_keys=True)
    return f"{purpose}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
