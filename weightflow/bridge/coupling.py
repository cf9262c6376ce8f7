"""Optimal-transport couplings of neighbouring clouds. The only module that imports POT for couplings.

Functions that need POT import it: that takes 1.7 s in each process, and the workers of a search seldom couple.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

from weightflow.bridge.options import BridgeOptions, CouplingKind
from weightflow.data.spread import deviation
from weightflow.errors import InputError
from weightflow.rng import generator

MAX_EXACT = 2000
MAX_DENSE = 5000  # a plan of 5,000 against 5,000 points takes 200 MB
MAX_PAIRS = 20_000
BLOCK = 500  # points that a minibatch couples exactly
MAX_EXPONENT = 600.0  # exp(-600) is still a number above zero


@dataclass(frozen=True, eq=False)
class Coupling:
    """Partners of the points of two clouds of one size.

    Attributes:
        forward: for each point of the earlier cloud, the index of its partner in the later one.
        backward: for each point of the later cloud, the index of its partner in the earlier one. It undoes `forward`
            where each point has one partner; where plans are sampled, partners are drawn for each side by itself.
    """

    forward: Int[np.ndarray, "pair"]
    backward: Int[np.ndarray, "pair"]

    @property
    def one_to_one(self) -> bool:
        """Whether each point is the partner of its partner."""
        return bool((self.backward[self.forward] == np.arange(len(self.forward))).all())


def couple(
    start: Float[np.ndarray, "pair dim"], stop: Float[np.ndarray, "pair dim"], options: BridgeOptions, seed: int
) -> Coupling:
    """Pair the points of two clouds of one size by optimal transport with squared distance.

    Species are divided by the pooled standard deviation of the two clouds, so that no species rules by its unit, and
    the squared distance by their number.

    - `exact`: the cheapest permutation.
    - `minibatch`: the cheapest permutation inside random blocks of `BLOCK` points (Fatras et al. 2020).
    - `entropic`: partners drawn from the plan of Sinkhorn's algorithm (Cuturi 2013), which spreads them over a distance
      of about the root of `entropy`.
    - `auto`: exact up to `MAX_EXACT` points, then minibatch.

    Measured on 8,000 epidemic trajectories, per interval on one busy core, scored between the snapshots on fresh ones
    (paper_w1): exact 1,000 points 0.16 s, 0.0425; 2,000 0.8 s, 0.0379; 4,000 4.6 s, 0.0374; minibatch of all 8,000
    1.1 s, 0.0345; entropic 1,000 1.1 s, 0.0413; 2,000 5.7 s, 0.0372. Minibatches cost no score, points left out do:
    above 2,000 points minibatches are both faster and better. Below, two blocks instead of 1,000 points at once save
    six tenths of the time, and one fit in five was worse for it (a death process of 12: JSD 0.0097 instead of 0.0035;
    the others 0.0029 to 0.0059 instead of 0.0029 to 0.0047), though no bridge was. Entropic plans pay only where they
    are wanted as such.

    With `unbalanced` the marginals are relaxed by a Kullback-Leibler price (Chizat et al. 2018): where one group grew
    at the expense of another, partners are sought in the same group. Its plan is always an entropic one. Where no group
    grows it does harm, above all from a point start, so that it is never chosen by itself.

    Raises:
        InputError: an unbalanced coupling was asked to be exact or in minibatches.
    """
    rng = generator(seed, "couple", len(start))
    scale = deviation(np.concatenate([start, stop])) * np.sqrt(start.shape[1])
    start, stop = start / scale, stop / scale
    if options.unbalanced is not None:
        if options.coupling in {CouplingKind.EXACT, CouplingKind.MINIBATCH}:
            raise InputError(
                f"`unbalanced`={options.unbalanced:g} needs an entropic plan, but `coupling` is "
                f"`{options.coupling.value}`; choose `entropic` or `auto`."
            )
        return _drawn(_unbalanced_plan(start, stop, options.entropy, options.unbalanced), rng)
    if options.coupling is CouplingKind.ENTROPIC:
        return _drawn(_entropic_plan(start, stop, options.entropy), rng)
    whole = options.coupling is CouplingKind.EXACT or (
        options.coupling is CouplingKind.AUTO and len(start) <= MAX_EXACT
    )
    return _one_to_one(_in_blocks(start, stop, len(start) if whole else BLOCK, rng))


def most_pairs(options: BridgeOptions) -> int:
    """Return the largest size of clouds that these options couple; larger ones are to be thinned out first."""
    dense = options.coupling in {CouplingKind.EXACT, CouplingKind.ENTROPIC} or options.unbalanced is not None
    return MAX_DENSE if dense else MAX_PAIRS


def resample(n: int, size: int, rng: np.random.Generator) -> Int[np.ndarray, "size"]:
    """Draw `size` of `n` indices, each as equally often as can be."""
    whole = np.tile(np.arange(n), size // n)
    return np.concatenate([whole, rng.choice(n, size - len(whole), replace=False)])


def _in_blocks(start: np.ndarray, stop: np.ndarray, block: int, rng: np.random.Generator) -> Int[np.ndarray, "pair"]:
    """Return each point's partner; one block of all points is the exact coupling."""
    n_blocks = -(-len(start) // block)
    shuffled = (lambda: np.arange(len(start))) if n_blocks == 1 else (lambda: rng.permutation(len(start)))
    forward = np.empty(len(start), dtype=np.int64)
    for i, j in zip(np.array_split(shuffled(), n_blocks), np.array_split(shuffled(), n_blocks), strict=True):
        forward[i] = j[_assignment(cdist(start[i], stop[j], "sqeuclidean"))]
    return forward


def _assignment(cost: Float[np.ndarray, "pair pair"]) -> Int[np.ndarray, "pair"]:
    import ot

    weights = np.full(len(cost), 1.0 / len(cost))
    return np.asarray(ot.emd(weights, weights, cost, numItermax=2_000_000)).argmax(axis=1)


def _one_to_one(forward: Int[np.ndarray, "pair"]) -> Coupling:
    return Coupling(forward, np.argsort(forward))


def _entropic_plan(start: np.ndarray, stop: np.ndarray, entropy: float) -> Float[np.ndarray, "pair pair"]:
    import ot

    cost = cdist(start, stop, "sqeuclidean")
    # What is taken from a whole row or column changes no balanced plan, and it leaves no row whose kernel is all zero.
    cost -= cost.min(axis=1, keepdims=True)
    cost -= cost.min(axis=0, keepdims=True)
    weights = np.full(len(cost), 1.0 / len(cost))
    return np.asarray(ot.sinkhorn(weights, weights, _capped(cost, entropy), entropy, stopThr=1e-6, warn=False))


def _unbalanced_plan(
    start: np.ndarray, stop: np.ndarray, entropy: float, price: float
) -> Float[np.ndarray, "pair pair"]:
    import ot

    cost = _capped(cdist(start, stop, "sqeuclidean"), entropy)
    weights = np.full(len(cost), 1.0 / len(cost))
    return np.asarray(ot.unbalanced.sinkhorn_unbalanced(weights, weights, cost, entropy, price))


def _capped(cost: np.ndarray, entropy: float) -> np.ndarray:
    return np.minimum(cost, MAX_EXPONENT * entropy)


def _drawn(plan: Float[np.ndarray, "pair pair"], rng: np.random.Generator) -> Coupling:
    return Coupling(_draw_columns(plan, rng), _draw_columns(plan.T, rng))


def _draw_columns(plan: Float[np.ndarray, "row column"], rng: np.random.Generator) -> Int[np.ndarray, "row"]:
    """Draw one column for each row, in proportion to the row's mass there."""
    mass = np.cumsum(plan, axis=1)
    return (mass < rng.random((len(plan), 1)) * mass[:, -1:]).sum(axis=1)
