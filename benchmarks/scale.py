"""How memory and time grow: fits of large data, and what doubling the times, species or samples costs.

python benchmarks/scale.py                                     # whole fits: minutes each on a quiet core
python benchmarks/scale.py --share 0.02                        # a fiftieth of the steps
python benchmarks/scale.py --counts dex_upregulated_counts.csv # also this file, its first column aside

Each case runs in a process of its own, one after the other; what is done already is not run again.
"""

import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import common
import numpy as np
import pandas as pd
import typer

from weightflow import Snapshots
from weightflow.bridge import BridgeOptions, build_bridge
from weightflow.experiment import ExperimentConfig, fit_model, flatten, nest

STEPS = ("anchors.base_steps", "anchors.steps", "teacher.steps", "training.collocation_steps", "training.rollout_steps")
LIMIT_GIB = 6
REAL = "real counts"


@dataclass(frozen=True)
class Case:
    """Simulated data: clouds that drift and spread."""

    times: int
    samples: int
    species: int
    mean: float  # of counts; 0: continuous values

    def snapshots(self) -> Snapshots:
        """Draw the clouds; species are correlated through a factor that all share."""
        rng = np.random.default_rng(0)
        times = np.linspace(0.0, 1.0, self.times)
        return Snapshots(times, tuple(self._cloud(at, rng) for at in times))

    def _cloud(self, at: float, rng: np.random.Generator) -> np.ndarray:
        shape = self.samples, self.species
        level = np.exp(0.3 * rng.standard_normal((self.samples, 1)) + at * np.linspace(-0.5, 0.5, self.species))
        return rng.poisson(self.mean * level).astype(float) if self.mean else level + rng.normal(size=shape) * (1 + at)


LARGE = {
    "100 species": Case(6, 3_000, 100, 5.0),
    "100,000 cells": Case(5, 100_000, 10, 0.0),
    "200 times": Case(200, 1_000, 3, 20.0),
    "counts to 50,000": Case(6, 1_000, 2, 18_000.0),
}
SMALL = Case(16, 500, 10, 20.0)
GROWTH = {
    "one": SMALL,
    "times x 2": Case(32, 500, 10, 20.0),
    "times x 4": Case(64, 500, 10, 20.0),
    "species x 2": Case(16, 500, 20, 20.0),
    "species x 4": Case(16, 500, 40, 20.0),
    "samples x 2": Case(16, 1_000, 10, 20.0),
    "counts x 4": Case(16, 500, 10, 80.0),
}
GROWTH_SHARE = 0.02
PARTS = ("bridge", "fit", "sample", "log_prob", "marginals")


def main(
    share: Annotated[float, typer.Option(help="Share of the default's steps that a fit takes.")] = 1.0,
    counts: Annotated[Path | None, typer.Option(help="CSV of real counts with a column `time`.")] = None,
    out: common.Out = common.RESULTS,
    only: Annotated[str | None, typer.Option(hidden=True, help="The case that this process measures.")] = None,
) -> None:
    """Measure what is missing, then write the table."""
    if only is not None:
        typer.echo(json.dumps(_measure(_snapshots(only, counts), share)))
        return
    rows = out / "scale.csv"
    done = {row["key"] for row in common.read_rows(rows)}
    for name in (*GROWTH, *LARGE, *([REAL] if counts else [])):
        if name not in done:
            found = _in_a_process(name, GROWTH_SHARE if name in GROWTH else share, counts)
            common.append_rows(rows, [{"key": name, **found}])
            typer.echo(f"{name}: {found}")
    text = _text(common.read_rows(rows))
    (out / "scale.md").write_text(text)
    typer.echo(text)


def _in_a_process(name: str, share: float, counts: Path | None) -> common.Row:
    command = [sys.executable, __file__, "--only", name, "--share", str(share)]
    command += [] if counts is None else ["--counts", str(counts)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _snapshots(name: str, counts: Path | None) -> Snapshots:
    if name != REAL:
        return {**GROWTH, **LARGE}[name].snapshots()
    table = pd.read_csv(counts).iloc[:, 1:]
    groups = [(float(at), group.drop(columns="time").to_numpy(float)) for at, group in table.groupby("time")]
    return Snapshots(np.array([at for at, _ in groups]), tuple(cloud for _, cloud in groups))


def _measure(snapshots: Snapshots, share: float) -> dict[str, Any]:
    """CPU seconds of each part, and the most memory that the process had held by its end, in MiB."""
    flat = flatten(ExperimentConfig())
    fewer = {key: max(1, round(share * flat[key])) for key in STEPS}
    config = ExperimentConfig.parse(nest({**flat, **fewer}))
    found: dict[str, Any] = {"share": share, "data_mib": sum(cloud.nbytes for cloud in snapshots.samples) / 2**20}
    found["start_mib"] = _peak()
    _part(found, "bridge", lambda: build_bridge(snapshots, BridgeOptions()))
    model = _part(found, "fit", lambda: fit_model(snapshots, config))
    middle = float(snapshots.times.mean())
    drawn = _part(found, "sample", lambda: model.sample(middle, 10_000))
    _part(found, "log_prob", lambda: model.log_prob(drawn, middle))
    discrete = all(kind.value == "counts" for kind in snapshots.kinds)
    _part(found, "marginals", lambda: model.marginals(middle, draws=1_000) if discrete else None)
    return found


def _part(found: dict[str, Any], name: str, do: Callable[[], Any]) -> Any:
    began = time.process_time()
    result = do()
    found[f"{name}_s"], found[f"{name}_mib"] = time.process_time() - began, _peak()
    return result


def _peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _text(rows: list[dict[str, str]]) -> str:
    by = {row["key"]: row for row in rows}
    text = common.head("How memory and time grow")
    text += (
        "\nPeak memory is that of the whole process after each part, imports included. CPU seconds depend on the "
        "machine, and on what else runs there: read them as ratios. A fit of a share of the default's steps takes "
        "the same steps, only fewer; its seconds are those of the share. `sample` and `log_prob`: 10,000 samples at "
        f"one time; `marginals`: 1,000 draws where they cannot be exact. Each case must stay below {LIMIT_GIB} GiB.\n\n"
    )
    large = [by[name] for name in (*LARGE, REAL) if name in by]
    columns = ["", "data MiB", "imports MiB", "peak MiB", "share of steps", *(f"{part} s" for part in PARTS)]
    text += common.table(
        columns,
        [
            [
                row["key"],
                *(f"{float(row[key]):.0f}" for key in ("data_mib", "start_mib", "marginals_mib")),
                row["share"],
                *(f"{float(row[f'{part}_s']):.1f}" for part in PARTS),
            ]
            for row in large
        ],
    )
    text += "\nExponents of growth against the case `one` (1: in proportion, 0: not at all); memory beyond imports:\n\n"
    return text + common.table(
        ["", "memory", *PARTS], [_exponents(by["one"], by[name]) for name in GROWTH if name in by and name != "one"]
    )


def _exponents(one: dict[str, str], more: dict[str, str]) -> list[str]:
    factor = math.log(int(more["key"].split()[-1]))

    def exponent(key: str, offset: str = "") -> str:
        before, after = (float(row[key]) - (float(row[offset]) if offset else 0.0) for row in (one, more))
        return f"{math.log(after / before) / factor:.2f}"

    return [more["key"], exponent("marginals_mib", "start_mib"), *(exponent(f"{part}_s") for part in PARTS)]


if __name__ == "__main__":
    typer.run(main)
