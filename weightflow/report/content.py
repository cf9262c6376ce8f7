"""Everything that a report tells about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from optuna.study import Study

from weightflow.data import SPECIES, Snapshots
from weightflow.drift import Drift, Varied
from weightflow.errors import InputError
from weightflow.evaluation import LeftOutCondition, Sampler, Scores
from weightflow.model import WeightFlow
from weightflow.trials import Front, Repeated, TrialRecord
from weightflow.types import Kind

POINTS = "the path that the field learned from, at the seen snapshots"


@runtime_checkable
class Model(Sampler, Protocol):
    """A sampler that can show its weights."""

    def weights(self, times: Float[np.ndarray, "time"]) -> Any:
        """Return the weights at each of `times`, an array or a CPU tensor of shape (time, token, width)."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Searched:
    """What every report tells, and what a search has left behind.

    Attributes:
        scores: of the model, the alternatives, the variants and the floor.
        study: Optuna's, for the importances; None if there was no search.
        trials: in order of their numbers.
        facts: what was run, with what, for how long: shown as they are, in this order.
        best_config: what the search chose: dotted key -> value.
        next_commands: to be typed next, each on a line of its own.
        title: heading of the page.
        seed: of the samples that are drawn for pictures.
        front: of trials that no other one beats, where there was more than the score to minimise.
        repeats: configurations that were trained with fresh seeds.
        called: what the data's columns are, where they are no species.
        floor_decision: a sentence: whether the best trial's held-out data can be told from the sampling floor, and by
            which test at which level.
        config: all that the model was fitted with: dotted key -> value.
        best: the number of the trial that won.
        again: to be typed to get the same once more, each on a line of its own.
    """

    scores: Scores
    study: Study | None
    trials: tuple[TrialRecord, ...]
    facts: Mapping[str, str]
    best_config: Mapping[str, Any]
    next_commands: tuple[str, ...]
    title: str = "WeightFlow report"
    seed: int = 0
    front: Front | None = None
    repeats: tuple[Repeated, ...] = ()
    called: str = SPECIES
    floor_decision: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    best: int | None = None
    again: tuple[str, ...] = ()

    def unit_of(self, kinds: Sequence[Kind]) -> str:
        """What distances between samples are measured in."""
        if "components" in self.called:
            return "units of the components"
        return "counts" if set(kinds) == {Kind.COUNTS} else "data units"


@dataclass(frozen=True, eq=False, kw_only=True)
class Report(Searched):
    """What is told of a model of one course.

    Attributes:
        observed: the data, at seen and at scored times.
        known: those of its times that every drawn model was fitted to, which pictures mark.
        sizes: samples of each snapshot that the model was fitted to, of which pictures may show others; empty where
            that is not known.
        drawn: who draws at these times: the model, or where times were left out in turn the fit that has not seen them.
        model: the one that is left to the user.
        anchors_times: times of the anchors, which are marked on the path of the weights.
        anchors_tokens: weights of the anchors, one set for each of these times.
        points: what the anchors are, in words.
        motion: the drift of the model, if it has one.
    """

    observed: Snapshots
    known: Float[np.ndarray, "known"]
    sizes: tuple[int, ...]
    drawn: Sampler
    model: Model
    anchors_times: Float[np.ndarray, "anchor"]
    anchors_tokens: Float[np.ndarray, "_ token width"]
    points: str = POINTS
    motion: Drift | Varied | None = None

    def __post_init__(self) -> None:
        if len(self.anchors_times) != len(self.anchors_tokens):
            raise InputError(
                f"there are {len(self.anchors_times)} times for {len(self.anchors_tokens)} anchors; give each its time."
            )

    @property
    def unit(self) -> str:
        """What distances between samples are measured in."""
        return self.unit_of(self.observed.kinds)


@dataclass(frozen=True, eq=False, kw_only=True)
class ConditionReport(Searched):
    """What is told of a model of several conditions.

    Attributes:
        observed: the data of all conditions.
        found: the scores at each condition that was left out.
        left_out: the model that was scored at each of them, which has not seen it.
        model: the one that is left to the user, of all conditions.
    """

    observed: Snapshots
    found: tuple[LeftOutCondition, ...]
    left_out: tuple[WeightFlow, ...]
    model: WeightFlow

    @property
    def unit(self) -> str:
        """What distances between samples are measured in."""
        return self.unit_of(self.observed.kinds)
