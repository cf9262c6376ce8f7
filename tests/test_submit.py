"""Searches as jobs of a real Ray cluster: a head and a second node, with token authentication on."""

import base64
import hashlib
import io
import json
import os
import re
import runpy
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from ray.dashboard.modules.job.pydantic_models import JobType
from ray.job_submission import JobDetails, JobStatus
from searches import free_port, furnish, wait_for
from stores import SECRET, Store
from test_study import open_study, run

import weightflow
from weightflow.errors import InputError
from weightflow.search.cluster.auth import find_token
from weightflow.search.folder import CONDITIONS
from weightflow.search.jobs.bundle import RESULTS, pack, unpack
from weightflow.search.jobs.packing import files_to_pack, pack_tree
from weightflow.search.jobs.sealed import FILE, seal
from weightflow.search.jobs.submission import Cluster, RemoteSearch, UnknownJobError, exit_code, for_shell
from weightflow.tracking.facts import COMMIT_VARIABLE, git_commit


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder as a search leaves it, with more than is brought back."""
    folder = tmp_path / "head" / "night"
    (folder / "best").mkdir(parents=True)
    (folder / "best" / "config.json").write_text("{}")
    (folder / "best" / "model.safetensors").write_bytes(os.urandom(100_000))
    (folder / "scores.json").write_text('{"format": 1}')
    (folder / "report.html").write_text("<html>ä</html>")
    (folder / "trials").mkdir()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestBundle:
    def test_results_survive_the_way_through_a_log(self, results: Path, tmp_path: Path):
        unpack(f"2026-01-01 INFO starting\n{pack(results)}shutting down\n", tmp_path / "runs" / "night")
        assert contents(tmp_path / "runs" / "night") == contents(results)
        assert not (tmp_path / "runs" / "night" / "trials").exists()

    def test_a_later_copy_replaces_the_earlier_one_whole(self, results: Path, tmp_path: Path):
        unpack(pack(results), tmp_path / "night")
        (results / "report.html").unlink()
        unpack(pack(results), tmp_path / "night")
        assert contents(tmp_path / "night") == contents(results)
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda text: text[: len(text) // 2], "no whole results"),
            (lambda text: re.sub(r"\n[A-Za-z0-9+/]{76}\n", "\n", text, count=1), "changed on the way"),
            (lambda text: "ModuleNotFoundError: nothing\n", "ModuleNotFoundError"),
        ],
        ids=["cut", "a line lost", "no results"],
    )
    def test_spoiled_results_are_noticed_and_leave_nothing(self, results: Path, tmp_path: Path, spoil, message: str):
        with pytest.raises(InputError, match=message):
            unpack(spoil(pack(results)), tmp_path / "night")
        assert not (tmp_path / "night").exists()

    def test_a_search_of_this_machine_is_not_replaced(self, results: Path):
        before = contents(results)
        with pytest.raises(InputError, match=r"holds more than results.*trials"):
            unpack(pack(results), results)
        assert contents(results) == before

    def test_an_archive_cannot_write_outside_its_folder(self, tmp_path: Path):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.addfile(tarfile.TarInfo("../../stray"))
        encoded = base64.encodebytes(buffer.getvalue()).decode()
        digest = hashlib.sha256("".join(encoded.split()).encode()).hexdigest()
        begin, end = "-----BEGIN WEIGHTFLOW RESULTS", "-----END WEIGHTFLOW RESULTS-----"
        with pytest.raises(tarfile.OutsideDestinationError):
            unpack(f"{begin} sha256={digest}-----\n{encoded}{end}\n", tmp_path / "runs" / "night")
        assert not list(tmp_path.rglob("stray"))

    def test_a_folder_without_results_is_refused_in_one_line(self, tmp_path: Path, root: Path):
        command = [sys.executable, "-m", "weightflow.search.jobs.bundle", str(tmp_path)]
        result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert result.returncode == 2
        assert re.fullmatch(rf"{tmp_path} holds none of best, .*\n", result.stderr)


class TestPacking:
    NEEDED = (
        "launch/tune.py", "launch/cluster.yaml", "mlflow.yml", "pyproject.toml", "search_spaces/smoke.yaml",
        "weightflow/data/readers.py", "weightflow/systems/models/mine.ant",
    )  # fmt: skip
    NOT_NEEDED = (
        ".env", "weightflow/.env", "id_rsa", "launch/id_rsa", "launch/id_ed25519.pub", "credentials.json",
        "weightflow/credentials.json", "search_spaces/credentials.yaml", "launch/my-secrets.yml", "launch/server.pem",
        "launch/api_token.yaml", "data/cells.txt", "cells.npy", "cells.parquet", "weightflow/cells.h5ad",
        "search_spaces/cells.xlsx", "tests/cells.csv", "new file.py", ".venv/bin/python", "runs/night/best/config.json",
        "mlflow.db", "mlruns/0/meta.yaml", "weightflow/__pycache__/x.pyc", "weightflow/.cache/x.py", ".netrc",
    )  # fmt: skip

    @pytest.fixture(params=["with git", "without git"])
    def tree(self, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
        tree = tmp_path / "tree"
        for name in (*self.NEEDED, *self.NOT_NEEDED):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text("")
        if request.param == "with git":
            subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
            (tree / ".gitignore").write_text("launch/scratch.py\n")
            (tree / "launch" / "scratch.py").write_text("")
            subprocess.run(["git", "-C", str(tree), "add", "launch"], check=True)
        return tree

    def test_what_a_search_needs_travels_and_nothing_else(self, tree: Path):
        assert [str(path) for path in files_to_pack(tree)] == sorted(self.NEEDED)

    def test_links_lead_nowhere_but_to_what_travels(self, tree: Path, tmp_path: Path):
        (tmp_path / "outside.py").write_text("")
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "file.py").write_text("")
        (tree / "launch" / "out.py").symlink_to(tmp_path / "outside.py")
        (tree / "launch" / "private.py").symlink_to(tree / ".env")
        (tree / "launch" / "hidden.py").symlink_to(tree / "id_rsa")
        (tree / "launch" / "gone.py").symlink_to(tree / "nothing")
        (tree / "launch" / "folder").symlink_to(tmp_path / "outside")
        (tree / "launch" / "again.py").symlink_to(tree / "launch" / "tune.py")
        assert {str(path) for path in files_to_pack(tree)} == {*self.NEEDED, "launch/again.py"}

    def test_a_tree_that_is_reached_by_a_link_is_the_same_tree(self, tree: Path, tmp_path: Path):
        (tmp_path / "link").symlink_to(tree)
        assert files_to_pack(tmp_path / "link") == files_to_pack(tree)

    def test_passwords_in_settings_are_masked_and_code_is_left_as_it_is(self, tree: Path, tmp_path: Path):
        uri = "tracking_uri: postgresql://me:pa/ss@w0rd@host/runs\n"
        (tree / "mlflow.yml").write_text(uri)
        (tree / "launch" / "tune.py").write_text(uri)
        pack_tree(tree, tmp_path / "tree.zip", {"data/cells.csv": b"time,a\n"})
        with zipfile.ZipFile(tmp_path / "tree.zip") as packed:
            assert packed.read("mlflow.yml") == b"tracking_uri: postgresql://me:***@host/runs\n"
            assert packed.read("launch/tune.py").decode() == uri
            assert packed.read("data/cells.csv") == b"time,a\n"
            assert packed.getinfo("data/cells.csv").external_attr >> 16 == 0o100600

    def test_equal_trees_pack_to_equal_bytes_whenever_they_were_written(self, tree: Path, tmp_path: Path):
        pack_tree(tree, tmp_path / "first.zip")
        os.utime(tree / "mlflow.yml", (0, 0))
        pack_tree(tree, tmp_path / "second.zip")
        assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()

    def test_a_tree_that_is_too_large_names_its_biggest_files(self, tree: Path, tmp_path: Path):
        (tree / "launch" / "long.js").write_bytes(os.urandom(3 * 2**20))
        with pytest.raises(InputError, match=r"packs to 3\.0 MiB, but .* 1\.0 MiB .*: launch/long\.js \(3\.0 MiB\), "):
            pack_tree(tree, tmp_path / "tree.zip", limit=2**20)

    def test_of_this_checkout_all_code_travels_and_it_is_far_below_what_a_head_takes(self, root: Path, tmp_path: Path):
        pack_tree(root, tmp_path / "tree.zip")
        assert (tmp_path / "tree.zip").stat().st_size < 5 * 2**20
        code = {path.relative_to(root).as_posix() for path in (root / "weightflow").rglob("*.py")}
        names = set(zipfile.ZipFile(tmp_path / "tree.zip").namelist())
        assert {*code, "launch/submit.py", "launch/tune.py", "search_spaces/default.yaml"} <= names
        assert not [name for name in names if name.startswith(("tests/", "docs/", ".git", "benchmarks/"))]


class TestCommands:
    def test_a_home_is_the_one_of_whoever_runs_the_command(self):
        command = f"printf %s {for_shell('~/my runs')}"
        result = subprocess.run(
            ["sh", "-c", command], env={"HOME": "/head"}, capture_output=True, text=True, check=True
        )
        assert result.stdout == "/head/my runs"

    def test_arguments_reach_tune_as_they_were_given(self):
        search = RemoteSearch("night", "~/out", ("--data", "~/my cells.npz", "--seed", "3; rm x"))
        echo = "mkdir() { :; }; cp() { :; }; python() { printf '%s\\n' \"$@\"; }; " + search.entrypoint.replace(
            "exec ", ""
        )
        result = subprocess.run(["sh", "-c", echo], env={"HOME": "/head"}, capture_output=True, text=True, check=True)
        assert result.stdout.splitlines() == [
            "launch/tune.py", "--address", "auto", "--out", "/head/out", "--mlflow", "/head/out/mlflow.yml",
            "--name", "night", "--data", "/head/my cells.npz", "--seed", "3; rm x",
        ]  # fmt: skip

    def test_stores_lie_beside_the_results_unless_the_settings_are_the_heads_own(self, tmp_path: Path):
        (tmp_path / "mlflow.yml").write_text("experiment: mine\n")
        for search in (
            RemoteSearch("a", str(tmp_path / "out")),
            RemoteSearch("b", str(tmp_path / "own"), mlflow="/x.yml"),
        ):
            shell = "python() { printf '%s ' \"$@\"; }; " + search.entrypoint.replace("exec ", "")
            said = subprocess.run(["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
            assert f"--mlflow {'/x.yml' if search.name == 'b' else tmp_path / 'out' / 'mlflow.yml'} " in said
        assert (tmp_path / "out" / "mlflow.yml").read_text() == "experiment: mine\n"
        assert not any((tmp_path / "own").iterdir())

    def test_a_search_goes_to_a_store_and_its_runs_stay_on_the_heads_disk(self, tmp_path: Path):
        (tmp_path / "mlflow.yml").write_text("experiment: mine\n")
        search = RemoteSearch("far", "s3://lab/team?region=us-east-1", resume=True)
        assert search.folder == "s3://lab/team/far?region=us-east-1"
        shell = "python() { printf '%s ' \"$@\"; }; " + search.entrypoint.replace("exec ", "")
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(["sh", "-c", shell], cwd=tmp_path, env=environment, capture_output=True, check=True)
        kept = tmp_path / "weightflow-runs" / "mlflow.yml"
        assert f"--out s3://lab/team?region=us-east-1 --mlflow {kept} --resume far" in done.stdout.decode()
        assert kept.read_text() == "experiment: mine\n"

    @pytest.mark.parametrize(("name", "out"), [("../x", "/out"), ("a b", "/out"), ("", "/out"), ("x", "runs")])
    def test_names_and_folders_that_cannot_work_are_refused(self, name: str, out: str):
        with pytest.raises(InputError, match="must be"):
            RemoteSearch(name, out)


def submit(root: Path, environment: dict[str, str], cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "launch" / "submit.py"), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400, check=False)


class Said(NamedTuple):
    """What a command has printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def submit_here(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Run `launch/submit.py` in this process, which has long imported Ray; the working folder is that of the test."""

    def run(*arguments: str) -> Said:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["submit.py", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(root / "launch" / "submit.py"), run_name="__main__")
        code = ended.value.code
        out, err = capfd.readouterr()
        return Said(code if isinstance(code, int) else 0, str(out), str(err))

    return run


@contextmanager
def ray_node(environment: dict[str, str], log: Path, *arguments: str) -> Generator[subprocess.Popen[bytes], None, None]:
    """Run `ray start` in the foreground, so that exactly this node ends with the test.

    `ray stop` would end every Ray of this machine.
    """
    ports = ["--dashboard-agent-listen-port", "--dashboard-agent-grpc-port", "--metrics-export-port"]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *arguments]
    command += [word for port in ports for word in (port, str(free_port()))]
    command += ["--node-ip-address", "127.0.0.1", "--min-worker-port", "0", "--max-worker-port", "0"]
    with log.open("wb") as output:
        node = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield node
    finally:
        node.terminate()
        try:
            node.wait(20)
        except subprocess.TimeoutExpired:
            node.kill()
            node.wait()


def wait_for_port(port: int, node: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and node.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the node did not come up:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def address(ray_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard of a head with one more node."""
    logs = tmp_path_factory.mktemp("nodes")
    store, dashboard = free_port(), free_port()
    with ExitStack() as nodes:
        head = nodes.enter_context(
            ray_node(
                ray_environment, logs / "head", "--head", "--num-cpus", "1", "--port", str(store),
                "--dashboard-port", str(dashboard), "--ray-client-server-port", str(free_port()),
            )
        )  # fmt: skip
        wait_for_port(dashboard, head, logs / "head")
        nodes.enter_context(
            ray_node(ray_environment, logs / "second", "--address", f"127.0.0.1:{store}", "--num-cpus", "1")
        )
        yield f"http://127.0.0.1:{dashboard}"


class TestMessages:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--", "--out", "x"], "give `--out` before the two dashes"),
            (["--", "--data", "cells.npy"], "data does not travel"),
            (["--", "--space=none.yaml"], "is not in the checkout"),
            (["--name", "a", "--", "--resume", "b"], "not both"),
            (["--", "--resume", ""], "`--resume` is empty"),
            (["--status", "x", "--stop", "y"], "not several"),
            (["--out", "runs", "--", "--seed", "1"], "must be absolute"),
            (["--out", "ftp://lab/runs", "--", "--seed", "1"], "`ftp://lab/runs` cannot be used; write s3://BUCKET/"),
            (["--out", "s3://me:word@lab", "--", "--seed", "1"], "`s3://...@lab` holds a name or a password"),
            (["--upload-data", "--", "--data", "s3://lab/cells.csv"], "there is none on this machine"),
            (["--", "--data", "epidemc"], "`--data epidemc` is no built-in data set; these are: epidemic,"),
            (["--", "--trails", "3"], "No such option: --trails"),
            (["--", "--gpus", "four"], "Invalid value for '--gpus'"),
            (["--", "--time-budget", "soon"], "`--time-budget soon` cannot be read"),
            (["--", "--sampler", "gp", "--minimize", "speed"], "`--minimize speed` cannot be read"),
            (["--", "--sep", ";"], "built in"),
            (["--upload-data", "--", "--data", "/nowhere.csv"], "there is none on this machine"),
        ],
    )
    def test_what_cannot_work_is_said_before_the_cluster_is_asked(
        self, submit_here: Callable[..., Said], arguments: list[str], message: str
    ):
        result = submit_here("--address", "http://127.0.0.1:9", *arguments)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert message in result.stderr

    @pytest.mark.parametrize("place", ["http://127.0.0.1:9", "127.0.0.1:8265", "http://nowhere.invalid:8265"])
    def test_a_head_that_does_not_answer_is_one_line_at_once(self, submit_here: Callable[..., Said], place: str):
        result = submit_here("--address", place, "--status", "x")
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert place in result.stderr


JOB = """
import sys, time
import ray

@ray.remote(num_cpus=1)
def visit():
    from launch import travelled  # on a worker, which has only what was uploaded
    time.sleep(1)
    return ray.get_runtime_context().get_node_id(), travelled.WORD

ray.init(address="auto")
while ray.cluster_resources().get("CPU", 0) < 2:
    time.sleep(0.1)
nodes, words = zip(*ray.get([visit.remote(), visit.remote()]))
print(len(set(nodes)), "nodes:", *words)
sys.exit(7)
"""


@pytest.mark.ray
class TestCluster:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        """Something to submit, whose jobs lie in `launch`."""
        (tmp_path / "tree" / "launch").mkdir(parents=True)
        return tmp_path / "tree"

    def test_a_job_is_followed_over_both_nodes_and_its_exit_code_is_told(
        self, address: str, ray_home: Path, tree: Path, capfd: pytest.CaptureFixture[str]
    ):
        (tree / "launch" / "travelled.py").write_text("WORD = 'arrived'\n")
        (tree / "launch" / "job.py").write_text(JOB)
        cluster = Cluster(address)
        details = cluster.follow(cluster.submit(tree, "python launch/job.py"))
        log = capfd.readouterr().out
        assert exit_code(details) == 7, log
        assert "2 nodes: arrived arrived" in log

    @pytest.mark.slow
    def test_ctrl_c_stops_following_but_not_the_job_and_stopping_acts_like_ctrl_c(
        self, address: str, ray_home: Path, root: Path, tmp_path: Path, tree: Path
    ):
        code = "import signal\ntry: print('up'); signal.pause()\nfinally: print('closed')"
        (tree / "launch" / "job.py").write_text(code)
        cluster = Cluster(address)
        job = cluster.submit(tree, "exec python launch/job.py", RemoteSearch("long", str(tmp_path)))
        command = [sys.executable, str(root / "launch" / "submit.py"), "--address", address, "--follow", "long"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
            assert following.stdout is not None
            assert any(line == "up\n" for line in following.stdout)
            following.send_signal(signal.SIGINT)
            following.wait(timeout=90)  # seconds on an idle machine
            said = following.stdout.read()
        assert following.returncode == 130
        assert f"--stop {job}" in said
        assert str(cluster.details(job).status) == "RUNNING"

        assert cluster.stop(job)
        assert not cluster.stop(job)
        assert str(cluster.details(job).status) == "STOPPED"
        assert cluster.log(job).count("closed\n") == 1

    def test_results_come_back_without_a_shared_file_system(
        self,
        address: str,
        ray_home: Path,
        root: Path,
        results: Path,
        tmp_path: Path,
        submit_here: Callable[..., Said],
    ):
        job = Cluster(address).submit(root, "true", RemoteSearch("night", str(results.parent)))
        followed = submit_here("--address", address, "--follow", job)
        assert followed.returncode == 0, followed.stderr
        assert f"{job} succeeded, exit code 0" in followed.stdout
        assert contents(tmp_path / "runs" / "night") == contents(results)
        status = submit_here("--address", address, "--status", job)
        assert re.match(
            rf"{job} succeeded since .*, exit code 0\nresults, as the head sees them: {results}\n", status.stdout
        )

    def test_a_search_without_results_says_so(self, address: str, ray_home: Path, root: Path, tmp_path: Path):
        with pytest.raises(InputError, match=r"nothing to bring back: .*/none holds none of best"):
            Cluster(address).fetch(root, RemoteSearch("none", "~"), tmp_path / "none")

    def test_results_are_fetched_by_name_where_the_head_knows_no_job(
        self, address: str, ray_home: Path, results: Path, tmp_path: Path, submit_here: Callable[..., Said]
    ):
        other = results.rename(results.with_name("older"))
        fetched = submit_here("--address", address, "--out", str(other.parent), "--fetch", "older")
        assert fetched.returncode == 0, fetched.stderr
        assert contents(tmp_path / "runs" / "older") == contents(other)

    @pytest.mark.slow
    def test_how_far_a_search_is_can_be_asked_by_name_where_the_head_knows_no_job(
        self, address: str, ray_home: Path, tmp_path: Path, submit_here: Callable[..., Said]
    ):
        (tmp_path / "head" / "cut").mkdir(parents=True)
        study = open_study(tmp_path / "head" / "cut")
        run(study, 1.5)
        run(study, 2.5, epochs=2)
        assert study.next_trial() is not None
        study.close()
        said = submit_here("--address", address, "--out", str(tmp_path / "head"), "--status", "cut")
        assert (said.returncode, said.stderr) == (0, "")
        assert said.stdout == (
            "cut: 3 trials (1 finished, 1 pruned, 1 stopped); the best is trial 00 with score 1.5000; it was cut off\n"
        )
        missing = submit_here("--address", address, "--out", str(tmp_path / "head"), "--status", "never")
        assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1), missing.stderr
        assert "nothing is known of `never`" in missing.stderr

    def test_sealed_settings_reach_the_driver_and_are_seen_nowhere_else(
        self, address: str, ray_home: Path, ray_environment: dict[str, str], root: Path, tree: Path
    ):
        secret = f"s3cret/{secrets.token_hex(8)}@x"
        sent = {"MLFLOW_TRACKING_URI": f"postgresql://me:{secret}@db/runs", "MLFLOW_TRACKING_PASSWORD": secret}
        code = (
            f"import sys; sys.path.insert(0, {str(root)!r})\n"
            "import hashlib, os, pathlib\nfrom weightflow.search.jobs.sealed import take_up\ntake_up(pathlib.Path())\n"
            "print(hashlib.sha256(os.environ['MLFLOW_TRACKING_PASSWORD'].encode()).hexdigest())\n"
            "print(open('/proc/self/environ').read().count('s3cret'), 'in the open')\n"
        )
        (tree / "launch" / "job.py").write_text(code)
        (tree / "mlflow.yml").write_text(f"tracking_uri: {sent['MLFLOW_TRACKING_URI']}\n")
        cluster, token = Cluster(address), find_token()
        assert token is not None
        job = cluster.submit(tree, "python launch/job.py", extra={FILE: seal(sent, token)})
        assert exit_code(cluster.follow(job)) == 0, cluster.log(job)
        assert hashlib.sha256(secret.encode()).hexdigest() in cluster.log(job)
        assert "0 in the open" in cluster.log(job)
        assert secret not in str(cluster.details(job)) + cluster.log(job)
        kept = [file for file in Path(ray_environment["HOME"]).rglob("*") if file.is_file() and not file.is_symlink()]
        assert any(file.name == FILE for file in kept), "the sealed file lies on the node"
        assert [file for file in kept if secret.encode() in file.read_bytes()] == []

    @pytest.mark.slow
    def test_a_facts_variable_says_which_commit_a_job_runs(self, address: str, ray_home: Path, root: Path):
        code = "from weightflow.tracking.facts import environment_facts; print('is', environment_facts()['git_commit'])"
        known = git_commit(root / "weightflow")
        cluster = Cluster(address)
        job = cluster.submit(root, f'python -c "{code}"', facts={COMMIT_VARIABLE: known})
        assert exit_code(cluster.follow(job)) == 0
        assert f"is {known}\n" in cluster.log(job)
        assert re.match(r"[0-9a-f]{40}( \+ uncommitted changes)?$", known)

    def test_more_than_a_fixed_cluster_has_is_refused_here(
        self, address: str, ray_home: Path, submit_here: Callable[..., Said]
    ):
        wait_for(lambda: Cluster(address).resources() is not None, 60, 1.0)  # its autoscaler has reported
        refused = submit_here("--address", address, "--", "--gpus", "4")
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
        assert "`--gpus 4` was asked for, but the cluster has 0 GPU(s), and no autoscaler" in refused.stderr
        assert Cluster(address).resources() == {"CPU": 2.0, "GPU": 0.0}

    @pytest.mark.slow
    @pytest.mark.timeout(450)
    def test_a_search_submitted_from_another_folder_leaves_results_here_and_runs_there(
        self, address: str, ray_environment: dict[str, str], root: Path, tmp_path: Path
    ):
        here, there = tmp_path / "here", tmp_path / "there"
        here.mkdir()
        there.mkdir()
        data = furnish(there) / "counts.npy"
        search = [f"--data={data}", "--every=3", "--space=search_spaces/smoke.yaml", "--trials=2"]
        result = submit(
            root, ray_environment, here, "--address", address, "--name", "small", "--out", str(there), "--", *search
        )
        assert result.returncode == 0, result.stdout + result.stderr
        brought = here / "runs" / "small"
        assert {path.name for path in brought.iterdir()} == set(RESULTS) - {CONDITIONS}  # no condition was left out
        assert contents(brought / "best") == contents(there / "small" / "best")
        assert json.loads((brought / "scores.json").read_text())["format"] == 1
        assert weightflow.load(brought / "best").sample([0.0, 1.0], 5, seed=0).shape[:2] == (2, 5)
        with sqlite3.connect(there / "mlflow.db") as store:
            (runs,) = store.execute("select count(*) from runs").fetchone()
        assert runs >= 3, "one of the search, one of each trial"

    @pytest.mark.slow
    @pytest.mark.timeout(450)
    def test_a_search_goes_to_a_store_and_its_results_come_back_from_there_to_whoever_asks_by_name(
        self,
        ray_environment: dict[str, str],
        ray_home: Path,
        root: Path,
        tmp_path: Path,
        submit_here: Callable[..., Said],
    ):
        store, port = Store(tmp_path / "store" / "buckets", free_port()), free_port()
        (store.folder / "lab").mkdir(parents=True)
        data = furnish(tmp_path) / "counts.npy"
        words = ("--head", "--num-cpus", "2", "--port", str(free_port()), "--dashboard-port", str(port))
        words = (*words, "--ray-client-server-port", str(free_port()))
        environment = {**ray_environment, **store.environment, "XDG_CACHE_HOME": str(tmp_path / "head")}
        with ExitStack() as running:
            # Ray notes the last head that was started in its folder, and where several run on a machine a job goes to
            # that one: with the folder of all tests, jobs of later tests would go to this one, which has ended.
            environment["RAY_TMPDIR"] = running.enter_context(tempfile.TemporaryDirectory(prefix="wf-"))
            store.start()
            running.callback(store.stop)
            head = running.enter_context(ray_node(environment, tmp_path / "log", *words))
            wait_for_port(port, head, tmp_path / "log")
            asked = ("--address", f"http://127.0.0.1:{port}", "--out", "s3://lab/team")
            search = (f"--data={data}", "--every=3", "--space=search_spaces/smoke.yaml", "--trials=1")
            sent = submit_here(*asked, "--name", "far", "--", *search)
            assert sent.returncode == 0, sent.stdout + sent.stderr
            assert "all of it is at s3://lab/team/far" in sent.stdout
            brought, kept = tmp_path / "runs" / "far", store.folder / "lab" / "team" / "far"
            assert contents(brought / "best") == contents(kept / "best")
            brought.rename(tmp_path / "first")
            shutil.rmtree(tmp_path / "head")  # as on another head
            told = submit_here(*asked, "--status", "far")
            assert re.search(r"^far: \d+ trials .*; it has come to its end$", told.stdout, re.MULTILINE), told
            fetched = submit_here(*asked, "--fetch", "far")
            assert fetched.returncode == 0, fetched.stderr
            assert contents(brought) == contents(tmp_path / "first")
            never = submit_here(*asked, "--fetch", "never")
            assert (never.returncode, len(never.stderr.splitlines())) == (2, 1), never.stderr
            assert "`s3://lab/team/never` holds no search" in never.stderr
        assert SECRET not in sent.stdout + sent.stderr + told.stdout + fetched.stdout
        assert (ray_home / "weightflow-runs" / "mlflow.db").is_file()

    def test_an_unknown_job_is_one_line(self, address: str, ray_home: Path, submit_here: Callable[..., Said]):
        result = submit_here("--address", address, "--status", "raysubmit_none")
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert "knows no job `raysubmit_none`" in result.stderr

    @pytest.mark.parametrize(
        ("token", "message"),
        [("0" * 64, "refuses the token of this machine"), (None, "asks for a token, and this machine has none")],
        ids=["wrong", "none"],
    )
    def test_a_token_that_does_not_fit_is_one_line(
        self, address: str, ray_home: Path, submit_here: Callable[..., Said], tmp_path: Path, token: str | None,
        message: str, monkeypatch: pytest.MonkeyPatch,
    ):  # fmt: skip
        (tmp_path / ".ray").mkdir()
        if token is not None:
            (tmp_path / ".ray" / "auth_token").write_text(token)
        monkeypatch.setenv("HOME", str(tmp_path))
        result = submit_here("--address", address, "--status", "x")
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert message in result.stderr
        assert "auth_token" in result.stderr


class Head(BaseHTTPRequestHandler):
    """What an open head answers first."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        pass


def test_a_head_without_authentication_is_refused_unless_that_is_wanted(
    ray_home: Path, submit_here: Callable[..., Said]
):
    with ThreadingHTTPServer(("127.0.0.1", 0), Head) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        said = submit_here("--address", f"http://127.0.0.1:{server.server_port}", "--status", "x")
        server.shutdown()
    assert (said.returncode, len(said.stderr.splitlines())) == (2, 1), said.stderr
    assert "has no authentication" in said.stderr
    assert "--open-head" in said.stderr


class Tail:
    """A job client whose connection breaks once in the middle of the log, and whose job may be gone afterwards."""

    def __init__(self) -> None:
        self.connections = 0

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        self.connections += 1
        yield "one\n"
        yield "two\n" if self.connections > 1 else "tw"
        if self.connections == 1:
            raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")
        yield "three\n"


class TestReconnecting:
    @pytest.fixture
    def cluster(self, monkeypatch: pytest.MonkeyPatch) -> Cluster:
        cluster = object.__new__(Cluster)
        cluster.address = "http://head:8265"
        monkeypatch.setattr(cluster, "_client", Tail(), raising=False)
        monkeypatch.setattr("weightflow.search.jobs.submission._RETRY_SECONDS", 0.01)
        return cluster

    def test_a_log_goes_on_where_the_connection_broke(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ):
        facts = {"type": JobType.SUBMISSION, "submission_id": "j", "status": JobStatus.SUCCEEDED, "entrypoint": "x"}
        ended = JobDetails.model_validate(facts)
        monkeypatch.setattr(cluster, "details", lambda job: ended)
        assert exit_code(cluster.follow("j")) == 0
        out, err = capfd.readouterr()
        assert out == "one\ntwo\nthree\n"
        assert "close code 1006. Trying again for 5 minutes.\n" in err

    def test_a_head_that_has_forgotten_the_job_ends_the_following(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ):
        known = iter([True])

        def details(job: str) -> None:
            if not next(known, False):
                raise UnknownJobError("the head knows no job")

        monkeypatch.setattr(cluster, "details", details)
        with pytest.raises(UnknownJobError):
            cluster.follow("j")
