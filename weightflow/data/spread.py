"""The spread of each species: what varies, and in which unit.

Rounding alone gives a constant column a standard deviation: 1,000 times 0.1 have 1e-17. A column is therefore constant
where all its values agree to a few units in the last place, and not where its deviation is zero.
"""

import numpy as np
from jaxtyping import Bool, Float

ROUNDING = 64 * float(np.finfo(np.float64).eps)  # values that differ by no more than this share are one value
EXACT = 2.0**53  # below it whole numbers are exact, and two that differ are two


def varies(values: Float[np.ndarray, "n dim"]) -> Bool[np.ndarray, "dim"]:
    """Say of each column whether its values differ by more than rounding."""
    largest = np.abs(values).max(axis=0)
    rounding = np.where(largest < EXACT, np.minimum(ROUNDING * largest, 0.5), ROUNDING * largest)
    return np.ptp(values, axis=0) > rounding


def deviation(values: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "dim"]:
    """Return each column's standard deviation, in the data's units, and one for columns that are constant."""
    moving = varies(values)
    span = np.where(moving, np.ptp(values, axis=0), 1.0)
    within = (values - values.min(axis=0)) / span  # in [0, 1]: no unit, however small or large, is lost in the square
    return np.where(moving, span * within.std(axis=0), 1.0)
