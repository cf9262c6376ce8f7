"""The live table of a search on the terminal; a plain line per trial where there is no terminal."""

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from weightflow.progress import SHARE
from weightflow.search.ending import Ending
from weightflow.trials import TrialRecord, TrialState

ROWS = 12
EVERY = 30.0  # seconds between lines of how far all is, at least
COLUMNS = ("dynamics.kind", "dynamics.hidden", "dynamics.depth", "dynamics.solver", "training.objective")
STYLES = {
    TrialState.RUNNING: "cyan",
    TrialState.FINISHED: "green",
    TrialState.PRUNED: "dim",
    TrialState.FAILED: "red",
    TrialState.STOPPED: "yellow",
}


class LiveTable:
    """Shows the trials that run and the best so far, and how much time is left: now and then where no terminal is."""

    def __init__(
        self, console: Console, trials: int, epochs: int, ending: Ending, past: Sequence[TrialRecord] = ()
    ) -> None:
        self.console = console
        self.trials = trials
        self.epochs = epochs
        self.ending = ending
        self.records = {record.number: record for record in past}
        self._over = threading.Event()
        self._lines = threading.Thread(target=self._print_lines, daemon=True)
        self.live = Live(get_renderable=self._render, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> "LiveTable":
        if self.console.is_terminal:
            self.live.start()
        else:
            self._lines.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self.console.is_terminal:
            self.live.stop()
            self.console.print(self._render())
        else:
            self._lines.join()

    def start_trial(self, record: TrialRecord) -> None:
        """Add a row."""
        again = record.retries > (self.records[record.number].retries if record.number in self.records else 0)
        self.records[record.number] = record
        if again:
            text = (
                f"{_name(record)} failed after {record.epochs}/{self.epochs} epochs and is tried again: {record.reason}"
            )
            self.console.print(text, highlight=False, soft_wrap=True)

    def log_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """Update a row."""
        self.records[record.number] = record

    def end_trial(self, record: TrialRecord) -> None:
        """Close a row."""
        self.records[record.number] = record
        if not self.console.is_terminal:
            score = "no score" if record.score is None else f"score {record.score:.4f}"
            reason = f" ({record.reason})" if record.reason else ""
            self.console.print(
                f"{_name(record)} {record.state.value} after {record.epochs}/{self.epochs} epochs, {score}, "
                f"{record.seconds:.0f} s: {_summary(record)}{reason}",
                highlight=False,
                soft_wrap=True,
            )

    def _print_lines(self) -> None:
        began = due = time.monotonic()
        while not self._over.wait(min(1.0, EVERY)):
            now = time.monotonic()
            if now >= due + max(EVERY, SHARE * (now - began)):
                due = now
                self.console.print(self.stand(), style="dim", highlight=False, soft_wrap=True)

    def stand(self) -> str:
        """Say how many trials have ended and run, which is the best so far, and how much time is left."""
        records = list(self.records.values())
        scored = [(r.score, _name(r)) for r in records if r.state is TrialState.FINISHED and r.score is not None]
        best = "none finished yet" if not scored else "best so far {1}, score {0:.4f}".format(*min(scored))
        return f"{self._counts()}, {best}, {self.ending.in_words()}"

    def _counts(self) -> str:
        states = [record.state for record in list(self.records.values()) if record.repeat_of is None]
        running = states.count(TrialState.RUNNING)
        repeats = sum(r.repeat_of is not None and r.state is TrialState.RUNNING for r in list(self.records.values()))
        also = f" and {repeats} repeats" if repeats else ""
        return f"{len(states) - running} of at most {self.trials} trials ended, {running}{also} running"

    def _render(self) -> Any:
        left = self.ending.left
        table = Table(
            title=f"{self._counts()}, {int(left // 60)}:{int(left % 60):02d} left",
            title_justify="left",
            caption="lower scores are better; running trials and the best of the others are shown",
            caption_justify="left",
            box=None,  # without frames it fits a terminal of 80 columns
            pad_edge=False,
        )
        for name in ("trial", "state", "score", "epoch", "sec", *(c.split(".")[1] for c in COLUMNS)):
            table.add_column(name, justify="right" if name in ("trial", "score", "epoch", "sec") else "left")
        for record in self._shown():
            score = "" if record.score is None else f"{record.score:.4f}"
            values = (str(record.params.get(column, "")) for column in COLUMNS)
            table.add_row(
                str(record.number) if record.repeat_of is None else f"{record.number} = {record.repeat_of}",
                record.state.value,
                score,
                f"{record.epochs}/{self.epochs}",
                f"{record.seconds:.0f}",
                *values,
                style=STYLES[record.state],
            )
        return table

    def _shown(self) -> list[TrialRecord]:
        known = list(self.records.values())  # the search adds to them in another thread
        running = [r for r in known if r.state is TrialState.RUNNING]
        rest = [r for r in known if r.state is not TrialState.RUNNING]
        rank = {TrialState.FINISHED: 0, TrialState.PRUNED: 1, TrialState.STOPPED: 2, TrialState.FAILED: 3}
        rest.sort(key=lambda r: (rank[r.state], float("inf") if r.score is None else r.score))
        return [*rest[: max(1, ROWS - len(running))], *running]


def _name(record: TrialRecord) -> str:
    return f"trial {record.number:02d}" + ("" if record.repeat_of is None else f" (repeats {record.repeat_of:02d})")


def _summary(record: TrialRecord) -> str:
    return " ".join(f"{column.split('.')[1]}={record.params[column]}" for column in COLUMNS if column in record.params)
