"""How far each phase is: bars on a terminal, elsewhere a line now and then, so that everybody sees that it lives.

Those who work report `(phase, done, total)`; with a total of 0 nobody knows how much there is to do.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

Progress = Callable[[str, int, int], None]  # phase, done, total
Steps = Callable[[int, int], None]  # done, total: of one phase
FIRST, EVERY = 5.0, 10.0  # seconds that a phase takes before it is told, and between lines at least
SHARE = 0.1  # of the time so far, which is waited where that is more


def unseen(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def uncounted(done: int, total: int) -> None:
    """Show nothing of one phase."""


def within(progress: Progress, phase: str) -> Steps:
    """Report the steps of one phase."""
    return lambda done, total: progress(phase, done, total)


@dataclass
class Phase:
    """A phase that is under way."""

    name: str
    began: float
    done: int = 0
    total: int = 0

    def describe(self, now: float) -> str:
        """Say how far it is, and how long it will take if it goes on like this."""
        spent = now - self.began
        if not self.done:
            return f"{self.name}: {spent:.0f} s so far"
        left = spent / self.done * (self.total - self.done)
        return f"{self.name}: {self.done} of {self.total}, about {duration(left)} left"


class Shown:
    """Shows progress on a console for the time of a `with` block; a phase that is done is no longer shown."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._on_terminal = console.is_terminal  # as it is now: it may be closed before the block ends
        self._phases: dict[str, Phase] = {}
        self._over = threading.Event()
        self._lines = threading.Thread(target=self._print_lines, daemon=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, *times, console=console, transient=True)
        self._rows = {}

    def __enter__(self) -> "Shown":
        if self._on_terminal:
            self._bars.start()
        else:
            self._lines.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._on_terminal:
            self._bars.stop()
        else:
            self._lines.join()

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Take a report."""
        if total and done >= total:
            self._phases.pop(phase, None)
        else:
            known = self._phases.setdefault(phase, Phase(phase, time.monotonic()))
            known.done, known.total = done, total
        if self._on_terminal:
            self._draw(phase, done, total)

    def _draw(self, phase: str, done: int, total: int) -> None:
        if phase not in self._rows:
            self._rows[phase] = self._bars.add_task(phase, total=None)
        self._bars.update(self._rows[phase], completed=done, total=total or None, visible=phase in self._phases)

    def _print_lines(self) -> None:
        began = due = time.monotonic()
        while not self._over.wait(1.0):
            now = time.monotonic()
            long = [phase.describe(now) for phase in list(self._phases.values()) if now - phase.began >= FIRST]
            if long and now >= due:
                due = now + max(EVERY, SHARE * (now - began))
                self.console.print("; ".join(long), style="dim", highlight=False, soft_wrap=True, markup=False)


def duration(seconds: float) -> str:
    """Write a time for people."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
