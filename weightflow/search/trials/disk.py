"""What is wrong with the disk, in the system's words."""

import errno
import os
import re

from safetensors import SafetensorError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def disk_problem(error: BaseException | None) -> str | None:
    """Return what is wrong with the disk, if that is what has led to an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return os.strerror(error.errno)
        # of safetensors' own error, only the text tells what the system said
        if isinstance(error, SafetensorError) and (code := re.search(r"os error (\d+)", str(error))):
            return os.strerror(int(code[1]))
        error = error.__cause__ or error.__context__
    return None
