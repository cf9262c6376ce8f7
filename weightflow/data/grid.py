"""Times written as text."""

import numpy as np
from jaxtyping import Float

from weightflow.errors import InputError

MAX_TIMES = 1_000_000


def parse_times(text: str) -> Float[np.ndarray, "time"]:
    """Read `start:stop:step`, which includes the stop, or a comma-separated list.

    Raises:
        InputError: the text is neither, the steps miss the stop, there are too many, or the list does not increase.
    """
    try:
        numbers = [float(part) for part in text.replace(",", ":").split(":")]
    except ValueError:
        numbers = [np.nan]
    if "," in text or len(numbers) == 1:
        times = np.array(numbers)
    elif len(numbers) == 3 and numbers[2] > 0 and numbers[1] >= numbers[0]:
        start, stop, step = numbers
        times = np.linspace(start, stop, _steps(text, start, stop, step) + 1)
    else:
        times = np.array([np.nan])
    if not np.isfinite(times).all():
        raise InputError(
            f"times {text!r} cannot be read; write start:stop:step with a positive step (0:100:1 includes 100), or a "
            "list such as 0,2.5,10."
        )
    if (np.diff(times) <= 0).any():
        raise InputError(f"times {text!r} do not strictly increase; sort them and give each once.")
    return times


def _steps(text: str, start: float, stop: float, step: float) -> int:
    ratio = (stop - start) / step
    if not ratio < MAX_TIMES:
        raise InputError(f"times {text!r} are more than {MAX_TIMES:,}; take a larger step.")
    steps = round(ratio)
    if abs(ratio - steps) > 1e-6:
        last = start + step * int(ratio)
        raise InputError(
            f"times {text!r} miss their stop: {ratio:g} steps of {step:g} lie between {start:g} and {stop:g}; write "
            f"{start:g}:{last:g}:{step:g}, or a step that divides the distance."
        )
    return steps
