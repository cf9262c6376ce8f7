"""Search, train, score and track a model of a stochastic system: see `python launch/tune.py --help`."""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a fresh checkout, or one unpacked by a cluster, runs without being installed

from weightflow.stopping import STOPPED, listen

if __name__ == "__main__":
    listen()  # first of all: the imports below take a second, in which Ctrl-C may be pressed too

import typer
from rich.console import Console

from weightflow.cli.options import HEAD, HeadOfCounts
from weightflow.cli.reading import reads_data
from weightflow.cli.running import run
from weightflow.data import Protocol, ReadOptions
from weightflow.errors import InputError
from weightflow.systems import load_dataset
from weightflow.trials import Criterion, SamplerName, SchedulerName

app = typer.Typer(
    add_completion=False, rich_markup_mode="markdown", context_settings={"help_option_names": ["-h", "--help"]}
)
LONGEST_NAME = 60


@app.command()
@reads_data
def tune(
    data: Annotated[str, typer.Option(help="A built-in system (epidemic), or a file.")] = "epidemic",
    space: Annotated[Path, typer.Option(help="Search space, a YAML file.")] = ROOT / "search_spaces" / "default.yaml",
    gpus: Annotated[int | None, typer.Option(help="GPUs to use; all that there are by default.")] = None,
    cpus: Annotated[int | None, typer.Option(help="CPUs to use; all that this process may use by default.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials at most, repeats not counted.")] = 32,
    time_budget: Annotated[
        str,
        typer.Option(help="Time for anchors and trials, such as 90s, 30m or 2h; repeats and final fit come after it."),
    ] = "6m",
    cpu_hours: Annotated[float | None, typer.Option(min=0, help="CPU-hours for trials; no limit by default.")] = None,
    gpu_hours: Annotated[float | None, typer.Option(min=0, help="GPU-hours for trials; no limit by default.")] = None,
    drain: Annotated[
        bool, typer.Option(help="Let trials finish that run when a budget is used up; else they are stopped.")
    ] = False,
    protocol: Annotated[
        Protocol,
        typer.Option(help="How the model is judged: auto leaves out one time after another where there are few."),
    ] = Protocol.AUTO,
    name: Annotated[str | None, typer.Option(help="Name of the search; data and time by default.")] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with the search of this name; give the other options as before.")
    ] = None,
    sampler: Annotated[SamplerName, typer.Option(help="Who proposes configurations.")] = SamplerName.TPE,
    scheduler: Annotated[
        SchedulerName, typer.Option(help="Who ends trials that do worse than others after as many epochs.")
    ] = SchedulerName.ASHA,
    minimize: Annotated[
        str,
        typer.Option(help="What is minimised: score, or several such as score,seconds,parameters (a Pareto front)."),
    ] = "score",
    repeats: Annotated[
        int, typer.Option(min=1, help="Seeds for each of the three best configurations; the fresh ones alone decide.")
    ] = 3,
    stop_at_floor: Annotated[
        bool, typer.Option(help="End once held-out data cannot be told from draws of the best trial.")
    ] = True,
    warm_start: Annotated[
        str | None, typer.Option(help="Try the best configurations of this earlier search early, on other data too.")
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="How often a trial that fails is tried again.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Rules all random numbers.")] = 0,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster: auto or HOST:PORT. Starts Ray here by default.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Results go to OUT/NAME.")] = Path("runs"),
    mlflow: Annotated[Path, typer.Option(help="Where runs are tracked.")] = ROOT / "mlflow.yml",
    head: HeadOfCounts = None,
    *,
    reading: ReadOptions,
) -> None:
    """Search for the best model of your snapshots, fit it, score it beside baselines, and report.

    With no argument it searches on the built-in epidemic with all that the machine has.

    **Examples**

    `python launch/tune.py --time-budget 30m`

    `python launch/tune.py --data counts.csv --protocol forecast --gpus 4 --name my-cells`
    """
    # Not above: --help need not wait for torch, Ray and MLflow.
    from weightflow.experiment import ExperimentConfig, flat_keys, nest
    from weightflow.search.book import best_points
    from weightflow.search.cluster import connected
    from weightflow.search.plan import Plan
    from weightflow.search.say import saying
    from weightflow.search.space import Space
    from weightflow.search.study import Search, run_search
    from weightflow.search.summary import print_outcome
    from weightflow.tracking import TrackingConfig

    if name and resume:
        raise InputError(
            f"`--name {name}` starts a search and `--resume {resume}` goes on with one; give one of the two."
        )
    console = Console(emoji=False, markup=False)  # times such as 0:100:1 are no emoji
    say = saying(console)
    tracking = TrackingConfig.read(mlflow)
    folder = out.expanduser().resolve()
    searched = Space.read(space, flat_keys(), lambda flat: ExperimentConfig.parse(nest(flat)))
    dataset = load_dataset(data, seed, reading)
    for sentence in dataset.reading:
        say(f"{dataset.name}: {sentence}")
    search = Search(
        dataset=dataset,
        protocol=protocol,
        space=searched if head is None else searched.fixing(HEAD, head.value),
        tracking=tracking,
        name=resume or _name(name, data, say),
        out=folder,
        seed=seed,
        plan=Plan(
            trials=trials,
            time_budget=_seconds(time_budget),
            cpu_hours=cpu_hours,
            gpu_hours=gpu_hours,
            drain=drain,
            sampler=sampler,
            scheduler=scheduler,
            criteria=_criteria(minimize),
            repeats=repeats,
            stop_at_floor=stop_at_floor,
            retries=retries,
            warm_start=() if warm_start is None else best_points(folder / warm_start),
        ),
        resume=resume is not None,
    )
    search.check()
    with connected(address, cpus, gpus, say) as resources:
        outcome = run_search(search, resources, console)
    print_outcome(console, outcome, mlflow)
    if outcome.scores is None:
        raise typer.Exit(STOPPED)


def _criteria(text: str) -> tuple[Criterion, ...]:
    names = [name.strip() for name in text.split(",")]
    known = [criterion.value for criterion in Criterion]
    if names[0] != Criterion.SCORE or len({*names}) < len(names) or not {*names} <= {*known}:
        raise InputError(
            f"`--minimize {text}` cannot be read; write {Criterion.SCORE.value}, alone or followed by "
            f"{' and '.join(known[1:])}, each once, with commas between."
        )
    return tuple(Criterion(name) for name in names)


def _name(name: str | None, data: str, say: Callable[[str], None]) -> str:
    """Return the name that was given, or make one of the data's."""
    if name is None:
        return f"{_made_name(Path(data).stem, say)}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not re.fullmatch(r"[\w][\w.-]*", name) or len(name) > LONGEST_NAME:
        raise InputError(
            f"`--name {name}` cannot be a folder's name; use letters, digits, '.', '_' and '-', {LONGEST_NAME} at most."
        )
    return name


def _made_name(stem: str, say: Callable[[str], None]) -> str:
    """Make a folder's name of a file's, which may hold anything; a system takes 255 bytes, 4 for a letter."""
    made = re.sub(r"[^\w.-]+", "-", stem)[:LONGEST_NAME].strip("-.") or "data"
    if made != stem:
        say(f"the search is named `{made}` after `{stem}`; --name gives it another name")
    return made


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    if seconds <= 0:
        raise InputError(f"`--time-budget {text}` cannot be read; write a time above 0 such as 90s, 30m or 2h.")
    return seconds


if __name__ == "__main__":
    run(app)
