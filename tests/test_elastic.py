"""A cluster that grows: what a search asks for, what it begins with, and which nodes it leaves out."""

import json
import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray
from ray import tune
from ray.cluster_utils import Cluster
from searches import free_port, wait_for
from test_submit import ray_node, wait_for_port

from weightflow.errors import InputError
from weightflow.search.cluster.connection import connected
from weightflow.search.cluster.nodes import Joining, nodes
from weightflow.search.cluster.resources import Resources, Wanted
from weightflow.search.trials.tuner import _reserved

COMMANDS = (
    "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
    "head_start_ray_commands", "worker_start_ray_commands",
)  # fmt: skip
pytestmark = [pytest.mark.ray, pytest.mark.timeout(450)]


@contextmanager
def head(environment: dict[str, str], folder: Path, kinds: dict[str, dict[str, float]]) -> Generator[str, None, None]:
    """Run a head of one CPU; with kinds of nodes, its autoscaler starts real node processes of them when asked to."""
    port, log = free_port(), folder / "head"
    address = f"{ray.util.get_node_ip_address()}:{port}"
    words = ["--head", "--num-cpus", "1", "--port", str(port), "--dashboard-port", str(free_port())]
    words += ["--ray-client-server-port", str(free_port())]
    if kinds:
        types = {
            kind: {"resources": dict(offers), "node_config": {}, "min_workers": 0, "max_workers": 2}
            for kind, offers in kinds.items()
        }
        types["ray.head.default"] = {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 0}
        config = {
            "cluster_name": "fake",
            "max_workers": 4,
            "idle_timeout_minutes": 5,
            "provider": {
                "type": "fake_multinode",
                "gcs_address": address,
                "use_node_id_as_ip": True,
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
            },
            "available_node_types": types,
            "head_node_type": "ray.head.default",
            "upscaling_speed": 1.0,
            "auth": {},
            "file_mounts": {},
            "cluster_synced_files": [],
            **{key: [] for key in COMMANDS},
        }
        (folder / "cluster.yaml").write_text(json.dumps(config))
        words += ["--autoscaling-config", str(folder / "cluster.yaml")]
    fake = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with ray_node({**environment, **fake}, log, *words) as node:
        wait_for_port(port, node, log)
        yield address


@pytest.mark.slow
def test_more_than_is_there_is_asked_for_begun_without_and_used_as_it_comes(
    ray_environment: dict[str, str], ray_home: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    with (
        head(ray_environment, tmp_path, {"worker": {"CPU": 1}}) as address,
        connected(address, Wanted(cpus=3), said.append) as resources,
    ):
        assert (resources.cpus, resources.concurrent_trials, resources.wanted.elastic) == (3, 3, True)
        assert re.match(r"begins with [12] CPU\(s\) and 0 GPU\(s\) on [12] node\(s\); waits for [12] more", said[-1])
        wait_for(lambda: len(nodes()) == 3, 120, 0.5)
        where = ray.remote(num_cpus=1)(lambda: ray.get_runtime_context().get_node_id())
        wait_for(lambda: len(set(ray.get([where.remote() for _ in range(6)]))) > 1, 60)


@pytest.mark.slow
def test_the_first_gpu_is_waited_for_and_one_that_torch_cannot_see_is_refused_by_node_driver_and_build(
    ray_environment: dict[str, str], blind: dict[str, str], ray_home: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    refused = pytest.raises(InputError, match=r"no GPU of the cluster can be used: the GPU of node \S+ cannot be seen")
    with (
        head({**ray_environment, **blind}, tmp_path, {"gpu": {"CPU": 2, "GPU": 1}}) as address,
        refused as error,
        connected(address, Wanted(gpus=1), said.append),
    ):
        pytest.fail("it began")
    assert said == ["waiting for the first of 1 GPU(s): none is there yet, and the cluster was asked for them"]
    assert re.search(r"torch \S+, which is built (without CUDA|for CUDA \S+); (no|the) driver", str(error.value))


@pytest.mark.slow
def test_on_a_cluster_of_fixed_size_more_than_there_is_stays_an_error_unless_nodes_will_join(
    ray_environment: dict[str, str], ray_home: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    with head(ray_environment, tmp_path, {}) as address:
        refused = pytest.raises(InputError, match=r"`--cpus 3` was asked for, but 1 CPU\(s\) can be used here")
        with refused, connected(address, Wanted(cpus=3), said.append):
            pytest.fail("it began")
        with connected(address, Wanted(cpus=3, elastic=True), said.append) as resources:
            assert resources.concurrent_trials == 3
    assert said == [
        "begins with 1 CPU(s) and 0 GPU(s) on 1 node(s); waits for 2 more CPU(s), and uses them as they come"
    ]


@pytest.mark.slow
def test_a_node_that_joins_later_is_left_out_if_torch_cannot_see_its_gpu(
    blind: dict[str, str], start_cluster: Callable[..., Cluster]
) -> None:
    said: list[str] = []
    cluster = start_cluster()
    ray.init(address=cluster.address, log_to_driver=False)
    here = nodes()
    joining = Joining(Resources(2, 1, tuple(here)), said.append)
    joining.look(60.0)
    assert joining.refused == []
    cluster.add_node(num_cpus=1)
    sightless = cluster.add_node(num_cpus=1, num_gpus=1).node_id
    with_gpu = ray.remote(num_gpus=1)(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
    assert ray.get(with_gpu.remote()) == blind["CUDA_VISIBLE_DEVICES"]
    wait_for(lambda: len(nodes()) == 3, 60)
    joining.look(60.0)
    assert joining.refused == [sightless]
    assert len(said) == 1
    assert re.match(r"left out: the GPU of node \S+ cannot be seen by torch \S+, which is built", said[0])
    placed = _reserved(Resources(2, 0), {"refused": tuple(joining.refused)})
    elsewhere = [{"ray.io/node-id": f"!in({sightless})"}]
    assert placed == tune.PlacementGroupFactory([{"CPU": 1.0}], bundle_label_selector=elsewhere)
    assert placed != tune.PlacementGroupFactory([{"CPU": 1.0}])
    joining.look(60.0)
    assert len(said) == 1
