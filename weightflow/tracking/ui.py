"""MLflow's UI for the store of this machine, opened at the page that shows the runs."""

import os
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Mapping
from contextlib import closing, suppress

import requests

from weightflow.errors import InputError
from weightflow.tracking import views
from weightflow.tracking.config import TrackingConfig
from weightflow.tracking.store import open_store

_STARTS_WITHIN = 120.0
_LOOK = 0.3


def pages(config: TrackingConfig, base: str) -> dict[str, str]:
    """Return the addresses of what a person wants to see of the experiment, by what it is.

    Raises:
        InputError: the store cannot be used.
    """
    client = open_store(config)
    experiment = client.get_experiment_by_name(config.experiment)
    if experiment is None or experiment.lifecycle_stage != "active":
        return {"Experiments": f"{base.rstrip('/')}/#/experiments"}
    views.store(client, experiment.experiment_id, views.SEARCHES, views.TRIALS)
    wanted = {"Trials": views.TRIALS, "Searches": views.SEARCHES}
    return {what: views.address(base, experiment.experiment_id, view) for what, view in wanted.items()}


def show(config: TrackingConfig, port: int, browse: bool = True) -> int:
    """Print the addresses and open the first one; for a store without a server, serve it until Ctrl-C.

    Args:
        config: of the store.
        port: to serve at.
        browse: whether to open a browser, where there is one.

    Returns:
        the exit code.

    Raises:
        InputError: the store cannot be used, or the port is taken.
    """
    if config.on_server:
        _tell(pages(config, config.page), browse)
        return 0
    base = f"http://127.0.0.1:{port}"
    found = pages(config, base)
    _check_free(port)
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)),
            *("--workers", "1", "--backend-store-uri", config.tracking_uri),
        ],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )
    try:
        if _answers(base, server):
            _tell(found, browse)
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        server.wait()


def has_screen(environment: Mapping[str, str], platform: str) -> bool:
    """Tell whether a browser would be a window; in a terminal alone it would take the place of what is printed."""
    return platform in {"darwin", "win32"} or bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def _tell(found: Mapping[str, str], browse: bool) -> None:
    for what, page in found.items():
        print(f"{what}: {page}", flush=True)
    if browse and has_screen(os.environ, sys.platform):
        webbrowser.open(next(iter(found.values())))


def _check_free(port: int) -> None:
    with closing(socket.socket()) as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise InputError(
                f"port {port} is taken, perhaps by a UI that runs already: open http://127.0.0.1:{port}, or take "
                f"another with --port {port + 1}."
            )


def _answers(base: str, server: subprocess.Popen[bytes]) -> bool:
    """Wait until the server answers; False if it has ended or never does."""
    deadline = time.monotonic() + _STARTS_WITHIN
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(requests.RequestException):
            if requests.get(f"{base}/health", timeout=5).ok:
                return True
        time.sleep(_LOOK)  # it cannot tell us when it listens; one that answers with an error is asked no faster
    return False
