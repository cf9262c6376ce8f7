"""What runs inside a trial's process."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from ray import tune

from weightflow.data import Split
from weightflow.errors import InputError, TrainingError
from weightflow.evaluation import (
    FLOOR_LEVEL,
    HeldOut,
    LeftOutModel,
    fidelity,
    floor_p_value,
    floor_power,
    held_out_score,
    left_out_model,
    score_of_conditions,
    silently,
)
from weightflow.experiment import ExperimentConfig, Trial, nest, prepare
from weightflow.model import WeightFlow
from weightflow.rng import derive_seed
from weightflow.search.cluster.gpu import worker_device
from weightflow.search.trials.depot import Depot
from weightflow.training import Checkpoint, EpochReport

TIMED_DRAWS, TIMINGS = 1000, 3
LOSS = "loss/"


@dataclass(frozen=True)
class Task:
    """What all trials of a search share beside the preparation.

    Attributes:
        split: what is fitted and held out, in folds.
        seed: of the search.
        depot: of preparations, and of what trials leave after each epoch.
        tests_floor: whether finished trials are held against the sampling floor, which is for one course alone.
    """

    split: Split
    seed: int
    depot: Depot
    tests_floor: bool


def train_trial(asked: dict[str, Any], task: Task) -> None:
    """Train one phi on each fold and report each epoch; the score is measured on what the folds hold out.

    All folds are trained side by side, so that a trial that does badly on them together ends early on all.

    A preparation that was not made yet is made by the trial; where it was asked to, for others that wait, it reports
    that it is `prepared`. One that was cut off goes on from its checkpoint, and first repeats the report that
    belongs to it, which may have been lost. One that diverges reports that as its `failure`: its process is as good as
    before. So does one whose configuration cannot be used, and that this is `final`. Whatever else is raised ends the
    process too.

    Args:
        asked: `number` of the trial, `params` by dotted key, `seed`: 0, or i for the i-th repeat, and whether it
            `makes` the preparation.
        task: see there.
    """
    try:
        _train(asked, task)
    except (InputError, TrainingError) as error:
        final = isinstance(error, InputError)
        tune.report({"number": asked["number"], "failure": str(error), "final": final})


def _train(asked: dict[str, Any], task: Task) -> None:
    began = time.perf_counter()
    number, config, device = asked["number"], ExperimentConfig.parse(nest(asked["params"])), worker_device()
    prepared = [prepare(fold.fit, config, task.seed, device, task.depot) for fold in task.split.folds]
    if asked["makes"]:
        tune.report({"number": number, "prepared": True})
    seed = derive_seed(task.seed, "repeat", asked["seed"]) if asked["seed"] else task.seed
    trials = [Trial(one, config, seed, device) for one in prepared]
    before = _restore(trials, number, task.depot)
    spent = before.get("seconds", 0.0)
    if before:
        tune.report(before)
    for reports in zip(*(trial.epochs() for trial in trials), strict=True):
        metrics = _measure([trial.model() for trial in trials], reports, config, task)
        reported = {"number": number, **metrics, "seconds": spent + time.perf_counter() - began}
        tune.report({**reported, "problem": _save(trials, reported, task.depot)})


def _measure(
    models: Sequence[WeightFlow], reports: Sequence[EpochReport], config: ExperimentConfig, task: Task
) -> dict[str, float]:
    folds, epoch = task.split.folds, reports[0].epoch
    held_out = _held_out(models, task.split)
    if not math.isfinite(held_out.score):
        raise TrainingError(f"the held-out score is {held_out.score} after epoch {epoch}")
    metrics = {
        "epoch": epoch,
        **held_out.facts(),
        _loss_name(reports[0].phase, config): fmean(report.loss for report in reports),
        "learning_rate": reports[0].learning_rate,
        "epoch_seconds": sum(report.seconds for report in reports),
    }
    if epoch < config.training.epochs:
        return metrics
    metrics |= {
        "missed_snapshots": sum(
            len(fidelity(one, fold.fit, task.seed).missed) for one, fold in zip(models, folds, strict=True)
        ),
        "sampling_seconds": _sampling_seconds(models, task.split),
        "parameters": max(sum(tensor.numel() for tensor in one.path.state_dict().values()) for one in models),
    }
    return metrics | (_against_floor(_left_out(models, task.split), task) if task.tests_floor else {})


def _held_out(models: Sequence[WeightFlow], split: Split) -> HeldOut:
    if split.of_conditions:
        return score_of_conditions(models, split.folds)
    return held_out_score(_left_out(models, split), split.interior, split.last)


def _left_out(models: Sequence[WeightFlow], split: Split) -> WeightFlow | LeftOutModel:
    """Return who answers at the times that the folds hold out."""
    return left_out_model(models, [fold.held_out.times for fold in split.folds])


def _loss_name(phase: str, config: ExperimentConfig) -> str:
    """Name a loss by what it measures: those of different objectives cannot be compared, not even in one trial."""
    return f"{LOSS}{config.training.objective.loss if phase == 'rollout' else phase}"


def _against_floor(model: WeightFlow | LeftOutModel, task: Task) -> dict[str, float]:
    """Test whether the held-out data can be told from the model; where not, what the test could have seen."""
    parts = task.split.interior, task.split.last
    p = floor_p_value(model, parts, task.seed)
    if p < FLOOR_LEVEL:
        return {"floor_p": p}
    fewest = min(len(cloud) for part in parts for cloud in part.samples)
    return {"floor_p": p, "floor_power": floor_power(model, parts, task.seed), "floor_samples": fewest}


def _sampling_seconds(models: Sequence[WeightFlow], split: Split) -> float:
    """Return how long draws at all held-out times take; of conditions, those at one of them."""
    if split.of_conditions:
        model, times = silently(models[0], split.folds[0].at), split.folds[0].held_out.times
    else:
        model, times = _left_out(models, split), np.concatenate([split.interior.times, split.last.times])

    def once() -> float:
        began = time.perf_counter()
        model.sample(times, TIMED_DRAWS)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - began

    return median(once() for _ in range(TIMINGS))


def _restore(trials: Sequence[Trial], number: int, depot: Depot) -> dict[str, Any]:
    """Let the trial go on from its checkpoint, if there is one, and return what was reported with it."""
    if (left := depot.checkpoint(number)) is None:
        return {}
    arrays, facts = left
    for i, trial in enumerate(trials):
        own = {name.removeprefix(f"{i}."): array for name, array in arrays.items() if name.startswith(f"{i}.")}
        trial.restore(Checkpoint(facts["reported"]["epoch"], own, facts["training"][i]))
    return facts["reported"]


def _save(trials: Sequence[Trial], reported: Mapping[str, Any], depot: Depot) -> str:
    """Leave a checkpoint of all folds; return why that was not possible, which is no reason to lose the trial."""
    checkpoints = [checkpoint for trial in trials if (checkpoint := trial.checkpoint()) is not None]
    if not checkpoints:
        return ""
    arrays = {f"{i}.{name}": array for i, one in enumerate(checkpoints) for name, array in one.arrays.items()}
    facts = {"reported": dict(reported), "training": [checkpoint.facts for checkpoint in checkpoints]}
    problem = depot.save(reported["number"], arrays, facts)
    return f"no checkpoint of trial {reported['number']} could be written ({problem})" if problem else ""
