"""A model directory: `model.safetensors` and `config.json`, and `members` beside them where there are any."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from weightflow.backbones import Backbone
from weightflow.drift import Drift, Varied, drift_of
from weightflow.dynamics import Direct, DynamicsOptions, Rollout, Table, Units, build_field
from weightflow.errors import InputError
from weightflow.files import whole, write_text
from weightflow.model.engine import AnyPath
from weightflow.path import Clock, ControlPath

FORMAT = 8
# format 3 knew no drift, format 4 no conditions, format 5 no rate of the clock at its end, format 6 no drift of several
# conditions, format 7 no path that coasts
READ = {3, 4, 5, 6, 7, FORMAT}
MOTION, ORIGIN, CLOCK = "motion.", "origin.", "clock."
CONFIG, TENSORS, MEMBERS = "config.json", "model.safetensors", "members"


def member_folders(folder: str | os.PathLike[str], members: int) -> list[Path]:
    """Return where the members of a model lie."""
    return [Path(folder) / MEMBERS / f"{k:02d}" for k in range(members)]


def write(folder: Path, config: dict[str, Any], path: AnyPath, clock: Clock, motion: Drift | Varied | None) -> None:
    """Write both files, each whole or not at all, then remove the members of a former model."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"path.{name}": tensor.contiguous() for name, tensor in path.state_dict().items()}
    tensors |= {f"{CLOCK}{name}": torch.tensor(value, dtype=torch.float64) for name, value in vars(clock).items()}
    if motion is not None:
        tensors |= {f"{MOTION}{name}": torch.tensor(array).contiguous() for name, array in motion.arrays().items()}
    kind = type(path).__name__.lower()
    dynamics = path.options.model_dump(mode="json") if isinstance(path, Rollout) else None
    coasts = isinstance(path, Rollout) and path.coasts
    with whole(folder / TENSORS) as draft:
        save_file(tensors, draft)
    facts = {"format": FORMAT, **config, "path": kind, "dynamics": dynamics, "coasts": coasts}
    write_text(folder / CONFIG, json.dumps(facts, indent=2) + "\n")
    kept = {place.name for place in member_folders(folder, config["members"])}
    for place in (folder / MEMBERS).glob("[0-9][0-9]*"):
        if place.name not in kept:
            shutil.rmtree(place)


def read(folder: Path) -> tuple[dict[str, Any], Backbone, AnyPath, Clock, Drift | Varied | None]:
    """Read what was written.

    Raises:
        InputError: the folder is no model directory, is damaged, or is of another format.
    """
    config = _read_config(folder)
    try:
        tensors = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise InputError(f"`{folder / TENSORS}` cannot be read ({error}); fetch or fit it again.") from None
    clock = _read_clock({name: tensors.pop(name).numpy() for name in list(tensors) if name.startswith(CLOCK)})
    backbone = Backbone.parse(config["backbone"], "backbone")
    state = {name.removeprefix("path."): tensor for name, tensor in tensors.items() if not name.startswith(MOTION)}
    motion = {name.removeprefix(MOTION): part.numpy() for name, part in tensors.items() if name.startswith(MOTION)}
    return config, backbone, _build_path(backbone, config, state), clock, drift_of(motion) if motion else None


def _read_clock(arrays: dict[str, np.ndarray]) -> Clock:
    """Build the clock; that of an earlier format goes on as in its last stretch."""
    times, marks = arrays[f"{CLOCK}times"], arrays[f"{CLOCK}marks"]
    rate = arrays.get(f"{CLOCK}rate", np.diff(marks)[-1:] / np.diff(times)[-1:])
    return Clock(times, marks, rate.item())


def _build_path(backbone: Backbone, config: dict[str, Any], state: dict[str, Tensor]) -> AnyPath:
    if config["path"] == "table":
        return Table(state["marks"], state["tokens"])
    if config["path"] == "direct":
        return Direct.of_state(state, backbone.layout.mask)
    options = DynamicsOptions.parse(config["dynamics"], "dynamics")
    units = Units(state["field.units.centre"], state["field.units.size"], state["field.units.speed"])
    values = state.get("field.control.values")
    control = None if values is None else ControlPath(state["field.control.marks"], values)
    seen = state.get("field.attention.condition.weight")
    features = 0 if seen is None else seen.shape[1]
    field = build_field(backbone.layout, options, units, control, seed=0, features=features)
    origin = {name.removeprefix(ORIGIN): part for name, part in state.items() if name.startswith(ORIGIN)}
    start = Direct.of_state(origin, backbone.layout.mask) if origin else None
    path: nn.Module = Rollout(state["start"], field, options, start, config.get("coasts", False))
    path.load_state_dict(state)
    return path.eval()


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"`{folder}` is no model directory ({error}); give a folder that holds `{CONFIG}` and `{TENSORS}`, such as "
            "`runs/NAME/best`."
        ) from None
    if config.get("format") not in READ:
        *older, newest = sorted(READ)
        known = f"{', '.join(map(str, older))} and {newest}"
        raise InputError(f"`{folder}` has format {config.get('format')} and this version reads {known}; fit it again.")
    return config
