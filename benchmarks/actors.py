"""How many trials one driver can serve, with real Ray actors that only wait and report.

python benchmarks/actors.py many     # 10,000 trials, 200 at a time: trials and reports a second, memory of the driver
python benchmarks/actors.py nodes    # 1, 2, 4 and 8 node processes: parallel efficiency of trials that sleep
"""

import os
import secrets
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import log10
from pathlib import Path
from typing import Annotated, Any, cast

import common
import psutil
import typer
from ray import tune
from ray.cloudpickle import register_pickle_by_value
from ray.cluster_utils import Cluster

from weightflow.experiment import flat_keys
from weightflow.search.cluster.connection import connected
from weightflow.search.cluster.resources import Resources, Wanted
from weightflow.search.space.space import Space
from weightflow.search.study.options import SearchOptions
from weightflow.search.study.study import Study
from weightflow.search.trials import tuner
from weightflow.search.trials.depot import Depot, depot
from weightflow.search.trials.stopper import Stopper
from weightflow.search.trials.trainable import Task
from weightflow.trials import SamplerName, SchedulerName, TrialRecord

EPOCHS = 10
FOREVER = 1e9
MIB = 2**20
MEASURED = ("score_error", "score_interior", "score_last", "loss/likelihood", "learning_rate", "epoch_seconds")
SPACE: dict[str, Any] = {
    "dynamics.kind": {"kind": "choice", "values": ["ode", "cde"]},
    "dynamics.hidden": {"kind": "choice", "values": [8, 16, 32]},
    "training.learning_rate": {"kind": "float", "low": 1e-4, "high": 3e-2, "log": True},
    "training.pull_back": {"kind": "float", "low": 0.0, "high": 20.0},
}
WANTED = {"reports": 100.0, "trials": 10.0}  # a second

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclass
class Waiting:
    """What trials share; their processes get nothing of it that would have them import this package, and torch.

    Attributes:
        wait: seconds between two reports.
        gate: a file that is there once all processes have started. A trial that ends hands its process to one that
            waits for its own, which is ended in the midst of its start: where trials are shorter than starts, the crowd
            would never be there.
        depot: of a search.
    """

    wait: float
    gate: Path
    depot: Depot

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, ((self.wait, str(self.gate)),)


def waiting_trial(asked: dict[str, Any], task: Any) -> None:
    """Wait and report, as often as a trial does."""
    number, began, (wait, gate) = asked["number"], time.perf_counter(), task
    if asked["makes"]:
        tune.report({"number": number, "prepared": True})
    for epoch in range(1, EPOCHS + 1):
        time.sleep(wait)  # these trials do nothing else: it stands for training, which would take the driver's CPUs
        while epoch > 1 and not Path(gate).exists():
            time.sleep(1.0)  # a file tells nobody that it is there; an actor that told would be one more thing measured
        score = abs(log10(asked["params"]["training.learning_rate"]) + 2.5) + (2.0 + number % 97 / 97) / epoch
        seconds = time.perf_counter() - began
        tune.report(
            {"number": number, "epoch": epoch, "score": score, "seconds": seconds, **dict.fromkeys(MEASURED, score)}
        )


@dataclass
class Clock:
    """Watches trials: when each reported and ended, and how the driver's memory grows.

    Attributes:
        running: trials at a time.
        gate: made when all processes have started.
        full: when so many had reported and not yet ended, so that all processes had started.
    """

    running: int
    gate: Path
    began: float = field(default_factory=time.monotonic)
    full: float = float("inf")
    active: set[int] = field(default_factory=set)
    ended: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    reports: list[float] = field(default_factory=list)

    def start_trial(self, record: TrialRecord) -> None:
        """Its process may be long in coming."""

    def log_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        self.reports.append(time.monotonic())
        self.active.add(record.number)
        if len(self.active) == self.running and not self.gate.exists():
            self.gate.touch()
            self.full = self.reports[-1]

    def end_trial(self, record: TrialRecord) -> None:
        self.ended.append(time.monotonic())
        self.active.discard(record.number)
        self.memory.append(psutil.Process().memory_info().rss / MIB)
        if len(self.ended) % 500 == 0:
            passed = self.ended[-1] - self.ended[-500]
            typer.echo(f"{len(self.ended)} trials, {500 / passed:.1f} a second, {self.memory[-1]:.0f} MiB")


def run(trials: int, wait: float, resources: Resources, sampler: SamplerName) -> Clock:
    """Run trials of ten reports, `wait` seconds apart, to their end."""
    register_pickle_by_value(tuner)  # or else each actor would import it, and torch
    tuner.train_trial = waiting_trial
    options = SearchOptions(
        trials=trials,
        time_budget=FOREVER,
        sampler=sampler,
        scheduler=SchedulerName.NONE,
        stop_at_floor=False,
        repeats=1,
    )
    space = Space.build({"parameters": SPACE, "fixed": {}}, flat_keys())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clock = Clock(resources.concurrent_trials, folder / "gate")
        study = Study(folder, space, options, EPOCHS, EPOCHS, 0, {"space": space.content()}, {})
        study.callbacks.append(clock)
        with depot(folder, folder) as kept:
            stopper, task = Stopper(study, options, 1.0, 0.0), Waiting(wait, clock.gate, kept)
            tuner.run_trials(study, stopper, resources, [], cast(Task, task), folder / "tune", typer.echo)
        study.close()
    return clock


@contextmanager
def cluster(cpus: Sequence[int]) -> Generator[Resources, None, None]:
    """Start node processes that say they have so many CPUs, and join them."""
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    started = Cluster(True, head_node_args={"num_cpus": cpus[0], "include_dashboard": False})
    try:
        for more in cpus[1:]:
            started.add_node(num_cpus=more)
        with connected(started.address, Wanted(cpus=sum(cpus)), typer.echo) as resources:
            yield resources
    finally:
        started.shutdown()


@app.command()
def many(
    trials: Annotated[int, typer.Option(min=10, help="How many.")] = 10_000,
    running: Annotated[int, typer.Option(min=1, help="At a time.")] = 200,
    wait: Annotated[float, typer.Option(min=0.001, help="Seconds between two reports of a trial.")] = 1.0,
    sampler: Annotated[SamplerName, typer.Option(help="Of configurations.")] = SamplerName.TPE,
    out: common.Out = common.RESULTS,
) -> None:
    """Run very many trials that only report, and watch rates and memory."""
    with cluster([running]) as resources:
        driver = psutil.Process().cpu_times()
        clock = run(trials, wait, resources, sampler)
        spent = psutil.Process().cpu_times()
    first = next(i for i, at in enumerate(clock.ended) if at > clock.full)
    rest = len(clock.ended) - running  # and from here on some have nothing left to do
    third = max((rest - first) // 3, 1)
    lines = []
    for label, start in (("the first third", first), ("the last third", rest - third)):
        began, until = clock.ended[start], clock.ended[start + third - 1]
        reports = sum(began < at <= until for at in clock.reports)
        rates = [f"{(third - 1) / (until - began):.1f}", f"{reports / (until - began):.0f}"]
        lines.append([label, *rates, f"{clock.memory[start]:.0f}", f"{clock.memory[start + third - 1]:.0f}"])
    cpu = spent.user + spent.system - driver.user - driver.system
    text = common.head(f"{trials} trials of real actors, {running} at a time")
    text += (
        f"\nTrials of {EPOCHS} reports, {wait:g} s apart, sampler {sampler.value}, no early stopping, a real study on "
        "the disk and a real Ray; the actors only wait and report. Actors, Ray and driver share the machine. Left out: "
        "the start of the workers, and the end, where some have nothing to do.\n\n"
    )
    text += common.table(["", "trials a second", "reports a second", "driver, MiB, from", "to"], lines)
    text += (
        f"\nAll {len(clock.ended)} trials ended, with {len(clock.reports)} reports, in "
        f"{(clock.ended[-1] - clock.began) / 60:.1f} minutes; the driver took {cpu:.0f} CPU s, "
        f"{1000 * cpu / len(clock.ended):.0f} ms a trial. Wanted are {WANTED['trials']:g} trials and "
        f"{WANTED['reports']:g} reports a second.\n"
    )
    (out / "actors-many.md").write_text(text)
    typer.echo(text)


def efficiency(ended: Sequence[float], slept: float, slots: int) -> tuple[float, float]:
    """Return for how long all processes had something to do, and the share of that which trials slept.

    Args:
        ended: when trials did.
        slept: by each of them, in seconds.
        slots: trials at a time.
    """
    began, until = ended[slots - 1] - slept, ended[-slots]  # the last process starts; the first one finds no more
    inside = sum(max(min(end, until) - max(end - slept, began), 0.0) for end in ended)
    return until - began, inside / ((until - began) * slots)


@app.command()
def nodes(
    counts: Annotated[str, typer.Option(help="Numbers of node processes.")] = "1,2,4,8",
    cpus: Annotated[int, typer.Option(min=1, help="That each says it has: its trials at a time.")] = 2,
    rounds: Annotated[int, typer.Option(min=2, help="Trials on each of them, one after the other.")] = 6,
    wait: Annotated[float, typer.Option(min=0.001, help="Seconds between two reports of a trial.")] = 2.0,
    out: common.Out = common.RESULTS,
) -> None:
    """Run trials that sleep on clusters of several node processes."""
    lines = []
    for count in map(int, counts.split(",")):
        slots = count * cpus
        with cluster([cpus] * count) as resources:
            clock = run(slots * rounds, wait, resources, SamplerName.RANDOM)
        took, share = efficiency(clock.ended, EPOCHS * wait, slots)
        lines.append([str(count), str(slots), str(slots * rounds), f"{took:.1f}", f"{100 * share:.1f}%"])
        typer.echo(lines[-1])
    text = common.head("Parallel efficiency over node processes")
    text += (
        f"\nTrials that sleep {EPOCHS} x {wait:g} s and report after each; nodes of {cpus} declared CPUs, all on this "
        f"machine. Efficiency: the time slept over wall time times trials at a time, from when the last process has "
        "started to when the first one finds nothing more to do.\n\n"
    )
    text += common.table(["nodes", "trials at a time", "trials", "wall s", "efficiency"], lines)
    (out / "actors-nodes.md").write_text(text)
    typer.echo(text)


if __name__ == "__main__":
    app()
