"""What has a density, and its log-likelihood of samples at many times."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from weightflow.data.words import written
from weightflow.errors import WeightFlowError
from weightflow.model import Numbers

AT_ONCE = 20_000  # samples evaluated in one call: fewer calls mean fewer rollouts, more samples more memory


@runtime_checkable
class Density(Protocol):
    """Anything with a normalised log-density."""

    def log_prob(self, x: Numbers, t: Numbers) -> Float[Tensor, "*shape"]:
        """Log-density of samples (draw, dim) at one time, or (time, draw, dim) at several."""
        ...


def log_densities(
    name: str, model: Density, times: Float[np.ndarray, "time"], clouds: Sequence[Float[np.ndarray, "_ dim"]]
) -> tuple[Float[np.ndarray, "_"], ...]:
    """Evaluate the log-density of each cloud's samples at its time, in nats.

    Raises:
        WeightFlowError: a log-density is not finite; the message says whose and where.
    """
    values = evaluated(model, times, clouds)
    for time, value in zip(times, values, strict=True):
        if not np.isfinite(value).all():
            raise WeightFlowError(f"`{name}` returned a log-density that is not finite at t={written(time)}.")
    return values


def evaluated(
    model: Density, times: Float[np.ndarray, "time"], clouds: Sequence[Float[np.ndarray, "_ dim"]]
) -> tuple[Float[np.ndarray, "_"], ...]:
    """Evaluate log-densities, whatever they are: many times in one call, which is one solution of the dynamics.

    Smaller clouds are filled up with their own samples, whose values are left out again.
    """
    sizes = [len(cloud) for cloud in clouds]
    filled = [np.resize(cloud, (max(sizes), cloud.shape[1])) for cloud in clouds]
    step = max(1, AT_ONCE // max(sizes))
    values: list[np.ndarray] = []
    for start in range(0, len(times), step):
        some = slice(start, start + step)
        values.extend(np.asarray(model.log_prob(np.stack(filled[some]), times[some]), dtype=np.float64))
    return tuple(value[:size] for value, size in zip(values, sizes, strict=True))
