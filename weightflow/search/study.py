"""The whole search: preparation, trials, repeats of the best, and what is made of them."""

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from weightflow.anchors import ArrayCache
from weightflow.data import Dataset, Protocol, Split, advice, split
from weightflow.errors import InputError, SearchError, first_line
from weightflow.evaluation import Scores, check_scorable
from weightflow.experiment import ExperimentConfig, Prepared, check_members, nest
from weightflow.progress import Shown
from weightflow.search.book import FILE, Book, check_same, claim, refuse_before_books
from weightflow.search.bundle import MODEL
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
        """The configuration that most trials prepare with: that of the first trial.

        Raises:
            InputError: the space searches how long trials train, by which they are compared.
        """
        for key in FIDELITY:
            if key in self.space.parameters:
                raise InputError(
                    f"`{key}` must be the same for all trials, so it cannot be searched; put it under `fixed`."
                )
        _, first = next(self.plan.first_points(self.space))
        return ExperimentConfig.parse(nest({**self.space.fixed, **first}))

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
        self.shared_config.backbone.build(self.parts.seen, self.seed)
        if self.resume or self._taken():
            refuse_before_books(self.folder)
        if self.resume and not (self.folder / FILE).is_file():
            raise InputError(f"`{self.folder}` holds no search that could go on; start one with `--name {self.name}`.")
        if not self.resume and self._taken():
            raise InputError(
                f"`{self.folder}` exists already; choose another `--name`, or go on with `--resume {self.name}`."
            )
        if self.folder.is_dir():
            with self._writing():
                claim(self.folder).release()
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
            options=options(self.plan, self.space, self.members),
            parts=data_parts(self.dataset, self.parts),
        )

    def describe(self) -> str:
        """Say in a sentence what is fitted and scored."""
        parts, folds = self.parts, self.parts.folds
        sizes = " or ".join(dict.fromkeys(str(len(fold.fit)) for fold in folds))
        return (
            f"{self.dataset.name}, protocol {parts.protocol}: {len(parts.seen)} seen snapshots, trials fitted to "
            f"{sizes}{'' if len(folds) == 1 else f' in {len(folds)} folds'}, score = half the negative log-likelihood "
            f"of {len(parts.interior)} interior and half that of {len(parts.last)} last held-out snapshots"
        )

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
                self.plan,
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
    began = time.monotonic()
    book = search.open_book()
    try:
        return _run(search, book, resources, console, began)
    except Exception as error:
        if (problem := disk_problem(error)) is not None:
            raise SearchError(
                f"`{search.folder}` cannot be written any more ({problem}); what was reported is kept. Make room and "
                f"go on with `--resume {search.name}`."
            ) from error
        raise
    finally:
        book.close()


def _run(search: Search, book: Book, resources: Resources, console: Console, began: float) -> Outcome:
    say = saying(console)
    say(f"{search.name}: {search.describe()}; {resources}; {search.folder}")
    for line in (search.protocol.in_words(search.dataset), *search.parts.in_words()):
        say(line)
    for warning in advice(search.parts.seen):
        say(f"warning: {warning}")
    reserved = resources.per_trial
    ending = Ending(book, search.plan, reserved["cpu"], reserved.get("gpu", 0.0))
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
        return _finish(search, book, resources, run, console, say, began)
    except KeyboardInterrupt:
        run.finish(Results("KILLED", reason="it was asked to stop"))
        return Outcome(search.folder, next(iter(book.finished()), None), book.all())
    except BaseException as error:
        run.finish(Results("FAILED", reason=first_line(error)))
        raise


def _prepare(search: Search, ending: Ending, resources: Resources, console: Console, say: Say) -> tuple[Prepared, ...]:
    """Have made what the trials share; how long that will take is said as soon as it can be told."""
    parts, config = [fold.fit for fold in search.parts.folds], search.shared_config
    work = rows_evaluated(config, max(map(len, parts)), resources.workers, len(parts))
    estimate = Estimate(work, ending.left, say)
    with Shown(console) as shown:

        def watch(phase: str, done: int, total: int) -> None:
            shown(phase, done, total)
            estimate(phase, done, total)

        with Crew(resources, ArrayCache(search.cache), say, watch) as crew:
            return crew.prepare(parts, config, search.seed)


def _run_trials(
    search: Search,
    book: Book,
    ending: Ending,
    resources: Resources,
    prepared: tuple[Prepared, ...],
    console: Console,
    say: Say,
) -> None:
    task = Task(
        shared=search.shared_config,
        split=search.parts,
        seed=search.seed,
        cache=search.cache,
        checkpoints=search.folder / CHECKPOINTS,
        tests_floor=search.plan.stop_at_floor,
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
            book.repeat(_best_configurations(book), search.plan.repeats)
            again = notes.with_name(f"{notes.name}-repeats")
            run_trials(book, ending.of_repeats(), resources, prepared, task, again, say)
        book.watchers.remove(table)


def _best_configurations(book: Book) -> list[int]:
    """Return the numbers of the best trials, one of each configuration."""
    by_params = {str(sorted(record.params.items())): record.number for record in reversed(book.finished())}
    return [record.number for record in book.finished() if record.number in by_params.values()][:REPEATED]


def _finish(
    search: Search,
    book: Book,
    resources: Resources,
    run: SearchRun,
    console: Console,
    say: Say,
    began: float,
) -> Outcome:
    # with all that draws a report; a search begins, and may be stopped, without it
    from weightflow.search.conclusion import Conclusion, conclude

    finished = book.finished()
    if not finished:
        raise SearchError(why_none_finished(book.all()))
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
        decision=floor_decision(best) if search.plan.stop_at_floor and not search.plan.several else "",
        used=_used(book, resources, began),
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
