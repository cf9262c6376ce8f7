"""One method in several fits, each of which has left out times of its own: at each time the fit that has not seen it.

So what leaves one time out after another is drawn from, scored and tested as if it were one single fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.data.words import written
from weightflow.errors import InputError
from weightflow.evaluation.sampler import Sampler
from weightflow.model import Numbers, WeightFlow
from weightflow.rng import derive_seed


@dataclass(frozen=True, eq=False)
class LeftOut:
    """A sampler that hands each time on to the one that answers for it.

    Attributes:
        parts: samplers.
        times: those that each of them answers for; no others can be asked for.
    """

    parts: Sequence[Sampler]
    times: Sequence[Float[np.ndarray, "_"]]

    def sample(self, times: Float[np.ndarray, "time"], n: int, seed: int) -> Float[np.ndarray, "time n dim"]:
        """Draw `n` samples at each of `times`; each part has a seed of its own, since they may share samples."""
        return self._each(times, lambda k, at: self.parts[k].sample(times[at], n, derive_seed(seed, "left out", k)))

    def _each(
        self, times: Float[np.ndarray, "time"], ask: Callable[[int, np.ndarray], Any]
    ) -> Float[np.ndarray, "time *shape"]:
        """Ask each part for its times: `ask` gets the part's number and the places of its times."""
        owners = np.array([self._owner(time) for time in times])
        places = [(k, np.flatnonzero(owners == k)) for k in np.unique(owners)]
        answers = np.concatenate([np.asarray(ask(int(k), at)) for k, at in places])
        return answers[np.argsort(np.concatenate([at for _, at in places]))]

    def _owner(self, time: float) -> int:
        """Return the number of the part that answers for a time.

        Raises:
            InputError: there is none.
        """
        for k, own in enumerate(self.times):
            if time in own:
                return k
        raise InputError(f"t={written(time)} was not left out by any fit; ask for one that was.")


@dataclass(frozen=True, eq=False)
class LeftOutModel(LeftOut):
    """The same of models, which have a density and independent draws too."""

    parts: Sequence[WeightFlow]

    def sample(
        self, times: Float[np.ndarray, "time"], n: int, seed: int = 0, *, independent: bool = False
    ) -> Float[np.ndarray, "time n dim"]:
        """Draw `n` samples at each of `times`, as `WeightFlow.sample` does."""
        return self._each(times, lambda k, at: self.parts[k].sample(times[at], n, seed, independent=independent))

    def log_prob(self, x: Numbers, t: Numbers) -> Float[Tensor, "time draw"]:
        """Evaluate the log-density of one cloud (time, draw, dim) for each time, as `WeightFlow.log_prob` does."""
        clouds, times = np.asarray(x), np.asarray(t, dtype=np.float64)
        return torch.as_tensor(self._each(times, lambda k, at: self.parts[k].log_prob(clouds[at], times[at])))


def left_out(parts: Sequence[Sampler], times: Sequence[Float[np.ndarray, "_"]]) -> Sampler:
    """Return one sampler for all parts: the part itself where there is only one."""
    return parts[0] if len(parts) == 1 else LeftOut(parts, times)


def left_out_model(parts: Sequence[WeightFlow], times: Sequence[Float[np.ndarray, "_"]]) -> WeightFlow | LeftOutModel:
    """Return one model for all parts: the part itself where there is only one."""
    return parts[0] if len(parts) == 1 else LeftOutModel(parts, times)
