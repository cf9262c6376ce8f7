"""Explicit Runge-Kutta methods of fixed step, which ask the device for no value.

A solver that asks whether it has come to a mark waits for the device at each step, and a GPU idles meanwhile:
torchdiffeq compares tensors of times. Here time is a number of the host, and the device is only ever given more to do.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from weightflow.dynamics.options import Solver

System = Callable[[float, Tensor], Tensor]
Weights = tuple[float, ...]

# Butcher's tableaus: how far each stage goes along the slopes before it, and how the step is made of all slopes
TABLEAUS: dict[Solver, tuple[tuple[Weights, ...], Weights]] = {
    Solver.EULER: (((),), (1.0,)),
    Solver.MIDPOINT: (((), (1 / 2,)), (0.0, 1.0)),
    Solver.HEUN2: (((), (1.0,)), (1 / 2, 1 / 2)),
    Solver.HEUN3: (((), (1 / 3,), (0.0, 2 / 3)), (1 / 4, 0.0, 3 / 4)),
    Solver.RK4: (((), (1 / 3,), (-1 / 3, 1.0), (1.0, -1.0, 1.0)), (1 / 8, 3 / 8, 3 / 8, 1 / 8)),  # Kutta's 3/8 rule
}


def march(system: System, start: Tensor, steps: int, solver: Solver) -> Iterator[Tensor]:
    """Yield the state at the start of [0, 1] and after each of as many equal steps through it."""
    stages, weights = TABLEAUS[solver]
    state, length = start, 1 / steps
    yield state
    for i in range(steps):
        slopes: list[Tensor] = []
        for stage in stages:
            time = min((i + sum(stage)) * length, 1.0)
            slopes.append(system(time, _moved(state, stage, slopes, length)))
        state = _moved(state, weights, slopes, length)
        yield state


def _moved(state: Tensor, weights: Weights, slopes: Sequence[Tensor], length: float) -> Tensor:
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            state = torch.add(state, slope, alpha=weight * length)
    return state
