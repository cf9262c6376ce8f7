"""What a search has led to, and its files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Metric

from weightflow.data import in_words
from weightflow.evaluation import LeftOutCondition, Scores
from weightflow.tracking.stored_run import now
from weightflow.trials import Repeated, TrialRecord

NOT_IN_NAMES = re.compile(r"[^\w.\- ]+")  # MLflow takes these in the name of a metric, and no sign of equality
Status = Literal["FINISHED", "KILLED", "FAILED"]


@dataclass(frozen=True)
class Results:
    """What a search has led to.

    Attributes:
        status: how it ended, in MLflow's words.
        best: the trial that won, if one did.
        model_dir: its model directory, which is logged, and registered where it deserves that.
        files: scores and report.
        pictures: files of PNG and SVG.
        scores: of the model on the test part, and of what stands beside it.
        seeds: how the best configuration did with fresh seeds, where it was repeated.
        conditions: the same at each condition that was left out, where some were.
        reason: why it did not come to its end.
        register: whether the model becomes a version whatever its scores are.
        at: when it ended, in milliseconds.
    """

    status: Status
    best: TrialRecord | None = None
    model_dir: Path | None = None
    files: Sequence[Path] = ()
    pictures: Sequence[Path] = ()
    scores: Scores | None = None
    seeds: Repeated | None = None
    conditions: Sequence[LeftOutCondition] = ()
    reason: str = ""
    register: bool = False
    at: int = field(default_factory=now)

    @property
    def means(self) -> dict[str, float]:
        """Mean scores on the test part, as MLflow's metrics: `test/METRIC/METHOD`, or `at CONDITION/METRIC/METHOD`."""
        found = {} if self.scores is None else dict(_means(self.scores))
        for one in self.conditions:
            found |= _means(one.scores, f"at {NOT_IN_NAMES.sub(' ', in_words(one.at))}")
        return found

    @property
    def outcome(self) -> dict[str, float]:
        """All numbers that a search is judged by: mean scores with their 95 % intervals, and the score over seeds."""
        limits = {} if self.scores is None else dict(_limits(self.scores))
        best = {} if self.best is None or self.best.score is None else {"score": self.best.score}
        return {**best, **self.means, **limits, **self._over_seeds()}

    def points(self, metrics: Mapping[str, float], step: int) -> list[Metric]:
        """Return metrics as MLflow takes them."""
        return [Metric(key, float(value), self.at, step) for key, value in metrics.items()]

    def _over_seeds(self) -> dict[str, float]:
        if self.seeds is None or self.seeds.mean is None:
            return {}
        half = {} if self.seeds.half is None else {"score_over_seeds_half": self.seeds.half}
        return {"score_over_seeds": self.seeds.mean, **half, "seeds": float(len(self.seeds.scores))}


def _means(scores: Scores, part: str = "test") -> Iterator[tuple[str, float]]:
    for metric in scores.metrics:
        for method in scores.ordered:
            if scores.has(method, metric):
                yield f"{part}/{metric}/{method}", scores.mean(method, metric)


def _limits(scores: Scores) -> Iterator[tuple[str, float]]:
    for metric in scores.metrics:
        for method in scores.ordered:
            if scores.has(method, metric) and (interval := scores.interval(method, metric)) is not None:
                yield f"test/{metric}/{method}_low", interval.low
                yield f"test/{metric}/{method}_high", interval.high


def log_files(client: MlflowClient, run_id: str, files: Sequence[Path], folder: str | None = None) -> None:
    """Attach files to a run, in place of those of the same names."""
    for file in files:
        client.log_artifact(run_id, str(file), folder)
