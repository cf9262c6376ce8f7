"""Principal components of many species, fitted to the times that are seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from weightflow.errors import InputError


@dataclass(frozen=True, eq=False)
class Components:
    """Samples in principal components.

    Attributes:
        samples: one cloud for each time, shape (row, component).
        names: PC1, PC2, ..
        said: what was done, in a sentence.
    """

    samples: tuple[Float[np.ndarray, "row component"], ...]
    names: tuple[str, ...]
    said: str


def principal_components(samples: Sequence[Any], seen: Sequence[int], number: int) -> Components:
    """Project clouds on the components of those that are seen.

    Counts are scaled to one total for each sample, the median of the seen ones, and x becomes log(1 + x), since what
    differs most between cells is else how much of each was read. Other values are taken as they are. Each column is
    centred, and not scaled.

    Args:
        samples: one matrix (row, species) for each time, dense or sparse.
        seen: places of the times that the components are fitted to.
        number: of components.

    Raises:
        InputError: there are not as many components.
    """
    from scipy import sparse
    from sklearn.decomposition import PCA

    counts = all(_counts(cloud) for cloud in samples)
    how = "of the values as they are"
    if counts:
        totals = np.concatenate([_totals(samples[i]) for i in seen])
        scale = float(np.median(totals[totals > 0])) if (totals > 0).any() else 1.0
        samples = [_log_scaled(cloud, scale) for cloud in samples]
        how = f"of log(1 + count), counts scaled to {scale:g} in each sample, the median total"
    stacked = [samples[i] for i in seen]
    fitted = sparse.vstack(stacked).tocsr() if sparse.issparse(stacked[0]) else np.concatenate(stacked)
    rows, species = fitted.shape
    most = min(rows, species) - (1 if sparse.issparse(fitted) else 0)
    if number > most:
        raise InputError(f"`--pca {number}` was given; {rows} seen samples of {species} species have {most} at most.")
    # The solver for sparse matrices starts anywhere and ends, to rounding, at the same components.
    pca = (
        PCA(number, svd_solver="arpack", random_state=0) if sparse.issparse(fitted) else PCA(number, svd_solver="full")
    )
    pca.fit(fitted)
    share = float(pca.explained_variance_ratio_.sum())
    said = (
        f"{number} principal components instead of {species:,} species, {how}; fitted to the {len(seen)} seen times, "
        f"of whose variance they hold {share:.0%}"
    )
    return Components(tuple(pca.transform(x) for x in samples), tuple(f"PC{i + 1}" for i in range(number)), said)


def _values(cloud: Any) -> np.ndarray:
    from scipy import sparse

    return cloud.data if sparse.issparse(cloud) else cloud


def _counts(cloud: Any) -> bool:
    values = _values(cloud)
    return bool((values >= 0).all() and (values == np.rint(values)).all())


def _totals(cloud: Any) -> np.ndarray:
    return np.asarray(cloud.sum(axis=1), dtype=np.float64).ravel()


def _log_scaled(cloud: Any, scale: float) -> Any:
    from scipy import sparse

    totals = _totals(cloud)
    factors = np.divide(scale, totals, out=np.zeros_like(totals), where=totals > 0)
    if sparse.issparse(cloud):
        return (sparse.diags(factors) @ cloud).log1p().tocsr()
    return np.log1p(cloud * factors[:, None])
