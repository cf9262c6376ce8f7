"""Starting Ray on this machine: for it alone, never with more than there is, and with a second try where it fails."""

import ipaddress
import os
import socket
import stat
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import ray

from weightflow.errors import InputError, SearchError
from weightflow.search.cluster.auth import find_token, keep_token
from weightflow.search.cluster.connection import connected
from weightflow.search.cluster.head import answers
from weightflow.search.cluster.resources import Wanted

LATE = "RAY_gcs_server_port_wait_time_s"  # Ray's own: how long it waits for its control store to start

pytestmark = [pytest.mark.ray, pytest.mark.timeout(450)]


@pytest.mark.parametrize(("cpus", "gpus"), [(999, None), (0, None), (-1, None), (None, 99), (None, -1)])
def test_what_is_not_there_is_refused_before_ray_starts(cpus: int | None, gpus: int | None, ray_home: Path) -> None:
    refused = pytest.raises(InputError, match=r"was asked for, but (\d+ .PU\(s\) can be used|there is no GPU) here")
    with refused, connected(None, Wanted(cpus, gpus), pytest.fail):
        pytest.fail("it started")
    assert not ray.is_initialized()


def test_a_start_that_times_out_is_tried_once_more_and_then_told_in_one_line(
    ray_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LATE, "0")
    said: list[str] = []
    before = dict(os.environ)
    refused = pytest.raises(SearchError, match=r"Ray could not be started, nor a second time: Timed out")
    with refused as error, connected(None, Wanted(1), said.append):
        pytest.fail("it started")
    assert "\n" not in str(error.value)
    (line,) = said
    assert line.startswith("Ray did not start (Timed out waiting")
    assert line.endswith("); trying once more")
    assert not ray.is_initialized()
    assert dict(os.environ) == before  # a `PYTHONPATH` that stayed would be that of all that is started later


@pytest.mark.parametrize("address", [None, "auto"])
def test_an_address_of_the_environment_where_nobody_listens_is_named_within_seconds(
    address: str | None, ray_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    began = time.monotonic()
    refused = pytest.raises(InputError, match=r"at `RAY_ADDRESS=127.0.0.1:1` \(.*refused\); .* or unset RAY_ADDRESS")
    with refused, connected(address, Wanted(1), pytest.fail):
        pytest.fail("it started")
    assert time.monotonic() - began < 10.0
    assert not ray.is_initialized()


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_where_paths_of_sockets_would_be_too_long_ray_gets_a_short_folder_for_the_time_that_it_runs(
    variable: str, ray_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv(variable, str(deep))
    said: list[str] = []
    with connected(None, Wanted(1), said.append) as resources:
        assert ray.cluster_resources()["CPU"] == resources.cpus == 1
        (line,) = said
        taken = Path(line.split("Ray takes ")[1].split(" instead")[0])
        assert taken.is_dir()
    assert line.startswith(f"{variable} has {len(os.fsencode(deep))} bytes, too many for the sockets")
    assert not taken.exists()
    assert len(str(taken)) < len(tempfile.gettempdir()) + 30


def test_workers_start_where_a_shell_would_take_the_path_of_the_interpreter_apart(
    ray_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "My $Projects (1)"
    here.symlink_to(Path(sys.executable).parent.parent, target_is_directory=True)
    monkeypatch.setattr(sys, "executable", str(here / "bin" / Path(sys.executable).name))
    own = {"runtime_env": {"env_vars": {"OMP_NUM_THREADS": "1"}}}  # Tune's actors have one too, and a shell starts them
    with connected(None, Wanted(1), pytest.fail):
        started = ray.get(ray.remote(lambda: sys.executable).options(**own).remote(), timeout=120)
    assert started == sys.executable


def listening() -> set[str]:
    """Return the addresses that this process and all that it has started listen on."""
    here = psutil.Process()
    found = [c for p in (here, *here.children(recursive=True)) for c in p.net_connections("inet")]
    return {c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN}


def is_this_machine(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_ray_listens_on_this_machine_alone_keeps_its_folder_and_token_private_and_its_workers_priority(
    ray_home: Path,
) -> None:
    token = ray_home / ".ray" / "auth_token"
    token.chmod(0o644)
    before = listening()
    said: list[str] = []
    with connected(None, Wanted(1), said.append):
        assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)  # a worker is as important as its search
        ours = listening() - before
        folder = Path(ray.get_runtime_context().get_temp_dir()).parent
        assert ours, "Ray listens somewhere, or this test sees nothing"
        assert [address for address in ours if not is_this_machine(address)] == []
        assert folder.parent == ray_home
        assert mode(folder) == 0o700
        assert mode(token) == 0o600
    assert said == [f"others could read {token}; now only you can"]
    assert not folder.exists()


class TestToken:
    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
        monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
        return tmp_path

    def test_it_is_made_once_and_for_its_user_alone(self, home: Path) -> None:
        umask = os.umask(0)
        try:
            with ThreadPoolExecutor(8) as many:
                closed = list(many.map(lambda _: keep_token(), range(8)))
        finally:
            os.umask(umask)
        first = find_token()
        assert (mode(home / ".ray"), mode(home / ".ray" / "auth_token"), closed) == (0o700, 0o600, [False] * 8)
        assert keep_token() is False
        assert find_token() == first
        assert len(first or "") == 64
        assert [path.name for path in (home / ".ray").iterdir()] == ["auth_token"]

    def test_one_that_lies_elsewhere_is_found_and_closed_and_none_is_made(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (home / "mine").write_text("abc\n")
        (home / "mine").chmod(0o640)
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "mine"))
        assert keep_token() is True
        assert (find_token(), mode(home / "mine")) == ("abc", 0o600)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "xyz")
        assert keep_token() is False
        assert find_token() == "xyz"
        assert not (home / ".ray").exists()

    def test_nothing_is_made_where_the_user_wants_no_tokens(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        assert keep_token() is False
        assert find_token() is None


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "[::1]")])
def test_a_head_is_knocked_at_by_addresses_of_both_kinds(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as listening:
        try:
            listening.bind((host.strip("[]"), 0))
        except OSError:
            pytest.skip("this machine has no such address")
        listening.listen()
        address = f"{host}:{listening.getsockname()[1]}"
        assert answers(address)
    assert not answers(address)
