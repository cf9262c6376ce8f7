"""Fitting drifts: every snapshot is to be pushed onto the next one, and onto the one after it.

Particles of snapshot k are carried to the time of snapshot k + 1, noise and all, and the energy distance between them
and that snapshot is minimised, in units of its spread, for all intervals at once (compare Shen et al. 2024,
*Multi-marginal Schroedinger bridges with iterative reference refinement*, where one process is fitted to all snapshots
too). No coupling is assumed: what moves where follows from f being one function for all intervals. Once a third of the
steps is done, particles are carried on to the snapshot after, which holds errors against the drift that one interval
hides.

Several drifts, each of some of the snapshots, are fitted as one batch, an axis for the drift in every product: that is
what leaving times out in turn costs. Of several conditions a step takes intervals of any, and the network sees under
which condition each particle moves: as many steps do for many conditions as for one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import silu

from weightflow.data.snapshots import Snapshots
from weightflow.data.spread import deviation
from weightflow.drift.drift import Drift, Varied
from weightflow.errors import TrainingError
from weightflow.progress import Steps, uncounted
from weightflow.torch_rng import torch_generator
from weightflow.types import Kind

HIDDEN = 64
POINTS = 40  # of each snapshot in each step
INTERVALS = 12  # in each step; more snapshots take turns, so that the time does not grow with them
NODES = 3  # midpoint steps in an interval
LEARNING_RATE = 1e-2
ALONE = 1 / 3  # of the steps, in which particles are carried over one interval alone
AFTER = 0.5  # weight of the second interval
MARGIN = 0.25  # of the range of values, beyond which f no longer changes
NARROWEST = 0.02  # spread of a snapshot, in deviations of all, below which its distance is not magnified further
LEAST_MEAN = 1e-6  # of counts, in deviations
FIRST_NOISE = 0.03  # in deviations of all, by the root of a mean gap


def fit_drifts(
    snapshots: Snapshots,
    folds: Sequence[Sequence[int]],
    steps: int,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Steps = uncounted,
    start: Sequence[Varied] = (),
) -> list[Varied]:
    """Fit one drift to each of some choices of the snapshots.

    Args:
        snapshots: two of one condition, at least; what is seen of a condition are its `features`.
        folds: for each drift the snapshots that it may look at, by their places in increasing order; two of one
            condition, at least.
        steps: of the optimiser.
        seed: rules all random numbers.
        device: where to compute.
        progress: told of each step.
        start: what to go on from, if anything: one for each, fitted to some of the same snapshots. Each takes up the
            intervals two by two at once.

    Raises:
        TrainingError: the distance is no longer finite.
    """
    generator = torch_generator(seed, "drift", device=device)
    data = _Clouds.of(snapshots, device)
    course = _Course.of(folds, snapshots, data, device)
    network = _of_values(start, device) or _first(len(folds), snapshots.dim, data.codes.shape[1], generator, device)
    optimiser = torch.optim.AdamW(network, LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
    for step in range(steps):
        loss = _loss(network, data, course.some(generator), bool(start) or step >= ALONE * steps, generator)
        optimiser.zero_grad()
        loss.sum().backward()
        _clip(network)
        optimiser.step()
        schedule.step()
        progress(step + 1, steps)
    if not all(bool(part.isfinite().all()) for part in network):
        raise TrainingError("the drift of the bridge is not finite; name another `bridge.curve` than drift or auto.")
    return [_as_value(network, fold, data, course) for fold in range(len(folds))]


@dataclass(frozen=True, eq=False)
class _Clouds:
    """The snapshots in units of their pooled deviation, filled up to one size; `sizes` says how much of each is data.

    `spread` is the root of the mean variance of each, `zero` is where the value 0 lies, and `grows` says for which
    species noise grows from there. `codes` are what is seen of the condition of each.
    """

    points: Float[Tensor, "time most dim"]
    sizes: Int[Tensor, "time"]
    spread: Float[Tensor, "time"]
    zero: Float[Tensor, "dim"]
    grows: Bool[Tensor, "dim"]
    codes: Float[Tensor, "time feature"]
    centre: Float[np.ndarray, "dim"]
    unit: Float[np.ndarray, "dim"]

    @classmethod
    def of(cls, snapshots: Snapshots, device: torch.device | str) -> "_Clouds":
        pooled = snapshots.pooled()
        centre, unit = pooled.mean(axis=0), deviation(pooled)
        grows = np.array([kind is Kind.COUNTS for kind in snapshots.kinds])
        sizes = np.array(snapshots.sizes)
        points = np.zeros((len(sizes), sizes.max(), snapshots.dim))
        for k, cloud in enumerate(snapshots.samples):
            points[k, : len(cloud)] = (cloud - centre) / unit
        spread = [np.sqrt((((cloud - centre) / unit).var(axis=0)).mean()) for cloud in snapshots.samples]
        known = snapshots.conditions
        codes = np.zeros((len(sizes), 0)) if known is None else np.stack([known.features(p) for p in known.points])
        return cls(
            torch.as_tensor(points, dtype=torch.float32, device=device),
            torch.as_tensor(sizes, device=device),
            torch.as_tensor(np.maximum(spread, NARROWEST), dtype=torch.float32, device=device),
            torch.as_tensor(-centre / unit, dtype=torch.float32, device=device),
            torch.as_tensor(grows, device=device),
            torch.as_tensor(codes, dtype=torch.float32, device=device),
            centre,
            unit,
        )

    def growth(self, x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
        """Return by what the noise is multiplied: the root of a count over its mean, and one for other species."""
        share = (x.detach() - self.zero) / (-self.zero).clamp(min=LEAST_MEAN)
        return torch.where(self.grows, share.clamp(min=0.0).sqrt(), 1.0)

    def range_of(self, which: Sequence[int]) -> Float[Tensor, "2 1 dim"]:
        """Return the least and the largest values in some snapshots, and a margin beyond them."""
        seen = torch.cat([self.points[k, : int(self.sizes[k])] for k in which])
        low, high = seen.amin(0, keepdim=True), seen.amax(0, keepdim=True)
        return torch.stack([low - MARGIN * (high - low), high + MARGIN * (high - low)])

    def draw(
        self, which: Int[Tensor, "fold interval"], generator: torch.Generator
    ) -> Float[Tensor, "fold interval point dim"]:
        """Draw points of some snapshots, with replacement."""
        uniform = torch.rand((*which.shape, POINTS), generator=generator, device=which.device)
        return self.points[which[..., None], (uniform * self.sizes[which][..., None]).long()]


@dataclass(frozen=True, eq=False)
class _Course:
    """Which snapshots each drift is to carry where: at `stops` 0, 1 and 2, that it may look at, one after the other.

    `gaps` are the two times between them, in mean gaps of all; `weights` say how much each counts, and add up to one
    for each drift. The last interval of a condition has none after it, nor have intervals that only fill up. `bounds`
    are the least and the largest values that each drift sees, and a margin; `span` is a mean gap.
    """

    stops: Int[Tensor, "stop fold interval"]
    gaps: Float[Tensor, "two fold interval"]
    weights: Float[Tensor, "two fold interval"]
    bounds: Float[Tensor, "2 fold 1 dim"]
    span: float

    @classmethod
    def of(
        cls, folds: Sequence[Sequence[int]], snapshots: Snapshots, data: _Clouds, device: torch.device | str
    ) -> "_Course":
        found = [_stops(fold, snapshots) for fold in folds]
        most = max(map(len, found))
        weights = np.zeros((2, len(folds), most))
        for f, stops in enumerate(found):
            weights[0, f, : len(stops)] = 1.0
            weights[1, f, : len(stops)] = stops[:, 2] != stops[:, 1]
        weights /= np.maximum(weights.sum(axis=2, keepdims=True), 1.0)
        padded = [np.concatenate([stops, stops[-1:].repeat(most - len(stops), axis=0)]) for stops in found]
        stops = np.stack(padded).transpose(2, 0, 1)
        span = float(np.concatenate([np.diff(course.times) for course in snapshots.courses.values()]).mean())
        gaps = np.diff(snapshots.times[stops], axis=0) / span
        spans, shares = (torch.as_tensor(part, dtype=torch.float32, device=device) for part in (gaps, weights))
        bounds = torch.stack([data.range_of(fold) for fold in folds], dim=1)
        return cls(torch.as_tensor(stops, device=device), spans, shares, bounds, span)

    def some(self, generator: torch.Generator) -> "_Course":
        """Return `INTERVALS` of the intervals, drawn at random, or all where there are no more."""
        most = self.stops.shape[2]
        if most <= INTERVALS:
            return self
        some = torch.randperm(most, generator=generator, device=generator.device)[:INTERVALS]
        weights = self.weights[:, :, some] * (most / INTERVALS)
        return _Course(self.stops[:, :, some], self.gaps[:, :, some], weights, self.bounds, self.span)


def _stops(fold: Sequence[int], snapshots: Snapshots) -> Int[np.ndarray, "interval stop"]:
    """Return each snapshot of a fold that has another after it, that one, and the one after; else that one again."""
    known = snapshots.conditions
    rows: list[tuple[int, int, int]] = []
    for _, run in groupby(fold, key=lambda place: None if known is None else known.points[place]):
        places = list(run)
        rows += zip(places, places[1:], [*places[2:], *places[-1:]], strict=False)
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


Network = list[Tensor]  # weights and bias of each layer, the linear part, the logarithm of the noise; the fold first


def _first(folds: int, dim: int, features: int, generator: torch.Generator, device: torch.device | str) -> Network:
    """Draw first weights; those of the last layer are small, so that particles hardly move."""
    network: Network = []
    for n_in, n_out, size in ((dim + features, HIDDEN, 1.0), (HIDDEN, HIDDEN, 1.0), (HIDDEN, dim, 0.1)):
        for rows in (n_in, 1):
            # each drift starts from the same weights, so that the folds differ by what they may see alone
            drawn = torch.rand((1, rows, n_out), generator=generator, device=device) * 2 - 1
            network.append((size * n_in**-0.5 * drawn).repeat(folds, 1, 1))
    network.append(torch.zeros((folds, dim + features, dim), device=device))
    network.append(torch.full((folds, 1, dim), float(np.log(FIRST_NOISE)), device=device))
    return [part.requires_grad_() for part in network]


def _loss(
    network: Network, data: _Clouds, course: _Course, further: bool, generator: torch.Generator
) -> Float[Tensor, "fold"]:
    start, *targets = course.stops
    x = data.draw(start, generator).flatten(1, 2)
    codes = data.codes[start].repeat_interleave(POINTS, 1)
    loss = x.new_zeros(len(x))
    for j, stop in enumerate(targets[: 2 if further else 1]):
        x = _carry(network, x, codes, course.gaps[j].repeat_interleave(POINTS, 1)[..., None], data, course, generator)
        carried = x.unflatten(1, (*stop.shape[1:], POINTS))
        distance = _energy(carried.flatten(0, 1), data.draw(stop, generator).flatten(0, 1)).view(stop.shape)
        loss = loss + AFTER**j * (course.weights[j] * distance / data.spread[stop]).sum(1)
    return loss


def _carry(
    network: Network,
    x: Float[Tensor, "fold n dim"],
    codes: Float[Tensor, "fold n feature"],
    gap: Float[Tensor, "fold n 1"],
    data: _Clouds,
    course: "_Course",
    generator: torch.Generator,
) -> Float[Tensor, "fold n dim"]:
    """Carry particles over one interval each by the midpoint rule."""
    step = gap / NODES
    noise = network[-1].exp() * step.sqrt()
    for _ in range(NODES):
        middle = x + step / 2 * _velocity(network, x, codes, course.bounds)
        shaken = data.growth(x) * noise * torch.randn(x.shape, generator=generator, device=x.device)
        x = x + step * _velocity(network, middle, codes, course.bounds) + shaken
    return x


def _velocity(
    network: Network,
    x: Float[Tensor, "fold n dim"],
    codes: Float[Tensor, "fold n feature"],
    bounds: Float[Tensor, "2 fold 1 dim"],
) -> Float[Tensor, "fold n dim"]:
    first, first_bias, second, second_bias, last, last_bias, straight, _ = network
    x = torch.cat([x.clamp(*bounds), codes], -1) if codes.shape[-1] else x.clamp(*bounds)
    hidden = silu(torch.baddbmm(second_bias, silu(torch.baddbmm(first_bias, x, first)), second))
    return torch.baddbmm(torch.baddbmm(last_bias, hidden, last), x, straight)


def _energy(x: Float[Tensor, "cloud n dim"], y: Float[Tensor, "cloud n dim"]) -> Float[Tensor, "cloud"]:
    """Return 2 E|X - Y| - E|X - X'|; what is left out of the energy distance does not depend on x.

    Pairs are of different points, so that a small sample is not asked to spread less than it should.
    """
    n = x.shape[1]
    between, within = (torch.cdist(x, z, compute_mode="donot_use_mm_for_euclid_dist").sum((1, 2)) for z in (y, x))
    return 2 * between / n**2 - within / (n * (n - 1))


def _clip(network: Network) -> None:
    """Bound the gradient of each drift to a norm of one."""
    gradients = [part.grad for part in network if part.grad is not None]
    squares = torch.stack([gradient.pow(2).sum((1, 2)) for gradient in gradients]).sum(0)
    factor = squares.sqrt().clamp(min=1.0).reciprocal()[:, None, None]
    for gradient in gradients:
        gradient.mul_(factor)


def _as_value(network: Network, fold: int, data: _Clouds, course: _Course) -> Varied:
    *layers, straight, log_noise = (part[fold].detach().cpu().double().numpy() for part in network)
    noise = np.exp(log_noise[0]) * data.unit / np.sqrt(course.span)
    bounds = course.bounds[:, fold, 0].cpu().double().numpy()
    grows, dim = data.grows.cpu().numpy(), len(data.unit)
    weights, biases = (layers[0][:dim], *layers[2::2]), tuple(layers[1::2])
    drift = Drift(weights, biases, straight[:dim], noise, data.centre, data.unit, course.span, grows, bounds)
    return Varied(drift, layers[0][dim:], straight[dim:])


def _of_values(found: Sequence[Varied], device: torch.device | str) -> Network:
    """Undo `_as_value`, for each fold; of none, an empty network."""
    parts = zip(*map(_parts, found), strict=True)
    folds = [torch.as_tensor(np.stack(each), dtype=torch.float32, device=device) for each in parts]
    return [fold.requires_grad_() for fold in folds]


def _parts(varied: Varied) -> list[Float[np.ndarray, "_ _"]]:
    drift = varied.drift
    weights = np.concatenate([drift.weights[0], varied.hidden]), *drift.weights[1:]
    layers = [part for layer in zip(weights, drift.biases, strict=True) for part in layer]
    log_noise = np.log(drift.noise * np.sqrt(drift.span) / drift.unit)[None]
    return [*layers, np.concatenate([drift.straight, varied.straight]), log_noise]
