"""A model that is judged without a search, and what is left of that: a score file, a report, a run in MLflow."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from weightflow.data import (
    Dataset,
    Fold,
    Snapshots,
    Split,
    advice,
    as_options,
    at_times,
    leave_one_condition_out,
    leave_one_out,
)
from weightflow.data import in_words as at_condition
from weightflow.data.words import written
from weightflow.errors import InputError
from weightflow.evaluation import (
    LeftOutCondition,
    LeftOutModel,
    Scores,
    answer,
    baselines,
    check_scorable,
    evaluate,
    forecasts_in_words,
    in_words,
    overall,
    write_conditions,
)
from weightflow.evaluation.scores import FITTED, UNSEEN
from weightflow.experiment import (
    DRAWS,
    ExperimentConfig,
    fit_each,
    flatten,
    judge,
    judge_conditions,
    reference_points,
    shown,
)
from weightflow.model import WeightFlow
from weightflow.progress import Progress, within
from weightflow.report import POINTS, ConditionReport, Report, write_condition_report, write_report
from weightflow.search.folder import CONDITIONS, MODEL, REPORT, SCORES
from weightflow.search.results import provenance
from weightflow.side_by_side import Mapper, in_turn
from weightflow.tracking import Results, RunFacts, SearchRun, TrackingConfig, environment_facts

OWN_POINTS = "the fitted snapshots"


@dataclass(frozen=True, eq=False, kw_only=True)
class Judged(ABC):
    """What was judged, and how.

    Attributes:
        scores: of the model and what stands beside it.
        model: the one that a user goes on with.
        made: whether it was fitted here, and is left beside its scores.
        about: what was done, by topic.
        config: of the model, by dotted key.
    """

    scores: Scores
    model: WeightFlow
    made: bool
    about: Mapping[str, str]
    config: Mapping[str, Any]

    def write(self, folder: Path, dataset: Dataset, seed: int) -> tuple[Path, ...]:
        """Write the score file, the report with its pictures, and the model if it was made here."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.made:
            self.model.save(folder / MODEL)
        self.scores.write(folder / SCORES)
        more = self._write_more(folder, dataset, seed)
        return (*([folder / MODEL] if self.made else []), folder / SCORES, *more, folder / REPORT)

    def track(self, tracking: TrackingConfig, folder: Path, dataset: Dataset, seed: int) -> str:
        """Log scores and report as a run; returns where it is.

        Raises:
            InputError: the store cannot be used.
        """
        what = self.about.get("Times") or self.about.get("Conditions", "")
        facts = RunFacts(
            name=folder.name,
            data_name=dataset.name,
            data_hash=dataset.snapshots.digest(),
            protocol=self.scores.protocol,
            seed=seed,
            space_digest="",
            facts=environment_facts(),
            description=f"Scores without a search. {what}",
        )
        run = SearchRun.open(tracking, uuid.uuid4().hex, facts, live=False)  # each time it is another run
        files = tuple(folder / name for name in (SCORES, CONDITIONS, REPORT) if (folder / name).is_file())
        found = run.finish(Results("FINISHED", files=files, scores=self.scores, conditions=self.conditions))
        problem = f" ({found['problem']})" if "problem" in found else ""
        return f"MLflow has it as run {folder.name} in {found['tracking_uri']}{problem}"

    @property
    def conditions(self) -> tuple[LeftOutCondition, ...]:
        """Scores at each condition that was left out, if some were."""
        return ()

    def lines(self) -> tuple[str, ...]:
        """Say what the scores of all together do not tell."""
        return ()

    @abstractmethod
    def _write_more(self, folder: Path, dataset: Dataset, seed: int) -> tuple[Path, ...]:
        """Write the report, and return what was written beside it."""

    def _told(self, folder: Path, dataset: Dataset, seed: int, command: str) -> dict[str, Any]:
        """Return what every report tells."""
        return {
            "scores": self.scores,
            "study": None,
            "trials": (),
            "facts": self._facts(dataset, seed),
            "best_config": self.config,
            "next_commands": (command,) if self.made else (),
            "title": f"WeightFlow: {folder.name}",
            "called": dataset.called,
            "seed": seed,
            "again": provenance.again(),
        }

    def _facts(self, dataset: Dataset, seed: int) -> Mapping[str, str]:
        data, warnings = dataset.snapshots, advice(dataset.snapshots)
        forecasts = forecasts_in_words(self.model.record.get("forecast"))
        return {
            "Data": f"{dataset.name}, {len(data)} {'times' if data.conditions is None else 'snapshots'}, "
            f"{dataset.in_words()}",
            **self.about,
            "Forecasts": f"{forecasts[0].upper()}{forecasts[1:]}",
            **({"Warning": " ".join(warnings)} if warnings else {}),
            "Seed": str(seed),
            "Data hash": data.digest(),
            **provenance.facts(),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class JudgedCourse(Judged):
    """A model of one course.

    Attributes:
        drawn: who draws for pictures.
        observed: the data that pictures show.
        known: times of these that all that is drawn was fitted to.
        sizes: samples of each snapshot that the model was fitted to; empty where that is not known.
        points: times and weights that are marked on the path of the weights, and what they are.
    """

    drawn: WeightFlow | LeftOutModel
    observed: Snapshots
    known: Float[np.ndarray, "known"]
    sizes: tuple[int, ...]
    points: tuple[np.ndarray, np.ndarray, str]

    def _write_more(self, folder: Path, dataset: Dataset, seed: int) -> tuple[Path, ...]:
        times, tokens, what = self.points
        command = f"python -m weightflow forecast --model {folder / MODEL} --out samples.npy"
        report = Report(
            **self._told(folder, dataset, seed, command),
            observed=self.observed,
            known=self.known,
            sizes=self.sizes,
            drawn=self.drawn,
            model=self.model,
            anchors_times=times,
            anchors_tokens=tokens,
            points=what,
            motion=self.model.motion,
        )
        write_report(folder / REPORT, report)
        return ()


@dataclass(frozen=True, eq=False, kw_only=True)
class JudgedConditions(Judged):
    """A model of several conditions.

    Attributes:
        found: scores at each condition that was left out.
        left_out: the models that were scored there.
        observed: the data of all conditions.
    """

    found: tuple[LeftOutCondition, ...]
    left_out: tuple[WeightFlow, ...]
    observed: Snapshots

    @property
    def conditions(self) -> tuple[LeftOutCondition, ...]:
        """What was found at each."""
        return self.found

    def lines(self) -> tuple[str, ...]:
        """Say how the model stands at each condition, and which are extrapolations."""
        return tuple(
            f"without {at_condition(one.at)}: {answer(one.scores)}"
            + (f" {one.extrapolation}" if one.extrapolation else "")
            for one in self.found
        )

    def _write_more(self, folder: Path, dataset: Dataset, seed: int) -> tuple[Path, ...]:
        at = as_options(self.found[0].at)
        command = f"python -m weightflow forecast --model {folder / MODEL}{at} --out samples.npy"
        report = ConditionReport(
            **self._told(folder, dataset, seed, command),
            observed=self.observed,
            found=self.found,
            left_out=self.left_out,
            model=self.model,
        )
        write_conditions(folder / CONDITIONS, self.found)
        write_condition_report(folder / REPORT, report)
        return (folder / CONDITIONS,)


def without_each(
    dataset: Dataset,
    config: ExperimentConfig,
    seed: int,
    device: torch.device,
    say: Callable[[str], None],
    progress: Progress,
    mapper: Mapper = in_turn,
) -> Judged:
    """Fit without each time, or each condition, in turn and score there, and fit once to all of them.

    Raises:
        InputError: there are fewer than three times or conditions, none can be left out, or too few samples at one.
    """
    several = dataset.snapshots.conditions is not None
    parts = leave_one_condition_out(dataset) if several else leave_one_out(dataset, seed)
    check_scorable(parts)
    for line in (*parts.in_words(), f"{len(parts.tests) + 1} fits follow"):
        say(line)
    final, *tested = fit_each([parts.seen, *(fold.fit for fold in parts.tests)], config, seed, device, progress, mapper)
    fit, what = in_words(final.model.record["fidelity"]), "Conditions" if several else "Times"
    about = {"Protocol": parts.protocol, what: "; ".join(parts.in_words()), "Fit": f"{fit[0].upper()}{fit[1:]}"}
    told: dict[str, Any] = {"model": final.model, "made": True, "about": about, "config": flatten(config)}
    if several:
        models = tuple(one.model for one in tested)
        found = tuple(judge_conditions(models, parts.courses, seed, progress, mapper))
        return JudgedConditions(**told, scores=overall(found), found=found, left_out=models, observed=parts.seen)
    return JudgedCourse(
        **told,
        scores=judge(tested, parts, seed, progress, mapper),
        drawn=shown(final.model, tested, parts),
        observed=parts.observed,
        known=parts.known,
        sizes=parts.seen.sizes,
        points=(parts.seen.times, reference_points(final, config), POINTS),
    )


def fitted_before(
    model: WeightFlow,
    dataset: Dataset,
    seed: int,
    say: Callable[[str], None],
    progress: Progress,
    mapper: Mapper = in_turn,
) -> JudgedCourse:
    """Score a model at the times that it was not fitted to, or, where there is none, at those that it was fitted to.

    The alternatives rearrange the snapshots that the model was fitted to. A model does not hold these: they are taken
    from the data, where all of their times are there.

    Raises:
        InputError: the data have other species, no time that the model can be asked for, or too few samples at one; or
            the model is of several conditions.
    """
    data, model = dataset.snapshots, model.under(None)
    _check_species(model, data)
    fitted = _fitted_times(model, data)
    is_fitted, possible = np.isin(data.times, fitted), data.times >= model.span[0]
    is_unseen = possible & ~is_fitted
    unseen = bool(is_unseen.any())
    scored = is_unseen if unseen else possible
    if not scored.any():
        raise InputError(
            f"all times of `{dataset.name}` lie before t={written(model.span[0])}, the first one that the model was "
            "fitted "
            "to; give later ones."
        )
    test = _at(dataset.fresh or data, scored)
    complete = unseen and set(fitted) <= set(data.times.tolist())
    seen = _at(data, is_fitted) if complete else test
    floor = None if dataset.reference is None else _at(dataset.reference, scored)
    parts = Split(UNSEEN if unseen else FITTED, seen, (), (Fold(seen, test),), floor)
    check_scorable(parts)
    about = _about(model, parts, complete)
    for topic, sentence in about.items():
        say(f"{topic}: {sentence}")
    samplers = {"model": model, **(baselines(seen) if complete else {})}
    marks = np.asarray(fitted)
    return JudgedCourse(
        scores=evaluate(samplers, parts, DRAWS, seed, progress=within(progress, "scoring"), mapper=mapper),
        model=model,
        made=False,
        drawn=model,
        observed=_at(data, possible & (is_fitted | scored)),
        known=data.times[is_fitted],
        sizes=seen.sizes if complete else (),
        points=(marks, np.asarray(model.weights(marks)), OWN_POINTS),
        about=about,
        config=flatten(ExperimentConfig.parse(model.record["config"])) if "config" in model.record else {},
    )


def _about(model: WeightFlow, parts: Split, complete: bool) -> dict[str, str]:
    """Say what is scored, and beside what."""
    unit = parts.test.unit
    which = {
        UNSEEN: "which the model was not fitted to",
        FITTED: "all of which the model was fitted to: these scores say how well it describes, not how it predicts",
    }[parts.protocol]
    times = f"scored at {at_times(parts.test.times, unit)}, {which}"
    if "times" not in model.record:
        times += "; an older model does not say its times, so that all within its span count as fitted"
    if not complete:
        beside = "none: the data do not hold snapshots at all times that the model was fitted to"
        if parts.protocol == FITTED:
            beside = "none: they would hand out the scored samples themselves"
    elif parts.seen.digest() == model.record.get("data"):
        beside = "they rearrange the snapshots that the model was fitted to"
    else:
        beside = (
            f"they rearrange the data's snapshots at {at_times(parts.seen.times, unit)}; the model was fitted to others"
        )
    return {"Times": times, "Alternatives": beside}


def _fitted_times(model: WeightFlow, data: Snapshots) -> list[float]:
    """Return the times that a model was fitted to; of one that does not say, all that lie within its span."""
    first, last = model.span
    within_span = [time for time in data.times.tolist() if first <= time <= last]
    return model.record.get("times", within_span or [first, last])


def _at(snapshots: Snapshots, chosen: Bool[np.ndarray, "time"]) -> Snapshots:
    return snapshots.subset(np.flatnonzero(chosen).tolist())


def _check_species(model: WeightFlow, data: Snapshots) -> None:
    if data.species != model.species:
        raise InputError(
            f"the data have the species {', '.join(data.species)}, and the model {', '.join(model.species)}; give data "
            "of the same species, in the same order."
        )
