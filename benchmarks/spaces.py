"""One search space beside another, at equal compute: real searches but for Ray, one trial after the other.

python benchmarks/spaces.py --spaces old.yaml,new.yaml --systems epidemic,noisy_lotka_volterra --seeds 101 --budget 300

Time is CPU time, so that it means the same on a busy machine. Preparing counts: a space that asks for much of it has
fewer trials.
"""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import common
import numpy as np
import torch
import typer
import zoo_data

from weightflow.cache import ArrayCache
from weightflow.data import Dataset, Protocol, Split, shapes, split
from weightflow.data.spread import deviation
from weightflow.errors import TrainingError
from weightflow.evaluation import held_out_score
from weightflow.experiment import ExperimentConfig, Trial, flat_keys, nest, prepare
from weightflow.metrics.energy import energy_distance
from weightflow.model import WeightFlow
from weightflow.search.space.space import Space
from weightflow.search.study.options import SearchOptions
from weightflow.search.study.study import Study
from weightflow.systems import load_dataset
from weightflow.trials import TrialRecord, TrialState

CSV = "search-spaces.csv"
DRAWS = 1000
FOREVER = 1e9

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclass
class Running:
    """A search that runs in this process.

    Attributes:
        parts: of the data; one fold.
        study: of the search.
        cache: of preparations, its own: each space pays for all that it asks for.
        seed: of everything.
        best: the model of the best finished trial, with its score.
    """

    parts: Split
    study: Study
    cache: ArrayCache
    seed: int
    best: tuple[float, WeightFlow] | None = None

    def until(self, budget: float) -> None:
        """Run trials until the CPU time is used up; the one that runs then is left as it is."""
        began = time.process_time()
        while (record := self.study.next_trial()) is not None:
            if not self._ends(record, began + budget):
                break
        self.study.stop_running()

    def _ends(self, record: TrialRecord, end: float) -> bool:
        (fold,) = self.parts.folds
        config, number = ExperimentConfig.parse(nest(record.params)), record.number
        try:
            trial = Trial(prepare(fold.fit, config, self.seed, cache=self.cache), config, self.seed)
            for report in trial.epochs():
                if time.process_time() > end:
                    return False
                score = held_out_score(trial.model(), self.parts.interior, self.parts.last).score
                if self.study.report(number, report.epoch, {"score": score}, time.process_time()):
                    self.study.end(number, TrialState.PRUNED)
                    return True
        except TrainingError as error:
            self.study.end(number, TrialState.FAILED, str(error))
            return True
        self.study.end(number, TrialState.FINISHED)
        score = self.study.records[number].score
        if score is not None and (self.best is None or score < self.best[0]):
            self.best = score, trial.model()
        return True


def searched(key: str, system: str, seed: int, space: str, budget: float) -> list[common.Row]:
    """Search one space on one data set, and score its best trial on fresh samples at times that were never seen."""
    torch.set_num_threads(1)
    parts = split(_dataset(system, seed), Protocol.INTERPOLATION, seed)
    read = Space.read(Path(space), flat_keys())
    options = SearchOptions(trials=1000, time_budget=FOREVER, stop_at_floor=False, repeats=1, shapes=shapes(parts.seen))
    _, first = next(options.first_points(read))
    training = ExperimentConfig.parse(nest(read.configuration(first))).training
    with tempfile.TemporaryDirectory() as name:
        identity = {"space": read.content()}
        study = Study(Path(name), read, options, training.epochs, training.grace_epochs, seed, identity, {})
        running = Running(parts, study, ArrayCache(Path(name) / "cache"), seed)
        running.until(budget)
        records = study.all()
        teachers = len(list(Path(name).glob("cache/teacher-*.safetensors")))
        study.close()
    ended = [record for record in records if record.state is not TrialState.STOPPED]
    best = study.best
    if best is None or running.best is None:
        return []
    nll, energy = _on_fresh(running.best[1], parts)
    row: common.Row = {
        "system": system,
        "seed": seed,
        "space": Path(space).stem,
        "budget": budget,
        "trials": len(ended),
        "finished": sum(record.state is TrialState.FINISHED for record in ended),
        "teachers": teachers,
        "default": f"{records[0].score:.5g}",
        "best": f"{running.best[0]:.5g}",
        "number": best.number,
        "preparation": best.preparation,
        "kind": str(best.params["dynamics.kind"]),
        "nll": f"{nll:.5g}",
        "energy": f"{energy:.5g}",
    }
    typer.echo(f"{key}: {row}", err=True)
    return [row]


def _dataset(system: str, seed: int) -> Dataset:
    """Simulate a built-in system, or solve an equation of the zoo."""
    if system not in zoo_data.EQUATIONS:
        return load_dataset(system, seed)
    with tempfile.TemporaryDirectory() as folder:
        zoo_data.write(Path(folder), system, seed)
        made = zoo_data.read(Path(folder), system, seed)
    return Dataset(system, made.training, made.seen, paired=False, fresh=made.fresh, reference=made.reference)


def _on_fresh(model: WeightFlow, parts: Split) -> tuple[float, float]:
    """Return the negative log-likelihood and the energy distance, species in deviations, over the tested times."""
    test, unit = parts.test, deviation(parts.seen.pooled())
    draws = model.sample(test.times, DRAWS, seed=1).numpy()
    lost = [-float(model.log_prob(cloud, time).mean()) for time, cloud in zip(test.times, test.samples, strict=True)]
    apart = [energy_distance(drawn / unit, cloud / unit) for drawn, cloud in zip(draws, test.samples, strict=True)]
    return float(np.mean(lost)), float(np.mean(apart))


@app.command()
def main(
    spaces: Annotated[str, typer.Option(help="Comma-separated files.")] = "search_spaces/default.yaml",
    systems: Annotated[str, typer.Option(help="Comma-separated names.")] = "epidemic,noisy_lotka_volterra",
    seeds: Annotated[str, typer.Option(help="Comma-separated, of data and search.")] = "101",
    budget: Annotated[float, typer.Option(min=1, help="CPU seconds of each search.")] = 300.0,
    cpus: Annotated[int, typer.Option(min=1, help="Searches at a time.")] = 1,
    out: common.Out = common.RESULTS,
) -> None:
    """Search each space on each system; rows that the CSV file has are not made again."""
    tasks = [
        {"key": f"{system} {seed} {Path(space).stem} {budget:g}", "system": system, "seed": seed, "space": space,
         "budget": budget}
        for seed in map(int, seeds.split(",")) for system in systems.split(",") for space in spaces.split(",")
    ]  # fmt: skip
    common.run_tasks(searched, tasks, out / CSV, cpus)
    rows = common.read_rows(out / CSV)
    text = common.head("One search space beside another")
    text += (
        "\nSearches with the sampler, early stopping and first trials of a search, one trial after the other without "
        "Ray, until a budget of CPU seconds is used up that preparations are paid from as well. `teachers`: how many "
        "preparations were made. `held-out`: the score that is searched, of the default (trial 0) and of the best "
        "trial. `fresh`: negative log-likelihood (nats per sample) and energy distance (in deviations) of the best "
        "trial's model, as fitted to the fold, on fresh samples at all unseen times. Lower is better.\n\n"
    )
    columns = ["system, seed", "CPU s", "space", "trials ended (finished)", "teachers", "held-out: default → best",
               "best trial", "fresh: nll", "fresh: energy"]  # fmt: skip
    text += common.table(columns, [_told(row) for row in rows])
    (out / "search-spaces.md").write_text(text)
    typer.echo(text)


def _told(row: Mapping[str, str]) -> list[str]:
    best = f"{row['number']}: {row['kind']} {row['preparation']}".strip()
    return [
        f"{row['system']}, {row['seed']}",
        f"{float(row['budget']):g}",
        row["space"],
        f"{row['trials']} ({row['finished']})",
        row["teachers"],
        f"{row['default']} → {row['best']}",
        best,
        row["nll"],
        row["energy"],
    ]


if __name__ == "__main__":
    app()
