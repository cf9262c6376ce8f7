"""What runs inside a trial's process."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ray import tune
from safetensors import SafetensorError

from weightflow.anchors import ArrayCache
from weightflow.data import Split
from weightflow.errors import TrainingError
from weightflow.evaluation import FLOOR_LEVEL, fidelity, floor_p_value, floor_power, held_out_score
from weightflow.experiment import PIECES, ExperimentConfig, Prepared, Trial, nest, prepare
from weightflow.files import read_arrays, write_arrays
from weightflow.model import WeightFlow
from weightflow.rng import derive_seed
from weightflow.search.disk import disk_problem
from weightflow.search.resources import worker_device
from weightflow.training import Checkpoint, EpochReport

TIMED_DRAWS, TIMINGS = 1000, 3


@dataclass(frozen=True)
class Task:
    """What all trials of a search share beside the preparation.

    Attributes:
        shared: the configuration that the shared preparation was made with.
        split: what is fitted and held out.
        seed: of the search.
        cache: folder of other preparations.
        checkpoints: folder of what trials leave after each epoch.
        tests_floor: whether finished trials are held against the sampling floor.
    """

    shared: ExperimentConfig
    split: Split
    seed: int
    cache: Path
    checkpoints: Path
    tests_floor: bool


def checkpoint_file(folder: Path, number: int) -> Path:
    """Return where trial `number` leaves its checkpoint."""
    return folder / f"{number:04d}.safetensors"


def train_trial(asked: dict[str, Any], prepared: Prepared, task: Task) -> None:
    """Train one phi and report each epoch; the score is measured on snapshots that it was not fitted to.

    A trial whose backbone, bridge, anchors or teacher differ from the shared ones takes its own from the cache; the
    first one that asks makes them. One that was cut off goes on from its checkpoint, and first repeats the report that
    belongs to it, which may have been lost. One that diverges reports that as its `failure`: its process is as good as
    before. Whatever else is raised ends the process too.

    Args:
        asked: `number` of the trial, `params` by dotted key, and `seed`: 0, or i for the i-th repeat.
        prepared: what most trials share.
        task: see there.
    """
    try:
        _train(asked, prepared, task)
    except TrainingError as error:
        tune.report({"number": asked["number"], "failure": str(error)})


def _train(asked: dict[str, Any], prepared: Prepared, task: Task) -> None:
    began = time.perf_counter()
    config = ExperimentConfig.parse(nest(asked["params"]))
    if not _alike(config, task.shared):
        prepared = prepare(task.split.fit, config, task.seed, worker_device(), ArrayCache(task.cache))
    seed = derive_seed(task.seed, "repeat", asked["seed"]) if asked["seed"] else task.seed
    trial = Trial(prepared, config, seed, worker_device())
    file = checkpoint_file(task.checkpoints, asked["number"])
    before = _restore(trial, file)
    spent = before.get("seconds", 0.0)
    if before:
        tune.report(before)
    for report in trial.epochs():
        metrics = _measure(trial.model(), report, config, task)
        reported = {"number": asked["number"], **metrics, "seconds": spent + time.perf_counter() - began}
        tune.report({**reported, "problem": _save(trial, file, reported)})


def _measure(model: WeightFlow, report: EpochReport, config: ExperimentConfig, task: Task) -> dict[str, float]:
    interior, last = task.split.interior, task.split.last
    held_out = held_out_score(model, interior, last)
    if not math.isfinite(held_out.score):
        raise TrainingError(f"the held-out score is {held_out.score} after epoch {report.epoch}")
    metrics = {
        "epoch": report.epoch,
        "score": held_out.score,
        "score_error": held_out.error,
        "score_interior": held_out.interior,
        "score_last": held_out.last,
        "loss": report.loss,
        "learning_rate": report.learning_rate,
        "epoch_seconds": report.seconds,
    }
    if report.epoch < config.training.epochs:
        return metrics
    times = [*interior.times, *last.times]
    metrics |= {
        "missed_snapshots": len(fidelity(model, task.split.fit, task.seed).missed),
        "sampling_seconds": _sampling_seconds(model, times),
        "parameters": sum(tensor.numel() for tensor in model.path.state_dict().values()),
    }
    return metrics | (_against_floor(model, task) if task.tests_floor else {})


def _against_floor(model: WeightFlow, task: Task) -> dict[str, float]:
    """Test whether the held-out data can be told from the model; where not, what the test could have seen."""
    parts = task.split.interior, task.split.last
    p = floor_p_value(model, parts, task.seed)
    if p < FLOOR_LEVEL:
        return {"floor_p": p}
    fewest = min(len(cloud) for part in parts for cloud in part.samples)
    return {"floor_p": p, "floor_power": floor_power(model, parts, task.seed), "floor_samples": fewest}


def _sampling_seconds(model: WeightFlow, times: list[float]) -> float:
    def once() -> float:
        began = time.perf_counter()
        model.sample(times, TIMED_DRAWS)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - began

    return median(once() for _ in range(TIMINGS))


def _restore(trial: Trial, file: Path) -> dict[str, Any]:
    """Let the trial go on from its checkpoint, if there is one, and return what was reported with it."""
    try:
        arrays, facts = read_arrays(file)
    except (FileNotFoundError, SafetensorError):  # damaged or none: from the start
        return {}
    trial.restore(Checkpoint(facts["reported"]["epoch"], arrays, facts["training"]))
    return facts["reported"]


def _save(trial: Trial, file: Path, reported: Mapping[str, Any]) -> str:
    """Leave a checkpoint; return why that was not possible, which is no reason to lose the trial."""
    checkpoint = trial.checkpoint()
    if checkpoint is None:
        return ""
    try:
        write_arrays(file, checkpoint.arrays, {"reported": dict(reported), "training": checkpoint.facts})
    except (OSError, SafetensorError) as error:
        return f"no checkpoint of trial {reported['number']} could be written ({disk_problem(error) or error})"
    return ""


def _alike(one: ExperimentConfig, other: ExperimentConfig) -> bool:
    groups = {group for needed in PIECES.values() for group in needed}
    return all(getattr(one, group) == getattr(other, group) for group in groups)
