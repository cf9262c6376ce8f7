"""The results of a search as text, so that a job's log can carry them from a cluster.

The machine that submits a job and the head of the cluster need not share a file system; the log is what always comes
back. `pack` and `unpack` are a pair. On the head: `python -m weightflow.search.jobs.bundle DIR`.
"""

import base64
import hashlib
import io
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from weightflow.errors import InputError
from weightflow.search.folder import CONDITIONS, MODEL, REPORT, SCORES
from weightflow.search.home import found

RESULTS = (MODEL, SCORES, CONDITIONS, REPORT)
"""What is brought back; the trials stay where they are."""

_BEGIN = "-----BEGIN WEIGHTFLOW RESULTS sha256={digest}-----"
_END = "-----END WEIGHTFLOW RESULTS-----"
_BUNDLE = re.compile(
    _BEGIN.format(digest="(?P<digest>[0-9a-f]{64})") + r"\s(?P<text>[A-Za-z0-9+/=\s]*)" + re.escape(_END)
)


def pack(folder: Path) -> str:
    """Return the results in `folder` as text.

    Raises:
        InputError: `folder` holds none of `RESULTS`.
    """
    present = [name for name in RESULTS if (folder / name).exists()]
    if not present:
        raise InputError(f"{folder} holds none of {', '.join(RESULTS)}; give the folder of a search that has finished.")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in present:
            archive.add(folder / name, arcname=name)
    encoded = base64.encodebytes(buffer.getvalue()).decode()
    return f"{_BEGIN.format(digest=_digest(encoded))}\n{encoded}{_END}\n"


def unpack(text: str, folder: Path) -> None:
    """Write the results that `text` carries to `folder`, whole or not at all.

    An earlier copy of the same results is replaced.

    Raises:
        InputError: `text` carries no results, or they were cut or changed on the way, or `folder` holds something else.
    """
    content = _content(text)
    refuse_to_replace(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        fresh, stale = Path(scratch, "fresh"), Path(scratch, "stale")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            archive.extractall(fresh, filter="data")
        if folder.exists():
            folder.rename(stale)
        fresh.rename(folder)
        shutil.rmtree(stale, ignore_errors=True)


def refuse_to_replace(folder: Path) -> None:
    """Check that results may be written to `folder`.

    Raises:
        InputError: `folder` holds more than such results, for example a search that ran on this machine.
    """
    others = sorted({path.name for path in folder.iterdir()} - set(RESULTS)) if folder.is_dir() else []
    if others:
        raise InputError(
            f"{folder} holds more than results that were brought back ({', '.join(others[:3])}); "
            "move it, or choose another name."
        )


def _content(text: str) -> bytes:
    found = _BUNDLE.search(text)
    if found is None:
        raise InputError(f"the log carries no whole results; its last lines are:\n{_tail(text)}")
    digest = _digest(found["text"])
    if digest != found["digest"]:
        raise InputError(
            f"the results were changed on the way: their sha256 is {digest[:12]}..., not {found['digest'][:12]}...; "
            "fetch them again."
        )
    return base64.b64decode(found["text"])


def _digest(encoded: str) -> str:
    return hashlib.sha256("".join(encoded.split()).encode()).hexdigest()


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-5:])


def tell(module: str, of: Callable[[Path], str], arguments: list[str]) -> int:
    """Print what is known of the one folder or URI given, as modules do that run on the head; returns the exit code."""
    if len(arguments) != 1:
        print(f"give one folder: python -m {module} DIR", file=sys.stderr)
        return 2
    try:
        print(of(found(arguments[0])), end="")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(tell("weightflow.search.jobs.bundle", pack, sys.argv[1:]))
