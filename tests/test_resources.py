"""What a search takes of a machine: all of it, or what was asked for and is there."""

import os
import subprocess
import sys
from typing import Any

import pytest

from weightflow.errors import InputError
from weightflow.search.cluster.resources import Node, Resources, Wanted, read_memory, usable_cpus


def choose(*nodes: Node, **wanted: Any) -> Resources:
    return Resources.choose(nodes, Wanted(**wanted))


def test_everything_that_ray_sees_is_used_by_default() -> None:
    assert (choose(Node(2)).cpus, choose(Node(2)).gpus) == (2, 0)
    several = choose(Node(8, 1), Node(8, 3))
    assert (several.cpus, several.gpus) == (16, 4)


@pytest.mark.parametrize(("cpus", "gpus"), [(0, None), (9, None), (None, 5), (None, -1)])
def test_more_than_there_is_and_less_than_nothing_are_refused(cpus: int | None, gpus: int | None) -> None:
    with pytest.raises(InputError, match=r"(8 CPU|4 GPU)\(s\) can be used here; give a number from"):
        choose(Node(8, 4), cpus=cpus, gpus=gpus)


@pytest.mark.parametrize("gpus", [1, -1])
def test_where_there_is_no_gpu_no_number_of_them_is_asked_for(gpus: int) -> None:
    with pytest.raises(InputError, match=rf"^`--gpus {gpus}` .* there is no GPU here; leave the option out, or join"):
        choose(Node(8), gpus=gpus)
    assert choose(Node(8), gpus=0).gpus == 0


@pytest.mark.parametrize(
    ("nodes", "wanted", "workers", "trials", "share"),
    [
        ([Node(2)], {}, 2, 2, {"cpu": 1.0}),
        ([Node(1.5), Node(1.5)], {}, 2, 2, {"cpu": 1.0}),  # no trial takes halves of two machines
        ([Node(16, 1)], {}, 1, 8, {"cpu": 1.0, "gpu": 1 / 8}),
        ([Node(16, 4)], {}, 4, 16, {"cpu": 1.0, "gpu": 1 / 4}),
        ([Node(6, 4)], {}, 4, 4, {"cpu": 1.0, "gpu": 1.0}),
        ([Node(8, 4)], {}, 4, 8, {"cpu": 1.0, "gpu": 1 / 2}),
        ([Node(64), Node(4, 8)], {}, 8, 8, {"cpu": 0.5, "gpu": 1.0}),
        ([Node(64), Node(8, 2)], {}, 2, 8, {"cpu": 1.0, "gpu": 1 / 4}),
        ([Node(1, 2)], {}, 2, 2, {"cpu": 0.5, "gpu": 1.0}),
        ([Node(1, 2), Node(16, 2)], {}, 4, 4, {"cpu": 0.5, "gpu": 1.0}),
        ([Node(4, 8)], {"gpus": 1}, 1, 4, {"cpu": 1.0, "gpu": 1 / 4}),
        ([Node(16, 4)], {"gpus": 0}, 16, 16, {"cpu": 1.0}),
        ([Node(16, 4)], {"cpus": 3}, 4, 3, {"cpu": 1.0, "gpu": 1.0}),
        ([Node(16, 4)], {"gpus_per_trial": 2}, 4, 2, {"cpu": 1.0, "gpu": 2}),
        ([Node(16, 4)], {"gpus_per_trial": 0.3}, 4, 12, {"cpu": 1.0, "gpu": 0.3}),
        ([Node(16)], {"cpus_per_trial": 3}, 16, 5, {"cpu": 3}),
        ([Node(2)], {"cpus_per_trial": 0.1}, 2, 20, {"cpu": 0.1}),
        ([Node(16, 0, 5 * 2**30)], {"memory_per_trial": 2.0**31}, 16, 2, {"cpu": 1.0, "memory": 2.0**31}),
        ([Node(4)], {"gpus": 4, "elastic": True}, 4, 32, {"cpu": 1.0, "gpu": 1 / 8}),
        ([Node(4), Node(4, 1)], {"gpus": 4, "cpus": 6, "elastic": True}, 4, 6, {"cpu": 1.0, "gpu": 1 / 2}),
        ([Node(1)], {"cpus": 5, "elastic": True}, 5, 5, {"cpu": 1.0}),
    ],
)
def test_trials_are_as_many_as_the_shapes_of_nodes_hold_and_no_gpu_is_idle(
    nodes: list[Node], wanted: dict[str, Any], workers: int, trials: int, share: dict[str, float]
) -> None:
    chosen = choose(*nodes, **wanted)
    assert (chosen.workers, chosen.concurrent_trials, chosen.per_trial) == (workers, trials, share)


def test_a_trial_that_no_node_can_hold_is_refused() -> None:
    with pytest.raises(InputError, match=r"no node can hold a trial, which takes 4 CPU; take less"):
        choose(Node(2), Node(2), cpus_per_trial=4)
    for name, value in (("gpus_per_trial", 1.5), ("cpus_per_trial", 0.0), ("memory_per_trial", -1.0)):
        wrong: dict[str, Any] = {name: value}
        with pytest.raises(InputError, match="must be"):
            Wanted(**wrong)


def test_amounts_of_memory_are_read() -> None:
    assert (read_memory("500M"), read_memory("1.5GiB"), read_memory(None)) == (500 * 2**20, 1.5 * 2**30, None)
    with pytest.raises(InputError, match="such as 500M or 2G"):
        read_memory("much")


def test_only_cpus_that_the_process_may_use_are_counted() -> None:
    """A container or a job's share is seen as such: the process is let on one CPU of those that there are."""
    code = "from weightflow.search.cluster.resources import usable_cpus; print(usable_cpus())"
    first = min(os.sched_getaffinity(0))
    words = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{first}}}); {code}"]
    counted = subprocess.run(words, capture_output=True, text=True, check=True, timeout=100).stdout
    assert counted == "1\n"
    assert 1 <= usable_cpus() <= len(os.sched_getaffinity(0))
