"""What can go wrong, by whose fault."""

from collections.abc import Collection
from difflib import get_close_matches


class WeightFlowError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(WeightFlowError, ValueError):
    """Something the user gave cannot be used.

    The message says what was given, what must hold and what to do. Command lines print it alone and exit with code 2.
    """


class TrainingError(WeightFlowError):
    """Fitting cannot go on, for example because the loss is no longer finite. The message says where and why."""


class SearchError(WeightFlowError):
    """A search ended without a result. The message gives the most common reason."""


class ExtrapolationWarning(UserWarning):
    """A model is asked for a condition that lies outside those that it was fitted to."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or what it is where it says nothing, without a full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def nearest_first(given: object, known: Collection[str]) -> str:
    """Return the end of a sentence on a word that is not known: the nearest that is, and then all of them."""
    last = str(given).rpartition(".")[2]
    same = [word for word in known if "." in word and word.rpartition(".")[2] == last]
    near = same or get_close_matches(str(given), known, n=1)
    meant = f"perhaps {' or '.join(f'`{word}`' for word in near)} is meant; " if near else ""
    return f"{meant}known: {', '.join(known)}"
