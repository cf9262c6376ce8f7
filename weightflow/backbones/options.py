"""Options of the backbone, and how they become one for given data."""

import math
from enum import StrEnum

import numpy as np
from pydantic import Field, model_validator

from weightflow.backbones.backbone import Backbone
from weightflow.backbones.cores import GRU, Transformer
from weightflow.backbones.heads import Gaussian, Head, Logistic, Softmax
from weightflow.data import Snapshots
from weightflow.errors import InputError
from weightflow.rng import generator
from weightflow.types import HeadKind, Kind, Options

FEW_STATES = 8  # counts with fewer states have free probabilities by default: they need no more weights than a mixture
ROOM = 1.5  # marginals list counts up to this many times the largest one seen
MAX_SOFTMAX = 4096


class CoreKind(StrEnum):
    """What reads the values."""

    GRU = "gru"
    TRANSFORMER = "transformer"


class Order(StrEnum):
    """In which order the species are described."""

    GIVEN = "given"
    RANDOM = "random"
    VARIANCE = "variance"


class BackboneOptions(Options):
    """Architecture of the backbone."""

    kind: CoreKind = Field(default=CoreKind.GRU, description="gru or (causal) transformer")
    hidden: int = Field(default=8, ge=1, description="size of the core's state")
    depth: int = Field(default=1, ge=1, description="blocks (transformer)")
    heads: int = Field(default=2, ge=1, description="attention heads, must divide `hidden` (transformer)")
    head: HeadKind = Field(
        default=HeadKind.AUTO, description="counts: softmax, logistic, or auto (softmax for fewer than 8 states)"
    )
    components: int = Field(default=4, ge=1, description="components of a mixture")
    order: Order = Field(default=Order.GIVEN, description="of the species: given, random, variance (largest first)")
    places: bool = Field(default=True, description="whether the core is told which species comes next")

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> "BackboneOptions":
        if self.kind is CoreKind.TRANSFORMER and self.hidden % self.heads:
            raise ValueError(f"`heads`={self.heads} must divide `hidden`={self.hidden}")
        return self

    def build(self, snapshots: Snapshots, seed: int = 0) -> Backbone:
        """Return the backbone for these data; species may be of different kinds.

        Raises:
            InputError: softmax is asked for, and a count is too large for it.
        """
        pooled = snapshots.pooled()
        families: dict[str, list[int]] = {}
        for i, kind in enumerate(snapshots.kinds):
            families.setdefault(self._family(pooled[:, i], kind, snapshots.species[i]), []).append(i)
        core = (
            GRU(hidden=self.hidden)
            if self.kind is CoreKind.GRU
            else Transformer(hidden=self.hidden, depth=self.depth, heads=self.heads)
        )
        heads = tuple(self._head(family, species, pooled[:, species]) for family, species in families.items())
        return Backbone(core=core, heads=heads, order=self._order(pooled, seed), places=self.places)

    def _family(self, values: np.ndarray, kind: Kind, species: str) -> str:
        if kind is Kind.CONTINUOUS:
            return "gaussian"
        largest = values.max()
        if self.head is HeadKind.SOFTMAX and largest >= MAX_SOFTMAX:
            raise InputError(
                f"species `{species}` reaches {largest:g}, and `backbone.head`=softmax has a weight for every count "
                f"(at most {MAX_SOFTMAX}); use `logistic`."
            )
        if self.head is HeadKind.AUTO:
            return "softmax" if largest < FEW_STATES else "logistic"
        return self.head.value

    def _head(self, family: str, species: list[int], values: np.ndarray) -> Head:
        chosen, largest = tuple(species), int(values.max())
        if family == "softmax":
            return Softmax(species=chosen, states=largest + 1)
        if family == "gaussian":
            locations, scales = _standardise(values)
            return Gaussian(species=chosen, components=self.components, locations=locations, scales=scales)
        locations, scales = _standardise(np.sqrt(values))
        states = math.ceil(ROOM * largest) + 2
        return Logistic(species=chosen, components=self.components, locations=locations, scales=scales, states=states)

    def _order(self, pooled: np.ndarray, seed: int) -> tuple[int, ...]:
        if self.order is Order.RANDOM:
            return tuple(map(int, generator(seed, "order").permutation(pooled.shape[1])))
        if self.order is Order.VARIANCE:
            return tuple(map(int, np.argsort(-pooled.var(axis=0), kind="stable")))
        return tuple(range(pooled.shape[1]))


def _standardise(values: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return each column's mean and standard deviation, or one where all of its values are equal."""
    deviations = values.std(axis=0)
    deviations[deviations == 0] = 1.0
    return tuple(values.mean(axis=0).tolist()), tuple(deviations.tolist())
