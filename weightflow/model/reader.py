"""An exported WeightFlow model: draws samples and evaluates log-densities with NumPy alone.

    from reader import Model
    model = Model("FOLDER")  # the folder of weights.npz; has model.times, model.species, model.unit
    x = model.sample([0.0, 1.0], 1000, seed=0)  # shape (time, draw, species); at a bare number without the first axis
    model.log_prob(x, [0.0, 1.0])  # shape (time, draw), in nats

The network's weights are tabulated: the model knows `times` and no others. The network reads one species after the
other, in `order`, and says how the next one is distributed. The formulas are those of `weightflow.backbones`.
"""

import json
import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

Array = np.ndarray
EDGE = 1e-7  # uniform numbers keep this distance from 0 and 1
TAIL_LOGIT = -4.0  # of the softmax's last state, which stands for itself and all larger counts
OTHER = 1e-6  # probability of all values of a constant species but its constant
TINY, ROUNDING = np.finfo(np.float64).tiny, 64 * np.finfo(np.float64).eps
NODES = np.arange(-2560, 2561) / 256  # a Taylor series around the nearest one has 12 digits
NORMAL_CDF = np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in NODES])


class Model:
    """The densities at `times`; see above."""

    def __init__(self, folder: str | Path) -> None:
        with np.load(Path(folder) / "weights.npz", allow_pickle=False) as file:
            self.times, self.tokens = file["times"], file["tokens"].astype(np.float64)
            facts = json.loads(str(file["facts"]))
        self.species, self.kinds, self.unit = facts["species"], facts["kinds"], facts["unit"]
        self.layers, self.core, self.n_outputs = facts["layers"], facts["core"], len(facts["heads"])
        self.order, self.constant = facts["order"], facts["constant"]
        self.heads = {i: _Head(f, h, k) for h, f in enumerate(facts["heads"]) for k, i in enumerate(f["species"])}
        self.features = max(head.features for head in self.heads.values())

    def sample(self, times: Any, n: int, seed: int = 0) -> Array:
        """Draw `n` samples at each of `times`, shape (time, draw, species); at a bare number (draw, species)."""
        return self.sample_from(times, np.random.default_rng(seed).random((*np.shape(times), n, len(self.species))))

    def sample_from(self, times: Any, uniforms: Array) -> Array:
        """Turn uniform numbers, shape (time, draw, species in `order`), into samples."""
        clouds = np.clip(uniforms, EDGE, 1 - EDGE).reshape(-1, *np.shape(uniforms)[-2:])
        each = [self._walk(time, u)[0] for time, u in zip(np.atleast_1d(times), clouds, strict=True)]
        return np.reshape(each, np.shape(uniforms))

    def log_prob(self, x: Array, times: Any) -> Array:
        """Log-densities of samples (time, draw, species), shape (time, draw); counts have probabilities."""
        pairs = zip(np.atleast_1d(times), np.asarray(x, np.float64).reshape(-1, *np.shape(x)[-2:]), strict=True)
        return np.reshape([self._walk(time, cloud, cloud)[1] for time, cloud in pairs], np.shape(x)[:-1])

    def _walk(self, time: float, u: Array, x: Array | None = None) -> tuple[Array, Array]:
        """Go from species to species at one time, draw by `u` or take `x`, and add up the log-densities."""
        first, inner, outputs = self._matrices(time)
        samples, total, state = np.zeros(u.shape), np.zeros(len(u)), None
        step, value = _gru if self.core["kind"] == "gru" else _transformer, np.zeros((len(u), self.features))
        for k, i in enumerate(self.order):
            head, place = self.heads[i], first[:, self.features : -1][:, k : k + 1].sum(1)
            hidden, state = step(self.core, inner, value @ first[:, : self.features].T + place + first[:, -1], state)
            params = _linear(outputs[head.output], hidden)
            samples[:, i] = head.quantile(params, u[:, k]) if x is None else x[:, i]
            total = total + head.log_prob(params, samples[:, i])
            value = np.pad(head.encode(samples[:, i]), ((0, 0), (0, self.features - head.features)))
        for i, constant, count in zip(*(self.constant[key] for key in ("species", "values", "counts")), strict=True):
            samples[:, i] = constant if x is None else x[:, i]
            total = total + _constant_log_prob(constant, count, samples[:, i])
        counted = samples[:, [kind == "counts" for kind in self.kinds]]
        return samples, np.where(((counted >= 0) & (counted == np.floor(counted))).all(1), total, -np.inf)

    def _matrices(self, time: float) -> tuple[Array, list[Array], list[Array]]:
        found = np.flatnonzero(np.isclose(self.times, time, rtol=1e-9, atol=1e-12 * np.ptp(self.times)))
        if not len(found):
            raise ValueError(f"there are no weights for t = {time:g}; the exported times are {self.times.tolist()}")
        blocks = np.split(self.tokens[found[0]], np.cumsum([rows for rows, _ in self.layers])[:-1])
        first, *rest = [block[:, : fan_in + 1] for block, (_, fan_in) in zip(blocks, self.layers, strict=True)]
        return first, rest[: -self.n_outputs], rest[-self.n_outputs :]


class _Head:
    """The distribution of one species, by the numbers that the output layer `output` gives."""

    def __init__(self, facts: dict[str, Any], output: int, k: int) -> None:
        self.output, self.last = output, facts.get("states", 2) - 1
        self.softmax, self.gaussian = (facts["family"] == family for family in ("softmax", "gaussian"))
        self.features = max(1, self.last.bit_length()) if self.softmax else 1
        self.log_q = -math.log1p(self.last**-0.5)
        self.location, self.scale = (0.0, 1.0) if self.softmax else (facts["locations"][k], facts["scales"][k])
        self.lowest = math.log(1e-3 if self.gaussian else 0.025 / (self.scale * math.sqrt(self.last + 1)))

    def encode(self, x: Array) -> Array:
        if self.softmax:
            return (np.rint(np.clip(x, 0, self.last)).astype(np.int64)[:, None] >> np.arange(self.features)) & 1
        return self._standard(x if self.gaussian else np.sqrt(np.maximum(x, 0)))

    def quantile(self, params: Array, u: Array) -> Array:
        """The value at which the cumulative distribution reaches `u`."""
        if self.softmax:
            cumulated = np.exp(params - np.logaddexp(_logsumexp(params), TAIL_LOGIT)[:, None]).cumsum(1)
            state = (u[:, None] > cumulated).sum(1).astype(np.float64)
            share = np.clip((1 - u) / (1 - cumulated[:, -1]), TINY, 1)
            return state + np.where(state < self.last, 0, np.maximum(np.ceil(np.log(share) / self.log_q) - 1, 0))
        log_weights, means, log_scales = self._components(params)
        weights, scales, cdf = np.exp(log_weights), np.exp(log_scales), _normal_cdf if self.gaussian else _sigmoid
        far = np.array([NormalDist().inv_cdf(one) for one in u]) if self.gaussian else np.log(u) - np.log1p(-u)
        low, high = (end(means + scales * far[:, None], 1) for end in (np.min, np.max))
        for _ in range(52):
            middle = (low + high) / 2
            above = (weights * cdf((middle[:, None] - means) / scales)).sum(1) >= u
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        value = self.location + self.scale * (low + high) / 2
        return value if self.gaussian else np.maximum(np.ceil(np.maximum(value, 0) ** 2 - 0.5), 0) + 0.0

    def log_prob(self, params: Array, x: Array) -> Array:
        """Log-density, or log-probability of a count, minus infinity where it is none."""
        if self.softmax:
            inside = np.take_along_axis(params, np.rint(np.clip(x, 0, self.last - 1)).astype(np.int64)[:, None], 1)
            beyond = TAIL_LOGIT + math.log(-math.expm1(self.log_q)) + (x - self.last) * self.log_q
            return np.where(x < self.last, inside[:, 0], beyond) - np.logaddexp(_logsumexp(params), TAIL_LOGIT)
        log_weights, means, log_scales = self._components(params)
        rate, count = np.exp(-log_scales), np.maximum(x, 0)
        if self.gaussian:
            log_normal = -0.5 * ((self._standard(x) - means) * rate) ** 2 - log_scales - 0.5 * math.log(2 * math.pi)
            return _logsumexp(log_weights + log_normal) - math.log(self.scale)
        upper = (self._standard(np.sqrt(count + 0.5)) - means) * rate
        width = 1 / (np.sqrt(count + 0.5) + np.sqrt(np.maximum(count - 0.5, 0)))[:, None] / self.scale * rate
        under, above = -np.logaddexp(0, -upper), np.log(-np.expm1(-width)) - np.logaddexp(0, upper - width)
        return _logsumexp(log_weights + under + np.where(count[:, None] > 0, above, 0))

    def _standard(self, x: Array) -> Array:
        return ((x - self.location) / self.scale)[:, None]

    def _components(self, params: Array) -> tuple[Array, Array, Array]:
        logits, means, scales = np.split(params, 3, 1)
        return logits - _logsumexp(logits)[:, None], means, self.lowest + np.logaddexp(0, scales - self.lowest)


def _gru(core: dict[str, Any], inner: list[Array], told: Array, state: Any) -> tuple[Array, Any]:
    size, state = core["hidden"], np.zeros((len(told), core["hidden"])) if state is None else state
    gates = _linear(inner[0], state)
    reset, update = np.split(_sigmoid(told[:, : 2 * size] + gates[:, : 2 * size]), 2, 1)
    new = np.tanh(told[:, 2 * size :] + reset * gates[:, 2 * size :])
    state = new + update * (state - new)
    return state, state


def _transformer(core: dict[str, Any], inner: list[Array], x: Array, state: Any) -> tuple[Array, Any]:
    memory: list[Any] = []  # keys and values of the species so far, for each block
    for block in range(core["depth"]):
        attend, gather, widen, narrow = inner[4 * block :][:4]
        parts = np.split(_linear(attend, _norm(x)), 3, 1)
        query, key, value = (part.reshape(len(x), core["heads"], 1, -1) for part in parts)
        if state:
            key, value = (np.concatenate([old, new], 2) for old, new in zip(state[block], (key, value), strict=True))
        memory.append((key, value))
        scores = (query * key).sum(-1) / math.sqrt(query.shape[-1])
        weights = np.exp(scores - _logsumexp(scores)[..., None])
        x = x + _linear(gather, (weights[..., None] * value).sum(2).reshape(len(x), -1))
        wide = _linear(widen, _norm(x))
        x = x + _linear(narrow, wide * _normal_cdf(wide))
    return _norm(x), memory


def _linear(matrix: Array, x: Array) -> Array:
    return x @ matrix[:, :-1].T + matrix[:, -1]


def _norm(x: Array) -> Array:
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def _constant_log_prob(value: float, count: bool, x: Array) -> Array:
    distance, scale = np.abs(x - value), abs(value) or 1.0
    if count:
        apart = np.maximum(distance, 0.5)  # of what is no count no density is asked
        other = -np.log(apart) - np.log1p(apart) - np.where(distance <= value, math.log(2), 0)
        return np.where(distance == 0, math.log1p(-OTHER), math.log(OTHER) + other)
    other = math.log(OTHER) - math.log(math.pi * scale) - np.log1p((distance / scale) ** 2)
    return np.where(distance <= ROUNDING * abs(value), math.log1p(-OTHER), other)


def _logsumexp(x: Array) -> Array:
    top = x.max(-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(x - top).sum(-1))


def _sigmoid(x: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _normal_cdf(x: Array) -> Array:
    node = np.rint(np.clip((x + 10) * 256, 0, 5120)).astype(np.int64)
    z, d = NODES[node], np.clip(x - NODES[node], -1 / 512, 1 / 512)
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return NORMAL_CDF[node] + density * d * (1 - d * (z / 2 - d * ((z**2 - 1) / 6 - d * (z**3 - 3 * z) / 24)))
