"""The token that a Ray cluster asks of everybody: where it lies, and that nobody else can read it."""

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

MODE = "RAY_AUTH_MODE"
TOKEN, PLACE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"  # where Ray looks, in this order, before its own file
PRIVATE = 0o600
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def token_path() -> Path:
    """Return the file in which Ray looks for a token that the environment does not hold."""
    return Path(os.environ.get(PLACE) or Path.home() / ".ray" / "auth_token")


def find_token() -> str | None:
    """Return the token of this machine, as Ray would find it; None where there is none."""
    if given := os.environ.get(TOKEN, "").strip():
        return given
    try:
        return token_path().read_text().strip() or None
    except OSError:
        return None


def keep_token() -> bool:
    """Make a token where there is none, before Ray makes one that everybody can read, and close one that is open.

    Returns:
        whether others could read the token until now.
    """
    if os.environ.get(MODE, "").lower() != "token" or os.environ.get(TOKEN, "").strip():
        return False
    path = token_path()
    _make(path)
    with suppress(OSError):  # there is none that we may touch: Ray will say what it needs
        if path.stat().st_mode & OTHERS:
            path.chmod(PRIVATE)
            return True
    return False


def _make(path: Path) -> None:
    """Write a new token; where two processes do, or there is one, the first one counts."""
    if path.exists():
        return
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:  # its mode is 0600
            draft.write(secrets.token_hex(32))
            draft.flush()
            os.link(draft.name, path)
