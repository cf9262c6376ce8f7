"""Files in an object store, named by a URI such as `s3://bucket/folder`, through the file systems of pyarrow.

Credentials and endpoint come from where the store's own tools find them (environment, profile, the machine's role): a
URI is printed and recorded, so that one with a password in it is refused. A public bucket of Google's needs none of
them, and is `gs://anonymous@BUCKET`.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from weightflow.errors import InputError, first_line

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

SCHEMES = ("s3", "gs")
ANONYMOUS = "anonymous@"
PATIENCE = "retry_limit_seconds"  # an option of Google's URIs
SECONDS = 30  # by default a store that does not answer is asked for 15 minutes
URI = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_uri(place: object) -> bool:
    """Whether it names a place in a store, and not a file or folder of this machine."""
    return URI.match(str(place)) is not None


def was_uri(path: Path) -> bool:
    """Whether a path was made of a URI, of which it has kept one slash."""
    return re.match(r"[a-z][a-z0-9+.-]+:/", str(path), re.IGNORECASE) is not None  # a drive has one letter


def check_uri(uri: str) -> None:
    """Check that a URI is one of a store, and may be printed and recorded.

    Raises:
        InputError: it is not.
    """
    parts = urlsplit(uri)
    if "@" in parts.netloc.removeprefix(ANONYMOUS if parts.scheme == "gs" else ""):
        raise InputError(
            f"`{parts.scheme}://...@{parts.netloc.rsplit('@', 1)[1]}` holds a name or a password, and would be "
            "printed and recorded; put them into the environment, or a profile, of the store's own tools."
        )
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise InputError(f"`{uri}` cannot be used; write {' or '.join(f'{s}://BUCKET/PATH' for s in SCHEMES)}.")


def below(uri: str, name: str) -> str:
    """Return the URI of what lies below another; its options, as in `?region=..`, stay with it."""
    head, mark, options = uri.partition("?")
    return f"{head.rstrip('/')}/{name}{mark}{options}"


def parted(uri: str) -> tuple[str, str]:
    """Return what `below` made a URI of."""
    head, mark, options = uri.partition("?")
    above, _, name = head.rstrip("/").rpartition("/")
    return f"{above}{mark}{options}", name


@dataclass(frozen=True)
class Place:
    """A folder or a file in a store.

    Attributes:
        uri: as it was given.
        files: the store.
        path: in the store, the bucket first.
    """

    uri: str
    files: "FileSystem"
    path: str

    @classmethod
    def at(cls, uri: str) -> "Place":
        """Find the store.

        Raises:
            InputError: the URI is none of a store that can be used, holds a password, or leads nowhere.
        """
        check_uri(uri)
        try:
            from pyarrow.fs import FileSystem  # most data lie on this machine
        except ModuleNotFoundError:
            raise InputError(
                f"`{uri}` is reached by pyarrow, which is missing: pip install 'weightflow[tables]'."
            ) from None
        for setting in ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"):
            os.environ.setdefault(setting, "when_required")  # stores other than Amazon's refuse what it adds by default
        with reaching(uri):
            files, path = FileSystem.from_uri(_impatient(uri))
        return cls(uri, files, path.rstrip("/"))

    def __truediv__(self, name: str) -> "Place":
        """Return what lies below."""
        return Place(below(self.uri, name), self.files, f"{self.path}/{name}")

    def listed(self) -> dict[str, int]:
        """Return the size of each file below, by its path from here; of none where there is no such folder."""
        from pyarrow.fs import FileSelector

        with reaching(self.uri):
            found = self.files.get_file_info(FileSelector(self.path, recursive=True, allow_not_found=True))
        return {str(PurePosixPath(info.path).relative_to(self.path)): info.size for info in found if info.is_file}

    def bring(self, target: Path) -> bool:
        """Write the file's content to `target`; tell whether there is such a file."""
        with reaching(self.uri):
            if not self.files.get_file_info(self.path).is_file:
                return False
            with self.files.open_input_stream(self.path, compression=None) as stream, target.open("wb") as file:
                shutil.copyfileobj(stream, file)
        return True

    def send(self, source: Path) -> None:
        """Make what `source` holds now the file's content; until all of it is there, the store has what was before."""
        with (
            source.open("rb") as file,
            reaching(self.uri),
            self.files.open_output_stream(self.path, compression=None) as stream,
        ):
            shutil.copyfileobj(file, stream)


@contextmanager
def reaching(uri: str) -> Generator[None, None, None]:
    """Say what went wrong on the way to a store, in one line.

    Raises:
        InputError: something did.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these kinds
        raise InputError(f"`{uri}` cannot be used: {_in_words(error)}") from None


def _impatient(uri: str) -> str:
    if urlsplit(uri).scheme != "gs" or PATIENCE in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{PATIENCE}={SECONDS}"


def _in_words(error: Exception) -> str:
    """Return what an error says; of what Google's says, not all that it repeats."""
    text = first_line(error)
    if "OAuth2 access token" in text:
        return (
            "no credentials of Google's were found; `gcloud auth application-default login` or "
            "GOOGLE_APPLICATION_CREDENTIALS gives some, and `gs://anonymous@BUCKET` is a bucket that needs none"
        )
    return text.partition(" error_info=")[0]


@contextmanager
def fetched(uri: str) -> Generator[Path, None, None]:
    """Hand out a copy of a file for the time of a block, under the file's own name.

    Raises:
        InputError: there is no such file, or the store cannot be used.
    """
    place = Place.at(uri)
    with tempfile.TemporaryDirectory(prefix="weightflow-") as folder:
        copy = Path(folder, PurePosixPath(place.path).name)
        if not place.bring(copy):
            raise InputError(f"`{uri}` is no file of that store; check bucket and path.")
        yield copy
