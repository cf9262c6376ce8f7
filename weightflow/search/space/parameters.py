"""What can be searched: one of several values, or a number from a range."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from weightflow.errors import InputError
from weightflow.trials import Parameter

Condition = dict[str, Parameter | Annotated[list[Parameter], Field(min_length=1)]]
N = TypeVar("N", int, float)
FEW = 12  # whole numbers of a range that are all tried whether they can be used
WHEN = "when"


class _Searched(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    when: Condition = {}

    def applies(self, chosen: Mapping[str, Any]) -> bool:
        """Whether the parameter is asked for, given the ones before it."""
        return all(key in chosen and holds(chosen[key], self.wanted(key)) for key in self.when)

    def wanted(self, key: str) -> list[Parameter]:
        """List the values of the choice `key` with which the parameter is asked for."""
        value = self.when[key]
        return [*value] if isinstance(value, list) else [value]

    def condition(self) -> str:
        """Say when the parameter is asked for."""
        return " and ".join(f"`{key}` is {' or '.join(map(str, self.wanted(key)))}" for key in self.when)


class Choice(_Searched):
    """One of several values."""

    kind: Literal["choice"]
    values: list[Parameter] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> "Choice":
        for i, value in enumerate(self.values):
            # Optuna takes true, 1 and 1.0 for the same choice, as Python does
            if value in self.values[:i]:
                raise ValueError(f"`values` holds {value!r} twice")
        return self

    def suggest(self, trial: Any, name: str) -> Parameter:
        """Ask Optuna."""
        return trial.suggest_categorical(name, self.values)

    def admits(self, value: object) -> bool:
        """Whether `value` can be chosen."""
        return holds(value, self.values)

    def nearest(self, value: Any) -> Parameter:
        """Return `value` if it can be chosen, else the nearest number, else the first value."""
        if self.admits(value):
            return value
        numbers = [v for v in self.values if _is_number(v)]
        return min(numbers, key=lambda v: abs(v - value)) if numbers and _is_number(value) else self.values[0]

    def corners(self) -> list[Parameter]:
        """List values that show whether all of them can be used."""
        return [*self.values]

    def grid(self) -> list[Parameter]:
        """List all values."""
        return [*self.values]

    def describe(self) -> str:
        """Say what is allowed."""
        return "one of " + ", ".join(map(str, self.values))


class _Range(_Searched, Generic[N]):
    low: N
    high: N
    step: N | None = None
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "_Range[N]":
        if self.low > self.high:
            raise ValueError(f"`low`={self.low:g} must not exceed `high`={self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"`low`={self.low:g} must be above 0 with `log: true`")
        if self.step is None:
            return self
        if self.step <= 0:
            raise ValueError(f"`step`={self.step:g} must be above 0")
        if self.log:
            raise ValueError("`step` and `log: true` exclude each other")
        if not self._on_grid(self.high):
            raise ValueError(f"`high`={self.high:g} must be reached from `low`={self.low:g} in steps of {self.step:g}")
        return self

    def admits(self, value: object) -> bool:
        """Whether `value` is a number of the range, and on its grid."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and self._on_grid(value)

    def nearest(self, value: Any) -> Parameter:
        """Return the nearest number of the range; the lowest for what is no number."""
        if not _is_number(value):
            return self.low
        bounded = min(max(value, self.low), self.high)
        if self.step is None:
            return bounded
        return min(self.low + round((bounded - self.low) / self.step) * self.step, self.high)  # sums of steps are round

    def corners(self) -> list[Parameter]:
        """List values that show whether all of them can be used."""
        return [self.low, self.high]

    def grid(self) -> list[Parameter] | None:
        """List all values; None where they are endlessly many."""
        if self.step is None:
            return None
        return [self.low + i * self.step for i in range(round((self.high - self.low) / self.step) + 1)]

    def describe(self) -> str:
        """Say what is allowed."""
        grid = "" if self.step is None else f" in steps of {self.step:g}"
        return f"a number from {self.low:g} to {self.high:g}{grid}"

    def _on_grid(self, value: int | float) -> bool:
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-9)


class IntRange(_Range[int]):
    """A whole number."""

    kind: Literal["int"]

    def suggest(self, trial: Any, name: str) -> Parameter:
        """Ask Optuna."""
        return trial.suggest_int(name, self.low, self.high, step=self.step or 1, log=self.log)

    def admits(self, value: object) -> bool:
        """Whether `value` is a whole number of the range, and on its grid."""
        return isinstance(value, int) and super().admits(value)

    def grid(self) -> list[Parameter]:
        """List all values."""
        return [*range(self.low, self.high + 1, self.step or 1)]

    def corners(self) -> list[Parameter]:
        """List values that show whether all of them can be used: all, or of many the first ones, some, and the last.

        Neighbours are among them: what must be divisible by something is so at one of them alone.
        """
        values = range(self.low, self.high + 1, self.step or 1)
        if len(values) <= FEW:
            return [*values]
        spread = values[:: -(-len(values) // (FEW // 2))]
        return sorted({*values[: FEW // 2], *spread, self.high})

    def nearest(self, value: Any) -> Parameter:
        """Return the nearest whole number of the range, on its grid."""
        return round(float(super().nearest(value)))

    def describe(self) -> str:
        """Say what is allowed."""
        return super().describe().replace("a number", "a whole number", 1)


class FloatRange(_Range[float]):
    """A real number."""

    kind: Literal["float"]

    def suggest(self, trial: Any, name: str) -> Parameter:
        """Ask Optuna."""
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)


Searched = Choice | IntRange | FloatRange
_KINDS: dict[str, type[Searched]] = {"choice": Choice, "int": IntRange, "float": FloatRange}


def parse_parameter(value: object) -> Searched:
    """Validate what a file says of one parameter.

    Raises:
        InputError: the message says what was given and what is allowed.
    """
    if not isinstance(value, dict):
        raise InputError(f"is {value!r}; give a mapping such as {{kind: choice, values: [16, 32]}}")
    kind = _KINDS.get(str(value.get("kind")))
    if kind is None:
        given = f"`kind`={value['kind']!r}" if "kind" in value else "no `kind`"
        raise InputError(f"has {given}; give one of {', '.join(_KINDS)}")
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise InputError("; ".join(dict.fromkeys(_explain(kind, one) for one in error.errors()))) from None


def holds(value: object, values: list[Parameter]) -> bool:
    """Whether `value` is among `values`, where true is not 1."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _explain(kind: type[Searched], problem: Any) -> str:
    place = str(problem["loc"][0]) if problem["loc"] else ""
    known = ", ".join(kind.model_fields)
    if problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"`{place}` is not known here; known: {known}"
    if problem["type"] == "missing":
        return f"`{place}` is missing; known: {known}"
    if place in ("values", WHEN) and not problem["msg"].startswith("List should"):
        return f"`{place}` holds {problem['input']!r}; give true or false, numbers or text"
    return f"`{place}`={problem['input']!r} is not allowed: {problem['msg']}"
