"""Free probabilities of small counts (Li et al. 2026), and a geometric tail beyond them.

Each of the counts 0 .. last - 1, the largest of which was seen, has a logit of its own. `last` stands for itself and
all larger counts; its logit is fixed, since only differences of logits matter. With its probability p,

    P(x) = p (1 - q) q^(x - last),    x = last, last + 1, ..

so that the probabilities of all counts sum to one and draws can exceed what was seen. No data say how far: the mean of
x - last is sqrt(last), what counts of that size spread by at least where events are independent (Poisson). A count is
encoded by the binary digits of its state, min(x, last).
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from weightflow.backbones.heads.counts import only_counts
from weightflow.types import Options

TAIL_LOGIT = -4.0  # of `last`: before fitting, what was never seen is improbable, but not beyond being learned


class Softmax(Options):
    """Probabilities of `states` states, for the `species` at these columns of the data.

    Attributes:
        species: as above.
        states: the counts below `last`, and `last` or more.
    """

    family: Literal["softmax"] = "softmax"
    species: tuple[int, ...]
    states: int

    @property
    def rows(self) -> int:
        """Numbers that describe one conditional."""
        return self.states - 1

    @property
    def features(self) -> int:
        """Length of an encoded value: binary digits of the largest state."""
        return max(1, self.rows.bit_length())

    @property
    def _log_q(self) -> float:
        return -math.log1p(self.rows**-0.5)  # q / (1 - q) = sqrt(last)

    def take(self, k: int) -> "Softmax":
        """Return the head of the k-th of its species alone."""
        return self.model_copy(update={"species": self.species[k : k + 1]})

    def first_bias(self) -> Float[Tensor, "row"]:
        """Bias of the output layer before fitting: all states alike."""
        return torch.zeros(self.rows)

    def encode(self, x: Float[Tensor, "*shape species"]) -> Float[Tensor, "*shape species feature"]:
        """Binary digits of the state, the lowest first."""
        powers = torch.arange(self.features, device=x.device)
        return ((self._state(x)[..., None] >> powers) & 1).to(x.dtype)

    def log_prob(
        self, params: Float[Tensor, "*shape species row"], x: Float[Tensor, "*shape species"]
    ) -> Float[Tensor, "*shape species"]:
        """Log-probability of counts, in nats; minus infinity of what is no count."""
        inside = params.gather(-1, self._state(x).clamp(max=self.rows - 1)[..., None])[..., 0]
        logit = torch.where(x < self.rows, inside, TAIL_LOGIT + self._log_beyond(x).to(params.dtype))
        return only_counts(logit - self._log_norm(params), x)

    def log_masses(
        self, params: Float[Tensor, "*shape species row"], states: int
    ) -> Float[Tensor, "*shape species state"]:
        """Log-probability of the counts 0 .. states - 2, and of states - 1 or more; at least `self.states` of them."""
        beyond = torch.arange(self.rows, states, dtype=torch.float64, device=params.device)
        tail = TAIL_LOGIT + self._log_beyond(beyond)
        tail[-1] = TAIL_LOGIT + (states - 1 - self.rows) * self._log_q
        logits = torch.cat([params, tail.to(params.dtype).expand(*params.shape[:-1], -1)], -1)
        return logits - self._log_norm(params)[..., None]

    def mean_cumulative(
        self, params: Float[Tensor, "stack draw 1 row"], weights: Float[Tensor, "stack draw"], states: int
    ) -> Float[Tensor, "stack state"]:
        """Sum over weighted draws of the probability of at most 0, 1, .. states - 2, of this head's one species."""
        masses = self.log_masses(params[:, :, 0], states).exp()
        return (weights[:, None] @ masses)[:, 0, :-1].cumsum(-1)

    def quantile(
        self, params: Float[Tensor, "*shape species row"], u: Float[Tensor, "*shape species"]
    ) -> Float[Tensor, "*shape species"]:
        """Smallest count whose cumulative probability reaches `u`."""
        cumulated = (params - self._log_norm(params)[..., None]).exp().cumsum(-1)
        state = (u[..., None] > cumulated).sum(-1).to(u.dtype)
        seen = cumulated[..., -1]
        share_above = ((1 - u) / (1 - seen)).clamp(torch.finfo(u.dtype).tiny, 1.0)  # of the tail's probability
        beyond = ((share_above.log() / self._log_q).ceil() - 1).clamp(min=0)
        return state + torch.where(state < self.rows, torch.zeros_like(beyond), beyond)

    def _log_norm(self, params: Float[Tensor, "*shape species row"]) -> Float[Tensor, "*shape species"]:
        return torch.logaddexp(params.logsumexp(-1), params.new_tensor(TAIL_LOGIT))

    def _log_beyond(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log-probability of `x` among the counts from `last` on."""
        return math.log(-math.expm1(self._log_q)) + (x - self.rows) * self._log_q

    def _state(self, x: Float[Tensor, "*shape species"]) -> Int[Tensor, "*shape species"]:
        return x.clamp(0, self.rows).round().long()
