"""Score samplers against the test part of a split."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from weightflow.data import Snapshots, Split
from weightflow.errors import InputError
from weightflow.evaluation.density import Density, log_densities
from weightflow.evaluation.floor import Floor, count_groups, scored_samples
from weightflow.evaluation.measured import Measured, count_repetitions
from weightflow.evaluation.sampler import Sampler, draw
from weightflow.evaluation.scores import FLOOR, SHRUNK, Scores
from weightflow.metrics import NLL, Estimate, Metric, applicable, estimate_nll
from weightflow.rng import derive_seed
from weightflow.types import Kind

MANY_DIMENSIONS = 10  # from here on transport between finite clouds can prefer half the spread to the true one


def evaluate(
    samplers: Mapping[str, Sampler],
    split: Split,
    draws: int,
    seed: int,
    metrics: Sequence[str | Metric] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
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
        progress: called before each method with its name, the number of methods done and that of all.

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
    found: dict[str, dict[str, Measured]] = {}
    for i, (name, sampler) in enumerate(samplers.items()):
        _tell(progress, name, i, len(samplers) + 1)
        found[name] = _measure(name, sampler, chosen, split.test, data, draws, groups, seed)
        if likelihood and isinstance(sampler, Density):
            densities = log_densities(name, sampler, split.test.times, data)
            found[name][NLL.name] = Measured.once([estimate_nll(one) for one in densities], groups)
    _tell(progress, FLOOR, len(samplers), len(samplers) + 1)
    compared = _compare(chosen, floor.first, floor.second)
    found[FLOOR] = {metric: Measured.once(each, floor.groups) for metric, each in compared.items()}
    if split.test.dim >= MANY_DIMENSIONS:
        compared = _compare(chosen, _shrunk(floor.first, split.test.kinds), floor.second)
        found[SHRUNK] = {metric: Measured.once(each, floor.groups) for metric, each in compared.items()}
    return Scores(
        str(split.protocol),
        draws,
        floor.label,
        tuple(map(float, split.test.times)),
        {name: {metric: one.by_time for metric, one in by.items()} for name, by in found.items()},
        {name: {metric: one.groups for metric, one in by.items()} for name, by in found.items()},
        split.selected,
        split.test.digest(),
    )


def _measure(
    name: str,
    sampler: Sampler,
    metrics: Sequence[Metric],
    test: Snapshots,
    data: Sequence[np.ndarray],
    draws: int,
    groups: int,
    seed: int,
) -> dict[str, Measured]:
    """Draw from a sampler several times, and compare each time."""
    repetitions: list[dict[str, list[Estimate]]] = []
    for i in range(count_repetitions(len(test), groups)):
        own = derive_seed(seed, "repetition", i) if i else seed
        samples = draw(name, sampler, test.times, draws, test.dim, own)
        repetitions.append(_compare(metrics, [x[: len(y)] for x, y in zip(samples, data, strict=True)], data))
    return {m.name: Measured.repeated([by[m.name] for by in repetitions], groups) for m in metrics}


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


def _tell(progress: Callable[[str, int, int], None] | None, name: str, done: int, total: int) -> None:
    if progress is not None:
        progress(name, done, total)
