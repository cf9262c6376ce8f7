"""Output that never ends the work: what a closed pipe (`| head`) or terminal no longer takes is dropped.

What its encoding has no letter for, as ASCII has none for much of what is printed, is written as an escape.
"""

import errno
import io
import os
import sys
from typing import Any, TextIO

CLOSED = {errno.EPIPE, errno.EIO}


def outlive_readers() -> None:
    """Let the work go on when nobody reads what the process prints, or it cannot be encoded.

    A stream that something else has taken the place of is left alone.
    """
    if sys.stdout is sys.__stdout__ is not None:
        sys.stdout = _lasting(sys.stdout)
    if sys.stderr is sys.__stderr__ is not None:
        sys.stderr = _lasting(sys.stderr)


class _Lasting(io.FileIO):
    """A file descriptor that turns to nowhere once its other end is gone."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in CLOSED:
                raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        return len(data)


def _lasting(stream: TextIO) -> TextIO:
    stream.flush()
    raw = _Lasting(stream.fileno(), "w", closefd=False)
    unbuffered = isinstance(stream, io.TextIOWrapper) and stream.write_through  # as PYTHONUNBUFFERED asks
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=bool(stream.line_buffering),
        write_through=unbuffered,
    )
