"""Moments and quantiles of a sample."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.errors import InputError
from weightflow.model.asked import Numbers, array_of
from weightflow.types import Kind


class Moments(NamedTuple):
    """Means and covariances, with an axis of times in front where there are several.

    Attributes:
        mean: shape (time, dim).
        cov: shape (time, dim, dim).
    """

    mean: Tensor
    cov: Tensor


def moments(cloud: Float[Tensor, "draw dim"]) -> Moments:
    """Return the mean and the covariance of a sample."""
    mean = cloud.mean(0)
    apart = cloud - mean
    return Moments(mean, apart.mT @ apart / max(len(cloud) - 1, 1))


def levels(q: Numbers) -> Float[np.ndarray, "*level"]:
    """Take the levels of quantiles.

    Raises:
        InputError: one does not lie in [0, 1].
    """
    given = array_of("q", q)
    if given.ndim > 1 or given.size == 0 or not ((given >= 0) & (given <= 1)).all():
        raise InputError(f"`q`={q!r} was asked for; quantiles have levels from 0 to 1: one, or a sequence of them.")
    return given


def sample_quantiles(
    cloud: Float[Tensor, "draw dim"], q: Float[np.ndarray, "*level"], kinds: Sequence[Kind]
) -> Float[Tensor, "*level dim"]:
    """Return quantiles of each species; those of counts are counts: the least that has at least the share `q`."""
    columns = [
        np.quantile(column, q, method="inverted_cdf" if kind is Kind.COUNTS else "hazen")
        for column, kind in zip(cloud.mT.numpy(), kinds, strict=True)
    ]
    return torch.as_tensor(np.stack(columns, -1))
