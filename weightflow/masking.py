"""Passwords in texts that people, logs and tags get to see."""

import os
import re

MASK = "***"
SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
# `scheme://` and all up to the last `@` of the word: a password may itself hold `/` and `@`
_ACCOUNT = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)://(?P<account>[^\s'\"`<>]*)@")
_QUERY = re.compile(
    r"(?P<key>[?&;][\w.-]*(?:password|passwd|pwd|passphrase|token|secret|signature|credential|api_?key|access_?key)[\w.-]*=)"
    r"[^&#;\s'\"`<>]*",
    re.IGNORECASE,
)
# in the addresses of these, who stands alone before the `@` is a user; elsewhere it may be a token
_DATABASES = re.compile(r"(?:postgres|mysql|mariadb|mssql|oracle|cockroach)", re.IGNORECASE)


def hide_password(text: str) -> str:
    """Mask passwords and tokens in the URIs of `text`, and those of this process's tracking settings anywhere in it."""
    for secret in (os.environ.get(variable, "") for variable in SECRET_VARIABLES):
        text = text.replace(secret, MASK) if len(secret) > 3 else text
    return _QUERY.sub(rf"\g<key>{MASK}", _ACCOUNT.sub(_masked, text))


def without_account(address: str) -> str:
    """Return an address that a browser can open: without the account in it, since one with a mask is refused."""
    return hide_password(_ACCOUNT.sub(r"\g<scheme>://", address))


def _masked(found: re.Match[str]) -> str:
    scheme, account = found["scheme"], found["account"]
    if scheme.startswith(("sqlite", "file")):  # the names of files know no accounts
        return found[0]
    user, colon, _ = account.partition(":")
    if colon and "/" not in user:
        return f"{scheme}://{user}:{MASK}@"
    plain_user = not colon and _DATABASES.match(scheme) and re.fullmatch(r"[\w.%-]+", account)
    return f"{scheme}://{account if plain_user else MASK}@"
