"""What a search takes of a machine: all of it, or what was asked for and is there."""

import os
import subprocess
import sys

import pytest

from weightflow.errors import InputError
from weightflow.search.resources import Resources, usable_cpus


def test_everything_that_ray_sees_is_used_by_default() -> None:
    assert Resources.choose(2.0, 0.0, None, None) == Resources(2, 0)
    assert Resources.choose(16.0, 4.0, None, None) == Resources(16, 4)


@pytest.mark.parametrize(("cpus", "gpus"), [(0, None), (9, None), (None, 5), (None, -1)])
def test_more_than_there_is_and_less_than_nothing_are_refused(cpus: int | None, gpus: int | None) -> None:
    with pytest.raises(InputError, match=r"(8 CPU|4 GPU)\(s\) can be used here; give a number from"):
        Resources.choose(8.0, 4.0, cpus, gpus)


@pytest.mark.parametrize(
    ("resources", "workers", "trials", "share"),
    [
        (Resources(2, 0), 2, 2, {"cpu": 1.0}),
        (Resources(16, 1), 1, 4, {"cpu": 1.0, "gpu": 1 / 4}),
        (Resources(16, 4), 4, 16, {"cpu": 1.0, "gpu": 1 / 4}),
        (Resources(3, 4), 4, 3, {"cpu": 1.0, "gpu": 1.0}),
        (Resources(6, 4), 4, 6, {"cpu": 1.0, "gpu": 1 / 2}),
    ],
)
def test_trials_share_gpus_by_fractions(
    resources: Resources, workers: int, trials: int, share: dict[str, float]
) -> None:
    assert (resources.workers, resources.concurrent_trials, resources.per_trial) == (workers, trials, share)
    assert trials * share.get("gpu", 0) <= resources.gpus


def test_only_cpus_that_the_process_may_use_are_counted() -> None:
    """A container or a job's share is seen as such: the process is let on one CPU of those that there are."""
    code = "from weightflow.search.resources import usable_cpus; print(usable_cpus())"
    first = min(os.sched_getaffinity(0))
    words = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{first}}}); {code}"]
    counted = subprocess.run(words, capture_output=True, text=True, check=True, timeout=100).stdout
    assert counted == "1\n"
    assert 1 <= usable_cpus() <= len(os.sched_getaffinity(0))
