"""The training of phi as a stream of epoch reports."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from weightflow.dynamics import Rollout
from weightflow.errors import TrainingError
from weightflow.rng import generator, seeded, torch_generator
from weightflow.training.collocation import Collocation
from weightflow.training.objectives import RolloutObjective
from weightflow.training.options import TrainingOptions

REFINING_RATE = 0.1  # rollouts refine a field that collocation has taught: at its full rate they would first unlearn it
CLIP = 1.0


@dataclass(frozen=True)
class EpochReport:
    """What an epoch did.

    Attributes:
        epoch: counted from 1.
        phase: `collocation` or `rollout`.
        loss: mean over the epoch's steps.
        learning_rate: at the epoch's end.
        seconds: spent in the epoch.
    """

    epoch: int
    phase: str
    loss: float
    learning_rate: float
    seconds: float


def train(
    rollout: Rollout, collocation: Collocation, objective: RolloutObjective, options: TrainingOptions, seed: int
) -> Iterator[EpochReport]:
    """Train the rollout's field in place, and report after each epoch.

    Raises:
        TrainingError: the loss is no longer finite.
    """
    noise = torch_generator(seed, "collocation")
    rng = generator(seed, "rollout")
    warm, rest = options.warm_epochs, options.epochs - options.warm_epochs
    field = rollout.field
    phases = (
        ("collocation", warm, options.collocation_steps, 1.0, lambda: collocation.loss(field, options, noise)),
        ("rollout", rest, options.rollout_steps, REFINING_RATE if warm else 1.0, lambda: objective.loss(rollout, rng)),
    )
    epoch = 0
    for phase, epochs, steps, rate, loss in phases:
        if epochs == 0:
            continue
        stepper = _Stepper(rollout, options.learning_rate * rate, epochs * steps)
        for _ in range(epochs):
            epoch += 1
            began = time.perf_counter()
            rollout.train()
            with seeded(seed, "dropout", epoch):
                losses = [stepper.step(loss, phase, epoch) for _ in range(steps)]
            rollout.eval()
            yield EpochReport(epoch, phase, float(np.mean(losses)), stepper.learning_rate, time.perf_counter() - began)


class _Stepper:
    """One optimiser with its schedule over one phase."""

    def __init__(self, rollout: Rollout, learning_rate: float, total: int) -> None:
        self.parameters = list(rollout.field.parameters())
        self.optimiser = torch.optim.AdamW(self.parameters, learning_rate, weight_decay=1e-4)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, learning_rate, total)

    @property
    def learning_rate(self) -> float:
        return float(self.optimiser.param_groups[0]["lr"])

    def step(self, loss: Callable[[], Tensor], phase: str, epoch: int) -> float:
        value = loss()
        if not torch.isfinite(value):
            raise TrainingError(
                f"the loss is {value.item():g} in epoch {epoch} ({phase}) at learning rate {self.learning_rate:.2g}; "
                "lower `training.learning_rate` or take more `dynamics.steps`."
            )
        self.optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimiser.step()
        self.schedule.step()
        return value.item()
