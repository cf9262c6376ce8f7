"""What a search tells its user, a line at a time."""

from collections.abc import Callable

from rich.console import Console

Say = Callable[[str], None]


def saying(console: Console) -> Say:
    """Return how it is told on a console: in whole lines, which a terminal may wrap and a file need not."""
    return lambda text: console.print(text, style="dim", highlight=False, soft_wrap=True)
