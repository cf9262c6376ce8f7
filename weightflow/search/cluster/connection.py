"""Starting or joining Ray. Nothing calls home, and tokens are required.

What is started here listens on 127.0.0.1 alone, in a folder that only its user may enter.
"""

import logging
import os
import shlex
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
# the trials are shown by our own table
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# what Tune writes of each trial (CSV, JSON, TensorBoard), and now and then of all of them, nobody reads: see the study
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", str(10**9))
# Ctrl-C is ours: see weightflow.stopping
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")

import ray
import torch
from ray._private import ray_constants

from weightflow.errors import InputError, SearchError, first_line
from weightflow.search.cluster.auth import keep_token, token_path
from weightflow.search.cluster.head import knock
from weightflow.search.cluster.nodes import asked_for, nodes, resources_of_cluster
from weightflow.search.cluster.resources import Node, Resources, Wanted, usable_cpus
from weightflow.search.cluster.scratch import private_folder
from weightflow.search.say import Say
from weightflow.search.shipped import PACKAGE
from weightflow.stopping import unheard_by_children


@contextmanager
def connected(address: str | None, wanted: Wanted, say: Say) -> Generator[Resources, None, None]:
    """Start Ray on this machine, or join the cluster at `address`, for the time of a `with` block.

    A Ray that runs in this process already, as in a notebook, is used as it is and goes on afterwards.

    Args:
        address: of the cluster; None: the one that RAY_ADDRESS names, or else this machine.
        wanted: of CPUs and GPUs.
        say: told what had to be done otherwise, and what is waited for.

    Raises:
        InputError: no cluster answers, or there is less than was asked for.
        SearchError: Ray does not start here, or no node joins.
    """
    # failed trials are told in our own words, with their reasons
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        resources = resources_of_cluster(wanted, say)
        with asked_for(resources):
            yield resources
        return
    with ExitStack() as until_then:
        try:
            resources = _connect(address, wanted, say, until_then)
            with asked_for(resources):
                yield resources
        finally:
            ray.shutdown()


def _connect(address: str | None, wanted: Wanted, say: Say, until_then: ExitStack) -> Resources:
    named = os.environ.get(ADDRESS) if address in {None, "", "auto"} else None  # it has the last word for Ray
    if address or named not in {None, "", "local"}:
        _join(named or address or "", f"`{ADDRESS}={named}`" if named else f"`--address {address}`")
        return resources_of_cluster(wanted, say)
    if wanted.elastic:
        raise InputError("`--elastic` is for clusters, whose nodes come and go: join one with `--address`.")
    # asked for more, Ray would start all the same, with more processes than there are CPUs
    resources = Resources.choose([Node(usable_cpus(), torch.cuda.device_count())], wanted)
    _start(resources, until_then, say)
    here = (replace(node, id="", address="") for node in nodes())  # with the memory that Ray counts
    return replace(resources, nodes=tuple(here))


ADDRESS = "RAY_ADDRESS"
KNOCK_SECONDS = 5.0
SHORT = "/tmp"  # noqa: S108 (the folder in it is private, and a short path is what it is for)
SOCKET_BYTES = 107  # of a path, by Linux; Ray's own check says the same
SOCKET_TOO_LONG = "AF_UNIX path length"


def _knock(address: str, given: str) -> None:
    """Find out within seconds whether anybody listens; Ray itself would try for minutes."""
    try:
        knock(address.removeprefix("ray://"), KNOCK_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(_unreachable(given, error)) from None


def _unreachable(given: str, error: Exception) -> str:
    """Say what was given, and what to give instead."""
    alone = f", or unset {ADDRESS} to search on this machine alone" if ADDRESS in given else ""
    return (
        f"Ray could not be reached at {given} ({first_line(error)}); give the HOST:PORT that `ray start --head` "
        f"printed, or `auto` on a machine of the cluster{alone}."
    )


def _start(resources: Resources, until_then: ExitStack, say: Say) -> None:
    """Ray on this machine; its workers inherit the path to a checkout that is not installed.

    A start that fails is tried once more: on a busy machine a part of Ray that was late may be in time then.
    """
    paths = [str(PACKAGE.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    until_then.enter_context(_set("PYTHONPATH", os.pathsep.join(dict.fromkeys(path for path in paths if path))))
    if keep_token():
        say(f"others could read {token_path()}; now only you can")
    how: dict[str, Any] = {
        "address": "local",
        "num_cpus": resources.cpus,
        "num_gpus": resources.gpus,
        "include_dashboard": False,
        # By default Ray ranks its workers below every other process, and one that computes beside a search starves it.
        "_system_config": {"worker_niceness": 0},  # which is added to that of this process
        "runtime_env": _interpreter(),
        "_temp_dir": until_then.enter_context(private_folder(_usual_place())),
    }
    first = _failure(how)
    if first is None:
        return
    ray.shutdown()
    if SOCKET_TOO_LONG in str(first):
        how["_temp_dir"] = until_then.enter_context(private_folder(SHORT))
        say(_too_long(how["_temp_dir"]))
    else:
        say(f"Ray did not start ({first_line(first)}); trying once more")
    if (second := _failure(how)) is not None:
        raise SearchError(
            f"Ray could not be started, nor a second time: {first_line(second)}. Wait until the machine is less "
            "busy, or take fewer `--cpus`; `fit` does without Ray."
        ) from second


def _interpreter() -> dict[str, str] | None:
    """Return what Ray has to be told of the interpreter, if anything.

    Ray hands its path to a shell as it is; what a shell would take apart, such as a path with a space, is quoted here,
    or else no worker would ever start, and Ray would try for ever. Being told makes workers start later, so that it is
    left out where it is not needed.
    """
    quoted = shlex.quote(sys.executable)
    return None if quoted == sys.executable else {"py_executable": quoted}


def _failure(how: Mapping[str, Any]) -> Exception | None:
    """Start Ray here, and return what kept it from starting.

    A part of Ray that is late is told of by a bare `Exception`, so that nothing narrower can be caught.
    """
    try:
        with _this_machine_alone():
            _init(how)
    except Exception as error:
        return error
    return None


def _init(how: Mapping[str, Any]) -> None:
    with unheard_by_children():
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **how)


@contextmanager
def _this_machine_alone() -> Generator[None, None, None]:
    """Let what is started in a `with` block listen on 127.0.0.1.

    Ray can do that, and does so on macOS and Windows alone, where firewalls ask about anything else; elsewhere it
    replaces even an address of 127.0.0.1 by the one that the network knows. This process has read the variable when Ray
    was imported; those that it starts read it now.
    """
    constant = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with _set(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "0"):
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = constant


@contextmanager
def _set(variable: str, value: str) -> Generator[None, None, None]:
    """Set an environment variable for a `with` block: what comes after it, of somebody's notebook, has its own."""
    before = os.environ.get(variable)
    os.environ[variable] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = before


def _usual_place() -> str:
    """Return where Ray would make its folder."""
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or SHORT


def _too_long(taken: str) -> str:
    """Say why Ray gets another folder than the environment asks for."""
    variable = next(name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ)
    length = len(os.fsencode(os.environ[variable]))
    return (
        f"{variable} has {length} bytes, too many for the sockets that Ray would put there (their paths may have "
        f"{SOCKET_BYTES}); Ray takes {taken} instead"
    )


def _join(address: str, given: str) -> None:
    """A running cluster; a submitted job has brought its working tree, everybody else sends the package.

    Args:
        address: of the cluster, as Ray takes it.
        given: how it was said.
    """
    if address != "auto":
        _knock(address, given)
    submitted = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    if submitted:
        # Ray may unpack the job's folder anew while the job runs, which leaves it in a folder that is no more
        os.chdir(Path.home())
    try:
        _init({"address": address, "runtime_env": None if submitted else {"py_modules": [str(PACKAGE)]}})
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(_unreachable(given, error)) from None
