"""The random numbers that torch draws, apart from `weightflow.rng`: a simulation need not wait for torch."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor
from torch.quasirandom import SobolEngine

from weightflow.rng import derive_seed

EDGE = 1e-7  # uniform numbers keep this distance from 0 and 1, where inverse distributions are infinite


def torch_generator(seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator for one purpose, on `device`."""
    return torch.Generator(device).manual_seed(derive_seed(seed, *purpose))


def uniforms(n: int, dim: int, seed: int, *purpose: str | int) -> Float[Tensor, "n dim"]:
    """Return independent numbers, uniform in (0, 1)."""
    drawn = torch.rand((n, dim), generator=torch_generator(seed, *purpose), dtype=torch.float64)
    return drawn.clamp(EDGE, 1 - EDGE)


def quasi_uniforms(n: int, dim: int, seed: int, *purpose: str | int) -> Float[Tensor, "n dim"]:
    """Return a scrambled Sobol sequence (Owen 1997): each point uniform in (0, 1), all together evenly spread.

    The points are shuffled: in the order of the sequence, every fourth one would lie in a quarter of the first axis.
    """
    engine = SobolEngine(dim, scramble=True, seed=derive_seed(seed, *purpose))
    order = torch.randperm(n, generator=torch_generator(seed, *purpose, "order"))
    return engine.draw(n, dtype=torch.float64)[order].clamp(EDGE, 1 - EDGE)


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Generator[None, None, None]:
    """Seed torch's global generators inside a `with` block and restore them after it.

    Layers draw their first weights, and dropout its masks, from the global generator; nothing else may use this.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, *purpose))
        yield
