"""The learned distribution: samples, log-density and weights at any time, in the data's own units."""

import json
import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from weightflow.backbones import MAX_VALUES, Backbone
from weightflow.device import find_device
from weightflow.dynamics import Direct, DynamicsOptions, Rollout, Table, Units, build_field
from weightflow.errors import InputError
from weightflow.path import Clock, ControlPath
from weightflow.torch_rng import quasi_uniforms, uniforms
from weightflow.types import Kind

Numbers = float | int | Sequence[Any] | np.ndarray | Tensor  # what users may give for times and samples

FORMAT = 3
MAX_SPANS = 10  # forecasts further than this many fitted spans are refused: nothing supports them
MAX_STATES = 20_000  # marginals are summed exactly over at most this many prefixes


@dataclass(frozen=True, eq=False)
class WeightFlow:
    """p(x, t): a backbone whose weights follow a path.

    Attributes:
        backbone: the pure function that turns weights into a density.
        path: weights by the clock (a rollout of phi, a direct path, or a table).
        clock: physical time to clock.
        species: names of the dimensions.
        kinds: kinds of the dimensions.
        record: how the model was made (configuration, seed, versions, data), as plain values.
        unit: of the times, as in `Snapshots`.
    """

    backbone: Backbone
    path: Rollout | Table | Direct
    clock: Clock
    species: tuple[str, ...]
    kinds: tuple[Kind, ...]
    record: dict[str, Any] = field(default_factory=dict)
    unit: str = ""

    @property
    def span(self) -> tuple[float, float]:
        """First and last fitted time."""
        return float(self.clock.times[0]), float(self.clock.times[-1])

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(iter(self.path.state_dict().values())).device

    def to(self, device: torch.device | str) -> "WeightFlow":
        """Return the same model on another device (cpu, cuda or cuda:N), where it then computes.

        What it is asked for comes back on the CPU all the same, so that no caller need know where a model is.

        Raises:
            InputError: the device is not there.
        """
        return replace(self, path=deepcopy(self.path).to(find_device(device)))

    def weights(self, times: Numbers) -> Float[Tensor, "time token width"]:
        """Return the backbone's weights at physical `times`, in any order.

        Raises:
            InputError: a time is before the first fitted one, or more than ten fitted spans after the last.
        """
        return self._weights(self._clock(times)).cpu()

    def sample(
        self, times: Numbers, n: int, seed: int = 0, *, independent: bool = False
    ) -> Float[Tensor, "time draw dim"]:
        """Draw `n` samples at each of `times`.

        By default the `n` samples of a time come from a randomised Sobol sequence (Owen 1997): each one by itself is
        distributed as the model says, and together they stand for the distribution better than independent ones do,
        because they avoid each other. They come in random order, so that any part of them is as good as any other.
        `independent` gives ordinary Monte-Carlo samples. Samples of different times are independent of each other
        either way, and do not depend on what else is asked.

        Raises:
            InputError: `n` is not positive, or as for `weights`.
        """
        if n < 1:
            raise InputError(f"`n`={n} samples were asked for; ask for at least one.")
        clock = self._clock(times)
        numbers = uniforms if independent else quasi_uniforms
        purposes = [time.hex() for time in np.atleast_1d(np.asarray(times, dtype=np.float64)).tolist()]
        drawn = torch.stack([numbers(n, self.backbone.dim, seed, "sample", purpose) for purpose in purposes])
        return self._in_chunks(self.backbone.sample, clock, drawn)

    def log_prob(self, x: Numbers, t: Numbers) -> Float[Tensor, "*shape"]:
        """Evaluate the normalised log-density, in nats, in double precision.

        Counts have probabilities, continuous values densities in the data's units. What cannot be has minus infinity:
        negative or fractional counts, infinite values. A species that was constant in the fitted data has the
        probability 1 - 1e-6 at that constant, and the rest is spread over all other values (`heads.constant`).

        Args:
            x: samples, shape (draw, dim), or (time, draw, dim) with one cloud for each time.
            t: one time, or (time,) of them.

        Returns:
            shape (draw,) for one time and (time, draw) for several.

        Raises:
            InputError: shapes do not fit, a value is not a number, or as for `weights`.
        """
        samples = torch.as_tensor(np.asarray(x), dtype=torch.float64)
        times = np.asarray(t, dtype=np.float64)
        if times.ndim > 1 or samples.ndim not in (2, 3) or samples.shape[-1] != len(self.species):
            raise InputError(
                f"`x` has shape {tuple(samples.shape)} and `t` {times.shape}; give x of shape "
                f"(draw, {len(self.species)}) or (time, draw, {len(self.species)}) and one time or (time,)."
            )
        if samples.isnan().any():
            raise InputError("`x` holds values that are not a number (NaN), which have no density; drop those rows.")
        clock = self._clock(times)
        clouds = samples if samples.ndim == 3 else samples.expand(len(clock), -1, -1)
        if len(clouds) != len(clock):
            raise InputError(f"`x` holds {len(clouds)} clouds for {len(clock)} times; give one cloud for each time.")
        log_prob = self._in_chunks(self._finite_log_prob, clock, clouds)
        return log_prob[0] if times.ndim == 0 and samples.ndim == 2 else log_prob

    def marginals(self, times: Numbers, draws: int = 10_000, seed: int = 0) -> Float[Tensor, "time dim state"]:
        """Return the probability of each count of each species; the last one listed is of "this count or more".

        They are exact where the states of all species but the last can be listed (at most 20,000), and averages of the
        exact conditionals over `draws` samples elsewhere.

        Raises:
            InputError: a species is continuous, or as for `weights`.
        """
        wanted = np.atleast_1d(np.asarray(times, dtype=np.float64))
        found: list[Tensor] = []
        for marks in self._clock(wanted).split(self._times_at_once):
            # one time after the other: samples of all of them may be much more than their marginals
            for tokens in self._weights(marks).double().split(1):
                found.append(self._marginals(tokens, float(wanted[len(found)]), draws, seed).cpu())
        return torch.cat(found)

    def _marginals(
        self, tokens: Float[Tensor, "1 token width"], time: float, draws: int, seed: int
    ) -> Float[Tensor, "1 dim state"]:
        backbone = self.backbone
        with torch.no_grad():
            if backbone.states ** (len(backbone.order) - 1) <= MAX_STATES:
                return _exact_marginals(backbone, tokens)
            numbers = quasi_uniforms(draws, backbone.dim, seed, "sample", time.hex())[None]
            samples = self._over_draws(backbone.sample, tokens, numbers).to(self.device)
            return backbone.marginals(tokens, samples, samples.new_full((1, draws), 1.0 / draws), MAX_VALUES)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `model.safetensors` and `config.json` into `folder`; each file appears whole or not at all."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        tensors = {f"path.{name}": tensor.contiguous() for name, tensor in self.path.state_dict().items()}
        tensors |= {"clock.times": torch.tensor(self.clock.times), "clock.marks": torch.tensor(self.clock.marks)}
        config = {
            "format": FORMAT,
            "species": list(self.species),
            "kinds": [kind.value for kind in self.kinds],
            "backbone": self.backbone.model_dump(mode="json"),
            "path": type(self.path).__name__.lower(),
            "dynamics": self.path.options.model_dump(mode="json") if isinstance(self.path, Rollout) else None,
            "record": self.record,
            "unit": self.unit,
        }
        save_file(tensors, target / "model.safetensors.tmp")
        (target / "config.json.tmp").write_text(json.dumps(config, indent=2) + "\n")
        for name in ("model.safetensors", "config.json"):
            os.replace(target / f"{name}.tmp", target / name)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "WeightFlow":
        """Read a model directory.

        Raises:
            InputError: the folder is no model directory, is damaged, or is of another format.
        """
        source = Path(folder)
        config = _read_config(source)
        try:
            tensors = load_file(source / "model.safetensors")
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"`{source / 'model.safetensors'}` cannot be read ({error}); fetch or fit it again."
            ) from None
        clock = Clock(tensors.pop("clock.times").numpy(), tensors.pop("clock.marks").numpy())
        backbone = Backbone.parse(config["backbone"], "backbone")
        state = {name.removeprefix("path."): tensor for name, tensor in tensors.items()}
        path = _build_path(backbone, config, state)
        kinds = tuple(Kind(kind) for kind in config["kinds"])
        return cls(backbone, path, clock, tuple(config["species"]), kinds, config["record"], config.get("unit", ""))

    def _clock(self, times: Numbers) -> Float[Tensor, "time"]:
        wanted = np.atleast_1d(np.asarray(times, dtype=np.float64))
        first, last = self.span
        limit = last + MAX_SPANS * (last - first)
        if wanted.size == 0 or not np.isfinite(wanted).all() or wanted.min() < first or wanted.max() > limit:
            raise InputError(
                f"`times` must be finite and lie in [{first:g}, {limit:g}] (fitted: [{first:g}, {last:g}]), but got "
                f"{_describe(wanted)}; ask for times in that range."
            )
        return torch.as_tensor(np.clip(self.clock(wanted), 0.0, None), dtype=torch.float32)

    def _weights(self, clock: Float[Tensor, "time"]) -> Float[Tensor, "time token width"]:
        """Return the weights at clock times, on the model's device."""
        with torch.no_grad():
            return self.path.weights(clock.to(self.device))

    def _in_chunks(
        self,
        function: Callable[[Tensor, Tensor], Tensor],
        clock: Float[Tensor, "time"],
        values: Float[Tensor, "time draw dim"],
    ) -> Tensor:
        """Apply a function of (weights, values) to so many times and draws at once that memory is bounded."""
        parts = zip(clock.split(self._times_at_once), values.split(self._times_at_once), strict=True)
        return torch.cat([self._over_draws(function, self._weights(t).double(), clouds) for t, clouds in parts])

    @property
    def _times_at_once(self) -> int:
        return max(1, MAX_VALUES // max(self.backbone.held, self.backbone.layout.mask.numel()))

    def _over_draws(
        self,
        function: Callable[[Tensor, Tensor], Tensor],
        tokens: Float[Tensor, "time token width"],
        values: Float[Tensor, "time draw dim"],
    ) -> Tensor:
        """Apply a function of (weights, values) on the model's device to so many draws at once."""
        draws = max(1, MAX_VALUES // (len(tokens) * self.backbone.held))
        with torch.no_grad():
            return torch.cat([function(tokens, part.to(self.device)).cpu() for part in values.split(draws, 1)], 1)

    def _finite_log_prob(
        self, tokens: Float[Tensor, "time token width"], clouds: Float[Tensor, "time draw dim"]
    ) -> Float[Tensor, "time draw"]:
        """Evaluate the backbone, which knows no infinite values: they have log-density minus infinity."""
        infinite = clouds.isinf()
        log_prob = self.backbone.log_prob(tokens, clouds.masked_fill(infinite, 0.0))
        return log_prob.masked_fill(infinite.any(-1), -torch.inf)


def _build_path(backbone: Backbone, config: dict[str, Any], state: dict[str, Tensor]) -> Rollout | Table | Direct:
    if config["path"] == "table":
        return Table(state["marks"], state["tokens"])
    if config["path"] == "direct":
        return Direct.of_state(state, backbone.layout.mask)
    options = DynamicsOptions.parse(config["dynamics"], "dynamics")
    units = Units(state["field.units.centre"], state["field.units.size"], state["field.units.speed"])
    values = state.get("field.control.values")
    control = None if values is None else ControlPath(state["field.control.marks"], values)
    path: nn.Module = Rollout(state["start"], build_field(backbone.layout, options, units, control, seed=0), options)
    path.load_state_dict(state)
    return path.eval()


def _read_config(source: Path) -> dict[str, Any]:
    try:
        config = json.loads((source / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"`{source}` is no model directory ({error}); give a folder that holds `config.json` and "
            "`model.safetensors`, such as `runs/NAME/best`."
        ) from None
    if config.get("format") != FORMAT:
        raise InputError(f"`{source}` has format {config.get('format')} and this version reads {FORMAT}; fit it again.")
    return config


def _exact_marginals(backbone: Backbone, tokens: Float[Tensor, "1 token width"]) -> Float[Tensor, "1 dim state"]:
    """Sum over all states of the species but the last one described; what lies beyond the states has no weight."""
    values = torch.arange(backbone.states, dtype=torch.float64, device=tokens.device)
    before = len(backbone.order) - 1
    described = torch.cartesian_prod(*[values] * before).reshape(-1, before) if before else values.new_zeros(1, 0)
    grid = values.new_zeros(1, len(described), backbone.dim)
    grid[0, :, list(backbone.order[:-1])] = described
    parts = grid.split(max(1, MAX_VALUES // backbone.held), 1)
    weights = torch.cat([backbone.log_prob(tokens, part, species=before) for part in parts], 1).exp()
    return backbone.marginals(tokens, grid, weights / weights.sum(1, keepdim=True), MAX_VALUES)


def _describe(times: Float[np.ndarray, "query"]) -> str:
    if times.size == 0:
        return "none"
    return f"{len(times)} of them from {times.min():g} to {times.max():g}"


def load(folder: str | os.PathLike[str], device: torch.device | str = "cpu") -> WeightFlow:
    """Read a model directory onto a device; see `WeightFlow.load` and `WeightFlow.to`."""
    return WeightFlow.load(folder).to(device)
