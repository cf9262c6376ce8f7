"""What a search may use of a machine or a cluster."""

import math
from dataclasses import dataclass

import torch
from joblib import cpu_count

from weightflow.errors import InputError

TRIALS_PER_GPU = 4  # a trial's tensors are small: one of them leaves most of a GPU idle


@dataclass(frozen=True)
class Resources:
    """CPUs and GPUs of a search."""

    cpus: int
    gpus: int

    @classmethod
    def choose(cls, seen_cpus: float, seen_gpus: float, cpus: int | None, gpus: int | None) -> "Resources":
        """Take what was asked for, or everything that there is.

        Raises:
            InputError: more was asked for than there is, or less than one CPU.
        """
        have_cpus, have_gpus = int(seen_cpus), int(seen_gpus)
        for name, asked, have, least in (("cpus", cpus, have_cpus, 1), ("gpus", gpus, have_gpus, 0)):
            if asked is not None and not least <= asked <= have:
                raise InputError(
                    f"`--{name} {asked}` was asked for, but {have} {name[:-1].upper()}(s) can be used here; "
                    f"give a number from {least} to {have}, or join a larger cluster with `--address`."
                )
        return cls(cpus if cpus is not None else have_cpus, gpus if gpus is not None else have_gpus)

    @property
    def workers(self) -> int:
        """Workers for the anchors: one for each GPU, or for each CPU where there is none."""
        return self.gpus or self.cpus

    @property
    def concurrent_trials(self) -> int:
        """Trials that run at the same time."""
        return max(1, min(self.cpus, self.gpus * TRIALS_PER_GPU)) if self.gpus else self.cpus

    @property
    def per_trial(self) -> dict[str, float]:
        """What Ray reserves for a trial: one CPU, and an even share of the GPUs."""
        if not self.gpus:
            return {"cpu": 1.0}
        per_gpu = math.ceil(self.concurrent_trials / self.gpus)
        return {"cpu": 1.0, "gpu": 1.0 / per_gpu}

    def __str__(self) -> str:
        return f"{self.cpus} CPU(s), {self.gpus} GPU(s), {self.concurrent_trials} trial(s) at a time"


def usable_cpus() -> int:
    """CPUs that this process may use: those of the machine, unless its affinity or its container allow fewer."""
    return cpu_count()


def worker_device() -> torch.device:
    """Return the device that Ray gave to this worker."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
