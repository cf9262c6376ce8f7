"""Run a search on a Ray cluster from this machine, and bring its results back."""

import logging
import os
import shlex
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

from weightflow.cli.helping import HELP_NAMES, Command
from weightflow.cli.sending import Sent, to_send
from weightflow.errors import InputError
from weightflow.search.cluster.auth import find_token
from weightflow.search.jobs.bundle import refuse_to_replace
from weightflow.search.jobs.sealed import FILE, seal
from weightflow.search.jobs.submission import OUT, Cluster, RemoteSearch, UnknownJobError, UnreachableError, exit_code
from weightflow.stopping import STOPPED, listen
from weightflow.streams import outlive_readers

LOCAL_RESULTS = Path("runs")
CLUSTER, SENDING, JOBS = "The cluster", "What is sent", "A job that was sent before"  # groups of options
JOB_PREFIX = "raysubmit_"

logging.getLogger("ray.dashboard").setLevel(logging.WARNING)  # its uploads and web sockets are not the user's concern

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=HELP_NAMES
)


@app.command(cls=Command)
def main(
    address: Annotated[
        str,
        typer.Option(
            help="Dashboard of the head: http://HEAD:8265.", envvar="RAY_API_SERVER_ADDRESS", rich_help_panel=CLUSTER
        ),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- [ARGUMENTS OF tune.py]", help="What to search, after two dashes.", show_default=False
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the search [default: cluster-DATE-TIME].", rich_help_panel=SENDING)
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            help="What outlives the job: a folder on the head (quote a ~), or a URI such as s3://BUCKET/PATH.",
            rich_help_panel=SENDING,
        ),
    ] = OUT,
    detach: Annotated[
        bool, typer.Option("--detach", help="Submit, print the job's identifier and return.", rich_help_panel=SENDING)
    ] = False,
    follow: Annotated[
        str | None, typer.Option(metavar="JOB|NAME", help="Follow a job, then bring its results.", rich_help_panel=JOBS)
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            metavar="JOB|NAME", help="Say how a job, or the search NAME in --out, is doing.", rich_help_panel=JOBS
        ),
    ] = None,
    stop: Annotated[
        str | None, typer.Option(metavar="JOB|NAME", help="Stop a job as Ctrl-C would.", rich_help_panel=JOBS)
    ] = None,
    fetch: Annotated[
        str | None,
        typer.Option(
            metavar="JOB|NAME", help="Bring the results of a job, or of the search NAME in --out.", rich_help_panel=JOBS
        ),
    ] = None,
    upload_data: Annotated[
        bool,
        typer.Option(
            "--upload-data", help="Send the file that --data names along, if it is small.", rich_help_panel=SENDING
        ),
    ] = False,
    open_head: Annotated[
        bool,
        typer.Option(
            "--open-head",
            help="Use a head without authentication, in a network that is closed.",
            rich_help_panel=CLUSTER,
        ),
    ] = False,
) -> None:
    """Run a search on a Ray cluster from this machine, and bring its results back.

    The package, launch/, search_spaces/ and settings go along, nothing else. The log is followed here, the exit code
    is the job's, and ./runs/NAME receives best/, scores.json and report.html. Ctrl-C only stops following: the job
    goes on, and the commands to follow, stop and fetch it are printed. A search is known by its job or by its name;
    --status NAME and --fetch NAME need no job, and work after the head was restarted.

    \b
    launch/submit.py --address http://HEAD:8265 -- --trials 100 --gpus 4
    launch/submit.py --address http://HEAD:8265 --name night --detach -- --data /nfs/cells.npz --time-budget 8h
    launch/submit.py --address http://HEAD:8265 --upload-data -- --data cells.csv
    launch/submit.py --address http://HEAD:8265 --status night

    Both sides need the same token: copy ~/.ray/auth_token of the head to this machine.
    """
    with _exit_codes():
        wanted = [option for option in (follow, status, stop, fetch) if option is not None]
        if len(wanted) + bool(arguments) > 1:
            raise InputError("give one of --follow, --status, --stop, --fetch, or arguments of tune.py; not several.")
        sent = None if wanted else to_send(arguments or [], name, out, upload_data)
        cluster = Cluster(address, open_head)
        if sent is not None:
            _submit(cluster, sent, detach)
        elif status is not None:
            _say_status(cluster, status, out)
        elif stop is not None:
            _stop(cluster, _job(cluster, stop))
        elif fetch is not None:
            _fetch(cluster, _known(cluster, fetch, out))
        elif follow is not None:
            job = _job(cluster, follow)
            _follow(cluster, job, cluster.search_of(job))


def _submit(cluster: Cluster, sent: Sent, detach: bool) -> None:
    refuse_to_replace(LOCAL_RESULTS / sent.search.name)
    _check_resources(cluster, sent)
    files = {**sent.files, **_sealed(cluster, sent.settings)}
    job = cluster.submit(ROOT, sent.search.entrypoint, sent.search, files, sent.facts)
    print(f"submitted {job}: search `{sent.search.name}`, results in {sent.search.folder}, as the head sees it")
    if detach:
        _say_commands(cluster, job)
    else:
        _follow(cluster, job, sent.search)


def _check_resources(cluster: Cluster, sent: Sent) -> None:
    """Refuse what a cluster of fixed size does not have; the search itself would, after it was sent and started."""
    asked = {"CPU": sent.cpus, "GPU": sent.gpus}
    if sent.elastic or not any(asked.values()):
        return
    there = cluster.resources()
    for kind, number in asked.items():
        if there is not None and number is not None and number > there[kind]:
            raise InputError(
                f"`--{kind.lower()}s {number}` was asked for, but the cluster has {there[kind]:g} {kind}(s), and no "
                "autoscaler that could bring more; ask for fewer, or say `--elastic` if nodes will join."
            )


def _sealed(cluster: Cluster, settings: dict[str, str]) -> dict[str, bytes]:
    if not settings:
        return {}
    token = None if cluster.open else find_token()
    if token is None:
        raise InputError(
            f"{', '.join(sorted(settings))} would travel readable to a head that has no token; unset them, and put "
            "them into the head's own environment, or give the head a token."
        )
    return {FILE: seal(settings, token)}


def _follow(cluster: Cluster, job: str, search: RemoteSearch) -> None:
    """Follow a job to its end, bring its results, and exit as it did."""
    try:
        details = cluster.follow(job)
    except KeyboardInterrupt:
        print(f"\nno longer following; {job} goes on")
        _say_commands(cluster, job)
        raise typer.Exit(STOPPED) from None
    except (UnknownJobError, UnreachableError) as error:
        print(f"{error}\n{job} may have ended with its head. Where the search is, and how it goes on:", file=sys.stderr)
        before, _, after = search.given.partition("-- ")
        for command in (f"--status {search.name}", f"{before}-- --resume {search.name} {after}"):
            print(f"  {_command(cluster)} --out {shlex.quote(search.out)} {command}".rstrip(), file=sys.stderr)
        raise typer.Exit(1) from None
    code = exit_code(details)
    print(f"{job} {str(details.status).lower()}, exit code {code}")
    if code != 0:
        raise typer.Exit(code)
    _fetch(cluster, search)


def _fetch(cluster: Cluster, search: RemoteSearch) -> None:
    folder = LOCAL_RESULTS / search.name
    cluster.fetch(ROOT, search, folder)
    print(f"brought to {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _job(cluster: Cluster, what: str) -> str:
    """Return a job, or the one that last ran the search of that name."""
    if what.startswith(JOB_PREFIX):
        return what
    job = cluster.latest_job(what)
    if job is None:
        raise InputError(
            f"{cluster.address} knows no job that runs a search `{what}`; it may have been restarted. `--status "
            f"{what}` says how far the search came, and `-- --resume {what}` goes on with it."
        )
    return job


def _known(cluster: Cluster, what: str, out: str) -> RemoteSearch:
    """Return the search of a job, or the one of that name, whether or not the head knows a job for it."""
    if what.startswith(JOB_PREFIX):
        return cluster.search_of(what)
    job = cluster.latest_job(what)
    return RemoteSearch(what, out) if job is None else cluster.search_of(job)


def _stop(cluster: Cluster, job: str) -> None:
    print(f"{job} stopped" if cluster.stop(job) else f"{job} had already ended")


def _say_status(cluster: Cluster, what: str, out: str) -> None:
    job = what if what.startswith(JOB_PREFIX) else cluster.latest_job(what)
    if job is not None:
        details = cluster.details(job)
        since = f" since {_clock(details.start_time)}" if details.start_time else ""
        until = f" until {_clock(details.end_time)}" if details.end_time else ""
        code = f", exit code {exit_code(details)}" if details.status.is_terminal() else ""
        print(f"{job} {str(details.status).lower()}{since}{until}{code}")
        if details.metadata and "weightflow_name" in details.metadata:
            print(f"results, as the head sees them: {cluster.search_of(job).folder}")
    if job != what:
        print(cluster.status(ROOT, _known(cluster, what, out)))


def _clock(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000):%Y-%m-%d %H:%M:%S}"


def _say_commands(cluster: Cluster, job: str) -> None:
    for verb in ("follow", "status", "stop", "fetch"):
        print(f"  {verb:<7} {_command(cluster)} --{verb} {job}")


def _command(cluster: Cluster) -> str:
    return f"python launch/submit.py --address {cluster.address}"


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
