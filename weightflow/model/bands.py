"""How sure a model is: bands around what it says, from the spread of its members.

Members are fits of the same configuration to resampled units, each with its own seed (Efron 1979; Breiman 1996). What
one of them says differs from what the model says as this one differs from the truth: by the chance of the sample and of
the fit. With the deviation s over K members a band is

    model +- t s,    t the quantile of Student's distribution with K - 1 degrees of freedom,

so that few members make it wider, and not wrong. It knows nothing of what all fits have in common, such as how a system
goes on where no data are.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from scipy.special import stdtrit
from torch import Tensor

from weightflow.errors import InputError


class Band(NamedTuple):
    """What a model says, and where the truth lies with the level that was asked for; all of one shape."""

    low: Tensor
    mid: Tensor
    high: Tensor

    @property
    def width(self) -> Tensor:
        """How far the ends are apart."""
        return self.high - self.low


def band(said: Float[Tensor, "*shape"], members: Sequence[Float[Tensor, "*shape"]], level: float) -> Band:
    """Return the band of one statistic.

    Args:
        said: by the model.
        members: by each member.
        level: with which the truth shall lie in it, between 0 and 1.

    Raises:
        InputError: there are fewer than two members, or the level is none.
    """
    if len(members) < 2:
        raise InputError(
            f"this model has {len(members)} members, and bands need two at least; fit it with `--members 10` "
            "(`members=10` in Python)."
        )
    if not 0 < level < 1:
        raise InputError(f"`level`={level:g} was asked for; a band has a level between 0 and 1, such as 0.9.")
    half = float(stdtrit(len(members) - 1, (1 + level) / 2)) * torch.stack(list(members)).std(0)
    return Band(said - half, said, said + half)


def clipped(found: Band, low: float, high: float) -> Band:
    """Return the same band without what cannot be."""
    return Band(*(part.clamp(low, high) for part in found))
