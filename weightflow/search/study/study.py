"""The study of a search: every trial, what it reported, how it ended. It is kept on disk, as an Optuna study.

Optuna appends each change to one file, `study.log`, and flushes it to the disk. Whatever ends the process, the file
holds all that was reported, and the next process goes on from it: the sampler with its history, the pruner with its
rungs, and trials that were cut off under their own numbers. `optuna-dashboard study.log` shows it while a search runs.
"""

import math
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from weightflow.errors import InputError
from weightflow.search.folder import STUDY
from weightflow.search.space.space import Space
from weightflow.search.study.callback import Callback
from weightflow.search.study.options import SearchOptions
from weightflow.search.study.reading import FORMAT, about_of, check_whole, claim, name_of, refuse_another
from weightflow.search.study.records import CUT_OFF, ELAPSED, EPOCH, REPEATED, record_of, records_of
from weightflow.search.study.samplers import LOOK_AT_MANY, make_sampler
from weightflow.search.study.scheduler import Scheduler
from weightflow.search.study.storage import mend, open_storage
from weightflow.search.study.totals import Totals
from weightflow.search.study.window import LATEST, Window
from weightflow.trials import Criterion, Parameter, Repeated, SamplerName, TrialRecord, TrialState

PREPARING = "preparation"
optuna.logging.set_verbosity(optuna.logging.ERROR)


class Study:
    """The trials of one search.

    Attributes:
        preparation: seconds that what trials share took to make, in whichever process that was.
        waiting: numbers of trials that were handed out, and have no process yet.

    Args:
        folder: of the search; it exists.
        space: what is searched.
        options: how.
        epochs: of a trial that is not pruned.
        grace: epochs before which no trial is pruned.
        seed: of the sampler. What the random one proposes depends on it and on a trial's number alone, so that a search
            which was interrupted goes on as if it had not been; any other sampler draws other numbers in each process.
        identity: what makes it this search and no other, as plain values: it cannot go on with another one.
        facts: what else is to be known of it, as plain values, for whoever reads the study alone.

    Raises:
        InputError: another process works on the search, or the folder holds one of another identity.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        options: SearchOptions,
        epochs: int,
        grace: int,
        seed: int,
        identity: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> None:
        self.space = space
        self.options = options
        self._seed = seed
        endless = options.sampler is not SamplerName.GRID
        self.limit = options.trials if endless else sum(1 for _ in islice(space.points(), options.trials))
        self.epochs = epochs
        self.callbacks: list[Callback] = []
        self.waiting: set[int] = set()
        self._lock = claim(folder)
        mend(folder / STUDY)
        try:
            self._storage = storage = open_storage(folder / STUDY)
            earlier = about_of(storage)
            if earlier is not None:
                refuse_another(folder, earlier, identity)
                check_whole(folder, storage, space)
        except InputError:
            self.close()
            raise
        about: dict[str, Any] = {
            "format": FORMAT,
            "id": uuid.uuid4().hex,
            "identity": dict(identity),
            "facts": dict(facts),
            "began": time.time(),
        }
        self.about: dict[str, Any] = earlier or about
        name = name_of(storage) or folder.name
        runs = storage.get_study_user_attrs(storage.get_study_id_from_name(name)).get("runs", 0) if earlier else 0
        self.optuna = optuna.create_study(
            storage=storage,
            sampler=make_sampler(options.sampler, seed, runs),
            pruner=optuna.pruners.NopPruner(),  # `Scheduler` does its work
            study_name=name,
            directions=[optuna.study.StudyDirection.MINIMIZE for _ in options.criteria],
            load_if_exists=True,
        )
        if earlier is None:
            self.optuna.set_user_attr("about", self.about)
            with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
                self.optuna.set_metric_names([str(criterion) for criterion in options.criteria])
        self.optuna.set_user_attr("runs", runs + 1)
        storage.journal.claim()
        self._used = float(self.optuna.user_attrs.get("seconds", 0.0))
        self.preparation = float(self.optuna.user_attrs.get(PREPARING, 0.0))
        self._study_id = storage.get_study_id_from_name(name)
        self._began = time.monotonic()  # whoever sets the clock, and summer time, neither end nor extend a search
        self._trials: dict[int, optuna.trial.Trial] = {}
        self.records: dict[int, TrialRecord] = {}
        self._totals = Totals()
        self._scheduler = Scheduler(options.scheduler, grace, epochs, name)
        self._window = Window() if options.sampler in LOOK_AT_MANY else None
        for record in records_of(self.optuna, space.configuration):
            self._take_up(record)
        tried = [trial.params for trial in self.optuna.get_trials(deepcopy=False)]
        self._first_points = [(origin, point) for origin, point in options.first_points(space) if point not in tried]
        self._repeated: tuple[int, ...] = ()
        self._seeds = 0
        self._stopped: list[int] = []  # they may go on another time
        self._cut_off = [number for number, record in self.records.items() if self._may_go_on(record)]

    @property
    def search_id(self) -> str:
        """A text that no other search has."""
        return self.about["id"]

    @property
    def seconds(self) -> float:
        """Wall time that all processes have spent on the search's trials."""
        return self._used + time.monotonic() - self._began

    @property
    def trial_hours(self) -> float:
        """Hours that trials have run, one after the other."""
        return self._totals.seconds / 3600

    @property
    def best(self) -> TrialRecord | None:
        """The finished trial with the lowest score, repeats left out."""
        return self._totals.best

    @property
    def failed(self) -> bool:
        """Whether a trial has failed for good."""
        return self._totals.failed > 0

    def note_preparation(self, seconds: float) -> None:
        """Take note of how long it took; where it came from the cache, how long it had taken before is what counts."""
        if seconds > self.preparation:
            self.preparation = seconds
            self.optuna.set_user_attr(PREPARING, seconds)

    @property
    def running(self) -> bool:
        """Whether a trial runs."""
        return bool(self._trials)

    def close(self) -> None:
        """Let another process have it."""
        self._lock.release()

    # What a search asks

    def next_trial(self) -> TrialRecord | None:
        """Start the trial that is to run now: one that was cut off, a first trial, or one of the sampler's choice."""
        if (number := self._next_cut_off(repeats=False)) is not None:
            return self._go_on(number)
        if self._totals.own >= self.limit:
            return None
        if self._first_points:
            origin, point = self._first_points.pop(0)
            return self._start(lambda: self._given(point, {"origin": origin}))
        return self._start(self._asked)

    def next_repeat(self) -> TrialRecord | None:
        """Start a repeat that `repeat` has asked for."""
        if (number := self._next_cut_off(repeats=True)) is not None:
            return self._go_on(number)
        for number in self._repeated:
            attempts = self._attempts(number)
            lost = sum(record.state is TrialState.FAILED for record in attempts)
            if len(attempts) - lost < self._seeds and lost <= self._seeds:
                params, attributes = self._frozen(number).params, {"repeat_of": number, "seed": len(attempts) + 1}
                return self._start(partial(self._given, params, attributes))
        return None

    def repeat(self, numbers: Iterable[int], seeds: int) -> None:
        """Let trials run again until each has `seeds` scores with its own; one that fails is made up for by another.

        Once more repeats of a configuration have failed than are wanted, it has to do with the scores that it has.
        """
        self._repeated, self._seeds = tuple(numbers), seeds - 1

    def report(self, number: int, epoch: int, metrics: dict[str, float], seconds: float) -> bool:
        """Take an epoch's report, and return whether the trial is to end here: others were better after as many epochs.

        A trial that goes on from its checkpoint repeats the last report, which is known. A repeat is run for its last
        score, and by several criteria nothing is ended early.
        """
        before = self.records[number]
        if before.state is not TrialState.RUNNING or epoch <= before.epochs:
            return False
        entry, trial = {"epoch": float(epoch), **metrics}, self._trials[number]
        judged = not self.options.several and before.repeat_of is None
        with self._storage.journal.together():
            if judged and epoch not in self._frozen(number).intermediate_values:
                trial.report(metrics["score"], epoch)  # it is, if a process ended between these two lines
            trial.set_user_attr(f"{EPOCH}{epoch}", {**entry, ELAPSED: seconds})
            self._note_time()
        score = metrics["score"] if math.isfinite(metrics["score"]) else None
        record = replace(before, score=score, epochs=epoch, seconds=seconds, history=(*before.history, entry))
        self._note(record)
        for callback in self.callbacks:
            callback.log_epoch(record, epoch, metrics)
        return judged and self._scheduler.ends(number, epoch, metrics["score"]) and epoch < self.epochs

    def retry(self, number: int, reason: str, doublings: int = 0) -> bool:
        """Take note that a trial failed, and hand it out again from its checkpoint; False if that was too often.

        `doublings` is how often its share of a GPU is doubled from now on.
        """
        before = self.records[number]
        if before.retries >= self.options.retries:
            return False
        trial = self._trials.pop(number)
        with self._storage.journal.together():
            trial.set_user_attr("retries", before.retries + 1)
            if doublings:
                trial.set_user_attr("doublings", doublings)
            trial.set_user_attr("reason", reason)
        self._note(replace(before, state=TrialState.STOPPED, retries=before.retries + 1, reason=reason))
        self._cut_off.append(number)
        return True

    def end(self, number: int, state: TrialState, reason: str = "") -> None:
        """A trial has ended; one that is only stopped can go on another time."""
        record = self.records[number]
        if record.state is not TrialState.RUNNING:
            return
        record = replace(record, state=state, reason=reason, ended=time.time())
        trial = self._trials.pop(number)
        with self._storage.journal.together():
            if reason:
                trial.set_user_attr("reason", reason)
            self._note_time()
            self._tell_optuna(trial, record)
        if state is TrialState.STOPPED:
            self._stopped.append(number)
        else:
            self._show(record)
        self._tell("end_trial", record)

    def stop_running(self) -> None:
        """Close what runs when everything ends."""
        for number in list(self._trials):
            self.end(number, TrialState.STOPPED)

    def conclude(self) -> None:
        """Let trials that were cut off have ended for Optuna too: with the search at its end, none of them goes on."""
        for number in [*self._stopped, *self._cut_off]:
            trial = self._opened(number)
            with self._storage.journal.together():
                trial.set_user_attr(CUT_OFF, True)
                self._close(trial, state=optuna.trial.TrialState.PRUNED)
            self._show(self.records[number])
        self._stopped, self._cut_off = [], []

    # What a search is told

    def all(self) -> tuple[TrialRecord, ...]:
        """Return all records in order of their numbers."""
        return tuple(self.records[number] for number in sorted(self.records))

    def finished(self) -> list[TrialRecord]:
        """Return the trials that finished, without repeats, the best score first."""
        found = [r for r in self.records.values() if r.state is TrialState.FINISHED and r.repeat_of is None]
        return sorted(found, key=lambda record: (record.score, record.number))

    def repeated(self) -> tuple[Repeated, ...]:
        """Return the trials that were repeated, the best first, by the mean score over fresh seeds alone."""
        made = [self._outcome(record) for record in self.finished() if self._totals.repeats[record.number]]
        return tuple(sorted(made, key=lambda repeated: repeated.rank))

    def _outcome(self, record: TrialRecord) -> Repeated:
        attempts = self._attempts(record.number)
        scores = [one.score for one in attempts if one.state is TrialState.FINISHED and one.score is not None]
        failed = sum(one.state is TrialState.FAILED for one in attempts)
        return Repeated(record.number, record.value(Criterion.SCORE), tuple(scores), failed)

    def _attempts(self, number: int) -> list[TrialRecord]:
        return [self.records[repeat] for repeat in self._totals.repeats[number]]

    def seed_of(self, number: int) -> int:
        """Return 0 for a trial of its own, i for the i-th repeat of another one."""
        return int(self._frozen(number).user_attrs.get("seed", 0))

    def doublings(self, number: int) -> int:
        """Return how often a trial's share of a GPU is doubled, since it ran out of memory."""
        return int(self._frozen(number).user_attrs.get("doublings", 0))

    def comparable(self, epoch: int) -> optuna.study.Study:
        """Return all trials that came to `epoch` as complete ones with their scores there, pruned ones included.

        The importances of the few trials that were never pruned would be those of chance.
        """
        compared = optuna.create_study()
        for trial in self.optuna.get_trials(deepcopy=False):
            score = trial.user_attrs.get(f"{EPOCH}{epoch}", {}).get("score", math.nan)
            if math.isfinite(score) and "repeat_of" not in trial.user_attrs:
                compared.add_trial(
                    optuna.trial.create_trial(params=trial.params, distributions=trial.distributions, value=score)
                )
        return compared

    def _start(self, ask: Callable[[], optuna.trial.Trial]) -> TrialRecord:
        with self._storage.journal.together(), self._storage.showing(self._looked_at if self._window else None):
            trial = ask()
            self.space(trial)
        self._trials[trial.number] = trial
        record = record_of(self._frozen(trial.number), self.space.configuration, TrialState.RUNNING)
        self._tell("start_trial", record)
        return record

    def _go_on(self, number: int) -> TrialRecord:
        """Start a trial again; what the killed process had not yet chosen for it is chosen now."""
        self._cut_off.remove(number)
        return self._start(lambda: self._opened(number))

    def _looked_at(self) -> list[FrozenTrial]:
        """Return the trials that the sampler looks at, with the latest of those that for Optuna run."""
        running = [*self._stopped, *self._cut_off, *self._trials][-LATEST:]
        return [] if self._window is None else self._window.trials([self._frozen(number) for number in running])

    def _asked(self) -> optuna.trial.Trial:
        """Return a new trial whose parameters the sampler chooses."""
        if self.options.sampler is SamplerName.RANDOM:
            self.optuna.sampler = make_sampler(SamplerName.RANDOM, self._seed, len(self.records))
        return self.optuna.ask()

    def _given(self, point: Mapping[str, Parameter], attributes: Mapping[str, Any]) -> optuna.trial.Trial:
        """Return a new trial whose parameters are given."""
        asked = optuna.trial.FixedTrial(dict(point))
        self.space(asked)
        given = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=asked.params,
            distributions=asked.distributions,
            user_attrs=dict(attributes),
        )
        return optuna.trial.Trial(self.optuna, self._storage.create_new_trial(self._study_id, given))

    def _may_go_on(self, record: TrialRecord) -> bool:
        """Whether a trial was cut off, and its search did not come to its end without it."""
        return record.state is TrialState.STOPPED and not self._frozen(record.number).state.is_finished()

    def _next_cut_off(self, *, repeats: bool) -> int | None:
        return next((n for n in self._cut_off if (self.records[n].repeat_of is not None) == repeats), None)

    def _frozen(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._id_of(number))

    def _opened(self, number: int) -> optuna.trial.Trial:
        return optuna.trial.Trial(self.optuna, self._id_of(number))

    def _id_of(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _take_up(self, record: TrialRecord) -> None:
        """Take note of a trial that an earlier process has run."""
        self._note(record)
        if record.repeat_of is None and not self.options.several:
            for entry in record.history:
                self._scheduler.ends(record.number, int(entry["epoch"]), entry["score"])
        self._show(record)

    def _show(self, record: TrialRecord) -> None:
        """Let the sampler look at a trial that has ended; a repeat tells it nothing of where to look next."""
        if self._window is not None and record.repeat_of is None:
            self._window.add(self._frozen(record.number))

    def _note(self, record: TrialRecord) -> None:
        self._totals.change(self.records.get(record.number), record)
        self.records[record.number] = record

    def _tell_optuna(self, trial: optuna.trial.Trial, record: TrialRecord) -> None:
        """Say how a trial ended; for Optuna, one that is only stopped still runs."""
        match record.state:
            case TrialState.FINISHED if record.repeat_of is not None:
                trial.set_user_attr(REPEATED, True)
                self._close(trial, state=optuna.trial.TrialState.PRUNED)
            case TrialState.FINISHED:
                self._close(trial, values=[record.value(criterion) for criterion in self.options.criteria])
            case TrialState.PRUNED:
                self._close(trial, state=optuna.trial.TrialState.PRUNED)
            case TrialState.FAILED:
                self._close(trial, state=optuna.trial.TrialState.FAIL)
            case _:
                pass

    def _close(
        self,
        trial: optuna.trial.Trial,
        values: list[float] | None = None,
        state: optuna.trial.TrialState | None = None,
    ) -> None:
        """Let a trial have ended for Optuna."""
        with suppress(RuntimeError):  # with the last point of a grid, its sampler stops a loop that is not there
            self.optuna.tell(trial, values, state)

    def _note_time(self) -> None:
        self.optuna.set_user_attr("seconds", self.seconds)

    def _tell(self, event: str, record: TrialRecord) -> None:
        self._note(record)
        for callback in self.callbacks:
            getattr(callback, event)(record)
