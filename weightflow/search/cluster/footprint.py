"""What a trial takes of the machine that it runs on, measured on first steps of the default one."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import Any

import psutil
import torch
from torch.profiler import ProfilerActivity, profile

from weightflow.experiment import Attempt, ExperimentConfig, Prepared
from weightflow.search.cluster.resources import GIB, Amount, Resources

CONTEXT = 0.8 * GIB  # that a process takes of a GPU beside what torch reserves: measured, on an H200
STEPS = 3  # of each phase, on a GPU; on a CPU, where one tells as much, a single one
SPARE = 1.25  # times what a trial's first steps take, for its scores
ROOM = 0.9  # share of a GPU's memory that trials may fill


class Look(Enum):
    """How each of three epochs of a phase is looked at; a profiler slows down what it watches."""

    NOT = "not"  # what is loaded once is loaded
    TIMED = "timed"
    PROFILED = "profiled"


@dataclass(frozen=True)
class Footprint:
    """What one trial takes.

    Attributes:
        memory: bytes of its process.
        gpu_memory: bytes of its GPU, its context included; 0 without one.
        gpu_total: bytes that this GPU has.
        busy: share of the time in which the GPU computes for it.
    """

    memory: Amount
    gpu_memory: Amount = 0.0
    gpu_total: Amount = 0.0
    busy: float = 0.0

    @classmethod
    def of(cls, prepared: Sequence[Prepared], config: ExperimentConfig, seed: int, device: torch.device) -> "Footprint":
        """Train a little, all folds side by side as a trial does, and look.

        On a GPU the time in which it computes is told by the kernels of training alone: what else a trial does, such
        as its scores, leaves the GPU to others.

        Args:
            prepared: what trials share, for each fold.
            config: of the trial.
            seed: rules all random numbers.
            device: on which trials compute; what else this process holds counts as theirs.
        """
        gpu = device.type == "cuda"
        epochs, steps = (2 * len(Look), STEPS) if gpu else (2, 1)
        few = {"epochs": epochs, "warm_share": 0.5, "collocation_steps": steps, "rollout_steps": steps, "rounds": 1}
        little = config.model_copy(update={"training": config.training.model_copy(update=few)})
        attempts = [Attempt(one, little, seed, device) for one in prepared]
        trained = zip(*(attempt.training or () for attempt in attempts), strict=True)
        seconds, computed = _on_gpu(trained) if gpu else (0.0, 0.0)
        for _ in trained:
            pass
        memory = psutil.Process().memory_info().rss
        if not gpu:
            return cls(memory)
        reserved, total = torch.cuda.max_memory_reserved(), torch.cuda.get_device_properties(device).total_memory
        return cls(memory, reserved + CONTEXT, total, min(1.0, computed / seconds))

    def share(self, resources: Resources) -> Resources:
        """Return the resources with as many trials at a time as machines hold."""
        return resources.fitted(self.per_gpu if self.gpu_total else resources.per_gpu, SPARE * self.memory)

    @property
    def per_gpu(self) -> int:
        """Trials that one GPU holds and that keep it busy."""
        holds = int(ROOM * self.gpu_total / self.gpu_memory)
        return max(1, min(holds, math.ceil(1 / self.busy) if self.busy else holds))

    def __str__(self) -> str:
        taken = f"{self.memory / GIB:.2g} GiB of memory"
        if self.gpu_total:
            taken += f" and {self.gpu_memory / GIB:.2g} of a GPU's {self.gpu_total / GIB:.0f} GiB"
            taken += f", which it keeps busy {100 * self.busy:.0f} % of the time"
        return taken


def _on_gpu(trained: Iterator[Any]) -> tuple[float, float]:
    """Train, and return the seconds of an epoch of each phase, and those in which the GPU computed in such epochs."""
    seconds = computed = 0.0
    for _, look in product(range(2), Look):
        watched = (
            profile(activities=[ProfilerActivity.CUDA], acc_events=True) if look is Look.PROFILED else nullcontext()
        )
        began = time.perf_counter()
        with watched as profiled:
            next(trained, None)
            torch.cuda.synchronize()
        if look is Look.TIMED:
            seconds += time.perf_counter() - began
        if profiled is not None:
            computed += sum(event.self_device_time_total for event in profiled.key_averages()) / 1e6
    return seconds, computed
