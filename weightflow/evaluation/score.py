"""Score samplers against the test part of a split."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from weightflow.data import Fold, Split
from weightflow.errors import InputError
from weightflow.evaluation.density import Density, log_densities
from weightflow.evaluation.floor import Floor, count_groups, scored_samples
from weightflow.evaluation.sampler import Sampler, draw
from weightflow.evaluation.scores import FLOOR, Scores
from weightflow.metrics import NLL, Estimate, Metric, applicable, estimate_nll


def evaluate(
    samplers: Mapping[str, Sampler],
    split: Split | Fold,
    draws: int,
    seed: int,
    metrics: Sequence[str | Metric] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Scores:
    """Score each sampler at each test time, and the sampling floor beside them.

    At each time min(draws, test samples) samples of the model meet as many of the data (both chosen by the seed),
    because most distances between finite samples depend on the sizes of both. Methods that have a density are scored
    by the negative log-likelihood of the same data as well.

    The intervals of `Scores` tell how much the means would change with other samples of the same sizes, of the method
    as it was fitted and of the data. What another fit, with other data or another seed, would change they do not tell.

    Args:
        samplers: by the name that score files use.
        split: its test part is scored.
        draws: how many samples are compared at each time, at most.
        seed: decides every draw.
        metrics: names in `weightflow.metrics.METRICS`, metrics themselves (such as
            `METRICS["joint_w1"].with_points(500)`), or `nll`; None: all that fit the data.
        progress: called before each method with its name, the number of methods done and that of all.

    Raises:
        InputError: a metric does not fit the data, a name is taken, or a test snapshot is too small.
        WeightFlowError: a sampler returned something of another shape, or not finite.
    """
    if FLOOR in samplers:
        raise InputError(f"`{FLOOR}` is the name of the sampling floor; call that sampler something else.")
    chosen, likelihood = _chosen(split, metrics)
    data = scored_samples(split, draws, seed)
    groups = count_groups(data, draws)
    floor = Floor.of(split, data, draws, seed)
    found: dict[str, dict[str, list[Estimate]]] = {}
    for i, (name, sampler) in enumerate(samplers.items()):
        _tell(progress, name, i, len(samplers) + 1)
        samples = draw(name, sampler, split.test.times, draws, split.test.dim, seed)
        found[name] = _compare(chosen, [x[: len(y)] for x, y in zip(samples, data, strict=True)], data)
        if likelihood and isinstance(sampler, Density):
            densities = log_densities(name, sampler, split.test.times, data)
            found[name][NLL.name] = [estimate_nll(one) for one in densities]
    _tell(progress, FLOOR, len(samplers), len(samplers) + 1)
    found[FLOOR] = _compare(chosen, floor.first, floor.second)
    return Scores(
        str(split.protocol),
        draws,
        floor.label,
        tuple(map(float, split.test.times)),
        {name: {metric: _values(each) for metric, each in by.items()} for name, by in found.items()},
        {
            name: {metric: _groups(each, floor.groups if name == FLOOR else groups) for metric, each in by.items()}
            for name, by in found.items()
        },
    )


def _chosen(split: Split | Fold, metrics: Sequence[str | Metric] | None) -> tuple[tuple[Metric, ...], bool]:
    """Return the distances, and whether the likelihood is wanted too."""
    if metrics is None:
        return applicable(split.test.kinds), True
    distances = [metric for metric in metrics if metric != NLL.name]
    return applicable(split.test.kinds, distances), len(distances) < len(metrics)


def _compare(
    metrics: Sequence[Metric], first: Sequence[np.ndarray], second: Sequence[np.ndarray]
) -> dict[str, list[Estimate]]:
    return {m.name: [m.estimate(x, y) for x, y in zip(first, second, strict=True)] for m in metrics}


def _values(estimates: Sequence[Estimate]) -> tuple[float, ...]:
    return tuple(estimate.value for estimate in estimates)


def _groups(estimates: Sequence[Estimate], groups: int) -> tuple[float, ...]:
    return tuple(map(float, np.mean([estimate.grouped(groups) for estimate in estimates], axis=0)))


def _tell(progress: Callable[[str, int, int], None] | None, name: str, done: int, total: int) -> None:
    if progress is not None:
        progress(name, done, total)
