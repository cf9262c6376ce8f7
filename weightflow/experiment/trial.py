"""A trial: the training of one phi, and what follows where it falls behind its teacher."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from weightflow.errors import TrainingError
from weightflow.evaluation import by_course, fidelity
from weightflow.evaluation.density import evaluated
from weightflow.experiment.attempt import Attempt
from weightflow.experiment.config import ExperimentConfig
from weightflow.experiment.preparation import Prepared, direct_model
from weightflow.metrics.subsample import subsample
from weightflow.model import WeightFlow
from weightflow.model.standing import LAG
from weightflow.progress import Progress, unseen
from weightflow.training import Checkpoint, EpochReport

LAG_SAMPLES = 2000  # of a snapshot, by which that is measured
LAG_DRAWS = 500  # of the teacher, half-way between two
ROUND = "round"


class Trial:
    """The training of one phi: iterate over its epochs, then take the model.

    A solution under which the fitted snapshots, or draws of the teacher between them, are less likely than under the
    teacher that it learned from, by more than `LAG`, is begun anew with more of all (`ExperimentConfig.of_round`),
    `training.rounds` times at most; the best one is kept, and a round whose loss is no longer finite is none. That
    belongs to the last epoch.
    """

    def __init__(
        self,
        prepared: Prepared,
        config: ExperimentConfig,
        seed: int,
        device: torch.device | str = "cpu",
        record: dict[str, Any] | None = None,
        progress: Progress = unseen,
    ) -> None:
        self.prepared = prepared
        self.config = config
        self.seed = seed
        self.device = device
        self.record = {"config": config.model_dump(mode="json"), "seed": seed, **(record or {})}
        self.progress = progress
        self.round = self.tried = 0
        self.attempt = self._attempt(0)

    def epochs(self) -> Iterator[EpochReport]:
        """Train, and report after each epoch; at the end the model lies on the CPU, wherever it was trained.

        A direct path is trained when it is prepared: it reports once, as its last epoch.
        """
        total, training = self.config.training.epochs, self.attempt.training
        if training is None:
            yield EpochReport(total, "direct", self.prepared.taught.loss, 0.0, 0.0)
            return
        self.progress("fit", 0, total)
        for report in training:
            self.progress("fit", report.epoch, total)
            yield report if report.epoch < total else self._further(report)
        self.attempt.path.cpu()

    def checkpoint(self) -> Checkpoint | None:
        """Return where the training stands; None for a direct path, which has no epochs to be cut off between."""
        if self.attempt.training is None:
            return None
        checkpoint = self.attempt.training.checkpoint()
        return replace(checkpoint, facts={**checkpoint.facts, ROUND: self.round})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from where a trial of the same preparation, configuration and seed stood."""
        self.round = self.tried = checkpoint.facts.get(ROUND, 0)
        self.attempt = self._attempt(self.round)
        if self.attempt.training is not None:
            self.attempt.training.restore(checkpoint)

    def model(self) -> WeightFlow:
        """Return the model as it stands."""
        return self.prepared.model(self.attempt.path, self.attempt.clock, self.record)

    def finished(self) -> WeightFlow:
        """Return the model after the last epoch; its record says how it stands to the fitted snapshots."""
        found = fidelity(self.model(), self.prepared.snapshots, self.seed)
        teacher = self.prepared.teacher
        rounds = {"teacher": 0 if teacher is None else teacher.rounds, "fit": self.tried + 1}
        facts: dict[str, Any] = {
            "missed": list(found.missed),
            "ratio": found.ratio,
            "lag": self._lag(),
            "rounds": rounds,
        }
        self.record = {**self.record, "fidelity": facts}
        return self.model()

    def _attempt(self, number: int) -> Attempt:
        return Attempt(self.prepared, self.config.of_round(number), self.seed, self.device)

    def _further(self, report: EpochReport) -> EpochReport:
        """Begin anew while the solution falls behind, and report all that as one epoch."""
        lag, spent = self._lag(), report.seconds
        for number in range(1, self.config.training.rounds):
            if lag <= LAG:
                break
            kept = self.round, self.attempt, report, lag
            self.round = self.tried = number
            self.attempt = self._attempt(number)
            try:
                for again in self.attempt.training or ():
                    spent += again.seconds
                    report = replace(again, epoch=report.epoch)
                    self.progress(f"fit, round {number + 1}", again.epoch, self.config.training.epochs)
                lag = self._lag()
            except TrainingError:
                lag = math.inf  # the round before stands, which is a model
            if lag >= kept[-1]:
                self.round, self.attempt, report, lag = kept
        return replace(report, seconds=spent)

    def _lag(self) -> float:
        """Return by how many nats a value the teacher is better, in the mean over samples at the times and between.

        Likelihoods see what distances of samples miss: a species that others fix, or a rare way out. At the fitted
        times they are those of the snapshots, half-way between them of the teacher's own draws. Infinity where they are
        no numbers any more: worse cannot be.
        """
        if self.prepared.teacher is None:
            return 0.0
        snapshots, apart = self.prepared.snapshots, list[float]()
        taught, fitted = by_course(snapshots, direct_model(self.prepared)), by_course(snapshots, self.model())
        for (course, best), (_, own) in zip(taught, fitted, strict=True):
            between = (course.times[1:] + course.times[:-1]) / 2
            draws = best.sample(between, LAG_DRAWS, self.seed, independent=True).numpy() if len(between) else ()
            clouds = [*(x[subsample(len(x), LAG_SAMPLES)] for x in course.samples), *draws]
            times = np.concatenate([course.times, between])
            both = (evaluated(one, times, clouds) for one in (best, own))
            apart += [float((theirs - ours).mean()) for theirs, ours in zip(*both, strict=True)]
        lag = float(np.mean(apart)) / snapshots.dim
        return lag if math.isfinite(lag) else math.inf


def train(
    prepared: Prepared,
    config: ExperimentConfig,
    seed: int,
    device: torch.device | str = "cpu",
    observer: Callable[[EpochReport], None] | None = None,
    progress: Progress = unseen,
) -> WeightFlow:
    """Train one model on what was prepared, to its end; arguments as for `fitting.fit_model`."""
    trial = Trial(prepared, config, seed, device, {"data": prepared.snapshots.digest()}, progress)
    for report in trial.epochs():
        if observer is not None:
            observer(report)
    return trial.finished()
