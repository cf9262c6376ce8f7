"""What can be scored."""

from inspect import signature
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from weightflow.data.words import written
from weightflow.errors import WeightFlowError


@runtime_checkable
class Sampler(Protocol):
    """Anything that draws samples at given times: a model, a baseline, a simulator.

    Samples of different times, and of different seeds, must be independent of each other for intervals to hold.
    """

    def sample(self, times: Float[np.ndarray, "time"], n: int, seed: int) -> Any:
        """Return `n` samples at each of `times`, an array or a CPU tensor of shape (time, n, dim)."""
        ...


def draw(
    name: str,
    sampler: Sampler,
    times: Float[np.ndarray, "time"],
    n: int,
    dim: int,
    seed: int,
    independent: bool = False,
) -> Float[np.ndarray, "time n dim"]:
    """Sample and check what came back; with `independent`, by the option of that name where the sampler has it.

    Raises:
        WeightFlowError: the samples have another shape or are not all finite; the message says whose and where.
    """
    options: dict[str, Any] = {"independent": True} if independent and _has_option(sampler) else {}
    samples = np.asarray(sampler.sample(times, n, seed, **options), dtype=np.float64)
    if samples.shape != (len(times), n, dim):
        raise WeightFlowError(
            f"`{name}` returned samples of shape {samples.shape}, but {n} draws of {dim} species at {len(times)} times "
            f"must have shape {(len(times), n, dim)}."
        )
    finite = np.isfinite(samples).all(axis=(1, 2))
    if not finite.all():
        raise WeightFlowError(
            f"`{name}` returned samples that are not finite at t={written(times[np.argmin(finite)])}."
        )
    return samples


def _has_option(sampler: Sampler) -> bool:
    return "independent" in signature(sampler.sample).parameters
