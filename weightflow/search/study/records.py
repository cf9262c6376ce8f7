"""What Optuna keeps of a trial, and the record that it stands for."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from weightflow.search.space.preparations import expanded
from weightflow.trials import PREPARATION, TrialRecord, TrialState

ELAPSED = "elapsed"
CUT_OFF = "cut off"  # of a trial that goes on no more, since its search came to its end: it was pruned, for Optuna
REPEATED = "finished"  # of a repeat: for Optuna it has no value, or the luckiest repeat would be the best trial
EPOCH = "epoch "  # an epoch's metrics are an attribute of the trial, `epoch 3`
ENDED = {
    optuna.trial.TrialState.COMPLETE: TrialState.FINISHED,
    optuna.trial.TrialState.PRUNED: TrialState.PRUNED,
    optuna.trial.TrialState.FAIL: TrialState.FAILED,
    optuna.trial.TrialState.RUNNING: TrialState.STOPPED,  # cut off, when it is read by another process
}
Completed = Callable[[Mapping[str, Any]], dict[str, Any]]  # a trial's parameters to its configuration


def completing(about: Mapping[str, Any]) -> Completed:
    """Return what makes a trial's parameters its configuration, by what the study says of its space."""
    space = about["identity"]["space"]
    return partial(expanded, fixed=space["fixed"], preparations=space.get("preparations", {}))


def records_of(study: optuna.study.Study, completed: Completed) -> list[TrialRecord]:
    """Return the records of all trials that ever began, in the order of their numbers."""
    trials = study.get_trials(deepcopy=False)
    return [record_of(trial, completed, state_of(trial)) for trial in trials if trial.state in ENDED]


def state_of(trial: FrozenTrial) -> TrialState:
    """Return how a trial ended, seen by a process that did not run it."""
    state, known = ENDED[trial.state], trial.user_attrs
    if state is not TrialState.PRUNED:
        return state
    return TrialState.FINISHED if known.get(REPEATED) else TrialState.STOPPED if known.get(CUT_OFF) else state


def record_of(trial: FrozenTrial, completed: Completed, state: TrialState) -> TrialRecord:
    """Return the record of a trial in a given state."""
    known = trial.user_attrs
    epochs = sorted((v for key, v in known.items() if key.startswith(EPOCH)), key=lambda values: values["epoch"])
    score = epochs[-1]["score"] if epochs else math.nan
    return TrialRecord(
        trial.number,
        state,
        completed(trial.params),
        score=score if math.isfinite(score) else None,
        epochs=int(epochs[-1]["epoch"]) if epochs else 0,
        seconds=epochs[-1][ELAPSED] if epochs else 0.0,
        reason=known.get("reason", ""),
        history=tuple({key: value for key, value in values.items() if key != ELAPSED} for values in epochs),
        retries=known.get("retries", 0),
        repeat_of=known.get("repeat_of"),
        started=None if trial.datetime_start is None else trial.datetime_start.timestamp(),
        ended=None if trial.datetime_complete is None else trial.datetime_complete.timestamp(),
        preparation=trial.params.get(PREPARATION, ""),
    )
