"""Settings for tracking on their way to a cluster, where nobody can read them: encrypted with the cluster's own token.

A job's environment and command are shown by Ray's dashboard and written into its logs, and the working tree lies on the
disk of each node. The sealed file lies there too, and opens with the token alone, which the driver has as well.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken

from weightflow.errors import InputError
from weightflow.search.cluster.auth import find_token, token_path

FILE = "tracking.sealed"
URI = "MLFLOW_TRACKING_URI"
GROUPS = ("MLFLOW_TRACKING_", "MLFLOW_S3_")  # of variables; those that name a file of this machine stay here
_SALT = b"weightflow: settings for tracking\n"


def settings_to_send(mlflow_uri: str | None, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of this machine that say where runs are tracked, and as whom.

    Args:
        mlflow_uri: what the settings file names, with its password; it counts where the environment names no store
            that other machines can reach. None: the file lies on the cluster.
        environment: of this process by default.
    """
    known = os.environ if environment is None else environment
    chosen = {
        name: value
        for name, value in known.items()
        if name.startswith(GROUPS) and not name.endswith("_PATH") and value.strip()
    }
    if URI in chosen and is_of_this_machine(chosen[URI]):
        del chosen[URI]
    if URI not in chosen and mlflow_uri is not None and not is_of_this_machine(mlflow_uri):
        chosen[URI] = mlflow_uri
    return chosen


def is_of_this_machine(uri: str) -> bool:
    """Tell whether a store is a file or a folder, which other machines do not have."""
    scheme = urlsplit(uri.strip()).scheme.split("+")[0]
    return scheme in {"file", "sqlite"} or (not scheme and not uri.startswith("databricks"))


def seal(settings: Mapping[str, str], token: str) -> bytes:
    """Return settings as text that opens with the token alone."""
    return _lock(token).encrypt(json.dumps(dict(settings)).encode())


def unseal(sealed: bytes, token: str) -> dict[str, str]:
    """Return what was sealed.

    Raises:
        InvalidToken: the token is another one, or the text was changed.
    """
    return json.loads(_lock(token).decrypt(sealed))


def take_up(folder: Path) -> None:
    """Make what was sealed into a file of `folder` the environment of this process; nothing where there is no file.

    Raises:
        InputError: it cannot be opened with the token of this machine.
    """
    file, token = folder / FILE, find_token()
    if not file.is_file():
        return
    try:
        os.environ.update(unseal(file.read_bytes(), token or ""))
    except InvalidToken:
        raise InputError(
            f"the settings for tracking that were sent with this search cannot be opened: the token here "
            f"({token_path()}) is {'not the one that they were sealed with' if token else 'missing'}; give the head "
            "and the machine that submits the same one."
        ) from None


def _lock(token: str) -> Fernet:
    """Make a key of a token, which has far more bits of chance than could be tried."""
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(_SALT + token.encode()).digest()))
