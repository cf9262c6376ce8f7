"""From raw data to a model: the default beside the paper's preset as whole commands, or beside an earlier commit.

python benchmarks/fit.py                                  # both presets, on the built-in epidemic
python benchmarks/fit.py --data trajectories.npy --step 0.5
python benchmarks/fit.py --against d0f2049 --seeds 3      # the default fit then and now, imports aside
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import common
import numpy as np
import typer

from weightflow.data import Protocol, ReadOptions, split
from weightflow.evaluation import Scores, evaluate
from weightflow.model import WeightFlow, load
from weightflow.presets import PRESETS
from weightflow.systems import load_dataset

PUBLISHED_HOURS = "about 14 hours for its 10,000 steps on two such cores (W / JSD there: 0.115 / 0.0366)"
TODAY, PLAIN = "today", "today, no drift tried"
METRICS = ("paper_w1", "paper_jsd", "sliced_w1", "energy_distance")
DRAWINGS = 4  # an evaluation draws a model more than once
# Runs in either commit, and knows only what both have. A first step of an optimiser imports half of torch.
CHILD = f"""
import json, sys, time
import numpy as np, ot, torch
from weightflow.experiment import ExperimentConfig, fit_model
from weightflow.systems import load_dataset
data, seed, out, groups = sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
dataset = load_dataset(data, seed)
snapshots = dataset.snapshots.subset(dataset.seen)
torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).step()
began = time.process_time()
model = fit_model(snapshots, ExperimentConfig.parse(groups), seed)
spent = time.process_time() - began
times = dataset.snapshots.times
np.save(out, np.stack([model.sample(times, 1000, i).numpy() for i in range({DRAWINGS})]))
print(spent)
"""


@dataclass
class Drawn:
    """Samples of a model that another process has fitted, handed out one drawing after the other."""

    times: np.ndarray
    drawings: np.ndarray
    _turn: Iterator[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        self._turn = cycle(self.drawings)

    def sample(self, times: np.ndarray, n: int, seed: int) -> Any:
        """Return `n` samples at each of `times`."""
        return next(self._turn)[np.searchsorted(self.times, times), :n]


def main(
    data: Annotated[str, typer.Option(help="A built-in system, or a file.")] = "epidemic",
    step: Annotated[float | None, typer.Option(help="Time step of .npy trajectories.")] = None,
    against: Annotated[str | None, typer.Option(help="A commit whose default fit runs beside today's.")] = None,
    seeds: Annotated[int, typer.Option(help="With --against: how many, from 0 on.")] = 3,
    out: common.Out = common.RESULTS,
) -> None:
    """Time fits one after the other, and score them."""
    if against is not None:
        text, name = compare_commits(data, against, seeds), "fit-against.md"
    else:
        text, name = compare_presets(data, step), "fit.md"
    (out / name).write_text(text)
    typer.echo(text)


def compare_commits(data: str, commit: str, seeds: int) -> str:
    """Fit the default of two commits in turn, seed by seed, in processes of their own on one thread."""
    spent: dict[str, list[float]] = {name: [] for name in (commit, TODAY, PLAIN)}
    scores: list[Scores] = []
    with checked_out(commit) as then, tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            dataset = load_dataset(data, seed)
            methods: dict[str, Any] = {}
            for name, tree in ((commit, then), (TODAY, common.ROOT), (PLAIN, common.ROOT)):
                drawn = Path(folder) / f"{len(methods)}-{seed}.npy"
                groups = {"bridge": {"drift_steps": 0}} if name == PLAIN else {}
                spent[name].append(fit_in(tree, data, seed, drawn, groups))
                methods[name] = Drawn(dataset.snapshots.times, np.load(drawn))
            scores.append(evaluate(methods, split(dataset, Protocol.INTERPOLATION, seed), 1000, seed, METRICS))
    rows = [
        [
            name,
            common.spread(spent[name]) if name in spent else "-",
            *(common.spread([one.mean(name, metric) for one in scores]) for metric in METRICS),
        ]
        for name in scores[0].methods
    ]
    whole, plain = (sum(spent[name]) / sum(spent[commit]) for name in (TODAY, PLAIN))
    return (
        common.head("The default fit, then and now")
        + f"\n`weightflow.fit` on the seen snapshots of {data}, seeds 0 to {seeds - 1}, each in a process of its own "
        "on one thread, in turn; CPU seconds of the fit alone, without imports and simulation. Scores on fresh "
        "trajectories at unseen times, mean over seeds ± standard deviation between them.\n\n"
        + common.table(["", "CPU s", *METRICS], rows)
        + f"\nToday's fit takes {whole:.2f} times the CPU time, and {plain:.2f} times without the drift, "
        "which was not tried then.\n"
    )


def fit_in(tree: Path, data: str, seed: int, out: Path, groups: dict[str, Any]) -> float:
    """Fit with the package of a checkout, leave draws in a file, and return CPU seconds.

    `groups` are what of the default configuration is changed.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, data, str(seed), str(out), json.dumps(groups)]
    done = subprocess.run(command, env=environment, cwd=tree, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


@contextmanager
def checked_out(commit: str) -> Generator[Path]:
    """Check a commit out beside this tree for the time of a `with` block."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--detach", str(tree), commit], cwd=common.ROOT, check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=common.ROOT, check=True)


def compare_presets(data: str, step: float | None) -> str:
    """Time `python -m weightflow fit` with both presets, and score the models under the paper's protocol."""
    models: dict[str, WeightFlow] = {}
    times: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in PRESETS:
            target = Path(folder) / name
            command = [sys.executable, "-m", "weightflow", "fit", "--data", data, "--preset", name]
            options = ["--out", str(target), *([] if step is None else ["--step", str(step)])]
            before, began = _cpu_seconds(), time.perf_counter()
            subprocess.run([*command, *options], check=True)
            times[name] = time.perf_counter() - began, _cpu_seconds() - before
            models[name] = load(target)
    parts = split(load_dataset(data, 0, ReadOptions(step=step)), Protocol.PAPER, 0)
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
    return (
        common.head("From raw data to a model")
        + "\nOne run, one after the other: `python -m weightflow fit` as a whole process, imports included, on all "
        "cores; scores under the paper's protocol (all times, the fitted trajectories themselves). The preset "
        f"`paper` takes 600 steps; the published code needs {PUBLISHED_HOURS}.\n\n"
        + common.table(["", "wall s", "CPU s", *scores.metrics], rows)
        + f"\nThe default takes {times['paper'][0] / times['default'][0]:.1f} x less time than the preset `paper`.\n"
    )


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    typer.run(main)
