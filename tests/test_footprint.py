"""What a trial takes is measured, and no machine is given more of them than it can hold."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from ray.cluster_utils import Cluster
from searches import (
    Process,
    check_results,
    check_trials,
    checkpoints,
    command,
    furnish,
    runs,
    trials_of,
    write_long_space,
)

from weightflow.data import Snapshots
from weightflow.experiment import ExperimentConfig, prepare
from weightflow.search.cluster.footprint import CONTEXT, Footprint
from weightflow.search.cluster.resources import GIB, Node, Resources, Wanted

QUICK = {
    "anchors": {"base_steps": 2, "steps": 2, "rounds": 1},
    "teacher": {"steps": 2, "rounds": 1},
    "bridge": {"drift_steps": 0},
}


@pytest.mark.parametrize("kind", ["ode", "cde", "direct"])
@pytest.mark.parametrize("folds", [1, 2])
def test_first_steps_of_every_kind_of_trial_are_measured(kind: str, folds: int) -> None:
    taken = measured({"kind": kind}, folds, "cpu")
    assert (taken.gpu_memory, taken.gpu_total, taken.busy) == (0.0, 0.0, 0.0)
    here = psutil.Process().memory_info().rss
    assert 0.8 * here < taken.memory < 1.2 * here
    assert str(taken) == f"{taken.memory / GIB:.2g} GiB of memory"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_larger_model_takes_more_of_a_gpu() -> None:
    small, large = (measured({"hidden": hidden}, 1, "cuda") for hidden in (32, 512))
    assert CONTEXT < small.gpu_memory < large.gpu_memory < large.gpu_total
    assert 0 < small.busy < 0.5  # it waits for its process most of the time
    assert 0 < large.busy <= 1
    assert small.per_gpu > 1


def measured(dynamics: dict[str, Any], folds: int, device: str) -> Footprint:
    rng = np.random.default_rng(0)
    snapshots = Snapshots(np.arange(3.0), tuple(rng.poisson(3 + t, (30, 2)).astype(float) for t in range(3)))
    config = ExperimentConfig.parse({**QUICK, "dynamics": dynamics})
    prepared = [prepare(snapshots, config, seed, device) for seed in range(folds)]
    return Footprint.of(prepared, config, 0, torch.device(device))


@pytest.mark.parametrize(
    ("taken", "trials"),
    [
        (Footprint(GIB, 1 * GIB, 80 * GIB, 0.01), 72),  # as many as its memory holds, with some room
        (Footprint(GIB, 1 * GIB, 80 * GIB, 0.0), 72),
        (Footprint(GIB, 1 * GIB, 80 * GIB, 0.3), 4),  # as many as keep it busy
        (Footprint(GIB, 1 * GIB, 80 * GIB, 1.0), 1),
        (Footprint(GIB, 30 * GIB, 80 * GIB, 0.05), 2),
        (Footprint(GIB, 79 * GIB, 80 * GIB, 0.05), 1),  # it is tried
    ],
)
def test_a_gpu_is_shared_by_as_many_as_it_holds_and_are_needed_to_keep_it_busy(taken: Footprint, trials: int) -> None:
    assert taken.per_gpu == trials


@pytest.mark.parametrize(
    ("nodes", "wanted", "per_gpu", "memory", "trials", "share"),
    [
        ([Node(16, 1, 64 * GIB)], {}, 12, GIB, 12, {"cpu": 1.0, "gpu": 1 / 12}),
        ([Node(64, 1, 64 * GIB)], {}, 72, GIB, 16, {"cpu": 1.0, "gpu": 1 / 16}),  # of more nothing was measured
        ([Node(64, 4, 64 * GIB)], {}, 2, GIB, 8, {"cpu": 1.0, "gpu": 1 / 2}),
        ([Node(16, 1, 64 * GIB)], {"gpus_per_trial": 1}, 12, GIB, 1, {"cpu": 1.0, "gpu": 1}),
        ([Node(16, 1, 6 * GIB)], {}, 12, 2 * GIB, 3, {"cpu": 1.0, "gpu": 1 / 12, "memory": 2 * GIB}),
        ([Node(16, 0, 64 * GIB)], {}, 8, GIB, 16, {"cpu": 1.0}),  # memory is counted only where it is short
        ([Node(16, 0, 8 * GIB)], {}, 8, 3 * GIB, 2, {"cpu": 1.0, "memory": 3 * GIB}),
        ([Node(4, 0, 64 * GIB), Node(16, 0, 8 * GIB)], {}, 8, 3 * GIB, 6, {"cpu": 1.0, "memory": 3 * GIB}),
        ([Node(4, 0, 2 * GIB)], {}, 8, 3 * GIB, 1, {"cpu": 1.0, "memory": 2 * GIB}),  # it is tried
        ([Node(16, 0, 8 * GIB)], {"memory_per_trial": GIB}, 8, 3 * GIB, 8, {"cpu": 1.0, "memory": GIB}),
        ([Node(4)], {}, 8, 3 * GIB, 4, {"cpu": 1.0}),  # nobody knows how much memory there is
    ],
)
def test_trials_are_as_many_as_machines_hold(
    nodes: list[Node], wanted: dict[str, Any], per_gpu: int, memory: int, trials: int, share: dict[str, float]
) -> None:
    fitted = Resources.choose(nodes, Wanted(**wanted)).fitted(per_gpu, memory)
    assert (fitted.concurrent_trials, fitted.per_trial) == (trials, share)


def test_nothing_is_measured_where_the_user_has_said_what_a_trial_takes() -> None:
    def unsettled(node: Node, **wanted: Any) -> bool:
        return Resources.choose([node], Wanted(**wanted)).unsettled

    said = {"memory_per_trial": 2.0**30}
    assert unsettled(Node(2))
    assert not unsettled(Node(2), **said)
    assert unsettled(Node(2, 1), **said)
    assert unsettled(Node(2, 1), gpus_per_trial=0.5)
    assert not unsettled(Node(2, 1), gpus_per_trial=0.5, **said)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_on_a_machine_with_many_cpus_and_little_memory_no_more_trials_run_than_it_holds(
    tmp_path: Path, start_cluster: Callable[..., Cluster], ray_environment: dict[str, str]
) -> None:
    folder = furnish(tmp_path)
    write_long_space(folder)
    cluster = start_cluster(num_cpus=8, memory=int(1.5 * GIB))
    words = f"--address {cluster.address} --cpus 8 --trials 6 --time-budget 1h --scheduler none --name little"
    process = Process(folder, ray_environment, command(*words.split(), space="long.yaml"))
    process.until(lambda: checkpoints(folder / "out" / "little"))
    at_a_time: list[int] = []
    process.until(lambda: at_a_time.append(workers()) or len(at_a_time) == 20, pause=0.1)
    code, said, err = process.end()
    assert (code, err) == (0, ""), said + err
    told = re.search(r"a trial takes (\S+) GiB of memory: 8 CPU\(s\), 0 GPU\(s\), (\d) trial\(s\) at a time", said)
    assert told is not None, said
    memory, trials = float(told[1]), int(told[2])
    assert 0.2 < memory < 1.2
    assert trials == max(1, int(1.5 / (1.25 * memory) + 0.05)) < 8
    assert max(at_a_time) == trials
    check_trials(trials_of(folder, "little"), 6)
    check_results(folder / "out" / "little")


def workers() -> int:
    """Return how many trials run on the nodes that this process has started."""
    below = psutil.Process().children(recursive=True)
    return sum(runs(one) and one.name().startswith("ray::ImplicitFu") for one in below)
