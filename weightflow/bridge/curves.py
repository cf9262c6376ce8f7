"""Curves of particles through the snapshots, as bends of the straight line in each interval.

Between two snapshots, over s in [0, 1], every curve is the straight line and a bend,

    x_s = x_0 + s d + s (1 - s) ((1 - s) a - s b),    d = x_1 - x_0,    a = c (h m_0 - d),    b = c (h m_1 - d),

where h is the interval's length, m_0 and m_1 are a spline's derivatives at its ends, and c is the share of the bend:
for c = 1 this is the spline itself, in Hermite's form, and for c = 0 the straight line (McCann). The spline is cubic,
monotone (pchip, Fritsch & Butland 1984), or a cubic whose derivative at a knot is bounded by the slopes beside it, and
it joins either the particle's own positions or the means of the clouds, whose bend all particles then take.

Real snapshots follow smooth means, while a particle's chain of partners is noisy. A cubic of the means overshoots
where gaps grow, as in 0, 1, 2, 4, 8 and 24 hours: what happens fast goes on through the long gap that follows. With
each derivative at most `BOUND` times the smaller of the slopes on either side it does not, and turning points keep
theirs, which a monotone spline flattens (the bound of Dougherty, Edelman & Hyman 1989, Mathematics of Computation 52,
who allow three times, so that a curve stays monotone). Against half the bend of the unbounded cubic, energy distances
between ten snapshots of the built-in systems fell by up to 14 %, and by 19 % on cells at 0, 1, 2, 4, 8 and 18 hours.

A particle is followed through the snapshots near an interval only: a cubic spline forgets a knot by a factor of 3.7
with each knot between, and a monotone one at the second, so that nothing grows with the square of the times.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline, PchipInterpolator

from weightflow.bridge.chain import Chain
from weightflow.bridge.options import Curve

BOUND = 1.5
FREE_ENDS = 6  # from so many knots on a cubic may choose its end's curvature (not-a-knot); with fewer it overshoots
REACH = {True: 2, False: 16}  # knots on either side that a monotone and a cubic curve depend on, the latter to 1e-9


def bends(curve: Curve, chain: Chain, intervals: Sequence[int]) -> Float[np.ndarray, "side interval end #pair #dim"]:
    """Return a and b of the particles that pass through some intervals; one bend for all where they share it.

    Of the two sides, the first holds the particles of the earlier snapshot, in its order, the second those of the
    later one; there is only one where both are the same.
    """
    if curve in {Curve.STRAIGHT, Curve.JUMP} or len(chain.times) < 3:
        return np.zeros((1, len(intervals), 2, 1, 1))
    if curve.of_means:
        means = chain.clouds.mean(axis=1, keepdims=True)
        slopes = _slopes(curve, chain.times, means)
        return np.stack([_bend(curve, chain.times, means, slopes, k) for k in intervals])[None]
    sides = range(1 if chain.one_to_one else 2)
    return np.stack([[_particle_bend(curve, chain, k + side, k) for k in intervals] for side in sides])


def _particle_bend(curve: Curve, chain: Chain, snapshot: int, interval: int) -> Float[np.ndarray, "end pair dim"]:
    """Return the bend, in one interval, of the particles of a snapshot at its ends."""
    near = chain.around(snapshot, REACH[curve.monotone])
    first = near.start
    times, track = chain.times[near], chain.track(snapshot, near)
    return _bend(curve, times, track, _slopes(curve, times, track), interval - first)


def _bend(
    curve: Curve, times: np.ndarray, knots: np.ndarray, slopes: np.ndarray, k: int
) -> Float[np.ndarray, "end _ dim"]:
    return curve.share * ((times[k + 1] - times[k]) * slopes[k : k + 2] - (knots[k + 1] - knots[k]))


def _slopes(curve: Curve, times: np.ndarray, knots: np.ndarray) -> Float[np.ndarray, "time _ dim"]:
    if curve.monotone:
        return PchipInterpolator(times, knots).derivative()(times)
    ends = "not-a-knot" if len(times) >= FREE_ENDS else "natural"
    slopes = CubicSpline(times, knots, bc_type=ends)(times, 1)
    return _bounded(slopes, np.diff(knots, axis=0) / np.diff(times)[:, None, None]) if curve.bounded else slopes


def _bounded(
    slopes: Float[np.ndarray, "time _ dim"], beside: Float[np.ndarray, "gap _ dim"]
) -> Float[np.ndarray, "..."]:
    """Bound each derivative by the slopes of the two gaps beside it; where both go one way, it goes there too."""
    before, after = (np.concatenate(both) for both in ((beside[:1], beside), (beside, beside[-1:])))
    bound = BOUND * np.minimum(np.abs(before), np.abs(after))
    lowest, highest = (np.where(before * after > 0, np.sign(before) == side, True) * bound for side in (-1, 1))
    return np.clip(slopes, -lowest, highest)
