"""Names and times in words, not more than people can read."""

from collections.abc import Iterable, Sequence

SHOWN = 12


def listed(names: Sequence[str], most: int = SHOWN) -> str:
    """Return names with commas between; of more than `most` the first ones, and how many there are more."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def at_times(times: Iterable[float], unit: str = "", most: int = SHOWN) -> str:
    """Return `t = 0, 1, 2 day`; of more than `most` times the first ones, and how many there are more."""
    texts = [f"{time:g}" for time in times]
    more = f" and {len(texts) - most} more times" if len(texts) > most else ""
    return f"t = {', '.join(texts[:most])}{f' {unit}' if unit else ''}{more}"
