"""Each condition left out in turn: a model of all others scored there, beside what else could be made of these."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from weightflow.data import Conditions, Fold, Point, Snapshots, Split, in_words
from weightflow.errors import ExtrapolationWarning, InputError
from weightflow.evaluation import Scores, condition_baselines, evaluate
from weightflow.experiment.config import ExperimentConfig
from weightflow.experiment.judging import DRAWS, fit_each
from weightflow.files import write_text
from weightflow.model import WeightFlow
from weightflow.progress import Progress, unseen, within
from weightflow.side_by_side import Mapper, in_turn

PROTOCOL = "leave-one-condition-out"
FEWEST = 3


@dataclass(frozen=True)
class LeftOutCondition:
    """Scores at a condition that was left out.

    Attributes:
        at: the condition, by the names of the covariates.
        extrapolation: why it is one; empty where it lies among the others.
        scores: of the model and the alternatives there.
    """

    at: dict[str, Any]
    extrapolation: str
    scores: Scores


def conditions_left_out(snapshots: Snapshots) -> list[tuple[Point, Fold]]:
    """Return what is fitted and what is scored for each condition that can be left out.

    A condition with a category that no other one has cannot: nothing tells what it does. Of a shared start the first
    snapshot is not scored.

    Raises:
        InputError: there are fewer than three conditions, or none can be left out.
    """
    known = snapshots.conditions
    if known is None or len(known.distinct) < FEWEST:
        raise InputError(
            f"leaving one condition out takes three at least, and there are "
            f"{1 if known is None else len(known.distinct)}; name the columns that tell them apart with `--conditions`."
        )
    folds: list[tuple[Point, Fold]] = []
    for point in known.distinct:
        mine = [i for i, one in enumerate(known.points) if one == point]
        fit = snapshots.subset([i for i in range(len(snapshots)) if i not in mine])
        scored = mine[1:] if known.shared_start else mine
        if scored and fit.conditions is not None and _reachable(fit.conditions, point):
            held_out = next(iter(snapshots.subset(scored).courses.values()))
            folds.append((point, Fold(fit, held_out)))
    if not folds:
        raise InputError("no condition can be left out, since each has a category that no other one has.")
    return folds


def _reachable(conditions: Conditions, point: Point) -> bool:
    try:
        conditions.point(conditions.named(point))
    except InputError:
        return False
    return bool(conditions.peers(point))


def judge_conditions(
    folds: Sequence[tuple[Point, Fold]],
    config: ExperimentConfig,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Progress = unseen,
    mapper: Mapper = in_turn,
) -> list[LeftOutCondition]:
    """Fit without each condition in turn, and score there.

    Raises:
        InputError: the data cannot be modelled, or there are too few samples to be scored.
        TrainingError: a loss is no longer finite.
    """
    fitted = fit_each([fold.fit for _, fold in folds], config, seed, device, progress, mapper)
    found: list[LeftOutCondition] = []
    for (point, fold), one in zip(folds, fitted, strict=True):
        known = fold.fit.conditions
        if known is None:
            continue
        at = known.named(point)
        parts = Split(PROTOCOL, fold.held_out, (), (fold,))
        methods = {"model": _within(one.model, at), **condition_baselines(fold.fit, point, seed)}
        told = within(progress, f"scoring {in_words(at)}")
        scores = evaluate(methods, parts, DRAWS, seed, progress=told, mapper=mapper)
        found.append(LeftOutCondition(at, known.outside(point), scores))
    return found


def _within(model: WeightFlow, at: dict[str, Any]) -> WeightFlow:
    """Return the model under a condition; that it extrapolates is said with the scores."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        return model.under(at)


def write_conditions(path: Path, found: Sequence[LeftOutCondition]) -> None:
    """Write all scores into one file: a list of conditions, each with scores as those of one course are written."""
    entries = [
        {"at": one.at, "extrapolation": one.extrapolation, "scores": json.loads(one.scores.to_json())} for one in found
    ]
    write_text(path, json.dumps({"protocol": PROTOCOL, "conditions": entries}, indent=1) + "\n")
