"""What has a density, and its log-likelihood of samples at many times."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

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
    sizes = [len(cloud) for cloud in clouds]
    step = max(1, AT_ONCE // sizes[0]) if len(set(sizes)) == 1 else 1
    values: list[np.ndarray] = []
    for start in range(0, len(times), step):
        some = slice(start, start + step)
        found = model.log_prob(np.stack(clouds[some]), times[some])
        values.extend(np.asarray(found, dtype=np.float64))
    for time, value in zip(times, values, strict=True):
        if not np.isfinite(value).all():
            raise WeightFlowError(f"`{name}` returned a log-density that is not finite at t={time:g}.")
    return tuple(values)
