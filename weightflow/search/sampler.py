"""Optuna inside Ray Tune, told the truth about how each trial ended."""

import math
import warnings
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from weightflow.search.space import Space

STARTUP_TRIALS = 8  # random ones, before the model of good configurations has something to go by


class TruthfulOptunaSearch(OptunaSearch):
    """OptunaSearch that tells Optuna of pruned trials as pruned and of failed or non-finite ones as failed.

    Ray's own class calls a trial that a scheduler stopped complete, with the score of its low fidelity, which misleads
    the sampler; and it leaves a trial whose metric is not finite running for ever.
    """

    def __init__(self, space: Space, seed: int, epochs: int) -> None:
        self.epochs = epochs
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP_TRIALS
            )
        super().__init__(
            space=space,
            metric="score",
            mode="min",
            sampler=sampler,
            points_to_evaluate=[dict(point) for point in space.first_trials] or None,
        )

    @property
    def study(self) -> optuna.study.Study:
        """Optuna's own record."""
        if self._ot_study is None:
            raise RuntimeError("the search has not begun")
        return self._ot_study

    def number(self, trial_id: str) -> int:
        """Return the place of a trial in the order of suggestions."""
        return self._ot_trials[trial_id].number

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna: complete with all epochs, pruned with fewer, failed without a finite score."""
        trial = self._ot_trials.get(trial_id)
        if trial is None or trial_id in self._completed_trials:
            return
        score = (result or {}).get("score", math.nan)
        if error or not math.isfinite(score):
            self.study.tell(trial, state=TrialState.FAIL)
        elif (result or {}).get("epoch", 0) < self.epochs:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, score)
        self._completed_trials.add(trial_id)
