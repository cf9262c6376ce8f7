"""Error of the correlations between species."""

import numpy as np
from jaxtyping import Float, Real

from weightflow.data.spread import deviation, varies
from weightflow.errors import InputError
from weightflow.metrics.estimate import Estimate


def correlation_error(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> float:
    """Return the mean absolute difference of Pearson correlations, over all pairs of species (0 to 2).

    A species that is constant in a cloud has correlation zero with every other there: it tells nothing about them.

    Raises:
        InputError: there are no two species.
    """
    return estimate_correlation_error(x, y).value


def estimate_correlation_error(x: Real[np.ndarray, "n dim"], y: Real[np.ndarray, "m dim"]) -> Estimate:
    """Return `correlation_error` with influences.

    A sample with standard scores z has influence z_a z_b - r (z_a^2 + z_b^2) / 2 on the correlation r of species a
    and b (Devlin, Gnanadesikan and Kettenring, Biometrika 1975).
    """
    dim = x.shape[1]
    if dim < 2:
        raise InputError("correlations need two species, but these samples have one; leave this metric out.")
    z_x, z_y = _standard_scores(x), _standard_scores(y)
    r_x, r_y = z_x.T @ z_x / len(x), z_y.T @ z_y / len(y)
    difference = r_x - r_y
    np.fill_diagonal(difference, 0.0)
    sign = np.sign(difference) / (dim * (dim - 1))
    value = np.abs(difference).sum() / (dim * (dim - 1))
    return Estimate.of(float(value), _influence(z_x, r_x, sign), _influence(z_y, r_y, -sign))


def _standard_scores(x: Real[np.ndarray, "n dim"]) -> Float[np.ndarray, "n dim"]:
    """Scores of mean 0 and variance 1, and 0 throughout for constant species."""
    centred = x - x.mean(axis=0)
    return np.where(varies(x), centred / deviation(x), 0.0)


def _influence(
    z: Float[np.ndarray, "n dim"], r: Float[np.ndarray, "dim dim"], sign: Float[np.ndarray, "dim dim"]
) -> Float[np.ndarray, "n"]:
    return ((z @ sign) * z).sum(axis=1) - z**2 @ (sign * r).sum(axis=1)
