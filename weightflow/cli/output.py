"""Files that commands write: whole, or not at all."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from weightflow.errors import InputError


@contextmanager
def npy_file(path: Path, *suffixes: str) -> Generator[IO[bytes], None, None]:
    """Open a file that takes the place of `path` only once it is whole; missing folders are made.

    Entered before the work starts, it says at once when the result could not be written.

    Args:
        path: of the file.
        suffixes: in which its name may end; .npy by default.

    Raises:
        InputError: `path` ends in something else, or cannot be written.
    """
    allowed = suffixes or (".npy",)
    if path.suffix.lower() not in allowed:
        kinds = " or ".join(allowed)
        raise InputError(f"`--out {path}` is written as arrays; give a name that ends in {kinds}.")
    if path.is_dir():
        raise InputError(f"`--out {path}` is a folder; give the name of a file in it.")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            yield file
        draft.replace(path)
    except OSError as error:
        raise InputError(f"`--out {path}` cannot be written ({error.strerror}); choose another place.") from error
    finally:
        # Where the parent is no folder there is no draft either, and asking for it would fail.
        if draft.parent.is_dir():
            draft.unlink(missing_ok=True)
