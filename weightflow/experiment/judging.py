"""A model judged: beside what a user could take instead, beside variants of its own fit, and beside the floor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float

from weightflow.data import Snapshots, Split
from weightflow.evaluation import (
    ChosenBridge,
    LeftOutModel,
    Sampler,
    Scores,
    baselines,
    evaluate,
    left_out,
    left_out_model,
    seconds_to_evaluate,
)
from weightflow.experiment.config import ExperimentConfig
from weightflow.experiment.preparation import Prepared, direct_model, line_model, prepare
from weightflow.experiment.trial import train
from weightflow.model import WeightFlow
from weightflow.progress import Progress, unseen, within
from weightflow.side_by_side import Mapper, in_turn
from weightflow.training import Objective

DRAWS = 1000
CHOSEN = "chosen_bridge"
METHODS = 10  # that are judged at most, the floor among them


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model, and what it was made from."""

    prepared: Prepared
    model: WeightFlow

    @property
    def models(self) -> dict[str, WeightFlow]:
        """The model and, where it was prepared with what they need, its variants."""
        prepared = self.prepared
        variants = {
            **({} if prepared.anchors is None else {"weights_line": line_model(prepared)}),
            **({} if prepared.teacher is None else {"direct": direct_model(prepared)}),
        }
        return {"model": self.model, **variants}


def reference_points(fitted: Fitted, config: ExperimentConfig) -> Float[np.ndarray, "time token width"]:
    """Return the weights that the field learned from, at the fitted snapshots."""
    if config.training.objective is Objective.ANCHOR:
        return fitted.prepared.anchored.tokens
    times, tokens = fitted.prepared.taught.table(fitted.prepared.backbone)
    return tokens[[int(np.argmin(np.abs(times - time))) for time in fitted.prepared.snapshots.times]]


def fit_each(
    parts: Sequence[Snapshots],
    config: ExperimentConfig,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Progress = unseen,
    mapper: Mapper = in_turn,
) -> list[Fitted]:
    """Fit one model to each of some sets of snapshots.

    Args:
        parts: the snapshots of each fit.
        config: of all of them.
        seed: rules all random numbers.
        device: where to compute.
        progress: told how many fits are done.
        mapper: runs the fits, side by side if it likes.
    """
    told = within(progress, "fits")
    told(0, len(parts))
    made: list[Fitted] = []
    for fitted in mapper(partial(_fit, config=config, seed=seed, device=device), parts):
        made.append(fitted)
        told(len(made), len(parts))
    return made


def _fit(part: Snapshots, config: ExperimentConfig, seed: int, device: torch.device | str) -> Fitted:
    prepared = prepare(part, config, seed, device)
    return Fitted(prepared, train(prepared, config, seed, device))


def judge(
    tested: Sequence[Fitted], split: Split, seed: int, progress: Progress = unseen, mapper: Mapper = in_turn
) -> Scores:
    """Score fits, one for each test of the split, on what these hold out; `mapper` and scores as for `evaluate`."""
    methods = _methods(tested, split)
    return evaluate(methods, split, DRAWS, seed, progress=within(progress, "scoring"), mapper=mapper)


def seconds_to_judge(split: Split, seed: int) -> float:
    """Return how long `judge` will take on one CPU of this machine, told from a part of it."""
    return sum(seconds_to_evaluate(METHODS, part, DRAWS, seed) for part in split.courses)


def shown(final: WeightFlow, tested: Sequence[Fitted], split: Split) -> WeightFlow | LeftOutModel:
    """Return who draws for pictures: at tested times the model that was tested there, elsewhere the final one."""
    if len(tested) == 1:
        return final
    times = [*(fold.held_out.times for fold in split.tests), split.seen.times]
    return LeftOutModel([*(fitted.model for fitted in tested), final], times)


def _methods(tested: Sequence[Fitted], split: Split) -> dict[str, Sampler]:
    """Return the methods in the order of the tables."""
    times = [fold.held_out.times for fold in split.tests]
    models = [fitted.models for fitted in tested]
    joined = {name: left_out_model([by[name] for by in models], times) for name in models[0]}
    rivals = [baselines(fitted.prepared.snapshots, fitted.prepared.bridge) for fitted in tested]
    names = dict.fromkeys(name for by in rivals for name in by)
    others = {
        name: left_out([_rival(name, *pair) for pair in zip(rivals, tested, strict=True)], times) for name in names
    }
    return {"model": joined.pop("model"), **others, **joined}


def _rival(name: str, known: Mapping[str, Sampler], fitted: Fitted) -> Sampler:
    """Return a baseline of one fit; only the bridge that it chose may be missing, where it is one of the others too."""
    return ChosenBridge(fitted.prepared.bridge) if name == CHOSEN else known[name]
