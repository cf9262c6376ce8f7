"""Configurations that users write."""

from pathlib import Path
from typing import Any

import yaml

from weightflow.errors import InputError, nearest_first


def read_config(path: Path | None) -> dict[str, Any]:
    """Read dotted keys from YAML; an unknown key is refused later, by the options themselves."""
    from weightflow.experiment import flat_keys

    if path is None:
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"`--config {path}` cannot be read as YAML ({' '.join(str(error).split())}); mend it."
        ) from None
    if not isinstance(values, dict):
        raise InputError(f"`--config {path}` must hold keys such as `dynamics.hidden: 64`, not {values!r}.")
    for key in values:
        if key not in flat_keys():
            raise InputError(f"`--config {path}` holds `{key}`, which is not known; {nearest_first(key, flat_keys())}.")
    return values
