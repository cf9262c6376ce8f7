"""What runs inside a trial's process."""

from pathlib import Path
from typing import Any

from ray import tune

from weightflow.anchors import ArrayCache
from weightflow.data import Split
from weightflow.evaluation import held_out_score
from weightflow.experiment import PIECES, ExperimentConfig, Prepared, Trial, nest, prepare
from weightflow.search.resources import worker_device


def train_trial(
    flat: dict[str, Any], prepared: Prepared, shared: ExperimentConfig, split: Split, seed: int, cache: Path
) -> None:
    """Train one phi and report each epoch; the score is measured on snapshots that it was not fitted to.

    A trial whose backbone, bridge, anchors or teacher differ from the `shared` ones takes its own from the cache; the
    first one that asks makes them.
    """
    config = ExperimentConfig.parse(nest(flat))
    if not _alike(config, shared):
        prepared = prepare(split.fit, config, seed, worker_device(), ArrayCache(cache))
    trial = Trial(prepared, config, seed, worker_device())
    for report in trial.epochs():
        held_out = held_out_score(trial.model(), split.interior, split.last)
        tune.report(
            {
                "epoch": report.epoch,
                "score": held_out.score,
                "score_interior": held_out.interior,
                "score_last": held_out.last,
                "loss": report.loss,
                "learning_rate": report.learning_rate,
                "epoch_seconds": report.seconds,
            }
        )


def _alike(one: ExperimentConfig, other: ExperimentConfig) -> bool:
    groups = {group for needed in PIECES.values() for group in needed}
    return all(getattr(one, group) == getattr(other, group) for group in groups)
