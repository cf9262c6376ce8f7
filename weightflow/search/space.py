"""Search spaces: YAML in, an Optuna define-by-run space out.

    parameters:
      dynamics.kind: {kind: choice, values: [ode, cde]}
      dynamics.depth: {kind: int, low: 1, high: 3}
      training.learning_rate: {kind: float, low: 1.0e-3, high: 1.0e-2, log: true}
      dynamics.z_dim: {kind: int, low: 1, high: 4, when: {dynamics.kind: cde}}
    fixed:
      training.epochs: 12
    first_trials:
      - {dynamics.kind: ode, dynamics.depth: 1, training.learning_rate: 3.0e-3}

A parameter with `when` is asked for only where the named choice has one of the named values. `fixed` holds for every trial;
`first_trials` are evaluated before the sampler chooses.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from weightflow.errors import InputError
from weightflow.trials import Parameter

Condition = dict[str, Parameter | list[Parameter]]


class _Searched(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    when: Condition = {}

    def applies(self, chosen: Mapping[str, Any]) -> bool:
        """Whether the parameter is asked for, given the ones before it."""
        return all(key in chosen and chosen[key] in _as_list(wanted) for key, wanted in self.when.items())


class Choice(_Searched):
    """One of several values."""

    kind: Literal["choice"]
    values: list[bool | int | float | str] = Field(min_length=1)

    def suggest(self, trial: optuna.Trial, name: str) -> Parameter:
        """Ask Optuna."""
        return trial.suggest_categorical(name, self.values)

    def admits(self, value: object) -> bool:
        """Whether `value` can be chosen."""
        return value in self.values

    def describe(self) -> str:
        """Say what is allowed."""
        return "one of " + ", ".join(map(str, self.values))


class _Range(_Searched):
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "_Range":
        if self.low > self.high:
            raise ValueError(f"`low`={self.low} must not exceed `high`={self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"`low`={self.low} must be above 0 with `log: true`")
        return self

    def admits(self, value: object) -> bool:
        """Whether `value` lies in the range."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def describe(self) -> str:
        """Say what is allowed."""
        return f"from {self.low} to {self.high}"


class IntRange(_Range):
    """A whole number."""

    kind: Literal["int"]
    low: int
    high: int
    step: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _log_has_no_step(self) -> "IntRange":
        if self.log and self.step != 1:
            raise ValueError("`step` and `log` exclude each other")
        return self

    def suggest(self, trial: optuna.Trial, name: str) -> Parameter:
        """Ask Optuna."""
        return trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log)


class FloatRange(_Range):
    """A real number."""

    kind: Literal["float"]

    def suggest(self, trial: optuna.Trial, name: str) -> Parameter:
        """Ask Optuna."""
        return trial.suggest_float(name, self.low, self.high, log=self.log)


Searched = Choice | IntRange | FloatRange
_KINDS: dict[str, TypeAdapter[Any]] = {
    "choice": TypeAdapter(Choice),
    "int": TypeAdapter(IntRange),
    "float": TypeAdapter(FloatRange),
}
_SECTIONS = ("description", "parameters", "fixed", "first_trials")


@dataclass(frozen=True)
class Space:
    """A validated search space; calling it with an Optuna trial suggests one configuration."""

    parameters: dict[str, Searched]
    fixed: dict[str, Any] = field(default_factory=dict)
    first_trials: tuple[dict[str, Parameter], ...] = ()
    description: str = ""

    @classmethod
    def read(cls, path: Path, known: Collection[str]) -> "Space":
        """Read a YAML file; `known` are the configuration keys that exist.

        Raises:
            InputError: the file cannot be read, or a key or value is not allowed; the message names file, key, what was
                given and what is allowed.
        """
        try:
            content = yaml.safe_load(path.read_text())
        except OSError as error:
            raise InputError(f"the search space `{path}` cannot be read ({error.strerror}); give a YAML file.") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"the search space `{path}` is not valid YAML: {' '.join(str(error).split())}") from None
        try:
            return cls.build(content, known)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def build(cls, content: object, known: Collection[str]) -> "Space":
        """Validate what a YAML file holds; see `read`."""
        sections = _mapping(content, "the file", _SECTIONS)
        parameters: dict[str, Searched] = {}
        for key, value in _mapping(sections.get("parameters") or {}, "`parameters`", known).items():
            parameters[key] = _searched(key, value, parameters)
        if not parameters:
            raise InputError("`parameters` is empty; name at least one parameter to search.")
        fixed = _mapping(sections.get("fixed") or {}, "`fixed`", known)
        for key in fixed.keys() & parameters.keys():
            raise InputError(f"`{key}` is both searched and fixed; keep one of the two.")
        points = sections.get("first_trials") or []
        if not isinstance(points, list):
            raise InputError(f"`first_trials` must be a list of mappings, not {points!r}.")
        first = tuple(_first_trial(point, parameters) for point in points)
        return cls(parameters, fixed, first, str(sections.get("description") or "").strip())

    def __call__(self, trial: optuna.Trial) -> dict[str, Any]:
        """Suggest one configuration; return the constants that join it."""
        chosen: dict[str, Parameter] = {}
        for name, parameter in self.parameters.items():
            if parameter.applies(chosen):
                chosen[name] = parameter.suggest(trial, name)
        return dict(self.fixed)

    def values(self, key: str, default: Parameter) -> list[Any]:
        """List the values that `key` can take: its choices, or the ends and the middle of its range."""
        parameter = self.parameters.get(key)
        if parameter is None:
            return [self.fixed.get(key, default)]
        if isinstance(parameter, Choice):
            return list(parameter.values)
        return [parameter.low, (parameter.low + parameter.high) / 2, parameter.high]

    def digest(self) -> str:
        """Return a hash: equal spaces, equal digest."""
        content = {
            "parameters": {key: parameter.model_dump() for key, parameter in self.parameters.items()},
            "fixed": self.fixed,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def nest(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Turn dotted keys into groups: `dynamics.hidden` becomes `{"dynamics": {"hidden": ..}}`."""
    groups: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = value
    return groups


def _mapping(value: object, what: str, known: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{what} must be a mapping, not {value!r}; see search_spaces/default.yaml.")
    for key in value:
        if key not in known:
            raise InputError(f"{what} holds `{key}`, which is not known; known: {', '.join(known)}.")
    return value


def _searched(key: str, value: object, before: Mapping[str, Searched]) -> Searched:
    if not isinstance(value, dict) or value.get("kind") not in _KINDS:
        raise InputError(f"`{key}` is {value!r}; give a mapping whose `kind` is one of {', '.join(_KINDS)}.")
    try:
        parameter: Searched = _KINDS[value["kind"]].validate_python(value)
    except ValidationError as error:
        problems = "; ".join(_problem(problem) for problem in error.errors())
        raise InputError(f"`{key}`: {problems}.") from None
    for other, wanted in parameter.when.items():
        choice = before.get(other)
        if not isinstance(choice, Choice):
            raise InputError(f"`{key}` depends on `{other}`, which must be a choice that stands above it.")
        for one in _as_list(wanted):
            if not choice.admits(one):
                raise InputError(f"`{key}` waits for `{other}`={one!r}, which is never so; it is {choice.describe()}.")
    return parameter


def _problem(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    given = f"={problem['input']!r}" if place and problem["type"] != "missing" else ""
    return f"`{place}`{given}: {problem['msg']}" if place else str(problem["msg"])


def _first_trial(point: object, parameters: Mapping[str, Searched]) -> dict[str, Parameter]:
    values = _mapping(point, "`first_trials`", parameters.keys())
    for key, parameter in parameters.items():
        if not parameter.applies(values):
            continue
        if key not in values:
            raise InputError(f"a first trial leaves out `{key}`; give it {parameter.describe()}.")
        if not parameter.admits(values[key]):
            raise InputError(f"a first trial has `{key}`={values[key]!r}; it must be {parameter.describe()}.")
    return values


def _as_list(value: Parameter | list[Parameter]) -> list[Parameter]:
    return value if isinstance(value, list) else [value]
