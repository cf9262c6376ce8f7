"""What trials leave and what they share: on the disk of the driver's machine, whatever folders the nodes have.

An actor beside the driver keeps it. Checkpoints and pieces of preparations travel through Ray's object store, so that
nodes need no folder in common; a trial that is tried again, on whichever node, goes on from what was left. Pieces pass
by reference: a node fetches each one once.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ObjectLostError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from safetensors import SafetensorError

from weightflow.cache import ArrayCache, key
from weightflow.errors import SearchError
from weightflow.files import Arrays, read_arrays, write_arrays
from weightflow.search.trials.disk import disk_problem

AT_A_TIME = 4  # of what is asked; disks of many machines answer slowly
ATTEMPTS = 3  # to fetch a piece: its reference dies with the actor, which comes back without it
Left = tuple[Arrays, dict[str, Any]]  # a checkpoint, and facts beside it


class Keeper:
    """The actor: it has nothing but references that is not on the disk, and can be started again at any time."""

    def __init__(self, cache: Path, checkpoints: Path) -> None:
        self.cache = ArrayCache(cache)
        self.checkpoints = checkpoints
        self._references: dict[str, ray.ObjectRef] = {}

    def piece(self, purpose: str, depends_on: Mapping[str, Any]) -> "list[ray.ObjectRef]":
        """Return a reference to the arrays of a piece; none where it was not made yet."""
        name = key(purpose, depends_on)
        if name not in self._references:
            if (arrays := self.cache.get(purpose, depends_on)) is None:
                return []
            self._references[name] = ray.put(arrays)
        return [self._references[name]]

    def keep(self, purpose: str, depends_on: Mapping[str, Any], arrays: Arrays) -> str:
        """Keep a piece; return why that was not possible."""
        self._references[key(purpose, depends_on)] = ray.put(arrays)
        return _problem(lambda: self.cache.put(purpose, depends_on, arrays))

    def checkpoint(self, number: int) -> Left | None:
        """Return the checkpoint of a trial; None where there is none, or a damaged one."""
        try:
            return read_arrays(self._file(number))
        except (FileNotFoundError, SafetensorError):
            return None

    def save(self, number: int, arrays: Arrays, facts: Mapping[str, Any]) -> str:
        """Keep a checkpoint of a trial; return why that was not possible."""
        return _problem(lambda: write_arrays(self._file(number), arrays, facts))

    def drop(self, number: int) -> None:
        """Remove the checkpoint of a trial that goes on no more."""
        self._file(number).unlink(missing_ok=True)

    def _file(self, number: int) -> Path:
        return self.checkpoints / f"{number:04d}.safetensors"


@dataclass(frozen=True)
class Depot:
    """The keeper as trials know it; a `Cache` of pieces.

    Attributes:
        keeper: the actor.
    """

    keeper: Any

    def get_or_make(self, purpose: str, depends_on: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """Return a piece that was made before, or make it and let others have it, if only for as long as it lasts."""
        if (found := self._piece(purpose, depends_on)) is not None:
            return found
        arrays = make()
        ray.get(self.keeper.keep.remote(purpose, depends_on, arrays))
        return arrays

    def checkpoint(self, number: int) -> Left | None:
        """Return the checkpoint of a trial, if there is one."""
        return ray.get(self.keeper.checkpoint.remote(number))

    def save(self, number: int, arrays: Arrays, facts: Mapping[str, Any]) -> str:
        """Leave a checkpoint of a trial; return why that was not possible."""
        return ray.get(self.keeper.save.remote(number, arrays, facts))

    def drop(self, number: int) -> None:
        """Remove the checkpoint of a trial that goes on no more, some time from now."""
        self.keeper.drop.remote(number)

    def _piece(self, purpose: str, depends_on: Mapping[str, Any]) -> Arrays | None:
        for _ in range(ATTEMPTS):
            reference = ray.get(self.keeper.piece.remote(purpose, depends_on))
            try:
                return ray.get(reference[0]) if reference else None
            except ObjectLostError:  # with its keeper
                continue
        raise SearchError(f"`{purpose}` was lost {ATTEMPTS} times on its way from the driver to a trial")


@contextmanager
def depot(cache: Path, checkpoints: Path) -> Generator[Depot, None, None]:
    """Keep, on this machine, what trials leave until the end of a block."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(Keeper)
    lasting = {"max_restarts": -1, "max_task_retries": -1, "max_concurrency": AT_A_TIME}
    keeper = actor.options(num_cpus=0, scheduling_strategy=here, **lasting).remote(cache, checkpoints)
    try:
        yield Depot(keeper)
    finally:
        ray.kill(keeper)


def _problem(write: Callable[[], None]) -> str:
    try:
        write()
    except (OSError, SafetensorError) as error:
        return disk_problem(error) or str(error)
    return ""
