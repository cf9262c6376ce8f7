"""How long fits will take here: the first steps of one, measured and extended to all."""

import time
from dataclasses import dataclass

from weightflow.bridge import DRIFT_ROUNDS
from weightflow.data import Snapshots
from weightflow.experiment import ExperimentConfig, Preparation, Trial
from weightflow.side_by_side import one_thread

STEPS = 20  # of each phase that are measured
MOST_FITS = 1.5 * DRIFT_ROUNDS  # of a drift on trial, and of the one of all snapshots


@dataclass(frozen=True)
class Pace:
    """Seconds on one CPU of this machine.

    Attributes:
        preparation: of what trials share, where the first fits reach their snapshots.
        trial: of the epochs of one trial.
        preparation_most: where none does, and all rounds are needed.
        trial_most: the same.
    """

    preparation: float
    trial: float
    preparation_most: float
    trial_most: float


@one_thread()
def measure(snapshots: Snapshots, config: ExperimentConfig, seed: int) -> Pace:
    """Time the first steps of each phase of a fit, and extend them to all steps.

    What starting a phase costs is left out, since it comes once.

    Raises:
        InputError: the data cannot be modelled.
    """
    short, watch = _shortened(config), Stopwatch()
    preparation = Preparation(snapshots, short, seed)
    base = preparation.base(progress=watch)
    began = time.perf_counter()
    bridge = preparation.bridge(progress=watch)
    bridging = time.perf_counter() - began
    drifting = watch.seconds("drift") * config.bridge.drift_steps / max(short.bridge.drift_steps, 1)
    bridging += drifting - watch.seconds("drift")
    teacher = preparation.teacher(base, bridge, progress=watch) if config.needs_teacher else None
    anchors = preparation.anchors(range(len(snapshots)), base, progress=watch) if config.needs_anchors else None
    training = Trial(preparation.assemble(anchors, bridge, teacher), short, seed).attempt.training
    epochs = {} if training is None else {report.phase: report.seconds for report in training}  # of each the last
    phases = {phase: seconds * _more(phase, config, short) for phase, seconds in epochs.items()}
    trial = sum(phases.values())
    taught = [watch.step("teacher") * config.teacher.of_round(number).steps for number in range(config.teacher.rounds)]
    fitted = watch.step("base") * config.anchors.base_steps + watch.step("anchors") * config.anchors.steps
    once = fitted + bridging + taught[0]
    rounds = (config.of_round(number) for number in range(1, config.training.rounds))
    again = sum(seconds * _longer(phase, config, later) for later in rounds for phase, seconds in phases.items())
    longest = once + max(0.0, MOST_FITS * watch.step("drift") * config.bridge.drift_steps - drifting)
    return Pace(once, trial, longest + sum(taught[1:]), trial + again)


class Stopwatch:
    """Listens to progress, and knows how long a step of each phase takes."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int]] = {}
        self._seconds: dict[str, float] = {}
        self._steps: dict[str, int] = {}

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Take a report of progress; where it counts anew, what lies between is no step."""
        now = time.perf_counter()
        before, steps = self._last.get(phase, (now, done))
        if done > steps:
            self._seconds[phase] = self.seconds(phase) + now - before
            self._steps[phase] = self._steps.get(phase, 0) + done - steps
        self._last[phase] = now, done

    def seconds(self, phase: str) -> float:
        """Return how long all steps took together."""
        return self._seconds.get(phase, 0.0)

    def step(self, phase: str) -> float:
        """Return the seconds of one step; none where there was no such phase."""
        return self.seconds(phase) / max(self._steps.get(phase, 0), 1)


def _more(phase: str, config: ExperimentConfig, short: ExperimentConfig) -> float:
    """Return how many times the steps of a phase's one short epoch there are in a whole training."""
    full, part = config.training, short.training
    if phase == "collocation":
        return full.warm_epochs * full.collocation_steps / part.collocation_steps
    return (full.epochs - full.warm_epochs) * full.rollout_steps / part.rollout_steps


def _longer(phase: str, config: ExperimentConfig, later: ExperimentConfig) -> float:
    """Return how many times the work of a phase a later round takes: more steps, and rollouts through more marks."""
    if phase == "collocation":
        return later.training.collocation_steps / config.training.collocation_steps
    marks = later.dynamics.steps / config.dynamics.steps
    return marks * later.training.rollout_steps / config.training.rollout_steps


def _shortened(config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration with a few steps of each phase, and no second round."""
    training = config.training.model_copy(
        update={"epochs": 4, "warm_share": 0.5, "collocation_steps": STEPS, "rollout_steps": 2, "rounds": 1}
    )
    return config.model_copy(
        update={
            "bridge": config.bridge.model_copy(update={"drift_steps": min(STEPS, config.bridge.drift_steps)}),
            "anchors": config.anchors.model_copy(update={"base_steps": STEPS, "steps": STEPS, "rounds": 1}),
            "teacher": config.teacher.model_copy(update={"steps": STEPS, "rounds": 1}),
            "training": training,
        }
    )
