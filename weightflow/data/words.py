"""Names and times in words, not more than people can read."""

from collections.abc import Iterable, Sequence
from math import isfinite

SHOWN = 12
LARGE = 1e4  # times from which on six digits may not tell neighbours apart
EXACT = 2.0**53  # whole numbers below it are exact


def listed(names: Sequence[str], most: int = SHOWN) -> str:
    """Return names with commas between; of more than `most` the first ones, and how many there are more."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def written(time: float) -> str:
    """Return a time with six digits, and with more where it is large: those of seconds since 1970 are told apart."""
    if abs(time) < LARGE or not isfinite(time):
        return f"{time:g}"
    return f"{time:.0f}" if time == round(time) and abs(time) < EXACT else f"{time:.10g}"


def at_times(times: Iterable[float], unit: str = "", most: int = SHOWN) -> str:
    """Return `t = 0, 1, 2 day`; of more than `most` times the first ones, and how many there are more."""
    texts = [written(time) for time in times]
    more = f" and {len(texts) - most} more times" if len(texts) > most else ""
    return f"t = {', '.join(texts[:most])}{f' {unit}' if unit else ''}{more}"
