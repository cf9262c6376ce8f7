"""One model of several conditions at conditions that it has never seen, beside what a user could take instead.

The epidemic at five infection rates, 500 trajectories each, eleven times; scored at four other rates and at times that
are never fitted: JSD and sliced W1 against fresh trajectories, beside a perfect model of equal sample size, the nearest
rate, the mixture of the two neighbouring rates, and transport between them, which all have the very times that are
scored. DUSP1 counts with one dose left out: joint W1 over its times, beside the same and beside halves of the data.

python benchmarks/conditions.py --seeds 3
"""

import time
import warnings
from collections.abc import Sequence
from typing import Annotated

import common
import numpy as np
import torch
import typer

import weightflow
from weightflow.bridge import BridgeOptions, couple
from weightflow.data import Snapshots
from weightflow.errors import ExtrapolationWarning
from weightflow.experiment import preset
from weightflow.metrics import joint_w1, sliced_w1
from weightflow.metrics.paper import paper_jsd
from weightflow.rng import derive_seed, generator
from weightflow.systems import Vary, find_system, simulate_varied
from weightflow.types import Kind

FITTED = (0.0012, 0.002, 0.003, 0.0045, 0.007)
UNSEEN = (0.0016, 0.0025, 0.0037, 0.0055)
TRAJECTORIES, SCORED, EVERY, POINTS = 500, 1000, 10, 500
DOSES = (1.0, 10.0, 0.3)
DUSP1 = common.ROOT.parent / "shared" / "data" / "dusp1_dose" / "dusp1_dose.csv"
ABOUT = (
    "`perfect` is as many samples of the true system, of DUSP1 the other half of the data; transport, mixture and "
    "nearest are made of the neighbouring conditions at the very times that are scored, which the model has not seen "
    "in the epidemic. `model` are the evenly spread samples that `sample` gives by default, `model_independent` are "
    "ordinary ones, as those of all others; `-`: not measured. DUSP1 at 0.3 nM is an extrapolation. W1: epidemic "
    "sliced, DUSP1 joint, in molecules."
)


def between(low: np.ndarray, high: np.ndarray, share: float, n: int, seed: int) -> dict[str, np.ndarray]:
    """Return `n` samples of each alternative, made of the clouds of two neighbouring conditions at the same time."""
    rng = generator(seed, "alternatives")
    size = min(len(low), len(high), 1000)
    a, b = (cloud[rng.permutation(len(cloud))[:size]] for cloud in (low, high))
    moved = (1 - share) * a + share * b[couple(a, b, BridgeOptions(), seed).forward]
    of_b = rng.random(n) < share
    rows = rng.integers(size, size=n)
    return {
        "transport": np.floor(moved + rng.random(moved.shape))[rng.permutation(size)[np.arange(n) % size]],
        "mixture": np.where(of_b[:, None], b[rows], a[rows]),
        "nearest": (b if share > 0.5 else a)[rows],
    }


def epidemic(key: str, seed: int, kind: str) -> list[common.Row]:
    """Fit five rates, and score at four others."""
    torch.set_num_threads(1)
    system = find_system("epidemic")
    times = system.times

    def simulated(rates: Sequence[float], n: int, purpose: str) -> dict[float, np.ndarray]:
        found = simulate_varied(
            system, [Vary("beta", tuple(rates))], n, derive_seed(seed, "conditions", purpose), times
        )
        return {rate: found.samples[found.values[:, 0] == rate] for rate in rates}

    fitted = simulated(FITTED, TRAJECTORIES, "fitted")
    fresh, perfect = (simulated(UNSEEN, SCORED, purpose) for purpose in ("fresh", "perfect"))
    seen = range(0, len(times), EVERY)
    courses = {
        rate: Snapshots(times[seen], tuple(x[:, i] for i in seen), ("S", "I", "R"), (Kind.COUNTS,) * 3)
        for rate, x in fitted.items()
    }
    began, wall = time.process_time(), time.perf_counter()
    data = Snapshots.of_conditions(courses, "beta", {"beta": "log"})
    model = weightflow.fit(data, preset("default", dynamics={"kind": kind}), seed=seed)
    cost = {"cpu": time.process_time() - began, "wall": time.perf_counter() - wall}
    unseen = [i for i in range(len(times)) if i % EVERY]
    rows: list[common.Row] = []
    for rate in UNSEEN:
        drawn, independent = (
            model.sample(times[unseen], SCORED, 1, at={"beta": rate}, independent=how).numpy() for how in (False, True)
        )
        below, above = max(r for r in FITTED if r < rate), min(r for r in FITTED if r > rate)
        share = float(np.log(rate / below) / np.log(above / below))
        scores: dict[str, list[tuple[float, float]]] = {}
        for k, i in enumerate(unseen):
            others = between(fitted[below][:, i], fitted[above][:, i], share, SCORED, seed + i)
            own = {"model": drawn[k], "model_independent": independent[k]}
            clouds, truth = {**own, "perfect": perfect[rate][:, i], **others}, fresh[rate][:, i]
            for name, x in clouds.items():
                scores.setdefault(name, []).append((paper_jsd(x, truth, 200), sliced_w1(x, truth)))
        for name, found in scores.items():
            jsd, sliced = np.mean(found, axis=0)
            facts = {"key": key, "data": "epidemic", "kind": kind, "at": rate, "seed": seed}
            rows.append({**facts, "method": name, "jsd": float(jsd), "w1": float(sliced), **cost})
    return rows


def dusp1(key: str, seed: int, kind: str, dose: float) -> list[common.Row]:
    """Leave one dose out, fit the others, and score at its times after the start."""
    torch.set_num_threads(1)
    species, varied = "nuclear,cytoplasmic", "dose_nM:log"
    data = weightflow.read(DUSP1, time="minutes", species=species, conditions=varied, shared_start=True).snapshots
    courses = {float(point[0]): course for point, course in data.courses.items()}
    points = [] if data.conditions is None else data.conditions.points
    kept = data.subset([i for i, point in enumerate(points) if point[0] != dose])
    began, wall = time.process_time(), time.perf_counter()
    model = weightflow.fit(kept, preset("default", dynamics={"kind": kind}), seed=seed)
    cost = {"cpu": time.process_time() - began, "wall": time.perf_counter() - wall}
    target = courses.pop(dose)
    others = sorted(other for other, course in courses.items() if len(course) > 2)
    below, above = max((d for d in others if d < dose), default=min(others)), min(d for d in others if d > dose)
    share = float(np.log(dose / below) / np.log(above / below)) if below < above else 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        drawn = model.sample(target.times, POINTS, 1, at={"dose_nM": dose}, independent=True).numpy()
    rng, scores = generator(seed, "dusp1", str(dose)), dict[str, list[float]]()
    for k, when in enumerate(target.times[1:].tolist(), start=1):
        low, high = (_at(courses[d], when) for d in (below, above))
        if low is None or high is None:
            continue  # at this time nothing stands beside the model
        cloud = rng.permutation(target.samples[k])
        half = min(len(cloud) // 2, POINTS)
        clouds = {
            "model_independent": drawn[k],
            "perfect": cloud[half : 2 * half],
            **between(low, high, share, POINTS, seed),
        }
        for name, x in clouds.items():
            scores.setdefault(name, []).append(joint_w1(x[:half], cloud[:half], POINTS))
    facts = {"key": key, "data": "dusp1", "kind": kind, "at": dose, "seed": seed}
    return [{**facts, "method": name, "jsd": 0.0, "w1": float(np.mean(x)), **cost} for name, x in scores.items()]


def _at(course: Snapshots, when: float) -> np.ndarray | None:
    times = course.times.tolist()
    return course.samples[times.index(when)] if when in times else None


def tables(rows: list[dict[str, str]]) -> str:
    """Write what was found: means over seeds, and their deviation."""
    text = ""
    for data, measures in (("epidemic", ("jsd", "w1")), ("dusp1", ("w1",))):
        mine = [row for row in rows if row["data"] == data]
        if not mine:
            continue
        methods = list(dict.fromkeys(row["method"] for row in mine))
        places = sorted({(row["kind"], float(row["at"])) for row in mine})
        for measure in measures:
            lines = [[kind, f"{at:g}", *(_cell(mine, measure, m, kind, at) for m in methods)] for kind, at in places]
            if data == "epidemic":  # of DUSP1, doses are too different for a mean
                lines += [
                    [kind, "mean", *(_cell(mine, measure, m, kind) for m in methods)] for kind in {k for k, _ in places}
                ]
            text += f"\n## {data}, {'JSD' if measure == 'jsd' else 'W1'}\n\n" + common.table(
                ["kind", "at", *methods], lines
            )
        cpu = sorted({float(row["cpu"]) for row in mine})
        wall = sorted({float(row["wall"]) for row in mine})
        text += f"\nFits took {cpu[0]:.0f} to {cpu[-1]:.0f} CPU s ({wall[0]:.0f} to {wall[-1]:.0f} s by the clock).\n"
    return text


def _cell(rows: list[dict[str, str]], measure: str, method: str, kind: str, at: float | None = None) -> str:
    found = [row for row in rows if row["method"] == method and row["kind"] == kind]
    by_seed: dict[str, list[float]] = {}
    for row in found:
        if at is None or float(row["at"]) == at:
            by_seed.setdefault(row["seed"], []).append(float(row[measure]))
    return common.spread([float(np.mean(values)) for values in by_seed.values()]) if by_seed else "-"


def main(
    seeds: Annotated[int, typer.Option(help="Fits of each kind, with other data where they are simulated.")] = 3,
    kinds: Annotated[str, typer.Option(help="Kinds of dynamics, comma-separated.")] = "ode",
    cpus: Annotated[int, typer.Option(help="Tasks at a time.")] = 2,
    out: common.Out = common.RESULTS,
) -> None:
    """Fit and score, and write a table."""
    chosen = kinds.split(",")
    rates = [{"key": f"epidemic {k} {s}", "seed": s, "kind": k} for s in range(seeds) for k in chosen]
    doses = [
        {"key": f"dusp1 {k} {d:g} {s}", "seed": s, "kind": k, "dose": d}
        for s in range(seeds)
        for k in chosen
        for d in (DOSES if DUSP1.is_file() else ())
    ]
    rows = out / "conditions.csv"
    common.run_tasks(epidemic, rates, rows, cpus)
    common.run_tasks(dusp1, doses, rows, cpus)
    title = "One model of several conditions, where it has never seen them"
    (out / "conditions.md").write_text(common.head(title) + f"\n{ABOUT}\n" + tables(common.read_rows(rows)))


if __name__ == "__main__":
    typer.run(main)
