"""What is made of a search's trials: the best one fitted again to all that is seen, its scores, the report."""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from optuna.study import Study

from weightflow.data import Dataset, Split, advice, at_times, parse_times
from weightflow.errors import InputError, SearchError, TrainingError
from weightflow.evaluation import Scores, forecasts_in_words, in_words
from weightflow.experiment import (
    ExperimentConfig,
    Fitted,
    fitting,
    flatten,
    judge,
    reference_points,
    shown,
    told_of,
    with_members,
)
from weightflow.files import write_text
from weightflow.progress import Progress
from weightflow.report import Report, write_report
from weightflow.search import here
from weightflow.search.bundle import CONCLUSION, MODEL, REPORT, SCORES
from weightflow.search.pool import Crew
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
        files: scores and report.
        pictures: files of PNG and SVG.
        next_commands: what a user may want to type now.
    """

    scores: Scores
    files: list[Path]
    pictures: list[Path]
    next_commands: tuple[str, ...]


def conclude(ended: Conclusion, crew: Crew, say: Say, progress: Progress) -> Left:
    """Fit the best configuration to all seen snapshots, score it once on the test part, and write the report."""
    best, parts = ended.best, ended.parts
    how = "is recommended" if ended.front else "is best"
    also = "" if len(parts.tests) == 1 else f", and without each of {at_times(parts.test.times, parts.seen.unit)}"
    say(f"trial {best.number} {how}: score {_scored(ended)}; fitting it again on all {len(parts.seen)} snapshots{also}")
    if ended.against_default:
        say(ended.against_default)
    final, tested = _fits(ended, crew)
    if ended.members:
        final = _with_members(final, ended, crew, say, progress)
    final.model.save(ended.folder / MODEL)
    fit = in_words(final.model.record["fidelity"])
    say(f"the model is fitted: {fit} Scoring it on the test part")
    with crew.on_cpus() as scorers:
        scores = judge(tested, parts, ended.seed, progress, scorers.map)
    scores.write(ended.folder / SCORES)
    commands = next_commands(ended.folder, parts)
    progress("report", 0, 0)
    pictures = write_report(ended.folder / REPORT, _report(ended, scores, final, tested, commands, fit))
    seeds = None if ended.repeated is None else asdict(ended.repeated)
    told = {"best": best.number, "seeds": seeds, "register": ended.register, "ended": time.time()}
    write_text(ended.folder / CONCLUSION, json.dumps(told, indent=2) + "\n")
    return Left(scores, [ended.folder / SCORES, ended.folder / REPORT], list(pictures), commands)


def _fits(ended: Conclusion, crew: Crew) -> tuple[Fitted, list[Fitted]]:
    """Return the final fit, and those that are tested; what is the same is fitted once."""
    parts = ended.parts
    wanted = {part.digest(): part for part in (parts.seen, *(fold.fit for fold in parts.tests))}
    record = {
        "trial": ended.best.number,
        "score": ended.best.score,
        "data": parts.seen.digest(),
        **environment_facts(),
    }
    prepared = crew.prepare(list(wanted.values()), ended.config, ended.seed)
    models = crew.fit(prepared, ended.config, ended.seed, record)
    made = dict(zip(wanted, map(Fitted, prepared, models), strict=True))
    return made[parts.seen.digest()], [made[fold.fit.digest()] for fold in parts.tests]


def _with_members(final: Fitted, ended: Conclusion, crew: Crew, say: Say, progress: Progress) -> Fitted:
    """Return the final fit with members; without any where they fail, since a search is not lost for its bands."""
    fit_one = fitting(ended.parts.seen, ended.parts.units, ended.config)
    try:
        model = with_members(final.model, fit_one, ended.members, ended.seed, progress, crew.map)
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
    grid = _grid(np.unique(np.concatenate([parts.seen.times, parts.test.times])))
    best = os.path.relpath(folder / MODEL)
    return (
        f"python -m weightflow forecast --model {best} --times {grid} --out samples.npy",
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
    parts, best = ended.parts, ended.best
    return Report(
        scores=scores,
        observed=parts.observed,
        known=parts.known,
        drawn=shown(final.model, tested, parts),
        model=final.model,
        anchors_times=parts.seen.times,
        anchors_tokens=reference_points(final, ended.config),
        study=ended.compared,
        trials=ended.trials,
        facts=_facts(ended, fit, forecasts_in_words(final.model.record.get("forecast")), told_of(final.model)),
        best_config=best.params,
        next_commands=commands,
        title=f"WeightFlow: {ended.name}",
        seed=ended.seed,
        front=ended.front,
        repeats=ended.repeats,
        floor_decision=ended.decision,
        called=ended.dataset.called,
        motion=final.model.motion,
        config=flatten(ended.config),
        best=best.number,
        again=here.again(),
    )


def _facts(ended: Conclusion, fit: str, forecasts: str, members: str) -> Mapping[str, str]:
    parts = ended.parts
    states = Counter(record.state.value for record in ended.trials if record.repeat_of is None)
    repeats, unit = sum(record.repeat_of is not None for record in ended.trials), parts.seen.unit
    return {
        "Data": f"{ended.dataset.name}, {len(parts.seen)} seen snapshots, {ended.dataset.in_words()}",
        "Protocol": str(parts.protocol),
        "Times": "; ".join(parts.in_words()),
        "Trials": ", ".join(f"{count} {state}" for state, count in states.items())
        + (f", and {repeats} repeats of the best" if repeats else ""),
        "Time": ended.used,
        "Score": f"{_scored(ended)}; nats per sample, held-out: half interior "
        f"({at_times(parts.interior.times, unit)}), half last snapshots ({at_times(parts.last.times, unit)})",
        **({"Gain": ended.against_default} if ended.against_default else {}),
        "Fit": f"{fit[0].upper()}{fit[1:]}",
        "Forecasts": f"{forecasts[0].upper()}{forecasts[1:]}",
        **({"Bands": f"from {members}"} if members else {}),
        **({"Warning": " ".join(warnings)} if (warnings := advice(parts.seen)) else {}),
        "Seed": str(ended.seed),
        "Data hash": ended.dataset.snapshots.digest(),
        **here.facts(),
    }
