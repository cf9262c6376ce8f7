"""Times in words."""

from collections.abc import Iterable

SHOWN = 12


def listed(times: Iterable[float], unit: str = "", most: int = SHOWN) -> str:
    """Return `t = 0, 1, 2 d`; of more than `most` times the first ones, and how many there are more."""
    texts = [f"{time:g}" for time in times]
    more = f" and {len(texts) - most} more times" if len(texts) > most else ""
    return f"t = {', '.join(texts[:most])}{f' {unit}' if unit else ''}{more}"
