"""Files that are there whole or not at all, and without pickle: text, and arrays as safetensors."""

import json
import stat
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

Arrays = dict[str, np.ndarray]


@contextmanager
def whole(path: Path) -> Generator[Path, None, None]:
    """Hand out the path of a draft that takes the place of `path` at the end of the block, unless the block raises.

    The file may be read by whoever the process's umask lets read its files; safetensors would let its user alone.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        draft.touch()
        mode = stat.S_IMODE(draft.stat().st_mode)
        yield draft
        draft.chmod(mode)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with whole(path) as draft:
        draft.write_text(text, encoding="utf-8")


def within(arrays: Mapping[str, np.ndarray], prefix: str) -> Arrays:
    """Return the arrays whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write arrays, and beside them facts that JSON can hold."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with whole(path) as draft:
        save_file(contiguous, draft, metadata={"facts": json.dumps(facts, sort_keys=True)})


def read_arrays(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Read what `write_arrays` has written.

    Raises:
        SafetensorError: the file is damaged.
        OSError: there is no such file.
    """
    with safe_open(path, framework="numpy") as file:
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, json.loads(file.metadata()["facts"])
