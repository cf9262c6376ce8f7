"""Starting Ray on this machine: never with more than there is, and with one line and a second try where it fails."""

import os
import tempfile
from pathlib import Path

import pytest
import ray

from weightflow.errors import InputError, SearchError
from weightflow.search.cluster import connected

LATE = "RAY_gcs_server_port_wait_time_s"  # Ray's own: how long it waits for its control store to start

pytestmark = [pytest.mark.ray, pytest.mark.timeout(450)]


@pytest.mark.parametrize(("cpus", "gpus"), [(999, None), (0, None), (-1, None), (None, 99), (None, -1)])
def test_what_is_not_there_is_refused_before_ray_starts(cpus: int | None, gpus: int | None, ray_home: Path) -> None:
    refused = pytest.raises(InputError, match=r"was asked for, but \d+ .PU\(s\) can be used here")
    with refused, connected(None, cpus, gpus, pytest.fail):
        pytest.fail("it started")
    assert not ray.is_initialized()


def test_a_start_that_times_out_is_tried_once_more_and_then_told_in_one_line(
    ray_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LATE, "0")
    said: list[str] = []
    refused = pytest.raises(SearchError, match=r"Ray could not be started, nor a second time: Timed out")
    with refused as error, connected(None, 1, None, said.append):
        pytest.fail("it started")
    assert "\n" not in str(error.value)
    (line,) = said
    assert line.startswith("Ray did not start (Timed out waiting")
    assert line.endswith("); trying once more")
    assert not ray.is_initialized()


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_where_paths_of_sockets_would_be_too_long_ray_gets_a_short_folder_for_the_time_that_it_runs(
    variable: str, ray_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv(variable, str(deep))
    said: list[str] = []
    with connected(None, 1, None, said.append) as resources:
        assert ray.cluster_resources()["CPU"] == resources.cpus == 1
        (line,) = said
        taken = Path(line.split("Ray takes ")[1].split(" instead")[0])
        assert taken.is_dir()
    assert line.startswith(f"{variable} has {len(os.fsencode(deep))} bytes, too many for the sockets")
    assert not taken.exists()
    assert len(str(taken)) < len(tempfile.gettempdir()) + 30
