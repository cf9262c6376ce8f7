"""Print the tracking URI that `mlflow.yml` names, for `make ui`: `python -m weightflow.tracking [mlflow.yml]`."""

import sys
from pathlib import Path

from weightflow.errors import InputError
from weightflow.tracking.config import TrackingConfig


def main(arguments: list[str]) -> int:
    """Print the URI; returns the exit code."""
    try:
        config = TrackingConfig.read(Path(arguments[0] if arguments else "mlflow.yml"))
        if config.on_server:
            raise InputError(f"the runs are on {config.shown_uri}, which has a UI of its own; open it in a browser.")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(config.tracking_uri)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
