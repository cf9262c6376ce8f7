"""What the benchmarks share: variants, tasks on Ray, a CSV that grows task by task, and Markdown tables."""

import csv
import io
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

import weightflow
from weightflow.anchors import ArrayCache
from weightflow.data import Snapshots
from weightflow.errors import InputError, WeightFlowError
from weightflow.evaluation import Sampler, Scores
from weightflow.experiment import PIECES, ExperimentConfig, Prepared, Trial, needs_teacher, prepare
from weightflow.presets import preset
from weightflow.search.cluster import connected
from weightflow.tracking.facts import git_commit

RESULTS = Path(__file__).resolve().parent / "results"
FLOOR = "floor"
SECONDS = ("prepare_cpu_seconds", "prepare_wall_seconds", "train_cpu_seconds", "train_wall_seconds")
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {  # name: (preset, what is changed)
    "default": ("default", {}),
    "ode_time": ("default", {"dynamics.time": True}),
    "cde": ("default", {"dynamics.kind": "cde"}),
    "direct": ("default", {"dynamics.kind": "direct"}),
    "paper": ("paper", {}),
}
QUICK: dict[str, Any] = {
    "anchors.base_steps": 60,
    "anchors.steps": 40,
    "teacher.steps": 60,
    "training.epochs": 3,
    "training.collocation_steps": 10,
    "training.rollout_steps": 2,
}
QUICK_DRAWS = 200


@dataclass(frozen=True)
class Row:
    """One line of the CSV: what a method scored by a metric, or how long it took.

    Attributes:
        mean: over all scored times.
        after_first: over those after the second seen time; nan where there are none, as for the next.
        first_interval: over those up to the second seen time.
        interval_low: lower end of the 95 % interval of `mean`, of the samples that were drawn; nan where not known.
        interval_high: its upper end.
        seconds: CPU seconds of preparing and training; nan for what is not trained.
        note: of the floor: which samples were compared.
        commit: of the code that computed it.
    """

    system: str
    protocol: str
    seed: int
    method: str
    metric: str
    mean: float
    after_first: float = np.nan
    first_interval: float = np.nan
    interval_low: float = np.nan
    interval_high: float = np.nan
    seconds: float = np.nan
    note: str = ""
    commit: str = ""


@dataclass(frozen=True)
class Task:
    """All methods on one data set, protocol and seed.

    Attributes:
        source: a built-in name or a path.
        variants: names in `VARIANTS`, those that are still missing.
        done: methods that an earlier run has scored.
    """

    system: str
    protocol: str
    seed: int
    source: str
    variants: tuple[str, ...]
    quick: bool
    commit: str
    done: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.system}, {self.protocol}, seed {self.seed}"

    def config(self, variant: str) -> ExperimentConfig:
        """Return the configuration of a variant."""
        base, changes = VARIANTS[variant]
        return preset(base, **{**changes, **(QUICK if self.quick else {})})


@dataclass
class Cost:
    """CPU and wall seconds, added up over `with` blocks."""

    cpu: float = 0.0
    wall: float = 0.0
    _began: tuple[float, float] = field(default=(0.0, 0.0), repr=False)

    def __enter__(self) -> "Cost":
        self._began = (time.process_time(), time.perf_counter())
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu += time.process_time() - self._began[0]
        self.wall += time.perf_counter() - self._began[1]


@dataclass
class Fits:
    """Models of some variants on some snapshots, with what they cost; each preparation is made once and shared.

    A variant's cost of preparing is that of the preparation that it shares.
    """

    task: Task
    costs: dict[str, tuple[Cost, Cost]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def fit(self, snapshots: Snapshots) -> tuple[dict[str, Sampler], Prepared]:
        """Return the models by variant, and the preparation whose bridge the baselines take."""
        made: dict[str, tuple[Prepared, Cost]] = {}
        models: dict[str, Sampler] = {}
        with TemporaryDirectory() as folder:
            cache = ArrayCache(Path(folder))
            for variant in self.task.variants:
                try:
                    models[variant] = self._fit_one(variant, snapshots, made, cache)
                except WeightFlowError as error:
                    self.failed[variant] = str(error)
            prepared = next(iter(made.values()))[0] if made else self._for_baselines(snapshots, cache)
        return models, prepared

    def _fit_one(
        self, variant: str, snapshots: Snapshots, made: dict[str, tuple[Prepared, Cost]], cache: ArrayCache
    ) -> Sampler:
        config, seed = self.task.config(variant), self.task.seed
        key = preparation_key(config)
        if key not in made:
            with Cost() as cost:
                prepared = prepare(snapshots, config, seed, cache=cache)
            made[key] = prepared, cost
        prepared, shared = made[key]
        preparing, training = self.costs.setdefault(variant, (Cost(), Cost()))
        preparing.cpu += shared.cpu
        preparing.wall += shared.wall
        with training:
            trial = Trial(prepared, config, seed)
            for _ in trial.epochs():
                pass
        return trial.model()

    def _for_baselines(self, snapshots: Snapshots, cache: ArrayCache) -> Prepared:
        return prepare(snapshots, self.task.config("default"), self.task.seed, cache=cache)

    def cost_rows(self) -> Iterator[Row]:
        """Yield a row for each of `SECONDS` and each variant that was fitted."""
        task = self.task
        for variant, (preparing, training) in self.costs.items():
            if variant in self.failed:
                continue
            values = (preparing.cpu, preparing.wall, training.cpu, training.wall)
            for name, value in zip(SECONDS, values, strict=True):
                yield Row(task.system, task.protocol, task.seed, variant, name, value, commit=task.commit)

    def seconds(self, variant: str) -> float:
        """Return the CPU seconds of preparing and training; nan for what was not fitted."""
        return sum(cost.cpu for cost in self.costs[variant]) if variant in self.costs else np.nan


def preparation_key(config: ExperimentConfig) -> str:
    """Return equal texts for configurations that can share a preparation."""
    groups = sorted({group for needed in PIECES.values() for group in needed})
    return repr([getattr(config, group) for group in groups] + [needs_teacher(config)])


def score_rows(fits: Fits, scores: Scores, second_seen: float | None = None) -> list[Row]:
    """Return the rows of all methods that are not there yet, costs included."""
    task = fits.task
    rows = list(fits.cost_rows())
    for method, by_metric in scores.methods.items():
        if method in task.done:
            continue
        for metric in by_metric:
            interval = scores.interval(method, metric)
            low, high = (np.nan, np.nan) if interval is None else (interval.low, interval.high)
            rows.append(
                Row(
                    task.system,
                    task.protocol,
                    task.seed,
                    method,
                    metric,
                    scores.mean(method, metric),
                    _mean(scores, method, metric, after=second_seen),
                    _mean(scores, method, metric, until=second_seen),
                    low,
                    high,
                    fits.seconds(method),
                    scores.floor if method == FLOOR else "",
                    task.commit,
                )
            )
    return rows


def _mean(scores: Scores, method: str, metric: str, after: float | None = None, until: float | None = None) -> float:
    low, high = (-np.inf if after is None else after), (np.inf if until is None else until)
    known = (after is not None or until is not None) and any(low < time <= high for time in scores.times)
    return scores.mean(method, metric, after, until) if known else np.nan


class Ledger:
    """The CSV: all rows of a task are appended at once, so that whatever ends a run loses no finished task."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")

    def append(self, rows: Sequence[Row]) -> None:
        """Add the rows of one task."""
        text = io.StringIO()
        csv.DictWriter(text, COLUMNS, lineterminator="\n").writerows(map(asdict, rows))
        with self.path.open("ab", buffering=0) as file:
            file.write(text.getvalue().encode())
            os.fsync(file.fileno())

    def read(self) -> pd.DataFrame:
        """Return all rows.

        Raises:
            InputError: the file has other columns.
        """
        table = pd.read_csv(self.path, dtype={"note": str, "commit": str}, keep_default_na=True)
        if tuple(table.columns) != COLUMNS:
            raise InputError(f"`{self.path}` has other columns than this benchmark writes; move it away.")
        return table

    def methods(self, system: str, protocol: str, seed: int) -> frozenset[str]:
        """Return the methods that are there already."""
        table = self.read()
        rows = (table["system"] == system) & (table["protocol"] == protocol) & (table["seed"] == seed)
        return frozenset(table.loc[rows, "method"])


COLUMNS = tuple(one.name for one in fields(Row))
Done = tuple[list[Row], dict[str, str]]  # rows, and why variants failed


def run_tasks(tasks: Sequence[Task], work: Callable[[Task], Done], ledger: Ledger, cpus: int | None) -> int:
    """Run the tasks on Ray, one CPU each; return how many tasks or variants failed, each of which was printed.

    Raises:
        InputError: Ray has fewer CPUs than `cpus`.
    """
    if not tasks:
        say(f"nothing to compute: {ledger.path.name} holds it all")
        return 0
    import ray  # noqa: PLC0415 - reads its environment when it is imported, and weightflow.search.cluster sets that

    failures, began = 0, time.perf_counter()
    with connected(None, cpus, None) as resources:
        say(f"{len(tasks)} tasks, {resources.cpus} at a time")
        remote = ray.remote(num_cpus=1, max_retries=0)(work)
        waiting = {remote.remote(task): task for task in tasks}
        while waiting:
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            task = waiting.pop(ready)
            done = len(tasks) - len(waiting)
            clock = f"[{done}/{len(tasks)}, {time.perf_counter() - began:.0f} s]"
            try:
                rows, failed = ray.get(ready)
            except ray.exceptions.RayError as error:
                failures += 1
                say(f"{clock} {task} FAILED: {str(error).strip().splitlines()[-1]}")
                continue
            ledger.append(rows)
            failures += len(failed)
            say(f"{clock} {task}" + "".join(f"; {variant} FAILED: {why}" for variant, why in failed.items()))
    return failures


def chosen_of(option: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Read names separated by commas.

    Raises:
        InputError: one is not known.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            raise InputError(f"`--{option}` holds `{name}`, which is not known; known are {', '.join(known)}.")
    return names


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def header(title: str, table: pd.DataFrame, remarks: Sequence[str]) -> list[str]:
    """Return the first lines of a Markdown file: what was run, with which code, on which machine."""
    command = " ".join(Path(word).name if "/" in word else word for word in sys.argv[1:])
    commits = ", ".join(sorted(set(table["commit"].dropna()))) or "unknown"
    return [
        f"# {title}",
        "",
        f"- command: `python benchmarks/{Path(sys.argv[0]).name}{' ' + command if command else ''}`",
        f"- commit: {commits}",
        f"- machine: {cpu_model()}, {os.cpu_count()} cores; {platform.system()}, Python {platform.python_version()}",
        *(f"- {remark}" for remark in remarks),
        "",
    ]


def cpu_model() -> str:
    """Return what the processor calls itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def commit() -> str:
    """Return the commit of the package that is measured."""
    return git_commit(Path(weightflow.__file__).parent)


def grid(
    table: pd.DataFrame, metric: str, column: str = "mean", extra: Mapping[str, Mapping[str, float]] | None = None
) -> list[str]:
    """Return a Markdown table of one metric: methods down, systems across, mean ± sd over seeds.

    Args:
        table: rows of one protocol.
        metric: which one.
        column: which of the three means.
        extra: further methods -> system -> value, such as published ones.
    """
    rows = table[table["metric"] == metric]
    systems = list(dict.fromkeys(rows["system"]))
    lines = ["| | " + " | ".join(systems) + " |", "|---" * (len(systems) + 1) + "|"]
    for method in _ordered(rows["method"]):
        cells = [rows.loc[(rows["method"] == method) & (rows["system"] == one), column] for one in systems]
        lines.append(f"| {method} | " + " | ".join(map(_cell, cells)) + " |")
    for method, by_system in (extra or {}).items():
        cells = [f"{by_system[one]:.3g}" if one in by_system else "" for one in systems]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def floor_ratios(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the rows with `column` divided by the floor's in the same system and seed; metrics without are left out."""
    keys = ["system", "protocol", "seed", "metric"]
    floors = table.loc[table["method"] == FLOOR, [*keys, column]]
    joined = table.merge(floors, on=keys, suffixes=("", "_floor"))
    return joined.assign(**{column: joined[column] / joined[f"{column}_floor"]})


def costs(table: pd.DataFrame) -> list[str]:
    """Return a Markdown table of seconds by variant and system."""
    lines: list[str] = []
    for name in SECONDS:
        lines += [f"### {name.replace('_', ' ')}", "", *grid(table, name)]
    return lines


def _ordered(methods: pd.Series) -> list[str]:
    """Variants first, then baselines, the floor last."""
    found = list(dict.fromkeys(methods))
    others = [one for one in found if one not in VARIANTS and one != FLOOR]
    return [one for one in VARIANTS if one in found] + others + [one for one in found if one == FLOOR]


def _cell(values: pd.Series) -> str:
    values = values.dropna()
    if values.empty:
        return ""
    spread = f" ± {values.std(ddof=1):.2g}" if len(values) > 1 else ""
    return f"{values.mean():.3g}{spread}"
