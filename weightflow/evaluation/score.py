"""Score samplers against the test part of a split."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from weightflow.data import Split
from weightflow.errors import InputError
from weightflow.evaluation.floor import Floor, scored_samples
from weightflow.evaluation.sampler import Sampler, draw
from weightflow.evaluation.scores import FLOOR, Scores
from weightflow.metrics import Metric, applicable


def evaluate(
    samplers: Mapping[str, Sampler],
    split: Split,
    draws: int,
    seed: int,
    metrics: Sequence[str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Scores:
    """Score each sampler at each test time, and the sampling floor beside them.

    At each time min(draws, test samples) samples of the model meet as many of the data (both chosen by the seed),
    because most distances between finite samples depend on the sizes of both.

    Args:
        samplers: by the name that score files use.
        split: its test part is scored.
        draws: how many samples are compared at each time, at most.
        seed: decides every draw.
        metrics: names in `weightflow.metrics.METRICS`; None: all that fit the data.
        progress: called before each method with its name, the number of methods done and that of all.

    Raises:
        InputError: a metric does not fit the data, a name is taken, or a test snapshot is too small.
        WeightFlowError: a sampler returned something of another shape, or not finite.
    """
    if FLOOR in samplers:
        raise InputError(f"`{FLOOR}` is the name of the sampling floor; call that sampler something else.")
    chosen = applicable(split.test.kinds, metrics)
    data = scored_samples(split, draws, seed)
    floor = Floor.of(split, data, seed)
    methods: dict[str, dict[str, tuple[float, ...]]] = {}
    for i, (name, sampler) in enumerate(samplers.items()):
        _tell(progress, name, i, len(samplers) + 1)
        samples = draw(name, sampler, split.test.times, draws, split.test.dim, seed)
        methods[name] = _compare(chosen, [x[: len(y)] for x, y in zip(samples, data, strict=True)], data)
    _tell(progress, FLOOR, len(samplers), len(samplers) + 1)
    methods[FLOOR] = _compare(chosen, floor.first, floor.second)
    return Scores(str(split.protocol), draws, floor.label, tuple(map(float, split.test.times)), methods)


def _compare(
    metrics: Sequence[Metric], first: Sequence[np.ndarray], second: Sequence[np.ndarray]
) -> dict[str, tuple[float, ...]]:
    return {metric.name: tuple(metric(x, y) for x, y in zip(first, second, strict=True)) for metric in metrics}


def _tell(progress: Callable[[str, int, int], None] | None, name: str, done: int, total: int) -> None:
    if progress is not None:
        progress(name, done, total)
