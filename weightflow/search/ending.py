"""When a search ends before its trials are used up: the time budget, or Ctrl-C."""

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ray import tune

_interrupted = threading.Event()  # of the process, as signals are; the stopper below may be copied by Ray


class Ending(tune.Stopper):
    """Ends all trials at a deadline, or once the user has pressed Ctrl-C."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline  # by time.time(), which survives a restart of the process

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is ended by this rule."""
        return False

    def stop_all(self) -> bool:
        """Whether everything ends now."""
        return _interrupted.is_set() or time.time() >= self.deadline


def interrupted() -> bool:
    """Whether Ctrl-C was pressed, or the process was asked to end, inside `interruptible`."""
    return _interrupted.is_set()


@contextmanager
def interruptible() -> Generator[None, None, None]:
    """Make the first Ctrl-C (or SIGTERM) a clean stop; a second one ends the process at once."""
    _interrupted.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(_number: int, _frame: FrameType | None) -> None:
        _interrupted.set()
        for one, handler in before.items():
            signal.signal(one, handler)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
