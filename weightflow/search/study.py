"""The whole search: anchors, trials, the final fit, scores, report."""

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from rich.console import Console

from weightflow.anchors import ArrayCache
from weightflow.data import Dataset, Protocol, Split, split
from weightflow.errors import InputError, SearchError
from weightflow.evaluation import Scores, baselines, check_scorable, evaluate
from weightflow.experiment import ExperimentConfig, Prepared, direct_model, line_model, nest
from weightflow.model import WeightFlow
from weightflow.report import Report, write_report
from weightflow.search.board import Board, Watcher
from weightflow.search.ending import Ending, interrupted, interruptible
from weightflow.search.journal import Journal, Past, read_past
from weightflow.search.pool import Crew
from weightflow.search.resources import Resources
from weightflow.search.sampler import TruthfulOptunaSearch, as_optuna
from weightflow.search.space import Space
from weightflow.search.table import LiveTable
from weightflow.search.trainable import train_trial
from weightflow.tracking import RunFacts, SearchRun, TrackingConfig, environment_facts
from weightflow.training import Objective
from weightflow.trials import TrialRecord, TrialState

DRAWS = 1000
FIDELITY = ("training.epochs", "training.warm_share")  # trials are compared after the same epochs
TRAINABLE = "weightflow"


@dataclass(frozen=True)
class Search:
    """What the user asked for."""

    dataset: Dataset
    protocol: Protocol
    space: Space
    tracking: TrackingConfig
    name: str
    out: Path
    trials: int
    time_budget: float
    seed: int
    resume: bool = False

    @property
    def folder(self) -> Path:
        """Where everything of this search is left."""
        return self.out.resolve() / self.name

    @property
    def cache(self) -> Path:
        """Where what was fitted is kept for later searches."""
        return self.out.resolve() / ".cache"

    @property
    def shared_config(self) -> ExperimentConfig:
        """The configuration that most trials prepare with: what is fixed, and the first of the first trials.

        Raises:
            InputError: the space searches how long trials train, by which they are compared.
        """
        for key in FIDELITY:
            if key in self.space.parameters:
                raise InputError(
                    f"`{key}` must be the same for all trials, so it cannot be searched; put it under `fixed`."
                )
        first = self.space.first_trials[0] if self.space.first_trials else {}
        return ExperimentConfig.parse(nest({**self.space.fixed, **first}))

    @cached_property
    def parts(self) -> Split:
        """What is fitted, held out and scored."""
        return split(self.dataset, self.protocol, self.seed)

    def check(self) -> None:
        """Find out what cannot work before anything is started.

        Raises:
            InputError: data, protocol and space do not go together, or the folder is taken.
        """
        check_scorable(self.parts)
        self.shared_config.backbone.build(self.parts.seen, self.seed)
        if self.resume:
            _ = self.past
        elif self.folder.exists():
            raise InputError(
                f"`{self.folder}` exists already; choose another `--name`, or go on with `--resume {self.name}`."
            )

    @property
    def identity(self) -> dict[str, str]:
        """What makes it this search and no other."""
        return {
            "data": self.dataset.snapshots.digest(),
            "space": self.space.digest(),
            "protocol": self.protocol.value,
            "seed": str(self.seed),
        }

    @cached_property
    def past(self) -> Past:
        """What an earlier process has done for this search.

        Raises:
            InputError: it cannot be resumed.
        """
        return read_past(self.folder, self.identity) if self.resume else Past()

    def claim(self) -> None:
        """Make the folder.

        Raises:
            InputError: it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=self.resume)
        except OSError as error:
            raise InputError(
                f"`{self.folder}` cannot be made ({error.strerror}); choose a place that can with `--out`."
            ) from None


@dataclass(frozen=True)
class Outcome:
    """What a search has left.

    Attributes:
        folder: of the search.
        best: the trial that won.
        scores: on the test part; None where the search was interrupted.
        trials: all of them.
        next_commands: what a user may want to type now.
        tracked: where MLflow has it, as `SearchRun.finish` says.
    """

    folder: Path
    best: TrialRecord | None
    scores: Scores | None
    trials: tuple[TrialRecord, ...]
    next_commands: tuple[str, ...] = ()
    tracked: Mapping[str, str] = field(default_factory=dict)


def run_search(search: Search, resources: Resources, console: Console) -> Outcome:
    """Run a search to its end.

    Raises:
        InputError: the folder cannot be made, or MLflow cannot be reached.
        SearchError: no trial finished.
    """
    began = time.time()
    past, parts, shared = search.past, search.parts, search.shared_config
    deadline = began + search.time_budget - past.seconds
    search.claim()

    def say(text: str) -> None:
        console.print(text, style="dim", highlight=False, soft_wrap=True)

    say(f"{search.name}: {_describe(search, parts)}; {resources}; {search.folder}")
    cache = ArrayCache(search.cache)
    run = SearchRun.open(search.tracking, search.folder, _run_facts(search, parts))
    try:
        with interruptible():
            with Crew(resources, cache, say) as crew:
                prepared = crew.prepare(parts.fit, shared, search.seed)
            journal = Journal(search.folder, search.identity, past)
            with LiveTable(console, search.trials, shared.training.epochs, deadline, past.ended) as table:
                board = _run_trials(search, parts, prepared, resources, deadline, [journal, run, table])
            if interrupted():
                run.finish(None, None, [], {}, {}, "KILLED")
                return Outcome(search.folder, board.best(), None, board.list())
            return _finish(search, parts, board, resources, cache, run, say, began)
    except BaseException:
        run.finish(None, None, [], {}, {}, "FAILED")
        raise


def _run_trials(
    search: Search,
    parts: Split,
    prepared: Prepared,
    resources: Resources,
    deadline: float,
    watchers: list[Watcher],
) -> Board:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    epochs = search.shared_config.training.epochs
    # scores mean little before collocation has come to rest: the better half goes on to rollouts
    grace = max(1, search.shared_config.training.warm_epochs)
    past = search.past
    searcher = TruthfulOptunaSearch(search.space, search.seed, epochs, past)
    board = Board(watchers, epochs, searcher.numbers, past.ended)
    if len(past.ended) >= search.trials or time.time() >= deadline:
        return board
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(
                train_trial,
                prepared=prepared,
                shared=search.shared_config,
                split=parts,
                seed=search.seed,
                cache=search.cache,
            ),
            resources.per_trial,
        ),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=ASHAScheduler(
                time_attr="epoch", metric="score", mode="min", max_t=epochs, grace_period=grace, reduction_factor=2
            ),
            num_samples=search.trials - len(past.ended),
            max_concurrent_trials=resources.concurrent_trials,
            reuse_actors=True,
            trial_dirname_creator=_trial_folder,
        ),
        run_config=tune.RunConfig(
            name=f"tune-{past.runs}" if past.runs else "tune",
            storage_path=str(search.folder),
            stop=Ending(deadline),
            callbacks=[board],
            verbose=0,
        ),
    )
    tuner.fit()
    board.stop_running()
    return board


def _trial_folder(trial: Any) -> str:
    """Name a trial's folder by its id alone: parameters make names too long for some file systems."""
    return trial.trial_id


def _finish(
    search: Search,
    parts: Split,
    board: Board,
    resources: Resources,
    cache: ArrayCache,
    run: SearchRun,
    say: Callable[[str], None],
    began: float,
) -> Outcome:
    best = board.best()
    if best is None:
        raise SearchError(_why_none_finished(board.list()))
    config = ExperimentConfig.parse(nest({**search.space.fixed, **best.params}))
    say(f"trial {best.number} is best with score {best.score:.4f}; fitting it again on all {len(parts.seen)} snapshots")
    record = {"trial": best.number, "score": best.score, "data": parts.seen.digest(), **environment_facts()}
    with Crew(resources, cache, say) as crew:
        prepared = crew.prepare(parts.seen, config, search.seed)
        model = crew.fit(prepared, config, search.seed, record)
    model.save(search.folder / "best")
    say("scoring on the test part")
    scores = _score(model, prepared, parts, search.seed)
    scores.write(search.folder / "scores.json")
    pictures = write_report(
        search.folder / "report.html",
        _report(search, parts, scores, model, prepared, config, board, best, began),
    )
    metrics = {
        f"test_{metric}": scores.mean("model", metric) for metric in scores.metrics if scores.has("model", metric)
    }
    files = [search.folder / "scores.json", search.folder / "report.html"]
    tracked = run.finish(best, search.folder / "best", files, pictures, metrics, "FINISHED")
    return Outcome(search.folder, best, scores, board.list(), next_commands(search.folder, parts), tracked)


def _score(model: WeightFlow, prepared: Prepared, parts: Split, seed: int) -> Scores:
    samplers = {
        "model": model,
        **baselines(parts.seen, prepared.bridge),
        "weights_line": line_model(prepared),
        "direct": direct_model(prepared),
    }
    return evaluate(samplers, parts, DRAWS, seed)


def _report(
    search: Search,
    parts: Split,
    scores: Scores,
    model: WeightFlow,
    prepared: Prepared,
    config: ExperimentConfig,
    board: Board,
    best: TrialRecord,
    began: float,
) -> Report:
    by_anchors = config.training.objective is Objective.ANCHOR
    times, tokens = prepared.taught.table(prepared.backbone)
    nearest = [int(np.argmin(np.abs(times - time))) for time in parts.seen.times]
    learned_from = prepared.anchors.tokens if by_anchors else tokens[nearest]
    states = Counter(record.state.value for record in board.list())
    facts = {
        "Data": f"{search.dataset.name}, {len(parts.seen)} seen snapshots, species {', '.join(parts.seen.species)}",
        "Protocol": search.protocol.value,
        "Trials": ", ".join(f"{count} {state}" for state, count in states.items()),
        "Time": f"{(time.time() - began) / 60:.1f} minutes up to this report",
        "Score": f"{best.score:.4f} nats per sample, held-out: half interior (t = {_list(parts.interior.times)}), "
        f"half last snapshots (t = {_list(parts.last.times)})",
        "Seed": str(search.seed),
        "Data hash": search.dataset.snapshots.digest(),
        **{key.replace("_", " "): value for key, value in environment_facts().items()},
    }
    return Report(
        scores=scores,
        split=parts,
        model=model,
        anchors_times=parts.seen.times,
        anchors_tokens=learned_from,
        study=_comparable(search.space, board, search.shared_config.training.warm_epochs),
        trials=board.list(),
        facts=facts,
        best_config={**search.space.fixed, **best.params},
        next_commands=next_commands(search.folder, parts),
        title=f"WeightFlow: {search.name}",
        seed=search.seed,
    )


def _comparable(space: Space, board: Board, epoch: int) -> optuna.study.Study:
    """Return all trials that came to `epoch` with their scores there, pruned ones included.

    The importances of the few trials that were never pruned would be those of chance.
    """
    compared = optuna.create_study()
    for record in board.list():
        scores = [entry["score"] for entry in record.history if entry["epoch"] == epoch]
        if scores and math.isfinite(scores[0]):
            compared.add_trial(as_optuna(space, record, scores[0]))
    return compared


def next_commands(folder: Path, parts: Split) -> tuple[str, ...]:
    """Return what a user may want to type after a search."""
    times = np.unique(np.concatenate([parts.seen.times, parts.test.times]))
    grid = f"{times[0]:g}:{times[-1]:g}:{np.diff(times).min():g}"
    best = os.path.relpath(folder / "best")
    return (
        f"python -m weightflow forecast --model {best} --times {grid} --out samples.npy",
        "make ui",
    )


def _run_facts(search: Search, parts: Split) -> RunFacts:
    return RunFacts(
        name=search.name,
        data_name=search.dataset.name,
        data_hash=search.dataset.snapshots.digest(),
        protocol=search.protocol.value,
        seed=search.seed,
        space_digest=search.space.digest(),
        facts=environment_facts(),
        description=f"{_describe(search, parts)}. {search.space.description}",
    )


def _describe(search: Search, parts: Split) -> str:
    return (
        f"{search.dataset.name}, protocol {search.protocol}: {len(parts.seen)} seen snapshots, trials fitted to "
        f"{len(parts.fit)}, score = half the negative log-likelihood of {len(parts.interior)} interior and half that "
        f"of {len(parts.last)} last held-out snapshots"
    )


def _why_none_finished(trials: tuple[TrialRecord, ...]) -> str:
    failed = Counter(record.reason for record in trials if record.state is TrialState.FAILED)
    if failed:
        reason, count = failed.most_common(1)[0]
        return f"no trial finished: {sum(failed.values())} of {len(trials)} failed, {count} of them because {reason}"
    return f"no trial of {len(trials)} finished within the time budget; give more time with `--time-budget`."


def _list(times: np.ndarray) -> str:
    return ", ".join(f"{time:g}" for time in times)
