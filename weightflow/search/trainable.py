"""What runs inside a trial's process."""

from typing import Any

from ray import tune

from weightflow.data import Split
from weightflow.evaluation import held_out_score
from weightflow.experiment import ExperimentConfig, Prepared, Trial, nest
from weightflow.search.resources import worker_device


def train_trial(flat: dict[str, Any], prepared: Prepared, split: Split, seed: int) -> None:
    """Train one phi and report each epoch; the score is measured on snapshots that it was not fitted to."""
    trial = Trial(prepared, ExperimentConfig.parse(nest(flat)), seed, worker_device())
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
