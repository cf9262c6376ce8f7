"""A surrogate of the chemical master equation: the distribution of a protein at rates that were never seen.

A gene makes a protein that binds to it and raises its own production. Four rates vary; the exact distributions come
from finite state projection. Samples at up to 300 points of a Sobol sequence and four times are given to the default
model of several conditions, and to a network that maps time and rates straight to a mixture of negative binomials,
trained by likelihood for as long. Both are scored at 200 other points by the Hellinger distance from the exact
distribution.

Rates, times and the kind of network are those of Sukys, Öcal and Grima, "Approximating solutions of the chemical
master equation using neural networks", iScience 25, 105010 (2022).

python benchmarks/surrogate.py simulate --data surrogate-data
python benchmarks/surrogate.py score --data surrogate-data --seeds 3
python benchmarks/surrogate.py tables
"""

import time
import warnings
from pathlib import Path
from typing import Annotated

import common
import joblib
import numpy as np
import torch
import typer
from jaxtyping import Float
from scipy.linalg import expm
from scipy.stats import qmc
from torch import Tensor

import weightflow
from weightflow.cli.running import run
from weightflow.data import Snapshots
from weightflow.errors import ExtrapolationWarning
from weightflow.experiment import preset
from weightflow.rng import derive_seed, generator
from weightflow.types import Kind

RATES = {"off": 2.0, "on": 0.1, "basal": 10.0, "activated": 100.0}  # from 0 to these; a protein decays at rate 1
TIMES = np.array([5.0, 10.0, 25.0, 100.0])
FITTED, UNSEEN = 300, 200
STATES = 240  # molecules of the protein, from 0 on
LOST = 1e-7  # probability that may leave these states by the last time
SAMPLES = 1000  # at each point and time
COMPONENTS, HIDDEN, BATCH, RATE = 6, 128, 100, 3e-3
ABOUT = (
    "Mean Hellinger distance, 0 to 1, of the marginal of the protein from the exact one, over 200 unseen points and "
    "four times; the 90th percentile and the worst behind it. `samples` is the histogram of 1,000 exact samples at the "
    "very point that is scored, `nearest` that of the nearest fitted point. `mixture network` maps time and rates to "
    "six negative binomials, and is trained for as many CPU seconds as the model."
)


def exact(rates: np.ndarray) -> Float[np.ndarray, "time state"]:
    """Return the distribution of the free protein at all times, by finite state projection.

    A free gene makes it at rate `basal` and binds one at rate `on`; a bound one makes it at rate `activated` and frees
    one at rate `off`. It starts free, without protein.

    Raises:
        ValueError: more than `LOST` has left the states.
    """
    off, on, basal, activated = rates
    n = np.arange(STATES)
    flow = np.zeros((2, STATES, 2, STATES))  # from gene and count to gene and count
    for gene, made in ((0, basal), (1, activated)):
        flow[gene, n[:-1], gene, n[1:]] += made
        flow[gene, n[1:], gene, n[:-1]] += n[1:]
    flow[0, n[1:], 1, n[:-1]] += on * n[1:]
    flow[1, n[:-1], 0, n[1:]] += off
    matrix = flow.reshape(2 * STATES, 2 * STATES)
    out = matrix.sum(axis=1).reshape(2, STATES)
    out[:, -1] += (basal, activated)  # what leaves the last state is lost
    out[1, -1] += off
    matrix -= np.diag(out.ravel())
    step = expm(matrix * TIMES[0])
    p, now, found = np.eye(2 * STATES)[0], 0.0, []
    for when in TIMES:
        for _ in range(round((when - now) / TIMES[0])):
            p = p @ step
        now = when
        found.append(p.reshape(2, STATES).sum(axis=0))
    if found[-1].sum() < 1 - LOST:
        raise ValueError(f"{1 - found[-1].sum():.1e} has left {STATES} states at rates {rates}; take more.")
    return np.stack(found)


def points(seed: int) -> Float[np.ndarray, "point rate"]:
    """Return the fitted points, and behind them the unseen ones."""
    unit = qmc.Sobol(len(RATES), rng=derive_seed(seed, "surrogate")).random_base2(9)
    return unit[: FITTED + UNSEEN] * list(RATES.values())


def write(path: Path, seed: int) -> None:
    """Solve all points, draw samples at the fitted ones, and write both."""
    where = points(seed)
    truth = np.clip(np.stack(joblib.Parallel(n_jobs=-1)(joblib.delayed(exact)(each) for each in where)), 0, None)
    truth /= truth.sum(axis=-1, keepdims=True)
    rng = generator(seed, "surrogate")
    counts = np.stack([[rng.choice(STATES, SAMPLES, p=p) for p in each] for each in truth])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, points=where, truth=truth.astype(np.float32), counts=counts.astype(np.uint8))


def distances(
    found: Float[np.ndarray, "point time state"], truth: Float[np.ndarray, "point time state"]
) -> Float[np.ndarray, "point time"]:
    """Hellinger distances."""
    return np.sqrt(np.clip(1 - np.sqrt(found * truth).sum(axis=-1), 0, None))


class MixtureNetwork(torch.nn.Module):
    """Time and rates to a mixture of negative binomials, by one hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(1 + len(RATES), HIDDEN), torch.nn.SiLU(), torch.nn.Linear(HIDDEN, 3 * COMPONENTS)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Log-probabilities (row, state) at inputs (row, 1 + rate)."""
        weights, size, odds = self.layers(inputs).unflatten(-1, (3, COMPONENTS)).unbind(-2)
        count = size.clamp(-6, 12).exp()[..., None]
        each = torch.distributions.NegativeBinomial(count, logits=odds[..., None], validate_args=False)
        return torch.logsumexp(weights.log_softmax(-1)[..., None] + each.log_prob(torch.arange(STATES)), dim=-2)


def mixture_network(
    where: np.ndarray, counts: np.ndarray, unseen: np.ndarray, seconds: float, seed: int
) -> Float[np.ndarray, "point time state"]:
    """Train for so many CPU seconds, and return the probabilities at unseen points."""
    torch.manual_seed(seed)
    network = MixtureNetwork()
    inputs, shares = _inputs(where), torch.from_numpy(_histograms(counts)).flatten(0, 1).float()
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    began, spent, rng = time.process_time(), 0.0, generator(seed, "mixture network")
    while spent < seconds:
        for group in optimiser.param_groups:
            group["lr"] = RATE * (0.01 + 0.99 * (1 - spent / seconds))
        rows = torch.from_numpy(rng.choice(len(inputs), min(BATCH, len(inputs)), replace=False))
        loss = -(shares[rows] * network(inputs[rows])).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        spent = time.process_time() - began
    with torch.no_grad():
        found = network(_inputs(unseen)).exp().unflatten(0, (-1, len(TIMES)))
    return found.numpy()


def _inputs(where: np.ndarray) -> Tensor:
    """Standardised logarithms of the time, and rates, for each point and time."""
    clock = (np.log(TIMES) - np.log(TIMES).mean()) / np.log(TIMES).std()
    rates = (where / list(RATES.values()) - 0.5) * 12**0.5
    rows = np.concatenate([np.tile(clock, len(where))[:, None], np.repeat(rates, len(TIMES), axis=0)], axis=1)
    return torch.from_numpy(rows).float()


def _histograms(counts: np.ndarray) -> Float[np.ndarray, "point time state"]:
    return np.stack([[np.bincount(x, minlength=STATES) / len(x) for x in each] for each in counts])


def surrogate(key: str, seed: int, data: str, kind: str, points: int) -> list[common.Row]:
    """Fit both, and score them."""
    torch.set_num_threads(1)
    with np.load(path_of(Path(data), seed), allow_pickle=False) as file:
        where, truth, counts = file["points"], file["truth"].astype(float), file["counts"]
    began = time.process_time()
    courses = {
        tuple(point): Snapshots(TIMES, tuple(x[:, None].astype(float) for x in each), ("P",), (Kind.COUNTS,))
        for point, each in zip(where[:points].tolist(), counts[:points], strict=True)
    }
    known = Snapshots.of_conditions(courses, tuple(RATES), dict.fromkeys(RATES, "linear"))
    model = weightflow.fit(known, preset("default", dynamics={"kind": kind}), seed=seed)
    seconds = time.process_time() - began
    unseen, target = where[FITTED:], truth[FITTED:]
    away = np.linalg.norm((unseen[:, None] - where[None, :points]) / list(RATES.values()), axis=-1)
    histograms = _histograms(counts)
    answers = {
        "model": np.stack([_probabilities(model, point) for point in unseen]),
        "mixture network": mixture_network(where[:points], counts[:points], unseen, seconds, seed),
        "nearest": histograms[away.argmin(axis=1)],
        "samples": histograms[FITTED:],
    }
    rows: list[common.Row] = []
    for method, found in answers.items():
        away = distances(found, target)
        for i, when in enumerate(TIMES):
            facts = {"key": key, "points": points, "kind": kind, "seed": seed, "method": method, "time": when}
            worst = {"p90": float(np.quantile(away[:, i], 0.9)), "worst": float(away[:, i].max())}
            rows.append({**facts, "mean": float(away[:, i].mean()), **worst, "cpu": seconds})
    return rows


def _probabilities(model: weightflow.WeightFlow, point: np.ndarray) -> Float[np.ndarray, "time state"]:
    grid = torch.arange(STATES, dtype=torch.float32)[:, None]
    at = dict(zip(RATES, point.tolist(), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        return np.stack([model.log_prob(grid, when, at=at).exp().numpy() for when in TIMES])


def path_of(folder: Path, seed: int) -> Path:
    """Return where the data of one seed lie."""
    return folder / f"autoregulation-{seed}.npz"


def written(rows: list[dict[str, str]]) -> str:
    """Write means over seeds."""
    text = ""
    for points, kind in dict.fromkeys((row["points"], row["kind"]) for row in rows):
        mine = [row for row in rows if (row["points"], row["kind"]) == (points, kind)]
        lines: list[list[str]] = []
        for method in dict.fromkeys(row["method"] for row in mine):
            each = [row for row in mine if row["method"] == method]
            cells = [_mean(each, "mean"), *(_mean([r for r in each if float(r["time"]) == t], "mean") for t in TIMES)]
            lines.append([method, *cells, _mean(each, "p90"), _mean(each, "worst")])
        columns = ["", "mean", *(f"t = {when:g}" for when in TIMES), "p90", "worst"]
        seconds = sorted({float(row["cpu"]) for row in mine})
        text += f"\n## {points} points, {kind}\n\n" + common.table(columns, lines)
        text += f"\nFits took {seconds[0]:.0f} to {seconds[-1]:.0f} CPU s.\n"
    return text


def _mean(rows: list[dict[str, str]], measure: str) -> str:
    by_seed: dict[str, list[float]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], []).append(float(row[measure]))
    return common.spread([float(np.mean(values)) for values in by_seed.values()])


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
Data = Annotated[Path, typer.Option(help="Folder of the exact distributions.")]
Seeds = Annotated[int, typer.Option(help="How many, from 0 on.")]


@app.command()
def simulate(data: Data, seeds: Seeds = 3) -> None:
    """Solve the master equation at all points; what is there already is kept."""
    for seed in range(seeds):
        if not path_of(data, seed).is_file():
            write(path_of(data, seed), seed)


@app.command()
def score(
    data: Data,
    seeds: Seeds = 3,
    kinds: Annotated[str, typer.Option(help="Kinds of dynamics, comma-separated.")] = "ode",
    points: Annotated[int, typer.Option(min=1, max=FITTED, help="Points that are fitted.")] = FITTED,
    cpus: Annotated[int, typer.Option(help="Tasks at a time.")] = 2,
    out: common.Out = common.RESULTS,
) -> None:
    """Fit and score, and write a table."""
    simulate(data, seeds)
    tasks = [
        {"key": f"{points} {kind} {seed}", "seed": seed, "kind": kind, "points": points, "data": str(data.resolve())}
        for seed in range(seeds)
        for kind in kinds.split(",")
    ]
    common.run_tasks(surrogate, tasks, out / "surrogate.csv", cpus)
    tables(out)


@app.command()
def tables(out: common.Out = common.RESULTS) -> None:
    """Write the table anew, from the rows that there are."""
    rows = common.read_rows(out / "surrogate.csv")
    title = "A surrogate of the master equation: autoregulation with four rates"
    (out / "surrogate.md").write_text(common.head(title) + f"\n{ABOUT}\n" + written(rows))


if __name__ == "__main__":
    run(app)
