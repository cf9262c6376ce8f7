"""The live table of a search on the terminal; a plain line per trial where there is no terminal."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from weightflow.trials import TrialRecord, TrialState

ROWS = 12
COLUMNS = ("dynamics.kind", "dynamics.hidden", "dynamics.depth", "dynamics.solver", "training.objective")
STYLES = {
    TrialState.RUNNING: "cyan",
    TrialState.FINISHED: "green",
    TrialState.PRUNED: "dim",
    TrialState.FAILED: "red",
    TrialState.STOPPED: "yellow",
}


class LiveTable:
    """Shows the trials that run and the best so far, and how much time is left."""

    def __init__(
        self, console: Console, trials: int, epochs: int, deadline: float, past: Sequence[TrialRecord] = ()
    ) -> None:
        self.console = console
        self.trials = trials
        self.epochs = epochs
        self.deadline = deadline
        self.records = {record.trial_id: record for record in past}
        self.live = Live(get_renderable=self._render, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> "LiveTable":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self.live.stop()
            self.console.print(self._render())

    def start_trial(self, record: TrialRecord) -> None:
        """Add a row."""
        self.records[record.trial_id] = record

    def log_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """Update a row."""
        self.records[record.trial_id] = record

    def end_trial(self, record: TrialRecord) -> None:
        """Close a row."""
        self.records[record.trial_id] = record
        if not self.console.is_terminal:
            score = "no score" if record.score is None else f"score {record.score:.4f}"
            reason = f" ({record.reason})" if record.reason else ""
            self.console.print(
                f"trial {record.number:02d} {record.state.value} after {record.epochs}/{self.epochs} epochs, {score}, "
                f"{record.seconds:.0f} s: {_summary(record)}{reason}",
                highlight=False,
                soft_wrap=True,
            )

    def _render(self) -> Any:
        left = max(0.0, self.deadline - time.time())
        states = [record.state for record in self.records.values()]
        ended = sum(state is not TrialState.RUNNING for state in states)
        table = Table(
            title=f"{ended} of at most {self.trials} trials ended, {states.count(TrialState.RUNNING)} running, "
            f"{int(left // 60)}:{int(left % 60):02d} left",
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
                str(record.number),
                record.state.value,
                score,
                f"{record.epochs}/{self.epochs}",
                f"{record.seconds:.0f}",
                *values,
                style=STYLES[record.state],
            )
        return table

    def _shown(self) -> list[TrialRecord]:
        running = [r for r in self.records.values() if r.state is TrialState.RUNNING]
        rest = [r for r in self.records.values() if r.state is not TrialState.RUNNING]
        rank = {TrialState.FINISHED: 0, TrialState.PRUNED: 1, TrialState.STOPPED: 2, TrialState.FAILED: 3}
        rest.sort(key=lambda r: (rank[r.state], float("inf") if r.score is None else r.score))
        return [*rest[: max(1, ROWS - len(running))], *running]


def _summary(record: TrialRecord) -> str:
    return " ".join(f"{column.split('.')[1]}={record.params[column]}" for column in COLUMNS if column in record.params)
