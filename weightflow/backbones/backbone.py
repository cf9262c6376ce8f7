"""Backbone: p(x) = prod_i p(x_i | x_1 .. x_{i-1}), as a pure function of (weights, samples).

A core walks over the species and reads the value before; a head turns what it says into the next conditional (Li et
al. 2026, section "Backbone"). Species of one kind share their head's layer, and a place in the input tells them apart.
"""

from collections.abc import Iterator
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.backbones.cores import Core, Walk
from weightflow.backbones.heads import Head, Logistic, Softmax
from weightflow.backbones.layout import Layer, TokenLayout
from weightflow.errors import InputError
from weightflow.types import Options

FIRST_OUTPUT_SCALE = 0.3  # of the output layer's weights before fitting: conditionals start near their biases


class Backbone(Options):
    """The pure function; it owns no weights.

    Attributes:
        core: the network that reads one value after the other.
        heads: for each species, the family of its conditional.
        order: the species in the order in which they are described.
        places: whether the core is told which species comes next.
    """

    core: Core
    heads: tuple[Head, ...]
    order: tuple[int, ...]
    places: bool = True

    @property
    def dim(self) -> int:
        """Number of species."""
        return len(self.heads)

    @property
    def rows(self) -> int:
        """The largest number of parameters of a conditional: what sampling one value takes."""
        return max(head.rows for head in self.heads)

    @property
    def states(self) -> int:
        """Number of counts that marginals list.

        Raises:
            InputError: a species is continuous.
        """
        listed = [head.states for head in self.heads if isinstance(head, Softmax | Logistic)]
        if len(listed) < self.dim:
            raise InputError(
                "marginals are probabilities of counts, but a species is continuous; draw samples instead."
            )
        return max(listed)

    @cached_property
    def layout(self) -> TokenLayout:
        """Layers of the core, then one output layer for each group of species that share it."""
        width = max(head.features for head in self.heads) + (self.dim if self.places else 0)
        outputs = (Layer(f"output {name}", rows, self.core.hidden) for name, rows in self._groups)
        return TokenLayout((*self.core.layers(width), *outputs))

    def init(self, generator: torch.Generator) -> Float[Tensor, "token width"]:
        """Draw initial weights, uniform in +-1/sqrt(hidden) as in torch's own GRU; heads start at their own biases."""
        bound = self.core.hidden**-0.5
        shape = (self.layout.n_tokens, self.layout.width)
        drawn = self.layout.unpack((torch.rand(shape, generator=generator) * 2 - 1) * bound)
        cores = drawn[: -len(self._groups)]
        outputs = [
            torch.cat([matrix[:, :-1] * FIRST_OUTPUT_SCALE, self._head_of(group).first_bias()[:, None]], 1)
            for group, matrix in zip(self._groups, drawn[len(cores) :], strict=True)
        ]
        return self.layout.pack([*cores, *outputs])

    def log_prob(
        self,
        tokens: Float[Tensor, "stack token width"],
        samples: Float[Tensor, "stack draw dim"],
        species: int | None = None,
    ) -> Float[Tensor, "stack draw"]:
        """Log-probability of `samples`, or of their first `species` in `order`, under each set of weights."""
        last = self.dim if species is None else species
        total = tokens.new_zeros(samples.shape[:2])
        for i, params in self._conditionals(tokens, samples, last):
            total = total + self.heads[i].log_prob(params, samples[..., i])
        return total

    def marginals(
        self,
        tokens: Float[Tensor, "stack token width"],
        samples: Float[Tensor, "stack draw dim"],
        weights: Float[Tensor, "stack draw"],
    ) -> Float[Tensor, "stack dim state"]:
        """Average the conditionals p(x_i | x_1 .. x_{i-1}) over weighted samples of the species before; counts only.

        The marginals are exact where samples and weights list all states with their probabilities; over samples of the
        model itself (equal weights) they have less variance than histograms.
        """
        marginals = tokens.new_zeros(len(tokens), self.dim, self.states)
        for i, params in self._conditionals(tokens, samples, self.dim):
            head = self.heads[i]
            if isinstance(head, Softmax | Logistic):  # `states` has refused the rest
                marginals[:, i, : head.states] = torch.einsum("sd,sdv->sv", weights, head.log_masses(params).exp())
        return marginals

    def sample(
        self, tokens: Float[Tensor, "stack token width"], uniforms: Float[Tensor, "stack draw dim"]
    ) -> Float[Tensor, "stack draw dim"]:
        """Turn numbers in (0, 1) into samples under each set of weights: invert one conditional after the other."""
        walk, outputs = self._bind(tokens)
        state = walk.start(uniforms.shape[1])
        features = self._features(tokens, uniforms.shape[1])
        drawn: dict[int, Tensor] = {}
        for k, i in enumerate(self.order):
            hidden, state = walk.step(features, state)
            drawn[i] = self.heads[i].quantile(self._params(outputs, i, hidden), uniforms[..., k])
            features = self._features(tokens, uniforms.shape[1], k + 1, drawn[i])
        return torch.stack([drawn[i] for i in range(self.dim)], -1)

    def _conditionals(
        self, tokens: Tensor, samples: Tensor, last: int
    ) -> Iterator[tuple[int, Float[Tensor, "stack draw row"]]]:
        """Yield each species, in the order of description, with the parameters of its conditional."""
        walk, outputs = self._bind(tokens)
        state = walk.start(samples.shape[1])
        features = self._features(tokens, samples.shape[1])
        for k, i in enumerate(self.order[:last]):
            hidden, state = walk.step(features, state)
            yield i, self._params(outputs, i, hidden)
            features = self._features(tokens, samples.shape[1], k + 1, samples[..., i])

    def _bind(self, tokens: Tensor) -> tuple[Walk, dict[tuple[str, int], tuple[Tensor, Tensor]]]:
        matrices = self.layout.unpack(tokens)
        inner = len(matrices) - len(self._groups)
        outputs = {
            group: (matrix[..., :-1].mT, matrix[..., None, :, -1])
            for group, matrix in zip(self._groups, matrices[inner:], strict=True)
        }
        return self.core.bind(matrices[:inner]), outputs

    def _params(
        self, outputs: dict[tuple[str, int], tuple[Tensor, Tensor]], species: int, hidden: Tensor
    ) -> Float[Tensor, "stack draw row"]:
        matrix, bias = outputs[_group(self.heads[species])]
        return torch.baddbmm(bias, hidden, matrix)

    def _features(
        self, tokens: Tensor, draws: int, place: int = 0, value: Tensor | None = None
    ) -> Float[Tensor, "stack draw feature"]:
        """Encode the value before (zeros before the first), and the place of the species that comes next."""
        width = self.layout.layers[0].fan_in
        room = width - (self.dim if self.places else 0)
        features = tokens.new_zeros(len(tokens), draws, width)
        if value is not None:
            encoded = self.heads[self.order[place - 1]].encode(value)
            features[..., : encoded.shape[-1]] = encoded
        if self.places and place < self.dim:
            features[..., room + place] = 1.0
        return features

    @cached_property
    def _groups(self) -> tuple[tuple[str, int], ...]:
        return tuple(dict.fromkeys(_group(head) for head in self.heads))

    def _head_of(self, group: tuple[str, int]) -> Head:
        return next(head for head in self.heads if _group(head) == group)


def _group(head: Head) -> tuple[str, int]:
    """Heads of one family and size share their layer."""
    return head.family, head.rows
