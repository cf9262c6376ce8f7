"""From raw data to a model, as a whole command, imports included: the default beside the paper's preset.

python benchmarks/fit.py                                  # the built-in epidemic
python benchmarks/fit.py --data trajectories.npy --step 0.5
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import common
import typer

from weightflow.data import Protocol, split
from weightflow.evaluation import evaluate
from weightflow.model import WeightFlow, load
from weightflow.presets import PRESETS
from weightflow.systems import load_dataset

PUBLISHED_HOURS = "about 14 hours for its 10,000 steps on two such cores (W / JSD there: 0.115 / 0.0366)"


def main(
    data: Annotated[str, typer.Option(help="A built-in system, or a file.")] = "epidemic",
    step: Annotated[float | None, typer.Option(help="Time step of .npy trajectories.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = common.RESULTS,
) -> None:
    """Time both presets one after the other, and score them under the paper's protocol."""
    models: dict[str, WeightFlow] = {}
    times: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in PRESETS:
            target = Path(folder) / name
            command = [
                sys.executable,
                "-m",
                "weightflow",
                "fit",
                "--data",
                data,
                "--preset",
                name,
                "--out",
                str(target),
            ]
            before, began = _cpu_seconds(), time.perf_counter()
            subprocess.run(command + ([] if step is None else ["--step", str(step)]), check=True)
            times[name] = time.perf_counter() - began, _cpu_seconds() - before
            models[name] = load(target)
    parts = split(load_dataset(data, 0, step), Protocol.PAPER, 0)
    scores = evaluate(models, parts, 1000, 0, ("paper_w1", "paper_jsd", "sliced_w1"))
    rows = [
        [
            name,
            *(f"{seconds:.1f}" for seconds in times.get(name, ())),
            *(["-", "-"] if name not in times else []),
            *(f"{scores.mean(name, metric):.4f}" for metric in scores.metrics),
        ]
        for name in scores.methods
    ]
    text = common.head("From raw data to a model")
    text += (
        "\nOne run, one after the other: `python -m weightflow fit` as a whole process, imports included, on all "
        "cores; scores under the paper's protocol (all times, the fitted trajectories themselves). The preset "
        f"`paper` takes 600 steps; the published code needs {PUBLISHED_HOURS}.\n\n"
    )
    text += common.table(["", "wall s", "CPU s", *scores.metrics], rows)
    text += f"\nThe default takes {times['paper'][0] / times['default'][0]:.1f} x less time than the preset `paper`.\n"
    (out / "fit.md").write_text(text)
    typer.echo(text)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    typer.run(main)
