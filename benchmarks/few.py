"""How much few samples can carry: N(t, 1) in two species at five times, with 5, 20 and 100 samples of each.

The excess of the negative log-likelihood of fresh data over the entropy, of the default fit and of one Gaussian fitted
to each time.

python benchmarks/few.py --seeds 3
"""

from typing import Annotated

import common
import numpy as np
import torch
import typer
from scipy.stats import multivariate_normal

import weightflow
from weightflow.data import Snapshots

TIMES, FRESH = np.arange(5.0), 4000


def excess_of(key: str, n: int, seed: int) -> list[common.Row]:
    """Fit one data set and return what both methods lose."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([n, seed])
    clouds = [rng.normal(time, 1.0, (n, 2)) for time in TIMES]
    fresh = [rng.normal(time, 1.0, (FRESH, 2)) for time in TIMES]
    model = weightflow.fit(Snapshots(TIMES, tuple(clouds)), seed=seed)
    lost: dict[str, list[float]] = {"model": [], "gaussian": []}
    for time, cloud, x in zip(TIMES, clouds, fresh, strict=True):
        truth = multivariate_normal([time, time]).logpdf(x)
        lost["model"].append(float((truth - model.log_prob(x, time).numpy()).mean()))
        fitted = multivariate_normal(cloud.mean(0), np.cov(cloud, rowvar=False))
        lost["gaussian"].append(float((truth - fitted.logpdf(x)).mean()))
    return [
        {"key": key, "n": n, "seed": seed, "method": name, "excess": float(np.mean(values))}
        for name, values in lost.items()
    ]


def main(
    sizes: Annotated[str, typer.Option(help="Samples of each time, comma-separated.")] = "5,20,100",
    seeds: Annotated[int, typer.Option(help="Data sets of each size.")] = 3,
    cpus: Annotated[int, typer.Option(help="Tasks at a time.")] = 2,
    out: common.Out = common.RESULTS,
) -> None:
    """Fit data sets of few samples, and write a table."""
    chosen = [int(size) for size in sizes.split(",")]
    tasks = [{"key": f"{n} {seed}", "n": n, "seed": seed} for n in chosen for seed in range(seeds)]
    rows = out / "few.csv"
    common.run_tasks(excess_of, tasks, rows, cpus)
    found = common.read_rows(rows)
    table = [
        [
            str(n),
            *(
                common.spread([float(row["excess"]) for row in found if row["n"] == str(n) and row["method"] == name])
                for name in ("model", "gaussian")
            ),
        ]
        for n in chosen
    ]
    text = common.head("Few samples") + (
        "\nN(t, 1) in two independent species at t = 0, 1, 2, 3, 4. Nats per sample by which the negative "
        f"log-likelihood of {FRESH:,} fresh samples a time exceeds the entropy, mean over data sets ± standard "
        "deviation between them.\n\n"
    )
    (out / "few.md").write_text(
        text + common.table(["samples a time", "default fit", "a Gaussian for each time"], table)
    )
    typer.echo(out / "few.md")


if __name__ == "__main__":
    typer.run(main)
