"""What a model of many conditions costs: CPU seconds of each part with their number, and anchors on two workers.

The epidemic at 5, 20 and 80 infection rates, 500 trajectories each, eleven times. CPU seconds are those of one process
with one thread; the anchors of all snapshots are fitted by one worker of Ray and by two, one thread each.

python benchmarks/growth.py simulate --data growth-data
python benchmarks/growth.py fits --data growth-data
python benchmarks/growth.py anchors --data growth-data
python benchmarks/growth.py tables
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
NUMBERS = "5,20,80"
FITS, ANCHORS = "growth.csv", "growth-anchors.csv"
PARTS = ("base", "bridge", "teacher", "field")
ABOUT = (
    "CPU seconds of the default fit to the epidemic at so many infection rates, 500 trajectories each at eleven times, "
    "one process of one thread; `field` is the training of the vector field and the last look at the snapshots. "
    "Anchors are no part of the default fit."
)


def courses(folder: Path, number: int) -> Snapshots:
    """Read the snapshots at so many rates; simulate them where they are missing."""
    rates = np.geomspace(*RATES, number)
    path = folder / f"epidemic-{number}.npz"
    if not path.is_file():
        system = find_system("epidemic")
        times = system.times[list(every_nth(len(system.times), None))]
        found = simulate_varied(system, [Vary("beta", tuple(rates.tolist()))], TRAJECTORIES, 0, times)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, times=times, samples=found.samples.astype(np.uint16))
    with np.load(path, allow_pickle=False) as file:
        times = file["times"]
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


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
Data = Annotated[Path, typer.Option(help="Folder of the simulated data.")]
Numbers = Annotated[str, typer.Option(help="Comma-separated numbers of conditions.")]


@app.command()
def simulate(data: Data, numbers: Numbers = NUMBERS) -> None:
    """Simulate the courses; what is there already is kept."""
    for number in numbers.split(","):
        courses(data, int(number))


@app.command()
def fits(
    data: Data,
    numbers: Numbers = NUMBERS,
    cpus: Annotated[int, typer.Option(help="Fits at a time.")] = 1,
    out: common.Out = common.RESULTS,
) -> None:
    """Fit each number of conditions, and write the table."""
    simulate(data, numbers)
    tasks = [
        {"key": f"{number} conditions", "number": int(number), "data": str(data.resolve())}
        for number in numbers.split(",")
    ]
    common.run_tasks(spent, tasks, out / FITS, cpus)
    tables(out)


@app.command()
def anchors(
    data: Data,
    number: Annotated[int, typer.Option(help="Of conditions.")] = 80,
    repeats: Annotated[int, typer.Option(help="Times that they are fitted by one worker, and by two.")] = 2,
    out: common.Out = common.RESULTS,
) -> None:
    """Fit the anchors of all snapshots on one worker and on two, in turn, and write the table."""
    courses(data, number)
    with connected(None, Wanted(2, 0), typer.echo):
        for repeat in range(repeats):
            for workers in (1, 2):
                row: common.Row = {"number": number, "workers": workers, "seconds": anchored(number, workers, data)}
                common.append_rows(out / ANCHORS, [{"key": f"{number} {workers} {repeat}", **row}])
    tables(out)


@app.command()
def tables(out: common.Out = common.RESULTS) -> None:
    """Write the table anew, from the rows that there are."""
    text = common.head("What many conditions cost") + f"\n{ABOUT}\n"
    text += _of_fits(common.read_rows(out / FITS)) + _of_anchors(common.read_rows(out / ANCHORS))
    (out / "growth.md").write_text(text)
    typer.echo(text)


def _of_fits(rows: list[dict[str, str]]) -> str:
    if not rows:
        return ""
    rows = sorted(rows, key=lambda row: int(row["number"]))
    totals = [sum(float(row[part]) for part in PARTS) for row in rows]
    lines = [
        [row["number"], *(f"{float(row[part]):.1f}" for part in PARTS), f"{total:.1f}", f"{total / totals[0]:.2f}"]
        for row, total in zip(rows, totals, strict=True)
    ]
    return "\n" + common.table(["conditions", *PARTS, "all", f"x {rows[0]['number']}"], lines)


def _of_anchors(rows: list[dict[str, str]]) -> str:
    text = ""
    for number in dict.fromkeys(row["number"] for row in rows):
        alike = [row for row in rows if row["number"] == number]
        one, two = (min(float(row["seconds"]) for row in alike if row["workers"] == workers) for workers in "12")
        text += (
            f"\nAnchors of {number} x 11 snapshots: {one:.1f} s on one worker, {two:.1f} s on two, "
            f"{one / two:.2f} x as fast (best of {len(alike) // 2} each).\n"
        )
    return text


if __name__ == "__main__":
    run(app)
