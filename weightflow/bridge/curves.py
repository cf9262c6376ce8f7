"""Paths of particles through the snapshots, as cubic polynomials in each interval.

Between two snapshots, over s in [0, 1], every curve is the straight line and a bend,

    x_s = x_0 + s d + s (1 - s) ((1 - s) a - s b),    d = x_1 - x_0,    a = c (h m_0 - d),    b = c (h m_1 - d),

where h is the interval's length, m_0 and m_1 are a spline's derivatives at its ends, and c is the share of the bend:
for c = 1 this is the spline itself, in Hermite's form, and for c = 0 the straight line (McCann). The spline is cubic or
monotone (pchip, Fritsch & Butland 1984), and it joins either the particle's own positions or the means of the cloud,
whose bend all particles then take. Real snapshots follow smooth means, while a single particle's chain of
partners is noisy, and the means are noisy too: half the bend of the means' cubic did best of what was tried.
"""

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline, PchipInterpolator

from weightflow.bridge.options import Curve

FREE_ENDS = 6  # from so many knots on a cubic may choose its end's curvature (not-a-knot); with fewer it overshoots


def coefficients(
    curve: Curve, times: Float[np.ndarray, "time"], track: Float[np.ndarray, "time pair dim"]
) -> Float[np.ndarray, "interval pair power dim"]:
    """Return the polynomials of s, lowest power first, of the particles that are at `track` at `times`."""
    move = np.diff(track, axis=0)
    first, second = _bend(curve, times, track)
    return np.stack(np.broadcast_arrays(track[:-1], move + first, -2 * first - second, first + second), axis=2)


def _bend(
    curve: Curve, times: np.ndarray, track: np.ndarray
) -> tuple[Float[np.ndarray, "interval _ dim"], Float[np.ndarray, "interval _ dim"]]:
    knots = track.mean(axis=1, keepdims=True) if curve.of_means else track
    if curve is Curve.STRAIGHT or len(times) < 3:
        return np.zeros((len(times) - 1, 1, 1)), np.zeros((len(times) - 1, 1, 1))
    slopes, move = _slopes(curve, times, knots), np.diff(knots, axis=0)
    length = np.diff(times)[:, None, None]
    return curve.share * (length * slopes[:-1] - move), curve.share * (length * slopes[1:] - move)


def _slopes(curve: Curve, times: np.ndarray, knots: np.ndarray) -> Float[np.ndarray, "time _ dim"]:
    if curve.monotone:
        return PchipInterpolator(times, knots).derivative()(times)
    ends = "not-a-knot" if len(times) >= FREE_ENDS else "natural"
    return CubicSpline(times, knots, bc_type=ends)(times, 1)
