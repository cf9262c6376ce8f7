"""Show the runs in MLflow's UI, for `make ui`: `python -m weightflow.tracking [--mlflow FILE] [--port N] ...`."""

import argparse
import sys
from pathlib import Path

from weightflow.errors import InputError
from weightflow.streams import outlive_readers
from weightflow.tracking.config import TrackingConfig
from weightflow.tracking.ui import show


def main(arguments: list[str]) -> int:
    """Read the command line and show the runs; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m weightflow.tracking", description="Show runs in MLflow's UI.")
    parser.add_argument("--mlflow", type=Path, default=Path("mlflow.yml"), help="where runs are tracked")
    parser.add_argument("--port", type=int, default=5000, help="of this machine, where runs are on no server")
    parser.add_argument("--no-browser", action="store_true", help="only print the addresses")
    asked = parser.parse_args(arguments)
    try:
        return show(TrackingConfig.read(asked.mlflow), asked.port, not asked.no_browser)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    outlive_readers()
    sys.exit(main(sys.argv[1:]))
