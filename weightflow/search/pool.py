"""Fits in parallel: Ray actors, one for each GPU or share of the CPUs.

A pooled base comes first; then each worker fine-tunes its part of the snapshots from it as one batch. Results come back
as return values, so that they outlive the actor, and the driver keeps them on disk. A worker that dies is started again
by Ray and its call is repeated.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from ray.util import ActorPool

from weightflow.anchors import Alignment, Anchors, ArrayCache, fit_anchors, fit_base
from weightflow.backbones import Backbone
from weightflow.data import Snapshots
from weightflow.experiment import ExperimentConfig, Prepared, Trial, teach
from weightflow.model import WeightFlow
from weightflow.search.resources import Resources, worker_device

RESTARTS = 3
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Problem:
    """What every worker needs to know; it lies in the object store once."""

    backbone: Backbone
    snapshots: Snapshots
    config: ExperimentConfig
    seed: int


class AnchorWorker:
    """Fits anchors, teachers and whole models; it keeps nothing, so that a restarted one is as good as the first."""

    def __init__(self) -> None:
        self.device = worker_device()

    def base(self, p: Problem) -> np.ndarray:
        """Fit the pooled base."""
        return fit_base(p.backbone, p.snapshots, p.config.anchors, p.seed, self.device)

    def anchors(self, p: Problem, indices: Sequence[int], base: np.ndarray) -> Anchors:
        """Fine-tune the anchors of some snapshots as one batch."""
        return fit_anchors(p.backbone, p.snapshots, indices, base, p.config.anchors, p.seed, self.device)

    def whole(self, prepared: Prepared, config: ExperimentConfig, seed: int, record: dict[str, Any]) -> WeightFlow:
        """Train one phi to its end and return the model."""
        trial = Trial(prepared, config, seed, self.device, record)
        for _ in trial.epochs():
            pass
        return trial.model()

    def teacher(self, p: Problem, width: float, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fit the teacher of one bridge width."""
        return teach(p.backbone, p.snapshots, base, width, p.config, p.seed, self.device)


class Crew:
    """The workers, started when the first of them is needed and dismissed at the end of a `with` block.

    Attributes:
        resources: how many workers there may be.
        cache: what was fitted before is taken from here.
        say: told what took how long.
    """

    def __init__(self, resources: Resources, cache: ArrayCache, say: Say) -> None:
        self.resources = resources
        self.cache = cache
        self.say = say
        self.workers: list[Any] = []

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        """Give the workers' memory and CPUs back."""
        for worker in self.workers:
            ray.kill(worker)
        self.workers = []

    def prepare(self, snapshots: Snapshots, config: ExperimentConfig, seed: int, widths: Sequence[float]) -> Prepared:
        """Fit, or fetch from the cache, what depends on the data alone: anchors, and a teacher per bridge width."""
        problem = Problem(config.backbone.build(snapshots, seed), snapshots, config, seed)
        key = _key(problem)
        with self._timed(f"anchors of {len(snapshots)} snapshots", not self.cache.holds("anchors", key)):
            arrays = self.cache.get_or_make("anchors", key, lambda: self._fit_anchors(problem))
        teacher = {**key, "teacher": config.teacher.model_dump(mode="json")}
        keys = {width: {**teacher, "width": width} for width in sorted(set(widths))}
        missing = [width for width, key in keys.items() if not self.cache.holds("teacher", key)]
        with self._timed(f"{len(keys)} teacher path(s)", bool(missing)):
            made = self._fit_teachers(problem, missing, arrays["base"]) if missing else {}
            stored = {w: self.cache.get_or_make("teacher", key, lambda w=w: made[w]) for w, key in keys.items()}
        teachers = {width: (one["times"], one["tokens"]) for width, one in stored.items()}
        return Prepared(snapshots, problem.backbone, Anchors(arrays["times"], arrays["tokens"]), teachers)

    def fit(self, prepared: Prepared, config: ExperimentConfig, seed: int, record: dict[str, Any]) -> WeightFlow:
        """Train one model to its end."""
        self._start(1)
        with self._timed(f"final fit to {len(prepared.snapshots)} snapshots", True):
            return ray.get(self.workers[0].whole.remote(prepared, config, seed, record))

    def _fit_anchors(self, problem: Problem) -> dict[str, np.ndarray]:
        self._start(len(problem.snapshots))
        shared = ray.put(problem)
        base: np.ndarray = ray.get(self.workers[0].base.remote(shared))
        indices = range(len(problem.snapshots))
        # a chain is fitted link by link; everything else is shared out, neighbours together
        chained = problem.config.anchors.alignment is Alignment.CHAIN
        parts = [
            part.tolist() for part in np.array_split(indices, 1 if chained else min(len(self.workers), len(indices)))
        ]
        anchors = Anchors.join(self._share(lambda worker, part: worker.anchors.remote(shared, part, base), parts))
        return {"base": base, "times": anchors.times, "tokens": anchors.tokens}

    def _fit_teachers(
        self, problem: Problem, widths: Sequence[float], base: np.ndarray
    ) -> dict[float, dict[str, np.ndarray]]:
        self._start(len(widths))
        shared = ray.put(problem)
        made = self._share(lambda worker, width: worker.teacher.remote(shared, width, base), widths)
        return {width: {"times": one[0], "tokens": one[1]} for width, one in zip(widths, made, strict=True)}

    def _share(self, call: Callable[[Any, Any], Any], tasks: Sequence[Any]) -> list[Any]:
        """Give each task to the next free worker; results in the order of the tasks."""
        return list(ActorPool(self.workers).map(call, list(tasks)))

    def _start(self, tasks: int) -> None:
        """Start workers until there is one for each task, or all that may be."""
        gpus = 1 if self.resources.gpus else 0
        worker = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=RESTARTS, max_task_retries=RESTARTS)(AnchorWorker)
        while len(self.workers) < min(tasks, self.resources.workers):
            self.workers.append(worker.remote())

    @contextmanager
    def _timed(self, what: str, is_work: bool) -> Generator[None, None, None]:
        began = time.perf_counter()
        yield
        how = f"on {len(self.workers)} worker(s)" if is_work else "from the cache"
        self.say(f"{what} {how} in {time.perf_counter() - began:.1f} s")


def _key(problem: Problem) -> dict[str, Any]:
    backbone = problem.backbone
    return {
        "data": problem.snapshots.digest(),
        "backbone": backbone.model_dump(mode="json"),
        "anchors": problem.config.anchors.model_dump(mode="json"),
        "seed": problem.seed,
    }
