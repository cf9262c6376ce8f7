"""A PostgreSQL on this machine, and the tracking server that a team starts before it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from searches import ROOT, free_port, wait_for

SERVER = ROOT / "launch" / "mlflow_server.sh"
USER, DATABASE, PASSWORD = "mlflow", "mlflow", "sesame-und-mohn"


@dataclass
class Postgres:
    """The database, which can be stopped as if its machine were switched off, and started again."""

    home: Path
    port: int

    @classmethod
    def new(cls, home: Path) -> "Postgres":
        """Make one, with a user and a database for MLflow."""
        secret = home / "password"
        secret.write_text(PASSWORD)
        if not os.geteuid():  # the superuser may not run it
            for path in (home, secret):
                shutil.chown(path, "nobody")
        made = cls(home, free_port())
        login = ("--auth=scram-sha-256", f"--pwfile={secret}", f"--username={USER}", "--no-sync")
        made._run("initdb", f"--pgdata={home}/data", *login)
        made.start()
        there = (f"--host={home}", f"--port={made.port}", f"--username={USER}")
        made._run("createdb", *there, "--encoding=UTF8", "--template=template0", DATABASE)
        return made

    def start(self) -> None:
        """Start it, and wait until it answers."""
        listens = f"-p {self.port} -k {self.home} -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", f"--pgdata={self.home}/data", f"--log={self.home}/log", "-w", "-o", listens, "start")

    def stop(self) -> None:
        """Stop it without letting anybody end what is begun."""
        self._run("pg_ctl", f"--pgdata={self.home}/data", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *words: str) -> None:
        as_user = [] if os.geteuid() else ["runuser", "-u", "nobody", "--"]
        known = {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD}
        subprocess.run([*as_user, program, *words], cwd=self.home, env=known, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def postgres() -> Generator[Postgres, None, None]:
    """Start a database; skips a test where there is no PostgreSQL."""
    if shutil.which("initdb") is None:
        pytest.skip("no PostgreSQL is on this machine (`initdb` is not on the path)")
    home = Path(tempfile.mkdtemp(prefix="wf-pg-"))  # pytest's own folders are closed to other users
    home.chmod(0o755)
    try:
        made = Postgres.new(home)
        try:
            yield made
        finally:
            made.stop()  # which the test has started again
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def tracking_server(database: Postgres, folder: Path) -> Generator[dict[str, str], None, None]:
    """Start `launch/mlflow_server.sh` before a database; yields the environment of those who track there."""
    port, log = free_port(), folder / "tracking.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [SERVER, "--port", str(port)],
            env=server_settings(folder, database.port),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    uri = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return requests.get(f"{uri}/health", timeout=2).ok
        except requests.ConnectionError:
            return False

    try:
        wait_for(lambda: server.poll() is not None or answers(), 120)
        assert server.poll() is None, log.read_text()
        yield {
            "MLFLOW_TRACKING_URI": uri,
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": PASSWORD,
        }
    finally:
        with suppress(ProcessLookupError):  # it did not start
            os.killpg(server.pid, 9)
        server.wait()


def server_settings(folder: Path, port: int, database: str = DATABASE) -> dict[str, str]:
    """Write the settings of the script, and return its environment."""
    file = folder / "server.env"
    login = f"PGPASSWORD={PASSWORD}\nMLFLOW_AUTH_ADMIN_PASSWORD={PASSWORD}\n"
    file.write_text(f"{login}PGPORT={port}\nPGDATABASE={database}\n")
    file.chmod(0o600)
    return {
        **os.environ,
        "WEIGHTFLOW_PYTHON": sys.executable,
        "WEIGHTFLOW_MLFLOW_SETTINGS": str(file),
        "WEIGHTFLOW_ARTIFACTS": str(folder / "kept"),
    }
