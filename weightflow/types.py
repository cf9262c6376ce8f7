"""Words shared by all layers: kinds of data, and the base of every set of options."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from weightflow.errors import InputError

Numbers = float | int | Sequence[Any] | np.ndarray | torch.Tensor  # what users may give for times and samples


class Kind(StrEnum):
    """What the values of a species are."""

    COUNTS = "counts"
    CONTINUOUS = "continuous"


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
