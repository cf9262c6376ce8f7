"""What a node must have before anything is computed there: looked at once, on the node, as soon as it is known."""

import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

import psutil
import ray

from weightflow.search.cluster.gpu import look as look_at_gpu
from weightflow.search.cluster.resources import GIB, Amount

NUMERICAL = ("numpy", "POT", "safetensors", "scipy", "torch", "torchcde", "torchdiffeq")
LEAST_MEMORY, LEAST_DISK = GIB, GIB / 2  # of what is free: a process of torch alone takes half of that memory


@dataclass(frozen=True)
class Build:
    """What results depend on beside data, configuration, seed and our own code, which the driver sends along.

    Attributes:
        versions: by names; of torch, whichever device it was built for.
    """

    versions: Mapping[str, str]

    @classmethod
    def here(cls) -> "Build":
        """Return that of this process."""
        releases = {name: metadata.version(name).partition("+")[0] for name in NUMERICAL}
        return cls({"Python": ".".join(platform.python_version_tuple()[:2]), **releases})

    def unlike(self, driver: "Build") -> str:
        """Say what is other than on the driver; empty where nothing is."""
        other = {name: self.versions[name] for name, there in driver.versions.items() if self.versions[name] != there}
        return ", ".join(f"{name} {here} instead of {driver.versions[name]}" for name, here in other.items())


def look(driver: Build, gpu: bool) -> str:
    """Return, on a node, why nothing should be computed there; empty where nothing speaks against it.

    Args:
        driver: what is installed where the search runs.
        gpu: whether the node has a GPU that is to be used; one was given to this task.
    """
    problems = {
        "it has {}; install there what the driver has": Build.here().unlike(driver),
        "it has only {} of memory free": _too_little(psutil.virtual_memory().available, LEAST_MEMORY),
        "it has only {} free on the disk of Ray's folder": _too_little(_free_disk(), LEAST_DISK),
    }
    found = [text.format(what) for text, what in problems.items() if what]
    if found:
        return f"node {ray.util.get_node_ip_address()}: {'; '.join(found)}"
    return look_at_gpu() if gpu else ""


def _too_little(free: Amount, least: Amount) -> str:
    return f"{free / GIB:.2g} GiB" if free < least else ""


def _free_disk() -> int:
    return shutil.disk_usage(ray.get_runtime_context().get_temp_dir()).free
