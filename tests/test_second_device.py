"""What a GPU needs where there is none: all of a loss on its device, and one look at it a training step.

The device `meta` has shapes without values: it refuses a tensor that was left on the CPU, and whoever asks for a value.
Looks at a device are counted on the CPU, where they cost nothing: by how many more there are in twice as many steps.
"""

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from weightflow import Snapshots
from weightflow.anchors import AnchorOptions
from weightflow.anchors.fit import fit_base
from weightflow.drift.fit import fit_drifts
from weightflow.dynamics import Solver
from weightflow.dynamics.runge_kutta import TABLEAUS
from weightflow.experiment import ExperimentConfig, Prepared, prepare
from weightflow.experiment.attempt import Attempt
from weightflow.rng import generator
from weightflow.training.options import TeacherOptions
from weightflow.training.teacher import _loss, fit_teacher
from weightflow.types import Kind

TINY: dict[str, Any] = {
    "anchors": {"base_steps": 2, "steps": 2, "rounds": 1},
    "teacher": {"steps": 2, "rounds": 1},
    "bridge": {"drift_steps": 2},
    "training": {"epochs": 4, "collocation_steps": 2, "rollout_steps": 2, "rounds": 1},
    "dynamics": {"hidden": 8, "heads": 1, "steps": 4},
}
BACKBONES: dict[str, dict[str, Any]] = {
    "softmax": {"head": "softmax"},
    "logistic": {"head": "logistic"},
    "mixed": {},
    "transformer": {"kind": "transformer"},
}
# likelihoods depend on the backbone, distances of anchors on the field alone
CASES = [*((backbone, "ode", "likelihood") for backbone in BACKBONES), ("softmax", "cde", "likelihood"),
         ("softmax", "ode", "anchor"), ("softmax", "cde", "anchor")]  # fmt: skip
LOOKS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero"}
FACTORIES = ("rand", "randn", "randint", "randperm", "arange", "linspace", "zeros", "ones", "empty", "full", "eye",
             "tensor", "as_tensor")  # fmt: skip


@cache
def prepared(backbone: str) -> Prepared:
    rng, kinds = np.random.default_rng(0), (Kind.COUNTS, Kind.CONTINUOUS, Kind.COUNTS)
    clouds = [rng.poisson(3 + t, (30, 3)).astype(float) for t in range(4)]
    if backbone in {"mixed", "transformer"}:  # counts, continuous values, and a species that does not vary
        for cloud in clouds:
            cloud[:, 1:] = np.stack([rng.normal(size=30), np.full(30, 2.0)], 1)
    else:
        kinds = (Kind.COUNTS,) * 3
    snapshots = Snapshots(np.arange(4.0), tuple(clouds), kinds=kinds)
    return prepare(snapshots, config(backbone, kind="cde"), 0)  # with anchors and a teacher


def config(
    backbone: str, objective: str = "likelihood", epochs: Mapping[str, int] | None = None, **dynamics: Any
) -> ExperimentConfig:
    training = {**TINY["training"], **(epochs or {}), "objective": objective}
    changed = {"dynamics": {**TINY["dynamics"], **dynamics}, "training": training, "backbone": BACKBONES[backbone]}
    return ExperimentConfig.parse({**TINY, **changed})


class Looks(TorchDispatchMode):
    """Counts what makes the host wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masked = name in {"index", "index_put", "index_put_"} and any(
            part is not None and part.dtype in {torch.bool, torch.uint8} for part in args[1]
        )
        if name in LOOKS or masked:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


def looks_a_step(run: Callable[[int], object], steps: int = 1) -> float:
    run(steps)  # what torch does once in a process is no part of a step
    counts: list[int] = []
    for n in (steps, 2 * steps):
        with Looks() as looks:
            run(n)
        counts.append(sum(looks.found.values()))
    return (counts[1] - counts[0]) / steps


class OnDevice(TorchFunctionMode):
    """Refuses a tensor made without a device; the generators of `meta`, which has none, are left out."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func in {getattr(torch, name) for name in FACTORIES} and "weightflow" in sys._getframe(1).f_code.co_filename:
            assert given.get("device") is not None, f"torch.{func.__name__} is called without a device"
            if torch.device(given["device"]).type == "meta":
                given.pop("generator", None)
        return func(*args, **given)


@pytest.mark.parametrize(("backbone", "kind", "objective"), CASES)
def test_losses_and_their_gradients_stay_on_the_device_and_ask_it_for_nothing(
    backbone: str, kind: str, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = Attempt(prepared(backbone), config(backbone, objective, kind=kind, time=True), 0, "meta")
    training = attempt.training
    assert training is not None
    with OnDevice():
        taught = training.collocation.loss(training.rollout.field, training.options, torch.Generator())
        rolled = training.objective.loss(training.rollout, generator(0, "rollout"))
        (taught + rolled).backward()
    assert (taught.device.type, rolled.device.type) == ("meta", "meta")
    grown = [parameter.grad for parameter in training.rollout.field.parameters()]
    assert all(grad is not None and grad.device.type == "meta" for grad in grown)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_teachers_loss_marginals_and_draws_stay_on_the_device(backbone: str) -> None:
    made = prepared(backbone)
    path = made.taught.path(made.backbone).train().to("meta")
    with OnDevice():
        loss, _ = _loss(path, made.backbone, made.family, TeacherOptions(draws=5), generator(0, "teacher"), "meta")
        loss.backward()
        tokens = path(torch.zeros(3, device="meta")).detach()
        drawn = made.backbone.sample(tokens, torch.zeros(3, 5, 3, device="meta", dtype=torch.float64))
    assert (loss.device.type, drawn.device.type) == ("meta", "meta")


@pytest.mark.parametrize(
    ("solver", "memory"), [*((solver, "store") for solver in TABLEAUS), (Solver.RK4, "checkpoint")]
)
def test_a_fixed_step_solver_looks_at_the_device_once_a_training_step(solver: Solver, memory: str) -> None:
    def run(steps: int) -> None:
        asked = config("softmax", epochs={"rollout_steps": steps}, solver=solver.value, memory=memory, substeps=2)
        attempt = Attempt(prepared("softmax"), asked, 0, "cpu")
        assert attempt.training is not None
        attempt.training.epoch = asked.training.warm_epochs
        next(iter(attempt.training))

    assert looks_a_step(run) == 1


@pytest.mark.parametrize(
    ("backbone", "kind", "objective", "phase"),
    [*((*case, "rollout") for case in CASES), ("softmax", "ode", "anchor", "collocation")],
)
def test_a_training_step_looks_at_the_device_once(backbone: str, kind: str, objective: str, phase: str) -> None:
    def run(steps: int) -> None:
        asked = config(backbone, objective, {"rollout_steps": steps, "collocation_steps": steps}, kind=kind)
        attempt = Attempt(prepared(backbone), asked, 0, "cpu")
        assert attempt.training is not None
        attempt.training.epoch = 0 if phase == "collocation" else asked.training.warm_epochs
        next(iter(attempt.training))

    assert looks_a_step(run) == 1


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_fits_before_it_look_at_the_device_once_a_step_at_most(backbone: str) -> None:
    made = prepared(backbone)

    def teacher(steps: int) -> None:
        fit_teacher(made.backbone, made.family, made.taught, TeacherOptions(steps=steps, draws=5), 0)

    def base(steps: int) -> None:
        fit_base(made.backbone, made.snapshots, AnchorOptions(base_steps=steps), 0)

    def drift(steps: int) -> None:
        fit_drifts(made.snapshots, [range(4)], steps, 0)

    assert looks_a_step(teacher, 3) <= 1
    assert looks_a_step(base) <= 1
    assert looks_a_step(drift, 3) <= 1
