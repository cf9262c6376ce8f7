"""What the benchmarks share: tasks on all cores, a table of rows that survives a crash, and a head that says where."""

import csv
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")  # as the search itself has it, before anything imports Ray
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A worker imports the benchmark's own functions from here, and the package from the checkout.
ROOT = Path(__file__).resolve().parents[1]
PATHS = (str(ROOT), str(ROOT / "benchmarks"))
sys.path[:0] = PATHS

import typer
from rich.console import Console

from weightflow.progress import Shown

RESULTS = ROOT / "benchmarks" / "results"
Row = dict[str, str | float]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# made before the work, which may take hours and must not be lost for want of a folder
Out = Annotated[Path, typer.Option(help="Folder of the results.", callback=_made)]


def run_tasks(function: Callable[..., list[Row]], tasks: Iterable[Mapping[str, Any]], path: Path, cpus: int) -> None:
    """Run `function(**task)` for each task on one CPU each, and append its rows to the CSV file as soon as it is done.

    A task whose `key` stands in the file already is not run again, so that a benchmark that was cut off goes on. Each
    has a process of its own: one that fails, or is killed, ends no other.
    """
    done = {row["key"] for row in read_rows(path)}
    waiting = [task for task in tasks if task["key"] not in done]
    with Shown(Console(stderr=True)) as shown, ThreadPoolExecutor(cpus) as threads:
        shown("tasks", 0, len(waiting))
        running = {threads.submit(_alone, function, task): task["key"] for task in waiting}
        for ended, future in enumerate(as_completed(running), start=1):
            key = running[future]
            error = future.exception()
            if error is None:
                append_rows(path, [{"key": key, **row} for row in future.result()])
            else:
                shown.console.print(f"failed: {key}: {type(error).__name__}: {error}", markup=False)
            shown("tasks", ended, len(waiting))


def _alone(function: Callable[..., list[Row]], task: Mapping[str, Any]) -> list[Row]:
    """Run one task in a new process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(function, **task).result()


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read all rows; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append_rows(path: Path, rows: Sequence[Row]) -> None:
    """Append rows of one task; the file has its header from the first of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if new:
            writer.writeheader()
        writer.writerows(rows)


def head(title: str) -> str:
    """Say with what and where the results were made."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    command = shlex.join(
        ["python", os.path.relpath(sys.argv[0], ROOT), *(Path(a).name if "/" in a else a for a in sys.argv[1:])]
    )
    return (
        f"# {title}\n\n- command: `{command}`\n- commit: {commit.stdout.strip()}\n"
        f"- machine: {processor()}, {os.cpu_count()} cores, Python {platform.python_version()}\n"
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def spread(values: Sequence[float]) -> str:
    """Write the mean over seeds, and the standard deviation between them."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.4f}"
    deviation = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return f"{mean:.4f} ± {deviation:.4f}"


def processor() -> str:
    """Name the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
