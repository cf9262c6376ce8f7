"""One function for each of some items: one after the other, or side by side; what comes out is the same.

A thread more or less changes the last digits of a sum, and with them all that a fit becomes. So each item is computed
by one thread, however many processes there are.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar, runtime_checkable

import joblib
import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@runtime_checkable
class Mapper(Protocol):
    """Calls a function with each item, as `map` does, perhaps in several processes, which must be able to import it."""

    def __call__(self, function: Callable[[Item], Result], items: Sequence[Item], /) -> Iterable[Result]:
        """Yield the results in the order of the items."""
        ...


def in_turn(function: Callable[[Item], Result], items: Sequence[Item], /) -> Iterator[Result]:
    """Call the function here, with one item after the other."""
    for item in items:
        with one_thread():
            result = function(item)
        yield result


def in_processes(cpus: int) -> Mapper:
    """Return what calls a function in as many processes as there are CPUs to use; with one CPU, in this process."""

    def side_by_side(function: Callable[[Item], Result], items: Sequence[Item], /) -> Iterator[Result]:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            parallel = joblib.Parallel(n_jobs=min(cpus, len(items)), return_as="generator")
            yield from parallel(joblib.delayed(function)(item) for item in items)

    return in_turn if cpus == 1 else side_by_side


@contextmanager
def one_thread() -> Generator[None, None, None]:
    """Let torch compute with one thread of this process while the block lasts.

    Networks as small as these gain nothing by more: on two quiet cores two threads took 0.8 to 1.1 times the time of
    one, for 1.5 times the CPU time. Where others compute beside them, threads wait for each other in turn, and a fit of
    13 seconds took more than six minutes.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
