"""With what, when and where something was computed: what a reader needs who wants to have the same again."""

import platform
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from joblib import cpu_count

from weightflow.masking import hide_password
from weightflow.search.shipped import CHECKOUT
from weightflow.tracking import environment_facts
from weightflow.version import VERSION

SCRIPTS = ("launch/tune.py",)
INSTALLED = "weightflow"  # the command of an installed package


def command(arguments: Sequence[str] = tuple(sys.orig_argv)) -> str:
    """Return the command that began this process, without the place of Python and of the checkout.

    It is empty where that was none of ours, as in a notebook. Passwords in it are masked.
    """
    for place, argument in enumerate(arguments):
        rest = arguments[place + 1 :]
        if tuple(arguments[place : place + 2]) == ("-m", "weightflow"):
            return _written("python", *arguments[place:])
        if place and Path(argument).name == INSTALLED:
            return _written(INSTALLED, *rest)
        script = next((one for one in SCRIPTS if (CHECKOUT / one) == Path(argument).resolve()), None)
        if script is not None:
            return _written("python", script, *rest)
    return ""


def facts() -> Mapping[str, str]:
    """Return command, date, machine and versions, in the order of a report."""
    asked = command()
    return {
        **({"Command": asked} if asked else {}),
        "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "Machine": _machine(),
        **{key.replace("_", " "): value for key, value in environment_facts().items()},
    }


def again() -> tuple[str, ...]:
    """Return what to type in a checkout to have the same again, as far as commit and command are known."""
    commit = re.match("[0-9a-f]{40}", environment_facts()["git_commit"])
    asked = command()
    source = f"git checkout {commit[0]}" if commit else f"# version {VERSION} of weightflow"
    return (source, "pip install -c requirements.lock '.[all]'", *((asked,) if asked else ()))


def _written(*words: str) -> str:
    return hide_password(shlex.join(words))


def _machine() -> str:
    cpus = cpu_count()
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    many = "1 CPU" if cpus == 1 else f"{cpus} CPUs"
    return ", ".join((f"{platform.system()} {platform.machine()}", many, *gpus))
