"""A trial that runs out of memory is tried again; where it was that of a GPU, with a larger share of it."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import ray
import torch
from ray import tune
from ray.air.execution._internal import actor_manager
from ray.cloudpickle import register_pickle_by_value
from ray.exceptions import RayActorError
from ray.tune.execution import tune_controller
from test_study import EPOCHS, open_study, report

from weightflow.data import Fold, Snapshots, Split
from weightflow.search.cluster import connection
from weightflow.search.cluster.nodes import Joining
from weightflow.search.cluster.resources import Node, Resources, Wanted
from weightflow.search.study.options import SearchOptions
from weightflow.search.study.study import Study
from weightflow.search.trials import tuner
from weightflow.search.trials.depot import depot
from weightflow.search.trials.making import Making
from weightflow.search.trials.stopper import Stopper
from weightflow.search.trials.trainable import Task
from weightflow.search.trials.tuner import StudyCallback, StudySearcher, run_trials
from weightflow.trials import SchedulerName, TrialState

OPTIONS = SearchOptions(trials=1, time_budget=1e9, stop_at_floor=False, scheduler=SchedulerName.NONE)
GIB = 2**30
QUARTERS = Resources.choose([Node(16, 4)], Wanted())
NOBODY = Joining(Resources(1, 0), print)  # joins: no Ray is there
NOTHING = Making([], 1)  # is prepared yet
LOST = "\n".join([
    "Failure # 1 (occurred at 2026-01-01_00-00-00)",
    'ray.exceptions.RayTaskError(OutOfMemoryError): ray::ImplicitFunc.train() (pid=1, ip=127.0.0.1)',
    '  File "trial.py", line 1, in train_trial',
    "    epochs()",
    "%s",
])  # fmt: skip
CUDA = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.2 GiB"


@pytest.mark.parametrize(
    ("wanted", "shares"),
    [
        ({}, [0.25, 0.5, 1.0, 1.0]),
        ({"gpus_per_trial": 0.3}, [0.3, 0.6, 1.0, 1.0]),
        ({"gpus_per_trial": 1}, [1, 1, 1, 1]),
        ({"gpus_per_trial": 2}, [2, 2, 2, 2]),
    ],
)
def test_a_share_is_doubled_until_it_is_a_whole_gpu(wanted: dict[str, Any], shares: list[float]) -> None:
    resources = Resources.choose([Node(16, 4)], Wanted(**wanted))
    assert [resources.enlarged(n).get("gpu") for n in range(4)] == shares
    assert {resources.enlarged(n)["cpu"] for n in range(4)} == {resources.per_trial["cpu"]}
    assert "gpu" not in Resources.choose([Node(4)], Wanted()).enlarged(3)


def test_a_trial_without_enough_gpu_memory_gets_more_also_in_the_next_process_and_another_failure_none(
    tmp_path: Path,
) -> None:
    study, dropped = open_study(tmp_path, OPTIONS), list[int]()
    for failure, doublings in ((CUDA, 1), ("ValueError: no such thing", 1)):
        callback = StudyCallback(
            study, Stopper(study, OPTIONS, 1.0, 0.25), QUARTERS, NOBODY, NOTHING, dropped.append, print
        )
        asked = StudySearcher(study, callback.stopper, callback.joining, NOTHING).suggest("a")
        (tmp_path / "error").write_text(LOST % failure)
        failed = SimpleNamespace(config=asked, last_result={}, error_file=str(tmp_path / "error"))
        callback.failed.append(failed)
        callback.on_step_end(0, [])
        assert study.doublings(0) == doublings
        study.close()
        study = open_study(tmp_path, OPTIONS)
    again = StudySearcher(study, Stopper(study, OPTIONS, 1.0, 0.25), NOBODY, NOTHING).suggest("b")
    assert (again["number"], again["doublings"]) == (0, 1)
    assert dropped == []  # it goes on
    assert report(study, 0, 0.5, 1, EPOCHS).state is TrialState.FINISHED


def test_it_is_said_what_a_trial_gets_and_a_whole_gpu_is_tried_again_as_it_is(tmp_path: Path) -> None:
    study, dropped = open_study(tmp_path, OPTIONS), list[int]()
    callback = StudyCallback(
        study, Stopper(study, OPTIONS, 1.0, 0.25), QUARTERS, NOBODY, NOTHING, dropped.append, print
    )
    assert study.next_trial() is not None
    assert callback._retried(0, CUDA.removeprefix("torch."))
    assert study.records[0].reason.endswith("79.2 GiB; it gets 0.5 of a GPU from now on")
    whole = Resources.choose([Node(16, 4)], Wanted(gpus_per_trial=1))
    callback = called(study, whole, dropped)
    assert study.next_trial() is not None
    assert callback._retried(0, CUDA.removeprefix("torch."))
    assert study.records[0].reason.endswith("79.2 GiB")


def called(study: Study, resources: Resources, dropped: list[int]) -> StudyCallback:
    stopper = Stopper(study, OPTIONS, 1.0, resources.per_trial["gpu"])
    return StudyCallback(study, stopper, resources, NOBODY, NOTHING, dropped.append, print)


def needy_trial(asked: dict[str, Any], task: Any) -> None:
    """Need the memory of half a GPU."""
    share = float(ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0))
    if share < 0.5:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    for epoch in range(1, EPOCHS + 1):
        tune.report({"number": asked["number"], "epoch": epoch, "score": share, "seconds": float(epoch)})


def run_here(study: Study, resources: Resources, folder: Path) -> None:
    """Run the trials of a study on a Ray of this machine, with 4 CPUs and a declared GPU."""
    register_pickle_by_value(sys.modules[__name__])  # workers do not find the modules of tests
    connection.ray.init("local", num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False)
    try:
        stopper = Stopper(study, study.options, 1.0, 0.25)
        part = Snapshots(np.arange(2.0), (np.zeros((2, 1)), np.ones((2, 1))))
        split = Split("by hand", part, (Fold(part, part),), (Fold(part, part),))
        with depot(folder, folder) as kept:
            run_trials(study, stopper, resources, [], Task(split, 0, kept, False), folder / "tune", print)
    finally:
        ray.shutdown()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ray_gives_the_larger_share(ray_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuner, "train_trial", needy_trial)
    options = SearchOptions(trials=2, time_budget=1e9, stop_at_floor=False, scheduler=SchedulerName.NONE)
    study = open_study(tmp_path, options)
    run_here(study, Resources.choose([Node(4, 1)], Wanted()), tmp_path)
    assert [record.state for record in study.all()] == [TrialState.FINISHED] * 2
    assert [(record.retries, record.score) for record in study.all()] == [(1, 0.5)] * 2
    assert not list((tmp_path / "tune").rglob("result.json"))
    assert not list((tmp_path / "tune").rglob("*.csv"))
    assert not list((tmp_path / "tune").rglob("*tfevents*"))


def hungry_trial(asked: dict[str, Any], task: Any) -> None:
    """Take memory until Ray's memory monitor ends this process, long before there is none."""
    taken: list[np.ndarray] = []
    while psutil.virtual_memory().available > GIB:
        taken.append(np.ones(GIB // 4, np.uint8))


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(450)
@pytest.mark.parametrize("as_ray_has_it", [actor_manager, tune_controller])
@pytest.mark.usefixtures("memory_to_itself", "ray_home")
def test_ray_alone_breaks_off_a_search_where_its_memory_monitor_ends_a_trial(
    as_ray_has_it: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a search goes on is tested where trials go wrong; a later Ray that needs no change of these fails here."""
    memory = psutil.virtual_memory()
    if memory.available < 7 * GIB:
        pytest.skip(f"only {memory.available / GIB:.1f} GiB of memory are free")
    most = memory.total - memory.available + 4 * GIB  # more than what other tests take meanwhile
    monkeypatch.setenv("RAY_memory_usage_threshold", str(most / memory.total))
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    monkeypatch.setattr(tuner, "train_trial", hungry_trial)
    monkeypatch.setattr(as_ray_has_it, RayActorError.__name__, RayActorError)
    study = open_study(tmp_path, OPTIONS)
    with pytest.raises(Exception, match=r"OutOfMemoryError|running low on memory"):
        run_here(study, Resources.choose([Node(4)], Wanted()), tmp_path)
    assert study.all()[0].state is not TrialState.FINISHED
