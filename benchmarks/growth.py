"""What a model of many conditions costs: CPU seconds of each part with their number, and anchors on two workers.

The epidemic at 5, 20 and 80 infection rates, 500 trajectories each, eleven times. CPU seconds are those of one process
with one thread; the anchors of all snapshots are fitted by one worker of Ray and by two, one thread each.

python benchmarks/growth.py --data growth-data
"""

import re
import tempfile
import time
from pathlib import Path
from typing import Annotated

import common
import numpy as np
import torch
import typer

from weightflow.cache import ArrayCache
from weightflow.cli.running import run
from weightflow.data import Snapshots, every_nth
from weightflow.experiment import ExperimentConfig, Preparation
from weightflow.experiment.trial import train
from weightflow.search.cluster.connection import connected
from weightflow.search.cluster.resources import Resources, Wanted
from weightflow.search.cluster.workers import WorkerPool
from weightflow.systems import Vary, find_system, simulate_varied
from weightflow.types import Kind

RATES = (0.0012, 0.007)
TRAJECTORIES = 500
PARTS = ("base", "bridge", "teacher", "field")
ABOUT = (
    "CPU seconds of the default fit to the epidemic at so many infection rates, 500 trajectories each at eleven times, "
    "one process of one thread; `field` is the training of the vector field and the last look at the snapshots. "
    "Anchors are no part of the default fit."
)


def courses(folder: Path, number: int) -> Snapshots:
    """Read the snapshots at so many rates; simulate them where they are missing."""
    system = find_system("epidemic")
    times = system.times[list(every_nth(len(system.times), None))]
    rates = np.geomspace(*RATES, number)
    path = folder / f"epidemic-{number}.npz"
    if not path.is_file():
        found = simulate_varied(system, [Vary("beta", tuple(rates.tolist()))], TRAJECTORIES, 0, times)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, samples=found.samples.astype(np.uint16))
    with np.load(path, allow_pickle=False) as file:
        clouds = file["samples"].reshape(number, TRAJECTORIES, len(times), 3).swapaxes(1, 2).astype(float)
    kinds = (Kind.COUNTS,) * 3
    each = {rate: Snapshots(times, tuple(x), ("S", "I", "R"), kinds) for rate, x in zip(rates, clouds, strict=True)}
    return Snapshots.of_conditions(each, "beta", {"beta": "log"})


def spent(key: str, number: int, data: str) -> list[common.Row]:
    """Fit once, part by part."""
    torch.set_num_threads(1)
    snapshots, config = courses(Path(data), number), ExperimentConfig()
    preparation = Preparation(snapshots, config, 0)
    marks = [time.process_time()]
    base = preparation.base()
    marks.append(time.process_time())
    bridge = preparation.bridge()
    marks.append(time.process_time())
    teacher = preparation.teacher(base, bridge)
    marks.append(time.process_time())
    train(preparation.assemble(None, bridge, teacher), config, 0)
    marks.append(time.process_time())
    return [{"key": key, "number": number, **dict(zip(PARTS, np.diff(marks).tolist(), strict=True))}]


def anchored(number: int, workers: int, data: Path) -> float:
    """Fit the anchors of all snapshots, and return for how long workers did."""
    said: list[str] = []
    config = ExperimentConfig.parse({"teacher": {"steps": 1, "rounds": 1}, "bridge": {"curve": "straight"}})
    with (
        tempfile.TemporaryDirectory() as cache,
        WorkerPool(Resources(workers, 0), ArrayCache(Path(cache)), said.append) as pool,
    ):
        pool.prepare([courses(data, number)], config, 0)
    found = [re.search(r"anchors of .* in ([\d.]+) s", line) for line in said]
    return next(float(match[1]) for match in found if match)


def main(
    data: Annotated[Path, typer.Option(help="Folder of the simulated data.")],
    numbers: Annotated[str, typer.Option(help="Comma-separated numbers of conditions.")] = "5,20,80",
    repeats: Annotated[int, typer.Option(help="Times that the anchors of the largest number are fitted.")] = 2,
    out: common.Out = common.RESULTS,
) -> None:
    """Measure, and write a table."""
    counts = [int(number) for number in numbers.split(",")]
    for number in counts:
        courses(data, number)
    tasks = [{"key": f"{number} conditions", "number": number, "data": str(data.resolve())} for number in counts]
    common.run_tasks(spent, tasks, out / "growth.csv", 1)
    rows = common.read_rows(out / "growth.csv")
    with connected(None, Wanted(2, 0), typer.echo):
        walls = {workers: [anchored(counts[-1], workers, data) for _ in range(repeats)] for workers in (1, 2)}
    totals = {row["number"]: sum(float(row[part]) for part in PARTS) for row in rows}
    first = totals[str(counts[0])]
    lines = [
        [row["number"], *(f"{float(row[part]):.1f}" for part in PARTS), f"{totals[row['number']]:.1f}",
         f"{totals[row['number']] / first:.2f}"]
        for row in rows
    ]  # fmt: skip
    text = common.head("What many conditions cost") + f"\n{ABOUT}\n\n"
    text += common.table(["conditions", *PARTS, "all", f"x {counts[0]}"], lines)
    best = {workers: min(each) for workers, each in walls.items()}
    text += (
        f"\nAnchors of {counts[-1]} x 11 snapshots: {best[1]:.1f} s on one worker, {best[2]:.1f} s on two, "
        f"{best[1] / best[2]:.2f} x as fast (best of {repeats} each).\n"
    )
    (out / "growth.md").write_text(text)
    typer.echo(text)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(main)
    run(app)
