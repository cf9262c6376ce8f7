"""The teacher: a direct path theta(t), fitted by likelihood to snapshots and bridge samples at once.

theta(t) = theta_0 + MLP(features of t), no differential equation. Many paths through weight space describe the same
densities; the price on path length picks a short one, which costs no likelihood and makes the path easy to follow: a
small vector field learns it to the noise floor.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from weightflow.backbones import Backbone
from weightflow.bridge import Bridge
from weightflow.errors import TrainingError
from weightflow.rng import generator, seeded
from weightflow.training.options import TeacherOptions

FREQUENCIES = 4
TABLE_SIZE = 2049


class DirectPath(nn.Module):
    """theta at s in [0, 1], physical time over the fitted span."""

    def __init__(self, base: Float[Tensor, "token width"], width: int) -> None:
        super().__init__()
        self.base = nn.Parameter(base.clone())
        self.hidden = nn.Sequential(
            nn.Linear(2 * FREQUENCIES + 3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.out = nn.Linear(width, base.numel())
        nn.init.normal_(self.out.weight, std=1e-3)
        nn.init.zeros_(self.out.bias)

    def forward(self, s: Float[Tensor, "query"]) -> Float[Tensor, "query token width"]:
        """Return the weights at `s`."""
        return self.base + self.out(self.hidden(_features(s))).unflatten(-1, self.base.shape)


def _features(s: Float[Tensor, "query"]) -> Float[Tensor, "query feature"]:
    """Time, sines and cosines, and two features that resolve the fast change after a point start."""
    angles = math.pi * s[:, None] * 2.0 ** torch.arange(FREQUENCIES, device=s.device)
    early = s[:, None] + 1e-2
    return torch.cat([s[:, None], angles.sin(), angles.cos(), early.sqrt(), early.log()], 1)


def fit_teacher(
    backbone: Backbone,
    bridge: Bridge,
    base: Float[np.ndarray, "token width"],
    options: TeacherOptions,
    seed: int,
    device: torch.device | str = "cpu",
) -> tuple[Float[np.ndarray, "point"], Float[np.ndarray, "point token width"]]:
    """Fit the teacher and tabulate it.

    Returns:
        physical times, denser towards the start, and the weights there.

    Raises:
        TrainingError: the likelihood is no longer finite.
    """
    rng = generator(seed, "teacher")
    with seeded(seed, "teacher"):
        path = DirectPath(torch.as_tensor(np.array(base)), options.width).to(device)
    mask = backbone.layout.mask.to(device)
    optimiser = torch.optim.AdamW(path.parameters(), options.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.learning_rate, options.steps)
    first, span = bridge.times[0], bridge.times[-1] - bridge.times[0]
    for step in range(options.steps):
        times = np.sort(np.concatenate([bridge.times, draw_times(bridge.times, options.random_times, rng)]))
        samples = torch.as_tensor(bridge.sample(times, options.draws, rng), dtype=torch.float32, device=device)
        tokens = path(torch.as_tensor((times - first) / span, dtype=torch.float32, device=device)) * mask
        length = (tokens[1:] - tokens[:-1]).flatten(1).norm(dim=1).sum()
        loss = options.length * length - backbone.log_prob(tokens, samples).mean()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the teacher's likelihood is not finite at step {step} of {options.steps}; lower "
                f"`teacher.learning_rate` (now {options.learning_rate:g})."
            )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    s = np.linspace(0.0, 1.0, TABLE_SIZE) ** 1.5
    with torch.no_grad():
        tokens = path(torch.as_tensor(s, dtype=torch.float32, device=device)) * mask
    return first + s * span, tokens.cpu().numpy()


def draw_times(times: Float[np.ndarray, "time"], n: int, rng: np.random.Generator) -> Float[np.ndarray, "draw"]:
    """Draw `n` times between the first and the last; a sixth, two at least, fall into the first interval.

    After a point start the distribution changes fastest there.
    """
    drawn = rng.uniform(times[0], times[-1], n)
    early = min(n, max(2, n // 6))
    drawn[:early] = rng.uniform(times[0], times[1], early)
    return drawn
