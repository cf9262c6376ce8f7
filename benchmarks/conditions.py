"""One model of several conditions at conditions that it has never seen, beside what a user could take instead.

Networks are fitted at some values of one or two rates, and scored at others and at times that are never fitted: JSD
and sliced W1 against fresh trajectories, beside a perfect model of equal sample size, the nearest condition, the
mixture of two neighbours, and transport between them, which all have the very times that are scored. DUSP1 counts with
one dose left out: joint W1 over its times, beside the same and beside halves of the data.

python benchmarks/conditions.py simulate --data conditions-data    # needs the simulator, unlike what scores
python benchmarks/conditions.py score --data conditions-data --seeds 3
python benchmarks/conditions.py tables
"""

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import common
import conditions_data
import numpy as np
import torch
import typer
from conditions_data import CASES, Point

import weightflow
from weightflow.cli.running import run
from weightflow.data import Conditions, Snapshots
from weightflow.errors import ExtrapolationWarning, InputError
from weightflow.evaluation import condition_baselines
from weightflow.experiment import preset
from weightflow.metrics import joint_w1, sliced_w1
from weightflow.metrics.paper import numbered, paper_jsd
from weightflow.model import WeightFlow
from weightflow.rng import generator

DOSES, POINTS, DOSE = (1.0, 10.0, 0.3), 500, "dose_nM"
DUSP1 = common.ROOT.parent / "shared" / "data" / "dusp1_dose" / "dusp1_dose.csv"
COUNTED = "dusp1"
ABOUT = (
    "`perfect` is as many samples of the true system, of DUSP1 the other half of the data; `as_if_seen` are as many as "
    "are fitted of each condition, of the very one that is scored; transport, mixture and "
    "nearest are made of the neighbouring conditions, of a network at the very times that are scored, which the model "
    "has not seen. `model` are the evenly spread samples that `sample` gives by default, `model_independent` are "
    "ordinary ones, as those of all others. The ratio is the mean of `model_independent` over that of `perfect`, and "
    "that of `model` behind it. Conditions marked * lie outside the hull of what was fitted and are in no mean. W1: "
    "sliced; of DUSP1 joint, in molecules."
)


def fitted(data: Snapshots, kind: str, seed: int) -> tuple[WeightFlow, dict[str, float]]:
    """Fit the default of one kind, and return what it took."""
    torch.set_num_threads(1)
    began, wall = time.process_time(), time.perf_counter()
    model = weightflow.fit(data, preset("default", dynamics={"kind": kind}), seed=seed)
    return model, {"cpu": time.process_time() - began, "wall": time.perf_counter() - wall}


def drawn(model: WeightFlow, times: np.ndarray, n: int, at: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Draw evenly spread and ordinary samples, wherever they are asked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        return {
            name: model.sample(times, n, 1, at=at, independent=independent).numpy()
            for name, independent in (("model", False), ("model_independent", True))
        }


def network(key: str, name: str, seed: int, kind: str, data: str) -> list[common.Row]:
    """Fit a network under some conditions, and score under others."""
    case, found = CASES[name], conditions_data.observed(Path(data), name, seed)
    scale = dict.fromkeys(case.names, "log")
    seen = {point: course.subset(found.seen) for point, course in found.fitted.items()}
    known = Snapshots.of_conditions(_keyed(seen), case.names, scale)
    model, cost = fitted(known, kind, seed)
    all_times = Snapshots.of_conditions(_keyed(found.fitted), case.names, scale)
    rows: list[common.Row] = []
    for point, fresh in found.fresh.items():
        times = fresh.times[found.unseen]
        others = condition_baselines(all_times, point, seed)
        clouds = {
            **drawn(model, times, conditions_data.SCORED, dict(zip(case.names, point, strict=True))),
            "perfect": (perfect := np.stack([found.perfect[point].samples[i] for i in found.unseen])),
            "as_if_seen": perfect[:, : conditions_data.TRAJECTORIES],
            **{other: sampler.sample(times, conditions_data.SCORED, seed) for other, sampler in others.items()},
        }
        truth = [fresh.samples[i] for i in found.unseen]
        at = ", ".join(f"{value:g}" for value in point)
        facts = {"key": key, "data": name, "kind": kind, "at": at, "outside": _outside(known.conditions, point)}
        for method, each in clouds.items():
            scores = [(paper_jsd(*numbered(x, y)), sliced_w1(x, y)) for x, y in zip(each, truth, strict=True)]
            jsd, sliced = np.mean(scores, axis=0)
            rows.append({**facts, "seed": seed, "method": method, "jsd": float(jsd), "w1": float(sliced), **cost})
    return rows


def _keyed(courses: Mapping[Point, Snapshots]) -> dict[float | Point, Snapshots]:
    """Key the courses as `Snapshots.of_conditions` takes them: one covariate has plain values."""
    return {point if len(point) > 1 else sum(point): course for point, course in courses.items()}


def _outside(conditions: Conditions | None, point: Point) -> int:
    return int(conditions is not None and bool(conditions.outside(point)))


def dusp1(key: str, seed: int, kind: str, dose: float) -> list[common.Row]:
    """Leave one dose out, fit the others, and score at its times after the start."""
    species, varied = "nuclear,cytoplasmic", f"{DOSE}:log"
    data = weightflow.read(DUSP1, time="minutes", species=species, conditions=varied, shared_start=True).snapshots
    target = data.courses[(dose,)]
    points = [] if data.conditions is None else data.conditions.points
    kept = data.subset([i for i, point in enumerate(points) if point[0] != dose])
    model, cost = fitted(kept, kind, seed)
    others = condition_baselines(kept, (dose,), seed)
    common_times = set.intersection(*(set(course.times) for course in kept.courses.values() if len(course) > 2))
    places = [k for k in range(1, len(target)) if target.times[k] in common_times]
    times = target.times[places]
    rng = generator(seed, COUNTED, str(dose))
    clouds = {**drawn(model, times, POINTS, {DOSE: dose})}
    clouds |= {other: sampler.sample(times, POINTS, seed) for other, sampler in others.items()}
    scores: dict[str, list[float]] = {}
    for i, k in enumerate(places):
        cloud = rng.permutation(target.samples[k])
        half = min(len(cloud) // 2, POINTS)
        halves = {"perfect": cloud[half : 2 * half], **{name: x[i] for name, x in clouds.items()}}
        for name, x in halves.items():
            scores.setdefault(name, []).append(joint_w1(x[:half], cloud[:half], POINTS))
    facts = {
        "key": key,
        "data": COUNTED,
        "kind": kind,
        "at": f"{dose:g}",
        "outside": _outside(kept.conditions, (dose,)),
    }
    return [
        {**facts, "seed": seed, "method": name, "jsd": 0.0, "w1": float(np.mean(x)), **cost}
        for name, x in scores.items()
    ]


def written(rows: list[dict[str, str]]) -> str:
    """Write what was found: means over seeds, and their deviation."""
    text = ""
    for data in dict.fromkeys(row["data"] for row in rows):
        for kind in dict.fromkeys(row["kind"] for row in rows if row["data"] == data):
            mine = [row for row in rows if (row["data"], row["kind"]) == (data, kind)]
            for measure in ("w1",) if data == COUNTED else ("jsd", "w1"):
                text += f"\n## {data}, {kind}, {'JSD' if measure == 'jsd' else 'W1'}\n\n" + _table(mine, measure)
            cpu, wall = (sorted({float(row[clock]) for row in mine}) for clock in ("cpu", "wall"))
            text += (
                f"\nFits took {cpu[0]:.0f} to {cpu[-1]:.0f} CPU s ({wall[0]:.0f} to {wall[-1]:.0f} s by the clock).\n"
            )
    return text


def _table(rows: list[dict[str, str]], measure: str) -> str:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    outside = {row["at"] for row in rows if row["outside"] == "1"}
    lines = [
        [at + "*" * (at in outside), *(_cell([r for r in rows if r["at"] == at], measure, m) for m in methods)]
        for at in dict.fromkeys(row["at"] for row in rows)
    ]
    inside = [row for row in rows if row["at"] not in outside]
    if inside and rows[0]["data"] != COUNTED:  # doses are too different for a mean
        lines.append(["mean", *(_cell(inside, measure, method) for method in methods)])
        own, spread, best = (
            np.mean([float(row[measure]) for row in inside if row["method"] == method])
            for method in ("model_independent", "model", "perfect")
        )
        ratio = f"\nRatio: {own / best:.2f}; {spread / best:.2f} of evenly spread samples.\n"
    else:
        ratio = ""
    return common.table(["at", *methods], lines) + ratio


def _cell(rows: list[dict[str, str]], measure: str, method: str) -> str:
    by_seed: dict[str, list[float]] = {}
    for row in rows:
        if row["method"] == method:
            by_seed.setdefault(row["seed"], []).append(float(row[measure]))
    return common.spread([float(np.mean(values)) for values in by_seed.values()]) if by_seed else "-"


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
Data = Annotated[Path, typer.Option(help="Folder of the simulated data.")]
Seeds = Annotated[int, typer.Option(help="How many, from 0 on.")]
Cases = Annotated[str, typer.Option(help=f"Separated by semicolons, of {'; '.join((*CASES, COUNTED))}.")]
ALL = ";".join((*CASES, COUNTED))


@app.command()
def simulate(data: Data, seeds: Seeds = 3) -> None:
    """Simulate what is fitted and scored; what is there already is kept."""
    for seed in range(seeds):
        for name in CASES:
            conditions_data.observed(data, name, seed)


@app.command()
def score(
    data: Data,
    seeds: Seeds = 3,
    cases: Cases = ALL,
    kinds: Annotated[str, typer.Option(help="Kinds of dynamics, comma-separated.")] = "ode",
    cpus: Annotated[int, typer.Option(help="Tasks at a time.")] = 2,
    out: common.Out = common.RESULTS,
) -> None:
    """Fit and score, and write a table."""
    chosen = cases.split(";")
    unknown = [name for name in chosen if name not in (*CASES, COUNTED)]
    if unknown:
        raise InputError(f"`--cases` holds `{unknown[0]}`, which is not known; known are {ALL}.")
    each = [(seed, kind) for seed in range(seeds) for kind in kinds.split(",")]
    networks = [
        {"key": f"{name} {kind} {seed}", "name": name, "seed": seed, "kind": kind, "data": str(data.resolve())}
        for seed, kind in each
        for name in chosen
        if name in CASES
    ]
    doses = [
        {"key": f"{COUNTED} {kind} {dose:g} {seed}", "seed": seed, "kind": kind, "dose": dose}
        for seed, kind in each
        for dose in (DOSES if COUNTED in chosen and DUSP1.is_file() else ())
    ]
    common.run_tasks(network, networks, out / "conditions.csv", cpus)
    common.run_tasks(dusp1, doses, out / "conditions.csv", cpus)
    tables(out)


@app.command()
def tables(out: common.Out = common.RESULTS) -> None:
    """Write the table anew, from the rows that there are."""
    title = "One model of several conditions, where it has never seen them"
    rows = common.read_rows(out / "conditions.csv")
    (out / "conditions.md").write_text(common.head(title) + f"\n{ABOUT}\n" + written(rows))


if __name__ == "__main__":
    run(app)
