"""The book of a search: every trial, what it reported, how it ended. It is kept on disk, as an Optuna study.

Optuna appends each change to one file, `study.log`, and flushes it to the disk. Whatever ends the process, the file
holds all that was reported, and the next process goes on from it: the sampler with its history, the pruner with its
rungs, and trials that were cut off under their own numbers. `optuna-dashboard study.log` shows it while a search runs.
"""

import json
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
from typing import Any, Protocol, runtime_checkable

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial

from weightflow.errors import InputError, first_line
from weightflow.search.journal import Storage, mend, open_storage
from weightflow.search.plan import Plan
from weightflow.search.preparations import expanded
from weightflow.search.rungs import Scheduler
from weightflow.search.samplers import LOOK_AT_MANY, make_sampler
from weightflow.search.space import Space
from weightflow.search.totals import Totals
from weightflow.search.window import LATEST, Window
from weightflow.trials import PREPARATION, Criterion, Parameter, Repeated, SamplerName, TrialRecord, TrialState

FILE = "study.log"
FORMAT = 3  # raised whenever trials are scored otherwise: a search that goes on compares all of its trials
BEFORE_BOOKS = "search.json"  # in which the first versions kept a search
NAME = "weightflow"
ELAPSED = "elapsed"
PREPARING = "preparation"
REPEATED = "finished"  # of a repeat: for Optuna it has no value, or the luckiest repeat would be the best trial
EPOCH = "epoch "  # an epoch's metrics are an attribute of the trial, `epoch 3`
ENDED = {
    optuna.trial.TrialState.COMPLETE: TrialState.FINISHED,
    optuna.trial.TrialState.PRUNED: TrialState.PRUNED,
    optuna.trial.TrialState.FAIL: TrialState.FAILED,
    optuna.trial.TrialState.RUNNING: TrialState.STOPPED,  # cut off, when it is read by another process
}
Completed = Callable[[Mapping[str, Any]], dict[str, Any]]  # a trial's parameters to its configuration
optuna.logging.set_verbosity(optuna.logging.ERROR)


@runtime_checkable
class Watcher(Protocol):
    """Whoever is told about trials: MLflow, the live table."""

    def start_trial(self, record: TrialRecord) -> None:
        """A trial has started, or goes on."""
        ...

    def log_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """A trial has reported an epoch."""
        ...

    def end_trial(self, record: TrialRecord) -> None:
        """A trial has ended, one way or another."""
        ...


class Book:
    """The trials of one search.

    Attributes:
        preparation: seconds that what trials share took to make, in whichever process that was.

    Args:
        folder: of the search; it exists.
        space: what is searched.
        plan: how.
        epochs: of a trial that is not pruned.
        grace: epochs before which no trial is pruned.
        seed: of the sampler.
        identity: what makes it this search and no other, as plain values: it cannot go on with another one.
        facts: what else is to be known of it, as plain values, for whoever reads the book alone.

    Raises:
        InputError: another process works on the search, or the folder holds one of another identity.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        plan: Plan,
        epochs: int,
        grace: int,
        seed: int,
        identity: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> None:
        self.space = space
        self.plan = plan
        endless = plan.sampler is not SamplerName.GRID
        self.limit = plan.trials if endless else sum(1 for _ in islice(space.points(), plan.trials))
        self.epochs = epochs
        self.watchers: list[Watcher] = []
        self._lock = claim(folder)
        mend(folder / FILE)
        try:
            self._storage = storage = open_storage(folder / FILE)
            earlier = _about(storage)
            if earlier is not None:
                _check_same(folder, earlier, identity)
                _check_whole(folder, storage, space)
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
        runs = storage.get_study_user_attrs(storage.get_study_id_from_name(NAME)).get("runs", 0) if earlier else 0
        self.study = optuna.create_study(
            storage=storage,
            sampler=make_sampler(plan.sampler, seed, runs),
            pruner=optuna.pruners.NopPruner(),  # `Scheduler` does its work
            study_name=NAME,
            directions=[optuna.study.StudyDirection.MINIMIZE for _ in plan.criteria],
            load_if_exists=True,
        )
        if earlier is None:
            self.study.set_user_attr("about", self.about)
            with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
                self.study.set_metric_names([str(criterion) for criterion in plan.criteria])
        self.study.set_user_attr("runs", runs + 1)
        storage.journal.claim()
        self._used = float(self.study.user_attrs.get("seconds", 0.0))
        self.preparation = float(self.study.user_attrs.get(PREPARING, 0.0))
        self._study_id = storage.get_study_id_from_name(NAME)
        self._began = time.monotonic()  # whoever sets the clock, and summer time, neither end nor extend a search
        self._trials: dict[int, optuna.trial.Trial] = {}
        self.records: dict[int, TrialRecord] = {}
        self._totals = Totals()
        self._scheduler = Scheduler(plan.scheduler, grace, epochs, NAME)
        self._window = Window() if plan.sampler in LOOK_AT_MANY else None
        for record in _records(self.study, space.configuration):
            self._take_up(record)
        tried = [trial.params for trial in self.study.get_trials(deepcopy=False)]
        self._first_points = [(origin, point) for origin, point in plan.first_points(space) if point not in tried]
        self._repeated: tuple[int, ...] = ()
        self._seeds = 0
        self._stopped: list[int] = []  # they may go on another time
        self._cut_off = [record.number for record in self.records.values() if record.state is TrialState.STOPPED]

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
            self.study.set_user_attr(PREPARING, seconds)

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
        return self._start(self.study.ask)

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
        judged = not self.plan.several and before.repeat_of is None
        with self._storage.journal.together():
            if judged and epoch not in self._frozen(number).intermediate_values:
                trial.report(metrics["score"], epoch)  # it is, if a process ended between these two lines
            trial.set_user_attr(f"{EPOCH}{epoch}", {**entry, ELAPSED: seconds})
            self._note_time()
        score = metrics["score"] if math.isfinite(metrics["score"]) else None
        record = replace(before, score=score, epochs=epoch, seconds=seconds, history=(*before.history, entry))
        self._note(record)
        for watcher in self.watchers:
            watcher.log_epoch(record, epoch, metrics)
        return judged and self._scheduler.ends(number, epoch, metrics["score"]) and epoch < self.epochs

    def retry(self, number: int, reason: str, doublings: int = 0) -> bool:
        """Take note that a trial failed, and hand it out again from its checkpoint; False if that was too often.

        `doublings` is how often its share of a GPU is doubled from now on.
        """
        before = self.records[number]
        if before.retries >= self.plan.retries:
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
        for trial in self.study.get_trials(deepcopy=False):
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
        record = _record(self._frozen(trial.number), self.space.configuration, TrialState.RUNNING)
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
        return optuna.trial.Trial(self.study, self._storage.create_new_trial(self._study_id, given))

    def _next_cut_off(self, *, repeats: bool) -> int | None:
        return next((n for n in self._cut_off if (self.records[n].repeat_of is not None) == repeats), None)

    def _frozen(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._id_of(number))

    def _opened(self, number: int) -> optuna.trial.Trial:
        return optuna.trial.Trial(self.study, self._id_of(number))

    def _id_of(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _take_up(self, record: TrialRecord) -> None:
        """Take note of a trial that an earlier process has run."""
        self._note(record)
        if record.repeat_of is None and not self.plan.several:
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
        with suppress(RuntimeError):  # with the last point of a grid, its sampler stops a loop that is not there
            match record.state:
                case TrialState.FINISHED if record.repeat_of is not None:
                    trial.set_user_attr(REPEATED, True)
                    self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                case TrialState.FINISHED:
                    self.study.tell(trial, [record.value(criterion) for criterion in self.plan.criteria])
                case TrialState.PRUNED:
                    self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                case TrialState.FAILED:
                    self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
                case _:
                    pass

    def _note_time(self) -> None:
        self.study.set_user_attr("seconds", self.seconds)

    def _tell(self, event: str, record: TrialRecord) -> None:
        self._note(record)
        for watcher in self.watchers:
            getattr(watcher, event)(record)


def read_book(folder: Path) -> tuple[dict[str, Any], tuple[TrialRecord, ...]]:
    """Read what a search has written, without going on with it: what it is, and its trials.

    Raises:
        InputError: there is no search in the folder.
    """
    refuse_before_books(folder)
    if not (folder / FILE).is_file():
        raise InputError(f"`{folder}` holds no search (there is no `{FILE}` in it); start one with `--name`.")
    storage = open_storage(folder / FILE)
    about = _about(storage)
    if about is None:
        raise InputError(f"`{folder / FILE}` holds no search yet; remove the folder and start anew.")
    return about, tuple(_records(optuna.load_study(study_name=NAME, storage=storage), _configuration(about)))


def open_study(folder: Path) -> optuna.study.Study:
    """Read the study of a search as Optuna knows it.

    Raises:
        InputError: there is no search in the folder.
    """
    read_book(folder)
    return optuna.load_study(study_name=NAME, storage=open_storage(folder / FILE))


def check_same(folder: Path, identity: Mapping[str, Any]) -> None:
    """Find out whether a search that is to go on is the one in the folder.

    Raises:
        InputError: it is another one, and the message says in what.
    """
    about = _about(open_storage(folder / FILE))
    if about is not None:  # none where it was killed as it began
        _check_same(folder, about, identity)


def space_of(folder: Path) -> Mapping[str, Any] | None:
    """Return what `Space.content` told of the search in a folder; None where none is there that can go on."""
    about = _about(open_storage(folder / FILE)) if (folder / FILE).is_file() else None
    return about["identity"]["space"] if about is not None and about.get("format") == FORMAT else None


def refuse_before_books(folder: Path) -> None:
    """Refuse a search that was written down before there were books.

    Raises:
        InputError: it is one; the message says what can be done with it.
    """
    if (folder / BEFORE_BOOKS).is_file() and not (folder / FILE).is_file():
        raise InputError(
            f"`{folder}` holds a search of an early version of WeightFlow, which kept it in `{BEFORE_BOOKS}`; this one "
            "cannot go on with it, nor read its trials. Its report and scores can be read as before. Start anew under "
            "another `--name`; what was best there can be put under `first_trials` of the search space."
        )


def _check_same(folder: Path, about: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    if about.get("format") != FORMAT:
        raise InputError(
            f"`{folder}` holds a search of another version of WeightFlow, which scored its trials otherwise: they "
            "cannot be compared with new ones, and it cannot go on. Its report and scores can be read as before. Start "
            f"anew under another `--name`, with `--warm-start {folder.name}`: that tries early what was best there."
        )
    if changed := _changes(about["identity"], identity):
        raise InputError(
            f"`{folder}` is another search: {'; '.join(changed)}. Resume it unchanged, or start a new one."
        )


def _check_whole(folder: Path, storage: Storage, space: Space) -> None:
    """Find out whether trials that ended lack a parameter: its default would be taken for what they had tried."""
    for trial in optuna.load_study(study_name=NAME, storage=storage).get_trials(deepcopy=False):
        try:
            if trial.state.is_finished():
                space(optuna.trial.FixedTrial(trial.params))
        except ValueError as error:
            raise InputError(
                f"trial {trial.number} in `{folder / FILE}` is not whole ({first_line(error)}); put the line back that "
                f'is missing, or keep only those before the first with `"trial_id":{trial.number}`.'
            ) from None


def best_points(folder: Path, n: int = 3) -> tuple[dict[str, Parameter], ...]:
    """Return the configurations of the `n` best trials of an earlier search.

    Raises:
        InputError: there is no such search, or no trial of it finished.
    """
    _, records = read_book(folder)
    finished = [r for r in records if r.state is TrialState.FINISHED and r.repeat_of is None and r.score is not None]
    if not finished:
        raise InputError(f"no trial of the search in `{folder}` finished, so that it has no best one; take another.")
    return tuple(record.params for record in sorted(finished, key=lambda record: record.score or 0.0)[:n])


def _configuration(about: Mapping[str, Any]) -> Completed:
    """Return what makes a trial's parameters its configuration, by what the book says of its space."""
    space = about["identity"]["space"]
    return partial(expanded, fixed=space["fixed"], preparations=space.get("preparations", {}))


def _records(study: optuna.study.Study, completed: Completed) -> list[TrialRecord]:
    trials = study.get_trials(deepcopy=False)
    return [_record(trial, completed, _state(trial)) for trial in trials if trial.state in ENDED]


def _state(trial: FrozenTrial) -> TrialState:
    state = ENDED[trial.state]
    return TrialState.FINISHED if state is TrialState.PRUNED and trial.user_attrs.get(REPEATED) else state


def _record(trial: FrozenTrial, completed: Completed, state: TrialState) -> TrialRecord:
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


def claim(folder: Path) -> FileLock:
    """Take the folder of a search for this process alone, until the lock is released.

    Raises:
        InputError: another process has it.
        OSError: the folder cannot be written.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"another process works on the search in `{folder}`; wait for it, or choose another `--name`."
        ) from None
    return lock


def _about(storage: Storage) -> dict[str, Any] | None:
    names = [study.study_name for study in storage.get_all_studies()]
    if NAME not in names:
        return None
    # none where the process was killed between two lines
    return storage.get_study_user_attrs(storage.get_study_id_from_name(NAME)).get("about")


def _changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    before, after = _leaves(was), _leaves(json.loads(json.dumps(now)))
    return [
        f"{key} was {before.get(key, 'not there')} and is {after.get(key, 'not there')}"
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]


def _leaves(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{above}{key}"
        leaves |= _leaves(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return leaves
