"""Options of the backbone, and how they become one for given data."""

import math
from enum import StrEnum

import numpy as np
from pydantic import Field, model_validator

from weightflow.backbones.backbone import Backbone
from weightflow.backbones.cores import GRU, Transformer
from weightflow.backbones.heads import Constant, Gaussian, Head, Logistic, Softmax
from weightflow.data import Snapshots
from weightflow.data.conditions import tens
from weightflow.data.spread import deviation, varies
from weightflow.errors import InputError
from weightflow.rng import generator
from weightflow.types import HeadKind, Kind, Options

FEW_STATES = 8  # counts with fewer states have free probabilities by default: they need no more weights than a mixture
ROOM = 1.5  # marginals list counts up to this many times the largest one seen
MAX_SOFTMAX = 4096
COMPONENTS, MORE = 4, 4  # of a mixture, where none are asked for, and besides of very many conditions


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
    components: int | None = Field(
        default=None, ge=1, description="components of a mixture; none: 4, of more than ten conditions up to 8"
    )
    order: Order = Field(default=Order.GIVEN, description="of the species: given, random, variance (largest first)")
    places: bool = Field(default=True, description="whether the core is told which species comes next")

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> "BackboneOptions":
        if self.kind is CoreKind.TRANSFORMER and self.hidden % self.heads:
            raise ValueError(f"`heads`={self.heads} must divide `hidden`={self.hidden}")
        return self

    def build(self, snapshots: Snapshots, seed: int = 0) -> Backbone:
        """Return the backbone for these data; species may be of different kinds, or constant.

        Raises:
            InputError: softmax is asked for, and a count is too large for it, or all species are constant.
        """
        pooled = snapshots.pooled()
        moving = varies(pooled)
        if not moving.any():
            raise InputError(
                f"every species ({', '.join(snapshots.species)}) has one and the same value in all samples that are "
                "fitted; there is no distribution to learn: give samples that vary."
            )
        families: dict[str, list[int]] = {}
        for i in map(int, np.flatnonzero(moving)):
            family = self._family(pooled[:, i], snapshots.kinds[i], snapshots.species[i])
            families.setdefault(family, []).append(i)
        core = (
            GRU(hidden=self.hidden)
            if self.kind is CoreKind.GRU
            else Transformer(hidden=self.hidden, depth=self.depth, heads=self.heads)
        )
        components = self.components or _components(snapshots)
        heads = tuple(_head(family, species, pooled[:, species], components) for family, species in families.items())
        order = tuple(i for i in self._order(pooled, seed) if moving[i])
        constant = _constant(pooled, snapshots.kinds, moving)
        return Backbone(core=core, heads=heads, order=order, places=self.places, constant=constant)

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

    def _order(self, pooled: np.ndarray, seed: int) -> tuple[int, ...]:
        if self.order is Order.RANDOM:
            return tuple(map(int, generator(seed, "order").permutation(pooled.shape[1])))
        if self.order is Order.VARIANCE:
            return tuple(map(int, np.argsort(-pooled.var(axis=0), kind="stable")))
        return tuple(range(pooled.shape[1]))


def _components(snapshots: Snapshots) -> int:
    """Return how many components suit: of very many conditions more, one for each doubling beyond ten."""
    conditions = 1 if snapshots.conditions is None else len(snapshots.conditions.distinct)
    return COMPONENTS + min(MORE, round(math.log2(tens(conditions))))


def _head(family: str, species: list[int], values: np.ndarray, components: int) -> Head:
    chosen, largest = tuple(species), int(values.max())
    if family == "softmax":
        return Softmax(species=chosen, states=largest + 2)
    if family == "gaussian":
        locations, scales = _standardise(values)
        return Gaussian(species=chosen, components=components, locations=locations, scales=scales)
    locations, scales = _standardise(np.sqrt(values))
    states = math.ceil(ROOM * largest) + 2
    return Logistic(species=chosen, components=components, locations=locations, scales=scales, states=states)


def _standardise(values: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return each column's mean and standard deviation."""
    return tuple(values.mean(axis=0).tolist()), tuple(deviation(values).tolist())


def _constant(pooled: np.ndarray, kinds: tuple[Kind, ...], moving: np.ndarray) -> Constant:
    """Return the species that do not vary; of values that differ by rounding, the middle one."""
    species = tuple(map(int, np.flatnonzero(~moving)))
    values = tuple(np.median(pooled[:, list(species)], axis=0).tolist())
    return Constant(species=species, values=values, counts=tuple(kinds[i] is Kind.COUNTS for i in species))
