"""What Ray Tune would pickle, and nobody would read."""

from typing import Any


class NotPickled:
    """A part that Ray writes into its snapshots without need.

    Ray Tune pickles searchers, schedulers, stoppers and callbacks, in order to restore a search from them. Ours goes on
    from its study, which is no part of any pickle; in the snapshots, an empty object stands for them.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return object, ()
