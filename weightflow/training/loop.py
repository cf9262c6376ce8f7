"""The training of phi as a stream of epoch reports that can be cut off after any of them."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightflow.dynamics import Rollout
from weightflow.errors import TrainingError
from weightflow.files import Arrays
from weightflow.rng import generator
from weightflow.torch_rng import seeded, torch_generator
from weightflow.training.collocation import Collocation
from weightflow.training.objectives import RolloutObjective
from weightflow.training.options import TrainingOptions

REFINING_RATE = 0.1  # rollouts refine a field that collocation has taught: at its full rate they would first unlearn it
CLIP = 1.0
FIELD, ADAM = "field", "adam"


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


@dataclass(frozen=True)
class Checkpoint:
    """A training between two epochs.

    Attributes:
        epoch: the number of epochs that are done.
        arrays: the field's parameters, and the optimiser's moments.
        facts: what else the optimiser and its schedule remember, as plain values.
    """

    epoch: int
    arrays: Arrays
    facts: dict[str, Any]


class Training:
    """Trains a rollout's field in place: iterate over its epochs.

    The random numbers of an epoch depend on the seed and the epoch alone. So a training that is restored from a
    checkpoint, in this process or another, goes on as if it had never been cut off.
    """

    def __init__(
        self,
        rollout: Rollout,
        collocation: Collocation,
        objective: RolloutObjective,
        options: TrainingOptions,
        seed: int,
    ) -> None:
        self.rollout = rollout
        self.collocation = collocation
        self.objective = objective
        self.options = options
        self.seed = seed
        self.epoch = 0
        self._stepper: _Stepper | None = None

    def __iter__(self) -> Iterator[EpochReport]:
        """Train, and report after each epoch.

        Raises:
            TrainingError: the loss is no longer finite.
        """
        while self.epoch < self.options.epochs:
            yield self._train_epoch(self.epoch + 1)

    def checkpoint(self) -> Checkpoint:
        """Return the state after the last epoch."""
        field = {f"{FIELD}.{name}": value.cpu().numpy() for name, value in self.rollout.field.state_dict().items()}
        adam, facts = ({}, {}) if self._stepper is None else self._stepper.state()
        return Checkpoint(self.epoch, {**field, **adam}, facts)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a state that `checkpoint` has returned for the same rollout, options and seed."""
        tensors = {name: torch.from_numpy(array) for name, array in checkpoint.arrays.items()}
        self.rollout.field.load_state_dict(_under(FIELD, tensors))
        self.epoch = checkpoint.epoch
        if "groups" in checkpoint.facts:
            self._stepper = self._new_stepper(checkpoint.epoch)
            self._stepper.restore(_under(ADAM, tensors), checkpoint.facts)

    def _train_epoch(self, epoch: int) -> EpochReport:
        began = time.perf_counter()
        warm = epoch <= self.options.warm_epochs
        phase, loss, steps = (
            ("collocation", self._collocation_loss(epoch), self.options.collocation_steps)
            if warm
            else ("rollout", self._rollout_loss(epoch), self.options.rollout_steps)
        )
        if self._stepper is None or epoch == self.options.warm_epochs + 1:
            self._stepper = self._new_stepper(epoch)
        self.rollout.train()
        with seeded(self.seed, "dropout", epoch):
            losses = [self._stepper.step(loss, phase, epoch) for _ in range(steps)]
        self.rollout.eval()
        self.epoch = epoch
        seconds = time.perf_counter() - began
        return EpochReport(epoch, phase, float(np.mean(losses)), self._stepper.learning_rate, seconds)

    def _collocation_loss(self, epoch: int) -> Callable[[], Tensor]:
        noise = torch_generator(self.seed, "collocation", epoch, device=self.collocation.marks.device)
        return lambda: self.collocation.loss(self.rollout.field, self.options, noise)

    def _rollout_loss(self, epoch: int) -> Callable[[], Tensor]:
        rng = generator(self.seed, "rollout", epoch)
        return lambda: self.objective.loss(self.rollout, rng)

    def _new_stepper(self, epoch: int) -> "_Stepper":
        """Return the optimiser of the phase that holds `epoch`."""
        options, warm = self.options, self.options.warm_epochs
        if epoch <= warm:
            return _Stepper(self.rollout, options.learning_rate, warm * options.collocation_steps)
        rate = options.learning_rate * (REFINING_RATE if warm else 1.0)
        return _Stepper(self.rollout, rate, (options.epochs - warm) * options.rollout_steps)


class _Stepper:
    """One optimiser with its schedule over one phase."""

    def __init__(self, rollout: Rollout, learning_rate: float, total: int) -> None:
        self.parameters = list(rollout.field.parameters())
        self.optimiser = torch.optim.AdamW(self.parameters, learning_rate, weight_decay=1e-4, fused=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, learning_rate, total)

    @property
    def learning_rate(self) -> float:
        return float(self.optimiser.param_groups[0]["lr"])

    def step(self, loss: Callable[[], Tensor], phase: str, epoch: int) -> float:
        value = loss()
        found = value.item()  # the only look at the device in a step
        if not math.isfinite(found):
            raise TrainingError(
                f"the loss is {found:g} in epoch {epoch} ({phase}) at learning rate {self.learning_rate:.2g}; "
                "lower `training.learning_rate` or take more `dynamics.steps`."
            )
        self.optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimiser.step()
        self.schedule.step()
        return found

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        optimiser = self.optimiser.state_dict()
        moments = {
            f"{ADAM}.{parameter}.{name}": value.cpu().numpy()
            for parameter, values in optimiser["state"].items()
            for name, value in values.items()
        }
        return moments, {"groups": optimiser["param_groups"], "schedule": self.schedule.state_dict()}

    def restore(self, moments: dict[str, Tensor], facts: dict[str, Any]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in moments.items():
            parameter, name = key.split(".")
            # the number of steps is a scalar, which safetensors keeps as such and numpy as an array of one
            state.setdefault(int(parameter), {})[name] = value.reshape(()) if name == "step" else value
        self.optimiser.load_state_dict({"state": state, "param_groups": facts["groups"]})
        self.schedule.load_state_dict(facts["schedule"])


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
