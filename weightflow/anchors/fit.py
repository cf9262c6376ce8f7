"""Maximum-likelihood fits of the backbone to snapshots.

Three ways to align the anchors, that is, to make neighbouring snapshots have neighbouring weights:

- `pooled`: one base is fitted to all snapshots together; every anchor is then fine-tuned from it. The anchors do not
  depend on each other, so workers can share them out, and each worker fits its part as one batch.
- `chain`: each anchor starts from the one before ("sequential aligning", Li et al. 2026).
- `none`: every anchor starts from its own random weights.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from weightflow.anchors.anchors import Anchors
from weightflow.backbones import Backbone
from weightflow.data import Snapshots
from weightflow.errors import TrainingError
from weightflow.progress import Progress, unseen
from weightflow.torch_rng import torch_generator
from weightflow.types import Options


class Alignment(StrEnum):
    """How anchors of neighbouring snapshots are kept near each other."""

    POOLED = "pooled"
    CHAIN = "chain"
    NONE = "none"


class AnchorOptions(Options):
    """How the anchors are fitted."""

    alignment: Alignment = Alignment.POOLED
    base_steps: int = Field(
        default=400, ge=1, description="steps of the pooled base, or of the first anchor of a chain"
    )
    steps: int = Field(default=300, ge=1, description="steps of each anchor after that")
    base_batch: int = Field(default=512, ge=1)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=2e-2, gt=0)


def fit_base(
    backbone: Backbone,
    snapshots: Snapshots,
    options: AnchorOptions,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Progress = unseen,
) -> Float[np.ndarray, "token width"]:
    """Fit one set of weights to all snapshots together."""
    start = backbone.init(torch_generator(seed, "backbone"))[None]
    cloud = [snapshots.pooled()]
    watch = _counting("base", options.base_steps, progress)
    return _fit(backbone, start, cloud, options.base_steps, options.base_batch, options, seed, device, watch)[0]


def fit_anchors(
    backbone: Backbone,
    snapshots: Snapshots,
    indices: Sequence[int],
    base: Float[np.ndarray, "token width"] | None,
    options: AnchorOptions,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Progress = unseen,
) -> Anchors:
    """Fit the anchors of the snapshots at `indices`; `base` is used by the pooled alignment alone.

    Raises:
        TrainingError: the likelihood is no longer finite.
    """
    part = snapshots.subset(indices)
    if options.alignment is Alignment.CHAIN:
        return Anchors(part.times, _chain(backbone, part, options, seed, device))
    if options.alignment is Alignment.NONE or base is None:
        seeds = [torch_generator(seed, "backbone", float(time).hex()) for time in part.times]
        start = torch.stack([backbone.init(generator) for generator in seeds])
        steps = options.base_steps + options.steps
    else:
        start = torch.as_tensor(np.array(base)).expand(len(part), -1, -1)
        steps = options.steps
    watch = _counting("anchors", steps, progress)
    return Anchors(part.times, _fit(backbone, start, part.samples, steps, options.batch, options, seed, device, watch))


def _counting(phase: str, total: int, progress: Progress) -> Callable[[int], None]:
    return lambda done: progress(phase, done, total)


def _chain(
    backbone: Backbone, part: Snapshots, options: AnchorOptions, seed: int, device: torch.device | str
) -> np.ndarray:
    tokens = backbone.init(torch_generator(seed, "backbone")).numpy()
    chain: list[np.ndarray] = []
    for cloud in part.samples:
        steps = options.steps if chain else options.base_steps
        start = torch.as_tensor(tokens)[None]
        tokens = _fit(backbone, start, [cloud], steps, options.batch, options, seed, device)[0]
        chain.append(tokens)
    return np.stack(chain)


def _fit(
    backbone: Backbone,
    start: Float[Tensor, "stack token width"],
    clouds: Sequence[np.ndarray],
    steps: int,
    batch: int,
    options: AnchorOptions,
    seed: int,
    device: torch.device | str,
    watch: Callable[[int], None] = lambda _: None,
) -> Float[np.ndarray, "stack token width"]:
    """Fit a stack of weights as one batch, each to its own cloud."""
    data = [torch.as_tensor(cloud, dtype=torch.float32, device=device) for cloud in clouds]
    generators = [torch_generator(seed, "batch", len(cloud), float(cloud.sum()).hex()) for cloud in clouds]
    tokens = start.detach().clone().to(device).requires_grad_()
    optimiser = torch.optim.Adam([tokens], options.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.learning_rate, steps)
    for step in range(steps):
        picks = [torch.randint(len(d), (batch,), generator=g) for d, g in zip(data, generators, strict=True)]
        samples = torch.stack([d[pick.to(device)] for d, pick in zip(data, picks, strict=True)])
        # summed over the stack, so that each set of weights has the gradient that it would have alone
        loss = -backbone.log_prob(tokens, samples).mean(1).sum()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the anchors' likelihood is not finite at step {step} of {steps}; lower `anchors.learning_rate` "
                f"(now {options.learning_rate:g})."
            )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        watch(step + 1)
    return tokens.detach().cpu().numpy()
