"""Optuna inside Ray Tune, told the truth about how each trial ended."""

import math
import warnings
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from weightflow.rng import derive_seed
from weightflow.search.journal import Past
from weightflow.search.space import Space
from weightflow.trials import TrialRecord
from weightflow.trials import TrialState as Ended

STATES = {
    Ended.FINISHED: TrialState.COMPLETE,
    Ended.PRUNED: TrialState.PRUNED,
    Ended.FAILED: TrialState.FAIL,
}
STARTUP_TRIALS = 8  # random ones, before the model of good configurations has something to go by


class TruthfulOptunaSearch(OptunaSearch):
    """OptunaSearch that tells Optuna of pruned trials as pruned and of failed or non-finite ones as failed.

    Ray's own class calls a trial that a scheduler stopped complete, with the score of its low fidelity, which misleads
    the sampler; and it leaves a trial whose metric is not finite running for ever.
    """

    def __init__(self, space: Space, seed: int, epochs: int, past: Past) -> None:
        self.epochs = epochs
        self.numbers: dict[str, int] = {}
        before = (*past.ended, *past.cut_off)
        self.next_number = max((record.number for record in before), default=-1) + 1
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            sampler = optuna.samplers.TPESampler(
                seed=derive_seed(seed, "sampler", past.runs) % 2**32,
                multivariate=True,
                group=True,
                constant_liar=True,
                n_startup_trials=STARTUP_TRIALS,
            )
        super().__init__(
            space=space,
            metric="score",
            mode="min",
            sampler=sampler,
            points_to_evaluate=_first_points(space, past) or None,
        )
        self.study.add_trials([as_optuna(space, record) for record in past.ended])

    @property
    def study(self) -> optuna.study.Study:
        """Optuna's own record."""
        if self._ot_study is None:
            raise RuntimeError("the search has not begun")
        return self._ot_study

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Ask Optuna, and number the trials in this order."""
        if trial_id not in self.numbers:
            self.numbers[trial_id] = self.next_number
            self.next_number += 1
        return super().suggest(trial_id)

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


def as_optuna(space: Space, record: TrialRecord, score: float | None = None) -> optuna.trial.FrozenTrial:
    """Return a trial that has ended as Optuna's own, complete with `score` if one is given."""
    searched = {key: value for key, value in record.params.items() if key in space.parameters}
    asked = optuna.trial.FixedTrial(searched)
    space(asked)
    state = TrialState.COMPLETE if score is not None else STATES[record.state]
    value = score if score is not None else record.score
    return optuna.trial.create_trial(
        params=searched,
        distributions=asked.distributions,
        value=value if state is TrialState.COMPLETE else None,
        intermediate_values={int(entry["epoch"]): entry["score"] for entry in record.history},
        state=state,
    )


def _first_points(space: Space, past: Past) -> list[dict[str, Any]]:
    """What comes before the sampler's own choices: trials that were cut off, and first trials not yet run."""
    run_before = [
        {key: value for key, value in record.params.items() if key in space.parameters}
        for record in (*past.cut_off, *past.ended)
    ]
    return [*run_before[: len(past.cut_off)], *(dict(p) for p in space.first_trials if dict(p) not in run_before)]
