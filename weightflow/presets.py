"""Named configurations: starting points that a user may change key by key."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from weightflow.errors import InputError
from weightflow.experiment import ExperimentConfig, nest


class Preset(StrEnum):
    """A named configuration.

    - `default`: what this package recommends.
    - `paper`: the published method (Li et al. 2026) with its defects repaired: every window is integrated over its own
      stretch of time, each distinct window is used once in a step, and the start of a window is its own anchor.
    """

    DEFAULT = "default"
    PAPER = "paper"

    @property
    def values(self) -> Mapping[str, Any]:
        """What differs from the defaults of the options, by dotted keys."""
        return _VALUES[self]


_PAPER: dict[str, Any] = {
    "backbone.kind": "gru",
    "backbone.hidden": 8,
    "backbone.head": "softmax",
    "backbone.places": False,
    # 50 epochs of 1,000 samples in batches of 64 for the first anchor, 25 for each other
    "anchors.alignment": "chain",
    "anchors.base_steps": 800,
    "anchors.steps": 400,
    "anchors.batch": 64,
    "anchors.learning_rate": 1e-2,
    "dynamics.kind": "cde",
    "dynamics.time": True,
    "dynamics.hidden": 64,
    "dynamics.depth": 2,
    "dynamics.heads": 4,
    "dynamics.dropout": 0.1,
    "dynamics.z_dim": 1,
    "dynamics.projection": "autoencoder",
    # one step between neighbours of eleven anchors
    "dynamics.solver": "rk4",
    "dynamics.steps": 10,
    "dynamics.stretch": 0.0,
    "training.objective": "anchor",
    "training.warm_share": 0.0,
    "training.energy": 1e-6,
    "training.learning_rate": 1e-3,
    "training.window": 4,
    # The paper takes 100 epochs of 100 steps. A step here uses every window once, and these 12 of 25 cost about what
    # training with the defaults costs, so that the two are compared at like budgets.
    "training.epochs": 12,
    "training.rollout_steps": 25,
}
_VALUES: Mapping[Preset, Mapping[str, Any]] = MappingProxyType(
    {Preset.DEFAULT: MappingProxyType({}), Preset.PAPER: MappingProxyType(_PAPER)}
)


def preset(name: str, **changes: Any) -> ExperimentConfig:
    """Return a named configuration, as in `weightflow.fit(snapshots, weightflow.preset("paper"))`.

    Args:
        name: `default` or `paper`.
        changes: values that replace the preset's, by dotted keys: `preset("paper", **{"dynamics.steps": 20})`.

    Raises:
        InputError: the name or a key is not known, or a value is not allowed.
    """
    if name not in list(Preset):
        raise InputError(f"preset `{name}` is not known; known are {', '.join(Preset)}.")
    return ExperimentConfig.parse(nest({**Preset(name).values, **changes}))
