"""`weightflow tune`, which `launch/tune.py` is too."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from weightflow.cli.options import (
    BUDGET,
    HEAD,
    HORIZON,
    MACHINE,
    RESULTS,
    SEARCH,
    HeadOfCounts,
    Horizon,
    Members,
    Register,
    Seed,
)
from weightflow.cli.reading import reads_data
from weightflow.data import Protocol, ReadOptions
from weightflow.stopping import STOPPED
from weightflow.systems import load_dataset
from weightflow.trials import Parameter, SamplerName, SchedulerName

BEGAN = time.monotonic()  # the process has hardly begun: torch, Ray and MLflow are imported later


@reads_data
def tune(
    data: Annotated[
        str,
        typer.Option(help="A built-in system (epidemic), a file, or s3://BUCKET/FILE.", rich_help_panel=SEARCH),
    ] = "epidemic",
    space: Annotated[
        Path | None,
        typer.Option(
            help="Search space, a YAML file [default: search_spaces/default.yaml, with --conditions conditions.yaml].",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(help="GPUs to use at most; all that there are by default.", rich_help_panel=MACHINE)
    ] = None,
    cpus: Annotated[
        int | None,
        typer.Option(help="CPUs to use at most; all that this process may use by default.", rich_help_panel=MACHINE),
    ] = None,
    elastic: Annotated[
        bool,
        typer.Option(
            help="Begin with what there is, since nodes will join; with an autoscaler it is so anyway.",
            rich_help_panel=MACHINE,
        ),
    ] = False,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="GPUs of a trial, a part or whole ones [measured by default].", rich_help_panel=MACHINE
        ),
    ] = None,
    cpus_per_trial: Annotated[
        float | None, typer.Option(metavar="X", help="CPUs of a trial [1 by default].", rich_help_panel=MACHINE)
    ] = None,
    memory_per_trial: Annotated[
        str | None,
        typer.Option(
            metavar="X", help="Memory set aside for a trial, such as 2G [measured by default].", rich_help_panel=MACHINE
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Trials at most, repeats not counted.", rich_help_panel=BUDGET)
    ] = 32,
    time_budget: Annotated[
        str | None,
        typer.Option(
            help="Time for anchors and trials, such as 90s, 30m or 2h; repeats and final fit come after it "
            "[default: 6m, or what --deadline leaves].",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time for everything from the start of this command on, final fit included.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    trial_time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Time after which a trial is ended; no limit by default.", rich_help_panel=BUDGET
        ),
    ] = None,
    cpu_hours: Annotated[
        float | None, typer.Option(min=0, help="CPU-hours for trials; no limit by default.", rich_help_panel=BUDGET)
    ] = None,
    gpu_hours: Annotated[
        float | None, typer.Option(min=0, help="GPU-hours for trials; no limit by default.", rich_help_panel=BUDGET)
    ] = None,
    drain: Annotated[
        bool,
        typer.Option(
            help="Let trials finish that run when a budget is used up; else they are stopped.", rich_help_panel=BUDGET
        ),
    ] = False,
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="How the model is judged: auto leaves out one time after another where there are few.",
            rich_help_panel=SEARCH,
        ),
    ] = Protocol.AUTO,
    name: Annotated[
        str | None, typer.Option(help="Name of the search; data and time by default.", rich_help_panel=RESULTS)
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Go on with the search of this name; give the other options as before.", rich_help_panel=RESULTS
        ),
    ] = None,
    sampler: Annotated[
        SamplerName, typer.Option(help="Who proposes configurations.", rich_help_panel=SEARCH)
    ] = SamplerName.TPE,
    scheduler: Annotated[
        SchedulerName,
        typer.Option(help="Who ends trials that do worse than others after as many epochs.", rich_help_panel=SEARCH),
    ] = SchedulerName.ASHA,
    minimize: Annotated[
        str,
        typer.Option(
            help="What is minimised: score, or several such as score,seconds,parameters (a Pareto front).",
            rich_help_panel=SEARCH,
        ),
    ] = "score",
    repeats: Annotated[
        int,
        typer.Option(
            min=1,
            help="Seeds for each of the three best configurations; the fresh ones alone decide.",
            rich_help_panel=SEARCH,
        ),
    ] = 3,
    stop_at_floor: Annotated[
        bool,
        typer.Option(
            help="End once held-out data cannot be told from draws of the best trial.", rich_help_panel=SEARCH
        ),
    ] = True,
    warm_start: Annotated[
        str | None,
        typer.Option(
            help="Try the best configurations of this earlier search early, on other data too.", rich_help_panel=SEARCH
        ),
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, help="How often a trial that fails is tried again.", rich_help_panel=SEARCH)
    ] = 2,
    members: Members = 0,
    register: Register = False,
    seed: Seed = 0,
    address: Annotated[
        str | None,
        typer.Option(
            help="A running Ray cluster: auto or HOST:PORT [default: what RAY_ADDRESS names; else Ray starts here].",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    out: Annotated[
        str, typer.Option(help="Results go to OUT/NAME: a folder, or s3://BUCKET/PATH.", rich_help_panel=RESULTS)
    ] = "runs",
    mlflow: Annotated[
        Path | None, typer.Option(help="Where runs are tracked [default: mlflow.yml].", rich_help_panel=RESULTS)
    ] = None,
    head: HeadOfCounts = None,
    horizon: Horizon = None,
    *,
    reading: ReadOptions,
) -> None:
    """Search for the best model of your snapshots, fit it, score it beside baselines, and report.

    With no argument it searches on the built-in epidemic with all that the machine has.

    \b
    python launch/tune.py --time-budget 30m
    python launch/tune.py --data counts.csv --protocol forecast --gpus 4 --name my-cells
    """
    dataset = load_dataset(data, seed, reading)
    # Not above: neither --help, nor what is wrong with the data, need wait for torch, Ray and MLflow.
    from weightflow.search.request import tune as search
    from weightflow.search.results.summary import print_outcome

    console = Console(emoji=False, markup=False)  # times such as 0:100:1 are no emoji
    result = search(
        dataset,
        space=space,
        trials=trials,
        time_budget=time_budget,
        deadline=deadline,
        trial_time=trial_time,
        cpus=cpus,
        gpus=gpus,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        memory_per_trial=memory_per_trial,
        elastic=elastic,
        cpu_hours=cpu_hours,
        gpu_hours=gpu_hours,
        drain=drain,
        protocol=protocol,
        name=name,
        resume=resume,
        sampler=sampler,
        scheduler=scheduler,
        minimize=minimize,
        repeats=repeats,
        stop_at_floor=stop_at_floor,
        warm_start=warm_start,
        retries=retries,
        members=members,
        register=register,
        seed=seed,
        address=address,
        out=out,
        mlflow=mlflow,
        fixed=fixed_by(head, horizon),
        console=console,
        began=BEGAN,
    )
    print_outcome(console, result.outcome, mlflow)
    if not result.finished:
        raise typer.Exit(STOPPED)


def fixed_by(head: HeadOfCounts, horizon: Horizon) -> dict[str, Parameter]:
    """Return what these options fix for all trials, by dotted key."""
    return {**({} if head is None else {HEAD: head.value}), **({} if horizon is None else {HORIZON: horizon})}
