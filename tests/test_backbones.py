"""Every backbone is a normalised density, sampled exactly, and a pure function of its weights: one contract for all."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

from weightflow.backbones import Backbone, BackboneOptions, Layer, TokenLayout
from weightflow.backbones.cores import Transformer
from weightflow.backbones.heads import Constant, Gaussian, Logistic, Softmax
from weightflow.backbones.heads.mixture import components
from weightflow.backbones.heads.softmax import TAIL_LOGIT
from weightflow.data import Snapshots
from weightflow.errors import InputError
from weightflow.torch_rng import quasi_uniforms, torch_generator, uniforms
from weightflow.types import Kind

CORES = ("gru", "transformer")
COUNTS = [(core, head) for core in CORES for head in ("softmax", "logistic")]


def small_counts() -> Snapshots:
    """Two species with the counts 0 .. 4."""
    return Snapshots(np.array([0.0, 1.0]), (np.array([[0.0, 4.0], [2.0, 0.0]]), np.array([[4.0, 3.0], [1.0, 1.0]])))


def mixed() -> Snapshots:
    rng = np.random.default_rng(0)
    clouds = tuple(np.stack([rng.normal(50 + k, 3.0, 90), rng.poisson(30.0, 90).astype(float)], 1) for k in range(2))
    return Snapshots(np.array([0.0, 1.0]), clouds, kinds=(Kind.CONTINUOUS, Kind.COUNTS))


def build(snapshots: Snapshots, **options: object) -> Backbone:
    return BackboneOptions.parse({"hidden": 4, "components": 3, **options}).build(snapshots)


def weights(backbone: Backbone, n: int, seed: int = 0) -> torch.Tensor:
    return torch.stack([2 * backbone.init(torch_generator(seed, "weights", i)) for i in range(n)])


def grid(most: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(most), repeat=2)), dtype=torch.float32)


@pytest.fixture(params=COUNTS, ids="-".join)
def counts(request: pytest.FixtureRequest) -> Backbone:
    core, head = request.param
    return build(small_counts(), kind=core, head=head)


@pytest.fixture(params=[*COUNTS, *((core, "mixed") for core in CORES)], ids="-".join)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    core, head = request.param
    return build(mixed(), kind=core) if head == "mixed" else build(small_counts(), kind=core, head=head)


def test_the_papers_backbone_has_the_token_counts_of_the_paper() -> None:
    clouds = (np.zeros((2, 3)), np.full((2, 3), 51.0))
    paper = build(Snapshots(np.array([0.0, 1.0]), clouds), hidden=8, head="softmax", places=False)
    assert (paper.layout.n_tokens, paper.layout.width) == (100, 9)


def test_the_size_of_a_logistic_backbone_does_not_depend_on_the_counts() -> None:
    sizes = {
        build(Snapshots(np.array([0.0, 1.0]), (np.zeros((2, 3)), np.full((2, 3), most))), head="logistic").layout
        for most in (9.0, 100_000.0)
    }
    assert len(sizes) == 1


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=4), st.integers(0, 3))
@settings(max_examples=30)
def test_packing_undoes_unpacking_and_pads_with_zeros(shapes: list[tuple[int, int]], stack: int) -> None:
    layout = TokenLayout(tuple(Layer(f"layer{i}", rows, fan_in) for i, (rows, fan_in) in enumerate(shapes)))
    tokens = torch.randn(stack, layout.n_tokens, layout.width) * layout.mask
    assert torch.equal(layout.pack(layout.unpack(tokens)), tokens)
    assert int(layout.mask.sum()) == layout.n_weights


def test_first_weights_stand_only_where_the_layout_has_weights(backbone: Backbone) -> None:
    tokens = backbone.init(torch_generator(0, "weights"))
    assert tokens.shape == (backbone.layout.n_tokens, backbone.layout.width)
    assert not tokens[~backbone.layout.mask].any()


def test_the_density_sums_to_one_over_all_states(counts: Backbone) -> None:
    tokens = weights(counts, 3)
    mass = counts.log_prob(tokens, grid(201).expand(3, -1, -1)).exp().sum(1)
    torch.testing.assert_close(mass, torch.ones(3), atol=1e-4, rtol=0)


def test_the_density_of_continuous_values_integrates_to_one_in_the_datas_units() -> None:
    cloud = np.random.default_rng(0).normal(50.0, 3.0, (200, 1))
    one = build(Snapshots(np.array([0.0, 1.0]), (cloud, cloud + 1)))
    x = torch.linspace(0.0, 100.0, 20_001)
    density = one.log_prob(weights(one, 1), x[None, :, None])[0].exp()
    assert torch.trapezoid(density, x) == pytest.approx(1.0, abs=1e-4)


def test_a_gaussian_head_agrees_with_scipy() -> None:
    cloud = np.random.default_rng(0).normal(50.0, 3.0, (200, 1))
    one = build(Snapshots(np.array([0.0, 1.0]), (cloud, cloud + 1)), components=1)
    bias = one.heads[0].first_bias()
    assert isinstance(one.heads[0], Gaussian)
    mean, deviation = one.heads[0].locations[0], one.heads[0].scales[0]
    spread = deviation * (1e-3 + math.exp(float(bias[2])))  # softplus above the least scale adds the two
    x = torch.tensor([45.0, 50.0, 58.0])
    expected = stats.norm(mean, spread).logpdf(x.numpy())
    log_prob = one.heads[0].log_prob(bias.expand(3, 1, -1), x[:, None])[:, 0]
    np.testing.assert_allclose(log_prob.numpy(), expected, atol=5e-3)


def test_sampled_frequencies_agree_with_the_density(counts: Backbone) -> None:
    tokens, n = weights(counts, 1), 200_000
    most = 30
    samples = counts.sample(tokens, uniforms(n, 2, 0, "draw")[None])[0].long().clamp(max=most - 1)
    frequencies = torch.bincount(samples[:, 0] * most + samples[:, 1], minlength=most**2) / n
    expected = counts.log_prob(tokens, grid(most)[None])[0].exp()
    inner = (grid(most) < most - 1).all(1)  # the last row of the table holds all that lies beyond
    error = (expected * (1 - expected) / n).sqrt()
    assert ((frequencies - expected).abs()[inner] < 5 * error[inner] + 2e-5).all()


def test_samples_of_a_mixed_backbone_follow_its_density() -> None:
    one = build(mixed())
    tokens = weights(one, 1)
    samples = one.sample(tokens, quasi_uniforms(4096, 2, 0, "draw")[None])[0]
    assert torch.equal(samples[:, 1], samples[:, 1].round())
    first = samples[:, 0].double().sort().values
    x = torch.linspace(0.0, 120.0, 24_001)
    density = one.log_prob(tokens, torch.stack([x, 0 * x], 1)[None], species=one.order[:1])[0].exp().double()
    cdf = torch.cumulative_trapezoid(density, x.double())
    at = cdf[torch.searchsorted(x, first.float()).clamp(1, len(cdf)) - 1]
    assert (at - (torch.arange(4096) + 0.5) / 4096).abs().max() < 5e-3


def test_the_quantile_of_the_cumulative_probability_is_the_count_itself(counts: Backbone) -> None:
    head = counts.heads[0].take(1)
    assert isinstance(head, Softmax | Logistic)
    params = torch.randn(7, 1, head.rows, generator=torch_generator(0, "params"))
    cumulated = head.log_masses(params, 20).exp().cumsum(-1)[:, 0]
    for count in range(15):
        below = cumulated[:, count - 1] if count else torch.zeros(7)
        middle = ((below + cumulated[:, count]) / 2).clamp(1e-7, 1 - 1e-7)
        wide = cumulated[:, count] - below > 1e-5
        assert (head.quantile(params, middle[:, None])[wide] == count).all()


def test_the_quantile_of_a_mixture_inverts_its_cumulative_distribution_in_double_precision() -> None:
    one = alone(np.random.default_rng(0).normal(1e6, 0.01, 400))
    head = one.heads[0]
    assert isinstance(head, Gaussian)
    params = torch.randn(1, 1, head.rows, generator=torch_generator(0, "params"), dtype=torch.float64) * 3
    u = torch.linspace(1e-6, 1 - 1e-6, 1001, dtype=torch.float64)[:, None]
    y = head.encode(head.quantile(params.expand(1001, -1, -1), u))
    parts = components(params, torch.tensor([[math.log(1e-3)]]))
    cumulated = (parts.log_weights.exp() * stats.norm(parts.means, parts.log_scales.exp()).cdf(y.numpy())).sum(-1)
    assert float((cumulated - u).abs().max()) < 1e-5  # y has an error of 1e-8 here, since x has sixteen digits


def test_listed_probabilities_sum_to_one_with_the_tail_in_the_last(counts: Backbone) -> None:
    head = counts.heads[0]
    assert isinstance(head, Softmax | Logistic)
    params = torch.randn(7, 2, head.rows, generator=torch_generator(0, "params"))
    for states in (head.states, head.states + 9):
        masses = head.log_masses(params, states).exp()
        assert masses.shape == (7, 2, states)
        torch.testing.assert_close(masses.sum(-1), torch.ones(7, 2))
        for x in (2, states - 2):
            expected = head.log_prob(params, torch.full((7, 2), float(x))).exp()
            torch.testing.assert_close(masses[..., x], expected)


def test_a_stack_gives_what_its_members_give_alone(backbone: Backbone) -> None:
    tokens = weights(backbone, 4)
    samples = torch.randint(0, 5, (4, 30, 2), generator=torch_generator(0, "samples")).float()
    together = backbone.log_prob(tokens, samples)
    alone = torch.cat([backbone.log_prob(tokens[i : i + 1], samples[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone)


def test_a_conditional_depends_on_no_species_that_comes_later(backbone: Backbone) -> None:
    tokens = weights(backbone, 1)
    one, other = torch.tensor([[[49.0, 4.0]]]), torch.tensor([[[49.0, 0.0]]])
    assert torch.equal(
        backbone.log_prob(tokens, one, species=backbone.order[:1]),
        backbone.log_prob(tokens, other, species=backbone.order[:1]),
    )
    seconds = [
        backbone.log_prob(tokens, x) - backbone.log_prob(tokens, x, species=backbone.order[:1])
        for x in (one, torch.tensor([[[52.0, 4.0]]]), torch.tensor([[[0.0, 4.0]]]))
    ]
    assert any(not torch.allclose(seconds[0], other) for other in seconds[1:])


def test_a_whole_sequence_reads_as_its_parts_one_after_the_other(backbone: Backbone) -> None:
    matrices = backbone.layout.unpack(weights(backbone, 2))
    walk = backbone.core.bind(matrices[1 : -len(backbone.heads)])
    x = torch.randn(2, 3, 5, backbone.layout.layers[0].rows, generator=torch_generator(0, "x"))
    state: Any = walk.start(5)
    stepped: list[torch.Tensor] = []
    for k in range(3):
        hidden, state = walk.step(x[:, k], state)
        stepped.append(hidden)
    torch.testing.assert_close(walk.read(x), torch.stack(stepped, 2))


def test_a_backbone_written_as_json_is_the_same_function(backbone: Backbone) -> None:
    again = Backbone.model_validate_json(backbone.model_dump_json())
    samples = torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])
    tokens = weights(backbone, 1)
    assert torch.equal(again.log_prob(tokens, samples), backbone.log_prob(tokens, samples))


@pytest.mark.parametrize("core", CORES)
def test_the_order_of_description_is_not_the_order_of_the_columns(core: str) -> None:
    forth, back = (build(small_counts(), kind=core).model_copy(update={"order": order}) for order in ((0, 1), (1, 0)))
    tokens = weights(forth, 1)
    samples = torch.tensor([[[3.0, 1.0], [0.0, 4.0]]])
    torch.testing.assert_close(back.log_prob(tokens, samples), forth.log_prob(tokens, samples.flip(-1)))
    drawn = uniforms(50, 2, 0, "draw")[None]
    assert torch.equal(back.sample(tokens, drawn), forth.sample(tokens, drawn).flip(-1))


def test_orders_by_variance_and_at_random_list_each_species_once() -> None:
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(50, 4)) * [1.0, 9.0, 3.0, 0.1]
    snapshots = Snapshots(np.array([0.0, 1.0]), (cloud, cloud))
    assert build(snapshots, order="variance").order == (1, 2, 0, 3)
    assert sorted(build(snapshots, order="random").order) == [0, 1, 2, 3]


def test_a_torch_gru_with_the_same_weights_gives_the_same_density() -> None:
    one = build(small_counts(), head="softmax", places=False)
    tokens = weights(one, 1)[0]
    w_in, w_rec, w_out = one.layout.unpack(tokens)
    gru = torch.nn.GRU(3, 4, batch_first=True)
    with torch.no_grad():
        gru.get_parameter("weight_ih_l0").copy_(w_in[:, :-1])
        gru.get_parameter("bias_ih_l0").copy_(w_in[:, -1])
        gru.get_parameter("weight_hh_l0").copy_(w_rec[:, :-1])
        gru.get_parameter("bias_hh_l0").copy_(w_rec[:, -1])
        values = torch.tensor([[3, 4], [0, 1], [2, 2]])
        digits = torch.stack([(values[:, 0] >> k) & 1 for k in range(3)], -1).float()
        hidden, _ = gru(torch.stack([torch.zeros_like(digits), digits], 1))
        free = hidden @ w_out[:, :-1].T + w_out[:, -1]
        logits = torch.log_softmax(torch.nn.functional.pad(free, (0, 1), value=TAIL_LOGIT), -1)
        expected = logits.gather(-1, values[..., None])[..., 0].sum(1)
    torch.testing.assert_close(one.log_prob(tokens[None], values.float()[None])[0], expected)


def test_attention_over_the_species_before_is_attention_with_a_causal_mask() -> None:
    one = build(small_counts(), kind="transformer", hidden=4, heads=2)
    tokens = weights(one, 1)
    matrices = one.layout.unpack(tokens)
    assert isinstance(one.core, Transformer)
    walk = one.core.bind(matrices[1:-1])
    x = torch.randn(1, 2, 1, 4, generator=torch_generator(0, "x"))

    def linear(k: int, y: torch.Tensor) -> torch.Tensor:
        return y @ matrices[k][0, :, :-1].T + matrices[k][0, :, -1]

    def norm(y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.layer_norm(y, y.shape[-1:])

    y = x.transpose(1, 2)
    q, k, v = (part.unflatten(-1, (2, 2)).transpose(-2, -3) for part in linear(1, norm(y)).chunk(3, -1))
    attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    y = y + linear(2, attended.transpose(-2, -3).flatten(-2))
    y = norm(y + linear(4, torch.nn.functional.gelu(linear(3, norm(y)))))
    torch.testing.assert_close(walk.read(x), y)


@pytest.mark.parametrize("core", CORES)
def test_a_place_is_the_product_of_the_first_layer_with_a_unit_vector(core: str) -> None:
    one = build(mixed(), kind=core, head="softmax")
    tokens, x = weights(one, 2), torch.tensor([[[50.0, 3.0], [47.0, 30.0]]]).expand(2, -1, -1)
    width = one.layout.layers[0].fan_in - one.dim
    told = torch.zeros(2, 2, 2, width + one.dim)
    told[:, 1, :, :1] = one.heads[0].encode(x[..., :1])[..., 0, :]
    for place in range(one.dim):
        told[:, place, :, width + place] = 1.0
    first, *rest = one.layout.unpack(tokens)
    walk = one.core.bind(rest[: -len(one.heads)])
    hidden = walk.read(told @ first[:, None, :, :-1].mT + first[:, None, None, :, -1])
    expected = torch.zeros(2, 2)
    for place, (head, matrix) in enumerate(zip(one.heads, rest[-len(one.heads) :], strict=True)):
        params = hidden[:, :, place] @ matrix[..., :-1].mT + matrix[:, None, :, -1]
        expected = expected + head.log_prob(params[:, :, None], x[..., [place]])[..., 0]
    torch.testing.assert_close(one.log_prob(tokens, x), expected)


@pytest.mark.parametrize("core", CORES)
def test_what_a_likelihood_holds_grows_with_the_species_and_not_with_their_square(core: str) -> None:
    held = [_largest_tensor(core, dim) for dim in (20, 80)]
    assert held[1] <= 4.1 * held[0]


class _Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation gives."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = result if isinstance(result, tuple | list) else [result]
        self.size = max([self.size, *(x.numel() for x in tensors if isinstance(x, torch.Tensor))])
        return result


def _largest_tensor(core: str, dim: int) -> int:
    cloud = np.random.default_rng(0).poisson(20.0, (50, dim)).astype(float)
    one = build(Snapshots(np.array([0.0, 1.0]), (cloud, cloud)), kind=core)
    tokens = weights(one, 1).requires_grad_()
    # so many draws that the weights, whose number does grow with both, do not matter beside the values
    samples = torch.as_tensor(cloud, dtype=torch.float32).repeat(20, 1)[None]
    with _Largest() as largest:
        one.log_prob(tokens, samples).sum().backward()
    return largest.size


def test_draws_exceed_the_largest_count_seen_as_often_as_the_density_says(counts: Backbone) -> None:
    tokens, n, largest = weights(counts, 1), 200_000, 4
    drawn = counts.sample(tokens, uniforms(n, 2, 0, "draw")[None])[0, :, 0]
    alone = torch.tensor([[[float(x), 0.0] for x in range(60)]])
    expected = counts.log_prob(tokens, alone, species=counts.order[:1])[0].exp()
    for x in (largest, largest + 1, largest + 2, largest + 5):
        share, mass = float((drawn > x).double().mean()), float(expected[x + 1 :].sum())
        assert mass > 2e-4
        assert abs(share - mass) < 5 * math.sqrt(mass / n)


def test_beyond_the_largest_count_seen_a_softmax_falls_geometrically_by_its_mean_excess() -> None:
    one = build(small_counts(), head="softmax")
    x = torch.arange(5.0, 300.0, dtype=torch.float64)
    states = torch.stack([x, 0 * x], 1)[None]
    mass = one.log_prob(weights(one, 1).double(), states, species=one.order[:1])[0].exp()
    assert float((mass * (x - 5)).sum() / mass.sum()) == pytest.approx(math.sqrt(5))
    torch.testing.assert_close(mass[1:] / mass[:-1], torch.full_like(mass[1:], math.sqrt(5) / (1 + math.sqrt(5))))


@pytest.mark.parametrize("bad", [-1.0, 0.5, 7.5, -0.25, -math.inf, math.inf])
def test_what_is_no_count_is_impossible(counts: Backbone, bad: float) -> None:
    tokens = weights(counts, 1)
    samples = torch.tensor([[[1.0, bad], [1.0, 2.0]]], dtype=torch.float64)
    log_prob = counts.log_prob(tokens, samples)[0]
    assert log_prob[0] == -math.inf
    assert torch.isfinite(log_prob[1])


def alone(locations: np.ndarray, **options: object) -> Backbone:
    """Describe one species whose two snapshots are these."""
    return build(Snapshots(np.array([0.0, 1.0]), (locations[:1, None], locations[1:, None])), **options)


def with_bias(backbone: Backbone, *bias: float) -> torch.Tensor:
    """Weights whose conditionals do not depend on what comes before."""
    matrices = list(backbone.layout.unpack(0 * backbone.init(torch_generator(0, "weights"))))
    matrices[-1][:, -1] = torch.tensor(bias)
    return backbone.layout.pack(matrices)[None]


@pytest.mark.parametrize("precise", [False, True])
@pytest.mark.parametrize("ratio", [0.0, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("unit", [1e-30, 0.01, 1e30])
def test_an_offset_costs_no_digits_of_a_density(ratio: float, unit: float, precise: bool) -> None:
    offset = ratio * unit
    cloud = offset + unit * np.random.default_rng(0).normal(size=500)
    one = alone(cloud, components=1)
    tokens = with_bias(one, 0.0, 0.0, 0.0)
    tokens = tokens.double() if precise else tokens
    x = torch.as_tensor(cloud)[None, :, None]
    bias = one.layout.unpack(tokens[0])[-1][:, -1]
    lowest = math.log(1e-3)
    spread = math.exp(lowest + math.log1p(math.exp(float(bias[2]) - lowest)))  # softplus above the least log-scale
    expected = stats.norm(cloud.mean(), cloud.std() * spread).logpdf(cloud)
    log_prob = one.log_prob(tokens, x)[0]
    assert log_prob.dtype == tokens.dtype
    np.testing.assert_allclose(log_prob.double().numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("mean", [10.0, 1e4, 1e6, 1e7])
@pytest.mark.parametrize("precise", [False, True])
def test_all_counts_have_mass_one_however_large_they_are(mean: float, precise: bool) -> None:
    cloud = np.random.default_rng(0).poisson(mean, 400).astype(float)
    one = alone(cloud, head="logistic")
    tokens = weights(one, 1).double() if precise else weights(one, 1)
    around = torch.arange(max(0.0, mean - 60 * math.sqrt(mean)), mean + 60 * math.sqrt(mean), dtype=torch.float64)
    mass = one.log_prob(tokens, around.floor()[None, :, None])[0].double().exp().sum()
    assert float(mass) == pytest.approx(1.0, abs=1e-4)


def test_a_narrow_conditional_among_counts_from_nought_to_ten_million_has_mass_one() -> None:
    one = alone(np.array([0.0, 1e7, 5e6, 2.0]), head="logistic", components=1)
    head = one.heads[0]
    assert isinstance(head, Logistic)
    place = (math.sqrt(9e6) - head.locations[0]) / head.scales[0]
    for log_scale in (-30.0, -12.0, -9.0):  # the narrowest there is, and scales of some ten and thousand counts
        tokens = with_bias(one, 0.0, place, log_scale).double()
        counts = torch.arange(9e6 - 2e5, 9e6 + 2e5, dtype=torch.float64)
        mass = one.log_prob(tokens, counts[None, :, None])[0].exp()
        assert float(mass.sum()) == pytest.approx(1.0, abs=1e-4)
        assert float((mass * (counts - 9e6)).sum()) == pytest.approx(0.0, abs=2.0)


def test_large_counts_are_drawn_whole_and_close_values_apart() -> None:
    numbers = quasi_uniforms(20_000, 1, 0, "draw")[None]
    large = alone(np.random.default_rng(0).poisson(1e7, 400).astype(float))
    drawn = large.sample(weights(large, 1).double(), numbers)
    assert torch.equal(drawn, drawn.round())
    assert len(drawn.unique()) > 5000
    close = alone(np.random.default_rng(0).normal(1e6, 0.01, 400))
    assert len(close.sample(weights(close, 1).double(), numbers).unique()) == 20_000


def with_constants(value: float, kind: Kind) -> Backbone:
    """A species that varies between one that is constant, up to rounding if it is no count, and one at zero."""
    rng = np.random.default_rng(0)
    clouds = tuple(np.stack([np.full(50, value), rng.poisson(4.0, 50), np.zeros(50)], 1) for _ in range(2))
    if kind is Kind.CONTINUOUS:
        clouds[0][7, 0] = np.nextafter(value, 9e9)
    return build(Snapshots(np.array([0.0, 1.0]), clouds, kinds=(kind, Kind.COUNTS, Kind.COUNTS)))


@pytest.mark.parametrize(("value", "kind"), [(0.1, Kind.CONTINUOUS), (1e9 / 3, Kind.CONTINUOUS), (17.0, Kind.COUNTS)])
def test_a_constant_species_is_drawn_as_its_constant_and_adds_nothing_to_the_likelihood(
    value: float, kind: Kind
) -> None:
    one = with_constants(value, kind)
    other = alone(np.random.default_rng(0).poisson(4.0, 50).astype(float))
    assert (one.order, one.dim, one.layout.n_weights) == ((1,), 3, other.layout.n_weights)
    tokens = weights(one, 1)
    drawn = one.sample(tokens, quasi_uniforms(64, 3, 0, "draw")[None])[0]
    assert (drawn[:, 0] == value).all()
    assert not drawn[:, 2].any()
    assert len(drawn[:, 1].unique()) > 3
    together, walked = one.log_prob(tokens, drawn[None]), one.log_prob(tokens, drawn[None], species=one.order[:1])
    torch.testing.assert_close(together, walked + 2 * math.log1p(-1e-6), atol=1e-6, rtol=0)


@pytest.mark.parametrize("value", [0.0, 1.0, 17.0])
def test_the_probabilities_of_a_constant_count_sum_to_one(value: float) -> None:
    constant = Constant(species=(0,), values=(value,), counts=(True,))
    most = 200_000
    mass = constant.log_prob(torch.arange(float(most), dtype=torch.float64)[:, None])[:, 0].exp()
    beyond = 1e-6 / (most - value)  # the sum of 1 / (d (d + 1)) from d on is 1 / d
    assert float(mass[int(value)]) == pytest.approx(1 - 1e-6, abs=1e-15)
    assert float(mass.sum()) + beyond == pytest.approx(1.0, abs=1e-13)
    assert (mass > 0).all()
    masses = constant.masses(int(value) + 5)[0]
    torch.testing.assert_close(masses[:-1], mass[: len(masses) - 1])
    assert float(masses.sum()) == pytest.approx(1.0, abs=1e-15)
    assert float(constant.log_prob(torch.tensor([[-1.0]]))) == float(constant.log_prob(torch.tensor([[1.5]])))
    assert float(constant.log_prob(torch.tensor([[-1.0]]))) == -math.inf


@pytest.mark.parametrize("value", [0.0, 2.5, -1e6])
def test_what_a_constant_leaves_to_other_values_is_one_millionth(value: float) -> None:
    constant = Constant(species=(0,), values=(value,), counts=(False,))
    scale = abs(value) or 1.0
    angles = (np.arange(100_000) + 0.5) / 100_000 - 0.5  # x = value + scale tan(pi a): even steps of a Cauchy's mass
    x = value + scale * np.tan(np.pi * angles)
    density = constant.log_prob(torch.as_tensor(x)[:, None])[:, 0].exp().numpy()
    step = np.pi * scale / np.cos(np.pi * angles) ** 2 / 100_000
    assert float((density * step).sum()) == pytest.approx(1e-6, rel=1e-9)
    near = torch.tensor([[value], [np.nextafter(value, 1e9)]], dtype=torch.float64)
    assert constant.log_prob(near)[0].item() == pytest.approx(-1e-6, rel=1e-6)
    assert constant.log_prob(near)[1].item() == pytest.approx(-1e-6, rel=1e-6) or value == 0


def test_data_in_which_nothing_varies_are_refused() -> None:
    cloud = np.stack([np.full(9, 0.1), np.zeros(9)], 1)
    with pytest.raises(InputError, match=r"every species \(x1, x2\) has one and the same value"):
        build(Snapshots(np.array([0.0, 1.0]), (cloud, cloud)))


def test_marginals_list_constant_species_beside_the_others() -> None:
    one = with_constants(17.0, Kind.COUNTS)
    tokens = weights(one, 1).double()
    marginals = one.marginals(tokens, torch.zeros(1, 1, 3, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64))
    assert marginals.shape == (1, 3, one.states)
    torch.testing.assert_close(marginals.sum(-1), torch.ones(1, 3, dtype=torch.float64))
    assert float(marginals[0, 0, 17]) == pytest.approx(1 - 1e-6)
    assert float(marginals[0, 2, 0]) == pytest.approx(1 - 1e-6)


def test_no_count_is_impossible_under_a_logistic_head() -> None:
    one = build(small_counts(), head="logistic")
    far = one.log_prob(weights(one, 1), torch.tensor([[[1e4, 4.0], [1e6, 1e6]]]))
    assert torch.isfinite(far).all()
    assert (far < -100).all()


@pytest.mark.parametrize("species", [0, 1])
def test_exact_marginals_are_sums_of_the_density(species: int) -> None:
    one = build(small_counts(), head="softmax")
    tokens = weights(one, 1)
    states = grid(120)[None]
    probability = one.log_prob(tokens, states).exp()
    marginals = one.marginals(tokens, states, probability)
    expected = torch.stack([probability[0][states[0, :, species] == value].sum() for value in range(5)])
    torch.testing.assert_close(marginals[0, species, :5], expected)
    assert float(marginals[0, species].sum()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("max_values", [1, 20_000_000])
def test_marginals_are_the_mean_of_the_conditionals_however_few_draws_are_held_at_once(
    counts: Backbone, max_values: int
) -> None:
    tokens, samples = weights(counts, 2).double(), grid(5).expand(2, -1, -1).double()
    shares = torch.rand(2, 25, generator=torch_generator(0, "shares")).double()
    shares = shares / shares.sum(1, keepdim=True)
    ((head, params),) = counts._conditionals(tokens, samples)
    assert isinstance(head, Softmax | Logistic)
    expected = torch.einsum("sd,sdiv->siv", shares, head.log_masses(params, counts.states).exp())
    found = counts.marginals(tokens, samples, shares, max_values)
    torch.testing.assert_close(found, expected, atol=1e-14, rtol=1e-9)


def test_marginals_of_large_counts_hold_no_table_of_all_draws_by_all_states() -> None:
    clouds = (np.zeros((2, 2)), np.full((2, 2), 12_000.0))
    one = build(Snapshots(np.array([0.0, 1.0]), (clouds[0], clouds[1])), head="logistic")
    tokens = weights(one, 1).double()
    samples = torch.linspace(0.0, 12_000.0, 300, dtype=torch.float64)[None, :, None].expand(1, -1, 2)
    most = 10 * one.states
    with _Largest() as largest:
        found = one.marginals(tokens, samples, torch.full((1, 300), 1 / 300, dtype=torch.float64), most)
    assert largest.size <= 4 * most
    torch.testing.assert_close(found.sum(-1), torch.ones(1, 2, dtype=torch.float64))


def test_marginals_of_continuous_values_are_refused() -> None:
    one = build(mixed())
    with pytest.raises(InputError, match="draw samples instead"):
        one.marginals(weights(one, 1), torch.zeros(1, 3, 2), torch.ones(1, 3))


def test_a_softmax_over_huge_counts_is_refused() -> None:
    with pytest.raises(InputError, match="reaches 50000"):
        build(Snapshots(np.array([0.0, 1.0]), (np.zeros((2, 1)), np.full((2, 1), 5e4))), head="softmax")
