"""One call for a whole search: what `weightflow tune`, `launch/tune.py` and a notebook ask for."""

import math
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from weightflow.data import Dataset, Protocol, Snapshots, read
from weightflow.errors import InputError, nearest_first
from weightflow.experiment import ExperimentConfig, flat_keys, nest, whole_keys
from weightflow.search.cluster.connection import connected
from weightflow.search.cluster.resources import Wanted, read_memory
from weightflow.search.home import Home
from weightflow.search.result import SearchResult
from weightflow.search.results.outcome import stopped
from weightflow.search.run import run_search
from weightflow.search.say import Say, saying
from weightflow.search.search import Search
from weightflow.search.shipped import shipped_file
from weightflow.search.space.space import Space
from weightflow.search.study.options import Point, SearchOptions
from weightflow.search.study.reading import best_points, read_study, space_of
from weightflow.systems import load_dataset
from weightflow.tracking import TrackingConfig
from weightflow.trials import Criterion, Parameter, SamplerName, SchedulerName
from weightflow.types import whole_number

if TYPE_CHECKING:
    from pandas import DataFrame

Named = TypeVar("Named", bound=StrEnum)
LONGEST_NAME = 60
DEFAULT_SPACE, CONDITION_SPACE = "search_spaces/default.yaml", "search_spaces/conditions.yaml"
TRACKING = "mlflow.yml"


def tune(
    data: "Dataset | Snapshots | DataFrame | str | Path" = "epidemic",
    *,
    space: str | Path | None = None,
    trials: int = 32,
    time_budget: str | float | None = None,
    deadline: str | float | None = None,
    trial_time: str | float | None = None,
    cpus: int | None = None,
    gpus: int | None = None,
    cpus_per_trial: int | float | None = None,
    gpus_per_trial: int | float | None = None,
    memory_per_trial: str | None = None,
    elastic: bool = False,
    cpu_hours: float | None = None,
    gpu_hours: float | None = None,
    drain: bool = False,
    protocol: Protocol | str = Protocol.AUTO,
    name: str | None = None,
    resume: str | None = None,
    sampler: SamplerName | str = SamplerName.TPE,
    scheduler: SchedulerName | str = SchedulerName.ASHA,
    minimize: str = "score",
    repeats: int = 3,
    stop_at_floor: bool = True,
    warm_start: str | None = None,
    retries: int = 2,
    members: int = 0,
    register: bool = False,
    seed: int = 0,
    address: str | None = None,
    out: str | Path = "runs",
    mlflow: str | Path | None = None,
    fixed: Mapping[str, Parameter] | None = None,
    progress: bool = True,
    console: Console | None = None,
    began: float | None = None,
) -> SearchResult:
    """Search for the best model of snapshots, fit it, score it beside baselines, and report.

    It may be interrupted (the result then holds what was finished, and `resume` goes on), and called again in the same
    process. A Ray that runs in this process already is used, and left running.

    Args:
        data: what is modelled: a data set (`weightflow.read`), snapshots, a built-in name, or a path or a table of
            pandas that needs no options to be read.
        space: a YAML file; where it is None the default space, of several conditions the one that is made for them.
        trials: at most, repeats not counted.
        time_budget: wall time for preparation and trials: seconds, or text such as 90s, 30m or 2h30m; six minutes by
            default, or with a deadline as much as that leaves.
        deadline: wall time for all that this call does, repeats, final fit and report included, in the same form.
            Trials end early enough for what follows them, as far as can be told from what was measured; repeats for
            which no time is left are left out.
        trial_time: wall time of one trial, after which it is ended.
        cpus: to use at most; all that this process may use by default. A cluster that can grow is asked for them.
        gpus: to use at most; all that there are by default. The same holds.
        cpus_per_trial: CPUs that each trial takes.
        gpus_per_trial: GPUs that each trial takes: a part of one, or whole ones.
        memory_per_trial: memory that each trial takes, such as 2G.
        elastic: begin although there is less than was asked for, since nodes will join.
        cpu_hours: CPU-hours for trials; no limit by default.
        gpu_hours: the same for GPUs.
        drain: let trials finish that run when a budget is used up.
        protocol: how the model is judged.
        name: of the search and its folder; data and time by default.
        resume: go on with the search of this name; give the other arguments as before. Its space need not be given.
        sampler: who proposes configurations.
        scheduler: who ends trials that do worse than others after as many epochs.
        minimize: `score`, or several criteria with commas between.
        repeats: seeds for each of the three best configurations.
        stop_at_floor: end once held-out data cannot be told from draws of the best trial.
        warm_start: try the best configurations of this earlier search early.
        retries: how often a trial that fails is tried again.
        members: how many more fits of the best configuration, to resampled units, say by their spread how sure the
            model is.
        register: whether the model becomes a version of the registered one whatever its scores are; otherwise it must
            beat persistence, the mixture and McCann beyond chance.
        seed: rules all random numbers.
        address: of a running Ray cluster, `auto` or HOST:PORT; by default the one that RAY_ADDRESS names, or else Ray
            starts here.
        out: results go to OUT/NAME: a folder, or a URI of an object store (`s3://bucket/searches`), where the search
            is copied to as it goes on.
        mlflow: a file that says where runs are tracked; `mlflow.yml` of the current folder or of the checkout by
            default, and what it would say where there is none.
        fixed: configuration values by dotted key that hold for every trial, in the place of the space's own.
        progress: whether to say what is going on.
        console: where; the terminal, or the notebook's cell, by default.
        began: when the deadline's time began, by `time.monotonic`; with this call by default.

    Raises:
        InputError: what was asked for does not go together or cannot be had; nothing was started.
        SearchError: no trial finished, the disk is full, or the store of `out` was not there at the end.
    """
    began = time.monotonic() if began is None else began
    for option, earlier in (("resume", resume), ("warm-start", warm_start)):
        if earlier == "":
            raise InputError(
                f"`--{option}` is empty, as where a variable of a script is not set; give the name of a search."
            )
    if name and resume:
        raise InputError(
            f"`--name {name}` starts a search and `--resume {resume}` goes on with one; give one of the two."
        )
    seed = whole_number("seed", seed, 0)
    # times such as 0:100:1 are no emoji
    shown = console or Console(emoji=False, markup=False, quiet=not progress)
    say = saying(shown)
    home = Home.at(out)
    for earlier in filter(None, (resume, warm_start)):
        home.bring(earlier)
    if name:
        home.begin(name)
    dataset = _dataset(data, seed)
    for sentence in dataset.reading:
        say(f"{dataset.name}: {sentence}")
    search = Search(
        dataset=dataset,
        protocol=_one_of(Protocol, protocol, "protocol"),
        space=_space(space, fixed or {}, home.folder / resume if resume else None, dataset, say),
        tracking=tracking_config(mlflow),
        name=resume or _name(name, dataset.name, say),
        out=home.folder,
        seed=seed,
        options=make_options(
            trials=trials,
            time_budget=time_budget,
            deadline=deadline,
            trial_time=trial_time,
            cpu_hours=cpu_hours,
            gpu_hours=gpu_hours,
            drain=drain,
            sampler=sampler,
            scheduler=scheduler,
            minimize=minimize,
            repeats=repeats,
            stop_at_floor=stop_at_floor,
            retries=retries,
            warm_start=() if warm_start is None else best_points(home.folder / warm_start),
        ),
        resume=resume is not None,
        members=members,
        register=register,
        began=began,
    )
    search.check()
    wanted = Wanted(cpus, gpus, cpus_per_trial, gpus_per_trial, read_memory(memory_per_trial), elastic)
    try:
        with home.copied(search.name, say), connected(address, wanted, say) as resources:
            return SearchResult(run_search(search, resources, shown))
    except KeyboardInterrupt:  # a second one, which cuts off what follows the first; or one while Ray starts
        with suppress(InputError):  # no trial was asked for yet
            say(stopped(search.folder, read_study(search.folder)[1]))
        raise


def tracking_config(path: str | Path | None) -> TrackingConfig:
    """Read a file, or the `mlflow.yml` that is nearest: of the current folder, of the checkout, or what it would say.

    Raises:
        InputError: as for `TrackingConfig.read`.
    """
    if path is not None:
        return TrackingConfig.read(Path(path))
    here = Path(TRACKING)
    found = here if here.is_file() else shipped_file(TRACKING)
    return TrackingConfig.read(found, None if found == here else Path.cwd())


def _dataset(data: "Dataset | Snapshots | DataFrame | str | Path", seed: int) -> Dataset:
    if isinstance(data, Dataset):
        return data
    if isinstance(data, Snapshots):
        return Dataset("data", data, tuple(range(len(data))), paired=False)
    if not isinstance(data, str | Path):
        return read(data)
    return load_dataset(str(data), seed)


def make_options(
    *,
    trials: int,
    time_budget: str | float | None = None,
    deadline: str | float | None = None,
    trial_time: str | float | None = None,
    cpu_hours: float | None,
    gpu_hours: float | None,
    drain: bool,
    sampler: SamplerName | str,
    scheduler: SchedulerName | str,
    minimize: str,
    repeats: int,
    stop_at_floor: bool,
    retries: int,
    warm_start: tuple[Point, ...] = (),
) -> SearchOptions:
    """Read what `tune` is asked for, beside data and space.

    Raises:
        InputError: a text that cannot be read, or a number that makes no sense.
    """
    return SearchOptions(
        trials=whole_number("trials", trials, 1),
        time_budget=_time_budget(time_budget, deadline),
        deadline=None if deadline is None else _seconds("deadline", deadline),
        trial_time=None if trial_time is None else _seconds("trial-time", trial_time),
        cpu_hours=_hours("cpu_hours", cpu_hours),
        gpu_hours=_hours("gpu_hours", gpu_hours),
        drain=drain,
        sampler=_one_of(SamplerName, sampler, "sampler"),
        scheduler=_one_of(SchedulerName, scheduler, "scheduler"),
        criteria=_criteria(minimize),
        repeats=whole_number("repeats", repeats, 1),
        stop_at_floor=stop_at_floor,
        retries=whole_number("retries", retries, 0),
        warm_start=warm_start,
    )


def _space(
    path: str | Path | None, fixed: Mapping[str, Parameter], earlier: Path | None, dataset: Dataset, say: Say
) -> Space:
    """Return the space of a search: where it goes on and none is named, the one that it began with."""
    content = None if path is not None or earlier is None else space_of(earlier)
    if content is None and path is None and dataset.snapshots.conditions is not None:
        say(f"the space is {CONDITION_SPACE}, since there are several conditions; `--space` names another one")
        return read_space(shipped_file(CONDITION_SPACE), fixed)
    if content is None:
        return read_space(path, fixed)
    say("the space is the one that the search began with, since `--space` names none")
    return _fixing(Space.of_content(content, flat_keys()), fixed)


def read_space(path: str | Path | None, fixed: Mapping[str, Parameter]) -> Space:
    """Read a file, or the default space, and fix some of its keys.

    Raises:
        InputError: as for `Space.read`, or a key is not known.
    """
    file = shipped_file(DEFAULT_SPACE) if path is None else Path(path)
    space = Space.read(file, flat_keys(), lambda flat: ExperimentConfig.parse(nest(flat)), whole_keys())
    return _fixing(space, fixed)


def _fixing(space: Space, fixed: Mapping[str, Parameter]) -> Space:
    for key, value in fixed.items():
        if key not in flat_keys():
            raise InputError(f"`fixed` holds `{key}`, which is not known; {nearest_first(key, flat_keys())}.")
        space = space.fixing(key, value)
    return space


def _one_of(kind: type[Named], value: str, option: str) -> Named:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise InputError(f"`{option}`={value!r} is not known; known are {known}.") from None


def _hours(option: str, given: object) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, Real) or not float(given) >= 0:
        raise InputError(f"`{option}={given!r}` was given; it must be a number of hours, 0 or more.")
    return float(given)


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
        return f"{_made_name(data, say)}-{time.strftime('%Y%m%d-%H%M%S')}"
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


def _time_budget(given: str | float | None, deadline: str | float | None) -> float:
    """Return what was given; six minutes where nothing says how long a search may take."""
    if given is None:
        return SearchOptions.time_budget if deadline is None else math.inf
    return _seconds("time-budget", given)


SECONDS = (1, 86400, 3600, 60, 1)  # in what each of the groups of `TIME` counts
NUMBER = r"([0-9]+(?:\.[0-9]+)?)\s*"  # in ASCII: digits as wide as Chinese characters come from another keyboard
UNITS = ("d(?:ays?)?", "h(?:r|rs|ours?)?", "m(?:in|ins|inutes?)?", "s(?:ec|ecs|econds?)?")
TIME = re.compile(NUMBER + "|" + "".join(rf"(?:{NUMBER}{unit}\s*)?" for unit in UNITS))
CLOCK = re.compile(r"([0-9]+):([0-5][0-9]):([0-5][0-9])")


def _seconds(option: str, given: str | float) -> float:
    """Read a time: a number of seconds, or days, hours, minutes and seconds one after the other, or a clock's."""
    text = str(given).strip().lower()
    if clock := CLOCK.fullmatch(text):
        parts = ("0", "0", *clock.groups())
    else:
        found = TIME.fullmatch(text)
        parts = found.groups(default="0") if found else ()
    seconds = sum(float(part) * unit for part, unit in zip(parts, SECONDS, strict=False))
    if seconds <= 0:
        digits = "" if str(given).isascii() else ", in the digits 0 to 9"
        raise InputError(
            f"`--{option} {given}` cannot be read; write a time above 0 such as 90s, 30m or 2h30m, 1d or 1:30:00"
            f"{digits}."
        )
    return seconds
