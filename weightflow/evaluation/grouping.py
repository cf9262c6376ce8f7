"""Independent groups of samples, from which intervals of mean scores are computed.

A trajectory's samples at different times depend on one another, and so do the scores at different times. Whole
trajectories are therefore put into groups, the same at all times, and each group gets its own mean score over times
(to first order, see `weightflow.metrics.estimate`): these are independent, and nearly normal as means of many.
"""

import numpy as np
from jaxtyping import Float

from weightflow.rng import generator

GROUPS = 20  # an interval is about 7 % wider than it would be if the deviation between groups were known
HALF_GROUPS = 10


def arranged(
    cloud: Float[np.ndarray, "n dim"], groups: int, seed: int, purpose: str, time: int
) -> Float[np.ndarray, "n dim"]:
    """Shuffle a cloud so that its row p belongs to group p modulo `groups`.

    Row i of clouds of one size, which may be one trajectory, is in the same group at all times; the order within a
    group is another at each time, so that the first rows are other trajectories each time.
    """
    fixed = generator(seed, "score", purpose).permutation(len(cloud))
    rng = generator(seed, "score", purpose, time)
    order = np.empty_like(fixed)
    for k in range(groups):
        order[k::groups] = rng.permutation(fixed[k::groups])
    return cloud[order]
