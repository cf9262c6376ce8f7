"""Backbone: p(x) = prod_i p(x_i | x_1 .. x_{i-1}), as a pure function of (weights, samples).

A core walks over the species and reads the value before; a head turns what it says into the next conditional (Li et
al. 2026, section "Backbone"). Species of one kind share their head's layer, and a place in the input tells them apart.
Species that are constant in the data stand beside the walk.

Samples come in double precision and weights may come in single: what is computed has the precision of the weights.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from weightflow.backbones.cores import Core, Walk
from weightflow.backbones.heads import Constant, Head, Logistic, Softmax
from weightflow.backbones.layout import Layer, TokenLayout
from weightflow.errors import InputError
from weightflow.types import Options

Output = tuple[Tensor, Tensor]  # matrix and bias of an output layer

MAX_VALUES = 20_000_000  # numbers held at once, 160 MB
FIRST_OUTPUT_SCALE = 0.3  # of the output layer's weights before fitting: conditionals start near their biases


class Backbone(Options):
    """The pure function; it owns no weights.

    Attributes:
        core: the network that reads one value after the other.
        heads: families of conditionals, each with its own output layer and some of the species.
        order: the species in the order in which they are described, those that are constant aside.
        places: whether the core is told which species comes next.
        constant: the species that are constant.
    """

    core: Core
    heads: tuple[Head, ...]
    order: tuple[int, ...]
    places: bool = True
    constant: Constant = Constant()

    @property
    def dim(self) -> int:
        """Number of species."""
        return len(self.order) + len(self.constant.species)

    @property
    def rows(self) -> int:
        """The largest number of parameters of a conditional: what sampling one value takes."""
        return max(head.rows for head in self.heads)

    @property
    def held(self) -> int:
        """About how many numbers are held while one sample is drawn or evaluated: each token gives one a species."""
        return 2 * self.layout.n_tokens * len(self.order)

    @property
    def states(self) -> int:
        """Number of counts that marginals list.

        Raises:
            InputError: a species is continuous.
        """
        return max(self.constant.states, *(head.states for head in self._count_heads()))

    @cached_property
    def layout(self) -> TokenLayout:
        """Layers of the core, then one output layer for each group of species that share it."""
        width = self._features + (len(self.order) if self.places else 0)
        outputs = (Layer(f"output {head.family}", head.rows, self.core.hidden) for head in self.heads)
        return TokenLayout((*self.core.layers(width), *outputs))

    def init(self, generator: torch.Generator) -> Float[Tensor, "token width"]:
        """Draw initial weights, uniform in +-1/sqrt(hidden) as in torch's own GRU; heads start at their own biases."""
        bound = self.core.hidden**-0.5
        shape = (self.layout.n_tokens, self.layout.width)
        drawn = self.layout.unpack((torch.rand(shape, generator=generator) * 2 - 1) * bound)
        inner = len(drawn) - len(self.heads)
        outputs = [
            torch.cat([matrix[:, :-1] * FIRST_OUTPUT_SCALE, head.first_bias()[:, None]], 1)
            for head, matrix in zip(self.heads, drawn[inner:], strict=True)
        ]
        return self.layout.pack([*drawn[:inner], *outputs])

    def log_prob(
        self,
        tokens: Float[Tensor, "stack token width"],
        samples: Float[Tensor, "stack draw dim"],
        species: Collection[int] | None = None,
    ) -> Float[Tensor, "stack draw"]:
        """Log-probability of `samples` under each set of weights.

        It is minus infinity where a count is negative or fractional. With `species`, none of them constant, it is the
        sum of the conditionals p(x_i | x_1 .. x_{i-1}) of these alone; of the first ones in `order` that is their own
        log-probability.
        """
        total = tokens.new_zeros(samples.shape[:2])
        for head, params in self._conditionals(tokens, samples):
            described = [species is None or i in species for i in head.species]
            log_prob = head.log_prob(params, samples[..., list(head.species)])
            total = total + (log_prob if all(described) else log_prob[..., described]).sum(-1)
        if species is None and self.constant.species:
            total = total + self.constant.log_prob(samples[..., list(self.constant.species)]).sum(-1).to(total.dtype)
        return total

    def marginals(
        self,
        tokens: Float[Tensor, "stack token width"],
        samples: Float[Tensor, "stack draw dim"],
        weights: Float[Tensor, "stack draw"],
        max_values: int = MAX_VALUES,
        states: int | None = None,
    ) -> Float[Tensor, "stack dim state"]:
        """Average the conditionals p(x_i | x_1 .. x_{i-1}) over weighted samples of the species before; counts only.

        The marginals are exact where samples and weights list all states with their probabilities; over samples of the
        model itself (equal weights) they have less variance than histograms. About `max_values` numbers are held at
        once. `states` counts are listed, `self.states` at least.

        Raises:
            InputError: a species is continuous.
        """
        heads, states = self._count_heads(), states or self.states
        marginals = tokens.new_zeros(len(tokens), self.dim, states)
        marginals[:, list(self.constant.species)] = self.constant.masses(states).to(tokens)
        # a table of draws by states is the largest thing here, and it is summed over the draws
        draws = max(1, max_values // (len(tokens) * max(self.held, 4 * self.rows * states)))
        cumulated = torch.zeros_like(marginals[..., 1:])
        for some, shares in zip(samples.split(draws, 1), weights.split(draws, 1), strict=True):
            for head, (_, params) in zip(heads, self._conditionals(tokens, some), strict=True):
                for k, i in enumerate(head.species):
                    cumulated[:, i] += head.take(k).mean_cumulative(params[:, :, k : k + 1], shares, states)
        described = list(self.order)
        total = weights.sum(1)[:, None, None].expand(-1, len(described), 1)
        masses = torch.cat([cumulated[:, described], total], -1).diff(prepend=torch.zeros_like(total))
        marginals[:, described] = masses.clamp(min=0)
        return marginals

    def sample(
        self,
        tokens: Float[Tensor, "stack token width"],
        uniforms: Float[Tensor, "stack draw dim"],
        given: Mapping[int, float] = MappingProxyType({}),
    ) -> Float[Tensor, "stack draw dim"]:
        """Turn numbers in (0, 1) into samples under each set of weights: invert one conditional after the other.

        Species that are `given` have their value put where they stand in the walk: those after them know it, and those
        before do not.
        """
        inputs, walk, outputs = self._bind(tokens)
        state = walk.start(uniforms.shape[1])
        samples = torch.zeros_like(uniforms)
        samples[..., list(self.constant.species)] = uniforms.new_tensor(self.constant.values)
        for k, i in enumerate(self.order):
            hidden, state = walk.step(inputs.at(k, self._value_before(k, samples, tokens.dtype)), state)
            number, head = self._alone[i]
            params = _linear(outputs[number], hidden)[:, :, None]
            samples[..., i] = given[i] if i in given else head.quantile(params, uniforms[..., k : k + 1])[..., 0]
        for i in set(given).intersection(self.constant.species):
            samples[..., i] = given[i]
        return samples

    def _conditionals(
        self, tokens: Tensor, samples: Tensor
    ) -> Iterator[tuple[Head, Float[Tensor, "stack draw species row"]]]:
        """Yield each head with the parameters of the conditionals of its species."""
        inputs, walk, outputs = self._bind(tokens)
        hidden = walk.read(inputs.whole(self._values_before(samples, tokens.dtype)))
        for head, places, output in zip(self.heads, self._places, outputs, strict=True):
            told = hidden if places == list(range(len(self.order))) else hidden[:, :, places]
            yield head, _linear(output, told.flatten(1, 2)).unflatten(1, told.shape[1:3])

    def _bind(self, tokens: Tensor) -> tuple["_Inputs", Walk, list[Output]]:
        first, *rest = self.layout.unpack(tokens)
        inner = len(rest) - len(self.heads)
        outputs = [(matrix[..., :-1].mT, matrix[..., None, :, -1]) for matrix in rest[inner:]]
        return _Inputs.of(first, self._features), self.core.bind(rest[:inner]), outputs

    def _values_before(self, samples: Tensor, dtype: torch.dtype) -> Float[Tensor, "stack species draw feature"]:
        """What the core is told before each species in order: the value before it, zeros before the first."""
        encoded = [
            pad(head.encode(samples[..., list(head.species)]).to(dtype), (0, self._features - head.features))
            for head in self.heads
        ]
        grouped = torch.cat(encoded, 2) if len(encoded) > 1 else encoded[0]
        in_order = grouped if self._in_order == sorted(self._in_order) else grouped[:, :, self._in_order]
        return pad(in_order[:, :, :-1].transpose(1, 2), (0, 0, 0, 0, 1, 0))

    def _value_before(self, k: int, samples: Tensor, dtype: torch.dtype) -> Float[Tensor, "stack draw feature"]:
        """The same before the k-th species alone."""
        value = samples.new_zeros(*samples.shape[:2], self._features, dtype=dtype)
        if k:
            _, head = self._alone[self.order[k - 1]]
            value[..., : head.features] = head.encode(samples[..., list(head.species)])[..., 0, :]
        return value

    @property
    def _features(self) -> int:
        """Length of an encoded value, the longest of all heads."""
        return max(head.features for head in self.heads)

    @cached_property
    def _in_order(self) -> list[int]:
        """For each species in order, its place among those of all heads, one head after the other."""
        grouped = [i for head in self.heads for i in head.species]
        return [grouped.index(i) for i in self.order]

    @cached_property
    def _places(self) -> tuple[list[int], ...]:
        """For each head, where its species stand in the order."""
        return tuple([self.order.index(i) for i in head.species] for head in self.heads)

    @cached_property
    def _alone(self) -> dict[int, tuple[int, Head]]:
        """For each species, which head it has, and that head of it alone."""
        return {
            species: (number, head.take(k))
            for number, head in enumerate(self.heads)
            for k, species in enumerate(head.species)
        }

    def _count_heads(self) -> list[Softmax | Logistic]:
        counts = [head for head in self.heads if isinstance(head, Softmax | Logistic)]
        if len(counts) < len(self.heads) or not all(self.constant.counts):
            raise InputError(
                "marginals are probabilities of counts, but a species is continuous; draw samples instead."
            )
        return counts


@dataclass(frozen=True)
class _Inputs:
    """The core's first layer, which reads a value and the place of the species that comes next.

    The place is a unit vector, whose product with a matrix is one of its columns: it is looked up and added to the
    bias, so that what is held grows with the number of species, not with its square.

    Attributes:
        matrix: what values are multiplied with.
        bias: with the column of each place; one for all where the core is not told the place.
    """

    matrix: Float[Tensor, "stack feature row"]
    bias: Float[Tensor, "stack #species row"]

    @classmethod
    def of(cls, layer: Float[Tensor, "stack row input"], features: int) -> "_Inputs":
        """Split the layer's matrix: columns of the value, of the places if there are any, and the bias."""
        value, places, bias = layer[..., :features], layer[..., features:-1], layer[..., -1:]
        return cls(value.mT, (places + bias if places.shape[-1] else bias).mT)

    def whole(self, values: Float[Tensor, "stack species draw feature"]) -> Float[Tensor, "stack species draw row"]:
        """Map the values before all species."""
        return (values.flatten(1, 2) @ self.matrix).unflatten(1, values.shape[1:3]) + self.bias[:, :, None]

    def at(self, k: int, value: Float[Tensor, "stack draw feature"]) -> Float[Tensor, "stack draw row"]:
        """Map the value before the k-th species alone."""
        place = min(k, self.bias.shape[1] - 1)
        return torch.baddbmm(self.bias[:, place : place + 1], value, self.matrix)


def _linear(output: Output, hidden: Float[Tensor, "stack draw hidden"]) -> Float[Tensor, "stack draw row"]:
    matrix, bias = output
    return torch.baddbmm(bias, hidden, matrix)
