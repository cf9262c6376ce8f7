"""What all tests share: shapes are checked at run time, and nothing touches the home folder or calls home."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
from filelock import FileLock
from hypothesis import settings

# These must stand before the package, Ray or MLflow is imported; subprocesses inherit them.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")
for variable in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
    os.environ.pop(variable, None)
FOR_LATER = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "PYTHONPATH")

# A shell that starts the tests in the background has Ctrl-C ignored, `nohup` a closed terminal, and whatever a test
# starts would inherit that.
for signal_number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(signal_number) is signal.SIG_IGN:
        signal.signal(signal_number, usual)

jaxtyping.install_import_hook("weightflow", "beartype.beartype")

# How long an example takes says how busy the machine is; what hangs is stopped by the timeout of its test.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


def restored_environment() -> Iterator[None]:
    """What a test, its module's fixtures or a library that they call tell later processes ends with them.

    What our modules set when they are first imported stays: they are not imported again.
    """
    before = {name: os.environ.get(name) for name in FOR_LATER}
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


environment_of_a_test = pytest.fixture(autouse=True)(restored_environment)
environment_of_a_module = pytest.fixture(autouse=True, scope="module")(restored_environment)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def ray_environment() -> Iterator[dict[str, str]]:
    """The environment for processes that use Ray: a home, a token and a Ray folder of their own.

    Without its own folder `ray.init()` would join whatever cluster another process of this machine has started.
    """
    # Ray puts sockets into this folder, whose paths may have 107 bytes: pytest's own folders are too deep.
    home = Path(tempfile.mkdtemp(prefix="wf-"))
    (home / ".ray").mkdir(mode=0o700)
    token = home / ".ray" / "auth_token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    # A node runs its jobs with the `python` of its PATH; `make test` need not have the environment activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    yield {**os.environ, "HOME": str(home), "PATH": path, "RAY_TMPDIR": str(home), "OMP_NUM_THREADS": "1"}
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def ray_home(ray_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `ray_environment` the environment of this test's own process; returns the private home."""
    for name in ("HOME", "PATH", "RAY_TMPDIR", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, ray_environment[name])
    return Path(ray_environment["HOME"])


@pytest.fixture
def memory_to_itself() -> Iterator[None]:
    """Tests that use up memory take turns: how much is taken, by whichever process, decides what Ray ends."""
    with FileLock(Path(tempfile.gettempdir()) / "weightflow-tests-memory.lock"):
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Published data sets beside the checkout, which only some machines have."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the published data sets are not on this machine ({folder} is absent)")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the tests that may take the longest, so that no worker is left alone with them at the end."""

    def may_take(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return marker.args[0] if marker else 0.0

    items.sort(key=may_take, reverse=True)


@pytest.fixture
def mount() -> Iterator[Callable[[Path, str], Path]]:
    """Mount an empty file system of a given size."""
    mounted: list[Path] = []

    def one(place: Path, options: str) -> Path:
        place.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here ({done.stderr.strip()})")
        mounted.append(place)
        return place

    yield one
    for place in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def untyped() -> Iterator[None]:
    """Without the checks of types that only the tests make: users meet our own messages."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Hide the GPUs of this machine, where it has some, from nodes that declare one; returns how."""
    how = {"CUDA_VISIBLE_DEVICES": "-1", "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
    for name, value in how.items():
        monkeypatch.setenv(name, value)
    return how


@pytest.fixture
def start_cluster(ray_home: Path) -> Iterator[Callable[..., Any]]:
    """Start a cluster of real node processes, its head of one CPU unless told otherwise; it ends with the test."""
    import ray  # which takes a moment that most tests need not wait
    from ray.cluster_utils import Cluster

    started: list[Cluster] = []

    def start(**offers: Any) -> Cluster:
        started.append(Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False, **offers}))
        return started[-1]

    yield start
    ray.shutdown()
    for cluster in started:
        cluster.shutdown()


@pytest.fixture
def node_apart(
    ray_environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[[str, str, Path], "subprocess.Popen[bytes]"]]:
    """Start nodes of two CPUs whose processes have mounts of their own, as those of another machine have."""
    from searches import wait_for  # with MLflow, which reads the environment that is set above

    words = ["unshare", "--mount"]
    if shutil.which(words[0]) is None or subprocess.run([*words, "true"], check=False).returncode:
        pytest.skip("no process can have mounts of its own here")
    started: list[subprocess.Popen[bytes]] = []

    def start(address: str, mount: str, place: Path) -> "subprocess.Popen[bytes]":
        """Mount something at a place, and join the cluster."""
        mounted = ["sh", "-c", f'{mount} "$0" && exec "$@"', str(place)]
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={address}", "--num-cpus=2", "--block"]
        log = tmp_path / f"node-{len(started)}.log"
        with log.open("wb") as output:
            node = subprocess.Popen([*words, *mounted, *ray], env=ray_environment, stdout=output, stderr=output)
        started.append(node)
        wait_for(lambda: node.poll() is not None or "Ray runtime started" in log.read_text(), 120)
        assert node.poll() is None, log.read_text()
        return node

    yield start
    for node in started:
        node.terminate()
        node.wait()
