"""The runs of a search: one for itself, one nested run for each trial."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from weightflow.errors import InputError
from weightflow.evaluation import answer, bar, clears_bar, figure, summary, verdict
from weightflow.evaluation.scores import FLOOR, MODEL
from weightflow.tracking import views
from weightflow.tracking.config import TrackingConfig
from weightflow.tracking.datasets import TEST, as_dataset
from weightflow.tracking.facts import RunFacts
from weightflow.tracking.link import Link, in_words, unreachable
from weightflow.tracking.logged_model import log_model, logged_model
from weightflow.tracking.lookup import look_up
from weightflow.tracking.machine import PREFIX, Machine
from weightflow.tracking.parent_run import common_tags, create_parent, describe
from weightflow.tracking.registry import DATA_HASH, name_alias, register_model, registered_version
from weightflow.tracking.results import Results, log_files
from weightflow.tracking.store import open_experiment, open_store
from weightflow.tracking.stored_run import StoredRun, now
from weightflow.tracking.trial_run import TrialRun, effective, trial_name
from weightflow.trials import TrialRecord, TrialState

_WRITE_SECONDS = 1.0
_RETRY_SECONDS = 15.0
_AT_A_TIME = 8  # requests to a server, most of whose time is waiting; fewer than the ten connections that MLflow keeps
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
        self._machine = Machine(parent.last_step(PREFIX) + 1) if live else None
        self._writer = threading.Thread(target=self._write_on, name="weightflow-mlflow", daemon=True)
        if live:
            self._writer.start()

    @classmethod
    def open(
        cls, config: TrackingConfig, search_id: str, facts: RunFacts, live: bool = True, began: int | None = None
    ) -> "SearchRun":
        """Open the runs of a search: those that the store has for it, in whichever experiment they are.

        The search's run is made where there is none: at first, and when the store was emptied or is another one.

        Args:
            config: of the store.
            search_id: a text that no other search has, of letters, digits and dashes. A search that goes on gives the
                same one.
            facts: what is known of the search.
            live: the search is about to run or to go on: its run shows so, news are written as they come, and a
                failure to do so is told on stderr. If not, news wait for `finish`, which tells of failures.
            began: when the search did, in milliseconds, if that is not now.

        Raises:
            InputError: the store cannot be used.
        """
        client = open_store(config)
        try:
            found = look_up(client, search_id)
            if found.parent is None:
                parent = create_parent(client, open_experiment(client, config), search_id, facts, began)
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
            views.store(client, parent.experiment, views.SEARCHES, views.TRIALS, _comparable(facts))
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
            what a user may look up: `tracking_uri`, `experiment`; pages of the UI: `runs` with the trials that can be
            compared, `searches`, `url` of the search, `best_url`, `model_url`; `run_id` of the search, `best_run_id`;
            `model`, `model_version`, `model_uri` and `alias`, or `unregistered` with the name that it did not deserve;
            `problem` where something is missing, which `sync` can send later.
        """
        if self._closed:
            return {}
        self._closing.set()
        if self._writer.is_alive():
            self._writer.join()
        found = {"tracking_uri": self.config.shown_uri, "experiment": self.config.experiment}
        found |= {
            "runs": views.address(self._base, self._parent.experiment, _comparable(self.facts)),
            "searches": views.address(self._base, self._parent.experiment, views.SEARCHES),
            **self._address("", self._parent),
        }
        for step in (self._close_trials, self._close_lost, self._attach, self._log_model, self._close_parent):
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
        with self._lock:
            pending = [trial for trial in self._trials.values() if trial.pending]
        with ThreadPoolExecutor(_AT_A_TIME if self.config.on_server else 1) as writers:  # SQLite takes one at a time
            refusals = list(filter(None, writers.map(self._write_trial, pending)))
        if self._machine is not None:
            self._parent.write(metrics=self._machine.look())
        if refusals:
            raise refusals[0]

    def _write_trial(self, trial: TrialRun) -> Exception | None:
        """Bring a trial up to date; return why the store refused it. No answer to one ends it for the rest."""
        try:
            trial.write(self._run_of(trial), self.facts.name)
        except Exception as error:  # of MLflow, SQLAlchemy, requests, boto: no trial may hold up the others
            if unreachable(error):
                raise
            return error
        return None

    def _run_of(self, trial: TrialRun) -> StoredRun:
        tags = common_tags(self.search_id, self.facts)
        return trial.run or trial.create(self._client, self._parent, self.facts.name, tags, self.facts.parts)

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
        trial = self._trial(best)
        trial.crown()
        run = self._run_of(trial)
        trial.write(run, self.facts.name)
        run.write(metrics=results.points(results.means, best.epochs))
        if results.model_dir is not None:
            self._client.log_artifacts(run.id, str(results.model_dir), "model")
        log_files(self._client, run.id, results.pictures, "pictures")
        log_files(self._client, run.id, results.files)
        return self._address("best_", run)

    def _log_model(self, results: Results) -> dict[str, str]:
        """Log the model of the best trial, and make it a version of the registered one where it deserves that."""
        best = results.best
        if best is None or results.model_dir is None:
            return {}
        run, name = self._run_of(self._trial(best)), self.config.model_name(self.facts.data_name)
        logged = logged_model(self._client, run.id, run.experiment)
        if logged is None:
            params = {key: str(value) for key, value in effective(best.params).items()}
            logged = log_model(self._client, run.id, results.model_dir, name, params)
            test = next((as_dataset(part) for part in self.facts.parts if part.context == TEST), None)
            run.link(results.means, logged.model_id, test)
        version = registered_version(self._client, run.id, name)
        deserves = results.scores is not None and clears_bar(results.scores)
        if version is None and not deserves and not results.register:
            return {"unregistered": name}
        if version is None:
            version = register_model(self._client, logged, name, *self._about_version(results, best, run))
        alias = name_alias(self._client, name, version, results.scores)
        self._parent.write(tags={"model": f"{name} version {version}", "alias": alias})
        address = views.version_address(self._base, name, version)
        return {
            "model": name,
            "model_version": version,
            "model_uri": f"models:/{name}/{version}",
            "model_url": address,
            "alias": alias,
        }

    def _about_version(self, results: Results, best: TrialRecord, run: StoredRun) -> tuple[str, dict[str, str]]:
        """Return what a person reads beside a version, with links to all that it comes from, and its tags."""
        search = views.run_address("", run.experiment, self._parent.id)
        told = [
            f"{self._linked(results, best)} It is a trial of the search [{self.facts.name}]({search}).",
            *([] if results.scores is None else [summary(results.scores)]),
            self.facts.description,
        ]
        tags = {
            "search": self.facts.name,
            "data": self.facts.data_name,
            DATA_HASH: self.facts.data_hash,
            "protocol": self.facts.protocol,
        }
        if results.scores is not None:
            leading = results.scores.leading
            beside = [one for one in (MODEL, FLOOR, *bar(results.scores)) if results.scores.has(one, leading)]
            tags |= {f"test/{leading}/{one}": figure(results.scores.mean(one, leading)) for one in beside}
        return "\n\n".join(told), tags

    def _linked(self, results: Results, best: TrialRecord) -> str:
        """Name the trial that the model is of, and the report, with links that hold on any server."""
        run = self._run_of(self._trial(best))
        trial = f"Model: of trial [{trial_name(best)}]({views.run_address('', run.experiment, run.id)})"
        pages = [file.name for file in results.files if file.suffix == ".html"]
        reports = [f"[report]({views.file_address('', run.experiment, run.id, page)})" for page in pages]
        return f"{'; '.join([trial, *reports])}."

    def _close_parent(self, results: Results) -> dict[str, str]:
        best, scores, run = results.best, results.scores, self._parent
        tags = {"state": _STATES[results.status].value, "reason": results.reason}
        if best is not None:
            tags |= {"best_trial": trial_name(best), "best_run_id": self._run_of(self._trial(best)).id}
        if scores is not None:
            tags["verdict"] = answer(scores)
            links = [] if best is None else [self._linked(results, best)]
            told = [answer(scores), *links, summary(scores), verdict(scores, scores.leading), self.facts.description]
            tags[MLFLOW_RUN_NOTE] = "\n\n".join(told)
        metrics = {**results.outcome, **self._counts()}
        run.write(metrics=results.points(metrics, 0), tags=tags)
        run.change(results.status, results.at)
        log_files(self._client, run.id, results.files)
        return {}

    def _counts(self) -> dict[str, float]:
        """Return how many trials have ended how, and how many repeats there are."""
        records = [trial.record for trial in self._trials.values()]
        states = Counter(record.state.value for record in records if record.repeat_of is None)
        repeats = sum(record.repeat_of is not None for record in records)
        ends = [state.value for state in TrialState if state is not TrialState.RUNNING]
        counts = {**{f"trials/{state}": states[state] for state in ends}, "trials/repeats": repeats}
        return {name: float(count) for name, count in counts.items()} if records else {}

    def _address(self, prefix: str, run: StoredRun) -> dict[str, str]:
        return {f"{prefix}run_id": run.id, f"{prefix}url": views.run_address(self._base, run.experiment, run.id)}

    @property
    def _base(self) -> str:
        """Where the UI is: of this machine's own store, where `make ui` will serve it."""
        return self.config.page if self.config.on_server else views.LOCAL


def _comparable(facts: RunFacts) -> views.View:
    return views.comparable_trials(facts.data_name, facts.data_hash, facts.protocol)
