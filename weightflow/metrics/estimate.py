"""A distance together with what each sample contributes to its uncertainty.

To first order, a distance S between two empirical distributions changes with the weight of each sample by that
sample's *influence*, and var S = var(influence of the model's samples) / n + var(influence of the data's) / m: the
infinitesimal jackknife (Jaeckel 1972; Efron 1982, chapter 6). For exact transport the influences are the optimal dual
potentials, and this variance is that of the central limit theorem of del Barrio and Loubes (Annals of Probability
2019). Resampling with replacement instead would put these distances themselves off: ties move two samples apart.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from weightflow.errors import InputError


@dataclass(frozen=True, eq=False)
class Estimate:
    """A distance and the influence of each sample on it.

    Attributes:
        value: the distance.
        model: influence of each of the model's samples, zero on average.
        data: likewise of the data's.
    """

    value: float
    model: Float[np.ndarray, "n"]
    data: Float[np.ndarray, "m"]

    @classmethod
    def of(cls, value: float, model: Float[np.ndarray, "n"], data: Float[np.ndarray, "m"]) -> "Estimate":
        """Centre the influences, which are often known up to a constant only."""
        return cls(float(value), model - model.mean(), data - data.mean())

    def root(self) -> "Estimate":
        """Return the estimate of the square root; where that is zero it has no derivative, and no influence."""
        value = float(np.sqrt(self.value))
        slope = 0.5 / value if value else 0.0
        return Estimate(value, slope * self.model, slope * self.data)

    def spread(self, rows: tuple[Int[np.ndarray, "_"], Int[np.ndarray, "_"]], sizes: tuple[int, int]) -> "Estimate":
        """Return the same for whole clouds of which only `rows` were used: influence means stay what they are."""
        sides = zip((self.model, self.data), rows, sizes, strict=True)
        return Estimate(self.value, *(_scatter(side, kept, size) for side, kept, size in sides))

    def grouped(self, groups: int) -> Float[np.ndarray, "group"]:
        """Return what the estimate would have been on each group of samples alone, to first order.

        Sample i of either cloud belongs to group i modulo `groups`. The mean over groups is the estimate itself (all
        but, where groups are not of one size), and the variance of that mean is their variance over their number.

        Raises:
            InputError: there are more groups than samples.
        """
        return self.grouped_data(groups) + _group_means(self.model, groups)

    def grouped_data(self, groups: int) -> Float[np.ndarray, "group"]:
        """Return the same for groups of the data alone, the model's samples staying what they are.

        Raises:
            InputError: there are more groups than samples.
        """
        return self.value + _group_means(self.data, groups)


def _scatter(influence: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    full = np.zeros(size)
    full[rows] = influence * (size / len(rows))
    return full


def _group_means(influence: np.ndarray, groups: int) -> np.ndarray:
    if groups > len(influence):
        raise InputError(f"{len(influence)} samples cannot be put into {groups} groups; ask for fewer.")
    sums = np.bincount(np.arange(len(influence)) % groups, weights=influence, minlength=groups)
    return sums * (groups / len(influence))
