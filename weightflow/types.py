"""Words shared by all layers: kinds of data and of heads, and the base of every set of options."""

from enum import StrEnum
from numbers import Integral
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from weightflow.errors import InputError


class Kind(StrEnum):
    """What the values of a species are."""

    COUNTS = "counts"
    CONTINUOUS = "continuous"


class HeadKind(StrEnum):
    """How the conditional of a count is described; continuous values have a mixture of Gaussians."""

    AUTO = "auto"
    SOFTMAX = "softmax"
    LOGISTIC = "logistic"


def whole_number(name: str, given: object, least: int) -> int:
    """Return a whole number that Python's callers give, as an int.

    Raises:
        InputError: it is none, or smaller than `least`.
    """
    if isinstance(given, bool) or not isinstance(given, Integral) or given < least:
        raise InputError(f"`{name}={given!r}` was given; it must be a whole number, {least} or more.")
    return int(given)


SomeOptions = TypeVar("SomeOptions", bound=BaseModel)


class Options(BaseModel):
    """A frozen, validated set of options; unknown keys are refused.

    Options live beside the code that they configure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls: type[SomeOptions], values: dict[str, Any], where: str = "") -> SomeOptions:
        """Build the options from plain values.

        Raises:
            InputError: a key is unknown or a value is not allowed; the message names the key and what is allowed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError("; ".join(_explain(cls, problem, where) for problem in error.errors())) from None


def _explain(options: type[BaseModel], problem: Any, where: str) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join([where, *location] if where else location)
    if problem["type"] == "extra_forbidden":
        for part in location[:-1]:
            nested = options.model_fields[part].annotation
            if isinstance(nested, type) and issubclass(nested, BaseModel):
                options = nested
        return f"`{key}` is not known; known here: {', '.join(options.model_fields)}"
    return f"`{key}`={problem.get('input')!r} is not allowed: {problem['msg']}"
