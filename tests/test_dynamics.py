"""Solvers converge at their order, windows see their own times, and a still control keeps the weights still."""

import math

import pytest
import torch
from torch import Tensor

from weightflow.backbones import Layer, TokenLayout
from weightflow.dynamics import DynamicsKind, DynamicsOptions, Rollout, Solver, Table, Units, build_field, solve
from weightflow.path import ControlPath

LAYOUT = TokenLayout((Layer("input", 9, 2), Layer("recurrent", 9, 3), Layer("output", 4, 3)))
TOKENS = (LAYOUT.n_tokens, LAYOUT.width)


def units() -> Units:
    return Units(torch.zeros(TOKENS), torch.tensor(1.0), torch.tensor(1.0))


def control(values: list[float]) -> ControlPath:
    return ControlPath(torch.linspace(0, 1, len(values)), torch.tensor(values)[:, None])


def options(**values: object) -> DynamicsOptions:
    return DynamicsOptions.parse({"hidden": 8, "heads": 2, **values})


@pytest.mark.parametrize(("solver", "order"), [(Solver.EULER, 1), (Solver.MIDPOINT, 2), (Solver.RK4, 4)])
def test_integration_converges_at_its_order(solver: Solver, order: int) -> None:
    def decay(t: Tensor, x: Tensor) -> Tensor:  # x' = -x + sin(3 t)
        return -x + torch.sin(3 * t)[:, None, None]

    def exact(t: Tensor) -> Tensor:
        return 1.3 * torch.exp(-t) + (torch.sin(3 * t) - 3 * torch.cos(3 * t)) / 10

    start = exact(torch.zeros(1, dtype=torch.float64))[:, None, None]
    times = torch.linspace(0, 2, 7, dtype=torch.float64)[None]

    def error(steps: int) -> float:
        begin = torch.zeros(1, dtype=torch.float64)
        solution = solve(decay, start, begin, begin + 2, steps, solver)
        return float((solution.at(times)[0, :, 0, 0] - exact(times[0])).abs().max())

    measured = math.log2(error(16) / error(32))
    assert measured == pytest.approx(order, abs=0.35)


def test_the_adaptive_solver_keeps_its_tolerance() -> None:
    begin = torch.zeros(1, dtype=torch.float64)
    start = torch.ones(1, 1, 1, dtype=torch.float64)
    solution = solve(lambda t, x: -3 * x, start, begin, begin + 1, 4, Solver.DOPRI5, tolerance=1e-6)
    assert float(solution.tokens[0, -1]) == pytest.approx(math.exp(-3), rel=1e-5)


def test_windows_of_one_batch_each_see_their_own_times() -> None:
    begin, end = torch.tensor([0.0, 0.5, 0.9]), torch.tensor([0.3, 1.0, 1.2])
    solution = solve(lambda t, x: 2 * t[:, None, None] + 0 * x, torch.zeros(3, 1, 1), begin, end, 4)
    torch.testing.assert_close(solution.tokens[:, -1, 0, 0], end**2 - begin**2)


def test_a_window_that_starts_at_t_k_sees_the_control_path_at_t_k() -> None:
    path = control([0.0, 1.0, -1.0, 2.0])
    seen: list[Tensor] = []

    def field(t: Tensor, x: Tensor) -> Tensor:
        seen.append(t.clone())
        return path.derivative(t)[:, :, None].expand_as(x)

    begin, end = torch.tensor([1 / 3, 2 / 3]), torch.tensor([2 / 3, 1.0])
    solution = solve(field, torch.zeros(2, 1, 1), begin, end, 32)
    torch.testing.assert_close(seen[0], begin)
    # integrating dz/dt over a window gives the control's own increment there
    torch.testing.assert_close(solution.tokens[:, -1, 0, 0], torch.tensor([-2.0, 3.0]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("time", [True, False])
def test_with_the_control_held_still_the_weights_stand_still(time: bool) -> None:
    cde = options(kind="cde", time=time)
    field = build_field(LAYOUT, cde, units(), control([0.7, 0.7, 0.7]), seed=0)
    start = torch.randn(TOKENS)
    weights = Rollout(start, field, cde).weights(torch.tensor([0.0, 0.4, 1.0, 1.5]))
    torch.testing.assert_close(weights, start.expand_as(weights))


def test_with_a_moving_control_the_weights_move() -> None:
    cde = options(kind="cde")
    rollout = Rollout(torch.randn(TOKENS), build_field(LAYOUT, cde, units(), control([0.0, 2.0, 1.0]), seed=0), cde)
    assert float((rollout.weights(torch.tensor([0.5])) - rollout.start).abs().max().detach()) > 1e-3


@pytest.mark.parametrize("kind", list(DynamicsKind))
@pytest.mark.parametrize("solver", list(Solver))
def test_weights_at_one_time_do_not_depend_on_the_other_times_asked_for(kind: DynamicsKind, solver: Solver) -> None:
    chosen = options(kind=kind.value, solver=solver.value, steps=8)
    field = build_field(LAYOUT, chosen, units(), control([0.0, 1.0, 0.5]), seed=1)
    rollout = Rollout(torch.randn(TOKENS), field, chosen)
    together = rollout.weights(torch.tensor([1.7, 0.3, 1.0]))
    alone = torch.cat([rollout.weights(torch.tensor([t])) for t in (1.7, 0.3, 1.0)])
    torch.testing.assert_close(together, alone, atol=3e-3 if solver.adaptive else 1e-5, rtol=0)


def test_an_autonomous_field_does_not_see_the_clock_and_the_other_one_does() -> None:
    tokens = torch.randn(2, *TOKENS)
    tokens[1] = tokens[0]
    t = torch.tensor([0.1, 0.8])
    still = build_field(LAYOUT, options(time=False), units(), None, seed=0)(t, tokens)
    moving = build_field(LAYOUT, options(time=True), units(), None, seed=0)(t, tokens)
    torch.testing.assert_close(still[0], still[1])
    assert float((moving[0] - moving[1]).abs().max().detach()) > 1e-4


def test_padding_never_moves() -> None:
    field = build_field(LAYOUT, options(), units(), None, seed=0)
    speed = field(torch.zeros(3), torch.randn(3, *TOKENS))
    assert float(speed[:, ~LAYOUT.mask].abs().max().detach()) == 0.0


def test_the_path_energy_of_constant_motion_is_half_the_squared_speed_times_time() -> None:
    begin = torch.tensor([0.2])
    solution = solve(lambda t, x: torch.full_like(x, 3.0), torch.zeros(1, 2, 2), begin, begin + 0.5, 5)
    torch.testing.assert_close(solution.energy, torch.tensor([0.5 * 4 * 9 * 0.5]))


def test_a_field_is_the_same_for_the_same_seed_and_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (build_field(LAYOUT, options(), units(), None, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    x, t = torch.randn(1, *TOKENS), torch.tensor([0.5])
    assert torch.equal(first(t, x), again(t, x))
    assert not torch.equal(first(t, x), other(t, x))


def test_a_table_interpolates_linearly_and_goes_on_beyond_its_end() -> None:
    table = Table(torch.tensor([0.0, 1.0]), torch.stack([torch.zeros(TOKENS), torch.ones(TOKENS)]))
    torch.testing.assert_close(table.weights(torch.tensor([0.25, 1.0, 2.0]))[:, 0, 0], torch.tensor([0.25, 1.0, 2.0]))


def test_heads_that_do_not_divide_the_hidden_size_are_refused() -> None:
    with pytest.raises(ValueError, match="must divide"):
        options(hidden=8, heads=3)
