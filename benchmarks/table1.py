"""The paper's Table 1 and more: five systems, protocols, variants and seeds, beside baselines and the sampling floor.

python benchmarks/table1.py --quick
python benchmarks/table1.py --protocols interpolation,forecast --seeds 3
python benchmarks/table1.py --systems epidemic --protocols paper --epidemic-file trajectories.npy
python benchmarks/table1.py --systems epidemic,toggle_switch --variants default,graph,transformer --name attention
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import common
import torch
import typer

from weightflow.cli.running import run
from weightflow.data import Protocol, Snapshots, read, split
from weightflow.errors import InputError
from weightflow.evaluation import Scores, baselines, evaluate
from weightflow.experiment import ExperimentConfig, Prepared, Trial, line_model, prepare, preset
from weightflow.model import WeightFlow
from weightflow.systems import PAPER, load_dataset

METRICS = ("paper_w1", "paper_jsd", "species_w1", "sliced_w1", "nll")
VARIANTS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "default": ("default", {}),
    "direct": ("default", {"dynamics": {"kind": "direct"}}),
    "autonomous": ("default", {"dynamics": {"time": False}}),
    "cde": ("default", {"dynamics": {"kind": "cde"}}),
    # 60 steps take about the time of the default's training; the preset itself takes ten times as many
    "paper": ("paper", {"training": {"rollout_steps": 5}}),
    # one part exchanged: attention, backbone, order of the species, projection of the control path
    "graph": ("default", {"dynamics": {"attention": "graph"}}),
    "transformer": ("default", {"backbone": {"kind": "transformer"}}),
    "order_random": ("default", {"backbone": {"order": "random"}}),
    "order_variance": ("default", {"backbone": {"order": "variance"}}),
    "cde_ae": ("default", {"dynamics": {"kind": "cde", "projection": "autoencoder"}}),
    "cde_mds": ("default", {"dynamics": {"kind": "cde", "projection": "mds"}}),
    "cde_isomap": ("default", {"dynamics": {"kind": "cde", "projection": "isomap"}}),
}
WHOLE = "default,direct,autonomous,cde,paper"
QUICK: dict[str, dict[str, Any]] = {
    "anchors": {"base_steps": 100, "steps": 50, "rounds": 1},
    "teacher": {"steps": 150, "rounds": 1},
    "training": {"epochs": 3, "collocation_steps": 40, "rollout_steps": 3, "rounds": 1},
}
# Table 1 of Li et al. 2026, W and JSD of each system in this order, there ten times as large
PUBLISHED_SYSTEMS = ("epidemic", "toggle_switch", "cascade1", "cascade2", "ecological_evolution")
PUBLISHED = {
    "Latent SDE": (0.314, 0.422, 0.234, 0.127, 0.304, 0.085, 0.359, 0.102, 0.804, 0.352),
    "Neural MJP": (0.188, 0.161, 0.213, 0.094, 0.169, 0.030, 0.168, 0.036, 0.168, 0.051),
    "T-IB": (0.262, 0.352, 0.159, 0.088, 0.166, 0.032, 0.216, 0.040, 0.217, 0.056),
    "NLSB": (0.327, 0.165, 0.297, 0.132, 0.150, 0.039, 0.183, 0.048, 0.309, 0.280),
    "DeepRUOT": (0.178, 0.108, 0.137, 0.077, 0.052, 0.007, 0.051, 0.008, 0.327, 0.247),
    "WeightFlow": (0.110, 0.034, 0.082, 0.033, 0.048, 0.004, 0.049, 0.006, 0.051, 0.012),
}
NAMES = {"forecast": {"mccann": "drift"}}


def score_one(
    key: str, system: str, protocol: str, seed: int, variants: list[str], quick: bool, file: str | None
) -> list[common.Row]:
    """Fit all variants to one ensemble of one system, and score them."""
    torch.set_num_threads(1)
    dataset = load_dataset(system, seed)
    if file:  # the floor then is the simulator's, of the same system
        dataset = replace(read(Path(file), step=0.5), reference=dataset.reference)
    parts = split(dataset, Protocol(protocol), seed)
    methods, first, seconds = fit_variants(parts.seen, {name: configuration(name, quick) for name in variants}, seed)
    rivals = {"weights_line": line_model(first), **baselines(parts.seen, first.bridge)}
    scores = evaluate({**methods, **rivals}, parts, 1000, seed, METRICS if dataset.snapshots.dim else None)
    place = {"key": key, "system": system, "protocol": protocol, "seed": seed}
    edge = float(parts.seen.times[1])
    return [
        {**place, **_row(scores, method, metric, edge, protocol), "cpu_seconds": round(seconds.get(method, 0.0), 1)}
        for method in scores.methods
        for metric in METRICS
        if scores.has(method, metric)
    ]


def fit_variants(
    snapshots: Snapshots, configs: Mapping[str, ExperimentConfig], seed: int
) -> tuple[dict[str, WeightFlow], Prepared, dict[str, float]]:
    """Return the fitted models, the first preparation, and CPU seconds; equal preparations are made once."""
    shared: dict[str, tuple[Prepared, float]] = {}
    models: dict[str, WeightFlow] = {}
    seconds: dict[str, float] = {}
    for name, config in configs.items():
        pieces = repr((config.backbone, config.anchors))
        if pieces not in shared:
            began = time.process_time()
            prepared = prepare(snapshots, config, seed, anchors=True)
            shared[pieces] = prepared, time.process_time() - began
        prepared, spent = shared[pieces]
        began = time.process_time()
        trial = Trial(prepared, config, seed)
        for _ in trial.epochs():
            pass
        models[name] = trial.model()
        seconds[name] = time.process_time() - began + spent
    return models, next(iter(shared.values()))[0], seconds


def configuration(variant: str, quick: bool) -> ExperimentConfig:
    """Return the configuration of a variant."""
    name, changes = VARIANTS[variant]
    if not quick:
        return preset(name, **changes)
    return preset(name, **{group: {**QUICK.get(group, {}), **changes.get(group, {})} for group in {*QUICK, *changes}})


def chosen_variants(text: str) -> list[str]:
    """Read a comma-separated list of variants.

    Raises:
        InputError: one of them is not known.
    """
    names = text.split(",")
    for name in names:
        if name not in VARIANTS:
            raise InputError(f"`--variants` holds `{name}`, which is not known; known are {', '.join(VARIANTS)}.")
    return names


def _row(scores: Scores, method: str, metric: str, edge: float, protocol: str) -> common.Row:
    interval = scores.interval(method, metric)
    later, first = "", ""
    if protocol != "forecast":
        later, first = (f"{scores.mean(method, metric, **{side: edge}):.6g}" for side in ("after", "until"))
    return {
        "method": NAMES.get(protocol, {}).get(method, method),
        "metric": metric,
        "mean": f"{scores.mean(method, metric):.6g}",
        "after_first": later,
        "first_interval": first,
        "low": "" if interval is None else f"{interval.low:.6g}",
        "high": "" if interval is None else f"{interval.high:.6g}",
    }


def write_markdown(rows: list[dict[str, str]], path: Path) -> None:
    """Write the mean over seeds, with the standard deviation between them, for each protocol and system."""
    cells: dict[tuple[str, str, str], dict[str, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        cells[row["protocol"], row["system"], row["method"]][row["metric"]].append(row)
    text = common.head("Table 1: simulated systems")
    text += (
        "\nLower is better. Mean over seeds ± standard deviation between them; `late` is the mean after the first "
        "interval, where two snapshots say little, and `x floor` its ratio to the floor. Models fit, then draw 1,000 "
        "samples by a randomised Sobol sequence; the floor is 1,000 independent samples of the true system.\n"
    )
    for protocol in dict.fromkeys(key[0] for key in cells):
        text += f"\n## {protocol}: multiples of the floor\n\n" + _overview(
            {key[1:]: metrics for key, metrics in cells.items() if key[0] == protocol}
        )
        for system in dict.fromkeys(key[1] for key in cells if key[0] == protocol):
            text += f"\n## {system}, {protocol}\n\n" + _one_table(
                {key[2]: metrics for key, metrics in cells.items() if key[:2] == (protocol, system)}, protocol, system
            )
    path.write_text(text)


def _overview(cells: dict[tuple[str, str], dict[str, list[dict[str, str]]]]) -> str:
    """Write, for all systems side by side, mean JSD and mean sliced W1 as multiples of the floor's."""
    systems = list(dict.fromkeys(system for system, _ in cells))
    methods = dict.fromkeys(method for _, method in cells if method != "floor")
    rows = [
        [method, *(_multiples(cells[system, method], cells[system, "floor"]) for system in systems)]
        for method in methods
        if all((system, method) in cells for system in systems)
    ]
    return "JSD, sliced W1:\n\n" + common.table(["method", *systems], rows)


def _multiples(metrics: dict[str, list[dict[str, str]]], floor: dict[str, list[dict[str, str]]]) -> str:
    means = [sum(float(row["mean"]) for row in m[k]) for k in ("paper_jsd", "sliced_w1") for m in (metrics, floor)]
    return f"{means[0] / means[1]:.2f}, {means[2] / means[3]:.2f}"


def _one_table(methods: dict[str, dict[str, list[dict[str, str]]]], protocol: str, system: str) -> str:
    late = protocol != "forecast"
    columns = ["method", "seeds", "paper_w1", "paper_jsd", "species_w1", "sliced_w1", "nll", "CPU s"]
    if late:
        columns[6:6] = ["late jsd, x floor", "late sliced, x floor"]
    rows: list[list[str]] = []
    for method, metrics in methods.items():
        line = [method, str(len(next(iter(metrics.values()))))]
        line += [_cell(metrics, metric) for metric in METRICS[:4]]
        if late:
            line += [_late(metrics, methods["floor"], metric) for metric in ("paper_jsd", "sliced_w1")]
        cpu = [float(row["cpu_seconds"]) for row in metrics["paper_jsd"]]
        rows.append([*line, _cell(metrics, "nll"), f"{sum(cpu) / len(cpu):.0f}" if sum(cpu) else "-"])
    if protocol == "paper":
        at = 2 * PUBLISHED_SYSTEMS.index(system)
        for method, figures in PUBLISHED.items():
            w, jsd = figures[at : at + 2]
            rows.append([f"published: {method}", "-", f"{w:.3f}", f"{jsd:.3f}", *["-"] * (len(columns) - 4)])
    return common.table(columns, rows)


def _cell(metrics: dict[str, list[dict[str, str]]], metric: str) -> str:
    return common.spread([float(row["mean"]) for row in metrics[metric]]) if metrics.get(metric) else "-"


def _late(metrics: dict[str, list[dict[str, str]]], floor: dict[str, list[dict[str, str]]], metric: str) -> str:
    mean, least = (sum(float(r["after_first"]) for r in m[metric]) / len(m[metric]) for m in (metrics, floor))
    return f"{mean:.4f}, {mean / least:.2f}"


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(
    systems: Annotated[str, typer.Option(help="Comma-separated names.")] = ",".join(PAPER),
    protocols: Annotated[
        str, typer.Option(help="Comma-separated: interpolation, forecast, paper.")
    ] = "interpolation,forecast",
    variants: Annotated[str, typer.Option(help=f"Comma-separated, of {', '.join(VARIANTS)}.")] = WHOLE,
    seeds: Annotated[int, typer.Option(help="How many, from 0 on.")] = 3,
    epidemic_file: Annotated[str | None, typer.Option(help="The paper's own epidemic, an .npy of step 0.5.")] = None,
    quick: Annotated[bool, typer.Option(help="Two systems, one seed, short training: under five minutes.")] = False,
    cpus: Annotated[int, typer.Option(help="Tasks at a time.")] = 2,
    out: common.Out = common.RESULTS,
    name: Annotated[str, typer.Option(help="Name of the files.")] = "table1",
) -> None:
    """Run the protocols over systems, variants and seeds, and write a CSV file and a Markdown table."""
    chosen = systems.split(",") if not quick else ["epidemic", "toggle_switch"]
    names = chosen_variants(variants)
    stem = f"{name}-quick" if quick else name
    tasks = [
        {
            "key": f"{system} {protocol} {seed} {variants}",
            "system": system,
            "protocol": protocol,
            "seed": seed,
            "variants": names,
            "quick": quick,
            "file": str(Path(epidemic_file).resolve()) if epidemic_file and system == "epidemic" else None,
        }
        for seed in range(1 if quick else seeds)
        for protocol in (["interpolation"] if quick else protocols.split(","))
        for system in chosen
    ]
    rows = out / f"{stem}.csv"
    common.run_tasks(score_one, tasks, rows, cpus)
    write_markdown(common.read_rows(rows), out / f"{stem}.md")
    typer.echo(f"{rows}\n{out / stem}.md")


if __name__ == "__main__":
    run(app)
