"""The whole search: preparation, trials, repeats of the best, and what is made of them."""

import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from weightflow.anchors import ArrayCache
from weightflow.data import Dataset, Protocol, Split, advice, shapes, split
from weightflow.errors import InputError, SearchError, TrainingError, first_line
from weightflow.evaluation import Scores, check_scorable
from weightflow.experiment import (
    ExperimentConfig,
    Prepared,
    check_members,
    flatten,
    nest,
    prepares_as,
    preset,
    seconds_to_judge,
)
from weightflow.progress import Shown, duration
from weightflow.search.book import FILE, Book, check_same, claim, refuse_before_books
from weightflow.search.bundle import MODEL
from weightflow.search.deadline import MARGIN, Aftermath, Deadline
from weightflow.search.disk import disk_problem
from weightflow.search.ending import Ending, floor_decision
from weightflow.search.estimate import Estimate, rows_evaluated
from weightflow.search.front import pareto_front
from weightflow.search.plan import Plan
from weightflow.search.pool import Crew
from weightflow.search.resources import Resources
from weightflow.search.samplers import check_sampler
from weightflow.search.say import Say, saying
from weightflow.search.space import Space
from weightflow.search.table import LiveTable
from weightflow.search.told import data_parts, options
from weightflow.search.trainable import Task
from weightflow.search.tuning import run_trials
from weightflow.stopping import noting, stop_if_asked
from weightflow.tracking import Results, RunFacts, SearchRun, TrackingConfig, environment_facts
from weightflow.trials import Front, Repeated, TrialRecord, why_none_finished

FIDELITY = ("training.epochs", "training.warm_share")  # trials are compared after the same epochs
REPEATED = 3  # configurations that are trained with fresh seeds
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Search:
    """What the user asked for."""

    dataset: Dataset
    protocol: Protocol
    space: Space
    tracking: TrackingConfig
    name: str
    out: Path
    seed: int
    plan: Plan
    resume: bool = False
    members: int = 0
    register: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def deadline(self) -> Deadline:
        """When all is to be over."""
        return Deadline.after(self.plan.deadline, self.began)

    @property
    def folder(self) -> Path:
        """Where everything of this search is left."""
        return self.out.resolve() / self.name

    @property
    def cache(self) -> Path:
        """Where what was fitted is kept for later searches."""
        return self.out.resolve() / ".cache"

    @cached_property
    def shared_config(self) -> ExperimentConfig:
        """The configuration of the first trial, whose preparation comes first.

        Raises:
            InputError: the space searches how long trials train, by which they are compared.
        """
        for key in FIDELITY:
            if key in self.space.parameters:
                raise InputError(
                    f"`{key}` must be the same for all trials, so it cannot be searched; put it under `fixed`."
                )
        return self.preparing[0]

    @cached_property
    def asked(self) -> Plan:
        """The plan, which heeds what can be seen of the data."""
        return replace(self.plan, shapes=shapes(self.parts.seen))

    @cached_property
    def preparing(self) -> tuple[ExperimentConfig, ...]:
        """One configuration for each preparation that is known before the search, in the order of their first trials.

        After those come the other preparations of the space, in its order.
        """
        space, default = self.space, flatten(preset("default"))
        points = [point for _, point in self.asked.first_points(space)]
        points += [space.nearest(default, name) for name in space.preparations]
        found: dict[str, ExperimentConfig] = {}
        for point in points:
            config = ExperimentConfig.parse(nest(space.configuration(point)))
            found.setdefault(prepares_as(config), config)
        return tuple(found.values())

    def beforehand(self, workers: int) -> tuple[ExperimentConfig, ...]:
        """Return those that are prepared before the first trial: the default's, and as many as no worker waits for."""
        return self.preparing[: min(max(1, workers // len(self.parts.folds)), self.plan.trials)]

    @cached_property
    def parts(self) -> Split:
        """What is fitted, held out and scored."""
        return split(self.dataset, self.protocol, self.seed)

    def check(self) -> None:
        """Find out what cannot work before anything is started.

        Raises:
            InputError: data, protocol, space and plan do not go together, or the folder is taken or missing.
        """
        check_members(self.members)
        check_scorable(self.parts)
        check_sampler(self.plan, self.space)
        for config in (self.shared_config, *self.preparing):  # the first one has words for what is wrong with a space
            config.backbone.build(self.parts.seen, self.seed)
        if self.resume or self._taken():
            refuse_before_books(self.folder)
        if self.resume and not (self.folder / FILE).is_file():
            raise InputError(f"`{self.folder}` holds no search that could go on; start one with `--name {self.name}`.")
        if not self.resume and self._taken():
            raise InputError(
                f"`{self.folder}` exists already; choose another `--name`, or go on with `--resume {self.name}`."
            )
        with self._writing():
            if self.folder.is_dir():
                claim(self.folder).release()
            _try_to_write(self.folder)
        if self.resume:
            check_same(self.folder, self.identity)

    def _taken(self) -> bool:
        """Whether the folder holds anything but what a search begins with, which may have been killed just then."""
        try:
            return any(path.name not in {".lock", CHECKPOINTS} for path in self.folder.iterdir())
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            return self.folder.exists()  # or else the folder above it is a file

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this search and no other."""
        snapshots = self.dataset.snapshots
        return {
            "data": {
                "digest": snapshots.digest(),
                "times": f"{len(snapshots)} from {snapshots.times[0]:g} to {snapshots.times[-1]:g}",
                "species": ", ".join(snapshots.species),
                "samples": sum(len(cloud) for cloud in snapshots.samples),
            },
            "protocol": str(self.parts.protocol),
            "seed": self.seed,
            "sampler": self.plan.sampler.value,
            "scheduler": self.plan.scheduler.value,
            "minimize": ",".join(self.plan.criteria),
            "space": self.space.content(),
        }

    @property
    def facts(self) -> RunFacts:
        """What MLflow is told of it."""
        return RunFacts(
            name=self.name,
            data_name=self.dataset.name,
            data_hash=self.dataset.snapshots.digest(),
            protocol=str(self.parts.protocol),
            seed=self.seed,
            space_digest=self.space.digest(),
            facts=environment_facts(),
            description=f"{self.describe()}; {'; '.join(self.parts.in_words())}. {self.space.description}",
            options=options(self.asked, self.space, self.members),
            parts=data_parts(self.dataset, self.parts),
        )

    def describe(self) -> str:
        """Say in a sentence what is fitted and scored."""
        parts, folds = self.parts, self.parts.folds
        sizes = " or ".join(dict.fromkeys(str(len(fold.fit)) for fold in folds))
        return (
            f"{self.dataset.name}, protocol {parts.protocol}: {len(parts.seen)} seen snapshots, trials fitted to "
            f"{sizes}{'' if len(folds) == 1 else f' in {len(folds)} folds'}, score = {self._scored()}"
        )

    def _scored(self) -> str:
        """Say what trials are scored by."""
        parts = self.parts
        if parts.of_conditions:
            return f"the negative log-likelihood of {len(parts.folds)} left-out conditions, in the mean"
        return (
            f"half the negative log-likelihood of {len(parts.interior)} interior and half that of {len(parts.last)} "
            "last held-out snapshots"
        )

    @property
    def tests_floor(self) -> bool:
        """Whether finished trials are held against the sampling floor."""
        return self.plan.stop_at_floor and not self.parts.of_conditions

    def open_book(self) -> Book:
        """Make the folder, and open the book in it.

        Raises:
            InputError: the folder cannot be made, or what is in it is another search.
        """
        training = self.shared_config.training
        with self._writing():
            (self.folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
            return Book(
                self.folder,
                self.space,
                self.asked,
                training.epochs,
                training.grace_epochs,
                self.seed,
                self.identity,
                asdict(self.facts),
            )

    @contextmanager
    def _writing(self) -> Generator[None, None, None]:
        """Name the folder where it cannot be written."""
        try:
            yield
        except OSError as error:
            raise InputError(
                f"`{self.folder}` cannot be written ({error.strerror}); choose a place that can with `--out`."
            ) from None


def _try_to_write(folder: Path) -> None:
    """Write into a folder, or into the nearest one above it that exists, and leave nothing.

    Raises:
        OSError: it cannot be written, or its disk is full.
    """
    place = next(path for path in (folder, *folder.parents) if path.exists())
    with tempfile.TemporaryDirectory(prefix=".weightflow-", dir=place) as scratch:
        Path(scratch, "try").write_bytes(bytes(4096))


@dataclass(frozen=True)
class Outcome:
    """What a search has left.

    Attributes:
        folder: of the search.
        best: the trial that won.
        trials: all of them.
        decision: how the best trial stands to the sampling floor.
        repeats: configurations that were trained with fresh seeds, the best first.
        front: of a search with several criteria.
        scores: on the test part; None where the search was interrupted.
        next_commands: what a user may want to type now.
        tracked: where MLflow has it, as `SearchRun.finish` says.
    """

    folder: Path
    best: TrialRecord | None
    trials: tuple[TrialRecord, ...]
    decision: str = ""
    repeats: tuple[Repeated, ...] = ()
    front: Front | None = None
    scores: Scores | None = None
    next_commands: tuple[str, ...] = ()
    tracked: Mapping[str, str] = field(default_factory=dict)


def run_search(search: Search, resources: Resources, console: Console) -> Outcome:
    """Run a search to its end.

    Raises:
        InputError: the folder cannot be made, another process works in it, or MLflow cannot be reached.
        SearchError: no trial finished, or the disk is full.
    """
    book = search.open_book()
    try:
        return _run(search, book, resources, console)
    except Exception as error:
        if (problem := disk_problem(error)) is not None:
            raise SearchError(
                f"`{search.folder}` cannot be written any more ({problem}); what was reported is kept. Make room and "
                f"go on with `--resume {search.name}`."
            ) from error
        raise
    finally:
        book.close()


def _run(search: Search, book: Book, resources: Resources, console: Console) -> Outcome:
    say = saying(console)
    say(f"{search.name}: {search.describe()}; {resources}; {search.folder}")
    for line in (search.protocol.in_words(search.dataset), *search.parts.in_words()):
        say(line)
    for warning in advice(search.parts.seen):
        say(f"warning: {warning}")
    ending = _ending(search, book, resources)
    with noting():  # a run that was made but is not known here would never be closed
        run = SearchRun.open(search.tracking, book.search_id, search.facts)
    try:
        stop_if_asked()
        run.replay(book.all())
        book.watchers.append(run)
        prepared = _prepare(search, ending, resources, console, say)
        with noting():  # while the book is written
            _run_trials(search, book, ending, resources, prepared, console, say)
        stop_if_asked()
        return _finish(search, book, ending, resources, run, console, say)
    except KeyboardInterrupt:
        run.finish(Results("KILLED", reason="it was asked to stop"))
        return Outcome(search.folder, next(iter(book.finished()), None), book.all())
    except BaseException as error:
        run.finish(Results("FAILED", reason=first_line(error)))
        raise


def _ending(search: Search, book: Book, resources: Resources) -> Ending:
    """Say when trials end; what comes after them matters, and is measured, only where there is a deadline."""
    reserved, plan = resources.per_trial, search.plan
    rules = Ending(book, plan, reserved["cpu"], reserved.get("gpu", 0.0))
    if plan.deadline is None:
        return rules
    repeats = 0 if plan.several else REPEATED * (plan.repeats - 1)
    judging = seconds_to_judge(search.parts, search.seed)
    after = Aftermath.of(search.parts, search.shared_config, resources, search.members, repeats, judging)
    return rules.by(search.deadline, after)


def _prepare(
    search: Search, ending: Ending, resources: Resources, console: Console, say: Say
) -> dict[str, tuple[Prepared, ...]]:
    """Have made what trials share; how long that will take is said as soon as it can be told.

    Trials find it by what it is prepared as. Beside the default's preparation others are made by workers that would
    have nothing to do. They are no reason to end a search: trials that need one that cannot be made will say why.
    """
    parts, config = [fold.fit for fold in search.parts.folds], search.shared_config
    beforehand = search.beforehand(resources.workers)
    if len(beforehand) > 1:
        say(f"{len(beforehand)} of at least {len(search.preparing)} preparations are made side by side, before trials")
    work = rows_evaluated(config, max(map(len, parts)), resources.workers, len(parts))
    estimate = Estimate(work, ending.left, say, search.plan.time_budget <= ending.deadline.left)
    began = time.monotonic()
    with Shown(console) as shown:

        def watch(phase: str, done: int, total: int) -> None:
            ending.deadline.check("what all trials need was not yet prepared", search.name)
            shown(phase, done, total)
            estimate(phase, done, total)

        def made(configs: Sequence[ExperimentConfig]) -> dict[str, tuple[Prepared, ...]]:
            with Crew(resources, ArrayCache(search.cache), say, watch) as crew:
                return dict(zip(map(prepares_as, configs), crew.prepare_each(parts, configs, search.seed), strict=True))

        try:
            prepared = made(beforehand)
        except (InputError, TrainingError) as error:
            if len(beforehand) == 1:
                raise
            say(f"the default's preparation is made alone, because of another one that cannot be: {first_line(error)}")
            prepared = made(beforehand[:1])
    ending.book.note_preparation(time.monotonic() - began)
    return prepared


def _run_trials(
    search: Search,
    book: Book,
    ending: Ending,
    resources: Resources,
    prepared: Mapping[str, tuple[Prepared, ...]],
    console: Console,
    say: Say,
) -> None:
    task = Task(
        split=search.parts,
        seed=search.seed,
        cache=search.cache,
        checkpoints=search.folder / CHECKPOINTS,
        tests_floor=search.tests_floor,
    )
    earlier = book.study.user_attrs["runs"] - 1
    notes = search.folder / (f"tune-{earlier}" if earlier else "tune")
    with LiveTable(console, book.limit, book.epochs, ending, tuple(search.space.parameters), book.all()) as table:
        book.watchers.append(table)
        run_trials(book, ending, resources, prepared, task, notes, say)
        stop_if_asked()
        if reason := ending.reason():
            say(f"no further trial, because {reason}")
        if search.plan.repeats > 1 and not search.plan.several:
            _run_repeats(search, book, ending.of_repeats(), resources, prepared, task, notes, say)
        book.watchers.remove(table)


def _run_repeats(
    search: Search,
    book: Book,
    ending: Ending,
    resources: Resources,
    prepared: Mapping[str, tuple[Prepared, ...]],
    task: Task,
    notes: Path,
    say: Say,
) -> None:
    numbers = _best_configurations(book)
    book.repeat(numbers, search.plan.repeats)
    run_trials(book, ending, resources, prepared, task, notes.with_name(f"{notes.name}-repeats"), say)
    stop_if_asked()
    wanted, made = len(numbers) * (search.plan.repeats - 1), sum(len(one.scores) for one in book.repeated())
    if made < wanted and (reason := ending.reason()):
        say(f"{made} of {wanted} repeats were made, because {reason}")


def _best_configurations(book: Book) -> list[int]:
    """Return the numbers of the best trials, one of each configuration."""
    by_params = {str(sorted(record.params.items())): record.number for record in reversed(book.finished())}
    return [record.number for record in book.finished() if record.number in by_params.values()][:REPEATED]


def _finish(
    search: Search,
    book: Book,
    ending: Ending,
    resources: Resources,
    run: SearchRun,
    console: Console,
    say: Say,
) -> Outcome:
    # with all that draws a report; a search begins, and may be stopped, without it
    from weightflow.search.conclusion import Conclusion, conclude

    finished = book.finished()
    if not finished:
        search.deadline.check("no trial had finished", search.name)
        raise SearchError(why_none_finished(book.all()))
    if search.deadline.left < (needs := ending.conclusion() / MARGIN):
        raise SearchError(
            f"the deadline comes in {duration(search.deadline.left)}, and the final fit and its scores need about "
            f"{duration(needs)}. All trials are kept: go on with `--resume {search.name}`, and more time."
        )
    front = pareto_front(finished, search.plan.criteria) if search.plan.several else None
    repeats = book.repeated()
    number = front.recommended if front else repeats[0].number if repeats else finished[0].number
    best = book.records[number]
    ended = Conclusion(
        folder=search.folder,
        name=search.name,
        dataset=search.dataset,
        parts=search.parts,
        config=ExperimentConfig.parse(nest(best.params)),
        seed=search.seed,
        best=best,
        trials=book.all(),
        compared=book.comparable(search.shared_config.training.grace_epochs),
        front=front,
        repeats=repeats,
        decision=floor_decision(best) if search.tests_floor and not search.plan.several else "",
        used=_used(book, resources, search.began),
        members=search.members,
        register=search.register,
    )
    with Shown(console) as shown, Crew(resources, ArrayCache(search.cache), say, shown) as crew:
        left = conclude(ended, crew, say, shown)
    with suppress(OSError):  # it may hold what a stopped trial has left
        (search.folder / CHECKPOINTS).rmdir()
    results = Results(
        "FINISHED",
        best,
        search.folder / MODEL,
        left.files,
        left.pictures,
        left.scores,
        ended.repeated,
        register=search.register,
    )
    tracked = run.finish(results)
    return Outcome(
        search.folder, best, book.all(), ended.decision, repeats, front, left.scores, left.next_commands, tracked
    )


def _used(book: Book, resources: Resources, began: float) -> str:
    reserved = resources.per_trial
    hours = ", ".join(
        f"{book.trial_hours * share:.2g} {name}-hours"
        for name, share in (("CPU", reserved["cpu"]), ("GPU", reserved.get("gpu", 0.0)))
        if share
    )
    return f"{(time.monotonic() - began) / 60:.1f} minutes up to this report, trials {hours} over all processes"
