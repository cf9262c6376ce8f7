"""The device of a worker, and GPUs that Ray offers and torch cannot see."""

import subprocess

import ray
import torch

from weightflow.errors import SearchError

UNSEEN = "cannot be seen by torch"


def worker_device() -> torch.device:
    """Return the device that Ray gave to this worker.

    Raises:
        SearchError: Ray gave it a GPU that torch cannot see: on its CPU it would compute for hours.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if ray.is_initialized() and ray.get_gpu_ids():
        raise SearchError(unseen_gpu())
    return torch.device("cpu")


def unseen_gpu() -> str:
    """Name the node, its driver and the build of torch that does not see the GPU."""
    build = torch.version.cuda
    how = f"built for CUDA {build}" if build else "built without CUDA"
    return (
        f"the GPU of node {ray.util.get_node_ip_address()} {UNSEEN} {torch.__version__}, which is "
        f"{how}; {_driver()}. Install a torch that fits the driver on that node, or take the node out"
    )


def look() -> str:
    """Return what is wrong with the GPU that this task was given; empty where nothing is."""
    return "" if torch.cuda.is_available() else unseen_gpu()


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "no driver of NVIDIA's answers there"
    return f"the driver there is {said.splitlines()[0]}"
