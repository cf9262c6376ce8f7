"""Score samplers against the test part of a split."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from weightflow.data import Snapshots, Split
from weightflow.errors import InputError
from weightflow.evaluation.density import Density, log_densities
from weightflow.evaluation.floor import Floor, count_groups, scored_samples
from weightflow.evaluation.measured import Measured, count_repetitions
from weightflow.evaluation.sampler import Sampler, draw
from weightflow.evaluation.scores import FLOOR, SHRUNK, Scores
from weightflow.metrics import NLL, Estimate, Metric, applicable, estimate_nll
from weightflow.progress import Steps, uncounted
from weightflow.rng import derive_seed
from weightflow.side_by_side import Mapper, in_turn
from weightflow.types import Kind

MANY_DIMENSIONS = 10  # from here on transport between finite clouds can prefer half the spread to the true one


def evaluate(
    samplers: Mapping[str, Sampler],
    split: Split,
    draws: int,
    seed: int,
    metrics: Sequence[str | Metric] | None = None,
    progress: Steps = uncounted,
    mapper: Mapper = in_turn,
) -> Scores:
    """Score each sampler at each test time, and the sampling floor beside them.

    At each time min(draws, test samples) samples of the model meet as many of the data (both chosen by the seed),
    because most distances between finite samples depend on the sizes of both. Each sampler is drawn from twice or more
    (see `weightflow.evaluation.measured`), and its score is the mean. Methods that have a density are scored by the
    negative log-likelihood of the same data as well. From `MANY_DIMENSIONS` species on, the floor's first sample at
    half its spread is scored too, as `shrunk_truth`: metrics by which it is not worse than the floor say little there.

    The intervals of `Scores` tell how much the means would change with other samples of the same sizes, of the method
    as it was fitted and of the data. What another fit, with other data or another seed, would change they do not tell.

    Args:
        samplers: by the name that score files use.
        split: its test part is scored; of what leaves several times out in turn, give each method as `left_out`.
        draws: how many samples are compared at each time, at most.
        seed: decides every draw.
        metrics: names in `weightflow.metrics.METRICS`, metrics themselves (such as
            `METRICS["joint_w1"].with_points(500)`), or `nll`; None: all that fit the data.
        progress: told how many pieces are measured, and how many there are.
        mapper: measures the pieces, side by side if it likes: how they are shared out changes no score.

    Raises:
        InputError: a metric does not fit the data, a name is taken, or a test snapshot is too small.
        WeightFlowError: a sampler returned something of another shape, or not finite.
    """
    for name in (FLOOR, SHRUNK):
        if name in samplers:
            raise InputError(f"`{name}` is the name of what the truth scores; call that sampler something else.")
    chosen, likelihood = _chosen(split, metrics)
    data = scored_samples(split, draws, seed)
    groups = count_groups(data, draws)
    floor = Floor.of(split, data, draws, seed)
    work = Measuring(samplers, split.test, data, floor, chosen, draws, seed)
    pieces = work.pieces(count_repetitions(len(split.test), groups), likelihood)
    found: dict[str, list[Estimates]] = {}
    progress(0, len(pieces))
    for i, (piece, measured) in enumerate(zip(pieces, mapper(work, pieces), strict=True), 1):
        found.setdefault(piece.method, []).append(measured)
        progress(i, len(pieces))
    kept = {name: _kept(parts, floor.groups if name in (FLOOR, SHRUNK) else groups) for name, parts in found.items()}
    return Scores(
        str(split.protocol),
        draws,
        floor.label,
        tuple(map(float, split.test.times)),
        {name: {metric: one.by_time for metric, one in by.items()} for name, by in kept.items()},
        {name: {metric: one.groups for metric, one in by.items()} for name, by in kept.items()},
        split.selected,
        split.test.digest(),
    )


def seconds_to_evaluate(methods: int, split: Split, draws: int, seed: int) -> float:
    """Return how long scoring so many methods would take here on one CPU, told from the floor alone."""
    chosen, _ = _chosen(split, None)
    data = scored_samples(split, draws, seed)
    work = Measuring({}, split.test, data, Floor.of(split, data, draws, seed), chosen, draws, seed)
    began = time.perf_counter()
    work(Piece(FLOOR, 0))
    each = time.perf_counter() - began
    return each * methods * count_repetitions(len(split.test), count_groups(data, draws))


Estimates = dict[str, list[Estimate]]  # by metric, one for each time


class Piece(NamedTuple):
    """What is measured at a time: one of a method's repetitions, or its likelihood, which needs no draws."""

    method: str
    repetition: int | None


@dataclass(frozen=True, eq=False)
class Measuring:
    """All that a piece needs, in any process; a call measures one.

    Attributes:
        samplers: by name.
        test: what is scored.
        data: samples of it that are compared, one cloud for each time.
        floor: what the truth scores.
        metrics: distances.
        draws: of a sampler, at most.
        seed: decides every draw.
    """

    samplers: Mapping[str, Sampler]
    test: Snapshots
    data: Sequence[np.ndarray]
    floor: Floor
    metrics: Sequence[Metric]
    draws: int
    seed: int

    def pieces(self, repetitions: int, likelihood: bool) -> list[Piece]:
        """Return what is to be measured, in the order of the methods."""
        found = [
            Piece(name, part)
            for name, sampler in self.samplers.items()
            for part in (*range(repetitions), *([None] if likelihood and isinstance(sampler, Density) else []))
        ]
        truths = [FLOOR, SHRUNK] if self.test.dim >= MANY_DIMENSIONS else [FLOOR]
        return [*found, *(Piece(name, 0) for name in truths)]

    def __call__(self, piece: Piece) -> Estimates:
        """Measure a piece."""
        name, part = piece
        if name == FLOOR:
            return _compare(self.metrics, self.floor.first, self.floor.second)
        if name == SHRUNK:
            return _compare(self.metrics, _shrunk(self.floor.first, self.test.kinds), self.floor.second)
        sampler, times = self.samplers[name], self.test.times
        if part is None:
            if not isinstance(sampler, Density):
                raise ValueError(f"`{name}` has no density, and no such piece")
            return {NLL.name: [estimate_nll(one) for one in log_densities(name, sampler, times, self.data)]}
        own = derive_seed(self.seed, "repetition", part) if part else self.seed
        samples = draw(name, sampler, times, self.draws, self.test.dim, own)
        return _compare(self.metrics, [x[: len(y)] for x, y in zip(samples, self.data, strict=True)], self.data)


def _kept(parts: Sequence[Estimates], groups: int) -> dict[str, Measured]:
    """Put what was measured of one method together, by metric."""
    by_metric: dict[str, list[list[Estimate]]] = {}
    for part in parts:
        for metric, estimates in part.items():
            by_metric.setdefault(metric, []).append(estimates)
    return {
        metric: Measured.once(found[0], groups) if len(found) == 1 else Measured.repeated(found, groups)
        for metric, found in by_metric.items()
    }


def _shrunk(clouds: Sequence[np.ndarray], kinds: Sequence[Kind]) -> list[np.ndarray]:
    """Return the clouds at half their spread around their means; counts stay whole."""
    counts = np.array([kind is Kind.COUNTS for kind in kinds])
    halved = [(cloud + cloud.mean(axis=0)) / 2 for cloud in clouds]
    return [np.where(counts, np.rint(cloud), cloud) for cloud in halved]


def _chosen(split: Split, metrics: Sequence[str | Metric] | None) -> tuple[tuple[Metric, ...], bool]:
    """Return the distances, and whether the likelihood is wanted too."""
    if metrics is None:
        return applicable(split.test.kinds), True
    distances = [metric for metric in metrics if metric != NLL.name]
    return applicable(split.test.kinds, distances), len(distances) < len(metrics)


def _compare(
    metrics: Sequence[Metric], first: Sequence[np.ndarray], second: Sequence[np.ndarray]
) -> dict[str, list[Estimate]]:
    return {m.name: [m.estimate(x, y) for x, y in zip(first, second, strict=True)] for m in metrics}
