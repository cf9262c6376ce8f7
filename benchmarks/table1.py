"""The paper's Table 1, and more: five systems, three protocols, five variants; see `--help`."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pandas as pd
import typer

from benchmarks.common import (
    QUICK_DRAWS,
    RESULTS,
    VARIANTS,
    Done,
    Fits,
    Ledger,
    Task,
    chosen_of,
    commit,
    costs,
    floor_ratios,
    grid,
    header,
    run_tasks,
    say,
    score_rows,
)
from weightflow.cli import run
from weightflow.data import Dataset, Protocol, split
from weightflow.errors import InputError
from weightflow.evaluation import Sampler, baselines, evaluate
from weightflow.experiment import Prepared, line_model
from weightflow.systems import BUILT_IN, load_dataset

METRICS = ("paper_w1", "paper_jsd", "species_w1", "sliced_w1", "nll")
DRAWS = 1000
EPIDEMIC, PUBLISHED_EPIDEMIC = "epidemic", "epidemic_published"
STEP = 0.5  # between the columns of the published epidemic
PROTOCOLS = tuple(str(protocol) for protocol in Protocol)
QUICK_SYSTEMS = ("epidemic", "cascade1")
# Beyond the last snapshot the baselines are but two.
FORECAST_NAMES = {"nearest": "persistence", "mccann": "drift"}

# Li et al., AAAI 2026, Table 1 (there times ten): W and JSD of each system.
_SYSTEMS = ("epidemic", "toggle_switch", "cascade1", "cascade2", "ecological_evolution")
_TABLE1 = {
    "Latent SDE": ((3.14, 4.22), (2.34, 1.27), (3.04, 0.85), (3.59, 1.02), (8.04, 3.52)),
    "Neural MJP": ((1.88, 1.61), (2.13, 0.94), (1.69, 0.30), (1.68, 0.36), (1.68, 0.51)),
    "T-IB": ((2.62, 3.52), (1.59, 0.88), (1.66, 0.32), (2.16, 0.40), (2.17, 0.56)),
    "NLSB": ((3.27, 1.65), (2.97, 1.32), (1.50, 0.39), (1.83, 0.48), (3.09, 2.80)),
    "DeepRUOT": ((1.78, 1.08), (1.37, 0.77), (0.52, 0.07), (0.51, 0.08), (3.27, 2.47)),
    "WeightFlow": ((1.10, 0.34), (0.82, 0.33), (0.48, 0.04), (0.49, 0.06), (0.51, 0.12)),
}

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def table1(
    systems: Annotated[str, typer.Option(help="Built-in systems, separated by commas.")] = ",".join(BUILT_IN),
    protocols: Annotated[str, typer.Option(help="Protocols, separated by commas.")] = ",".join(PROTOCOLS),
    variants: Annotated[str, typer.Option(help="Variants, separated by commas.")] = ",".join(VARIANTS),
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0, 1, ...: how many.")] = 3,
    epidemic_file: Annotated[
        Path | None,
        typer.Option(help="The published epidemic (.npy, step 0.5), for the protocol `paper` in place of our own."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two systems, one seed and hardly any training, to see that it runs.")
    ] = False,
    cpus: Annotated[int | None, typer.Option(help="CPUs to use; all by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the CSV and the Markdown table.")] = RESULTS,
) -> None:
    """Run systems x protocols x variants x seeds, and write table1.csv and table1.md.

    The CSV grows task by task. The same command again computes only what it lacks; remove the file to start anew.
    """
    names = ["systems", "protocols", "variants"]
    known = [tuple(BUILT_IN), PROTOCOLS, tuple(VARIANTS)]
    given = [systems, protocols, variants]
    chosen, wanted, fitted = (chosen_of(*one) for one in zip(names, given, known, strict=True))
    if epidemic_file is not None and not epidemic_file.is_file():
        raise InputError(f"`--epidemic-file {epidemic_file}` is no file; give the .npy array of the published data.")
    if quick:
        chosen, seeds = tuple(one for one in chosen if one in QUICK_SYSTEMS) or chosen[:2], 1
    name = "table1-quick" if quick else "table1"
    ledger = Ledger(out / f"{name}.csv")
    version = commit()
    tasks: list[Task] = []
    for seed in range(seeds):
        for protocol in wanted:
            for system in chosen:
                label, source = system, system
                if epidemic_file is not None and (system, protocol) == (EPIDEMIC, Protocol.PAPER):
                    label, source = PUBLISHED_EPIDEMIC, str(epidemic_file.resolve())
                done = ledger.methods(label, protocol, seed)
                missing = tuple(variant for variant in fitted if variant not in done)
                if missing:
                    tasks.append(Task(label, protocol, seed, source, missing, quick, version, done))
    failures = run_tasks(tasks, work, ledger, cpus)
    text = "\n".join(markdown(ledger.read(), quick))
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    say(f"{ledger.path.name} and {name}.md written" + (f"; {failures} failed" if failures else ""))
    raise typer.Exit(1 if failures else 0)


def work(task: Task) -> Done:
    """Fit and score everything of one task."""
    protocol = Protocol(task.protocol)
    parts = split(_dataset(task), protocol, task.seed)
    fits = Fits(task)
    models, prepared = fits.fit(parts.seen)
    samplers = {**models, **_baselines(protocol, prepared)}
    scores = evaluate(samplers, parts, QUICK_DRAWS if task.quick else DRAWS, task.seed, METRICS)
    return score_rows(fits, scores, float(parts.seen.times[1])), fits.failed


def _dataset(task: Task) -> Dataset:
    if task.source in BUILT_IN:
        return load_dataset(task.source, task.seed)
    # the simulator stands for a perfect model of the published data, too
    reference = load_dataset(EPIDEMIC, task.seed).reference
    return replace(load_dataset(task.source, task.seed, step=STEP), reference=reference)


def _baselines(protocol: Protocol, prepared: Prepared) -> dict[str, Sampler]:
    known = baselines(prepared.snapshots, prepared.bridge)
    if protocol is Protocol.FORECAST:
        return {name: known[baseline] for baseline, name in FORECAST_NAMES.items()}
    return {**known, "weights_line": line_model(prepared)}


def markdown(table: pd.DataFrame, quick: bool) -> list[str]:
    """Return the lines of the Markdown file."""
    draws = QUICK_DRAWS if quick else DRAWS
    remarks = [
        f"{draws:,} draws against {draws:,} samples at each time; mean over seeds ± standard deviation over seeds",
        "lower is better; `floor` is what a perfect model would score: "
        + "; ".join(sorted(set(table["note"].dropna()))),
        "`seconds` are of one core; `prepare` is shared by the variants of one backbone and bridge",
    ]
    if quick:
        remarks.insert(0, "**quick run, hardly trained: the scores mean nothing**")
    lines = header("Table 1", table, remarks)
    for protocol in (one for one in PROTOCOLS if one in set(table["protocol"])):
        rows = table[table["protocol"] == protocol]
        lines += [f"## Protocol {protocol}", ""]
        for metric in METRICS:
            published = _published(metric) if protocol == Protocol.PAPER else {}
            lines += [f"### {metric}", "", *grid(rows, metric, extra=published)]
        if protocol != Protocol.FORECAST:
            lines += _by_interval(rows)
    return [*lines, "## Costs", "", *costs(table)]


def _by_interval(rows: pd.DataFrame) -> list[str]:
    lines: list[str] = []
    for metric in METRICS[:-1]:
        lines += [f"### {metric} in the first interval", "", *grid(rows, metric, "first_interval")]
        lines += [f"### {metric} after the first interval", "", *grid(rows, metric, "after_first")]
        ratios = floor_ratios(rows, "after_first")
        lines += [f"### {metric} after the first interval, floor = 1", "", *grid(ratios, metric, "after_first")]
    return lines


def _published(metric: str) -> dict[str, dict[str, float]]:
    if metric not in ("paper_w1", "paper_jsd"):
        return {}
    place = ("paper_w1", "paper_jsd").index(metric)
    found: dict[str, dict[str, float]] = {}
    for method, pairs in _TABLE1.items():
        values = {system: pair[place] / 10 for system, pair in zip(_SYSTEMS, pairs, strict=True)}
        found[f"{method} (published)"] = {**values, PUBLISHED_EPIDEMIC: values[EPIDEMIC]}
    return found


if __name__ == "__main__":
    run(app)
