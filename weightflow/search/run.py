"""The whole search: preparation, trials, repeats of the best, and what is made of them."""

import shutil
import sys
import time
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from weightflow.cache import ArrayCache
from weightflow.data import advice
from weightflow.errors import InputError, SearchError, TrainingError, first_line
from weightflow.experiment import ExperimentConfig, Prepared, nest, prepares_as, seconds_to_judge
from weightflow.progress import Shown, duration
from weightflow.search.cluster.estimate import Estimate, rows_evaluated
from weightflow.search.cluster.head import watched
from weightflow.search.cluster.resources import Resources
from weightflow.search.cluster.workers import WorkerPool
from weightflow.search.folder import CHECKPOINTS, MODEL, NOTES
from weightflow.search.results.outcome import Outcome
from weightflow.search.say import Say, saying
from weightflow.search.search import Search
from weightflow.search.study.pareto import pareto_front
from weightflow.search.study.study import Study
from weightflow.search.trials.deadline import MARGIN, Aftermath
from weightflow.search.trials.depot import Depot, depot
from weightflow.search.trials.disk import disk_problem
from weightflow.search.trials.stopper import Stopper, floor_decision
from weightflow.search.trials.table import LiveTable
from weightflow.search.trials.trainable import Task
from weightflow.search.trials.tuner import run_trials
from weightflow.stopping import noting, stop_if_asked
from weightflow.tracking import LaterRun, Results, SearchRun, open_run
from weightflow.trials import why_none_finished

REPEATED = 3  # configurations that are trained with fresh seeds


def run_search(search: Search, resources: Resources, console: Console) -> Outcome:
    """Run a search to its end.

    Raises:
        InputError: the folder cannot be made, another process works in it, or MLflow cannot be reached.
        SearchError: no trial finished, or the disk is full.
    """
    study = search.open_study()
    try:
        return _run(search, study, resources, console)
    except Exception as error:  # a full disk comes as an error of whoever wrote: Ray, MLflow, Optuna, safetensors
        if (problem := disk_problem(error)) is not None:
            raise SearchError(
                f"`{search.folder}` cannot be written any more ({problem}); what was reported is kept. Make room and "
                f"go on with `--resume {search.name}`."
            ) from error
        raise
    finally:
        study.close()


def _run(search: Search, study: Study, resources: Resources, console: Console) -> Outcome:
    say = saying(console)
    say(f"{search.name}: {search.describe()}; {resources}; {search.folder}")
    for line in (search.protocol.in_words(search.dataset), *search.parts.in_words()):
        say(line)
    for warning in advice(search.parts.seen):
        say(f"warning: {warning}")
    stopper = _stopper(search, study, resources)
    with noting():  # a run that was made but is not known here would never be closed
        run = open_run(search.tracking, study.search_id, search.facts, search.resume)
    try:
        stop_if_asked()
        run.replay(study.all())
        study.callbacks.append(run)
        with watched(partial(_without_head, search, run, console)):
            prepared, resources = _prepare(search, stopper, resources, console, say)
            stopper = stopper.taking(resources.per_trial["cpu"], resources.per_trial.get("gpu", 0.0))
            kept = depot(search.cache, search.folder / CHECKPOINTS)
            with noting(), kept as there:  # while the study is written
                _run_trials(search, study, stopper, resources, prepared, there, console, say)
            stop_if_asked()
            return _finish(search, study, stopper, resources, run, console, say)
    except KeyboardInterrupt:
        run.finish(Results("KILLED", reason="it was asked to stop"))
        return Outcome(search.folder, next(iter(study.finished()), None), study.all())
    except BaseException as error:
        run.finish(Results("FAILED", reason=first_line(error)))
        raise


def _without_head(search: Search, run: SearchRun | LaterRun, console: Console, what: str) -> None:
    """Say so, and close the runs, before the process ends; the thread that ran the search hangs in a call into Ray."""
    console.show_cursor()
    sys.stderr.write(
        f"error: {what}, and nothing goes on without it. All that was reported is kept: start the cluster again, and "
        f"go on with `--resume {search.name}`.\n"
    )
    sys.stderr.flush()
    run.finish(Results("FAILED", reason=what))


def _stopper(search: Search, study: Study, resources: Resources) -> Stopper:
    """Say when trials end; what comes after them matters, and is measured, only where there is a deadline."""
    reserved, options = resources.per_trial, search.options
    rules = Stopper(study, options, reserved["cpu"], reserved.get("gpu", 0.0))
    if options.deadline is None:
        return rules
    repeats = 0 if options.several else REPEATED * (options.repeats - 1)
    judging = seconds_to_judge(search.parts, search.seed)
    after = Aftermath.of(search.parts, search.shared_config, resources, search.members, repeats, judging)
    return rules.by(search.deadline, after)


def _prepare(
    search: Search, stopper: Stopper, resources: Resources, console: Console, say: Say
) -> tuple[set[str], Resources]:
    """Have made what trials share; how long that will take is said as soon as it can be told.

    Returned is what it is prepared as, and what trials may take, now that it was measured. Beside the default's
    preparation others are made by workers that would have nothing to do. They are no reason to end a search: trials
    that need one that cannot be made will say why.
    """
    parts, config = [fold.fit for fold in search.parts.folds], search.shared_config
    beforehand = search.beforehand(resources.workers)
    if len(beforehand) > 1:
        say(f"{len(beforehand)} of at least {len(search.preparing)} preparations are made side by side, before trials")
    work = rows_evaluated(config, max(map(len, parts)), parts[0].dim, resources.workers, len(parts))
    estimate = Estimate(work, stopper.left, say, search.options.time_budget <= stopper.deadline.left)
    began = time.monotonic()
    with Shown(console) as shown:

        def watch(phase: str, done: int, total: int) -> None:
            stopper.deadline.check("what all trials need was not yet prepared", search.name)
            shown(phase, done, total)
            estimate(phase, done, total)

        def made(configs: Sequence[ExperimentConfig]) -> tuple[set[str], Resources]:
            with WorkerPool(resources, ArrayCache(search.cache), say, watch) as pool:
                first, *_ = pool.prepare_each(parts, configs, search.seed)
                fitted = _fitted(pool, first, config, search.seed, say)
            return {prepares_as(config) for config in configs}, fitted

        try:
            prepared = made(beforehand)
        except (InputError, TrainingError) as error:
            if len(beforehand) == 1:
                raise
            say(f"the default's preparation is made alone, because of another one that cannot be: {first_line(error)}")
            prepared = made(beforehand[:1])
    stopper.study.note_preparation(time.monotonic() - began)
    return prepared


def _fitted(pool: WorkerPool, prepared: Sequence[Prepared], config: ExperimentConfig, seed: int, say: Say) -> Resources:
    """Measure what a trial takes, and choose how many of them share a machine, as far as the user has not said so."""
    resources = pool.resources
    if not resources.unsettled:
        return resources
    try:
        taken = pool.footprint(prepared, config, seed)
        fitted = taken.share(resources)
        if fitted.memory is not None:  # a worker holds more than a trial does, of what it prepared
            with WorkerPool(resources, pool.cache, say) as fresh:
                taken = fresh.footprint(prepared, config, seed)
            fitted = taken.share(resources)
    except (TrainingError, torch.OutOfMemoryError) as error:  # trials of other configurations may do better
        say(f"what a trial takes could not be measured: {first_line(error)}")
        return resources
    if fitted.gpus or fitted.memory is not None:
        say(f"a trial takes {taken}: {fitted}")
    return fitted


def _run_trials(
    search: Search,
    study: Study,
    stopper: Stopper,
    resources: Resources,
    prepared: Collection[str],
    kept: Depot,
    console: Console,
    say: Say,
) -> None:
    task = Task(search.parts, search.seed, kept, search.tests_floor)
    earlier = study.optuna.user_attrs["runs"] - 1
    notes = search.folder / (f"{NOTES}-{earlier}" if earlier else NOTES)
    with LiveTable(console, study.limit, study.epochs, stopper, tuple(search.space.parameters), study.all()) as table:
        study.callbacks.append(table)
        run_trials(study, stopper, resources, prepared, task, notes, say)
        stop_if_asked()
        if reason := stopper.reason():
            say(f"no further trial, because {reason}")
        if search.options.repeats > 1 and not search.options.several:
            _run_repeats(search, study, stopper.of_repeats(), resources, prepared, task, notes, say)
        study.callbacks.remove(table)


def _run_repeats(
    search: Search,
    study: Study,
    stopper: Stopper,
    resources: Resources,
    prepared: Collection[str],
    task: Task,
    notes: Path,
    say: Say,
) -> None:
    numbers = _best_configurations(study)
    study.repeat(numbers, search.options.repeats)
    repeats = notes.with_name(f"{notes.name}-repeats")
    run_trials(study, stopper, resources, prepared, task, repeats, say)
    stop_if_asked()
    wanted, made = len(numbers) * (search.options.repeats - 1), sum(len(one.scores) for one in study.repeated())
    if made < wanted and (reason := stopper.reason()):
        say(f"{made} of {wanted} repeats were made, because {reason}")


def _best_configurations(study: Study) -> list[int]:
    """Return the numbers of the best trials, one of each configuration."""
    by_params = {str(sorted(record.params.items())): record.number for record in reversed(study.finished())}
    return [record.number for record in study.finished() if record.number in by_params.values()][:REPEATED]


def _finish(
    search: Search,
    study: Study,
    stopper: Stopper,
    resources: Resources,
    run: SearchRun | LaterRun,
    console: Console,
    say: Say,
) -> Outcome:
    # with all that draws a report; a search begins, and may be stopped, without it
    from weightflow.search.results.conclusion import Conclusion, conclude

    finished = study.finished()
    if not finished:
        search.deadline.check("no trial had finished", search.name)
        raise SearchError(why_none_finished(study.all()))
    if search.deadline.left < (needs := stopper.conclusion() / MARGIN):
        raise SearchError(
            f"the deadline comes in {duration(search.deadline.left)}, and the final fit and its scores need about "
            f"{duration(needs)}. All trials are kept: go on with `--resume {search.name}`, and more time."
        )
    front = pareto_front(finished, search.options.criteria) if search.options.several else None
    repeats = study.repeated()
    number = front.recommended if front else repeats[0].number if repeats else finished[0].number
    best = study.records[number]
    ended = Conclusion(
        folder=search.folder,
        name=search.name,
        dataset=search.dataset,
        parts=search.parts,
        config=ExperimentConfig.parse(nest(best.params)),
        seed=search.seed,
        best=best,
        trials=study.all(),
        compared=study.comparable(search.shared_config.training.grace_epochs),
        front=front,
        repeats=repeats,
        decision=floor_decision(best) if search.tests_floor and not search.options.several else "",
        used=_used(study, resources, search.began),
        members=search.members,
        register=search.register,
    )
    with Shown(console) as shown, WorkerPool(resources, ArrayCache(search.cache), say, shown) as pool:
        left = conclude(ended, pool, say, shown)
    study.conclude()
    shutil.rmtree(search.folder / CHECKPOINTS, ignore_errors=True)  # of trials that go on no more
    results = Results(
        "FINISHED",
        best,
        search.folder / MODEL,
        left.files,
        left.pictures,
        left.scores,
        ended.repeated,
        left.conditions,
        register=search.register,
    )
    tracked = run.finish(results)
    return Outcome(
        search.folder, best, study.all(), ended.decision, repeats, front, left.scores, left.next_commands, tracked
    )


def _used(study: Study, resources: Resources, began: float) -> str:
    reserved = resources.per_trial
    hours = ", ".join(
        f"{study.trial_hours * share:.2g} {name}-hours"
        for name, share in (("CPU", reserved["cpu"]), ("GPU", reserved.get("gpu", 0.0)))
        if share
    )
    return f"{(time.monotonic() - began) / 60:.1f} minutes up to this report, trials {hours} over all processes"
