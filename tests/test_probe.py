"""Nodes are looked at before anything is computed there: what is wrong is said, and such a node is left out."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from searches import Process, check_results, check_trials, command, furnish, trials_of, wait_for

from weightflow.errors import InputError
from weightflow.search.cluster import connection, probe
from weightflow.search.cluster import nodes as cluster_nodes
from weightflow.search.cluster.connection import connected
from weightflow.search.cluster.nodes import Joining, nodes, resources_of_cluster
from weightflow.search.cluster.probe import Build, look
from weightflow.search.cluster.resources import Resources, Wanted

pytestmark = [pytest.mark.ray, pytest.mark.timeout(450)]
DRIVER = Build.here()


def test_what_results_depend_on_is_compared_whatever_torch_was_built_for() -> None:
    assert {"Python", "torch", "numpy", "POT"} < set(DRIVER.versions)
    assert DRIVER.versions["Python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert "+" not in DRIVER.versions["torch"]
    assert DRIVER.unlike(DRIVER) == ""
    other = replace(DRIVER, versions={**DRIVER.versions, "torch": "2.0.0", "numpy": "1.0"})
    assert other.unlike(DRIVER) == (
        f"numpy 1.0 instead of {DRIVER.versions['numpy']}, torch 2.0.0 instead of {DRIVER.versions['torch']}"
    )


def test_too_little_memory_and_disk_are_told_with_the_node(ray_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        assert look(DRIVER, gpu=False) == ""
        monkeypatch.setattr(probe, "LEAST_MEMORY", 2.0**60)
        monkeypatch.setattr(probe, "LEAST_DISK", 2.0**60)
        said = look(DRIVER, gpu=False)
        assert re.fullmatch(
            r"node \S+: it has only \S+ GiB of memory free; it has only \S+ GiB free on the disk of Ray's folder", said
        )
    finally:
        ray.shutdown()


def add_node(cluster: Cluster, first: Path) -> None:
    """Start a node of two CPUs that finds modules in a folder before all others."""
    path = os.pathsep.join(filter(None, [str(first), os.environ.get("PYTHONPATH", "")]))
    cluster.add_node(num_cpus=2, env_vars={"PYTHONPATH": path})


@pytest.mark.slow
def test_a_node_with_other_libraries_and_one_that_cannot_load_it_are_left_out_and_the_search_does_without(
    tmp_path: Path,
    start_cluster: Callable[..., Cluster],
    ray_environment: dict[str, str],
    node_apart: Callable[..., object],
) -> None:
    folder, other, broken = furnish(tmp_path), tmp_path / "other", tmp_path / "broken"
    installed = Path(
        str(metadata.distribution("torchcde").locate_file(f"torchcde-{metadata.version('torchcde')}.dist-info"))
    )
    shutil.copytree(installed, other)
    about = (other / "METADATA").read_text()
    (other / "METADATA").write_text(re.sub(r"^Version: .*$", "Version: 0.2.1", about, flags=re.MULTILINE))
    broken.mkdir()
    (broken / "torch.py").write_text("raise ImportError('libcudart.so.13 is missing')\n")
    cluster = start_cluster()
    add_node(cluster, broken)
    node_apart(str(cluster.address), f"mount --bind '{other}'", installed)
    words = f"--address {cluster.address} --trials 2 --time-budget 1h --scheduler none --name fit"
    asked = command(*words.split())
    del asked[asked.index("--cpus") : asked.index("--cpus") + 2]  # all that there are
    code, said, err = Process(folder, ray_environment, asked).end()
    assert (code, err) == (0, ""), said + err
    (told,) = re.findall(r"^left out: (.*)$", said.replace("\n  ", " "), re.MULTILINE)
    theirs = f"it has torchcde 0.2.1 instead of {metadata.version('torchcde')}; install there what the driver has"
    assert re.search(rf"node \S+: {re.escape(theirs)}", told), told
    assert re.search(r"node \S+ cannot load what trials need: libcudart.so.13 is missing", told)
    assert "1 CPU(s), 0 GPU(s), 1 trial(s) at a time" in said
    check_trials(trials_of(folder, "fit"), 2)
    check_results(folder / "out" / "fit")


@pytest.mark.slow
def test_where_no_node_is_left_the_search_ends_with_that_and_one_that_joins_is_looked_at(
    tmp_path: Path, start_cluster: Callable[..., Cluster]
) -> None:
    broken, said = tmp_path / "broken", list[str]()
    broken.mkdir()
    (broken / "torch.py").write_text("raise ImportError('libcudart.so.13 is missing')\n")
    cluster = start_cluster(num_cpus=0)
    add_node(cluster, broken)
    ray.init(address=cluster.address, log_to_driver=False)
    head, bad = sorted(nodes(), key=lambda node: node.cpus)
    joining = Joining(Resources(2, 0, (head,)), said.append)
    joining.look(60.0)
    assert joining.refused == [bad.id]
    ray.shutdown()
    refused = pytest.raises(InputError, match=r"no node of the cluster can be used: node \S+ cannot load what")
    with refused, connected(str(cluster.address), Wanted(), said.append):
        pytest.fail("it began")
    assert said == [f"left out: node {bad.address} cannot load what trials need: libcudart.so.13 is missing"]


@pytest.mark.slow
def test_a_node_whose_gpu_is_busy_is_used_and_that_is_said(
    start_cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    cluster = start_cluster(num_gpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    busy: Any = ray.remote(num_gpus=1)(lambda: Event().wait())
    busy.remote()
    wait_for(lambda: not ray.available_resources().get("GPU"))
    (here,) = nodes()
    monkeypatch.setattr(cluster_nodes, "PROBE_SECONDS", 5.0)
    resources = resources_of_cluster(Wanted(), said.append)
    assert (resources.cpus, resources.gpus, resources.refused) == (1, 1, ())
    assert said == [
        f"node {here.address} did not answer within 5 s, as where its GPU is busy, or where the path of its Python "
        "has a space, with which Ray starts nothing; it is used without having been looked at"
    ]
