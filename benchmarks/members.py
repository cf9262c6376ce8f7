"""How often the bands of members hold the truth: many data sets of two laws that are known exactly.

- `ou`: four independent Ornstein-Uhlenbeck processes, Gaussian at every time.
- `births`: four independent birth-death processes, Poisson at every time.

Each data set is fitted with members, and asked for 90 % bands at the fitted times, half-way between them, and beyond
the last one.

python benchmarks/members.py --sets 8 --members 8
"""

import os
from pathlib import Path
from typing import Annotated

os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # each data set has one CPU, and fits its members on it in turn

import common
import numpy as np
import torch
import typer
from scipy.stats import norm, poisson

import weightflow
from weightflow.data import Snapshots
from weightflow.experiment import preset

TIMES = np.arange(6.0)
RATES = np.array([0.3, 0.5, 0.8, 1.2])
WHERE = {"fitted": TIMES, "between": TIMES[:-1] + 0.5, "beyond": np.array([5.5, 6.0, 7.0])}
LEVEL = 0.9
LIKELY = 0.02  # marginals are looked at where counts have at least this probability


def ou_law(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations, shape (time, 4)."""
    decay = np.exp(-np.outer(times, RATES))
    return 2.0 * decay, np.sqrt(0.25 * decay**2 + 1 - decay**2)


def birth_law(times: np.ndarray) -> np.ndarray:
    """Means, shape (time, 4)."""
    decay = np.exp(-np.outer(times, RATES))
    return np.array([12.0, 3.0, 6.0, 8.0]) + np.array([-9.0, 3.0, -4.0, 6.0]) * decay


def coverage_of(key: str, system: str, n: int, members: int, kind: str, number: int) -> list[common.Row]:
    """Fit one data set, and return for each statistic and place which share of its bands holds the truth."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([n, number, system == "ou"])
    if system == "ou":
        clouds = [rng.normal(mean, deviation, (n, len(RATES))) for mean, deviation in zip(*ou_law(TIMES), strict=True)]
    else:
        clouds = [rng.poisson(mean, (n, len(RATES))).astype(float) for mean in birth_law(TIMES)]
    model = weightflow.fit(
        Snapshots(TIMES, tuple(clouds)), preset("default", dynamics={"kind": kind}), seed=number, members=members
    )
    rows: list[common.Row] = []
    for where, times in WHERE.items():
        truths = {"mean": ou_law(times)[0] if system == "ou" else birth_law(times)}
        if system == "ou":
            truths["quantile"] = norm.ppf(0.9, *ou_law(times))
        else:
            counts = np.arange(model.backbone.states - 1)
            truths["marginals"] = poisson.pmf(counts, birth_law(times)[..., None])
        for statistic, truth in truths.items():
            ask = (lambda one, t: one.quantiles(t, 0.9)) if statistic == "quantile" else statistic
            low, mid, high = (part.numpy()[..., : truth.shape[-1]] for part in model.band(ask, times, LEVEL))
            asked = truth >= LIKELY if statistic == "marginals" else np.full(truth.shape, True)
            inside = ((low <= truth) & (truth <= high))[asked]
            shape = {"system": system, "n": n, "members": members, "kind": kind, "where": where, "statistic": statistic}
            error = np.abs(mid - truth)[asked].mean() / ((high - low)[asked].mean() / 2)
            rows.append({"key": key, **shape, "inside": float(inside.mean()), "error": float(error)})
    return rows


def main(
    sets: Annotated[int, typer.Option(help="Data sets of each system.")] = 8,
    members: Annotated[int, typer.Option(help="Members of each fit.")] = 8,
    n: Annotated[int, typer.Option(help="Samples at each of the six times.")] = 100,
    kind: Annotated[str, typer.Option(help="Of the dynamics: ode, cde or direct.")] = "ode",
    cpus: Annotated[int, typer.Option(help="Tasks at a time.")] = 2,
    out: common.Out = common.RESULTS,
) -> None:
    """Fit the data sets, and write a table."""
    systems = ("ou", "births")
    tasks = [
        {"key": f"{system} {n} {members} {kind} {i}", "system": system, "n": n, "members": members, "kind": kind}
        | {"number": i}
        for i in range(sets)
        for system in systems
    ]
    common.run_tasks(coverage_of, tasks, out / "members.csv", cpus)
    report(common.read_rows(out / "members.csv"), out / "members.md")


def report(rows: list[dict[str, str]], path: Path) -> None:
    """Write the mean coverage of each statistic and place."""
    groups = sorted({tuple(row[key] for key in ("system", "kind", "n", "members", "statistic")) for row in rows})
    lines: list[list[str]] = []
    for system, kind, n, members, statistic in groups:
        facts = {"system": system, "kind": kind, "n": n, "members": members, "statistic": statistic}
        mine = [row for row in rows if all(row[key] == value for key, value in facts.items())]
        shares = [[float(row["inside"]) for row in mine if row["where"] == where] for where in WHERE]
        words = [f"{100 * np.mean(share):.0f} ± {100 * np.std(share) / len(share) ** 0.5:.0f}" for share in shares]
        lines.append([system, kind, n, members, str(len(shares[0])), statistic, *words])
    text = common.head("Bands of members") + (
        "\nPer cent of 90 % bands that hold the exact value, mean over data sets ± standard error of that mean. Six "
        "fitted times 0, 1, .. 5; `between` is half-way, `beyond` is t = 5.5, 6 and 7. Marginals: counts with a "
        "probability of 2 % at least; quantile: that of 0.9.\n\n"
    )
    columns = ["system", "dynamics", "samples a time", "members", "data sets", "statistic", *WHERE]
    path.write_text(text + common.table(columns, lines))
    typer.echo(path)


if __name__ == "__main__":
    typer.run(main)
