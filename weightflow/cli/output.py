"""Files that commands write: whole, or not at all."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from weightflow.errors import InputError


@contextmanager
def whole_file(path: Path, *suffixes: str) -> Generator[Path, None, None]:
    """Hand out a draft that takes the place of `path` only once it is whole; missing folders are made.

    Entered before the work starts, it says at once when the result could not be written. The draft ends as `path`
    does, in small letters: some libraries look at the end, and others add their own where they miss it.

    Args:
        path: of the file.
        suffixes: in which its name may end.

    Raises:
        InputError: `path` ends in something else, or cannot be written.
    """
    if path.suffix.lower() not in suffixes:
        raise InputError(
            f"`--out {path}` ends in {path.suffix or 'nothing'}; give a name that ends in {_or(suffixes)}."
        )
    if path.is_dir():
        raise InputError(f"`--out {path}` is a folder; give the name of a file in it.")
    draft = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix.lower()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.touch()
        yield draft
        draft.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"`--out {path}` cannot be written ({reason}); choose another place.") from error
    finally:
        # Where the parent is no folder there is no draft either, and asking for it would fail.
        if draft.parent.is_dir():
            draft.unlink(missing_ok=True)


@contextmanager
def writable_folder(path: Path) -> Generator[Path, None, None]:
    """Hand out a folder, which is made, once it is sure that files can be written into it.

    Entered before the work starts, it says at once when the result could not be written. Where the work fails, a folder
    that was made for it and is still empty goes again.

    Raises:
        InputError: it cannot be made or written into.
    """
    made = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"`--out {path}` cannot be written ({reason}); choose another folder.") from error
    try:
        yield path
    finally:
        if made and not any(path.iterdir()):
            path.rmdir()


def _or(words: tuple[str, ...]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
