"""Samples beyond the last snapshot: where a drift carries its particles, and how much is to be doubted.

The doubt is what a held-out forecast got wrong: the drift that had not seen the last snapshot missed its mean by some
way over one interval, more than chance explains, and nothing says that the next interval fares better. Each sample is
therefore moved at random, the further the later it is, so that p(x, t) broadens as forecasts of this kind fail:

    x_tau = y_tau + (tau / gap) error xi,    xi ~ N(0, 1), by species.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

import numpy as np
from jaxtyping import Float

from weightflow.drift import STEPS, Drift
from weightflow.files import Arrays, within
from weightflow.rng import generator

CLEARLY = 0.5  # energy distances are squares, so that this is a good quarter off
MOVED = 3.0  # floors; two samples of one distribution are further apart about once in twenty times
PREFIX, AHEAD = "forecast.", "ahead."


@dataclass(frozen=True, eq=False)
class Forecast:
    """How forecasts of the last snapshot did, from those before it.

    Distances are energy distances, species in units of their deviation.

    Attributes:
        time: of the last snapshot.
        gap: from the snapshot before.
        drift: distance of particles that a drift carried there, which had not seen it.
        persistence: distance of the snapshot before.
        transport: distance of particles that go on as from the snapshot before that one, coupled by optimal transport.
        floor: what a perfect forecast of as many samples would have, by chance alone, on average.
        error: by how much the drift missed the mean of each species, in the data's units; chance is taken off.
    """

    time: float
    gap: float
    drift: float
    persistence: float
    transport: float
    floor: float
    error: Float[np.ndarray, "dim"]

    @property
    def holds(self) -> bool:
        """Whether the drift's forecast was clearly better than standing still, and transport's not clearly better.

        That says something only where the last snapshot can be told from the one before.
        """
        moved = self.persistence > MOVED * self.floor
        return moved and self.drift < CLEARLY * self.persistence and self.transport > CLEARLY * self.drift

    @classmethod
    def joint(cls, forecasts: "Sequence[Forecast]") -> "Forecast | None":
        """Return what the forecasts of several conditions say together, by one drift of all; None where there is none.

        Distances are means, and the errors of the means, by unit of time, are root mean squares.
        """
        if not forecasts:
            return None
        gap = fmean(one.gap for one in forecasts)
        rates = np.stack([one.error / one.gap for one in forecasts])
        distances = {name: fmean(one.facts()[name] for one in forecasts) for name in forecasts[0].facts()}
        time = max(one.time for one in forecasts)
        return cls(time, gap, **distances, error=gap * np.sqrt((rates**2).mean(axis=0)))

    def facts(self) -> dict[str, float]:
        """Return the distances, as plain values."""
        return {"drift": self.drift, "persistence": self.persistence, "transport": self.transport, "floor": self.floor}

    def arrays(self) -> Arrays:
        """Return everything as arrays; `of_arrays` undoes it."""
        return {f"{PREFIX}{name}": np.asarray(value, dtype=np.float64) for name, value in asdict(self).items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Forecast | None":
        """Build it from what `arrays` has returned, among other arrays; None where there was none."""
        found = within(arrays, PREFIX)
        if not found:
            return None
        error = found.pop("error")
        return cls(**{name: value.item() for name, value in found.items()}, error=error)


@dataclass(frozen=True, eq=False)
class Ahead:
    """Particles that a drift carries on from the last snapshot.

    Attributes:
        drift: what carries them.
        times: of the nodes, from the last snapshot on, evenly spaced.
        nodes: where they are.
        doubt: deviation that is added, by species and unit of time.
    """

    drift: Drift
    times: Float[np.ndarray, "node"]
    nodes: Float[np.ndarray, "node particle dim"]
    doubt: Float[np.ndarray, "dim"]

    @classmethod
    def of(
        cls,
        drift: Drift,
        cloud: Float[np.ndarray, "particle dim"],
        last: float,
        horizon: float,
        forecast: Forecast,
        seed: int,
    ) -> "Ahead":
        """Carry a cloud of the time `last` on over the time `horizon`."""
        steps = int(np.ceil(STEPS * horizon / drift.span))
        nodes = drift.paths(cloud, horizon, generator(seed, "ahead"), steps)
        return cls(drift, np.linspace(last, last + horizon, steps + 1), nodes, forecast.error / forecast.gap)

    def arrays(self) -> Arrays:
        """Return all but the drift as arrays; `of_arrays` undoes it."""
        return {f"{AHEAD}times": self.times, f"{AHEAD}nodes": self.nodes, f"{AHEAD}doubt": self.doubt}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], drift: Drift) -> "Ahead | None":
        """Build it from what `arrays` has returned, among other arrays; None where there was none."""
        found = within(arrays, AHEAD)
        return cls(drift, **found) if found else None

    def sample(
        self, times: Float[np.ndarray, "query"], n: int, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "query n dim"], Float[np.ndarray, "query n dim"]]:
        """Draw `n` particles at each of `times`, between the first node and the last, and the noise around them."""
        step = self.times[1] - self.times[0]
        node = np.clip(np.searchsorted(self.times, times, side="right") - 1, 0, len(self.times) - 2)
        done = np.clip((times - self.times[node]) / step, 0.0, 1.0)[:, None, None]  # rounding may pass an end
        which = rng.integers(self.nodes.shape[1], size=(len(times), n))
        before, after = (self.nodes[(node + j)[:, None], which] for j in (0, 1))
        x = (1 - done) * before + done * after
        doubt = (times - self.times[0])[:, None, None] * self.doubt
        noise = np.sqrt(done * (1 - done) * step * self.drift.noise_at(x) ** 2 + doubt**2)
        return x, noise * rng.standard_normal(x.shape)
