"""Maximum-likelihood fits of the backbone to snapshots.

Three ways to align the anchors, that is, to make neighbouring snapshots have neighbouring weights:

- `pooled`: one base is fitted to all snapshots together; every anchor is then fine-tuned from it. The anchors do not
  depend on each other, so workers can share them out, and each worker fits its part as one batch.
- `chain`: each anchor starts from the one before ("sequential aligning", Li et al. 2026).
- `none`: every anchor starts from its own random weights.
"""

from collections.abc import Sequence
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
from weightflow.progress import Steps, uncounted
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
        default=100, ge=1, description="steps of the pooled base, or of the first anchor of a chain"
    )
    steps: int = Field(default=300, ge=1, description="steps of each anchor after that")
    base_batch: int = Field(default=512, ge=1)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=2e-2, gt=0)
    rounds: int = Field(default=2, ge=1, description="fits of an anchor whose draws can be told from its snapshot")


def fit_base(
    backbone: Backbone,
    snapshots: Snapshots,
    options: AnchorOptions,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Steps = uncounted,
) -> Float[np.ndarray, "token width"]:
    """Fit one set of weights to all snapshots together."""
    start = backbone.init(torch_generator(seed, "backbone"))[None]
    cloud = [snapshots.pooled()]
    return _fit(backbone, start, cloud, options.base_steps, options.base_batch, options, seed, device, progress)[0]


def fit_anchors(
    backbone: Backbone,
    snapshots: Snapshots,
    base: Float[np.ndarray, "token width"] | None,
    options: AnchorOptions,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Steps = uncounted,
) -> Anchors:
    """Fit the anchors of `snapshots`; `base` is used by the pooled alignment alone.

    Raises:
        TrainingError: the likelihood is no longer finite.
    """
    if options.alignment is Alignment.CHAIN:
        return Anchors(snapshots.times, _chain(backbone, snapshots, options, seed, device, progress))
    if options.alignment is Alignment.NONE or base is None:
        seeds = [torch_generator(seed, "backbone", float(time).hex()) for time in snapshots.times]
        start = torch.stack([backbone.init(generator) for generator in seeds])
        steps = options.base_steps + options.steps
    else:
        start = torch.as_tensor(np.array(base)).expand(len(snapshots), -1, -1)
        steps = options.steps
    tokens = _fit(backbone, start, snapshots.samples, steps, options.batch, options, seed, device, progress)
    return Anchors(snapshots.times, tokens)


def go_on(
    backbone: Backbone,
    snapshots: Snapshots,
    anchors: Anchors,
    options: AnchorOptions,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Steps = uncounted,
) -> Anchors:
    """Fit the anchors of `snapshots` further, with twice the steps.

    Raises:
        TrainingError: the likelihood is no longer finite.
    """
    start, steps = torch.as_tensor(np.array(anchors.tokens)), 2 * options.steps
    tokens = _fit(backbone, start, snapshots.samples, steps, options.batch, options, seed, device, progress)
    return Anchors(anchors.times, tokens)


def _chain(
    backbone: Backbone,
    part: Snapshots,
    options: AnchorOptions,
    seed: int,
    device: torch.device | str,
    progress: Steps,
) -> np.ndarray:
    tokens = backbone.init(torch_generator(seed, "backbone")).numpy()
    chain: list[np.ndarray] = []
    for cloud in part.samples:
        steps = options.steps if chain else options.base_steps
        start = torch.as_tensor(tokens)[None]
        tokens = _fit(backbone, start, [cloud], steps, options.batch, options, seed, device, progress)[0]
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
    progress: Steps,
) -> Float[np.ndarray, "stack token width"]:
    """Fit a stack of weights as one batch, each to its own cloud."""
    data = [torch.as_tensor(cloud, dtype=torch.float64, device=device) for cloud in clouds]
    names = [(len(cloud), float(cloud.sum()).hex()) for cloud in clouds]
    generators = [torch_generator(seed, "batch", *name, device=device) for name in names]
    tokens = start.detach().clone().to(device).requires_grad_()
    optimiser = torch.optim.Adam([tokens], options.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.learning_rate, steps)
    for step in range(steps):
        picks = [
            torch.randint(len(d), (batch,), generator=g, device=device) for d, g in zip(data, generators, strict=True)
        ]
        samples = torch.stack([d[pick] for d, pick in zip(data, picks, strict=True)])
        # summed over the stack, so that each set of weights has the gradient that it would have alone
        loss = -backbone.log_prob(tokens, samples).mean(1).sum()
        if not torch.isfinite(loss):  # the only look at the device in a step
            raise TrainingError(
                f"the anchors' likelihood is not finite at step {step} of {steps}; lower `anchors.learning_rate` "
                f"(now {options.learning_rate:g})."
            )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(step + 1, steps)
    return tokens.detach().cpu().numpy()
