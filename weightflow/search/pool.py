"""Anchors and teachers in parallel: Ray actors, one for each GPU or share of the CPUs.

A pooled base comes first; then each worker fine-tunes its part of the snapshots from it as one batch. Results come back
as return values, so that they outlive the actor, and the driver keeps them on disk. A worker that dies is started again
by Ray and its call is repeated.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from ray.util import ActorPool

from weightflow.anchors import Alignment, Anchors, ArrayCache, fit_anchors, fit_base
from weightflow.backbones import GRUBackbone
from weightflow.data import Snapshots
from weightflow.experiment import ExperimentConfig, Prepared, build_backbone, teach
from weightflow.search.resources import Resources, worker_device

RESTARTS = 3
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Problem:
    """What every worker needs to know; it lies in the object store once."""

    backbone: GRUBackbone
    snapshots: Snapshots
    config: ExperimentConfig
    seed: int


@ray.remote(max_restarts=RESTARTS, max_task_retries=RESTARTS)
class AnchorWorker:
    """Fits anchors and teachers; it keeps nothing, so that a restarted one is as good as the first."""

    def __init__(self) -> None:
        self.device = worker_device()

    def base(self, p: Problem) -> np.ndarray:
        """Fit the pooled base."""
        return fit_base(p.backbone, p.snapshots, p.config.anchors, p.seed, self.device)

    def anchors(self, p: Problem, indices: Sequence[int], base: np.ndarray) -> Anchors:
        """Fine-tune the anchors of some snapshots as one batch."""
        return fit_anchors(p.backbone, p.snapshots, indices, base, p.config.anchors, p.seed, self.device)

    def teacher(self, p: Problem, width: float, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fit the teacher of one bridge width."""
        return teach(p.backbone, p.snapshots, base, width, p.config, p.seed, self.device)


def prepare_in_parallel(
    snapshots: Snapshots,
    config: ExperimentConfig,
    seed: int,
    widths: Sequence[float],
    resources: Resources,
    cache: ArrayCache,
    say: Say,
) -> Prepared:
    """Fit, or fetch from the cache, what depends on the data alone; `say` is told what took how long."""
    problem = Problem(build_backbone(snapshots, config.backbone), snapshots, config, seed)
    crew = _Crew(problem, resources)
    key = _key(problem)
    began = time.perf_counter()
    arrays = cache.get_or_make("anchors", key, lambda: crew.fit_anchors(config.anchors.alignment))
    anchors = Anchors(arrays["times"], arrays["tokens"])
    say(f"anchors of {len(snapshots)} snapshots {crew.describe()} in {time.perf_counter() - began:.1f} s")
    began, was_idle = time.perf_counter(), crew.idle
    keys = {
        width: {**key, "teacher": config.teacher.model_dump(mode="json"), "width": width}
        for width in sorted(set(widths))
    }
    teachers = _teachers(cache, keys, crew, arrays["base"])
    fetched = " from the cache" if was_idle and crew.idle else ""
    say(f"{len(teachers)} teacher path(s){fetched} in {time.perf_counter() - began:.1f} s")
    crew.dismiss()
    return Prepared(snapshots, problem.backbone, anchors, teachers)


def _key(problem: Problem) -> dict[str, Any]:
    backbone = problem.backbone
    return {
        "data": problem.snapshots.digest(),
        "backbone": ["gru", backbone.dim, backbone.states, backbone.hidden],
        "anchors": problem.config.anchors.model_dump(mode="json"),
        "seed": problem.seed,
    }


def _teachers(
    cache: ArrayCache, keys: dict[float, dict[str, Any]], crew: "_Crew", base: np.ndarray
) -> dict[float, tuple[np.ndarray, np.ndarray]]:
    missing = [width for width, key in keys.items() if not cache.holds("teacher", key)]
    made = crew.fit_teachers(missing, base) if missing else {}
    stored = {
        width: cache.get_or_make(
            "teacher", key, lambda width=width: dict(zip(("times", "tokens"), made[width], strict=True))
        )
        for width, key in keys.items()
    }
    return {width: (arrays["times"], arrays["tokens"]) for width, arrays in stored.items()}


class _Crew:
    """The workers of one problem, started when the first of them is needed."""

    def __init__(self, problem: Problem, resources: Resources) -> None:
        self.n_snapshots = len(problem.snapshots)
        self.problem = ray.put(problem)
        self.resources = resources
        self.workers: list[Any] = []

    @property
    def idle(self) -> bool:
        """Whether no worker was needed so far."""
        return not self.workers

    def describe(self) -> str:
        return "from the cache" if self.idle else f"on {len(self.workers)} worker(s)"

    def fit_anchors(self, alignment: Alignment) -> dict[str, np.ndarray]:
        self._start()
        base: np.ndarray = ray.get(self.workers[0].base.remote(self.problem))
        indices = range(self.n_snapshots)
        # a chain is fitted link by link; everything else is shared out, neighbours together
        n_parts = 1 if alignment is Alignment.CHAIN else min(len(self.workers), len(indices))
        parts = [[int(i) for i in part] for part in np.array_split(indices, n_parts)]
        anchors = Anchors.join(self._share(lambda worker, part: worker.anchors.remote(self.problem, part, base), parts))
        return {"base": base, "times": anchors.times, "tokens": anchors.tokens}

    def fit_teachers(self, widths: Sequence[float], base: np.ndarray) -> dict[float, tuple[np.ndarray, np.ndarray]]:
        self._start()
        made = self._share(lambda worker, width: worker.teacher.remote(self.problem, width, base), widths)
        return dict(zip(widths, made, strict=True))

    def _share(self, call: Callable[[Any, Any], Any], tasks: Sequence[Any]) -> list[Any]:
        """Give each task to the next free worker; results in the order of the tasks."""
        return list(ActorPool(self.workers).map(call, list(tasks)))

    def dismiss(self) -> None:
        """Give the workers' memory back before the trials start."""
        for worker in self.workers:
            ray.kill(worker)
        self.workers = []

    def _start(self) -> None:
        if self.workers:
            return
        n = min(self.resources.workers, self.n_snapshots)
        share = AnchorWorker.options(num_cpus=1, num_gpus=1 if self.resources.gpus else 0)
        self.workers = [share.remote() for _ in range(n)]
