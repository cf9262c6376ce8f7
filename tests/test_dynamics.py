"""Solvers converge at their order, windows see their own times, and a still control keeps the weights still."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torchdiffeq import odeint

from weightflow.backbones import Layer, TokenLayout
from weightflow.dynamics import (
    CDEField,
    Direct,
    DynamicsKind,
    DynamicsOptions,
    Memory,
    ODEField,
    Rollout,
    Solution,
    Solved,
    Solver,
    SolverOptions,
    Table,
    Units,
    WeightPath,
    build_field,
    solve,
)
from weightflow.dynamics.attention import clock_features
from weightflow.dynamics.runge_kutta import TABLEAUS, march
from weightflow.errors import InputError, TrainingError
from weightflow.path import ControlPath
from weightflow.torch_rng import seeded

LAYOUT = TokenLayout((Layer("input", 9, 2), Layer("recurrent", 9, 3), Layer("output", 4, 3)))
TOKENS = (LAYOUT.n_tokens, LAYOUT.width)
FIXED = [solver for solver in Solver if not solver.adaptive]
ADAPTIVE = [solver for solver in Solver if solver.adaptive]


def units() -> Units:
    return Units(torch.zeros(TOKENS), torch.tensor(1.0), torch.tensor(1.0))


def control(values: list[float]) -> ControlPath:
    return ControlPath(torch.linspace(0, 1, len(values)), torch.tensor(values)[:, None])


def options(**values: object) -> DynamicsOptions:
    return DynamicsOptions.parse({"hidden": 8, "heads": 2, **values})


def field(seed: int = 0, **values: object) -> ODEField | CDEField:
    return build_field(LAYOUT, options(**values), units(), control([0.0, 1.0, 0.5]), seed)


def path(kind: DynamicsKind, seed: int = 0, **values: object) -> Rollout | Direct:
    """Build one path of each kind, from the same start."""
    start = torch.randn(TOKENS, generator=torch.Generator().manual_seed(7)) * LAYOUT.mask
    if kind is DynamicsKind.DIRECT:
        with seeded(seed, "direct"):
            return Direct(start, 16, LAYOUT.mask)
    chosen: dict[str, object] = {"kind": kind.value, "steps": 4, **values}
    return Rollout(start, field(seed, **chosen), options(**chosen))


class TestSolvers:
    """x' = -x + sin(3 t) has a closed form."""

    @staticmethod
    def decay(t: Tensor, x: Tensor) -> Tensor:
        return -x + torch.sin(3 * t)[:, None, None]

    @staticmethod
    def exact(t: Tensor) -> Tensor:
        return 1.3 * torch.exp(-t) + (torch.sin(3 * t) - 3 * torch.cos(3 * t)) / 10

    def error(self, steps: int, at_marks: bool = False, **values: object) -> float:
        """Largest error over [0, 2], at the marks or between them."""
        begin = torch.zeros(1, dtype=torch.float64)
        start = self.exact(begin)[:, None, None]
        solution = solve(self.decay, start, begin, begin + 2, steps, SolverOptions.parse(values))
        times = torch.linspace(0, 2, steps + 1 if at_marks else 7, dtype=torch.float64)
        found = solution.tokens if at_marks else solution.at(times[None])
        return float((found[0, :, 0, 0] - self.exact(times)).abs().max())

    @pytest.mark.parametrize("solver", FIXED)
    def test_a_fixed_step_solver_converges_at_its_order_between_the_marks_too(self, solver: Solver) -> None:
        measured = math.log2(self.error(32, solver=solver) / self.error(64, solver=solver))
        assert measured == pytest.approx(solver.order, abs=0.35)

    @pytest.mark.parametrize("solver", FIXED)
    def test_substeps_bring_the_same_order_with_the_marks_left_alone(self, solver: Solver) -> None:
        coarse, fine = (self.error(16, at_marks=True, solver=solver, substeps=n) for n in (2, 4))
        assert math.log2(coarse / fine) == pytest.approx(solver.order, abs=0.35)

    @pytest.mark.parametrize("solver", FIXED)
    def test_substeps_are_the_steps_of_as_many_more_marks(self, solver: Solver) -> None:
        begin, start = torch.zeros(1, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
        few = solve(self.decay, start, begin, begin + 2, 3, SolverOptions(solver=solver, substeps=3))
        many = solve(self.decay, start, begin, begin + 2, 9, SolverOptions(solver=solver))
        torch.testing.assert_close(few.tokens, many.tokens[:, ::3])

    @pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
    @pytest.mark.parametrize("solver", ADAPTIVE)
    def test_an_adaptive_solver_keeps_its_tolerance(self, solver: Solver, tolerance: float) -> None:
        slack = 100 if solver is Solver.FEHLBERG2 else 2
        assert self.error(4, at_marks=True, solver=solver, rtol=tolerance, atol=tolerance) < slack * tolerance

    @pytest.mark.parametrize("solver", ADAPTIVE)
    def test_an_adaptive_solver_takes_the_steps_that_the_tolerance_needs_whatever_the_marks(
        self, solver: Solver
    ) -> None:
        calls = {1e-2: 0, 1e-5: 0}

        def count(tolerance: float) -> Callable[[Tensor, Tensor], Tensor]:
            def counted(t: Tensor, x: Tensor) -> Tensor:
                calls[tolerance] += 1
                return self.decay(t, x)

            return counted

        begin, start = torch.zeros(1, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
        for tolerance in calls:
            chosen = SolverOptions(solver=solver, rtol=tolerance, atol=tolerance)
            solve(count(tolerance), start, begin, begin + 2, 1, chosen)
        # the number of steps goes with tolerance^(-1 / order of the estimated error)
        assert calls[1e-5] > 1.5 * calls[1e-2]

    @pytest.mark.parametrize("solver", ADAPTIVE)
    def test_an_adaptive_solver_never_looks_beyond_its_window(self, solver: Solver) -> None:
        seen: list[Tensor] = []

        def watched(t: Tensor, x: Tensor) -> Tensor:
            seen.append(t.clone())
            return 0 * x + 1.0  # so smooth that steps grow without bound

        begin = torch.tensor([0.25])
        solve(watched, torch.zeros(1, 1, 1), begin, begin + 0.5, 4, SolverOptions(solver=solver))
        assert 0.25 <= float(torch.cat(seen).min()) <= float(torch.cat(seen).max()) <= 0.75

    @pytest.mark.parametrize("memory", [Memory.STORE, Memory.CHECKPOINT, Memory.ADJOINT])
    @pytest.mark.parametrize("solver", ADAPTIVE)
    def test_an_adaptive_solver_that_cannot_go_on_says_so(self, solver: Solver, memory: Memory) -> None:
        begin, start = torch.zeros(1), torch.ones(1, 1, 1, requires_grad=True)
        chosen = SolverOptions(solver=solver, memory=memory, max_steps=50)
        with pytest.raises(TrainingError, match=r"gave up at .* of its stretch of the clock"):  # x = 1 / (1 - 2 t)
            solve(lambda t, x: 2 * x**2, start, begin, begin + 1, 4, chosen)
        with pytest.raises(TrainingError, match="steps have shrunk to nothing"):
            solve(lambda t, x: x / 0, start, begin, begin + 1, 4, chosen)

    def test_an_adjoint_equation_that_cannot_be_solved_says_so_on_the_way_back(self) -> None:
        begin, start = torch.zeros(1), torch.ones(1, 1, 1, requires_grad=True)
        chosen = SolverOptions(solver=Solver.DOPRI5, memory=Memory.ADJOINT)
        # x' = |x - 1|^(1/2) stands still at 1, where its derivative does not exist
        solution = solve(lambda t, x: (x - 1).abs().sqrt(), start, begin, begin + 1, 4, chosen)
        with pytest.raises(TrainingError, match="gave up"):
            solution.tokens[:, -1].sum().backward()


class TestWindows:
    def test_windows_of_one_batch_each_see_their_own_times(self) -> None:
        begin, end = torch.tensor([0.0, 0.5, 0.9]), torch.tensor([0.3, 1.0, 1.2])
        solution = solve(lambda t, x: 2 * t[:, None, None] + 0 * x, torch.zeros(3, 1, 1), begin, end, 4)
        torch.testing.assert_close(solution.tokens[:, -1, 0, 0], end**2 - begin**2)

    def test_a_window_that_starts_at_t_k_sees_the_control_path_at_t_k(self) -> None:
        steered = control([0.0, 1.0, -1.0, 2.0])
        seen: list[Tensor] = []

        def follow(t: Tensor, x: Tensor) -> Tensor:
            seen.append(t.clone())
            return steered.derivative(t)[:, :, None].expand_as(x)

        begin, end = torch.tensor([1 / 3, 2 / 3]), torch.tensor([2 / 3, 1.0])
        solution = solve(follow, torch.zeros(2, 1, 1), begin, end, 32, SolverOptions(solver=Solver.RK4))
        torch.testing.assert_close(seen[0], begin)
        # integrating dz/dt over a window gives the control's own increment there
        torch.testing.assert_close(solution.tokens[:, -1, 0, 0], torch.tensor([-2.0, 3.0]), atol=1e-4, rtol=0)

    @pytest.mark.parametrize("solver", list(Solver))
    def test_an_autonomous_field_gives_the_same_solution_at_a_later_time(self, solver: Solver) -> None:
        still = field(time=False, solver=solver.value)
        start = torch.randn(1, *TOKENS).expand(3, -1, -1)
        begin = torch.tensor([0.0, 0.3, 5.0])
        solution = solve(still, start, begin, begin + 0.5, 6, SolverOptions(solver=solver))
        torch.testing.assert_close(solution.tokens, solution.tokens[:1].expand_as(solution.tokens))

    def test_the_path_energy_of_constant_motion_is_half_the_squared_speed_times_time(self) -> None:
        begin = torch.tensor([0.2])
        solution = solve(lambda t, x: torch.full_like(x, 3.0), torch.zeros(1, 2, 2), begin, begin + 0.5, 5)
        torch.testing.assert_close(solution.energy, torch.tensor([0.5 * 4 * 9 * 0.5]))


class TestMemory:
    """What is kept for the gradient changes its cost, not its value."""

    @staticmethod
    def gradient(memory: Memory, solver: Solver, kind: str = "ode", steps: int = 8) -> tuple[Tensor, Tensor, Solution]:
        moving = field(kind=kind, time=False)  # the clock's fast features would need many steps
        start = torch.randn(2, *TOKENS, generator=torch.Generator().manual_seed(1)).requires_grad_()
        begin, end = torch.tensor([0.0, 0.3]), torch.tensor([0.5, 1.0])
        chosen = SolverOptions(solver=solver, memory=memory, rtol=1e-5, atol=1e-5)
        solution = solve(moving, start, begin, end, steps, chosen)
        between = solution.at(torch.tensor([[0.1, 0.41], [0.5, 0.9]]))
        (between.sin().sum() + 0.1 * solution.energy.sum()).backward()
        assert start.grad is not None
        parts = [parameter.grad.flatten() for parameter in moving.parameters() if parameter.grad is not None]
        return torch.cat(parts), start.grad, solution

    @pytest.mark.parametrize("kind", ["ode", "cde"])
    @pytest.mark.parametrize("solver", [Solver.RK4, Solver.EXPLICIT_ADAMS, Solver.DOPRI5])
    def test_a_checkpointed_rollout_has_the_very_same_gradient(self, solver: Solver, kind: str) -> None:
        stored, kept = (self.gradient(memory, solver, kind) for memory in (Memory.STORE, Memory.CHECKPOINT))
        for one, other in zip(stored[:2], kept[:2], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(stored[2].tokens, kept[2].tokens, rtol=0, atol=0)

    @pytest.mark.parametrize("kind", ["ode", "cde"])
    @pytest.mark.parametrize("solver", [Solver.RK4, Solver.EXPLICIT_ADAMS, Solver.DOPRI5])
    def test_the_adjoint_equation_gives_the_gradient_to_the_solvers_error(self, solver: Solver, kind: str) -> None:
        stored, adjoint = (self.gradient(memory, solver, kind) for memory in (Memory.STORE, Memory.ADJOINT))
        for one, other in zip(stored[:2], adjoint[:2], strict=True):
            assert float((one - other).norm() / one.norm()) < 1e-3
        torch.testing.assert_close(stored[2].tokens, adjoint[2].tokens, rtol=1e-5, atol=1e-5)

    def test_the_adjoint_gradient_converges_to_the_stored_one_with_the_step(self) -> None:
        def gap(steps: int) -> float:
            stored, adjoint = (self.gradient(m, Solver.EULER, steps=steps)[0] for m in (Memory.STORE, Memory.ADJOINT))
            return float((stored - adjoint).norm() / stored.norm())

        assert gap(16) < 0.6 * gap(8)

    def test_checkpoints_and_the_adjoint_keep_a_small_part_of_the_memory(self) -> None:
        def kept(memory: Memory) -> int:
            bytes_kept: dict[int, int] = {}

            def pack(x: Tensor) -> Tensor:
                bytes_kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
                return x

            still = field(depth=2)
            begin = torch.zeros(1)
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
                solution = solve(still, torch.randn(1, *TOKENS), begin, begin + 1, 10, SolverOptions(memory=memory))
            assert solution.tokens.requires_grad
            return sum(bytes_kept.values())

        stored = kept(Memory.STORE)
        assert kept(Memory.CHECKPOINT) < stored / 8
        assert kept(Memory.ADJOINT) < stored / 8

    def test_the_adjoint_is_refused_where_dropout_changes_the_field_on_the_way_back(self) -> None:
        with pytest.raises(InputError, match=r"`memory`=adjoint .* take `memory`=checkpoint or `dropout`=0"):
            options(memory="adjoint", dropout=0.1)

    def test_checkpoints_meet_the_same_dropout_again(self) -> None:
        def gradient(memory: Memory) -> Tensor:
            noisy = field(dropout=0.3).train()
            with seeded(3, "dropout"):
                begin = torch.zeros(1)
                # one step, so that both modes draw the same masks
                solution = solve(noisy, torch.ones(1, *TOKENS), begin, begin + 1, 1, SolverOptions(memory=memory))
                solution.tokens[:, -1].sin().sum().backward()
            bias = noisy.attention.bias.grad
            assert bias is not None
            return bias

        torch.testing.assert_close(gradient(Memory.STORE), gradient(Memory.CHECKPOINT))


@pytest.mark.parametrize("kind", list(DynamicsKind))
class TestEveryPath:
    """The contract of `WeightPath`."""

    def test_it_is_a_weight_path(self, kind: DynamicsKind) -> None:
        assert isinstance(path(kind), WeightPath)

    @pytest.mark.parametrize("solver", list(Solver))
    def test_weights_at_one_time_do_not_depend_on_the_other_times_asked_for(
        self, kind: DynamicsKind, solver: Solver
    ) -> None:
        moving = path(kind, solver=solver.value, time=False)
        together = moving.weights(torch.tensor([1.7, 0.3, 1.0]))
        alone = torch.cat([moving.weights(torch.tensor([t])) for t in (1.7, 0.3, 1.0)])
        torch.testing.assert_close(together, alone, atol=3e-3 if solver.adaptive else 1e-5, rtol=0)

    def test_it_starts_at_clock_zero_where_it_was_told_to(self, kind: DynamicsKind) -> None:
        moving = path(kind)
        start = moving.base if isinstance(moving, Direct) else moving.start
        # a direct path is drawn near its base, and a rollout starts there exactly
        deviation = 0.05 if isinstance(moving, Direct) else 0.0
        torch.testing.assert_close(moving.weights(torch.zeros(1))[0], start, atol=deviation, rtol=0)

    def test_it_is_the_same_after_its_state_has_been_stored_and_loaded(self, kind: DynamicsKind) -> None:
        first, second = path(kind, seed=1), path(kind, seed=2)
        t = torch.tensor([0.0, 0.7, 1.0, 2.0])
        assert not torch.equal(first.weights(t), second.weights(t))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first.weights(t), second.weights(t))

    def test_it_is_the_same_for_the_same_seed_and_leaves_the_global_generator_alone(self, kind: DynamicsKind) -> None:
        state = torch.get_rng_state()
        first, again = (path(kind, seed=5).weights(torch.tensor([0.6])) for _ in range(2))
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(first, again)

    def test_it_is_continuous_across_the_end_of_the_fitted_span(self, kind: DynamicsKind) -> None:
        t = torch.tensor([1.0 - 1e-4, 1.0, 1.0 + 1e-4])
        before, at, after = path(kind).weights(t)
        torch.testing.assert_close(before, at, atol=1e-3, rtol=0)
        torch.testing.assert_close(after, at, atol=1e-3, rtol=0)

    def test_padding_is_zero_at_all_times(self, kind: DynamicsKind) -> None:
        weights = path(kind).weights(torch.tensor([0.0, 0.5, 1.0, 1.5]))
        assert float(weights[:, ~LAYOUT.mask].abs().max().detach()) == 0.0

    def test_gradients_reach_all_its_parameters(self, kind: DynamicsKind) -> None:
        moving = path(kind)
        moving.weights(torch.tensor([0.2, 0.9])).pow(2).sum().backward()
        without = [name for name, p in moving.named_parameters() if p.grad is None or not bool(p.grad.abs().any())]
        assert without == []


class TestFields:
    @pytest.mark.parametrize("time", [True, False])
    def test_with_the_control_held_still_the_weights_stand_still(self, time: bool) -> None:
        cde = options(kind="cde", time=time)
        still = build_field(LAYOUT, cde, units(), control([0.7, 0.7, 0.7]), seed=0)
        start = torch.randn(TOKENS)
        weights = Rollout(start, still, cde).weights(torch.tensor([0.0, 0.4, 1.0, 1.5]))
        torch.testing.assert_close(weights, start.expand_as(weights))

    def test_a_control_that_runs_twice_as_far_drives_a_linear_response_twice_as_far(self) -> None:
        cde = options(kind="cde")
        far, near = (build_field(LAYOUT, cde, units(), control(z), seed=0) for z in ([0.0, 2.0, 1.0], [0.0, 1.0, 0.5]))
        t, x = torch.tensor([0.1, 0.8]), torch.randn(2, *TOKENS)
        assert float(near(t, x).abs().max().detach()) > 1e-3
        torch.testing.assert_close(far(t, x), 2 * near(t, x))

    def test_an_autonomous_field_does_not_see_the_clock_and_the_other_one_does(self) -> None:
        tokens = torch.randn(1, *TOKENS).expand(2, -1, -1)
        t = torch.tensor([0.1, 0.8])
        still, moving = field(time=False)(t, tokens), field(time=True)(t, tokens)
        torch.testing.assert_close(still[0], still[1])
        assert float((moving[0] - moving[1]).abs().max().detach()) > 1e-4

    def test_beyond_the_fitted_span_every_field_is_autonomous(self) -> None:
        tokens = torch.randn(1, *TOKENS).expand(3, -1, -1)
        speed = field(time=True)(torch.tensor([1.0, 1.4, 9.0]), tokens)
        torch.testing.assert_close(speed, speed[:1].expand_as(speed))
        assert not torch.equal(clock_features(torch.tensor([0.9])), clock_features(torch.tensor([1.0])))

    @pytest.mark.parametrize("kind", ["ode", "cde"])
    def test_a_path_that_coasts_goes_on_beyond_its_end_as_it_last_went_slower_and_slower(self, kind: str) -> None:
        free = path(DynamicsKind(kind), time=True, steps=16)
        assert isinstance(free, Rollout)
        coasting = Rollout(free.start, free.field, free.options, coasts=True)
        inside, t = torch.linspace(0.0, 1.0, 7), torch.tensor([0.3, 1.1, 1.5, 50.0])
        torch.testing.assert_close(coasting.weights(inside), free.weights(inside), rtol=0, atol=0)
        before, end = free.weights(torch.tensor([0.875, 1.0]))
        velocity = (end - before) / 0.125
        gone = (1 - torch.exp(-5.0 * (t[1:] - 1.0))) / 5.0
        torch.testing.assert_close(coasting.weights(t)[1:], end + velocity * gone[:, None, None])
        torch.testing.assert_close(coasting.weights(t)[0], free.weights(t[:1])[0])
        torch.testing.assert_close(coasting.weights(t[2:3])[0], coasting.weights(t)[2], rtol=0, atol=0)
        assert float((coasting.weights(t) - free.weights(t))[2].abs().max().detach()) > 1e-4

    @pytest.mark.parametrize("values", [{"kind": "ode"}, {"kind": "cde"}, {"kind": "cde", "time_channel": False}])
    def test_a_field_that_decays_leads_to_the_centre_at_its_rate(self, values: dict[str, object]) -> None:
        chosen = options(**values, decay=3.0, solver="rk4")
        centre, start = (torch.randn(TOKENS) * LAYOUT.mask for _ in range(2))
        off = Units(centre, torch.tensor(1.0), torch.tensor(1.0))
        still = build_field(LAYOUT, chosen, off, control([0.0, 1.0, 0.5]), seed=0)
        still.load_state_dict(
            {name: part * ("outputs" not in name and "bias" not in name) for name, part in still.state_dict().items()}
            | {f"units.{name}": part for name, part in off.state_dict().items()}
        )
        t = torch.tensor([0.0, 0.3, 1.0, 1.5])
        left = torch.exp(-3.0 * t)[:, None, None]
        kept = left if values.get("time_channel", True) else torch.ones_like(left)
        expected = centre + (start - centre) * kept
        weights = Rollout(start, still, options(**values, decay=3.0, steps=32, solver="rk4")).weights(t)
        torch.testing.assert_close(weights.detach(), expected, rtol=1e-3, atol=1e-4)

    def test_the_parameters_of_several_fields_can_be_stacked(self) -> None:
        fields = [field(seed) for seed in range(3)]
        stacked, buffers = torch.func.stack_module_state(fields)  # pyright: ignore[reportArgumentType]
        t, x = torch.rand(2), torch.randn(2, *TOKENS)

        def speed(parameters: dict[str, Tensor], held: dict[str, Tensor]) -> Tensor:
            return torch.func.functional_call(fields[0], (parameters, held), (t, x))

        with sdpa_kernel(SDPBackend.MATH):  # the CPU's fused attention cannot be stacked
            together = torch.vmap(speed)(stacked, buffers)
        torch.testing.assert_close(together, torch.stack([one(t, x) for one in fields]))

    def test_a_cde_without_a_control_path_and_a_direct_field_are_refused(self) -> None:
        with pytest.raises(InputError, match="needs a control path"):
            build_field(LAYOUT, options(kind="cde"), units(), None, seed=0)
        with pytest.raises(InputError, match="has no vector field"):
            build_field(LAYOUT, options(kind="direct"), units(), None, seed=0)

    def test_heads_that_do_not_divide_the_hidden_size_are_refused(self) -> None:
        with pytest.raises(InputError, match="must divide"):
            options(hidden=8, heads=3)


class TestAttention:
    CHAIN = TokenLayout(tuple(Layer(str(i), rows, 2) for i, rows in enumerate([2, 3, 1, 2, 2])))

    def reached(self, depth: int, attention: str) -> list[list[bool]]:
        """Whether a change in one layer (row) shows in the speed of another (column)."""
        layout = self.CHAIN
        shape = (layout.n_tokens, layout.width)
        still = Units(torch.zeros(shape), torch.tensor(1.0), torch.tensor(1.0))
        net = build_field(layout, options(depth=depth, attention=attention), still, None, seed=0).double()
        tokens, t = torch.randn(1, *shape, dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)
        moved: list[list[bool]] = []
        for layer in range(len(layout.layers)):
            changed = tokens + (layout.layer_of == layer)[:, None] * torch.randn(shape)
            blocks = layout.unpack((net(t, changed) - net(t, tokens)).detach())
            moved.append([bool((block.abs() > 1e-15).any()) for block in blocks])
        return moved

    @pytest.mark.parametrize("depth", [1, 2, 4])
    def test_along_the_graph_information_passes_one_layer_in_each_layer_of_attention(self, depth: int) -> None:
        n = len(self.CHAIN.layers)
        assert self.reached(depth, "graph") == [[abs(i - j) <= depth for j in range(n)] for i in range(n)]

    def test_complete_attention_passes_information_everywhere_at_once(self) -> None:
        assert all(itertools.chain(*self.reached(1, "complete")))

    def test_where_all_layers_touch_both_attentions_are_the_same(self) -> None:
        layout = TokenLayout(self.CHAIN.layers[:2])
        shape = (layout.n_tokens, layout.width)
        still = Units(torch.zeros(shape), torch.tensor(1.0), torch.tensor(1.0))
        x, t = torch.randn(2, *shape), torch.rand(2)
        complete, graph = (
            build_field(layout, options(attention=kind), still, None, seed=0)(t, x) for kind in ("complete", "graph")
        )
        torch.testing.assert_close(complete, graph)

    def test_the_mask_is_not_part_of_the_state(self) -> None:
        assert set(field(attention="graph").state_dict()) == set(field(attention="complete").state_dict())

    def test_without_the_place_in_the_graph_the_rows_of_a_layer_can_be_exchanged(self) -> None:
        net = field(seed=2).attention
        torch.nn.init.zeros_(net.place)
        x, t = torch.randn(1, *TOKENS), torch.rand(1)
        rows = [1, 0, *range(2, LAYOUT.n_tokens)]  # the first two tokens are of one layer
        torch.testing.assert_close(net(t, x[:, rows]), net(t, x)[:, rows])


def test_a_table_interpolates_linearly_and_goes_on_beyond_its_end() -> None:
    table = Table(torch.tensor([0.0, 1.0]), torch.stack([torch.zeros(TOKENS), torch.ones(TOKENS)]))
    torch.testing.assert_close(table.weights(torch.tensor([0.25, 1.0, 2.0]))[:, 0, 0], torch.tensor([0.25, 1.0, 2.0]))


def test_a_rollout_that_is_solved_once_has_the_same_weights_to_the_last_digit() -> None:
    rollout = path(DynamicsKind.ODE, 3)
    assert isinstance(rollout, Rollout)
    solved, solutions = Solved(rollout), 0

    def count(*_: object) -> None:
        nonlocal solutions
        solutions += 1

    times = [torch.tensor(asked) for asked in ([0.3], [0.9, 0.1], [1.6], [0.3], [1.7, 0.2])]
    expected = [rollout.weights(asked).detach() for asked in times]
    rollout.field.register_forward_hook(count)
    first = solved.weights(times[0])
    once = solutions
    found = [first, *(solved.weights(asked) for asked in times[1:])]
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad
    assert once < solutions < 4 * once  # to clock 1, and once beyond it
    solutions = 0
    assert torch.equal(solved.weights(times[1]), expected[1])
    assert solutions == 0


@pytest.mark.parametrize("solver", TABLEAUS)
def test_our_methods_of_fixed_step_take_the_steps_of_torchdiffeqs(solver: Solver) -> None:
    def field(t: Tensor, x: Tensor) -> Tensor:
        return torch.sin(3 * t) * x.cos() - 0.5 * x

    start = torch.linspace(-2, 2, 5, dtype=torch.float64)
    marks = torch.linspace(0, 1, 8, dtype=torch.float64)
    theirs = odeint(field, start, marks, method=solver.value)
    ours = march(lambda t, x: field(torch.tensor(t, dtype=torch.float64), x), start, 7, solver)
    torch.testing.assert_close(torch.stack(list(ours)), theirs, rtol=1e-12, atol=1e-12)
