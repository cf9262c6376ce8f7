"""The backbone is a normalised density, sampled exactly, and a pure function of its weights."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weightflow.backbones import GRUBackbone, Layer, TokenLayout
from weightflow.rng import torch_generator

SMALL = GRUBackbone(dim=2, states=5, hidden=4)


def weights(backbone: GRUBackbone, n: int, seed: int = 0) -> torch.Tensor:
    return torch.stack([2 * backbone.init(torch_generator(seed, "weights", i)) for i in range(n)])


def all_states(backbone: GRUBackbone) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(backbone.states), repeat=backbone.dim)), dtype=torch.float32)


def test_the_epidemic_backbone_has_the_token_counts_of_the_paper() -> None:
    layout = GRUBackbone(dim=3, states=52, hidden=8).layout
    assert (layout.n_tokens, layout.width) == (100, 9)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=4), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_packing_undoes_unpacking_and_pads_with_zeros(shapes: list[tuple[int, int]], stack: int) -> None:
    layout = TokenLayout(tuple(Layer(f"layer{i}", rows, fan_in) for i, (rows, fan_in) in enumerate(shapes)))
    tokens = torch.randn(stack, layout.n_tokens, layout.width) * layout.mask
    assert torch.equal(layout.pack(layout.unpack(tokens)), tokens)
    assert int(layout.mask.sum()) == layout.n_weights


def test_the_density_sums_to_one_over_all_states() -> None:
    tokens = weights(SMALL, 3)
    states = all_states(SMALL).expand(3, -1, -1)
    torch.testing.assert_close(SMALL.log_prob(tokens, states).exp().sum(1), torch.ones(3))


def test_sampled_frequencies_agree_with_the_density() -> None:
    tokens = weights(SMALL, 1)
    n = 200_000
    samples = SMALL.sample(tokens, n, torch_generator(0, "draw"))[0].long()
    frequencies = torch.bincount(samples[:, 0] * SMALL.states + samples[:, 1], minlength=25) / n
    expected = SMALL.log_prob(tokens, all_states(SMALL)[None])[0].exp()
    error = (expected * (1 - expected) / n).sqrt()
    assert (frequencies - expected).abs().max() < 4.5 * error.max()


def test_a_stack_gives_what_its_members_give_alone() -> None:
    tokens = weights(SMALL, 4)
    samples = torch.randint(0, 5, (4, 30, 2)).float()
    together = SMALL.log_prob(tokens, samples)
    alone = torch.cat([SMALL.log_prob(tokens[i : i + 1], samples[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone)


def test_a_torch_gru_with_the_same_weights_gives_the_same_density() -> None:
    tokens = weights(SMALL, 1)[0]
    w_in, w_rec, w_out = SMALL.layout.unpack(tokens)
    gru = torch.nn.GRU(SMALL.digits, SMALL.hidden, batch_first=True)
    with torch.no_grad():
        gru.get_parameter("weight_ih_l0").copy_(w_in[:, :-1])
        gru.get_parameter("bias_ih_l0").copy_(w_in[:, -1])
        gru.get_parameter("weight_hh_l0").copy_(w_rec[:, :-1])
        gru.get_parameter("bias_hh_l0").copy_(w_rec[:, -1])
        values = torch.tensor([[3, 4], [0, 1], [2, 2]])
        digits = torch.stack([(values[:, 0] >> k) & 1 for k in range(SMALL.digits)], -1).float()
        hidden, _ = gru(torch.stack([torch.zeros_like(digits), digits], 1))
        logits = torch.log_softmax(hidden @ w_out[:, :-1].T + w_out[:, -1], -1)
        expected = logits.gather(-1, values[..., None])[..., 0].sum(1)
    torch.testing.assert_close(SMALL.log_prob(tokens[None], values.float()[None])[0], expected)


def test_counts_above_the_last_state_are_moved_to_it() -> None:
    tokens = weights(SMALL, 1)
    beyond, last = torch.tensor([[[99.0, 4.0]]]), torch.tensor([[[4.0, 4.0]]])
    assert torch.equal(SMALL.log_prob(tokens, beyond), SMALL.log_prob(tokens, last))


@pytest.mark.parametrize("species", [0, 1])
def test_exact_marginals_are_sums_of_the_density(species: int) -> None:
    tokens = weights(SMALL, 1)
    states = all_states(SMALL)[None]
    probability = SMALL.log_prob(tokens, states).exp()
    marginals = SMALL.marginals(tokens, states, probability)
    expected = torch.stack([probability[0][states[0, :, species] == value].sum() for value in range(SMALL.states)])
    torch.testing.assert_close(marginals[0, species], expected)


def test_the_density_of_the_first_species_alone_is_its_marginal() -> None:
    tokens = weights(SMALL, 1)
    states = all_states(SMALL)[None]
    marginal = SMALL.marginals(tokens, states, SMALL.log_prob(tokens, states).exp())[0, 0]
    first = SMALL.log_prob(tokens, states[:, ::5], species=1)[0].exp()
    torch.testing.assert_close(first, marginal)
