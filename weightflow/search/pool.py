"""Fits in parallel: Ray actors, one for each GPU or share of the CPUs.

A pooled base comes first, and the bridge beside it; then each worker fine-tunes its part of the snapshots from the base
as one batch, while one fits the teacher. Results come back as return values, so that they outlive the actor, and the
driver keeps them on disk. A worker that dies is started again by Ray and its call is repeated.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import Any, cast

import numpy as np
import ray
from ray.util import ActorPool

from weightflow.anchors import Alignment, Anchors, ArrayCache
from weightflow.data import Snapshots
from weightflow.experiment import ExperimentConfig, Preparation, Prepared, Trial
from weightflow.files import Arrays
from weightflow.model import WeightFlow
from weightflow.search.resources import Resources, worker_device

RESTARTS = 3
Say = Callable[[str], None]


class AnchorWorker:
    """Makes pieces of preparations, and whole models; it keeps nothing: a restarted one is as good as the first."""

    def __init__(self) -> None:
        self.device = worker_device()

    def base(self, preparation: Preparation) -> Arrays:
        """Fit the pooled base."""
        return preparation.base(self.device)

    def bridge(self, preparation: Preparation) -> Arrays:
        """Couple the snapshots and choose a curve."""
        return preparation.bridge()

    def anchors(self, preparation: Preparation, indices: Sequence[int], base: Arrays) -> Arrays:
        """Fine-tune the anchors of some snapshots as one batch."""
        return preparation.anchors(indices, base, self.device)

    def teacher(self, preparation: Preparation, base: Arrays, bridge: Arrays) -> Arrays:
        """Fit the teacher."""
        return preparation.teacher(base, bridge, self.device)

    def whole(self, prepared: Prepared, config: ExperimentConfig, seed: int, record: dict[str, Any]) -> WeightFlow:
        """Train one phi to its end and return the model."""
        trial = Trial(prepared, config, seed, self.device, record)
        for _ in trial.epochs():
            pass
        return trial.model()


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

    def prepare(self, snapshots: Snapshots, config: ExperimentConfig, seed: int) -> Prepared:
        """Fit, or fetch from the cache, what does not depend on phi."""
        preparation = Preparation(snapshots, config, seed)
        base, bridge = self._pieces("base and bridge", preparation, {"base": (), "bridge": ()})
        anchors = self._anchors(preparation, base)
        (teacher,) = self._pieces("teacher path", preparation, {"teacher": (base, bridge)})
        return preparation.assemble(anchors, bridge, teacher)

    def fit(self, prepared: Prepared, config: ExperimentConfig, seed: int, record: dict[str, Any]) -> WeightFlow:
        """Train one model to its end."""
        self._start(1)
        with self._timed(f"final fit to {len(prepared.snapshots)} snapshots", True):
            return ray.get(self.workers[0].whole.remote(prepared, config, seed, record))

    def _pieces(self, what: str, preparation: Preparation, calls: dict[str, tuple[Arrays, ...]]) -> list[Arrays]:
        """Have each piece that the cache lacks made by a worker of its own, side by side."""
        missing = [name for name in calls if not self.cache.holds(name, preparation.depends_on(name))]
        self._start(len(missing))
        with self._timed(what, bool(missing)):
            shared = ray.put(preparation)
            workers = zip(missing, cycle(self.workers), strict=False)
            begun = {name: getattr(worker, name).remote(shared, *calls[name]) for name, worker in workers}
            return [
                self.cache.get_or_make(name, preparation.depends_on(name), lambda name=name: ray.get(begun[name]))
                for name in calls
            ]

    def _anchors(self, preparation: Preparation, base: Arrays) -> Arrays:
        """Share the snapshots out, neighbours together; a chain is fitted link by link."""
        n = len(preparation.snapshots)
        depends_on = preparation.depends_on("anchors")
        missing = not self.cache.holds("anchors", depends_on)
        with self._timed(f"anchors of {n} snapshots", missing):
            return self.cache.get_or_make("anchors", depends_on, lambda: self._fit_anchors(preparation, base))

    def _fit_anchors(self, preparation: Preparation, base: Arrays) -> Arrays:
        n = len(preparation.snapshots)
        chained = preparation.config.anchors.alignment is Alignment.CHAIN
        self._start(1 if chained else n)
        parts = np.array_split(range(n), 1 if chained else min(len(self.workers), n))
        shared = ray.put(preparation)

        def fit(worker: Any, part: np.ndarray) -> Any:
            return worker.anchors.remote(shared, part.tolist(), base)

        made = cast(list[Arrays], list(ActorPool(self.workers).map(fit, list(parts))))
        joined = Anchors.join([Anchors(part["times"], part["tokens"]) for part in made])
        return {"times": joined.times, "tokens": joined.tokens}

    def _start(self, tasks: int) -> None:
        """Start workers until there is one for each task, or all that may be: a machine may have left the cluster."""
        gpus = 1 if self.resources.gpus else 0
        there = int(ray.cluster_resources().get("GPU" if gpus else "CPU", 0))
        worker = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=RESTARTS, max_task_retries=RESTARTS)(AnchorWorker)
        while len(self.workers) < min(tasks, self.resources.workers, max(1, there)):
            self.workers.append(worker.remote())

    @contextmanager
    def _timed(self, what: str, is_work: bool) -> Generator[None, None, None]:
        began = time.perf_counter()
        yield
        how = f"on {len(self.workers)} worker(s)" if is_work else "from the cache"
        self.say(f"{what} {how} in {time.perf_counter() - began:.1f} s")
