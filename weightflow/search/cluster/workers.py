"""Fits in parallel: Ray actors, one for each GPU or share of the CPUs.

A pooled base comes first, and the bridge beside it; then each worker fine-tunes its part of the snapshots from the base
as one batch, while one fits the teacher. Several sets of snapshots, such as folds, are fitted side by side. Results
come back as return values, so that they outlive the actor, and the driver keeps them on disk. A call goes to whichever
worker has started and is free; one whose worker dies, or whose machine leaves, is made again by another.
"""

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import ray
from ray.exceptions import ObjectLostError, OutOfMemoryError, RayActorError, RayError, RayTaskError

from weightflow.anchors import Anchors
from weightflow.cache import ArrayCache
from weightflow.data import Snapshots
from weightflow.errors import SearchError, first_line
from weightflow.experiment import ExperimentConfig, Preparation, Prepared, Trial
from weightflow.files import Arrays
from weightflow.model import WeightFlow
from weightflow.progress import Progress, unseen
from weightflow.search.cluster.estimate import batches
from weightflow.search.cluster.footprint import Footprint
from weightflow.search.cluster.gpu import worker_device
from weightflow.search.cluster.resources import Resources
from weightflow.search.say import Say

Item = TypeVar("Item")
Result = TypeVar("Result")
RETRIES = 3
LOST = (RayActorError, ObjectLostError, OutOfMemoryError)
PATIENCE = 60  # seconds without any news, after which the user is told what is waited for
Stand = tuple[str, int, int]  # phase, done, total
LOOK = 1.0  # seconds after which workers are asked how far they are


class AnchorWorker:
    """Makes pieces of preparations, and whole models; it keeps nothing: any other one is as good."""

    def __init__(self) -> None:
        self.device = worker_device()
        self._at: Stand | None = None

    def ready(self) -> None:
        """Return once it has started."""

    def progress(self) -> Stand | None:
        """Return which phase it is in, and how far; answered by a second thread while the first one works."""
        return self._at

    def base(self, preparation: Preparation) -> Arrays:
        """Fit the pooled base."""
        return preparation.base(self.device, progress=self._tell)

    def bridge(self, preparation: Preparation) -> Arrays:
        """Couple the snapshots and choose a curve."""
        return preparation.bridge(self.device, progress=self._tell)

    def anchors(self, preparation: Preparation, indices: Sequence[int], base: Arrays) -> Arrays:
        """Fine-tune the anchors of some snapshots as one batch."""
        return preparation.anchors(indices, base, self.device, progress=self._tell)

    def teacher(self, preparation: Preparation, base: Arrays, bridge: Arrays) -> Arrays:
        """Fit the teacher."""
        return preparation.teacher(base, bridge, self.device, progress=self._tell)

    def whole(self, prepared: Prepared, config: ExperimentConfig, seed: int, record: dict[str, Any]) -> WeightFlow:
        """Train one phi to its end and return the model."""
        trial = Trial(prepared, config, seed, self.device, record, self._tell)
        for _ in trial.epochs():
            pass
        return trial.finished()

    def footprint(self, prepared: Sequence[Prepared], config: ExperimentConfig, seed: int) -> Footprint:
        """Measure what a trial takes."""
        return Footprint.of(prepared, config, seed, self.device)

    def apply(self, function: Callable[[Any], Any], item: Any) -> Any:
        """Call a function; how far it is, nobody is told."""
        self._at = None
        return function(item)

    def _tell(self, phase: str, done: int, total: int) -> None:
        self._at = (phase, done, total)


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of a preparation.

    Attributes:
        preparation: to which it belongs.
        shared: the same in the object store.
        name: which one it is.
        needs: other pieces that it is made from.
    """

    preparation: Preparation
    shared: ray.ObjectRef
    name: str
    needs: Sequence[Arrays] = ()

    @cached_property
    def depends_on(self) -> dict[str, Any]:
        """What the piece depends on."""
        return self.preparation.depends_on(self.name)

    @cached_property
    def key(self) -> str:
        """What tells it from other pieces; those of different preparations may be one and the same."""
        return json.dumps([self.name, self.depends_on], sort_keys=True)


class WorkerPool:
    """The workers, started when the first of them is needed and dismissed at the end of a `with` block.

    Attributes:
        resources: how many workers there may be.
        cache: what was fitted before is taken from here.
        say: told what took how long.
        progress: told how far the workers are together.
    """

    def __init__(self, resources: Resources, cache: ArrayCache, say: Say, progress: Progress = unseen) -> None:
        self.resources = resources
        self.cache = cache
        self.say = say
        self.progress = progress
        self._free: list[Any] = []
        self._told: set[str] = set()
        self._underway: dict[ray.ObjectRef, tuple[Any, int | None]] = {}  # worker, and call; None: it starts

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        """Give the workers' memory and CPUs back."""
        for worker in (*self._free, *(worker for worker, _ in self._underway.values())):
            ray.kill(worker)
        self._free.clear()
        self._underway.clear()

    def prepare(self, parts: Sequence[Snapshots], config: ExperimentConfig, seed: int) -> tuple[Prepared, ...]:
        """Fit, or fetch from the cache, what does not depend on phi: for all parts side by side."""
        (prepared,) = self.prepare_each(parts, [config], seed)
        return prepared

    def prepare_each(
        self, parts: Sequence[Snapshots], configs: Sequence[ExperimentConfig], seed: int
    ) -> list[tuple[Prepared, ...]]:
        """Do so for each configuration, all side by side; pieces that depend on the same are made once."""
        made = [Preparation(part, config, seed) for config in configs for part in parts]
        shared = [ray.put(preparation) for preparation in made]
        pairs = list(zip(made, shared, strict=True))
        first = self._pieces("base and bridge", [Piece(*pair, name) for pair in pairs for name in ("base", "bridge")])
        bases, bridges = first[::2], first[1::2]
        anchors = self._anchors(pairs, bases)
        fitted = [Piece(*pair, "teacher", needed) for pair, *needed in zip(pairs, bases, bridges, strict=True)]
        teachers = self._pieces("teacher path", fitted)
        done = iter(one.assemble(*pieces) for one, *pieces in zip(made, anchors, bridges, teachers, strict=True))
        return [tuple(islice(done, len(parts))) for _ in configs]

    def fit(
        self, prepared: Sequence[Prepared], config: ExperimentConfig, seed: int, record: dict[str, Any]
    ) -> tuple[WeightFlow, ...]:
        """Train a model on each to its end, side by side."""
        with self._timed(f"final fit to {_sizes(prepared)}", len(prepared)):
            models = dict(self._run([("whole", (one, config, seed, record)) for one in prepared]))
        return tuple(models[i] for i in range(len(prepared)))

    def footprint(self, prepared: Sequence[Prepared], config: ExperimentConfig, seed: int) -> Footprint:
        """Measure what a trial takes that trains on each of these, folds, side by side."""
        ((_, taken),) = self._run([("footprint", (prepared, config, seed))])
        return taken

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], /) -> Iterator[Result]:
        """Call a function with each item, side by side, and yield the results in the order of the items."""
        shared, early, due = ray.put(function), dict[int, Result](), 0
        for index, result in self._run([("apply", (shared, item)) for item in items]):
            early[index] = result
            while due in early:
                yield early.pop(due)
                due += 1

    @contextmanager
    def on_cpus(self) -> Generator["WorkerPool", None, None]:
        """Return as many workers as there are CPUs, for what no GPU makes faster."""
        if not self.resources.gpus:
            yield self
            return
        with WorkerPool(replace(self.resources, gpus=0), self.cache, self.say, self.progress) as pool:
            yield pool

    def _pieces(self, what: str, pieces: Sequence["Piece"]) -> list[Arrays]:
        """Have the pieces that the cache lacks made side by side, and keep each one as it comes."""
        found, missing = self._found(pieces)
        with self._timed(what, len(missing)):
            for call, arrays in self._run([(piece.name, (piece.shared, *piece.needs)) for piece in missing]):
                found[missing[call].key] = self._keep(missing[call], arrays)
        return [found[piece.key] for piece in pieces]

    def _found(self, pieces: Sequence["Piece"]) -> tuple[dict[str, Arrays], list["Piece"]]:
        """Return what the cache has, by keys of pieces, and one piece for each that it lacks."""
        each = {piece.key: piece for piece in pieces}
        asked = {key: self.cache.get(piece.name, piece.depends_on) for key, piece in each.items()}
        found = {key: arrays for key, arrays in asked.items() if arrays is not None}
        return found, [piece for key, piece in each.items() if key not in found]

    def _anchors(self, pairs: Sequence[tuple[Preparation, ray.ObjectRef]], bases: Sequence[Arrays]) -> list[Arrays]:
        """Share the snapshots out, neighbours together; a chain is fitted link by link."""
        pieces = [Piece(*pair, "anchors", (base,)) for pair, base in zip(pairs, bases, strict=True)]
        found, missing = self._found(pieces)
        each = missing or pieces
        calls = [(piece, batch.tolist()) for piece in missing for batch in self._batches(piece.preparation, len(each))]
        with self._timed(f"anchors of {_sizes([piece.preparation for piece in each])}", len(calls)):
            made = dict(self._run([("anchors", (piece.shared, batch, *piece.needs)) for piece, batch in calls]))
        for piece in missing:
            own = [made[call] for call, (owner, _) in enumerate(calls) if owner is piece]
            joined = Anchors.join([Anchors(part["times"], part["tokens"]) for part in own])
            found[piece.key] = self._keep(piece, {"times": joined.times, "tokens": joined.tokens})
        return [found[piece.key] for piece in pieces]

    def _batches(self, preparation: Preparation, parts: int) -> list[np.ndarray]:
        n = len(preparation.snapshots)
        return np.array_split(range(n), batches(preparation.config, n, self.resources.workers, parts))

    def _keep(self, piece: "Piece", arrays: Arrays) -> Arrays:
        return self.cache.get_or_make(piece.name, piece.depends_on, lambda: arrays)

    def _run(self, calls: Sequence[tuple[str, tuple[Any, ...]]]) -> Iterator[tuple[int, Any]]:
        """Make calls (a method of a worker, its arguments), and yield the index and the result of each as it comes.

        Raises:
            SearchError: the workers of one call died again and again.
        """
        waiting, missing, deaths = deque(range(len(calls))), len(calls), Counter[int | None]()
        parts: dict[int, Stand] = {}  # how far each call is
        heard = time.monotonic()
        while missing:
            self._start(missing)
            while waiting and self._free:
                worker, index = self._free.pop(), waiting.popleft()
                method, arguments = calls[index]
                self._underway[getattr(worker, method).remote(*arguments)] = (worker, index)
            news, _ = ray.wait(list(self._underway), timeout=LOOK)
            if news:
                heard = time.monotonic()
            elif self._all_start() and time.monotonic() - heard > PATIENCE:
                heard = time.monotonic()
                self.say("waiting for the cluster to have a free CPU or GPU")
            self._look(parts)
            for done in news:
                worker, index = self._underway.pop(done)
                try:
                    result = ray.get(done)
                except RayTaskError as error:  # what the call itself raised, with Ray's trace in the place of its words
                    raise error.cause from error
                except LOST as error:
                    ray.kill(worker)  # it may be out of reach and yet alive
                    deaths[index] += 1
                    _check_deaths(deaths[index], "starting" if index is None else calls[index][0], error)
                    waiting.extendleft([] if index is None else [index])
                    continue
                self._free.append(worker)
                if index is not None:
                    missing -= 1
                    if index in parts:
                        phase, _, total = parts[index]
                        parts[index] = (phase, max(total, 1), max(total, 1))
                        self._tell(parts)
                    yield index, result

    def _all_start(self) -> bool:
        """Whether no worker works yet."""
        return all(index is None for _, index in self._underway.values())

    def _look(self, parts: dict[int, Stand]) -> None:
        """Ask those that work how far they are, and tell it; who does not answer at once is not waited for."""
        asked = {worker.progress.remote(): index for worker, index in self._underway.values() if index is not None}
        if not asked:
            return
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK)
        for answer in answered:
            with suppress(RayError):  # the worker is lost, which its call will tell
                if (stand := ray.get(answer)) is not None:
                    parts[asked[answer]] = stand
        self._tell(parts)

    def _tell(self, parts: dict[int, Stand]) -> None:
        """Tell how far all calls of a phase are together, and that those are over which no call is in any more."""
        phases = {phase for phase, _, _ in parts.values()}
        for phase in self._told - phases:
            self.progress(phase, 1, 1)
        for phase in phases:
            some = [(done, total) for name, done, total in parts.values() if name == phase]
            self.progress(phase, sum(done for done, _ in some), sum(total for _, total in some))
        self._told = phases

    def _start(self, tasks: int) -> None:
        """Start workers until there is one for each task, or all that may be."""
        share = self.resources.per_worker
        worker: Any = ray.remote(
            num_cpus=share["cpu"], num_gpus=share.get("gpu", 0), label_selector=self.resources.labels
        )(AnchorWorker)
        while len(self._free) + len(self._underway) < min(tasks, self.resources.workers):
            new = worker.options(max_concurrency=2).remote()  # one thread works, the other one tells how far it is
            self._underway[new.ready.remote()] = (new, None)

    @contextmanager
    def _timed(self, what: str, calls: int) -> Generator[None, None, None]:
        began = time.perf_counter()
        yield
        how = f"on {min(calls, self.resources.workers)} worker(s)" if calls else "from the cache"
        self.say(f"{what} {how} in {time.perf_counter() - began:.1f} s")


def _sizes(fitted: Sequence[Preparation | Prepared]) -> str:
    """Say how many snapshots are fitted, in which fits."""
    sizes = " or ".join(dict.fromkeys(str(len(one.snapshots)) for one in fitted))
    return f"{sizes} snapshots" if len(fitted) == 1 else f"{sizes} snapshots, {len(fitted)} times"


def _check_deaths(deaths: int, what: str, last: Exception) -> None:
    if deaths > RETRIES:
        raise SearchError(
            f"workers died {deaths} times at `{what}`, the last time because: {first_line(last)}"
        ) from last
