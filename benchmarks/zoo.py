"""The zoo: default, variants, alternatives and floor on all built-in systems and on two equations.

Data are simulated first, on a machine that has the simulator; what scores them needs neither that, nor Ray or MLflow.

python benchmarks/zoo.py simulate --data zoo-data --seeds 3 --cpus 2
python benchmarks/zoo.py score --data zoo-data --seeds 3 --cpus 16
python benchmarks/zoo.py score --data zoo-data --quick --systems outbreak,noisy_lotka_volterra
python benchmarks/zoo.py tables
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import common
import torch
import typer
import zoo_data
from table1 import chosen_variants, configuration, fit_variants
from zoo_tables import draw, write_markdown

from weightflow.cli.running import run
from weightflow.data import Fold, Split
from weightflow.errors import InputError
from weightflow.evaluation import Nearest, Scores, baselines, evaluate
from weightflow.evaluation.scores import FLOOR, SHRUNK
from weightflow.metrics import METRICS

MODEL = "default"
TRUTH = "truth"  # scored as any method: the floor, of several draws
DRAWS = 1000
TRANSPORT = METRICS["joint_w2"].with_points(zoo_data.CELLS)  # exact, hence of few samples
SCORED = ("energy_distance", "sliced_w1", TRANSPORT)
LEFT_OUT = ("default", "direct")  # variants that are fitted once more for each time that is left out
PROTOCOLS = ("interpolation", "forecast", "leave-one-out")


def score_one(
    key: str, system: str, protocol: str, seed: int, variants: list[str], quick: bool, data: str
) -> list[common.Row]:
    """Fit all variants to one system as one protocol says, and score them where it says."""
    torch.set_num_threads(1)
    observed = zoo_data.read(Path(data), system, seed)
    names = [name for name in variants if name in LEFT_OUT] if protocol == "leave-one-out" else variants
    scores: dict[str, list[Scores]] = {}
    seconds: dict[str, float] = dict.fromkeys(names, 0.0)
    for fitted, places in _fits(observed, protocol):
        visible = observed.training.subset(fitted)
        models, first, spent = fit_variants(visible, {name: configuration(name, quick) for name in names}, seed)
        for name, cpu in spent.items():
            seconds[name] += cpu
        methods = {**models, **baselines(visible, first.bridge), TRUTH: Nearest(observed.reference)}
        for where, indices in places.items():
            parts = Split(protocol, visible, (), (Fold(visible, observed.fresh.subset(indices)),))
            metrics = (*SCORED, "paper_jsd") if observed.counts else SCORED
            scores.setdefault(where, []).append(evaluate(methods, parts, DRAWS, seed, metrics))
    place = {"key": key, "system": system, "protocol": protocol, "seed": seed}
    return [
        {**place, "where": where, **row}
        for where, each in scores.items()
        for row in _rows(each[0] if len(each) == 1 else Scores.joined(each), seconds)
    ]


def _fits(observed: zoo_data.Observed, protocol: str) -> list[tuple[list[int], dict[str, list[int]]]]:
    """Return, for each fit of a protocol, the times that it sees, and those where it is scored, by their name."""
    seen = list(observed.seen)
    if protocol == "interpolation":
        return [(seen, {"fitted": seen[1:], "between": observed.between})]  # at the start all samples are one state
    if protocol == "forecast":
        return [(seen[: observed.known], {"beyond": observed.beyond, "ahead": observed.beyond[-1:]})]
    n = len(seen)
    each = [(seen[i], "left out") for i in (n // 4, n // 2, 3 * n // 4)] + [(seen[-1], "last left out")]
    return [([i for i in seen if i != out], {where: [out]}) for out, where in each]


def _rows(scores: Scores, seconds: Mapping[str, float]) -> list[common.Row]:
    """Return one row for each method and metric; `ahead` is by how much the default's score is lower."""
    rows: list[common.Row] = []
    for method in scores.methods:
        if method in {FLOOR, SHRUNK}:
            continue  # made of halves of the fresh samples
        for metric in scores.methods[method]:
            lead = None if method == MODEL else scores.difference(method, MODEL, metric)
            ahead = scores.mean(method, metric) - scores.mean(MODEL, metric)
            rows.append(
                {
                    "method": FLOOR if method == TRUTH else method,
                    "metric": metric,
                    "mean": f"{scores.mean(method, metric):.6g}",
                    "ahead": f"{ahead:.6g}",
                    "ahead_low": "" if lead is None else f"{lead.low:.6g}",
                    "ahead_high": "" if lead is None else f"{lead.high:.6g}",
                    "cpu_seconds": round(seconds.get(method, 0.0), 1),
                }
            )
    return rows


def simulate_one(key: str, system: str, seed: int, data: str) -> list[common.Row]:
    """Simulate one system."""
    path = zoo_data.write(Path(data), system, seed)
    return [{"key": key, "file": path.name, "megabytes": round(path.stat().st_size / 1e6, 2)}]


ALL = ",".join(zoo_data.SYSTEMS)
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
Data = Annotated[Path, typer.Option(help="Folder of the simulated data.")]
Systems = Annotated[str, typer.Option(help=f"Comma-separated, of {', '.join(zoo_data.SYSTEMS)}.")]
Seeds = Annotated[int, typer.Option(help="How many, from 0 on.")]
Cpus = Annotated[int, typer.Option(help="Tasks at a time.")]


@app.command()
def simulate(data: Data, systems: Systems = ALL, seeds: Seeds = 3, cpus: Cpus = 2) -> None:
    """Simulate what is fitted and scored; what is there already is kept."""
    tasks = [
        {"key": f"{system} {seed}", "system": system, "seed": seed, "data": str(data.resolve())}
        for seed in range(seeds)
        for system in _chosen(systems.split(","), zoo_data.SYSTEMS, "--systems")
    ]
    common.run_tasks(simulate_one, tasks, data / "files.csv", cpus)


@app.command()
def score(
    data: Data,
    systems: Systems = ALL,
    protocols: Annotated[str, typer.Option(help="Comma-separated.")] = "interpolation,forecast,leave-one-out",
    variants: Annotated[str, typer.Option(help="Comma-separated, the default first.")] = "default,direct,cde",
    seeds: Seeds = 3,
    quick: Annotated[bool, typer.Option("--quick", help="One seed, short training: to see that it runs.")] = False,
    cpus: Cpus = 2,
    out: common.Out = common.RESULTS,
) -> None:
    """Fit and score, and write a CSV file, a Markdown table and a picture."""
    named = chosen_variants(variants)
    if MODEL not in named:
        raise InputError(f"`--variants {variants}` lacks `{MODEL}`, which all others are compared with; add it.")
    chosen = _chosen(systems.split(","), zoo_data.SYSTEMS, "--systems")
    number = 1 if quick else seeds
    for system in chosen:
        for seed in range(number):
            zoo_data.check(data, system, seed)  # what is missing is told before the work
    tasks = [
        {
            "key": f"{system} {protocol} {seed} {variants}",
            "system": system,
            "protocol": protocol,
            "seed": seed,
            "variants": named,
            "quick": quick,
            "data": str(data.resolve()),
        }
        for seed in range(number)
        for protocol in reversed(_chosen(protocols.split(","), PROTOCOLS, "--protocols"))  # long tasks first
        for system in chosen
    ]
    stem = "zoo-quick" if quick else "zoo"
    common.run_tasks(score_one, tasks, out / f"{stem}.csv", cpus)
    _write(out, stem)


@app.command()
def tables(
    out: common.Out = common.RESULTS,
    name: Annotated[str, typer.Option(help="Name of the files.")] = "zoo",
) -> None:
    """Write table and picture anew, from the rows that there are."""
    _write(out, name)


def _write(out: Path, stem: str) -> None:
    rows = out / f"{stem}.csv"
    found = common.read_rows(rows)
    if not found:
        raise InputError(f"{rows} holds no row: no task has ended well; see the messages above, or run `score`.")
    draw(found, out / f"{stem}.png")
    write_markdown(found, out / f"{stem}.md", f"{stem}.png")
    typer.echo(f"{rows}\n{out / stem}.md\n{out / stem}.png")


def _chosen(names: Sequence[str], known: Sequence[str], option: str) -> list[str]:
    for name in names:
        if name not in known:
            raise InputError(f"`{option}` holds `{name}`, which is not known; known are {', '.join(known)}.")
    return list(names)


if __name__ == "__main__":
    run(app)
