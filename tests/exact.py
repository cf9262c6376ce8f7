"""Laws of reaction networks, known exactly or integrated from their master equation, and tests against them."""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import expm
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import expm_multiply
from scipy.stats import chisquare


def cascade1_means(times: Sequence[float] | np.ndarray) -> np.ndarray:
    """Means of the 15 species of `cascade1`, shape (time, 15).

    All its reactions are linear and it starts empty, so at each time the species are independent and Poisson.
    """
    made, passes, decays = 10.0, 5.0, 1.0
    flow = np.diag([-(passes + decays)] * 14 + [-decays]) + np.diag([passes] * 14, -1)
    with_source = np.zeros((16, 16))  # the last component stays 1: it makes the source linear, too
    with_source[:15, :15] = flow
    with_source[0, 15] = made
    start = np.r_[np.zeros(15), 1.0]
    return np.stack([(expm(with_source * t) @ start)[:15] for t in times])


def master_equation(shape: tuple[int, ...], reactions: Sequence[tuple[np.ndarray, Sequence[int]]]) -> csr_matrix:
    """Matrix A of dp/dt = A p over all states of a box, where p is flattened.

    Args:
        shape: number of values of each species.
        reactions: the rate in each state, shape `shape`, and what the reaction adds to each species. Reactions that
            would leave the box do not happen.
    """
    states = np.indices(shape).reshape(len(shape), -1).T
    sides = np.array(shape)
    total = csr_matrix((len(states),) * 2)
    for rate, change in reactions:
        after = states + np.array(change)
        source = np.flatnonzero((rate.ravel() > 0) & (after >= 0).all(1) & (after < sides).all(1))
        target = np.ravel_multi_index(tuple(after[source].T), shape)
        flux = rate.ravel()[source]
        entries = (np.r_[flux, -flux], (np.r_[target, source], np.r_[source, source]))
        total += csr_matrix(entries, total.shape)
    return total


def follows(counts: np.ndarray, law: np.ndarray) -> float:
    """P value of the chi-square test, where states expected fewer than 10 times are taken together."""
    seen = np.bincount(counts.astype(int), minlength=len(law))[: len(law)].astype(float)
    expected = law * len(counts)
    rare = expected < 10
    seen, expected = np.r_[seen[~rare], seen[rare].sum()], np.r_[expected[~rare], expected[rare].sum()]
    kept = expected > 0
    return float(chisquare(seen[kept], expected[kept] * seen[kept].sum() / expected[kept].sum()).pvalue)


def check_law(
    ensemble: np.ndarray,
    times: np.ndarray,
    start: tuple[int, ...],
    reactions: Sequence[tuple[np.ndarray, Sequence[int]]],
    width: int = 1,
) -> None:
    """Compare an ensemble (trajectory, time, species) with its master equation: each marginal, and the joint law.

    The joint law is compared over boxes of `width` counts of each species, so that many boxes hold enough samples.
    """
    shape = reactions[0][0].shape
    generator = master_equation(shape, reactions)
    law = np.zeros(shape)
    law[start] = 1
    law = law.ravel()
    for cloud, wait in zip(ensemble.swapaxes(0, 1).astype(int), np.diff(times, prepend=0), strict=True):
        law = np.asarray(expm_multiply(generator * wait, law))
        joint = law.clip(0).reshape(shape)
        boxes = np.asarray(np.ravel_multi_index(tuple(np.indices(shape) // width), shape))
        assert follows(boxes[tuple(cloud.T)], np.bincount(boxes.ravel(), joint.ravel())) > 1e-4
        for axis, counts in enumerate(cloud.T):
            others = tuple(other for other in range(len(shape)) if other != axis)
            assert follows(counts, joint.sum(others)) > 1e-4
