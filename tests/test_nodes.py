"""Nodes of several shapes run what fits each."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray import tune
from ray.cloudpickle import register_pickle_by_value
from ray.cluster_utils import Cluster
from test_study import EPOCHS, open_study

from weightflow.data import Fold, Snapshots, Split
from weightflow.search.cluster.nodes import nodes
from weightflow.search.cluster.resources import Resources, Wanted
from weightflow.search.study.options import SearchOptions
from weightflow.search.trials import tuner
from weightflow.search.trials.depot import depot
from weightflow.search.trials.stopper import Stopper
from weightflow.search.trials.trainable import Task
from weightflow.search.trials.tuner import run_trials
from weightflow.trials import SchedulerName, TrialState

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]
SHAPES = ((8, 0), (4, 2), (1, 2), (2, 1))  # CPUs and GPUs, the head first


class Log:
    """Where trials run, and where they ran when most did at a time."""

    def __init__(self) -> None:
        self.running: dict[int, str] = {}
        self.most: list[str] = []
        self.changed = asyncio.Condition()

    async def begin(self, number: int, node: str) -> None:
        async with self.changed:
            self.running[number] = node
            self.most = max(self.most, list(self.running.values()), key=len)
            self.changed.notify_all()

    async def end(self, number: int) -> None:
        del self.running[number]

    async def reached(self, number: int) -> None:
        """Return once so many have run at a time."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.most) >= number)

    async def seen(self) -> list[str]:
        return self.most


def waiting_trial(asked: dict[str, Any], task: Any) -> None:
    """Run until as many trials do as there should be, and for as long as one too many would take to come."""
    number, log = asked["number"], ray.get_actor("log")
    if asked["makes"]:
        tune.report({"number": number, "prepared": True})
    ray.get(log.begin.remote(number, ray.get_runtime_context().get_node_id()))
    ray.wait([log.reached.remote(task.seed)], timeout=200)
    ray.wait([log.reached.remote(task.seed + 1)], timeout=3)
    ray.get(log.end.remote(number))
    for epoch in range(1, EPOCHS + 1):
        tune.report({"number": number, "epoch": epoch, "score": 1.0, "seconds": float(epoch)})


@pytest.mark.parametrize(
    ("wanted", "most"),
    [
        ({}, (0, 2, 2, 1)),  # the third has half a CPU beside each GPU: all trials take a whole GPU
        ({"gpus_per_trial": 0.5, "cpus_per_trial": 0.25}, (0, 4, 4, 2)),
        ({"gpus": 0, "cpus_per_trial": 3}, (2, 1, 0, 0)),
    ],
)
def test_each_node_runs_as_many_trials_as_fit_it(
    wanted: dict[str, Any],
    most: Sequence[int],
    start_cluster: Callable[..., Cluster],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register_pickle_by_value(sys.modules[__name__])  # workers do not find the modules of tests
    monkeypatch.setattr(tuner, "train_trial", waiting_trial)
    (head_cpus, head_gpus), *others = SHAPES
    cluster = start_cluster(num_cpus=head_cpus, num_gpus=head_gpus)
    for cpus, gpus in others:
        cluster.add_node(num_cpus=cpus, num_gpus=gpus)
    ray.init(address=cluster.address, log_to_driver=False)
    there = nodes()
    shapes = {node.id: SHAPES.index((int(node.cpus), int(node.gpus))) for node in there}
    resources = Resources.choose(there, Wanted(**wanted))
    assert resources.concurrent_trials == sum(most)
    options = SearchOptions(trials=sum(most) + 2, time_budget=1e9, stop_at_floor=False, scheduler=SchedulerName.NONE)
    started: Any = ray.remote(Log)
    study, log = open_study(tmp_path, options), started.options(name="log", num_cpus=0).remote()
    part = Snapshots(np.arange(2.0), (np.zeros((2, 1)), np.ones((2, 1))))
    split = Split("by hand", part, (Fold(part, part),), (Fold(part, part),))
    with depot(tmp_path, tmp_path) as kept:
        stopper, task = Stopper(study, options, 1.0, 0.0), Task(split, sum(most), kept, False)
        run_trials(study, stopper, resources, [], task, tmp_path / "tune", print)
    seen = Counter(shapes[node] for node in ray.get(log.seen.remote()))
    assert {record.state for record in study.all()} == {TrialState.FINISHED}
    assert len(study.all()) == sum(most) + 2
    assert tuple(seen[shape] for shape in range(len(SHAPES))) == tuple(most)
