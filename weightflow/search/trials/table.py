"""The live table of a search on the terminal; a plain line per trial where there is no terminal."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from weightflow.progress import SHARE
from weightflow.search.trials.stopper import Stopper
from weightflow.trials import TrialRecord, TrialState

ROWS = 12
EVERY = 30.0  # seconds between lines of how far all is, at least
GAP = 2  # between columns
STYLES = {
    TrialState.RUNNING: "cyan",
    TrialState.FINISHED: "green",
    TrialState.PRUNED: "dim",
    TrialState.FAILED: "red",
    TrialState.STOPPED: "yellow",
}


class LiveTable:
    """Shows the trials that run and the best so far, and how much time is left: now and then where no terminal is.

    `searched` are the keys of the parameters that the space searches; as many are shown as there is room for.
    """

    def __init__(
        self,
        console: Console,
        trials: int,
        epochs: int,
        stopper: Stopper,
        searched: Sequence[str],
        past: Sequence[TrialRecord] = (),
    ) -> None:
        self.console = console
        self._on_terminal = console.is_terminal  # as it is now: it may be closed before the block ends
        self.trials = trials
        self.epochs = epochs
        self.stopper = stopper
        self.searched = tuple(searched)
        self.records = {record.number: record for record in past}
        self._over = threading.Event()
        self._lines = threading.Thread(target=self._print_lines, daemon=True)
        self.live = Live(get_renderable=self._render, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> "LiveTable":
        if self._on_terminal:
            self.live.start()
        else:
            self._lines.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._on_terminal:
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
        """Close a row; that a trial failed is said on a terminal too, whose rows have no room for why."""
        self.records[record.number] = record
        if not self._on_terminal or record.state is TrialState.FAILED:
            score = "no score" if record.score is None else f"score {record.score:.4f}"
            reason = f" ({record.reason})" if record.reason else ""
            self.console.print(
                f"{_name(record)} {record.state.value} after {record.epochs}/{self.epochs} epochs, {score}, "
                f"{record.seconds:.0f} s: {self._summary(record)}{reason}",
                highlight=False,
                soft_wrap=True,
            )

    def _summary(self, record: TrialRecord) -> str:
        names = short_names(self.searched)
        return " ".join(f"{names[key]}={_value(record, key)}" for key in self.searched if key in record.chosen)

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
        left = "" if self._repeats() else f", {self.stopper.in_words()}"  # repeats come after the budgets
        return f"{self._counts()}, {best}{left}"

    def _repeats(self) -> int:
        """Return how many repeats run."""
        return sum(record.repeat_of is not None for record in self._running())

    def _running(self) -> list[TrialRecord]:
        """Return the trials that run, or wait for a worker to start."""
        return [record for record in list(self.records.values()) if record.state is TrialState.RUNNING]

    def _counts(self) -> str:
        waiting = [record for record in self._running() if record.number in self.stopper.study.waiting]
        begun = [record.repeat_of for record in self._running() if record not in waiting]
        running, repeats = begun.count(None), len(begun) - begun.count(None)
        again = [f"{repeats} repeat{'s' if repeats > 1 else ''}"] if repeats else []
        busy = [*([str(running)] if running or not (repeats or waiting) else []), *again]
        told = [f"{' and '.join(busy)} running"] if busy else []
        told += [f"{len(waiting)} waiting for a worker to start"] if waiting else []
        ended = sum(r.state is not TrialState.RUNNING for r in list(self.records.values()) if r.repeat_of is None)
        return f"{ended} of at most {self.trials} trials ended, {', '.join(told)}"

    def _render(self) -> Group:
        clock = f"{int(self.stopper.left // 60)}:{int(self.stopper.left % 60):02d}"
        records = self._shown()
        columns = self._fitting(records)
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))  # without frames more fits beside each other
        for column in columns:
            table.add_column(column.name, justify=column.justify, no_wrap=True)
        for place, record in enumerate(records):
            table.add_row(*(column.values[place] for column in columns), style=STYLES[record.state])
        more = len(self.searched) - sum(column.searched for column in columns)
        are = "parameter is" if more == 1 else "parameters are"
        also = f"; {more} more {are} in the report" if more else ""
        return Group(
            Text(self._counts() + ("" if self._repeats() else f", {clock} left"), style="italic"),
            table,
            Text(
                f"lower scores are better; running trials and the best of the others are shown{also}",
                style="dim italic",
            ),
        )

    def _fitting(self, records: Sequence[TrialRecord]) -> list["_Column"]:
        """Return as many columns as the console has room for; the first three are always there."""
        names = short_names(self.searched)
        columns = [
            _Column("trial", [_told(record) for record in records]),
            _Column("state", [record.state.value for record in records]),
            _Column("score", ["" if r.score is None else f"{r.score:.4f}" for r in records], "right"),
            _Column("epoch", [f"{record.epochs}/{self.epochs}" for record in records], "right"),
            _Column("sec", [f"{record.seconds:.0f}" for record in records], "right"),
            *(_Column(names[key], [_value(r, key) for r in records], searched=True) for key in self.searched),
        ]
        room = self.console.width - sum(column.width for column in columns[:3]) - 2 * GAP
        fitting = columns[:3]
        for column in columns[3:]:
            if column.width + GAP <= room:  # one that is too wide makes room for those after it
                fitting.append(column)
                room -= column.width + GAP
        return fitting

    def _shown(self) -> list[TrialRecord]:
        known = list(self.records.values())  # the search adds to them in another thread
        running = [r for r in known if r.state is TrialState.RUNNING]
        rest = [r for r in known if r.state is not TrialState.RUNNING]
        rank = {TrialState.FINISHED: 0, TrialState.PRUNED: 1, TrialState.STOPPED: 2, TrialState.FAILED: 3}
        rest.sort(key=lambda r: (rank[r.state], float("inf") if r.score is None else r.score))
        return [*rest[: max(1, ROWS - len(running))], *running]


def _name(record: TrialRecord) -> str:
    return f"trial {record.number:02d}" + ("" if record.repeat_of is None else f" (repeats {record.repeat_of:02d})")


def _told(record: TrialRecord) -> str:
    return str(record.number) if record.repeat_of is None else f"{record.number} repeats {record.repeat_of}"


def _value(record: TrialRecord, key: str) -> str:
    value = record.chosen.get(key, "")
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the last part of each dotted key; the whole key where another one ends in the same."""
    ends = [key.rpartition(".")[2] for key in keys]
    return {key: end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)}


@dataclass(frozen=True)
class _Column:
    """One column of the table; `searched` if it is a parameter of the space."""

    name: str
    values: Sequence[str]
    justify: Literal["left", "right"] = "left"
    searched: bool = False

    @property
    def width(self) -> int:
        """How many characters the longest of its texts has."""
        return max(map(len, (self.name, *self.values)))
