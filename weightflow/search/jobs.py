"""Searches as jobs of a Ray cluster: submit, follow, stop, and bring the results back.

Only the public job client of Ray is used. A job is known by the identifier that Ray gives it; what else is needed to
find its results, the folder on the cluster and the name, travels as the job's metadata.
"""

import asyncio
import os
import re
import shlex
import socket
import tempfile
import threading
import time
from collections.abc import Coroutine, Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from weightflow.errors import InputError
from weightflow.search.bundle import refuse_to_replace, unpack
from weightflow.search.packing import pack_tree

_CONNECT_SECONDS = 5.0
_POLL_SECONDS = 0.5
_END_SECONDS = 30.0
_STOP_SECONDS = 120
_CANCEL_SECONDS = 2.0

_JOB_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Stopping a job acts like Ctrl-C in a terminal: the search keeps what is finished and closes its runs.
    "RAY_JOB_STOP_SIGNAL": "SIGINT",
    "RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_SECONDS),
}


@dataclass(frozen=True)
class RemoteSearch:
    """One search on a cluster.

    Attributes:
        name: the search's name, its folder under `out` and under the local results.
        out: folder on the head that outlives the job: absolute, or beginning with `~`, the head's own home.
        arguments: further arguments of `launch/tune.py`.
        mlflow: settings for MLflow, a file of the checkout or an absolute path on the head. The stores that it gives
            as relative paths lie in `out` as well: the file is copied there, and its paths are relative to it.
        resume: go on with the search of that name instead of starting it.

    Raises:
        InputError: a name that is no plain folder name, or an `out` that depends on where the job runs.
    """

    name: str
    out: str
    arguments: tuple[str, ...] = ()
    mlflow: str = "mlflow.yml"
    resume: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise InputError(f"`--name {self.name}` must be letters, digits, dots, dashes and underscores.")
        if not is_remote(self.out):
            raise InputError(
                f"`--out {self.out}` must be absolute or begin with ~/, the head's home: the job itself runs in a "
                "temporary folder."
            )

    @property
    def folder(self) -> str:
        """Where the results lie on the head."""
        return f"{self.out.rstrip('/')}/{self.name}"

    @property
    def entrypoint(self) -> str:
        """The shell command that runs the search on the head."""
        out, given = for_shell(self.out), for_shell(self.mlflow)
        settings = given if is_remote(self.mlflow) else f"{out}/mlflow.yml"
        prepare = f"mkdir -p {out}" if is_remote(self.mlflow) else f"mkdir -p {out} && cp {given} {settings}"
        verb = "--resume" if self.resume else "--name"
        tune = f"python launch/tune.py --address auto --out {out} --mlflow {settings} {verb} {self.name}"
        return " ".join([prepare, "&& exec", tune, *map(for_shell, self.arguments)])

    @property
    def bundling(self) -> str:
        """The shell command that prints the results."""
        return f"exec python -m weightflow.search.bundle {for_shell(self.folder)}"


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

    Raises:
        InputError: on construction and in every method: nobody answers, the token is refused, a job is not known.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        _knock(address)
        with self._plain_errors():
            self._client = JobSubmissionClient(address)

    def submit(self, root: Path, entrypoint: str, search: RemoteSearch | None = None) -> str:
        """Upload the working tree at `root`, start `entrypoint` in it, and return the job's identifier."""
        metadata = {} if search is None else {"weightflow_name": search.name, "weightflow_out": search.out}
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch, "weightflow.zip")
            pack_tree(root, archive)
            environment = {"working_dir": str(archive), "env_vars": {**_JOB_ENVIRONMENT, **_tracking()}}
            with self._plain_errors():
                return self._client.submit_job(entrypoint=entrypoint, runtime_env=environment, metadata=metadata)

    def details(self, job: str) -> JobDetails:
        """Return what the cluster knows of `job`."""
        with self._plain_errors():
            known = {details.submission_id: details for details in self._client.list_jobs() if details.submission_id}
        if job not in known:
            raise InputError(
                f"{self.address} knows no job `{job}`; it knows {', '.join(sorted(known)[-5:]) or 'none at all'}."
            )
        return known[job]

    def search_of(self, job: str) -> RemoteSearch:
        """Return the search that `job` runs."""
        metadata = self.details(job).metadata or {}
        try:
            return RemoteSearch(metadata["weightflow_name"], metadata["weightflow_out"])
        except KeyError:
            raise InputError(f"job `{job}` was not submitted by launch/submit.py, so it has no results.") from None

    def follow(self, job: str) -> JobDetails:
        """Print the log of `job` from its beginning until it ends; returns how it ended."""
        self.details(job)
        with self._plain_errors():
            _run_aside(self._print_log(job))
        return self._wait(job, _END_SECONDS)

    async def _print_log(self, job: str) -> None:
        async for lines in self._client.tail_job_logs(job):
            print(lines, end="", flush=True)

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
        job = self.submit(root, search.bundling)
        details = self._wait(job, None)
        log = self.log(job)
        if exit_code(details) != 0:
            raise InputError(
                f"there is nothing to bring back: {(log.strip() or str(details.message)).splitlines()[-1]}"
            )
        unpack(log, folder)

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
            raise InputError(
                f"{self.address} refuses the token of this machine; copy ~/.ray/auth_token from the head to the same "
                "place here, or put its path into RAY_AUTH_TOKEN_PATH."
            ) from None
        except (RuntimeError, OSError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"{self.address} failed: {reason}") from None


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


def _tracking() -> dict[str, str]:
    """Return the variable that names a tracking server, unless it names a store of this machine."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return {"MLFLOW_TRACKING_URI": uri} if urlsplit(uri).scheme in {"http", "https"} else {}


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
