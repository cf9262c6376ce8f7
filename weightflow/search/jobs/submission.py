"""Searches as jobs of a Ray cluster: submit, follow, stop, and bring the results back.

Only the public job client of Ray is used. A job is known by the identifier that Ray gives it; what else is needed to
find its results, the folder on the cluster and the name, travels as the job's metadata.
"""

import asyncio
import re
import shlex
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Coroutine, Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient
from ray.util.state import list_nodes

from weightflow.errors import InputError
from weightflow.masking import hide_password
from weightflow.places import below, check_uri, is_uri
from weightflow.search.cluster.auth import find_token, token_path
from weightflow.search.cluster.autoscaler import is_made_by_autoscaler
from weightflow.search.jobs.bundle import refuse_to_replace, unpack
from weightflow.search.jobs.packing import pack_tree

_CONNECT_SECONDS = 5.0
_POLL_SECONDS = 0.5
_END_SECONDS = 30.0
_STOP_SECONDS = 120
_CANCEL_SECONDS = 2.0
_RETRY_SECONDS = 2.0  # a head that is away cannot say when it is back
_GONE_SECONDS = 300.0  # a head that is restarted, and what brings it up, take minutes

_JOB_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Stopping a job acts like Ctrl-C in a terminal: the search keeps what is finished and closes its runs.
    "RAY_JOB_STOP_SIGNAL": "SIGINT",
    "RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_SECONDS),
}


class UnreachableError(InputError):
    """The head does not answer as it should."""


OUT = "~/weightflow-runs"
"""The folder on the head for searches of which nothing else is said."""


class UnknownJobError(InputError):
    """The head knows no such job: it never had it, or was restarted since."""


@dataclass(frozen=True)
class RemoteSearch:
    """One search on a cluster.

    Attributes:
        name: the search's name, its folder under `out` and under the local results.
        out: what outlives the job: a folder on the head, absolute or beginning with `~`, the head's own home; or a URI
            of a store that the head can reach.
        arguments: further arguments of `launch/tune.py`.
        mlflow: settings for MLflow, a file of the checkout or an absolute path on the head. The stores that it gives
            as relative paths lie in `out` as well, or in `OUT` where that is a URI: the file is copied there, and its
            paths are relative to it.
        resume: go on with the search of that name instead of starting it.
        given: options of launch/submit.py and arguments of tune.py, as they were typed: what to type to go on.

    Raises:
        InputError: a name that is no plain folder name, or an `out` that depends on where the job runs.
    """

    name: str
    out: str
    arguments: tuple[str, ...] = ()
    mlflow: str = "mlflow.yml"
    resume: bool = False
    given: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise InputError(f"`--name {self.name}` must be letters, digits, dots, dashes and underscores.")
        if is_uri(self.out):
            check_uri(self.out)
        elif not is_remote(self.out):
            raise InputError(
                f"`--out {self.out}` must be absolute or begin with ~/, the head's home, or be a URI such as "
                "s3://BUCKET/PATH: the job itself runs in a temporary folder."
            )

    @property
    def folder(self) -> str:
        """Where the results lie, on the head or in a store."""
        return below(self.out, self.name) if is_uri(self.out) else f"{self.out.rstrip('/')}/{self.name}"

    @property
    def entrypoint(self) -> str:
        """The shell command that runs the search on the head."""
        out, given = for_shell(self.out), for_shell(self.mlflow)
        kept = for_shell(OUT) if is_uri(self.out) else out  # no database lies in an object store
        settings = given if is_remote(self.mlflow) else f"{kept}/mlflow.yml"
        prepare = f"mkdir -p {kept}" if is_remote(self.mlflow) else f"mkdir -p {kept} && cp {given} {settings}"
        verb = "--resume" if self.resume else "--name"
        tune = f"python launch/tune.py --address auto --out {out} --mlflow {settings} {verb} {self.name}"
        return " ".join([prepare, "&& exec", tune, *map(for_shell, self.arguments)])

    @property
    def bundle_command(self) -> str:
        """The shell command that prints the results."""
        return f"exec python -m weightflow.search.jobs.bundle {for_shell(self.folder)}"

    @property
    def status_command(self) -> str:
        """The shell command that says how far the search is."""
        return f"exec python -m weightflow.search.jobs.status {for_shell(self.folder)}"


def is_remote(path: str) -> bool:
    """Tell whether `path` means the same wherever a job runs: it is absolute, or begins in the home of the head."""
    return path == "~" or path.startswith(("/", "~/"))


def for_shell(path: str) -> str:
    """Quote `path` for a shell, but leave a leading `~` to be replaced by the home of whoever runs it."""
    if path == "~" or path.startswith("~/"):
        return '"$HOME"' + (shlex.quote(path[1:]) if path[1:] else "")
    return shlex.quote(path)


class Cluster:
    """A running Ray cluster, reached over its dashboard.

    Ray's client sends the token only where RAY_AUTH_MODE=token stood in the environment before Ray was imported.

    Attributes:
        address: for example `http://10.0.0.1:8265`.
        open: whether it takes jobs from anybody.

    Raises:
        InputError: on construction and in every method: nobody answers, there is no token here, or another one than the
            head's, or the head asks for none and `open_head` does not allow that; a job is not known.
    """

    def __init__(self, address: str, open_head: bool = False) -> None:
        self.address = address
        _knock(address)
        self.open = _is_open(address)
        if self.open and not open_head:
            raise InputError(
                f"the head at {address} has no authentication: whoever reaches it may run anything there. Make a token "
                "on it (`ray get-auth-token --generate`), start it again with RAY_AUTH_MODE=token set, and copy its "
                "~/.ray/auth_token here; or, in a network that is closed, say `--open-head`."
            )
        with self._plain_errors():
            self._client = JobSubmissionClient(address)

    def submit(
        self,
        root: Path,
        entrypoint: str,
        search: RemoteSearch | None = None,
        extra: Mapping[str, bytes] | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> str:
        """Upload what a search needs of the tree at `root`, start `entrypoint` in it, and return the job's identifier.

        Args:
            root: of the tree.
            entrypoint: a shell command.
            search: that it runs.
            extra: further files by name, see `pack_tree`.
            facts: variables for the job's environment, which everybody who may see the dashboard can read.
        """
        metadata = (
            {}
            if search is None
            else {"weightflow_name": search.name, "weightflow_out": search.out, "weightflow_given": search.given}
        )
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch, "weightflow.zip")
            pack_tree(root, archive, extra)
            environment = {"working_dir": str(archive), "env_vars": {**_JOB_ENVIRONMENT, **(facts or {})}}
            with self._plain_errors():
                return self._client.submit_job(entrypoint=entrypoint, runtime_env=environment, metadata=metadata)

    def details(self, job: str) -> JobDetails:
        """Return what the cluster knows of `job`."""
        known = self._jobs()
        if job not in known:
            raise UnknownJobError(
                f"{self.address} knows no job `{job}`; it knows {', '.join(sorted(known)[-5:]) or 'none at all'}."
            )
        return known[job]

    def _jobs(self) -> dict[str, JobDetails]:
        with self._plain_errors():
            return {details.submission_id: details for details in self._client.list_jobs() if details.submission_id}

    def latest_job(self, name: str) -> str | None:
        """Return the job that last ran the search `name`; None where the head knows none, as after a restart."""
        known = self._jobs().items()
        jobs = [
            (details.start_time or 0, job)
            for job, details in known
            if (details.metadata or {}).get("weightflow_name") == name
        ]
        return max(jobs)[1] if jobs else None

    def search_of(self, job: str) -> RemoteSearch:
        """Return the search that `job` runs."""
        metadata = self.details(job).metadata or {}
        try:
            return RemoteSearch(
                metadata["weightflow_name"], metadata["weightflow_out"], given=metadata.get("weightflow_given", "")
            )
        except KeyError:
            raise InputError(f"job `{job}` was not submitted by launch/submit.py, so it has no results.") from None

    def resources(self) -> dict[str, float] | None:
        """Return what the nodes offer in all; None where an autoscaler can bring more, or that cannot be told."""
        with self._plain_errors():
            answer = requests.get(
                f"{self.address.rstrip('/')}/api/cluster_status", headers=_credentials(), timeout=_CONNECT_SECONDS
            )
            report = (answer.json().get("data", {}).get("clusterStatus") or {}).get("autoscalerReport") or {}
            kinds = set((report.get("nodeTypeMapping") or {}).values())
            if not kinds or any(is_made_by_autoscaler(kind) for kind in kinds):
                return None
            nodes: list[Any] = list_nodes(address=self.address, filters=[("state", "=", "ALIVE")], detail=True)
        return {kind: sum(float(node.resources_total.get(kind, 0.0)) for node in nodes) for kind in ("CPU", "GPU")}

    def follow(self, job: str) -> JobDetails:
        """Print the log of `job` from its beginning until it ends; returns how it ended.

        A connection that breaks is made again, and the log goes on where it was.

        Raises:
            UnreachableError: the head stays away for minutes.
            UnknownJobError: it does not know the job (any more).
        """
        self.details(job)
        seen, gone = _Seen(), None
        while True:
            try:
                with self._plain_errors():
                    _run_aside(self._print_log(job, seen))
                return self._wait(job, _END_SECONDS)
            except UnreachableError as error:
                now = time.monotonic()
                gone = gone or now
                if now - gone > _GONE_SECONDS:
                    raise
                if gone == now:
                    print(f"{error} Trying again for {_GONE_SECONDS / 60:.0f} minutes.", file=sys.stderr)
            time.sleep(_RETRY_SECONDS)
            with suppress(UnreachableError):
                self.details(job)
                gone = None

    async def _print_log(self, job: str, seen: "_Seen") -> None:
        """Print what was not printed before; each connection hands out the whole log."""
        passed = 0
        async for lines in self._client.tail_job_logs(job):
            new = lines[max(0, seen.characters - passed) :]
            passed += len(lines)
            seen.characters = max(seen.characters, passed)
            print(new, end="", flush=True)

    def log(self, job: str) -> str:
        """Return all that `job` has printed."""
        with self._plain_errors():
            return self._client.get_job_logs(job)

    def stop(self, job: str) -> bool:
        """Ask `job` to end, as Ctrl-C would, and wait until it has; returns whether it was still running."""
        self.details(job)
        with self._plain_errors():
            stopped = self._client.stop_job(job)
        self._wait(job, _STOP_SECONDS + _END_SECONDS)
        return stopped

    def fetch(self, root: Path, search: RemoteSearch, folder: Path) -> None:
        """Bring the results of `search` to the local `folder`.

        The head's file system need not be reachable from here: a second, short job prints the results to its log.
        """
        refuse_to_replace(folder)
        unpack(self._said(root, search.bundle_command, "there is nothing to bring back"), folder)

    def status(self, root: Path, search: RemoteSearch) -> str:
        """Return how far `search` is, as its folder on the head says: no job need be known for that."""
        return self._said(root, search.status_command, f"nothing is known of `{search.name}`").strip().splitlines()[-1]

    def _said(self, root: Path, command: str, problem: str) -> str:
        """Return the log of a short job."""
        job = self.submit(root, command)
        details = self._wait(job, None)
        log = self.log(job)
        if exit_code(details) != 0:
            raise InputError(f"{problem}: {(log.strip() or str(details.message)).splitlines()[-1]}")
        return log

    def _wait(self, job: str, seconds: float | None) -> JobDetails:
        deadline = None if seconds is None else time.monotonic() + seconds
        while not (details := self.details(job)).status.is_terminal():
            if deadline is not None and time.monotonic() > deadline:
                raise InputError(f"job `{job}` has not ended within {seconds:g} s; ask for its status later.")
            time.sleep(_POLL_SECONDS)  # the job client has no call that waits
        return details

    @contextmanager
    def _plain_errors(self) -> Generator[None, None, None]:
        """Turn what Ray's client raises into one line that says what to do."""
        try:
            yield
        except AuthenticationError:
            raise InputError(_wrong_token(self.address)) from None
        except (RuntimeError, OSError, aiohttp.ClientError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise UnreachableError(f"{self.address} failed: {hide_password(reason)}.") from None


@dataclass
class _Seen:
    """How many characters of a log were printed."""

    characters: int = 0


def _run_aside(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` in a thread of its own and wait for it: a Ctrl-C that falls into an event loop can be lost there."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    ended: Future[None] = Future()

    def run() -> None:
        try:
            ended.set_result(loop.run_until_complete(task))
        except BaseException as error:
            ended.set_exception(error)
        finally:
            loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        ended.result()
    except KeyboardInterrupt:
        with suppress(RuntimeError):  # the loop has just been closed
            loop.call_soon_threadsafe(task.cancel)
        thread.join(_CANCEL_SECONDS)
        raise


def exit_code(details: JobDetails) -> int:
    """Return the exit code of a job that has ended: its own, or 1 if it never came to have one."""
    if details.status == "SUCCEEDED":
        return 0
    return details.driver_exit_code or 1


def _knock(address: str) -> None:
    """Raise unless something listens at `address`: Ray's client would wait for minutes."""
    parts = urlsplit(address)
    try:
        host, port = parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError):
        host, port = None, 0
    if not host:
        raise InputError(f"`--address {address}` must be the head's dashboard, such as http://10.0.0.1:8265.")
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(
            f"nobody answers at {address} ({error}); is the head up (`ray status` there), and may this machine reach "
            "the port of its dashboard?"
        ) from None


def _is_open(address: str) -> bool:
    """Tell whether a head answers whoever asks.

    Raises:
        InputError: it does not, and there is no token here, or not the right one.
    """
    url = f"{address.rstrip('/')}/api/version"
    try:
        asks = requests.get(url, timeout=_CONNECT_SECONDS).status_code in {401, 403}
        if not asks:
            return True
        if not _credentials():
            raise InputError(
                f"{address} asks for a token, and this machine has none: copy ~/.ray/auth_token from the head to "
                f"{token_path()}, readable by you alone, or put its path into RAY_AUTH_TOKEN_PATH."
            )
        if requests.get(url, headers=_credentials(), timeout=_CONNECT_SECONDS).status_code in {401, 403}:
            raise InputError(_wrong_token(address))
    except requests.RequestException as error:
        raise UnreachableError(f"{address} does not answer as a head does ({type(error).__name__}).") from None
    return False


def _credentials() -> dict[str, str]:
    token = find_token()
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _wrong_token(address: str) -> str:
    return (
        f"{address} refuses the token of this machine: it is another one than the head's. Copy ~/.ray/auth_token from "
        f"the head once more, to {token_path()}."
    )
