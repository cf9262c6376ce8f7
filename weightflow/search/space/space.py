"""Search spaces: YAML in, an Optuna define-by-run space out.

    description: Small fields.
    parameters:
      dynamics.kind: {kind: choice, values: [ode, cde]}
      dynamics.depth: {kind: int, low: 1, high: 3}
      training.learning_rate: {kind: float, low: 1e-3, high: 1e-2, log: true}
      dynamics.z_dim: {kind: int, low: 1, high: 4, when: {dynamics.kind: cde}}
    fixed:
      training.epochs: 12
    first_trials:
      - {dynamics.kind: ode, dynamics.depth: 1, training.learning_rate: 3e-3}
    preparations: see `preparations`

A range may have a `step`. A parameter with `when` is asked for only where the named choices, which stand above it, have
the named value (or one of a list of them). `fixed` holds for every trial; `first_trials` come before those that the
sampler chooses. Where there are `preparations`, the first parameter is `preparation`, a choice of one of them.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any

from weightflow.data import Shape
from weightflow.errors import InputError, nearest_first
from weightflow.search.space.parameters import Choice, FloatRange, Searched, parse_parameter
from weightflow.search.space.preparations import NamedPreparation, expanded, nearest, parse_preparations
from weightflow.search.space.yaml_file import read_yaml
from weightflow.trials import PREPARATION, Parameter

_SECTIONS = ("description", "preparations", "parameters", "fixed", "first_trials")

Check = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Space:
    """A validated search space; calling it with an Optuna trial suggests one configuration.

    Attributes:
        parameters: what is searched, by key, in the order in which it is asked for.
        fixed: what holds for every trial.
        first_trials: complete points that are evaluated first.
        description: for people.
        preparations: sets of values by name, of which the parameter `preparation` chooses one.
    """

    parameters: dict[str, Searched]
    fixed: dict[str, Any] = field(default_factory=dict)
    first_trials: tuple[dict[str, Parameter], ...] = ()
    description: str = ""
    preparations: dict[str, NamedPreparation] = field(default_factory=dict)

    @classmethod
    def read(
        cls, path: Path, known: Collection[str], check: Check | None = None, whole: Collection[str] = ()
    ) -> "Space":
        """Read a YAML file.

        Args:
            path: of the file.
            known: the configuration keys that exist.
            check: raises InputError if a whole configuration, by dotted keys, cannot be used. It is asked about the
                first trials and about all pairs of values that may show it, before hours are spent on trials that fail.
            whole: the keys that hold whole numbers alone.

        Raises:
            InputError: the file cannot be read, or a key or value is not allowed; the message names file, key, what was
                given and what is allowed.
        """
        content = read_yaml(path)
        try:
            space = cls.build(content, known, whole)
            if check is not None:
                space.check(check)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        return space

    @classmethod
    def build(cls, content: object, known: Collection[str], whole: Collection[str] = ()) -> "Space":
        """Validate what a YAML file holds; see `read`."""
        sections = _mapping(content, "the file", _SECTIONS)
        preparations = parse_preparations(sections.get("preparations") or {}, known)
        parameters = _parameters(sections.get("parameters"), known, whole, preparations)
        fixed = _mapping(sections.get("fixed") or {}, "`fixed`", known)
        for key in (*parameters, *_prepared(preparations)):
            if key in fixed:
                raise InputError(f"`{key}` is both searched and fixed (to {fixed[key]!r}); keep one of the two.")
        points = sections.get("first_trials") or []
        if not isinstance(points, list):
            raise InputError(f"`first_trials` must be a list of mappings, not {points!r}.")
        first = tuple(_first_trial(number, point, parameters) for number, point in enumerate(points, 1))
        return cls(parameters, fixed, first, _text(sections.get("description")), preparations)

    @classmethod
    def of_content(cls, content: Mapping[str, Any], known: Collection[str]) -> "Space":
        """Build the space that `content` told of.

        Raises:
            InputError: this version does not know a key or value of it.
        """
        order = [key for key in content["order"] if key != PREPARATION]
        sections = {key: content[key] for key in ("fixed", "first_trials", "preparations") if key in content}
        return cls.build({"parameters": {key: content["parameters"][key] for key in order}, **sections}, known)

    def __call__(self, trial: Any) -> dict[str, Any]:
        """Ask `trial` for one configuration; return the constants that Ray merges into it.

        `trial` is an `optuna.Trial`, or the stand-in for one that Ray's `OptunaSearch` hands over.
        """
        chosen: dict[str, Parameter] = {}
        for name, parameter in self.parameters.items():
            if parameter.applies(chosen):
                chosen[name] = parameter.suggest(trial, name)
        return dict(self.fixed)

    def fixing(self, key: str, value: Parameter) -> "Space":
        """Return the same space with `key` fixed to `value`, whatever it was fixed to before.

        Raises:
            InputError: it is searched.
        """
        if key in self.parameters:
            raise InputError(
                f"`{key}`={value} was asked for, but the space searches it ({self.parameters[key].describe()}); leave "
                "the option out, or take the key out of the space's `parameters`."
            )
        if key in _prepared(self.preparations):
            raise InputError(
                f"`{key}`={value} was asked for, but `preparations` of the space set it; leave the option out, or take "
                "the key out of them."
            )
        return replace(self, fixed={**self.fixed, key: value})

    def configuration(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a trial at a point runs with, by dotted keys."""
        sets = {name: preparation.values for name, preparation in self.preparations.items()}
        return expanded(point, self.fixed, sets)

    def suited(self, shapes: Collection[Shape]) -> list[str]:
        """Return the names of the preparations that suit data of these features."""
        return [name for name, preparation in self.preparations.items() if not {*preparation.suits}.isdisjoint(shapes)]

    def check(self, check: Check) -> None:
        """Ask `check` about the first trials and about each pair of values that may show what cannot be used.

        Raises:
            InputError: one of them cannot be used; the message names the searched values.
        """
        for point in (*self.first_trials, *self._corners()):
            try:
                check(self.configuration(point))
            except InputError as error:
                shown = ", ".join(f"{key}: {value}" for key, value in point.items())
                raise InputError(
                    f"the space allows a configuration that cannot be used: {error} (in {shown})"
                ) from None

    def content(self) -> dict[str, Any]:
        """Return all that makes it this space, as plain values."""
        sets = {name: preparation.content() for name, preparation in self.preparations.items()}
        return {
            "order": [*self.parameters],  # of asking, on which the sampler depends
            "parameters": {key: parameter.model_dump() for key, parameter in self.parameters.items()},
            "fixed": dict(self.fixed),
            "first_trials": [dict(point) for point in self.first_trials],
            **({"preparations": sets} if sets else {}),
        }

    def digest(self) -> str:
        """Return a hash: equal digests, equal searches."""
        return hashlib.sha256(json.dumps(self.content(), sort_keys=True).encode()).hexdigest()[:16]

    def nearest(self, values: Mapping[str, Any], preparation: str | None = None) -> dict[str, Parameter]:
        """Return the point that is nearest to a whole configuration by dotted keys, or that of one preparation."""
        if self.preparations:
            values = {**values, PREPARATION: preparation or nearest(values, self.preparations)}
        point: dict[str, Parameter] = {}
        for name, parameter in self.parameters.items():
            if parameter.applies(point):
                point[name] = parameter.nearest(values[name])
        return point

    def points(self) -> Iterator[dict[str, Parameter]]:
        """Yield all points of a space without endlessly many of them.

        Raises:
            InputError: a parameter has endlessly many values.
        """
        yield from self._completed({}, [*self.parameters])

    def _completed(self, point: dict[str, Parameter], left: list[str]) -> Iterator[dict[str, Parameter]]:
        if not left:
            yield point
            return
        name, *rest = left
        parameter = self.parameters[name]
        if not parameter.applies(point):
            yield from self._completed(point, rest)
            return
        values = parameter.grid()
        if values is None:
            raise InputError(
                f"`{name}` is {parameter.describe()} and has endlessly many values; a grid needs a `step`, or a choice."
            )
        for value in values:
            yield from self._completed({**point, name: value}, rest)

    def _corners(self) -> Iterator[dict[str, Parameter]]:
        for one, other in combinations_with_replacement(self.parameters, 2):
            for values in product(self.parameters[one].corners(), self.parameters[other].corners()):
                yield self._point({one: values[0], other: values[1]})

    def _point(self, wanted: dict[str, Parameter]) -> dict[str, Parameter]:
        """Complete `wanted` to a point: with what makes it asked for, and the first values of the rest."""
        for name in reversed(self.parameters):
            if name in wanted:
                parameter = self.parameters[name]
                wanted = {**{key: parameter.wanted(key)[0] for key in parameter.when}, **wanted}
        point: dict[str, Parameter] = {}
        for name, parameter in self.parameters.items():
            if parameter.applies(point):
                point[name] = wanted.get(name, parameter.corners()[0])
        return point


def _mapping(value: object, what: str, known: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{what} must be a mapping, not {value!r}; see search_spaces/default.yaml.")
    for key in value:
        if key not in known:
            raise InputError(f"{what} holds `{key}`, which is not known; {nearest_first(key, known)}.")
    return value


def _text(value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise InputError(f"`description` must be text, not {value!r}.")
    return (value or "").strip()


def _prepared(preparations: Mapping[str, NamedPreparation]) -> list[str]:
    """Return the keys that the sets say; each says all of them."""
    return list(dict.fromkeys(key for preparation in preparations.values() for key in preparation.values))


def _parameters(
    section: object, known: Collection[str], whole: Collection[str], preparations: Mapping[str, NamedPreparation]
) -> dict[str, Searched]:
    parameters: dict[str, Searched] = {}
    if preparations:
        parameters[PREPARATION] = Choice(kind="choice", values=[*preparations])
    for key, value in _mapping(section or {}, "`parameters`", known).items():
        if key in _prepared(preparations):
            raise InputError(f"`{key}` stands under `parameters` and in `preparations`; keep one of the two.")
        try:
            parameter = parse_parameter(value)
            if key in whole and isinstance(parameter, FloatRange):
                raise InputError("is of `kind: float`, and holds whole numbers alone; give `kind: int`, or a choice")
            _check_conditions(parameter, parameters)
        except InputError as error:
            raise InputError(f"`{key}`: {error}.") from None
        parameters[key] = parameter
    if not parameters:
        raise InputError("`parameters` is empty; name at least one parameter to search.")
    return parameters


def _check_conditions(parameter: Searched, above: Mapping[str, Searched]) -> None:
    for key in parameter.when:
        choice = above.get(key)
        if not isinstance(choice, Choice):
            choices = ", ".join(name for name, other in above.items() if isinstance(other, Choice))
            raise InputError(
                f"`when` names `{key}`, which must be a choice that stands above it: {choices or 'none does'}"
            )
        for value in parameter.wanted(key):
            if not choice.admits(value):
                raise InputError(f"`when` waits for `{key}`={value!r}, which is never so; it is {choice.describe()}")


def _first_trial(number: int, point: object, parameters: Mapping[str, Searched]) -> dict[str, Parameter]:
    what = f"first trial {number}"
    values = _mapping(point, what, parameters.keys())
    chosen: dict[str, Parameter] = {}
    for key, parameter in parameters.items():
        if not parameter.applies(chosen):
            if key in values:
                raise InputError(
                    f"{what} has `{key}`, which is asked for only where {parameter.condition()}; remove it."
                )
            continue
        if key not in values:
            raise InputError(f"{what} leaves out `{key}`; give it {parameter.describe()}.")
        if not parameter.admits(values[key]):
            raise InputError(f"{what} has `{key}`={values[key]!r}; it must be {parameter.describe()}.")
        chosen[key] = values[key]
    return chosen
