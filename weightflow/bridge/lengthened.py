"""Samples for fitting, lengthened by forecasts: beyond the last snapshot a drift's particles take their place."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from weightflow.bridge.bridge import Bridge
from weightflow.bridge.smoothed import Samples, Smoothed
from weightflow.data.snapshots import Snapshots


@dataclass(frozen=True, eq=False)
class Lengthened:
    """Smoothed samples up to the last snapshot, and forecasts up to the horizon.

    Attributes:
        seen: samples at the snapshots and between them.
        bridge: that they come from, with samples ahead.
    """

    seen: Smoothed
    bridge: Bridge

    @property
    def times(self) -> Float[np.ndarray, "time"]:
        """Times of the snapshots, then as many beyond them as there would be snapshots."""
        seen = self.seen.times
        last, horizon = seen[-1], self.bridge.reach
        more = max(1, round((horizon - last) / np.diff(seen).mean()))
        return np.concatenate([seen, np.linspace(last, horizon, more + 1)[1:]])

    def sample(
        self, times: Float[np.ndarray, "query"], n: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "query n dim"]:
        """Draw `n` samples at each of `times`.

        Raises:
            InputError: a time lies before the first snapshot or beyond the horizon.
        """
        beyond = times > self.seen.times[-1]
        drawn = np.empty((len(times), n, len(self.bridge.upper)))
        if not beyond.all():
            drawn[~beyond] = self.seen.sample(times[~beyond], n, rng)
        if beyond.any():
            drawn[beyond] = self.bridge.sample_ahead(times[beyond], n, rng)
        return drawn


def samples_for_fitting(bridge: Bridge, snapshots: Snapshots) -> Samples:
    """Return what is fitted: smoothed where there are few, lengthened where there are forecasts."""
    seen = Smoothed.of(bridge, snapshots)
    return seen if bridge.ahead is None else Lengthened(seen, bridge)
