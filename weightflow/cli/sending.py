"""What a cluster is sent of a search, and what can be found wrong with it before: all that is not the cluster's own."""

import inspect
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from typer.exceptions import TyperException

from weightflow.cli.reading import reading_options
from weightflow.data import ReadOptions
from weightflow.errors import InputError
from weightflow.places import is_uri
from weightflow.search.jobs.packing import masked
from weightflow.search.jobs.sealed import URI, is_of_this_machine, settings_to_send
from weightflow.search.jobs.submission import RemoteSearch, is_remote
from weightflow.search.shipped import CHECKOUT

SMALL = 20 * 2**20  # bytes of data that may go along with the code


@dataclass(frozen=True)
class Sent:
    """A search, and what goes along with it.

    Attributes:
        search: as the cluster gets it.
        files: contents of files beside those of the checkout, by name.
        settings: for tracking, by variable.
        cpus: that are asked for at most, if any.
        gpus: the same.
        elastic: whether more may be asked for than there is.
        facts: what the search cannot find out where it runs, by variable.
    """

    search: RemoteSearch
    files: dict[str, bytes]
    settings: dict[str, str]
    cpus: int | None
    gpus: int | None
    elastic: bool
    facts: dict[str, str]


def to_send(arguments: list[str], name: str | None, out: str, upload_data: bool) -> Sent:
    """Read from the arguments of tune.py what matters here; refuse what cannot work, here or on another machine."""
    for option in ("--name", "--out", "--address"):
        if _take(arguments, option)[0] is not None:
            raise InputError(f"give `{option}` before the two dashes; launch/submit.py passes it on.")
    resumed, rest = _take(arguments, "--resume")
    if resumed == "":
        raise InputError("`--resume` is empty, as where a variable of a script is not set; give the name of a search.")
    if resumed is not None and name is not None:
        raise InputError("give `--name` or `--resume`, not both: a search goes on under its own name.")
    mlflow, rest = _take(rest, "--mlflow")
    space = _take(rest, "--space")[0]
    files = {option: _travelling(option, file) for option, file in (("--mlflow", mlflow), ("--space", space))}
    data, without_data = _take(rest, "--data")
    sent_data = _data(data, upload_data)
    given = f"{'--upload-data ' if upload_data else ''}-- {shlex.join(_take(arguments, '--resume')[1])}"
    search = RemoteSearch(
        name=resumed or name or f"cluster-{datetime.now():%Y%m%d-%H%M%S}",
        out=out,
        arguments=tuple(rest if sent_data is None else ["--data", f"data/{sent_data.name}", *without_data]),
        mlflow=mlflow or "mlflow.yml",
        resume=resumed is not None,
        given=given,
    )
    # with Ray, Optuna and MLflow, for which whoever made a mistake above need not wait
    from weightflow.tracking import TrackingConfig
    from weightflow.tracking.facts import COMMIT_VARIABLE, git_commit

    said = _parse(rest)
    _rehearse(said, files["--space"], sent_data)
    settings = files["--mlflow"] or (None if mlflow else CHECKOUT / "mlflow.yml")
    uri = None if settings is None else TrackingConfig.read(settings, of_environment=False).tracking_uri
    if (chosen := os.environ.get(URI, "").strip()) and is_of_this_machine(chosen):
        sys.stderr.write(f"{URI} names a store of this machine, which the cluster does not have: it stays here\n")
    return Sent(
        search=search,
        files={
            **{file.relative_to(CHECKOUT).as_posix(): masked(file) for file in files.values() if file is not None},
            **({} if sent_data is None else {f"data/{sent_data.name}": sent_data.read_bytes()}),
        },
        settings=settings_to_send(uri),
        cpus=said["cpus"],
        gpus=said["gpus"],
        elastic=said["elastic"],
        facts={COMMIT_VARIABLE: git_commit(CHECKOUT / "weightflow")},
    )


def _take(arguments: list[str], option: str) -> tuple[str | None, list[str]]:
    """Return the value of `--option value` or `--option=value`, and the arguments without it."""
    for i, argument in enumerate(arguments):
        found, equals, value = argument.partition("=")
        if found == option and equals:
            return value, arguments[:i] + arguments[i + 1 :]
        if found == option:
            return "".join(arguments[i + 1 : i + 2]), arguments[:i] + arguments[i + 2 :]
    return None, arguments


def _travelling(option: str, file: str | None) -> Path | None:
    """Return the file of the checkout that goes along; None where it is the cluster's own."""
    if file is None or is_remote(file):
        return None
    place = (CHECKOUT / file).resolve()
    if not place.is_file() or not place.is_relative_to(CHECKOUT):
        raise InputError(
            f"`{option} {file}` is not in the checkout, which is what the cluster gets; put the file there and give "
            f"its path from {CHECKOUT}, or give an absolute path on the head."
        )
    return place


def _data(data: str | None, upload: bool) -> Path | None:
    """Return the file of this machine that goes along; None where the cluster has the data, or they are built in."""
    if data is None or is_remote(data) or is_uri(data):
        file = None if data is None else Path(data).expanduser()
        if upload and file is not None and file.is_file():
            return _small(file)
        if upload:
            raise InputError("`--upload-data` sends the file that `--data` names, and there is none on this machine.")
        return None
    if "/" in data or Path(data).suffix:
        if upload and Path(data).is_file():
            return _small(Path(data))
        raise InputError(
            f"`--data {data}` is a file of this machine, and data does not travel with the code unless `--upload-data` "
            "asks for it; or copy it to the cluster and give its absolute path there, or name a built-in data set."
        )
    # with pandas and the simulator
    from weightflow.systems import BUILT_IN

    if data not in BUILT_IN:
        raise InputError(f"`--data {data}` is no built-in data set; these are: {', '.join(BUILT_IN)}.")
    return None


def _small(file: Path) -> Path:
    size = file.stat().st_size
    if size > SMALL:
        raise InputError(
            f"`{file}` has {size / 2**20:.0f} MiB, and at most {SMALL / 2**20:.0f} MiB travel with the code; copy it "
            "to the cluster, and give its absolute path there."
        )
    return file.resolve()


def _parse(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what the arguments of `launch/tune.py` say, by the names of its parameters.

    Raises:
        InputError: one is not known, or cannot be read.
    """
    from weightflow.cli.tune import tune

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(tune)
    try:
        return dict(typer.main.get_command(app).make_context("tune.py", list(arguments)).params)
    except TyperException as error:
        said = " ".join(str(getattr(error, "format_message", error.__str__)()).split()).rstrip(".")
        raise InputError(f"{said}; `python launch/tune.py --help` lists what may stand after the two dashes.") from None


def _rehearse(said: dict[str, Any], space: Path | None, data: Path | None) -> None:
    """Read all that the search will read, as far as it is on this machine.

    Args:
        said: as `parse` returns it.
        space: the file of this machine that goes along; None: the default one, or one of the cluster's own.
        data: the same for the data.

    Raises:
        InputError: what was asked for does not go together or cannot be had.
    """
    from weightflow.cli.tune import fixed_by
    from weightflow.search.cluster.resources import Wanted, read_memory
    from weightflow.search.request import make_options, read_space
    from weightflow.search.study.samplers import check_sampler
    from weightflow.systems import BUILT_IN, load_dataset

    wanted = inspect.signature(make_options).parameters.keys() - {"warm_start"}  # which lies on the cluster
    options = make_options(**{name: said[name] for name in wanted})
    if space is not None or said["space"] is None:
        check_sampler(options, read_space(space, fixed_by(said["head"], said["horizon"])))
    Wanted(cpus_per_trial=said["cpus_per_trial"], gpus_per_trial=said["gpus_per_trial"])
    read_memory(said["memory_per_trial"])
    reading = ReadOptions.of(**{name: said[name] for name in reading_options()})
    if data is not None:
        load_dataset(str(data), said["seed"], reading)
    elif said["data"] in BUILT_IN:
        reading.only(("every",), f"`{said['data']}`, which is built in and knows its times and kinds")
