"""Ray Tune runs the trials; which ones, and until when, the study says.

Tune asks `StudySearcher` for a configuration, `StudyScheduler` whether a trial may go on after a report, and tells
`StudyCallback` how trials begin and end. None of them knows anything that is not in the study, so that another process
can go on with it.
"""

import re
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.air.execution._internal import actor_manager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from weightflow.progress import duration
from weightflow.search.cluster.gpu import UNSEEN
from weightflow.search.cluster.nodes import PROBE_SECONDS, Joining
from weightflow.search.cluster.resources import Resources, none_of
from weightflow.search.say import Say
from weightflow.search.study.study import Study
from weightflow.search.trials.making import Making
from weightflow.search.trials.not_pickled import NotPickled
from weightflow.search.trials.stopper import Stopper
from weightflow.search.trials.trainable import LOSS, Task, train_trial
from weightflow.trials import TrialRecord, TrialState

METRICS = (
    "score",
    "score_error",
    "score_interior",
    "score_last",
    "learning_rate",
    "epoch_seconds",
    "missed_snapshots",
    "sampling_seconds",
    "parameters",
    "floor_p",
    "floor_power",
    "floor_samples",
)
# what Ray writes of a process that is gone, the special cases first
DEATHS = {
    "running low on memory": "memory ran out, and Ray ended its process; search smaller models, or fewer at a time",
    "node has died": "the machine that it ran on left the cluster",
    "temporarily unavailable": "its process no longer answers, perhaps because its machine left the cluster",
    "worker process has died": "its process was killed, perhaps because memory ran out",
}
# Ray's actor manager knows no error but that of a dead actor, and ends the search at one that its memory monitor
# raises: for it, a process that was killed for its memory is to be as dead as any other.
for _module in (actor_manager, tune_controller):
    setattr(_module, RayActorError.__name__, (RayActorError, OutOfMemoryError))
GPU_MEMORY = f"{torch.OutOfMemoryError.__name__}: "
ERROR_NAME = re.compile(r"^(?:\w+\.)*_*(\w+): ")


def run_trials(
    study: Study,
    stopper: Stopper,
    resources: Resources,
    prepared: Collection[str],
    task: Task,
    folder: Path,
    warn: Say,
) -> None:
    """Run the trials that the study asks for, until it asks for no more or the search is over.

    Args:
        study: of the search.
        stopper: when it is over.
        resources: of a trial, and how many there are at a time.
        prepared: what preparations were made beforehand, as `prepares_as` tells them apart.
        task: what trials share.
        folder: for Ray's own notes.
        warn: told once of what is wrong without ending the search.

    Raises:
        KeyboardInterrupt: somebody asked the search to stop.
    """
    joining = Joining(resources, warn)
    making = Making(prepared, resources.concurrent_trials)
    callback = StudyCallback(study, stopper, resources, joining, making, task.depot.drop, warn)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train_trial, task=task), partial(_reserved, resources)),
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(study, stopper, joining, making),
            scheduler=StudyScheduler(callback),
            num_samples=-1,
            max_concurrent_trials=resources.concurrent_trials,
            reuse_actors=True,
            trial_dirname_creator=_trial_folder,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            stop=stopper,
            callbacks=[callback],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        study.stop_running()


def _reserved(resources: Resources, asked: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """Say in Ray's words what a trial takes, and of which nodes; actors are reused by trials that take the same."""
    share, labels = resources.enlarged(asked.get("doublings", 0)), none_of(asked.get("refused", ()))
    bundle = {name if name == "memory" else name.upper(): amount for name, amount in share.items()}
    return tune.PlacementGroupFactory([bundle], bundle_label_selector=[labels] if labels else None)


class StudySearcher(NotPickled, Searcher):
    """Takes the next trial from the study."""

    def __init__(self, study: Study, stopper: Stopper, joining: Joining, making: Making) -> None:
        super().__init__()
        self.study = study
        self.stopper = stopper
        self.joining = joining
        self.making = making

    def suggest(self, trial_id: str) -> Any:
        """Return what a trial is asked to do, or that there is nothing more to do."""
        record = self._next()
        if record is None:  # one that still runs may fail, and is then handed out again
            return None if self.study.running else Searcher.FINISHED
        self.study.waiting.add(record.number)
        return {
            "number": record.number,
            "params": dict(record.params),
            "seed": self.study.seed_of(record.number),
            "makes": self.making.makes(record.number),
            "doublings": self.study.doublings(record.number),
            "refused": tuple(self.joining.refused),
        }

    def _next(self) -> TrialRecord | None:
        if self.stopper.reason():
            while self.making.waiting:  # none of them has begun
                self.study.end(self.making.waiting.pop().number, TrialState.STOPPED)
            return None
        return self.making.next(self.study.next_repeat if self.stopper.repeating else self.study.next_trial)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """`StudyCallback` hears of it too."""

    def save(self, checkpoint_path: str) -> None:
        """All is in the study."""

    def restore(self, checkpoint_path: str) -> None:
        """All is in the study."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """All is in the study."""


class StudyScheduler(NotPickled, FIFOScheduler):
    """Hands each report on, and ends a trial when the answer is so."""

    def __init__(self, callback: "StudyCallback") -> None:
        super().__init__()
        self.callback = callback

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Ask the study."""
        return TrialScheduler.STOP if self.callback.ends(result) else TrialScheduler.CONTINUE


class StudyCallback(NotPickled, tune.Callback):
    """Tells the study what Ray says."""

    def __init__(
        self,
        study: Study,
        stopper: Stopper,
        resources: Resources,
        joining: Joining,
        making: Making,
        drop: Callable[[int], object],
        warn: Say,
    ) -> None:
        self.study = study
        self.stopper = stopper
        self.resources = resources
        self.joining = joining
        self.making = making
        self.drop = drop
        self.warn = warn
        self.failed: list[Any] = []
        self.began: dict[Any, float] = {}  # by trials that run, when they would have begun without interruption
        self.warned = False
        self.overdue = False

    def ends(self, result: Mapping[str, Any]) -> bool:
        """Add an epoch, and return whether the trial ends with it."""
        if "failure" in result:
            return True
        if "prepared" in result:
            self.making.done(result["number"])
            return False
        metrics = {key: float(result[key]) for key in METRICS if key in result}
        metrics |= {key: float(result[key]) for key in result if key.startswith(LOSS)}
        number, epoch = result["number"], int(result["epoch"])
        if result.get("problem") and not self.warned:
            self.warned = True
            self.warn(f"warning: {result['problem']}; the search goes on, but what is cut off would start again")
        return self.study.report(number, epoch, metrics, float(result["seconds"]))

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Remember when it began to run, which may be long after it was asked for."""
        self.study.waiting.discard(trial.config["number"])
        self.began[trial] = time.monotonic() - self.study.records[trial.config["number"]].seconds

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close a record: finished with all epochs, pruned with fewer; but a reported failure is one like any other."""
        self._is_over(trial)
        if "failure" in trial.last_result:
            self.failed.append(trial)
            return
        number = trial.config["number"]
        done = self.study.records[number].epochs >= self.study.epochs
        self._end(number, TrialState.FINISHED if done else TrialState.PRUNED)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Remember a failure: Ray may write down its reason only after this call."""
        self._is_over(trial)
        self.failed.append(trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Write down failures with their reasons, and have the trials tried again.

        Ray itself would try again only those that had begun to run where their process or machine died.
        """
        if not self.overdue and (reason := self.stopper.overdue()):
            self.overdue = True
            self.warn(f"{reason}, but no trial has finished: the search ends with the first one that does")
        self._end_overlong()
        self.joining.look()
        while self.failed:
            trial = self.failed.pop()
            number, reason = trial.config["number"], trial.last_result.get("failure") or _reason(trial.error_file)
            if self.study.records[number].state is not TrialState.RUNNING:
                continue  # it was ended here
            if trial.last_result.get("final") or not self._retried(number, reason):
                self._end(number, TrialState.FAILED, reason)

    def _is_over(self, trial: Any) -> None:
        trial.metric_analysis.clear()  # of which Tune keeps 40 KiB for each trial, and nobody reads it
        trial.metric_n_steps.clear()
        self.began.pop(trial, None)
        self.making.gone(trial.config["number"])

    def _retried(self, number: int, reason: str) -> bool:
        """Have a trial tried again; with a larger share of a GPU, where that was too small and there is one."""
        if UNSEEN in reason:  # by the time that it is handed out again its node is left out
            self.joining.look(PROBE_SECONDS)
        doublings = self.study.doublings(number)
        larger = self.resources.enlarged(doublings + 1)
        if not reason.startswith(GPU_MEMORY) or larger == self.resources.enlarged(doublings):
            return self.study.retry(number, reason)
        return self.study.retry(number, f"{reason}; it gets {larger['gpu']:g} of a GPU from now on", doublings + 1)

    def _end_overlong(self) -> None:
        """End trials that have taken longer than they may, with their processes: an epoch may take for ever."""
        limit = self.study.options.trial_time
        if limit is None:
            return
        for trial in [trial for trial, began in self.began.items() if time.monotonic() - began > limit]:
            del self.began[trial]
            said = f"over the limit of {duration(limit)} that `--trial-time` sets"
            self._end(trial.config["number"], TrialState.PRUNED, said)
            if (actor := trial.temporary_state.ray_actor) is not None:
                ray.kill(actor)

    def _end(self, number: int, state: TrialState, reason: str = "") -> None:
        self.study.end(number, state, reason)
        self.drop(number)


def _trial_folder(trial: Any) -> str:
    """Name a trial's folder by its id alone: parameters make names too long for some file systems."""
    return trial.trial_id


def _reason(error_file: str | None) -> str:
    """Say in a line why a trial failed the last time, without what Ray wraps around it."""
    text = Path(error_file).read_text() if error_file and Path(error_file).exists() else ""
    failure = text.rpartition("Failure # ")[2]
    for sign, meaning in DEATHS.items():
        if sign in failure:
            return meaning
    after = failure.rpartition('\n  File "')[2].splitlines()[1:]
    said = next((line for line in after if line and not line.startswith(" ")), "unknown")
    return ERROR_NAME.sub(r"\1: ", said, count=1)
