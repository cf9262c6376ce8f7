"""How busy the machine is that a search is driven from: what MLflow calls system metrics."""

import time
from typing import Any

from mlflow.entities import Metric
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from weightflow.tracking.stored_run import now

_SECONDS = 10.0
PREFIX = "system/"


class Machine:
    """Looks at processors, memory, disk, network and, where `nvidia-ml-py` is installed, NVIDIA GPUs.

    MLflow's own thread for this writes by itself, and gives up for good when the store does not answer once. Here its
    parts only measure; whoever asks writes.

    Args:
        step: of the next point: a search that goes on counts on.
    """

    def __init__(self, step: int) -> None:
        self._monitors: list[BaseMetricsMonitor] = [CPUMonitor(), DiskMonitor(), NetworkMonitor(), *_gpus()]
        self._measure()  # shares of processor time are those since the last look
        self._step = step
        self._looked = time.monotonic()

    def look(self) -> list[Metric]:
        """Return what is measured, every ten seconds; nothing in between."""
        if time.monotonic() - self._looked < _SECONDS:
            return []
        measured, at, step = self._measure(), now(), self._step
        self._looked, self._step = time.monotonic(), step + 1
        return [Metric(f"{PREFIX}{name}", value, at, step) for name, value in measured.items()]

    def _measure(self) -> dict[str, float]:
        measured: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            means: Any = monitor.aggregate_metrics()  # which says of itself that it returns None
            measured |= {name: float(value) for name, value in means.items()}
            monitor.clear_metrics()
        return measured


def _gpus() -> list[BaseMetricsMonitor]:
    try:
        return [GPUMonitor()]
    except (ImportError, RuntimeError):  # no package for it, or no GPU
        return []
