"""`weightflow sync`."""

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from weightflow.cli.options import Register

_OBJECTS = 50_000  # MLflow makes and drops a million: to look through them every 700 takes a sixth of all the time


def sync(
    name: Annotated[str, typer.Argument(help="Of the search, as in runs/NAME.")],
    out: Annotated[Path, typer.Option(help="Folder of the searches.")] = Path("runs"),
    mlflow: Annotated[Path, typer.Option(help="Where runs are tracked.")] = Path("mlflow.yml"),
    register: Register = False,
) -> None:
    """Send to MLflow what it missed of a search, because it could not be reached; twice does no harm.

    \b
    python -m weightflow sync my-search
    """
    gc.set_threshold(_OBJECTS)
    from weightflow.search.results.sync import sync as send
    from weightflow.tracking import TrackingConfig

    found = send(out.expanduser().resolve() / name, TrackingConfig.read(mlflow), register)
    sys.stdout.write(
        f"{name} is complete in MLflow at {found['tracking_uri']}, experiment {found['experiment']}: {found['runs']}\n"
    )
