"""How a search goes about its space: which sampler, how much of what, when to end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from weightflow.data import Shape
from weightflow.errors import InputError
from weightflow.experiment import ExperimentConfig, flatten, nest, preset
from weightflow.search.space.space import Space
from weightflow.trials import Criterion, Parameter, SamplerName, SchedulerName

Point = dict[str, Parameter]


@dataclass(frozen=True)
class SearchOptions:
    """What the user asked for, beside data and space.

    Attributes:
        trials: at most, repeats not counted.
        time_budget: seconds of wall time for preparation and trials, over all processes; infinity: no limit.
        deadline: seconds for all that this process does, repeats, final fit and report included; None: no limit.
        trial_time: seconds after which a trial is ended; None: no limit.
        cpu_hours: hours of reserved CPUs that trials may use; None: as many as they like.
        gpu_hours: the same for GPUs.
        drain: whether trials that run when a budget is used up may finish.
        sampler: who proposes configurations.
        scheduler: who ends trials early.
        criteria: what is minimised; the first one is the score.
        repeats: seeds with which each of the best configurations is trained before one is called best.
        stop_at_floor: whether to end once the best trial cannot be told from a perfect one.
        retries: how often a trial that fails is tried again.
        warm_start: configurations of an earlier search, which are tried early.
        shapes: features of the data; preparations that suit them are tried early.
    """

    trials: int = 32
    time_budget: float = 360.0
    deadline: float | None = None
    trial_time: float | None = None
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    drain: bool = False
    sampler: SamplerName = SamplerName.TPE
    scheduler: SchedulerName = SchedulerName.ASHA
    criteria: tuple[Criterion, ...] = (Criterion.SCORE,)
    repeats: int = 3
    stop_at_floor: bool = True
    retries: int = 2
    warm_start: tuple[Point, ...] = field(default=())
    shapes: frozenset[Shape] = frozenset()

    @property
    def several(self) -> bool:
        """Whether more than the score is minimised."""
        return len(self.criteria) > 1

    def first_points(self, space: Space) -> Iterator[tuple[str, Point]]:
        """Yield what is tried before the sampler chooses, and where it comes from; nothing that would run twice.

        The default comes first, and early the paper's configuration: whatever a search finds is then at least as good.
        In between is the default with each preparation that suits the data.
        """
        default = flatten(preset("default"))
        points = [
            ("default preset", space.nearest(default)),
            *(("suits the data", space.nearest(default, name)) for name in space.suited(self.shapes)),
            ("paper preset", space.nearest(flatten(preset("paper")))),
            *(("first trial", dict(point)) for point in space.first_trials),
            *(("warm start", space.nearest({**default, **point})) for point in self.warm_start),
        ]
        seen: list[Mapping[str, Any]] = []
        for origin, point in points:
            runs = _runs(space, point)
            if runs not in seen:
                seen.append(runs)
                yield origin, point


def _runs(space: Space, point: Point) -> Mapping[str, Any]:
    """Return what a trial at a point runs with, the default of what is not said included.

    Two points may be one in this: sets of a preparation that differ in what the default says anyway.
    """
    given = space.configuration(point)
    try:
        return flatten(ExperimentConfig.parse(nest(given)))
    except InputError:  # which the trial will say
        return given
