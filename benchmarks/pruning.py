"""What ends bad trials cheapest: successive halving, Wilcoxon's test over folds or epochs, or one brief round for all.

python benchmarks/pruning.py compare   # what each rule would spend at best; and on trials that were trained before:
python benchmarks/pruning.py curves    # trains random configurations to their ends, and keeps every score

All rules see the same scores of the same trials: what they differ in is what they would have spent, and whether the
trial that they end with is the best one.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import Annotated

import common
import numpy as np
import optuna
import torch
import typer
from jaxtyping import Float
from scipy.stats import wilcoxon
from search import small_space

from weightflow.data import Dataset, Fold, Protocol, Split, split
from weightflow.errors import TrainingError
from weightflow.evaluation.density import evaluated
from weightflow.experiment import ExperimentConfig, Prepared, Trial, nest, prepare
from weightflow.rng import generator
from weightflow.search.study.scheduler import Scheduler
from weightflow.systems import load_dataset
from weightflow.training import TrainingOptions
from weightflow.trials import SchedulerName

CSV = "search-pruning.csv"
ORDERS, FEW = 100, 3  # in which trials are looked at: measured ones, and ideal ones
IDEAL, EPOCHS = 32, 12  # trials and epochs of a search by default
FOLDS = (1, 2, 4, 5, 6, 8)
KEPT = 3  # trials that go on after the brief round
LEVEL = 0.1  # of Wilcoxon's test, Optuna's default
FIRST = 2  # values before it is asked, Optuna's default
STUDY = "weightflow"

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclass(frozen=True, eq=False)
class Curves:
    """The scores of all trials on one system.

    Attributes:
        values: negative log-likelihoods of the held-out snapshots, each the only one of its fold, in nats per sample.
        last: which of them lie after all fitted times.
    """

    values: Float[np.ndarray, "trial epoch fold"]
    last: np.ndarray

    @cached_property
    def scores(self) -> Float[np.ndarray, "trial epoch"]:
        """What is searched: half the mean over interior snapshots, and half that over the last ones."""
        return (self.values[..., ~self.last].mean(-1) + self.values[..., self.last].mean(-1)) / 2

    def ordered(self, order: np.ndarray) -> "Curves":
        return Curves(self.values[order], self.last)

    @property
    def trials(self) -> int:
        return len(self.values)

    @property
    def epochs(self) -> int:
        return self.values.shape[1]

    @property
    def folds(self) -> int:
        return self.values.shape[2]


@app.command()
def curves(
    systems: Annotated[str, typer.Option(help="Comma-separated names.")] = "epidemic,toggle_switch",
    trials: Annotated[int, typer.Option(min=4, help="On each system.")] = 24,
    cpus: Annotated[int, typer.Option(min=1, help="Trials at a time.")] = 1,
    out: common.Out = common.RESULTS,
) -> None:
    """Train random configurations of the small space that `search.py efficiency` searches, one fold after the other."""
    folds = {system: len(_judged(system).folds) for system in systems.split(",")}
    tasks = [
        {"key": f"{system} {fold}", "system": system, "fold": fold, "trials": trials}
        for system, n in folds.items()
        for fold in range(n)
    ]
    common.run_tasks(trained, tasks, out / CSV, cpus)


def trained(key: str, system: str, fold: int, trials: int) -> list[common.Row]:
    """Train all configurations on one fold."""
    torch.set_num_threads(1)
    judged, space = _judged(system), small_space()
    part = judged.folds[fold]
    prepared = prepare(part.fit, ExperimentConfig.parse(nest(space.fixed)), 0, anchors=True)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    place = {"system": system, "fold": fold, "last": int(part.held_out.times[0] in judged.last.times)}
    rows: list[common.Row] = []
    for number in range(trials):
        asked = study.ask()
        space(asked)
        config = ExperimentConfig.parse(nest(space.configuration(asked.params)))
        with suppress(TrainingError):  # the rows that are missing tell it
            rows += [{**place, "trial": number, **row} for row in _epochs(part, prepared, config)]
    typer.echo(f"{key}: {len(rows)} scores", err=True)
    return rows


def _judged(system: str) -> Split:
    """Split the snapshots at the seen times alone, as a user has them who measured no more."""
    seen = load_dataset(system, 0).visible
    return split(Dataset(system, seen, tuple(range(len(seen))), paired=False), Protocol.LEAVE_ONE_OUT, 0)


def _epochs(fold: Fold, prepared: Prepared, config: ExperimentConfig) -> Iterator[common.Row]:
    trial = Trial(prepared, config, 0)
    for report in trial.epochs():
        (density,) = evaluated(trial.model(), fold.held_out.times, fold.held_out.samples)
        yield {"epoch": report.epoch, "nll": f"{-density.mean():.6g}"}


@app.command()
def compare(out: common.Out = common.RESULTS) -> None:
    """Let each rule decide about the same trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    text = common.head("What ends bad trials cheapest") + _best_case()
    rows = common.read_rows(out / CSV)
    text += _measured(rows) if rows else ""
    (out / "search-pruning.md").write_text(text)
    typer.echo(text)


def _best_case() -> str:
    """Say what the rules spend where every trial can be told from every other one, on each fold and at once."""
    text = (
        f"\n## At best\n\n{IDEAL} trials of {EPOCHS} epochs, each the same on all folds from its first epoch on, and "
        "no two alike: no data could make it easier for a rule to end the worse ones. Epochs that each rule spends, as "
        f"a share of those of all trials; means over {FEW} random orders. All of them end with the best trial, but the "
        "one that trains half of them. Searches hold out one time in each of 2 to 8 folds, or all of them in a single "
        "one.\n\n"
    )
    costs = {folds: [[_share(rule, one) for one in _ideal(folds)] for rule in RULES.values()] for folds in FOLDS}
    lines = [
        [name, *(f"{fmean(costs[folds][i]):.0%}" for folds in FOLDS)] for i, name in enumerate(RULES)
    ]  # fmt: skip
    text += common.table(["rule", *(f"{folds} fold{'s' if folds > 1 else ''}" for folds in FOLDS)], lines)
    return text + (
        "\nWilcoxon's signed-rank test over n folds cannot have a p-value below 2^-n: at the level 0.1 it is silent "
        "about fewer than four. Fold after fold, as `WilcoxonPruner` is meant to be used, it spends more than "
        "successive halving even here, where it has all that it needs. Over the folds of each epoch it could spend "
        "less, where there are four folds at least; whether it finds the best of real trials then is for `curves` to "
        "say.\n"
    )


def _share(rule: "Rule", curves: Curves) -> float:
    spent, _ = rule(curves)
    return spent / (curves.trials * curves.epochs * curves.folds)


def _ideal(folds: int) -> Iterator[Curves]:
    rng, last = generator(0, "orders"), np.arange(folds) == folds - 1
    if folds == 1:  # which holds out all times
        folds, last = 2, np.array([False, True])
    for _ in range(FEW):
        yield Curves(np.tile(rng.permutation(IDEAL).astype(float)[:, None, None], (1, EPOCHS, folds)), last)


def _measured(rows: list[dict[str, str]]) -> str:
    text = (
        f"\nRandom configurations of the small space of `search-efficiency.md`, trained to their ends (`{CSV}` has "
        "every score), each fitted without one time after the other (protocol `leave-one-out`); those that diverge, "
        "which every rule ends, are left out. Every rule then sees the trials in the same "
        f"{ORDERS} random orders. `spent`: epochs over all folds, as a share of those of all trials. `lost`: by how "
        "many nats per sample the score of the trial that a rule ends with exceeds that of the best one. Means over "
        "orders ± standard deviation between them. Wilcoxon's test is Optuna's `WilcoxonPruner`, at the level "
        f"{LEVEL:g}: trials are fitted fold after fold, and held against the best trial on the same folds.\n"
    )
    for system in dict.fromkeys(row["system"] for row in rows):
        found = _read([row for row in rows if row["system"] == system])
        text += f"\n## {system}: {found.trials} trials, {found.folds} folds, {found.epochs} epochs\n\n"
        text += common.table(["rule", "spent", "lost, nats", "best one found"], _compared(found))
    return text


def _read(rows: list[dict[str, str]]) -> Curves:
    shape = [1 + max(int(row[name]) for row in rows) for name in ("trial", "epoch", "fold")]
    values, last = np.full(shape, np.nan), np.zeros(shape[2], dtype=bool)
    for row in rows:
        values[int(row["trial"]), int(row["epoch"]), int(row["fold"])] = float(row["nll"])
        last[int(row["fold"])] = row["last"] == "1"
    whole = values[:, 1:]  # epochs are counted from one
    return Curves(whole[np.isfinite(whole).all((1, 2))], last)


def _compared(found: Curves) -> Iterator[list[str]]:
    rng, best = generator(0, "orders"), float(np.nanmin(found.scores[:, -1]))
    orders = [found.ordered(rng.permutation(found.trials)) for _ in range(ORDERS)]
    for name, rule in RULES.items():
        ends = [rule(one) for one in orders]
        spent = [cost / (found.trials * found.epochs * found.folds) for cost, _ in ends]
        lost = [score - best for _, score in ends]
        yield [
            name,
            f"{fmean(spent):.0%} ± {stdev(spent):.0%}",
            f"{fmean(lost):.4f} ± {stdev(lost):.4f}",
            f"{fmean(value == 0 for value in lost):.0%}",
        ]


# Rules: each returns the epochs that it spends, over all folds, and the score of the trial that it ends with.


def _all(curves: Curves) -> tuple[float, float]:
    return curves.trials * curves.epochs * curves.folds, float(curves.scores[:, -1].min())


def _half(curves: Curves) -> tuple[float, float]:
    return _all(Curves(curves.values[: curves.trials // 2], curves.last))


def _grace(curves: Curves) -> int:
    return TrainingOptions(epochs=curves.epochs).grace_epochs


def _halving(curves: Curves) -> tuple[float, float]:
    """Asynchronous successive halving, as searches do by default: all folds are trained side by side."""
    scheduler = Scheduler(SchedulerName.ASHA, _grace(curves), curves.epochs, STUDY)
    spent, best = 0, np.inf
    for number, scores in enumerate(curves.scores):
        ended = next((e for e in range(1, curves.epochs) if scheduler.ends(number, e, scores[e - 1])), curves.epochs)
        spent += ended * curves.folds
        if ended == curves.epochs:
            best = min(best, scores[-1])
    return spent, float(best)


def _brief(curves: Curves) -> tuple[float, float]:
    """Train all briefly, and keep the best few."""
    brief = _grace(curves)
    kept = np.argsort(curves.scores[:, brief - 1])[:KEPT]
    spent = (curves.trials * brief + len(kept) * (curves.epochs - brief)) * curves.folds
    return spent, float(curves.scores[kept, -1].min())


def _wilcoxon(curves: Curves) -> tuple[float, float]:
    """Fit fold after fold to the end, and end trials that are worse than the best one on the folds so far."""
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=LEVEL, n_startup_steps=FIRST)
    study = optuna.create_study(pruner=pruner)
    spent, best = 0, np.inf
    for values, scores in zip(curves.values, curves.scores, strict=True):
        trial = study.ask()
        for fold in range(curves.folds):
            trial.report(values[-1, fold], fold)
            spent += curves.epochs
            if fold + 1 < curves.folds and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, scores[-1])
            best = min(best, scores[-1])
    return spent, float(best)


def _wilcoxon_each_epoch(curves: Curves) -> tuple[float, float]:
    """Train folds side by side, and end a trial whose folds are worse than those of the best one after as many epochs.

    The test is that of `WilcoxonPruner`, which knows one kind of step only.
    """
    spent, best = 0, -1
    for number in range(curves.trials):
        ended = curves.epochs
        for epoch in range(_grace(curves), curves.epochs if best >= 0 else 0):
            differences = curves.values[number, epoch - 1] - curves.values[best, epoch - 1]
            if wilcoxon(differences, alternative="greater", zero_method="zsplit").pvalue < LEVEL:
                ended = epoch
                break
        spent += ended * curves.folds
        if ended == curves.epochs and (best < 0 or curves.scores[number, -1] < curves.scores[best, -1]):
            best = number
    return spent, float(curves.scores[best, -1])


Rule = Callable[[Curves], tuple[float, float]]
RULES: Mapping[str, Rule] = {
    "none (random search)": _all,
    "none, half as many trials": _half,
    "successive halving": _halving,
    f"all briefly, best {KEPT} to the end": _brief,
    "Wilcoxon, fold after fold": _wilcoxon,
    "Wilcoxon over folds, after each epoch": _wilcoxon_each_epoch,
}


if __name__ == "__main__":
    app()
