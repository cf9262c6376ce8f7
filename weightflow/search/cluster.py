"""Starting or joining Ray. Nothing calls home, services listen on this machine, and tokens are required."""

import logging
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
# the trials are shown by our own table
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Ctrl-C is ours: see weightflow.search.ending
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")

import ray

from weightflow.errors import InputError
from weightflow.search.resources import Resources


@contextmanager
def connected(address: str | None, cpus: int | None, gpus: int | None) -> Generator[Resources, None, None]:
    """Start Ray on this machine, or join the cluster at `address`, for the time of a `with` block.

    Raises:
        InputError: no cluster answers, or it has less than was asked for.
    """
    # failed trials are told in our own words, with their reasons
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    joins = bool(address or os.environ.get("RAY_ADDRESS"))
    if address and address != "auto":
        _knock(address)
    how = _join(address) if joins else _start(cpus)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **how)
    except (ConnectionError, ValueError, RuntimeError) as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"Ray could not be {'reached at `' + str(address) + '`' if joins else 'started'}: {first_line}"
        ) from None
    try:
        seen = ray.cluster_resources()
        yield Resources.choose(seen.get("CPU", 0.0), seen.get("GPU", 0.0), cpus, gpus)
    finally:
        ray.shutdown()


KNOCK_SECONDS = 5
PACKAGE = Path(__file__).resolve().parents[1]


def _knock(address: str) -> None:
    """Find out within seconds whether anybody listens; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
    except (OSError, ValueError) as error:
        raise InputError(
            f"Ray could not be reached at `{address}` ({error}); give the HOST:PORT that `ray start --head` printed, "
            "or `auto` on a machine of the cluster."
        ) from None


def _start(cpus: int | None) -> dict[str, Any]:
    """Ray on this machine; its workers inherit the path to a checkout that is not installed."""
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return {"address": "local", "num_cpus": cpus, "include_dashboard": False}


def _join(address: str | None) -> dict[str, Any]:
    """A running cluster; a submitted job has brought its working tree, everybody else sends the package."""
    submitted = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    if submitted:
        # Ray may unpack the job's folder anew while the job runs, which leaves it in a folder that is no more
        os.chdir(Path.home())
    return {"address": address, "runtime_env": None if submitted else {"py_modules": [str(PACKAGE)]}}
