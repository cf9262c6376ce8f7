"""The runs of a search: one for itself, one nested run for each trial."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from weightflow.errors import InputError
from weightflow.tracking.config import TrackingConfig
from weightflow.tracking.facts import RunFacts
from weightflow.tracking.link import Link, in_words, unreachable
from weightflow.tracking.lookup import look_up
from weightflow.tracking.parent_run import common_tags, create_parent, describe
from weightflow.tracking.results import (
    Results,
    clear_models,
    log_files,
    log_model,
    register_model,
    registered_version,
)
from weightflow.tracking.store import open_experiment, open_store
from weightflow.tracking.stored_run import StoredRun, now
from weightflow.tracking.trial_run import TrialRun, trial_name
from weightflow.trials import TrialRecord, TrialState

_WRITE_SECONDS = 1.0
_RETRY_SECONDS = 15.0
_TRAINING = "workflowType=machine_learning"  # the UI shows traces of language models first where nobody says so
_STATES = {"FINISHED": TrialState.FINISHED, "KILLED": TrialState.STOPPED, "FAILED": TrialState.FAILED}


class SearchRun:
    """Takes news of trials at once and writes them about every second, in a thread of its own.

    So a slow or dead server never holds up the search. Nobody else writes. Which runs belong to the search is known to
    the store alone, by the tags `search_id` and `trial`: whenever a process ends, the next one goes on in the same
    runs, and sends of what it is told only what is not in them.
    """

    def __init__(
        self,
        client: MlflowClient,
        parent: StoredRun,
        found: Mapping[int, StoredRun],
        config: TrackingConfig,
        search_id: str,
        facts: RunFacts,
        live: bool,
    ) -> None:
        self.config = config
        self.facts = facts
        self.search_id = search_id
        self._client = client
        self._parent = parent
        self._found = found
        self._trials: dict[int, TrialRun] = {}
        self._lock = threading.Lock()  # of `_trials`, which both threads use
        self._link = Link(config.shown_uri, facts.name, aloud=live)
        self._closing = threading.Event()
        self._closed = False
        self._writer = threading.Thread(target=self._write_on, name="weightflow-mlflow", daemon=True)
        if live:
            self._writer.start()

    @classmethod
    def open(cls, config: TrackingConfig, search_id: str, facts: RunFacts, live: bool = True) -> "SearchRun":
        """Open the runs of a search: those that the store has for it, in whichever experiment they are.

        The search's run is made where there is none: at first, and when the store was emptied or is another one.

        Args:
            config: of the store.
            search_id: a text that no other search has, of letters, digits and dashes. A search that goes on gives the
                same one.
            facts: what is known of the search.
            live: the search is about to run or to go on: its run shows so, news are written as they come, and a
                failure to do so is told on stderr. If not, news wait for `finish`, which tells of failures.

        Raises:
            InputError: the store cannot be used.
        """
        client = open_store(config)
        try:
            found = look_up(client, search_id)
            if found.parent is None:
                parent = create_parent(client, open_experiment(client, config), search_id, facts)
            else:
                parent = StoredRun(client, found.parent)
                describe(client, parent, facts)
                experiment = client.get_experiment(parent.experiment).name
                config = config.model_copy(update={"experiment": experiment})
            if live:
                parent.write(tags={"state": TrialState.RUNNING.value})
                parent.change("RUNNING", now())
            trials = {number: StoredRun(client, run) for number, run in found.trials.items()}
            for run in trials.values():
                run.write(tags={MLFLOW_PARENT_RUN_ID: parent.id})  # the one before may have been deleted
        except InputError:
            raise
        # See `Link.attempt`: what a store raises is not known beforehand.
        except Exception as error:
            raise InputError(
                f"the search cannot be tracked in {config.shown_uri}: {in_words(error)}; see that the store and its "
                "files can be written."
            ) from error
        return cls(client, parent, trials, config, search_id, facts, live)

    def replay(self, records: Iterable[TrialRecord]) -> None:
        """Tell all that is known of trials; their runs get what an earlier process did not come to write."""
        for record in records:
            self._trial(record).change(record)

    def start_trial(self, record: TrialRecord) -> None:
        """A trial has started, or goes on."""
        self._trial(record).change(record)

    def log_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """A trial has reported an epoch, counted from 1."""
        self._trial(record).add_epoch(record, epoch, metrics)

    def end_trial(self, record: TrialRecord) -> None:
        """A trial has ended as `record.state` says."""
        self._trial(record).change(record)

    def finish(self, results: Results) -> dict[str, str]:
        """Write what is not written yet, attach the results, and close all runs.

        Only the first call counts that comes to its end: one that Ctrl-C cuts off leaves the closing to the next one.

        Returns:
            what a user may look up: `tracking_uri`, `experiment`, `page` of the UI with all runs, `run_id` of the
            search, `best_run_id`, `model`, `model_version` and `model_uri`; on a server `url` and `best_url`; `problem`
            where something is missing, which `sync` can send later.
        """
        if self._closed:
            return {}
        self._closing.set()
        if self._writer.is_alive():
            self._writer.join()
        found = {"tracking_uri": self.config.shown_uri, "experiment": self.config.experiment}
        found |= {
            "page": f"#/experiments/{self._parent.experiment}/runs?{_TRAINING}",
            **self._address("", self._parent),
        }
        for step in (self._close_trials, self._close_lost, self._attach, self._register, self._close_parent):
            found |= self._link.attempt(lambda step=step: step(results)) or {}
            if self._link.broken:
                found.setdefault("problem", self._link.problem)
            if self._link.silent and not self._answers():  # what is silent may be the store of files alone
                break
        self._closed = True
        return found

    def _trial(self, record: TrialRecord) -> TrialRun:
        with self._lock:
            if record.number not in self._trials:
                self._trials[record.number] = TrialRun(record, self._found.get(record.number))
            return self._trials[record.number]

    def _write_on(self) -> None:
        while not self._closing.wait(_RETRY_SECONDS if self._link.broken else _WRITE_SECONDS):
            self._link.attempt(self._write)

    def _write(self) -> None:
        """Bring all trials up to date; one that is refused, as its run was deleted, does not hold up the others."""
        refusal: Exception | None = None
        with self._lock:
            pending = [trial for trial in self._trials.values() if trial.pending]
        for trial in pending:
            try:
                trial.write(self._run_of(trial))
            except Exception as error:
                if unreachable(error):
                    raise
                refusal = refusal or error
        if refusal is not None:
            raise refusal

    def _run_of(self, trial: TrialRun) -> StoredRun:
        tags = common_tags(self.search_id, self.facts)
        return trial.run or trial.create(self._client, self._parent, self.facts.name, tags)

    def _answers(self) -> bool:
        return self._link.attempt(lambda: self._client.get_run(self._parent.id)) is not None

    def _close_trials(self, results: Results) -> dict[str, str]:
        """Write all that is known of trials, and leave none of them running."""
        if results.best is not None:
            self.replay([results.best])
        for trial in self._trials.values():
            if trial.record.state is TrialState.RUNNING:
                trial.change(replace(trial.record, state=TrialState.STOPPED, reason="the search ended before it did"))
        self._write()
        return {}

    def _close_lost(self, results: Results) -> dict[str, str]:
        """End the runs of trials that were cut off with an earlier process and that nobody has taken up again."""
        used = {trial.run.id for trial in self._trials.values() if trial.run is not None}
        tags = {"state": TrialState.STOPPED.value, "reason": "cut off with the process that ran it"}
        for found in look_up(self._client, self.search_id, {self._parent.id, *used}).trials.values():
            if found.info.status == "RUNNING" and found.info.run_id not in used:
                run = StoredRun(self._client, found)
                run.write(tags=tags)
                run.change("KILLED", now())
        return {}

    def _attach(self, results: Results) -> dict[str, str]:
        best = results.best
        if best is None:
            return {}
        run = self._run_of(self._trial(best))
        run.write(metrics=results.points(best.epochs))
        if results.model_dir is not None:
            self._client.log_artifacts(run.id, str(results.model_dir), "model")
        log_files(self._client, run.id, results.pictures, "pictures")
        log_files(self._client, run.id, results.files)
        return self._address("best_", run)

    def _register(self, results: Results) -> dict[str, str]:
        best = results.best
        if best is None or results.model_dir is None:
            return {}
        run, name = self._run_of(self._trial(best)), self.config.model_name(self.facts.data_name)
        version = registered_version(self._client, run.id, name)
        if version is None:
            version = self._make_version(run, best, results.model_dir, name, results.metrics)
        return {"model": name, "model_version": version, "model_uri": f"models:/{name}/{version}"}

    def _make_version(
        self, run: StoredRun, best: TrialRecord, model_dir: Path, name: str, metrics: Iterable[str]
    ) -> str:
        clear_models(self._client, run.id, run.experiment)
        params = {key: str(value) for key, value in best.params.items()}
        logged = log_model(self._client, run.id, model_dir, name, params)
        run.link(metrics, logged.model_id)
        tags = {"search": self.facts.name, "data_hash": self.facts.data_hash, "protocol": self.facts.protocol}
        description = f"Trial {trial_name(best)} of the search {self.facts.name}. {self.facts.description}"
        return register_model(self._client, logged, name, description, tags)

    def _close_parent(self, results: Results) -> dict[str, str]:
        best = results.best
        run, tags, metrics = self._parent, {"state": _STATES[results.status].value}, results.points(0)
        if best is not None:
            tags |= {"best_trial": trial_name(best), "best_run_id": self._run_of(self._trial(best)).id}
            metrics += [] if best.score is None else [Metric("score", best.score, results.at, 0)]
        run.write(metrics=metrics, tags=tags)
        run.change(results.status, results.at)
        log_files(self._client, run.id, results.files)
        return {}

    def _address(self, prefix: str, run: StoredRun) -> dict[str, str]:
        ids = {f"{prefix}run_id": run.id}
        if not self.config.on_server:
            return ids
        page = f"#/experiments/{run.experiment}/runs/{run.id}?{_TRAINING}"
        return {**ids, f"{prefix}url": f"{self.config.shown_uri.rstrip('/')}/{page}"}
