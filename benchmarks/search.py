"""What a search is worth and what it costs: samplers, early stopping, orchestration, many trials.

python benchmarks/search.py efficiency   # best score against compute: ours, random with and without early stopping
python benchmarks/search.py worth        # the searched model beside the untuned default, five systems, two protocols
python benchmarks/search.py overhead     # wall time that is not the trials' own; two workers against one
python benchmarks/search.py thousand     # 1,000 trials that do next to nothing
python benchmarks/search.py driver       # what a report and a new trial cost the driver after 100 to 10,000 trials
"""

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf, log10
from pathlib import Path
from statistics import mean, median
from typing import Annotated, Any

import common
import matplotlib as mpl
import numpy as np
import psutil
import torch
import typer

from weightflow.cache import ArrayCache
from weightflow.data import Dataset, Protocol, Split, split
from weightflow.evaluation import evaluate, left_out_model
from weightflow.experiment import ExperimentConfig, flat_keys, nest, prepare, prepares_as
from weightflow.search.cluster.connection import connected
from weightflow.search.cluster.resources import Resources, Wanted
from weightflow.search.cluster.workers import WorkerPool
from weightflow.search.folder import CHECKPOINTS
from weightflow.search.space.space import Space
from weightflow.search.study.options import Point, SearchOptions
from weightflow.search.study.study import Study
from weightflow.search.trials.depot import depot
from weightflow.search.trials.stopper import Stopper
from weightflow.search.trials.trainable import Task
from weightflow.search.trials.tuner import run_trials
from weightflow.systems import PAPER, load_dataset
from weightflow.trials import SamplerName, SchedulerName, TrialRecord, TrialState
from weightflow.types import Kind

mpl.use("Agg")
import matplotlib.pyplot as plt

SMALL: dict[str, Any] = {
    "anchors.rounds": 1,
    "teacher.rounds": 1,
    "training.rounds": 1,
    "anchors.base_steps": 300,
    "anchors.steps": 150,
    "teacher.steps": 600,
    "training.epochs": 12,
    "training.collocation_steps": 20,
    "training.rollout_steps": 2,
}
SEARCHED: dict[str, Any] = {
    "dynamics.kind": {"kind": "choice", "values": ["ode", "cde"]},
    "dynamics.time": {"kind": "choice", "values": [False, True]},
    "dynamics.hidden": {"kind": "choice", "values": [8, 16, 32]},
    "dynamics.depth": {"kind": "int", "low": 1, "high": 2},
    "dynamics.solver": {"kind": "choice", "values": ["rk4", "midpoint", "euler"]},
    "dynamics.steps": {"kind": "int", "low": 6, "high": 20},
    "dynamics.z_dim": {"kind": "int", "low": 1, "high": 4, "when": {"dynamics.kind": "cde"}},
    "training.objective": {"kind": "choice", "values": ["likelihood", "anchor"]},
    "training.learning_rate": {"kind": "float", "low": 1e-4, "high": 3e-2, "log": True},
    "training.pull_back": {"kind": "float", "low": 0.0, "high": 20.0},
}
TRIVIAL: dict[str, Any] = {
    "anchors.rounds": 1,
    "teacher.rounds": 1,
    "training.rounds": 1,
    "anchors.base_steps": 20,
    "anchors.steps": 10,
    "teacher.steps": 20,
    "dynamics.hidden": 4,
    "dynamics.heads": 1,
    "dynamics.steps": 4,
    "training.epochs": 2,
    "training.collocation_steps": 1,
    "training.rollout_steps": 1,
}
FOREVER = 1e9
NEAR = 0.003  # nats: what the logarithmic picture shows the very best as


class NothingFirst(SearchOptions):
    """Options without the presets that ours tries first."""

    def first_points(self, space: Space) -> Iterator[tuple[str, Point]]:
        yield from ()


@dataclass
class Clock:
    """Watches a search: when which score was the best, by wall time and by epochs."""

    began: float = field(default_factory=time.time)
    epochs: int = 0
    best: float = float("inf")
    rows: list[tuple[float, int, float]] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    then: Callable[[], None] | None = None

    def start_trial(self, record: TrialRecord) -> None:
        """Nothing to note."""

    def log_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        self.epochs += 1

    def end_trial(self, record: TrialRecord) -> None:
        self.ended.append(time.monotonic() - self.began)
        if self.then is not None:
            self.then()
        if record.state is TrialState.FINISHED and record.score is not None:
            self.best = min(self.best, record.score)
        self.rows.append((self.ended[-1], self.epochs, self.best))


@dataclass
class Ground:
    """What searches on one system share."""

    parts: Split
    space: Space
    cache: tempfile.TemporaryDirectory[str]
    config: ExperimentConfig
    seed: int

    @classmethod
    def of(cls, dataset: Dataset, protocol: Protocol, space: Space, seed: int = 0) -> "Ground":
        torch.set_num_threads(1)
        parts = split(dataset, protocol, seed)
        _, first = next(SearchOptions().first_points(space))
        config = ExperimentConfig.parse(nest(space.configuration(first)))
        cache = tempfile.TemporaryDirectory()
        prepare(parts.folds[0].fit, config, seed, cache=ArrayCache(Path(cache.name)))
        return cls(parts, space, cache, config, seed)

    def run(
        self, options: SearchOptions, seed: int, cpus: int, then: Callable[[], None] | None = None
    ) -> tuple[Clock, Study, float]:
        """Run a search, and return what was seen of it, its study, and its wall time; `then` is called after trials."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / CHECKPOINTS).mkdir()
            began = time.monotonic()
            config = self.config
            training = config.training
            identity = {"space": self.space.content()}
            study = Study(folder, self.space, options, training.epochs, training.grace_epochs, seed, identity, {})
            clock = Clock(then=then)
            study.callbacks.append(clock)
            stopper = Stopper(study, options, 1.0, 0.0)
            with depot(Path(self.cache.name), folder / CHECKPOINTS) as kept:
                task = Task(self.parts, self.seed, kept, False)
                run_trials(study, stopper, Resources(cpus, 0), [prepares_as(config)], task, folder / "tune", typer.echo)
            study.close()
            return clock, study, time.monotonic() - began


def small_space() -> Space:
    return Space.build({"parameters": SEARCHED, "fixed": SMALL}, flat_keys())


def trivial_space() -> Space:
    kept = ("dynamics.kind", "dynamics.time", "dynamics.z_dim", "training.learning_rate", "training.pull_back")
    return Space.build({"parameters": {key: SEARCHED[key] for key in kept}, "fixed": TRIVIAL}, flat_keys())


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

METHODS: dict[str, tuple[type[SearchOptions], SamplerName, SchedulerName]] = {
    "ours: presets, TPE, ASHA": (SearchOptions, SamplerName.TPE, SchedulerName.ASHA),
    "TPE, ASHA": (NothingFirst, SamplerName.TPE, SchedulerName.ASHA),
    "random, ASHA": (NothingFirst, SamplerName.RANDOM, SchedulerName.ASHA),
    "random": (NothingFirst, SamplerName.RANDOM, SchedulerName.NONE),
}


@app.command()
def efficiency(
    systems: Annotated[str, typer.Option(help="Comma-separated names.")] = "epidemic,toggle_switch",
    seeds: Annotated[int, typer.Option(min=1, help="Searches of each kind on each system.")] = 5,
    trials: Annotated[int, typer.Option(min=1, help="Of plain random search; the others have its compute.")] = 16,
    out: common.Out = common.RESULTS,
) -> None:
    """Compare the best held-out score against epochs and seconds."""
    rows: list[common.Row] = []
    with connected(None, Wanted(2), typer.echo):
        for system in systems.split(","):
            ground = Ground.of(load_dataset(system, 0), Protocol.INTERPOLATION, small_space())
            for seed in range(seeds):
                for method, (kind, sampler, scheduler) in METHODS.items():
                    made = kind(
                        # early stopping makes room for more trials with the same epochs
                        trials=trials if scheduler is SchedulerName.NONE else round(1.4 * trials),
                        time_budget=FOREVER,
                        sampler=sampler,
                        scheduler=scheduler,
                        stop_at_floor=False,
                        repeats=1,
                    )
                    clock, _, _ = ground.run(made, seed, 2)
                    rows += [
                        {
                            "system": system,
                            "seed": seed,
                            "method": method,
                            "seconds": f"{t:.2f}",
                            "epochs": e,
                            "best": b,
                        }
                        for t, e, b in clock.rows
                    ]
                    typer.echo(f"{system} {seed} {method}: {clock.best:.4f} after {clock.epochs} epochs")
    common.append_rows(_fresh(out / "search-efficiency.csv"), rows)
    text = common.head("Best held-out score against compute")
    text += (
        "\nSmall trials (12 epochs, about a second each), two at a time, on the built-in data; the score is the "
        "held-out one that is searched, in nats per sample, lower is better. `reaches` is the share of plain random "
        "search's epochs (seconds) after which a method's best score is at least as good as the final one of plain "
        "random search with the same seed: median over seeds, and how many seeds reach it at all.\n"
    )
    for system in systems.split(","):
        text += f"\n## {system}\n\n" + common.table(
            ["method", "final best, mean ± sd", "reaches, epochs", "reaches, seconds", "seeds that reach it"],
            [_reached(rows, system, method) for method in METHODS],
        )
    text += "\n![best score against epochs](search-efficiency.png)\n"
    (out / "search-efficiency.md").write_text(text)
    _draw(rows, systems.split(","), out / "search-efficiency.png")
    typer.echo(text)


def _reached(rows: list[common.Row], system: str, method: str) -> list[str]:
    seeds = sorted({row["seed"] for row in rows})
    finals: list[float] = []
    shares: list[tuple[float, float]] = []
    for seed in seeds:
        own = _curve(rows, system, seed, method)
        plain = _curve(rows, system, seed, "random")
        finals.append(own[-1][2])
        hit = next(((t, e) for t, e, best in own if best <= plain[-1][2]), None)
        if hit is not None:
            shares.append((hit[1] / plain[-1][1], hit[0] / plain[-1][0]))
    cells = [f"{median(share):.0%}" for share in zip(*shares, strict=True)] if shares else ["-", "-"]
    return [method, common.spread(finals), *cells, f"{len(shares)} of {len(seeds)}"]


def _curve(rows: list[common.Row], system: str, seed: Any, method: str) -> list[tuple[float, float, float]]:
    return [
        (float(row["seconds"]), float(row["epochs"]), float(row["best"]))
        for row in rows
        if (row["system"], row["seed"], row["method"]) == (system, seed, method)
    ]


def _draw(rows: list[common.Row], systems: list[str], path: Path) -> None:
    figure, axes = plt.subplots(1, len(systems), figsize=(5.2 * len(systems), 3.8), squeeze=False, layout="constrained")
    seeds = sorted({row["seed"] for row in rows})
    for axis, system in zip(axes[0], systems, strict=True):
        low = min(float(row["best"]) for row in rows if row["system"] == system)
        for color, method in zip(("C3", "C1", "C0", "0.5"), METHODS, strict=True):
            curves = [_curve(rows, system, seed, method) for seed in seeds]
            grid = [2.0 * i for i in range(6, int(max(c[-1][1] for c in curves) // 2) + 1)]
            values = [median(min((b for _, e, b in c if e <= at), default=inf) for c in curves) for at in grid]
            axis.plot(grid, [value - low + NEAR for value in values], color=color, label=method, lw=1.8)
        axis.set(title=system, xlabel="epochs of all trials", ylabel="median best score above the best of all, nats")
        axis.set_yscale("log")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].legend(frameon=False)
    figure.savefig(path, dpi=130)


def _fresh(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path


@app.command()
def worth(
    systems: Annotated[str, typer.Option(help="Comma-separated names of systems, or files of data.")] = ",".join(PAPER),
    protocols: Annotated[str, typer.Option(help="Comma-separated names.")] = "interpolation,forecast",
    trials: Annotated[int, typer.Option(min=1, help="Of each search.")] = 12,
    seed: Annotated[int, typer.Option(help="Of data and search.")] = 0,
    out: common.Out = common.RESULTS,
) -> None:
    """Compare the searched model with the untuned default on what neither has seen, such as fresh trajectories.

    Rows that the CSV file has are not made again, so that a benchmark that was cut off goes on.
    """
    space = Space.read(common.ROOT / "search_spaces" / "default.yaml", flat_keys())
    options = SearchOptions(trials=trials, time_budget=FOREVER, stop_at_floor=False, repeats=1)
    path = out / "search-worth.csv"
    done = {(row["system"], row["protocol"], row["trials"]) for row in common.read_rows(path)}
    with connected(None, Wanted(2), typer.echo):
        for protocol in protocols.split(","):
            for system in systems.split(","):
                if (Path(system).stem, protocol, str(trials)) in done:
                    continue
                began = time.monotonic()
                rows = _worth(Ground.of(load_dataset(system, seed), Protocol(protocol), space, seed), options)
                place = {"system": Path(system).stem, "protocol": protocol, "trials": trials}
                common.append_rows(path, [{**place, **row} for row in rows])
                typer.echo(f"{protocol} {system}: {time.monotonic() - began:.0f} s")
    rows = [row for row in common.read_rows(path) if row["trials"] == str(trials)]
    (out / "search-worth.md").write_text(_worth_text(rows, trials))


def _worth(ground: Ground, options: SearchOptions) -> list[common.Row]:
    _, study, wall = ground.run(options, ground.seed, 2)
    best = study.finished()[0]
    configs = {"default": ground.config, "searched": ExperimentConfig.parse(nest(best.params))}
    models: dict[str, Any] = {}
    tests = ground.parts.tests
    times = [fold.held_out.times for fold in tests]
    with tempfile.TemporaryDirectory() as cache, WorkerPool(Resources(2, 0), ArrayCache(Path(cache)), _silent) as pool:
        for name, config in configs.items():
            if name == "searched" and config == configs["default"]:
                models[name] = models["default"]
                continue
            prepared = pool.prepare([fold.fit for fold in tests], config, ground.seed)
            models[name] = left_out_model(pool.fit(prepared, config, ground.seed, {}), times)
    counts = {*ground.parts.seen.kinds} == {Kind.COUNTS}
    metrics = ("energy_distance", *(["paper_jsd"] if counts else []), "sliced_w1", "nll")
    scores = evaluate(models, ground.parts, 1000, ground.seed, metrics)
    rows: list[common.Row] = []
    for metric in scores.metrics:
        difference = scores.difference("searched", "default", metric)
        rows.append(
            {
                "metric": metric,
                "default": f"{scores.mean('default', metric):.6g}",
                "searched": f"{scores.mean('searched', metric):.6g}",
                "low": "" if difference is None else f"{difference.low:.6g}",
                "high": "" if difference is None else f"{difference.high:.6g}",
                "floor": f"{scores.mean('floor', metric):.6g}" if scores.has("floor", metric) else "",
                "held_out_default": f"{study.records[0].score or float('nan'):.6g}",
                "held_out_best": f"{best.score:.6g}",
                "best": f"{best.number}: {best.params['dynamics.kind']}",
                "seconds": f"{wall:.0f}",
            }
        )
    return rows


def _silent(_text: str) -> None:
    """Say nothing."""


def _worth_text(rows: list[dict[str, str]], trials: int) -> str:
    text = common.head("The searched model beside the untuned default")
    text += (
        f"\n{trials} trials of `search_spaces/default.yaml`, two at a time, one seed; both models are then fitted "
        "to all seen snapshots and scored on fresh trajectories at unseen times; under `leave-one-out` to all but one, "
        "and scored there, each in turn, where there are seven times or more at such as the search has not held out, "
        "else at the very ones by which it chose. `difference` is the 95 % interval of "
        "the searched model's score less the default's: below zero, searching paid. `best` is the number of the "
        "winning trial and its kind; trial 0 is the default itself, and then both models are the same.\n"
    )
    columns = ["system", "metric", "default", "searched", "difference", "floor", "held-out score", "best", "search, s"]
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        lines = [
            [
                row["system"],
                row["metric"],
                f"{float(row['default']):.4f}",
                f"{float(row['searched']):.4f}",
                f"{float(row['low']):+.4f} to {float(row['high']):+.4f}" if row["low"] else "-",
                f"{float(row['floor']):.4f}" if row["floor"] else "-",
                f"{float(row['held_out_default']):.3f} → {float(row['held_out_best']):.3f}",
                row["best"],
                row["seconds"],
            ]
            for row in rows
            if row["protocol"] == protocol
        ]
        text += f"\n## {protocol}\n\n" + common.table(columns, lines)
    return text


@app.command()
def overhead(
    trials: Annotated[int, typer.Option(min=2, help="Long ones, in each search.")] = 6,
    out: common.Out = common.RESULTS,
) -> None:
    """Measure the wall time that is not the trials' own, and what a second worker brings."""
    long = {**SMALL, "training.collocation_steps": 290, "training.rollout_steps": 12}
    fixed = {"dynamics.kind": "ode", "dynamics.hidden": 32, "training.learning_rate": 3e-3}
    searched = {"training.pull_back": {"kind": "float", "low": 4.0, "high": 6.0}}
    spaces = {
        "about 30 s": Space.build({"parameters": searched, "fixed": {**long, **fixed}}, flat_keys()),
        "next to nothing": trivial_space(),
    }
    lines: list[list[str]] = []
    walls: dict[tuple[str, int], float] = {}
    with connected(None, Wanted(2), typer.echo):
        for name, space in spaces.items():
            ground = Ground.of(load_dataset("epidemic", 0), Protocol.INTERPOLATION, space)
            n = trials if name.startswith("about") else 40
            for cpus in (2, 1):
                options = NothingFirst(
                    trials=n,
                    time_budget=FOREVER,
                    sampler=SamplerName.RANDOM,
                    scheduler=SchedulerName.NONE,
                    stop_at_floor=False,
                    repeats=1,
                )
                _, study, wall = ground.run(options, 0, cpus)
                walls[name, cpus] = wall
                own = sum(record.seconds for record in study.all())
                extra = wall - own / cpus
                lines.append(
                    [name, str(cpus), str(n), f"{own / n:.2f}", f"{wall:.1f}", f"{extra:.1f}", f"{extra / wall:.1%}",
                     f"{extra / n:.2f}"]
                )  # fmt: skip
                typer.echo(lines[-1])
    text = common.head("Cost of orchestration")
    text += (
        "\nWall time of the trials of a search (start of Ray Tune to its end, without Ray's own start and the anchors) "
        "less the sum of the trials' own seconds divided by the trials at a time. It is spent on starting the first "
        "actors (imports of torch and Ray, about 6 s each), on handing actors over from trial to trial, on the last "
        "trials, beside which a worker idles, and on the study (an fsync for each line).\n\n"
    )
    columns = ["trials", "at a time", "number", "own s each", "wall s", "extra s", "share", "extra s a trial"]
    text += common.table(columns, lines)
    text += "\n" + "".join(
        f"Two workers against one, trials of {name}: {walls[name, 1] / walls[name, 2]:.2f} x as fast.\n\n"
        for name in spaces
    )
    (out / "search-overhead.md").write_text(text)
    typer.echo(text)


@app.command()
def thousand(
    trials: Annotated[int, typer.Option(min=200, help="How many.")] = 1000,
    out: common.Out = common.RESULTS,
) -> None:
    """Run very many very small trials, and watch time and memory."""
    memory: list[float] = []
    driver = psutil.Process()
    with connected(None, Wanted(2), typer.echo):
        ground = Ground.of(load_dataset("epidemic", 0), Protocol.INTERPOLATION, trivial_space())
        options = SearchOptions(trials=trials, time_budget=FOREVER, stop_at_floor=False, repeats=1)
        clock, _, _ = ground.run(options, 0, 2, lambda: memory.append(driver.memory_info().rss / 2**20))
    times = clock.ended
    gaps = [(later - earlier) for earlier, later in pairwise(times)]
    early, late = mean(gaps[20:120]), mean(gaps[-100:])
    text = common.head(f"{trials} trials in one search")
    text += "\nTrials of two steps each, two at a time, TPE and ASHA; the first 20 are left out (workers start).\n\n"
    text += common.table(
        ["", "seconds a trial", "driver's memory, MiB"],
        [
            ["trials 20 to 120", f"{early:.3f}", f"{memory[20]:.0f}"],
            ["the last 100", f"{late:.3f}", f"{memory[-1]:.0f}"],
            ["ratio, difference", f"{late / early:.2f}", f"{memory[-1] - memory[20]:+.0f}"],
        ],
    )
    text += f"\nAll {len(times)} ended; {times[-1] / 60:.1f} minutes in all.\n"
    (out / "search-thousand.md").write_text(text)
    typer.echo(text)


WANTED = {"reports": 100, "new trials": 10}  # a second, of a driver that serves hundreds of GPUs
MEASURED = ("score_error", "score_interior", "score_last", "loss/likelihood", "learning_rate", "epoch_seconds")


class Crowd:
    """Trials that run at the same time and report what a formula says, to a study on the disk."""

    def __init__(self, folder: Path, sampler: SamplerName, trials: int, epochs: int = 12) -> None:
        space = small_space()
        folder.mkdir(exist_ok=True)
        options = SearchOptions(trials=trials, time_budget=FOREVER, sampler=sampler, stop_at_floor=False)
        self.study = Study(folder, space, options, epochs, 3, 0, {"space": space.content()}, {})
        self.stopper = Stopper(self.study, options, 1.0, 0.0)
        self.epochs = epochs
        self.running: deque[tuple[TrialRecord, int]] = deque()
        self.forget()

    def ask(self) -> bool:
        """Have a new trial, as `StudySearcher` does."""
        began = _now()
        record = None if self.stopper.reason() else self.study.next_trial()
        self._spent("new trials", began)
        if record is not None:
            self.running.append((record, 1))
        return record is not None

    def report(self) -> None:
        """Let the next trial report and perhaps end, as `StudyCallback` does."""
        record, epoch = self.running.popleft()
        rate, number = float(record.params["training.learning_rate"]), record.number
        score = abs(log10(rate) + 2.5) + (2.0 + number % 97 / 97) / epoch
        began = _now()
        ends = self.study.report(number, epoch, {"score": score, **dict.fromkeys(MEASURED, score)}, float(epoch))
        self.stopper.overdue()
        self.stopper.stop_all()
        if ends or epoch == self.epochs:
            self.study.end(number, TrialState.PRUNED if ends else TrialState.FINISHED)
        else:
            self.running.append((record, epoch + 1))
        self._spent("reports", began)

    def forget(self) -> None:
        """Measure from here on."""
        self.took: dict[str, list[np.ndarray]] = {what: [] for what in WANTED}

    def _spent(self, what: str, began: np.ndarray) -> None:
        self.took[what].append(_now() - began)

    def milliseconds(self, what: str) -> tuple[float, float]:
        """Return the CPU time and the wall time of one, the median."""
        cpu, wall = 1000 * np.median(self.took[what], axis=0)
        return float(cpu), float(wall)


def _now() -> np.ndarray:
    """Return CPU time and wall time: others use this machine too, and only the first is ours alone."""
    return np.array([time.process_time(), time.perf_counter()])


@app.command()
def driver(
    sizes: Annotated[str, typer.Option(help="Trials before those that are measured.")] = "100,1000,5000,10000",
    running: Annotated[int, typer.Option(min=1, help="Trials at a time.")] = 200,
    asks: Annotated[int, typer.Option(min=1, help="New trials that are measured, and ten reports for each.")] = 100,
    out: common.Out = common.RESULTS,
) -> None:
    """Measure what a report and a new trial cost the driver: they limit how many GPUs one search can keep busy."""
    lines: list[list[str]] = []
    for size in map(int, sizes.split(",")):
        with tempfile.TemporaryDirectory() as name:
            filling = Crowd(Path(name, "study"), SamplerName.RANDOM, size)
            while filling.ask() or filling.running:
                while len(filling.running) >= running or (filling.running and len(filling.study.records) == size):
                    filling.report()
            filling.study.close()
            del filling
            began = time.perf_counter()
            crowd = Crowd(Path(name, "study"), SamplerName.TPE, 10 * size)
            opened = time.perf_counter() - began
            for _ in range(running):
                crowd.ask()
            crowd.forget()
            for _ in range(asks):
                crowd.ask()
                for _ in range(10):
                    crowd.report()
            crowd.study.close()
            memory = psutil.Process().memory_info().rss / 2**20
            costs = [f"{ms:.2f}" for what in WANTED for ms in crowd.milliseconds(what)]
            lines.append([str(size), *costs, f"{opened:.1f}", f"{memory:.0f}"])
            typer.echo(lines[-1])
    first, last = lines[0], lines[-1]
    text = common.head("What a report and a new trial cost the driver")
    text += (
        f"\nA study on the disk with so many trials of up to 12 epochs, as a search keeps it; then {asks} new trials "
        f"(TPE) and ten reports for each (ASHA, budgets), {running} trials at a time. No Ray and no MLflow. Medians; "
        "others used the machine meanwhile, so that wall times are too long.\n\n"
    )
    text += common.table(
        ["trials", "report, CPU ms", "wall ms", "new trial, CPU ms", "wall ms", "open again, s", "memory, MiB"], lines
    )
    grown = [float(last[column]) / float(first[column]) for column in (1, 3)]
    rates = [1000 / float(last[column]) for column in (2, 4)]
    text += (
        f"\nFrom {first[0]} to {last[0]} trials a report costs {grown[0]:.2f} x as much, a new trial {grown[1]:.2f} x. "
        f"At {last[0]} that is {rates[0]:.0f} reports or {rates[1]:.0f} new trials a second by wall time; wanted are "
        f"{WANTED['reports']} and {WANTED['new trials']}.\n"
    )
    (out / "search-driver.md").write_text(text)
    typer.echo(text)


if __name__ == "__main__":
    app()
