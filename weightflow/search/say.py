"""What a search tells its user, a line at a time."""

from collections.abc import Callable

Say = Callable[[str], None]
