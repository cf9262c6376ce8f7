"""The teacher: a direct path theta(t, c), fitted by likelihood to snapshots and bridge samples at once.

Many paths through weight space describe the same densities; the price on path length picks a short one, which costs no
likelihood and makes the path easy to follow: a small vector field learns it to the noise floor. Noise of the samples
that would make the path wander is not worth its price either, so that the path rests where the distribution does. Where
it has far to go, as around a cycle, the same price would cut its corners: beyond `LONG` the price is of the logarithm,

    L_0 (1 + log(L / L_0)),    L the length, L_0 = `LONG`,

so that another unit costs the less the longer the path is. Five systems that do not turn have paths of 3 to 6; a
repressilator, a Brusselator and predators with their prey have 10 to 14. With L_0 = 9 the latter are nearer to fresh
data at the fitted times, predators and prey by a quarter, and the former are as they were; with 6 or 7.5 these lose. A
path that is cut short nevertheless goes on at a tenth of the price (`Preparation.teacher`).

Of several conditions each step takes some, with the snapshots and bridges of each, and places between neighbouring
ones: one network serves all of them, which is what lets it answer between them. There are more steps where there are
more conditions, but far fewer than steps times conditions.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from weightflow.backbones import Backbone
from weightflow.bridge import Draws, Family
from weightflow.dynamics import Direct
from weightflow.errors import TrainingError
from weightflow.files import Arrays
from weightflow.progress import Steps, uncounted
from weightflow.rng import generator
from weightflow.torch_rng import seeded
from weightflow.training.options import TeacherOptions

TABLE_SIZE = 1025
LONG = 9.0
STATE = "state."
LAST_SHARE = 0.05  # of the steps, over which the reported loss is averaged


@dataclass(frozen=True, eq=False)
class Teacher:
    """A fitted direct path as plain arrays, so that a shared object store hands it out without a copy.

    Attributes:
        state: the arrays of `Direct`.
        span: first and last fitted time.
        loss: mean negative log-likelihood at the end, in nats per sample, the price on length included.
        length: of the path at the end, in the mean over conditions.
        rounds: of fitting that it took.
        ratio: how far its draws typically are from the fitted snapshots, in units of what chance makes it.
        missed: fitted times at which they can be told apart all the same.
    """

    state: dict[str, np.ndarray]
    span: tuple[float, float]
    loss: float
    length: float
    rounds: int = 1
    ratio: float = 1.0
    missed: tuple[float, ...] = ()

    def arrays(self) -> Arrays:
        """Return everything as arrays; `of_arrays` undoes it."""
        state = {f"{STATE}{name}": array for name, array in self.state.items()}
        facts = {
            "span": self.span,
            "loss": self.loss,
            "length": self.length,
            "rounds": self.rounds,
            "ratio": self.ratio,
            "missed": self.missed,
        }
        return {**state, **{name: np.array(fact, dtype=np.float64) for name, fact in facts.items()}}

    @classmethod
    def of_arrays(cls, arrays: Arrays) -> "Teacher":
        """Build a teacher from what `arrays` has returned."""
        state = {name.removeprefix(STATE): array for name, array in arrays.items() if name.startswith(STATE)}
        first, last = arrays["span"].tolist()
        found = int(arrays["rounds"].item()), arrays["ratio"].item(), tuple(arrays["missed"].tolist())
        return cls(state, (first, last), arrays["loss"].item(), arrays["length"].item(), *found)

    def path(self, backbone: Backbone) -> Direct:
        """Return the path, on a uniform clock over the span."""
        return Direct.of_state({name: torch.tensor(array) for name, array in self.state.items()}, backbone.layout.mask)

    def table(
        self, backbone: Backbone, code: Float[np.ndarray, "feature"] | None = None, size: int = TABLE_SIZE
    ) -> tuple[Float[np.ndarray, "point"], Float[np.ndarray, "point token width"]]:
        """Return physical times, denser towards the start, and the weights there, under a condition."""
        s = np.linspace(0.0, 1.0, size) ** 1.5
        under = None if code is None else torch.as_tensor(code, dtype=torch.float32)[None]
        with torch.no_grad():
            tokens = self.path(backbone)(torch.as_tensor(s, dtype=torch.float32), under)
        return self.span[0] + s * (self.span[1] - self.span[0]), tokens.numpy()


def fit_teacher(
    backbone: Backbone,
    family: Family,
    start: Float[np.ndarray, "token width"] | Teacher,
    options: TeacherOptions,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Steps = uncounted,
) -> Teacher:
    """Fit the teacher from one set of weights for all times, or go on from an earlier teacher.

    Raises:
        TrainingError: the likelihood is no longer finite.
    """
    rng = generator(seed, "teacher")
    path, steps = _start(backbone, family, start, options, seed).train().to(device), steps_for(family, options)
    optimiser = torch.optim.AdamW(path.parameters(), options.learning_rate, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.learning_rate, steps)
    losses: list[float] = []
    lengths: list[float] = []
    for step in range(steps):
        loss, length = _loss(path, backbone, family, options, rng, device)
        for kept, value in zip((losses, lengths), torch.stack([loss.detach(), length]).tolist(), strict=True):
            kept.append(value)  # both at once: a GPU is waited for once a step
        if not np.isfinite(losses[-1]):
            raise TrainingError(
                f"the teacher's likelihood is not finite at step {step} of {steps}; lower "
                f"`teacher.learning_rate` (now {options.learning_rate:g})."
            )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(step + 1, steps)
    state = {name: tensor.cpu().numpy() for name, tensor in path.state_dict().items()}
    last = max(1, round(LAST_SHARE * steps))
    return Teacher(state, family.span, float(np.mean(losses[-last:])), float(np.mean(lengths[-last:])))


def steps_for(family: Family, options: TeacherOptions) -> int:
    """Return the steps of a fit: those of one condition, times the root of how many steps it takes to see all.

    Of very many conditions there is more to learn: with 300 of them the fourth root of their tens took the Hellinger
    distance at unseen ones from 0.032 to 0.027, in twice the time.
    """
    to_see_all = max(1.0, len(family.courses) / family.together)
    return round(options.steps * to_see_all**0.5 * family.many**0.25)


def _start(
    backbone: Backbone,
    family: Family,
    start: Float[np.ndarray, "token width"] | Teacher,
    options: TeacherOptions,
    seed: int,
) -> Direct:
    if isinstance(start, Teacher):
        return start.path(backbone)
    shared = family.conditions is not None and family.conditions.shared_start
    with seeded(seed, "teacher"):
        return Direct(
            torch.as_tensor(np.array(start)), options.width, backbone.layout.mask, family.codes.shape[1], shared
        )


def _loss(
    path: Direct,
    backbone: Backbone,
    family: Family,
    options: TeacherOptions,
    rng: np.random.Generator,
    device: torch.device | str,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the loss, and the length of the paths of the conditions that were drawn, in the mean."""
    enough = options.draws_of(backbone.dim)
    draws = max(enough * family.options.per_step // family.together, enough // 2)
    drawn = draw_within(family, family.together, options.random_times, draws, rng)
    tokens = tokens_at(path, family, drawn, device)
    steps = [(one[1:] - one[:-1]).flatten(1).norm(dim=1).sum() for one in tokens.split(drawn.sizes)]
    lengths = torch.stack(steps)
    log_prob = backbone.log_prob(tokens, torch.as_tensor(drawn.samples, dtype=torch.float64, device=device))
    between = family.between(draws, rng)
    if between is not None:
        samples = torch.as_tensor(between.samples, dtype=torch.float64, device=device)
        log_prob = torch.cat([log_prob, backbone.log_prob(tokens_at(path, family, between, device), samples)])
    return options.length / family.many * priced(lengths).mean() - log_prob.mean(), lengths.detach().mean()


def priced(length: Float[Tensor, "path"]) -> Float[Tensor, "path"]:
    """Return what the price is of: the length, and beyond `LONG` its logarithm, which goes on with the same slope."""
    return torch.where(length > LONG, LONG * (1 + (length.clamp(min=LONG) / LONG).log()), length)


def draw_within(family: Family, conditions: int, random_times: int, draws: int, rng: np.random.Generator) -> Draws:
    """Draw samples of so many conditions, at their snapshots and at `random_times` between these."""
    chosen = family.chosen(conditions, rng)
    times = [np.sort(_with_times_between(family.courses[i].times, random_times, rng)) for i in chosen]
    samples = [family.courses[i].sample(when, draws, rng) for i, when in zip(chosen, times, strict=True)]
    sizes = tuple(map(len, times))
    return Draws(np.concatenate(times), family.codes[np.repeat(chosen, sizes)], np.concatenate(samples), sizes)


def tokens_at(
    path: Direct, family: Family, drawn: Draws, device: torch.device | str
) -> Float[Tensor, "query token width"]:
    """Return the weights of a direct path at the times and under the conditions of some draws."""
    first, last = family.span
    s = torch.as_tensor((drawn.times - first) / (last - first), dtype=torch.float32, device=device)
    return path(s, torch.as_tensor(drawn.codes, dtype=torch.float32, device=device))


def _with_times_between(
    times: Float[np.ndarray, "time"], n: int, rng: np.random.Generator
) -> Float[np.ndarray, "more"]:
    """Return the times of snapshots, and `n` more between them, where there is a between."""
    return np.concatenate([times, draw_times(times, n, rng)]) if n and len(times) > 1 else times


def draw_times(times: Float[np.ndarray, "time"], n: int, rng: np.random.Generator) -> Float[np.ndarray, "draw"]:
    """Draw `n` times between the first and the last; a sixth, two at least, fall into the first interval.

    After a point start the distribution changes fastest there. Each part is stratified: one time is uniform in each of
    as many equal stretches as there are times, so that no step leaves a stretch out.
    """
    early = min(n, max(2, n // 6))
    first, second, last = times[0], times[1], times[-1]
    return np.concatenate([_stratified(first, second, early, rng), _stratified(first, last, n - early, rng)])


def _stratified(first: float, last: float, n: int, rng: np.random.Generator) -> Float[np.ndarray, "draw"]:
    return first + (last - first) * (np.arange(n) + rng.random(n)) / max(n, 1)
