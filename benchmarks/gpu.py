"""One GPU beside one CPU core: seconds of each step of a fit, trials per hour, and how many trials may share the GPU.

python benchmarks/gpu.py measure                            # where torch sees a GPU; some ten minutes
python benchmarks/gpu.py measure --at-once 1,4 --steps 20   # a first look
python benchmarks/gpu.py tables                             # anew, of what was measured before, on any machine

Data are drawn here, so that neither Ray nor the simulator is needed. Each number of trials at a time runs in processes
of its own, one thread each, as trials of a search do. What is measured already is not measured again.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import Annotated, Any

import common
import torch
import typer
from scale import Case

from weightflow.bridge.bridge import fit_drift
from weightflow.cli.running import run
from weightflow.data import Snapshots
from weightflow.errors import InputError
from weightflow.experiment import ExperimentConfig, nest
from weightflow.experiment.preparation import Preparation, Prepared
from weightflow.experiment.trial import Trial
from weightflow.files import Arrays
from weightflow.training import fit_teacher

CASES = {"2 species, 500 samples": Case(10, 500, 2, 20.0), "30 species, 3,000 samples": Case(10, 3_000, 30, 0.0)}
MODELS: dict[str, dict[str, Any]] = {
    "default": {},
    "cde": {"dynamics.kind": "cde"},
    "large": {"backbone.hidden": 128, "dynamics.hidden": 256},
}
WARM_STEPS = 5  # in which a GPU loads its kernels
WAIT_S = 600  # for the other processes to be ready
GIB = 2**30
STEPS, TRIALS = "gpu-steps.csv", "gpu-trials.csv"


@dataclass(frozen=True)
class Ran:
    """What one trial of several at a time took.

    Attributes:
        seconds: of its training.
        reserved: most bytes of GPU memory that torch held for it.
        used: bytes of GPU memory in use by all, contexts included, when it ended.
    """

    seconds: float
    reserved: int
    used: int


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def measure(
    at_once: Annotated[str, typer.Option(help="Comma-separated numbers of trials at a time.")] = "1,2,4,8",
    models: Annotated[str, typer.Option(help=f"Comma-separated, of {', '.join(MODELS)}.")] = ",".join(MODELS),
    steps: Annotated[int, typer.Option(help="Measured steps of each kind.")] = 60,
    out: common.Out = common.RESULTS,
) -> None:
    """Measure on the first GPU, and write the tables."""
    if not torch.cuda.is_available():
        raise InputError(
            f"torch {torch.__version__} sees no GPU, and this measures one: it needs a GPU, its driver and a torch "
            "that is built for it, a CPU core for each trial at a time, and some ten minutes."
        )
    unknown = [name for name in models.split(",") if name not in MODELS]
    if unknown:
        raise InputError(f"`--models` holds `{unknown[0]}`, which is not known; known are {', '.join(MODELS)}.")
    cells = [{"case": case, "model": model} for case in CASES for model in models.split(",")]
    of_steps = [{"key": f"{cell['case']}, {cell['model']}", **cell, "steps": steps} for cell in cells]
    common.run_tasks(measure_steps, of_steps, out / STEPS, 1)
    places = [*(("cuda", int(number)) for number in at_once.split(",")), ("cpu", 1)]
    of_trials = [
        {"key": f"{cell['case']}, {cell['model']}, {number} on {device}", **cell, "number": number, "device": device}
        for cell in cells
        for device, number in places
    ]
    common.run_tasks(measure_trials, of_trials, out / TRIALS, 1)
    tables(out)


@app.command()
def tables(out: common.Out = common.RESULTS) -> None:
    """Write the tables of what was measured."""
    steps, trials = common.read_rows(out / STEPS), common.read_rows(out / TRIALS)
    if not steps:
        raise InputError(f"{out / STEPS} holds no row; run `measure` on a machine with a GPU first.")
    text = written(steps, trials)
    (out / "gpu.md").write_text(text)
    typer.echo(text)


def configuration(model: str, steps: int | None = None) -> ExperimentConfig:
    """Return a model's configuration; with `steps`, one that takes so many of each kind and then ends."""
    changed = dict(MODELS[model])
    if steps is not None:
        counted = ("anchors.base_steps", "anchors.steps", "teacher.steps")
        counted += ("training.collocation_steps", "training.rollout_steps", "bridge.drift_steps")
        changed |= dict.fromkeys(counted, steps) | {"training.epochs": 2, "training.warm_share": 0.5}
    changed |= {"anchors.rounds": 1, "teacher.rounds": 1, "training.rounds": 1}  # the same work everywhere
    return ExperimentConfig.parse(nest({**changed, "bridge.curve": "straight"}))


def measure_steps(key: str, case: str, model: str, steps: int) -> list[common.Row]:
    """Time the steps of each kind on the GPU and on one CPU core."""
    torch.set_num_threads(1)
    snapshots = CASES[case].snapshots()
    found: dict[str, dict[str, float]] = {}
    for device in ("cpu", "cuda"):
        for _ in timed(snapshots, configuration(model, WARM_STEPS), device):
            pass
        for kind, seconds in timed(snapshots, configuration(model, steps), device):
            found.setdefault(kind, {})[device] = seconds / steps
    return [
        {**place(key, case, model), "kind": kind, "cpu": each["cpu"], "cuda": each["cuda"]}
        for kind, each in found.items()
    ]


def place(key: str, case: str, model: str) -> common.Row:
    """Say what was measured, on which card and processor and with which build."""
    machine = {"card": torch.cuda.get_device_name(), "processor": common.processor(), "torch": torch.__version__}
    return {"key": key, **machine, "case": case, "model": model}


def timed(snapshots: Snapshots, config: ExperimentConfig, device: str) -> Iterator[tuple[str, float]]:
    """Fit, and yield each kind of step with the seconds that all of its steps took."""
    preparation = Preparation(snapshots, config, 0)
    everything = range(len(snapshots))
    bridge = preparation.bridge(device)
    began = time.perf_counter()
    fit_drift(snapshots, config.bridge, 0, device)
    yield "drift", time.perf_counter() - began
    began = time.perf_counter()
    base = preparation.base(device)
    yield "base", time.perf_counter() - began
    began = time.perf_counter()
    anchors = preparation.anchors(everything, base, device)
    yield "all anchors", time.perf_counter() - began
    family = preparation.assemble(None, bridge, None).family
    began = time.perf_counter()
    teacher = fit_teacher(preparation.backbone, family, base["tokens"], config.teacher, 0, device)
    yield "teacher", time.perf_counter() - began
    for report in Trial(preparation.assemble(anchors, bridge, teacher.arrays()), config, 0, device).epochs():
        yield report.phase, report.seconds


def measure_trials(key: str, case: str, model: str, number: int, device: str) -> list[common.Row]:
    """Train so many default trials at a time, each in a process of its own, on what was prepared once."""
    torch.set_num_threads(1)
    config, snapshots = configuration(model), CASES[case].snapshots()
    pieces = made(snapshots, config)
    context = get_context("spawn")
    ready, ended = context.Barrier(number), context.Barrier(number)
    with ProcessPoolExecutor(number, context, keep, (ready, ended)) as processes:
        futures = [processes.submit(train_one, case, model, pieces, seed, device) for seed in range(number)]
        ran = [future.result() for future in futures]
    longest = max(one.seconds for one in ran)
    return [
        {
            **place(key, case, model),
            "device": device,
            "number": number,
            "seconds": longest,
            "trials_per_hour": number * 3600 / longest,
            "reserved_gib": max(one.reserved for one in ran) / GIB,
            "used_gib": max(one.used for one in ran) / GIB / number,
        }
    ]


def made(snapshots: Snapshots, config: ExperimentConfig) -> dict[str, Arrays | None]:
    """Prepare on the GPU what trials share."""
    preparation = Preparation(snapshots, config, 0)
    base, bridge = preparation.base("cuda"), preparation.bridge("cuda")
    anchors = preparation.anchors(range(len(snapshots)), base, "cuda") if config.needs_anchors else None
    return {"anchors": anchors, "bridge": bridge, "teacher": preparation.teacher(base, bridge, "cuda")}


_barriers: list[Barrier] = []


def keep(*barriers: Barrier) -> None:
    """Keep, in a new process, what it waits at; a barrier reaches a process only while that starts."""
    _barriers[:] = barriers


def train_one(case: str, model: str, pieces: dict[str, Any], seed: int, device: str) -> Ran:
    """Train once briefly, so that kernels are loaded, wait for the others, and train as a search would."""
    torch.set_num_threads(1)
    ready, ended = _barriers
    snapshots = CASES[case].snapshots()

    def prepared(config: ExperimentConfig) -> Prepared:
        return Preparation(snapshots, config, 0).assemble(**pieces)

    brief = configuration(model, WARM_STEPS)
    list(Trial(prepared(brief), brief, seed, device).epochs())
    config = configuration(model)
    trial = Trial(prepared(config), config, seed, device)
    ready.wait(WAIT_S)
    began = time.perf_counter()
    list(trial.epochs())
    seconds = time.perf_counter() - began
    reserved = used = 0
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        reserved, used = torch.cuda.max_memory_reserved(), total - free
    ended.wait(WAIT_S)  # memory of those that have ended counts, too
    return Ran(seconds, reserved, used)


def written(steps: list[dict[str, str]], trials: list[dict[str, str]]) -> str:
    """Write both tables, and what to give a trial."""
    machines = {f"{row['card']} beside {row['processor']}, torch {row['torch']}" for row in [*steps, *trials]}
    of_steps = [
        [row["case"], row["model"], row["kind"], f"{cpu * 1e3:.2f}", f"{gpu * 1e3:.2f}", f"{cpu / gpu:.2f}"]
        for row in steps
        for cpu, gpu in [(float(row["cpu"]), float(row["cuda"]))]
    ]
    of_trials = [
        [
            row["case"],
            row["model"],
            "1 CPU core" if row["device"] == "cpu" else row["number"],
            f"{float(row['seconds']):.1f}",
            f"{float(row['trials_per_hour']):.0f}",
            *(f"{float(row[name]):.2f}" if row["device"] == "cuda" else "-" for name in ("reserved_gib", "used_gib")),
        ]
        for row in trials
    ]
    return (
        common.head("One GPU")
        + f"- measured on: {'; '.join(sorted(machines))}\n\n"
        + "## Steps\n\nMilliseconds a step of training, everything in a step included, on one CPU core and on the GPU, "
        "one process alone; the ratio says how many times faster the GPU is.\n\n"
        + common.table(["data", "model", "step", "CPU ms", "GPU ms", "ratio"], of_steps)
        + "\n## Trials at a time\n\nWhole trials on shared preparations, each a process of one thread; seconds of the "
        "longest. Memory in GiB for each trial: what torch reserved, and all that is in use, contexts included.\n\n"
        + common.table(["data", "model", "at a time", "s", "trials an hour", "reserved", "in use"], of_trials)
        + "\n## What to give a trial\n\n"
        + "\n".join(advised(trials))
        + "\n"
    )


def advised(trials: list[dict[str, str]]) -> list[str]:
    """Say, for each cell, how many trials a GPU carries best, and what that is worth."""
    lines: list[str] = []
    for cell in dict.fromkeys((row["case"], row["model"]) for row in trials):
        per_hour = {
            (row["device"], int(row["number"])): float(row["trials_per_hour"])
            for row in trials
            if (row["case"], row["model"]) == cell
        }
        best = max((place for place in per_hour if place[0] == "cuda"), key=per_hour.__getitem__, default=None)
        if best is None:
            continue
        worth = [
            f"{per_hour[best] / per_hour[other]:.1f} times as many as {what}"
            for other, what in ((("cuda", 1), "one at a time"), (("cpu", 1), "a CPU core"))
            if other in per_hour
        ]
        share = f"`--gpus-per-trial {1 / best[1]:.3g}`"
        lines.append(
            f"- {', '.join(cell)}: most trials an hour with {best[1]} at a time ({share}), {', '.join(worth)}."
        )
    return lines


if __name__ == "__main__":
    run(app)
