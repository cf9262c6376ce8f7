"""What depends on the data alone (base, anchors, bridge, teacher): made once, and shared by all trials of a search."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from weightflow.anchors import Anchors, fit_anchors, fit_base, go_on
from weightflow.backbones import Backbone
from weightflow.bridge import Bridge, BridgeOptions, Bridges, ConditionOptions, Family, Pace, build_bridges, seen
from weightflow.cache import Cache
from weightflow.data import Conditions, Snapshots, in_words
from weightflow.data.spread import deviation
from weightflow.dynamics import Direct, Rollout, Table
from weightflow.evaluation import POINTS, REPEATS, fidelity, held_against
from weightflow.experiment.config import ExperimentConfig
from weightflow.files import Arrays
from weightflow.model import WeightFlow
from weightflow.path import Clock
from weightflow.progress import Progress, unseen, within
from weightflow.rng import derive_seed
from weightflow.torch_rng import uniforms
from weightflow.training import Teacher, fit_teacher


@dataclass(frozen=True, eq=False)
class Prepared:
    """What does not depend on phi; trials share it.

    Attributes:
        snapshots: the snapshots that are fitted.
        backbone: the pure function that the weights belong to.
        bridges: samples between those of each condition.
        bridging: the options that these were asked for with.
        varied: how several conditions are fitted together.
        seed: of the preparation.
        anchors: weights at each of those snapshots; None where nothing asks for them.
        teacher: a direct path through weight space; None where nothing asks for it.
    """

    snapshots: Snapshots
    backbone: Backbone
    bridges: Bridges
    bridging: BridgeOptions
    varied: ConditionOptions
    seed: int
    anchors: Anchors | None
    teacher: Teacher | None

    @property
    def bridge(self) -> Bridge:
        """The bridge of the one course.

        Raises:
            InputError: there are several.
        """
        self.snapshots.alone("this")
        return next(iter(self.bridges))

    @property
    def anchored(self) -> Anchors:
        """The anchors.

        Raises:
            ValueError: there are none, because `prepare` was told that nothing asks for them.
        """
        if self.anchors is None:
            raise ValueError("this was prepared without anchors")
        return self.anchors

    @property
    def taught(self) -> Teacher:
        """The teacher.

        Raises:
            ValueError: there is none, because `prepare` was told that nothing asks for it.
        """
        if self.teacher is None:
            raise ValueError("this was prepared without a teacher")
        return self.teacher

    @cached_property
    def family(self) -> Family:
        """What is fitted: samples at the snapshots, between them, and beyond them where a drift forecasts."""
        return Family.of(self.snapshots, self.bridges.courses, self.bridging, self.varied, self.seed)

    @cached_property
    def conditions(self) -> Conditions | None:
        """The conditions as the model sees them."""
        return seen(self.snapshots, self.varied)

    @cached_property
    def _pace(self) -> dict[str, Any] | None:
        """The pace of the condition that moved fastest at its end; None where each was observed once."""
        courses = [course for course in self.snapshots.courses.values() if len(course) > 1]
        paces = [Pace.of(course.samples, course.times) for course in courses]
        return max(paces, key=lambda pace: pace.last / pace.gap**2).facts() if paces else None

    def model(self, path: Rollout | Table | Direct, clock: Clock, record: dict[str, Any]) -> WeightFlow:
        """Return the model whose weights follow a path."""
        snapshots, first = self.snapshots, next(iter(self.bridges), None)
        fitted = {
            "times": np.unique(snapshots.times).tolist(),
            "bridge": (first.options if first else self.bridging).model_dump(mode="json"),
        }
        if self.conditions is not None:
            courses = snapshots.courses.items()
            fitted["courses"] = {in_words(self.conditions.named(at)): one.times.tolist() for at, one in courses}
        record = {**record, **fitted, "forecast": self._forecast(clock), "pace": self._pace}
        return WeightFlow(
            self.backbone,
            path,
            clock,
            snapshots.species,
            snapshots.kinds,
            record,
            snapshots.unit,
            motion=self.bridges.drift,
            last=float(snapshots.times.max()),
            conditions=self.conditions,
        )

    def _forecast(self, clock: Clock) -> dict[str, Any] | None:
        """Return what the record says of forecasts: what they are from, and how a drift's did; None if none did."""
        forecasts = [bridge.forecast for bridge in self.bridges if bridge.forecast is not None]
        if not forecasts:
            return None
        until = float(clock.times[-1])
        by = "drift" if until > self.snapshots.times.max() else "field"
        return {"by": by, "until": until, **forecasts[0].facts()}


WANDERS = 3.0  # times as long as before a freed path may be: a longer one chases chance, and no phi follows it
CUT = 0.09  # nats, of a path of length 9 at the default price: see `weightflow.training.teacher`
GAIN = 0.8  # share of a teacher's ratio that a round must come below for another one to follow
# The pieces of a preparation, and the groups of the configuration that each depends on, beside data and seed.
PIECES = {
    "base": ("backbone", "anchors"),
    "anchors": ("backbone", "anchors"),
    "bridge": ("bridge",),
    "teacher": ("backbone", "anchors", "bridge", "teacher"),
}
VARIED = {"teacher": ("conditions",)}  # of several conditions the piece depends on this, too
PREPARED = tuple(dict.fromkeys(group for groups in (*PIECES.values(), *VARIED.values()) for group in groups))


def prepares_as(config: ExperimentConfig) -> str:
    """Return a text that is the same for configurations whose preparations are."""
    return json.dumps({group: getattr(config, group).model_dump(mode="json") for group in PREPARED}, sort_keys=True)


class Preparation:
    """How the pieces are made: each as plain arrays, so that workers can make them and a cache can keep them."""

    def __init__(self, snapshots: Snapshots, config: ExperimentConfig, seed: int) -> None:
        self.snapshots = snapshots
        self.config = config
        self.seed = seed
        self.backbone = config.backbone.build(snapshots, seed)

    def depends_on(self, piece: str) -> dict[str, Any]:
        """Return, as plain values, everything that a piece depends on."""
        needed = (*PIECES[piece], *(VARIED.get(piece, ()) if self.snapshots.conditions is not None else ()))
        groups = {group: getattr(self.config, group).model_dump(mode="json") for group in needed}
        return {"data": self.snapshots.digest(), "seed": self.seed, **groups}

    def base(self, device: torch.device | str = "cpu", progress: Progress = unseen) -> Arrays:
        """Fit one set of weights to all snapshots together."""
        options = self.config.anchors
        return {"tokens": fit_base(self.backbone, self.snapshots, options, self.seed, device, within(progress, "base"))}

    def anchors(
        self, indices: Sequence[int], base: Arrays, device: torch.device | str = "cpu", progress: Progress = unseen
    ) -> Arrays:
        """Fit the anchors of some snapshots; those whose draws can be told from their snapshot are fitted further.

        Each anchor is looked at by itself: which others are fitted beside it changes nothing.
        """
        options, told = self.config.anchors, within(progress, "anchors")
        part = self.snapshots.subset(indices)
        made = fit_anchors(self.backbone, part, base["tokens"], options, self.seed, device, told)
        for _ in range(1, options.rounds):
            missed = [i for i in range(len(part)) if self._misses(made.tokens[i], part.subset([i]))]
            if not missed:
                break
            some = Anchors(made.times[missed], made.tokens[missed])
            again = go_on(self.backbone, part.subset(missed), some, options, self.seed, device, told)
            made = made.replaced(missed, again)
        return {"times": made.times, "tokens": made.tokens}

    def bridge(self, device: torch.device | str = "cpu", progress: Progress = unseen) -> Arrays:
        """Couple the snapshots, and choose a curve if none is named."""
        progress("bridge", 0, 1)
        seed, told = derive_seed(self.seed, "bridge"), within(progress, "drift")
        made = build_bridges(self.snapshots, self.config.bridge, seed, device, told)
        progress("bridge", 1, 1)
        return made.arrays()

    def bridges(self, arrays: Arrays) -> Bridges:
        """Build what `bridge` has returned the arrays of."""
        return Bridges.of_arrays(arrays, self.snapshots, self.config.bridge)

    def teacher(
        self, base: Arrays, bridge: Arrays, device: torch.device | str = "cpu", progress: Progress = unseen
    ) -> Arrays:
        """Fit the direct path, in rounds until its draws cannot be told from the snapshots; the best one is kept.

        Each round goes on from the one before, with a tenth of its price on length and twice its steps. One that gained
        little is the last: what it misses is not for want of steps. A long path goes on once whatever its draws are at
        the snapshots, since what is cut short between them shows in no draws there: one whose length costs more than
        `CUT`.
        """
        family = self.assemble(None, bridge, None).family
        options, told = self.config.teacher, within(progress, "teacher")
        kept = last = self._held(fit_teacher(self.backbone, family, base["tokens"], options, self.seed, device, told))
        cut = options.length / family.many * last.length > CUT
        while (last.missed or (cut and last.rounds == 1)) and last.rounds < options.rounds:
            told = within(progress, f"teacher, round {last.rounds + 1}")
            again = fit_teacher(self.backbone, family, last, options.of_round(last.rounds), self.seed, device, told)
            before, last = last, self._held(again, last.rounds + 1)
            kept = _better(kept, last)
            if last.ratio > GAIN * before.ratio:
                break
        return kept.arrays()

    def assemble(self, anchors: Arrays | None, bridge: Arrays, teacher: Arrays | None) -> Prepared:
        """Put the pieces together."""
        return Prepared(
            self.snapshots,
            self.backbone,
            self.bridges(bridge),
            self.config.bridge,
            self.config.conditions,
            self.seed,
            None if anchors is None else Anchors(anchors["times"], anchors["tokens"]),
            None if teacher is None else Teacher.of_arrays(teacher),
        )

    def _held(self, teacher: Teacher, rounds: int = 1) -> Teacher:
        """Hold a teacher against the snapshots."""
        snapshots, clock = self.snapshots, Clock.uniform(*teacher.span)
        path, known = teacher.path(self.backbone), seen(snapshots, self.config.conditions)
        model = WeightFlow(self.backbone, path, clock, snapshots.species, snapshots.kinds, conditions=known)
        found = fidelity(model, snapshots, self.seed)
        return replace(teacher, rounds=rounds, ratio=found.ratio, missed=found.missed)

    def _misses(self, tokens: Float[np.ndarray, "token width"], snapshot: Snapshots) -> bool:
        """Whether draws of one anchor can be told from its snapshot."""
        n = REPEATS * min(POINTS, len(snapshot.samples[0]))
        numbers = uniforms(n, snapshot.dim, self.seed, "anchor draws", float(snapshot.times[0]).hex())
        with torch.no_grad():
            draws = self.backbone.sample(torch.as_tensor(tokens)[None], numbers[None]).numpy()
        return bool(held_against(draws, snapshot, deviation(self.snapshots.pooled()), self.seed).missed)


def _better(earlier: Teacher, later: Teacher) -> Teacher:
    """Return which of two rounds is kept: one that reaches the snapshots, and whose path has not lost its way."""
    if earlier.missed and later.missed:
        return min(earlier, later, key=lambda teacher: teacher.ratio)
    if earlier.missed:
        return later
    return earlier if later.missed or later.length > WANDERS * earlier.length else later


def prepare(
    snapshots: Snapshots,
    config: ExperimentConfig,
    seed: int,
    device: torch.device | str = "cpu",
    cache: Cache | None = None,
    progress: Progress = unseen,
    anchors: bool = False,
) -> Prepared:
    """Prepare in this process what a fit with `config` needs; a cache is asked first.

    Args:
        snapshots: what is fitted.
        config: of the fit.
        seed: rules all random numbers.
        device: where to compute.
        cache: of pieces that were made before.
        progress: told how far each piece is.
        anchors: whether they are wanted even if the fit does not need them.

    Raises:
        InputError: the data cannot be modelled.
        TrainingError: a likelihood is no longer finite.
    """
    preparation = Preparation(snapshots, config, seed)

    def piece(name: str, make: Callable[[], Arrays]) -> Arrays:
        return make() if cache is None else cache.get_or_make(name, preparation.depends_on(name), make)

    base = piece("base", lambda: preparation.base(device, progress))
    bridge = piece("bridge", lambda: preparation.bridge(device, progress))
    found = teacher = None
    if anchors or config.needs_anchors:
        found = piece("anchors", lambda: preparation.anchors(range(len(snapshots)), base, device, progress))
    if config.needs_teacher:
        teacher = piece("teacher", lambda: preparation.teacher(base, bridge, device, progress))
    return preparation.assemble(found, bridge, teacher)


def table_of(anchors: Anchors) -> tuple[Table, Clock]:
    """Return straight lines in weight space between the anchors."""
    clock = Clock.uniform(float(anchors.times[0]), float(anchors.times[-1]))
    marks = torch.as_tensor(clock(anchors.times), dtype=torch.float32)
    return Table(marks, torch.tensor(anchors.tokens)), clock


def line_model(prepared: Prepared) -> WeightFlow:
    """Return the variant without phi: straight lines in weight space between the anchors of one course."""
    prepared.snapshots.alone("a straight line between anchors")
    return prepared.model(*table_of(prepared.anchored), {})


def direct_model(prepared: Prepared) -> WeightFlow:
    """Return the variant without a differential equation: the teacher path itself."""
    return prepared.model(prepared.taught.path(prepared.backbone), Clock.uniform(*prepared.taught.span), {})
