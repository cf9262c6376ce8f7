"""What a search tells its user, a line at a time."""

from collections.abc import Callable

from rich.console import Console

from weightflow.terminal import tell

Say = Callable[[str], None]


def saying(console: Console) -> Say:
    """Return how it is told on a console."""
    return lambda text: tell(console, text, style="dim")
