"""Run a search on a Ray cluster from this machine, and bring its results back."""

import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout that is not installed can submit itself
os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray reads it when it is imported, and sends its token only then

from weightflow.errors import InputError
from weightflow.search.bundle import refuse_to_replace
from weightflow.search.jobs import Cluster, RemoteSearch, exit_code, is_remote
from weightflow.stopping import STOPPED, listen
from weightflow.streams import outlive_readers

LOCAL_RESULTS = Path("runs")

logging.getLogger("ray.dashboard").setLevel(logging.WARNING)  # its uploads and web sockets are not the user's concern

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(
    address: Annotated[
        str,
        typer.Option(help="Dashboard of the head: http://HEAD:8265.", envvar="RAY_API_SERVER_ADDRESS"),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- [ARGUMENTS OF tune.py]", help="What to search, after two dashes.", show_default=False
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the search [default: cluster-DATE-TIME].")] = None,
    out: Annotated[
        str,
        typer.Option(help="Folder on the cluster that outlives the job; all nodes must reach it. Quote a ~."),
    ] = "~/weightflow-runs",
    detach: Annotated[bool, typer.Option("--detach", help="Submit, print the job's identifier and return.")] = False,
    follow: Annotated[str | None, typer.Option(metavar="JOB", help="Follow a job, then bring its results.")] = None,
    status: Annotated[str | None, typer.Option(metavar="JOB", help="Say how a job is doing.")] = None,
    stop: Annotated[str | None, typer.Option(metavar="JOB", help="Stop a job as Ctrl-C would.")] = None,
    fetch: Annotated[str | None, typer.Option(metavar="JOB", help="Bring the results of a job that ended.")] = None,
) -> None:
    r"""Run a search on a Ray cluster from this machine, and bring its results back.

    The working tree goes along; data, environments, stores and caches do not. The log is followed here, the exit code
    is the job's, and ./runs/NAME receives best/, scores.json and report.html. Ctrl-C only stops following: the job
    goes on, and the commands to follow, stop and fetch it are printed.

    \b
    launch/submit.py --address http://HEAD:8265 -- --trials 100 --gpus 4
    launch/submit.py --address http://HEAD:8265 --name night --detach -- --data /nfs/cells.npz --time-budget 8h
    launch/submit.py --address http://HEAD:8265 --status JOB

    Both sides need the same token: copy ~/.ray/auth_token of the head to this machine.
    """
    with _exit_codes():
        wanted = [option for option in (follow, status, stop, fetch) if option is not None]
        if len(wanted) + bool(arguments) > 1:
            raise InputError("give one of --follow, --status, --stop, --fetch, or arguments of tune.py; not several.")
        search = None if wanted else _search(arguments or [], name, out)
        cluster = Cluster(address)
        if search is not None:
            _submit(cluster, search, detach)
        elif status is not None:
            _say_status(cluster, status)
        elif stop is not None:
            _stop(cluster, stop)
        elif fetch is not None:
            _fetch(cluster, cluster.search_of(fetch))
        elif follow is not None:
            _follow(cluster, follow, cluster.search_of(follow))


def _submit(cluster: Cluster, search: RemoteSearch, detach: bool) -> None:
    refuse_to_replace(LOCAL_RESULTS / search.name)
    job = cluster.submit(ROOT, search.entrypoint, search)
    print(f"submitted {job}: search `{search.name}`, results on the head in {search.folder}")
    if detach:
        _say_commands(cluster, job)
    else:
        _follow(cluster, job, search)


def _search(arguments: list[str], name: str | None, out: str) -> RemoteSearch:
    """Read from the arguments of tune.py what matters here; refuse what cannot work on another machine."""
    for option in ("--name", "--out", "--address"):
        if _take(arguments, option)[0] is not None:
            raise InputError(f"give `{option}` before the two dashes; launch/submit.py passes it on.")
    resumed, arguments = _take(arguments, "--resume")
    if resumed is not None and name is not None:
        raise InputError("give `--name` or `--resume`, not both: a search goes on under its own name.")
    mlflow, arguments = _take(arguments, "--mlflow")
    for option, file in (("--mlflow", mlflow), ("--space", _take(arguments, "--space")[0])):
        _check_travels(option, file)
    _check_data(_take(arguments, "--data")[0])
    return RemoteSearch(
        name=resumed or name or f"cluster-{datetime.now():%Y%m%d-%H%M%S}",
        out=out,
        arguments=tuple(arguments),
        mlflow=mlflow or "mlflow.yml",
        resume=resumed is not None,
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


def _check_travels(option: str, file: str | None) -> None:
    if file is not None and not is_remote(file) and not (ROOT / file).is_file():
        raise InputError(
            f"`{option} {file}` is not in the checkout, which is what the cluster gets; put the file there and give "
            f"its path from {ROOT}, or give an absolute path on the head."
        )


def _check_data(data: str | None) -> None:
    if data is None or is_remote(data):
        return
    if "/" in data or Path(data).suffix:
        raise InputError(
            f"`--data {data}` is a file of this machine, and data does not travel with the code; copy it to the "
            "cluster and give its absolute path there, or name a built-in data set."
        )


def _follow(cluster: Cluster, job: str, search: RemoteSearch) -> None:
    """Follow a job to its end, bring its results, and exit as it did."""
    try:
        details = cluster.follow(job)
    except KeyboardInterrupt:
        print(f"\nno longer following; {job} goes on")
        _say_commands(cluster, job)
        raise typer.Exit(STOPPED) from None
    code = exit_code(details)
    print(f"{job} {str(details.status).lower()}, exit code {code}")
    if code != 0:
        raise typer.Exit(code)
    _fetch(cluster, search)


def _fetch(cluster: Cluster, search: RemoteSearch) -> None:
    folder = LOCAL_RESULTS / search.name
    cluster.fetch(ROOT, search, folder)
    print(f"brought to {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _stop(cluster: Cluster, job: str) -> None:
    print(f"{job} stopped" if cluster.stop(job) else f"{job} had already ended")


def _say_status(cluster: Cluster, job: str) -> None:
    details = cluster.details(job)
    since = f" since {_clock(details.start_time)}" if details.start_time else ""
    until = f" until {_clock(details.end_time)}" if details.end_time else ""
    code = f", exit code {exit_code(details)}" if details.status.is_terminal() else ""
    print(f"{job} {str(details.status).lower()}{since}{until}{code}")
    if details.metadata and "weightflow_name" in details.metadata:
        print(f"results on the head: {cluster.search_of(job).folder}")


def _clock(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000):%Y-%m-%d %H:%M:%S}"


def _say_commands(cluster: Cluster, job: str) -> None:
    for verb in ("follow", "status", "stop", "fetch"):
        print(f"  {verb:<7} python launch/submit.py --address {cluster.address} --{verb} {job}")


@contextmanager
def _exit_codes() -> Generator[None, None, None]:
    """What the user can mend is one line on stderr and exit code 2."""
    try:
        yield
    except InputError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    listen("interrupted")  # which stops no job: see `_follow`
    outlive_readers()
    app()
