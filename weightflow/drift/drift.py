"""A drift: a stochastic differential equation in the space of the data, the same at all times.

    dx = f(x) dt + g(x) dW,    f a linear part and a small network of two hidden layers, g by species.

Beyond the values that were seen, and a margin, f is what it is at their edge: an error grows there with time, and not
exponentially.

g is a number for each continuous species. Of counts it grows as the root of the count, as in the chemical Langevin
equation (Gillespie 2000), where noise comes from reactions that fire at random.

Of several conditions one network sees the condition beside x, f(x, c), and is a drift of its own under each (`Varied`).

It is a plain value, evaluated with NumPy: workers and caches keep it as arrays, and no draw of a bridge waits for
torch. `fit` finds it.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from weightflow.files import Arrays

STEPS = 8  # of the midpoint rule in an interval between snapshots
TINY = 1e-12  # a species of counts that was never there has no scale
LAYERS = ("in", "hidden", "out")
CODE = "code."  # of what a condition adds


@dataclass(frozen=True, eq=False)
class Drift:
    """f and g of dx = f(x) dt + g dW.

    The network sees values in units of their own: it maps (x - centre) / unit to f, in units per span of time.

    Attributes:
        weights: of the three layers, each of shape (in, out).
        biases: of the three layers, each of shape (1, out).
        straight: a linear part, added to the network's answer.
        bounds: within which the network is asked, in its own units, shape (2, dim); beyond, f is what it is there.
        noise: g, in the data's units by the root of time, shape (dim,); of counts, that at the centre.
        centre: mean of the fitted samples, shape (dim,).
        unit: their deviation, shape (dim,).
        span: mean gap between the fitted snapshots, the network's unit of time.
        grows: for which species g grows as the root of their value.
    """

    weights: tuple[Float[np.ndarray, "_ _"], ...]
    biases: tuple[Float[np.ndarray, "1 _"], ...]
    straight: Float[np.ndarray, "dim dim"]
    noise: Float[np.ndarray, "dim"]
    centre: Float[np.ndarray, "dim"]
    unit: Float[np.ndarray, "dim"]
    span: float
    grows: Bool[np.ndarray, "dim"]
    bounds: Float[np.ndarray, "2 dim"]

    def __call__(self, x: Float[np.ndarray, "*shape dim"]) -> Float[np.ndarray, "*shape dim"]:
        """Evaluate f, in the data's units per unit of time."""
        hidden = scaled = np.clip((x - self.centre) / self.unit, *self.bounds)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = _silu(hidden @ weight + bias[0])
        answer = hidden @ self.weights[-1] + self.biases[-1][0] + scaled @ self.straight
        return answer * (self.unit / self.span)

    def noise_at(self, x: Float[np.ndarray, "*shape dim"]) -> Float[np.ndarray, "*shape dim"]:
        """Evaluate g, in the data's units by the root of time."""
        rooted = np.sqrt(np.clip(x, 0.0, None) / np.where(self.grows, np.maximum(self.centre, TINY), 1.0))
        return self.noise * np.where(self.grows, rooted, 1.0)

    def paths(
        self, x: Float[np.ndarray, "n dim"], duration: float, rng: np.random.Generator, steps: int = STEPS
    ) -> Float[np.ndarray, "node n dim"]:
        """Carry particles for some time by the midpoint rule, and return where they are after each step, 0 included."""
        step = duration / steps
        nodes = [np.asarray(x, dtype=np.float64)]
        for _ in range(steps):
            here = nodes[-1]
            middle = here + step / 2 * self(here)
            shaken = self.noise_at(here) * np.sqrt(step) * rng.standard_normal(here.shape)
            nodes.append(here + step * self(middle) + shaken)
        return np.stack(nodes)

    def arrays(self) -> Arrays:
        """Return everything as arrays; `of_arrays` undoes it."""
        weights = {f"weight.{name}": weight for name, weight in zip(LAYERS, self.weights, strict=True)}
        biases = {f"bias.{name}": bias for name, bias in zip(LAYERS, self.biases, strict=True)}
        units = {
            "noise": self.noise,
            "centre": self.centre,
            "unit": self.unit,
            "span": np.array(self.span),
            "grows": self.grows,
            "bounds": self.bounds,
        }
        return {**weights, **biases, "straight": self.straight, **units}

    @classmethod
    def of_arrays(cls, arrays: Arrays) -> "Drift":
        """Build a drift from what `arrays` has returned."""
        weights, biases = (tuple(arrays[f"{part}.{name}"] for name in LAYERS) for part in ("weight", "bias"))
        straight, noise, centre, unit = (arrays[name] for name in ("straight", "noise", "centre", "unit"))
        span, grows, bounds = arrays["span"].item(), arrays["grows"], arrays["bounds"]
        return cls(weights, biases, straight, noise, centre, unit, span, grows, bounds)


@dataclass(frozen=True, eq=False)
class Varied:
    """One drift of several conditions, which is linear in what it sees of the condition before the first nonlinearity.

    Attributes:
        drift: where all features of the condition are zero.
        hidden: what a feature adds to the first layer, shape (feature, hidden).
        straight: what it adds to f, in the network's units, shape (feature, dim).
    """

    drift: Drift
    hidden: Float[np.ndarray, "feature _"]
    straight: Float[np.ndarray, "feature dim"]

    def under(self, code: Float[np.ndarray, "feature"]) -> Drift:
        """Return the drift under one condition."""
        first, *others, last = self.drift.biases
        return replace(self.drift, biases=(first + code @ self.hidden, *others, last + code @ self.straight))

    def arrays(self) -> Arrays:
        """Return everything as arrays; `of_arrays` undoes it."""
        return {**self.drift.arrays(), f"{CODE}hidden": self.hidden, f"{CODE}straight": self.straight}

    @classmethod
    def of_arrays(cls, arrays: Arrays) -> "Varied":
        """Build it from what `arrays` has returned."""
        return cls(Drift.of_arrays(arrays), arrays[f"{CODE}hidden"], arrays[f"{CODE}straight"])


def drift_of(arrays: Arrays) -> Drift | Varied:
    """Build a drift, or one of several conditions, from what its `arrays` has returned."""
    return (Varied if f"{CODE}hidden" in arrays else Drift).of_arrays(arrays)


def _silu(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    return x / (1 + np.exp(-np.clip(x, -60.0, None)))  # beyond, exp would overflow, and the value is zero
