"""What is made of a search's trials: the best one fitted again to all that is seen, its scores, the report."""

import json
import os
import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from optuna.study import Study

from weightflow.data import Dataset, Split, advice, as_options, at_times, parse_times
from weightflow.data import in_words as named
from weightflow.data.words import listed
from weightflow.errors import InputError, SearchError, TrainingError
from weightflow.evaluation import LeftOutCondition, Scores, forecasts_in_words, in_words, overall, write_conditions
from weightflow.experiment import (
    ExperimentConfig,
    Fitted,
    fitting,
    flatten,
    judge,
    judge_conditions,
    reference_points,
    shown,
    told_of,
    with_members,
)
from weightflow.files import write_text
from weightflow.model import WeightFlow
from weightflow.progress import Progress
from weightflow.report import ConditionReport, Report, write_condition_report, write_report
from weightflow.search.cluster.workers import WorkerPool
from weightflow.search.folder import CONCLUSION, CONDITIONS, MODEL, REPORT, SCORES
from weightflow.search.results import provenance
from weightflow.search.say import Say
from weightflow.search.shipped import CHECKOUT
from weightflow.tracking import environment_facts
from weightflow.trials import Front, Repeated, TrialRecord, against_default


@dataclass(frozen=True, eq=False)
class Conclusion:
    """What a search has come to.

    Attributes:
        folder: where it is left.
        name: of the search.
        dataset: what was given.
        parts: what was seen and what is scored.
        config: of the best trial.
        seed: of the search.
        best: the trial that won.
        trials: all of them.
        compared: trials with scores after equal epochs, for the importances.
        front: of a search with several criteria.
        repeats: configurations that were trained with fresh seeds.
        decision: how the best trial stands to the sampling floor.
        used: time and compute, in words.
        members: how many give bands.
        register: whether the model becomes a version of the registered one whatever its scores are.
    """

    folder: Path
    name: str
    dataset: Dataset
    parts: Split
    config: ExperimentConfig
    seed: int
    best: TrialRecord
    trials: tuple[TrialRecord, ...]
    compared: Study
    front: Front | None
    repeats: tuple[Repeated, ...]
    decision: str
    used: str
    members: int
    register: bool = False

    @property
    def repeated(self) -> Repeated | None:
        """How the best configuration did with fresh seeds, if it was trained with some."""
        return next((one for one in self.repeats if one.number == self.best.number), None)

    @property
    def against_default(self) -> str:
        """What the search has gained, in words; empty where that is not known."""
        return against_default(self.best, self.trials)


@dataclass(frozen=True)
class Left:
    """What was written.

    Attributes:
        scores: on the test part.
        conditions: the same at each condition that was left out, where some were.
        files: scores and report.
        pictures: files of PNG and SVG.
        next_commands: what a user may want to type now.
    """

    scores: Scores
    conditions: tuple[LeftOutCondition, ...]
    files: list[Path]
    pictures: list[Path]
    next_commands: tuple[str, ...]


def conclude(ended: Conclusion, pool: WorkerPool, say: Say, progress: Progress) -> Left:
    """Fit the best configuration to all seen snapshots, score it once on the test part, and write the report."""
    best, parts = ended.best, ended.parts
    how = "is recommended" if ended.front else "is best"
    also = "" if len(parts.tests) == 1 else f", and without each of {_left_out(parts)}"
    say(f"trial {best.number} {how}: score {_scored(ended)}; fitting it again on all {len(parts.seen)} snapshots{also}")
    if ended.against_default:
        say(ended.against_default)
    final, tested = _fits(ended, pool)
    if ended.members:
        final = _with_members(final, ended, pool, say, progress)
    final.model.save(ended.folder / MODEL)
    fit = in_words(final.model.record["fidelity"])
    say(f"the model is fitted: {fit} Scoring it on the test part")
    scores, found = _judged(ended, tested, pool, progress)
    scores.write(ended.folder / SCORES)
    commands = next_commands(ended.folder, parts)
    progress("report", 0, 0)
    page = ended.folder / REPORT
    if found:
        write_conditions(ended.folder / CONDITIONS, found)
        left_out = tuple(one.model for one in tested)
        pictures = write_condition_report(page, _condition_report(ended, scores, found, final, left_out, commands, fit))
    else:
        pictures = write_report(page, _report(ended, scores, final, tested, commands, fit))
    seeds = None if ended.repeated is None else asdict(ended.repeated)
    told = {"best": best.number, "seeds": seeds, "register": ended.register, "ended": time.time()}
    write_text(ended.folder / CONCLUSION, json.dumps(told, indent=2) + "\n")
    files = [ended.folder / SCORES, *([ended.folder / CONDITIONS] if found else []), page]
    return Left(scores, found, files, list(pictures), commands)


def _judged(
    ended: Conclusion, tested: Sequence[Fitted], pool: WorkerPool, progress: Progress
) -> tuple[Scores, tuple[LeftOutCondition, ...]]:
    """Return the scores of all that is tested and, where conditions are left out, those of each."""
    parts, seed = ended.parts, ended.seed
    with pool.on_cpus() as scorers:
        if not parts.of_conditions:
            return judge(tested, parts, seed, progress, scorers.map), ()
        models = [one.model for one in tested]
        found = judge_conditions(models, parts.courses, seed, progress, scorers.map)
    return overall(found, parts.selected), tuple(found)


def _left_out(parts: Split) -> str:
    """Name what is left out of a fit in turn."""
    if parts.of_conditions:
        return listed([named(fold.at) for fold in parts.tests])
    return at_times(parts.test.times, parts.seen.unit)


def _fits(ended: Conclusion, pool: WorkerPool) -> tuple[Fitted, list[Fitted]]:
    """Return the final fit, and those that are tested; what is the same is fitted once."""
    parts = ended.parts
    wanted = {part.digest(): part for part in (parts.seen, *(fold.fit for fold in parts.tests))}
    record = {
        "trial": ended.best.number,
        "score": ended.best.score,
        "data": parts.seen.digest(),
        **environment_facts(),
    }
    prepared = pool.prepare(list(wanted.values()), ended.config, ended.seed)
    models = pool.fit(prepared, ended.config, ended.seed, record)
    made = dict(zip(wanted, map(Fitted, prepared, models), strict=True))
    return made[parts.seen.digest()], [made[fold.fit.digest()] for fold in parts.tests]


def _with_members(final: Fitted, ended: Conclusion, pool: WorkerPool, say: Say, progress: Progress) -> Fitted:
    """Return the final fit with members; without any where they fail, since a search is not lost for its bands."""
    fit_one = fitting(ended.parts.seen, ended.parts.units, ended.config)
    try:
        model = with_members(final.model, fit_one, ended.members, ended.seed, progress, pool.map)
    except (TrainingError, SearchError) as error:
        say(f"warning: the model gives no bands: {error}")
        return final
    say(f"{told_of(model)} beside the model give bands")
    return replace(final, model=model)


def _scored(ended: Conclusion) -> str:
    """Write the score of the best trial: the mean over fresh seeds, where there is one."""
    repeated = ended.repeated
    return f"{ended.best.score:.4f}, by which it was chosen" if repeated is None else repeated.told


def next_commands(folder: Path, parts: Split) -> tuple[str, ...]:
    """Return what a user may want to type after a search."""
    tested = [part.test.times for part in parts.courses]
    grid = _grid(np.unique(np.concatenate([parts.seen.times, *tested])))
    best = shlex.quote(os.path.relpath(folder / MODEL))
    at = as_options(parts.tests[0].at)
    return (
        f"python -m weightflow forecast --model {best} --times {grid}{at} --out samples.npy",
        "make ui" if (CHECKOUT / "Makefile").is_file() else "python -m weightflow.tracking",
    )


def _grid(times: Float[np.ndarray, "time"]) -> str:
    """Write steps from the first time to the last one, the largest that are no longer than between any two."""
    ends = f"{times[0]:.12g}:{times[-1]:.12g}"
    for parts in (1, 2, 4, 5, 10, 20):
        text = f"{ends}:{np.diff(times).min() / parts:.12g}"
        with suppress(InputError):  # such steps miss the last time
            parse_times(text)
            return text
    return ",".join(f"{time:.12g}" for time in times)


def _report(
    ended: Conclusion,
    scores: Scores,
    final: Fitted,
    tested: Sequence[Fitted],
    commands: tuple[str, ...],
    fit: str,
) -> Report:
    parts = ended.parts
    return Report(
        **_searched(ended, scores, final, commands, fit),
        observed=parts.observed,
        known=parts.known,
        sizes=parts.seen.sizes,
        drawn=shown(final.model, tested, parts),
        model=final.model,
        anchors_times=parts.seen.times,
        anchors_tokens=reference_points(final, ended.config),
        motion=final.model.motion,
    )


def _condition_report(
    ended: Conclusion,
    scores: Scores,
    found: tuple[LeftOutCondition, ...],
    final: Fitted,
    left_out: tuple[WeightFlow, ...],
    commands: tuple[str, ...],
    fit: str,
) -> ConditionReport:
    return ConditionReport(
        **_searched(ended, scores, final, commands, fit),
        observed=ended.parts.seen,
        found=found,
        left_out=left_out,
        model=final.model,
    )


def _searched(ended: Conclusion, scores: Scores, final: Fitted, commands: tuple[str, ...], fit: str) -> dict[str, Any]:
    """Return what every report tells."""
    return {
        "scores": scores,
        "study": ended.compared,
        "trials": ended.trials,
        "facts": _facts(ended, fit, forecasts_in_words(final.model.record.get("forecast")), told_of(final.model)),
        "best_config": ended.best.params,
        "next_commands": commands,
        "title": f"WeightFlow: {ended.name}",
        "seed": ended.seed,
        "front": ended.front,
        "repeats": ended.repeats,
        "floor_decision": ended.decision,
        "called": ended.dataset.called,
        "config": flatten(ended.config),
        "best": ended.best.number,
        "again": provenance.again(),
    }


def _facts(ended: Conclusion, fit: str, forecasts: str, members: str) -> Mapping[str, str]:
    parts = ended.parts
    states = Counter(record.state.value for record in ended.trials if record.repeat_of is None)
    repeats = sum(record.repeat_of is not None for record in ended.trials)
    return {
        "Data": f"{ended.dataset.name}, {len(parts.seen)} seen snapshots, {ended.dataset.in_words()}",
        "Protocol": str(parts.protocol),
        "Conditions" if parts.of_conditions else "Times": "; ".join(parts.in_words()),
        "Trials": ", ".join(f"{count} {state}" for state, count in states.items())
        + (f", and {repeats} repeats of the best" if repeats else ""),
        "Time": ended.used,
        "Score": f"{_scored(ended)}; nats per sample, held-out: {_halves(parts)}",
        **({"Gain": ended.against_default} if ended.against_default else {}),
        "Fit": f"{fit[0].upper()}{fit[1:]}",
        "Forecasts": f"{forecasts[0].upper()}{forecasts[1:]}",
        **({"Bands": f"from {members}"} if members else {}),
        **({"Warning": " ".join(warnings)} if (warnings := advice(parts.seen)) else {}),
        "Seed": str(ended.seed),
        "Data hash": ended.dataset.snapshots.digest(),
        **provenance.facts(),
    }


def _halves(parts: Split) -> str:
    """Say what trials were scored by."""
    if parts.of_conditions:
        return f"mean over the left-out {listed([named(fold.at) for fold in parts.folds])}"
    interior, last = (at_times(one.times, parts.seen.unit) for one in (parts.interior, parts.last))
    return f"half interior ({interior}), half last snapshots ({last})"
