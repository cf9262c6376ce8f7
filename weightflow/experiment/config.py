"""What a fit depends on beside data and seed, and its forms: presets, dotted keys, later rounds."""

from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args

from weightflow.anchors import AnchorOptions
from weightflow.backbones import BackboneOptions
from weightflow.bridge import BridgeOptions, ConditionOptions
from weightflow.dynamics import DynamicsKind, DynamicsOptions
from weightflow.errors import InputError
from weightflow.presets import PRESETS
from weightflow.training import Objective, TeacherOptions, TrainingOptions
from weightflow.types import Options


class ExperimentConfig(Options):
    """Everything that a fit depends on beside the data and the seed."""

    backbone: BackboneOptions = BackboneOptions()
    anchors: AnchorOptions = AnchorOptions()
    teacher: TeacherOptions = TeacherOptions()
    bridge: BridgeOptions = BridgeOptions()
    conditions: ConditionOptions = ConditionOptions()
    dynamics: DynamicsOptions = DynamicsOptions()
    training: TrainingOptions = TrainingOptions()

    @property
    def needs_teacher(self) -> bool:
        """Whether a fit follows the teacher; the paper's objective follows the anchors alone."""
        return self.training.objective is not Objective.ANCHOR or self.dynamics.kind is DynamicsKind.DIRECT

    @property
    def needs_anchors(self) -> bool:
        """Whether a fit looks at the anchors: they are the knots of a CDE's control path, and the paper's objective."""
        return self.training.objective is Objective.ANCHOR or self.dynamics.kind is DynamicsKind.CDE

    @property
    def leads_back(self) -> float:
        """The rate by the clock at which the field leads back to its path: as asked, or what the solver follows."""
        return min(self.training.pull_back, self.fastest)

    @property
    def fastest(self) -> float:
        """The rate of a decay that the solver still follows: no more of a weight goes in a step than it can take."""
        dynamics = self.dynamics
        return dynamics.steps * dynamics.substeps * dynamics.solver.steadiness

    def of_round(self, number: int) -> "ExperimentConfig":
        """Return the configuration of a round of fitting phi, counted from 0.

        The second lets the field see the clock, if the first did not, and has twice of all: marks, the rate at which
        it leads back, width, and steps of both kinds. Each one after that takes three times the steps of the one
        before.
        """
        if number == 0:
            return self
        dynamics, training, more = self.dynamics, self.training, 2 * 3 ** (number - 1)
        return self.model_copy(
            update={
                "dynamics": dynamics.model_copy(
                    update={"steps": 2 * dynamics.steps, "hidden": 2 * dynamics.hidden, "time": True}
                ),
                "training": training.model_copy(
                    update={
                        "pull_back": 2 * training.pull_back,
                        "collocation_steps": training.collocation_steps * more,
                        "rollout_steps": training.rollout_steps * more,
                    }
                ),
            }
        )


def preset(name: str, **groups: Mapping[str, Any]) -> ExperimentConfig:
    """Return the configuration of this name, with single values of some groups replaced.

    `preset("paper", dynamics={"dropout": 0.0})` is the paper's method without dropout.

    Raises:
        InputError: there is no such preset, or a key or value is not allowed.
    """
    if name not in PRESETS:
        raise InputError(f"there is no preset `{name}`; known are {', '.join(PRESETS)}.")
    known = PRESETS[name]
    return ExperimentConfig.parse(
        {group: {**known.get(group, {}), **groups.get(group, {})} for group in {*known, *groups}}
    )


def flat_keys() -> tuple[str, ...]:
    """Return the dotted names of all configuration values, such as `dynamics.hidden`."""
    return tuple(flatten(ExperimentConfig()))


def whole_keys() -> frozenset[str]:
    """Return those of them that hold whole numbers alone."""
    types = {
        f"{group}.{key}": {*get_args(field.annotation)} or {field.annotation}
        for group, options in ExperimentConfig()
        for key, field in type(options).model_fields.items()
    }
    return frozenset(key for key, kinds in types.items() if kinds - {NoneType} == {int})


def nest(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Turn dotted keys into groups: `dynamics.hidden` becomes `{"dynamics": {"hidden": ..}}`."""
    groups: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = value
    return groups


def flatten(config: ExperimentConfig) -> dict[str, Any]:
    """Return a configuration by dotted keys, as plain values; `nest` undoes it."""
    groups = config.model_dump(mode="json")
    return {f"{group}.{key}": value for group, values in groups.items() for key, value in values.items()}
