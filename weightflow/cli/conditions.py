"""`--at` and `--prior`: conditions as people write them."""

import sys
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from weightflow.errors import ExtrapolationWarning, InputError

At = Annotated[
    list[str] | None,
    typer.Option("--at", metavar="NAME=VALUE", help="Condition, of a model of several: a value for each covariate."),
]


def condition(at: Sequence[str] | None) -> dict[str, float | str] | None:
    """Read `--at dose=1 --at drug=dex`; None where there is none.

    Raises:
        InputError: one has no name or no value, or a name comes twice.
    """
    if not at:
        return None
    pairs = [text.partition("=") for text in at]
    for text, (name, _, value) in zip(at, pairs, strict=True):
        if not name.strip() or not value.strip():
            raise InputError(f"`--at {text}` cannot be read; write a covariate and its value, such as dose=1.")
    names = [name.strip() for name, _, _ in pairs]
    twins = [name for i, name in enumerate(names) if name in names[:i]]
    if twins:
        raise InputError(f"`{twins[0]}` is given to `--at` twice; a model is asked at one condition at a time.")
    return {name: value.strip() for name, (_, _, value) in zip(names, pairs, strict=True)}


def limits(prior: Sequence[str] | None) -> dict[str, tuple[float, float]]:
    """Read `--prior dose=0.1:10`.

    Raises:
        InputError: one is no name with two numbers.
    """
    found: dict[str, tuple[float, float]] = {}
    for text in prior or ():
        name, _, ends = text.partition("=")
        low, _, high = ends.partition(":")
        try:
            found[name.strip()] = float(low), float(high)
        except ValueError:
            raise InputError(f"`--prior {text}` cannot be read; write NAME=low:high, such as dose=0.1:10.") from None
    return found


@contextmanager
def told() -> Generator[None, None, None]:
    """Say on the terminal where a condition is an extrapolation, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ExtrapolationWarning)
        yield
    for sentence in dict.fromkeys(str(one.message) for one in caught):
        sys.stderr.write(f"warning: {sentence}\n")
