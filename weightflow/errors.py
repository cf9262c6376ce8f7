"""What can go wrong, by whose fault."""


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
