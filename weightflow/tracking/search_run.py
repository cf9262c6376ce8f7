"""The runs of a search: one for itself, one nested run for each trial."""

import threading
from dataclasses import replace
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric

from weightflow.errors import InputError
from weightflow.tracking.config import TrackingConfig
from weightflow.tracking.facts import RunFacts
from weightflow.tracking.link import Link, in_words, unreachable
from weightflow.tracking.parent_run import common_tags, create_parent, reopen_parent
from weightflow.tracking.results import Results, Status, log_files, log_model, log_pictures, register_model
from weightflow.tracking.run_ids import RUNS_FILE, RunIds
from weightflow.tracking.store import open_store
from weightflow.tracking.trial_run import TrialRun, as_tags, trial_name
from weightflow.trials import TrialRecord, TrialState

_WRITE_SECONDS = 1.0
_RETRY_SECONDS = 15.0
_TRAINING = "workflowType=machine_learning"  # the UI shows traces of language models first where nobody says so
_STATES = {"FINISHED": TrialState.FINISHED, "KILLED": TrialState.STOPPED, "FAILED": TrialState.FAILED}


class SearchRun:
    """Takes news of trials at once and writes them about every second, in a thread of its own.

    So a slow or dead server never holds up the search. Nobody else writes.
    """

    def __init__(
        self, client: MlflowClient, experiment: str, config: TrackingConfig, folder: Path, facts: RunFacts, ids: RunIds
    ) -> None:
        self.config = config
        self.folder = folder
        self.facts = facts
        self._client = client
        self._experiment = experiment
        self._ids = ids
        self._trials: dict[str, TrialRun] = {}
        self._lock = threading.Lock()  # of `_trials`, which both threads use
        self._link = Link(config.shown_uri)
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write_on, name="weightflow-mlflow", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, config: TrackingConfig, folder: Path, facts: RunFacts) -> "SearchRun":
        """Open the store, the experiment and the search's run: a new one, or the one that `folder` remembers.

        Raises:
            InputError: the store cannot be used, or does not hold the run that `folder` remembers.
        """
        ids = RunIds.read(folder)
        client, experiment = open_store(config)
        try:
            if ids is None:
                ids = RunIds(create_parent(client, experiment, facts))
                ids.write(folder)
            else:
                experiment = reopen_parent(client, ids.parent)
        # See `Link.attempt`: what a store raises is not known beforehand.
        except Exception as error:
            raise InputError(
                f"the search cannot be tracked in {config.shown_uri}: {in_words(error)}; see that the store and its "
                f"files can be written; if it was moved or emptied, remove `{folder / RUNS_FILE}` to begin new runs."
            ) from error
        return cls(client, experiment, config, folder, facts, ids)

    def start_trial(self, record: TrialRecord) -> None:
        """A trial has started, or goes on."""
        self._trial(record).change(record)

    def log_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """A trial has reported an epoch, counted from 1."""
        self._trial(record).add_epoch(record, epoch, metrics)

    def end_trial(self, record: TrialRecord) -> None:
        """A trial has ended as `record.state` says."""
        self._trial(record).change(record)

    def finish(
        self,
        best: TrialRecord | None,
        model_dir: Path | None,
        files: list[Path],
        pictures: dict[str, bytes],
        metrics: dict[str, float],
        status: Status,
    ) -> dict[str, str]:
        """Write what is not written yet, attach the results, and close all runs; only the first call counts.

        Args:
            best: the trial that won, if one did.
            model_dir: its model directory, which is logged and registered.
            files: scores and report.
            pictures: PNG by name.
            metrics: of the test part, for the best trial's run and the search's.
            status: how the search ended.

        Returns:
            what a user may look up: `tracking_uri`, `experiment`, `page` of the UI with all runs, `run_id` of the
            search, `best_run_id`, `model`, `model_version` and `model_uri`; on a server `url` and `best_url`; `problem`
            where something is missing.
        """
        if self._closing.is_set():
            return {}
        self._closing.set()
        self._writer.join()
        found = {"tracking_uri": self.config.shown_uri, "experiment": self.config.experiment}
        found |= {"page": f"#/experiments/{self._experiment}/runs?{_TRAINING}", **self._address("", self._ids.parent)}
        results = Results(model_dir, files, pictures, metrics, status)
        for step in (self._close_trials, self._attach, self._register, self._close_parent):
            found |= self._link.attempt(lambda step=step: step(best, results)) or {}
            if self._link.broken:
                found.setdefault("problem", self._link.problem)
            if self._link.silent and not self._answers():  # what is silent may be the store of files alone
                break
        return found

    def _trial(self, record: TrialRecord) -> TrialRun:
        with self._lock:
            if record.trial_id not in self._trials:
                self._trials[record.trial_id] = TrialRun(record, record.trial_id in self._ids.trials)
            return self._trials[record.trial_id]

    def _write_on(self) -> None:
        while not self._closing.wait(_RETRY_SECONDS if self._link.broken else _WRITE_SECONDS):
            self._link.attempt(self._write)

    def _write(self) -> None:
        """Bring all trials up to date; one that is refused, as its run was deleted, does not hold up the others."""
        refusal: Exception | None = None
        with self._lock:
            trials = list(self._trials.items())
        for trial_id, trial in trials:
            try:
                self._write_trial(trial_id, trial)
            except Exception as error:
                if unreachable(error):
                    raise
                refusal = refusal or error
        if refusal is not None:
            raise refusal

    def _write_trial(self, trial_id: str, trial: TrialRun) -> None:
        if trial_id not in self._ids.trials:
            tags = common_tags(self.facts)
            self._ids.trials[trial_id] = trial.create(
                self._client, self._experiment, self._ids.parent, self.facts.name, tags
            )
            self._ids.write(self.folder)
        trial.write(self._client, self._ids.trials[trial_id])

    def _answers(self) -> bool:
        return self._link.attempt(lambda: self._client.get_run(self._ids.parent)) is not None

    def _close_trials(self, best: TrialRecord | None, results: Results) -> dict[str, str]:
        """Write all that is known of trials, and leave none of them running."""
        if best is not None and best.trial_id not in self._ids.trials:
            self._trial(best)
        for trial in self._trials.values():
            if trial.record.state is TrialState.RUNNING:
                trial.change(replace(trial.record, state=TrialState.STOPPED, reason="the search ended before it did"))
        self._write()
        for trial_id in self._ids.trials.keys() - self._trials.keys():
            self._close_lost(self._ids.trials[trial_id])
        return {}

    def _close_lost(self, run_id: str) -> None:
        """End the run of a trial that was cut off with an earlier process and that Ray has not taken up again."""
        if self._client.get_run(run_id).info.status == "RUNNING":
            tags = {"state": TrialState.STOPPED.value, "reason": "cut off with the process that ran it"}
            self._client.log_batch(run_id, tags=as_tags(tags))
            self._client.set_terminated(run_id, "KILLED")

    def _attach(self, best: TrialRecord | None, results: Results) -> dict[str, str]:
        if best is None:
            return {}
        run_id = self._ids.trials[best.trial_id]
        self._client.log_batch(run_id, metrics=results.points(best.epochs))
        if results.model_dir is not None:
            self._client.log_artifacts(run_id, str(results.model_dir), "model")
        log_pictures(self._client, run_id, results.pictures)
        log_files(self._client, run_id, results.files)
        return self._address("best_", run_id)

    def _register(self, best: TrialRecord | None, results: Results) -> dict[str, str]:
        if best is None or results.model_dir is None:
            return {}
        run_id, name = self._ids.trials[best.trial_id], self.config.model_name(self.facts.data_name)
        params = {key: str(value) for key, value in best.params.items()}
        logged = log_model(self._client, run_id, results.model_dir, name, params)
        self._client.log_batch(run_id, metrics=results.points(best.epochs, logged.model_id))
        tags = {"search": self.facts.name, "data_hash": self.facts.data_hash, "protocol": self.facts.protocol}
        description = f"Trial {trial_name(best)} of the search {self.facts.name}. {self.facts.description}"
        version = register_model(self._client, logged, name, description, tags)
        return {"model": name, "model_version": version, "model_uri": f"models:/{name}/{version}"}

    def _close_parent(self, best: TrialRecord | None, results: Results) -> dict[str, str]:
        run_id, tags, metrics = self._ids.parent, {"state": _STATES[results.status].value}, results.points(0)
        if best is not None:
            tags |= {"best_trial": trial_name(best), "best_run_id": self._ids.trials[best.trial_id]}
            metrics += [] if best.score is None else [Metric("score", best.score, results.at, 0)]
        self._client.log_batch(run_id, metrics=metrics, tags=as_tags(tags))
        self._client.set_terminated(run_id, results.status)
        log_files(self._client, run_id, results.files)
        return {}

    def _address(self, prefix: str, run_id: str) -> dict[str, str]:
        ids = {f"{prefix}run_id": run_id}
        if not self.config.on_server:
            return ids
        page = f"#/experiments/{self._experiment}/runs/{run_id}?{_TRAINING}"
        return {**ids, f"{prefix}url": f"{self.config.shown_uri.rstrip('/')}/{page}"}
