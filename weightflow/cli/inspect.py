"""`weightflow inspect`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from weightflow.cli.reading import reads_data
from weightflow.data import Dataset, Protocol, ReadOptions, Snapshots, advice, split
from weightflow.data.words import listed
from weightflow.errors import InputError
from weightflow.systems import load_dataset

SHOWN = 8  # names of species in a sentence
FAMILIES = {
    "softmax": "a free probability for each count",
    "logistic": "mixtures of discretised logistics",
    "gaussian": "mixtures of Gaussians",
}


@reads_data
def inspect(
    file: Annotated[str, typer.Argument(help="A file, or a built-in system.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Picture to write [default: NAME-inspect.png, here].")
    ] = None,
    time_it: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Try a few steps to tell how long a fit will take.")
    ] = True,
    *,
    reading: ReadOptions,
) -> None:
    """Say what is understood of a file, what is odd about it, and what a fit and a search would do; fit nothing.

    \b
    python -m weightflow inspect cells.csv
    python -m weightflow inspect cells.h5ad --time day --genes Sox2,Nanog --out look.png
    """
    if out is not None and out.suffix.lower() != ".png":
        raise InputError(f"`--out {out}` is written as a picture; give a name that ends in .png.")
    dataset = load_dataset(file, 0, reading)
    seen = dataset.visible
    _section("What was understood", dataset.reading or (f"{dataset.name} is built in",))
    warned = any(sentence.startswith("warning") for sentence in dataset.reading)
    nothing = "nothing but what was warned of above." if warned else "nothing stands out."
    _section("What to look at", advice(seen) or (nothing,))
    _section("What would be done", [*_heads(seen), *_protocol(dataset)])
    if time_it:
        _section("How long it would take", _durations(dataset, seen))
    _section("Picture", [_picture(dataset, out or Path(f"{dataset.name}-inspect.png"))])


def _section(title: str, sentences: tuple[str, ...] | list[str]) -> None:
    sys.stdout.write(f"{title}:\n" + "".join(f"  - {sentence}\n" for sentence in sentences))
    sys.stdout.flush()


def _heads(seen: Snapshots) -> list[str]:
    """Say how the default describes each species."""
    from weightflow.experiment import ExperimentConfig

    backbone = ExperimentConfig().backbone.build(seen)
    told = [
        f"described by {FAMILIES.get(head.family, head.family)}: "
        + listed([seen.species[i] for i in head.species], SHOWN)
        for head in backbone.heads
    ]
    still = backbone.constant.species
    return [*told, *([f"drawn as a constant: {listed([seen.species[i] for i in still], SHOWN)}"] if still else [])]


def _protocol(dataset: Dataset) -> list[str]:
    """Say how a model would be judged."""
    what = "times" if dataset.snapshots.conditions is None else "snapshots"
    fitted = f"`fit` takes {len(dataset.seen)} of {len(dataset.snapshots)} {what}"
    try:
        parts = split(dataset, Protocol.AUTO, 0)
    except InputError as error:
        return [fitted, f"a search cannot be judged: {error}"]
    return [fitted, f"a search would be judged by the protocol `{parts.protocol}`", *parts.in_words()]


def _durations(dataset: Dataset, seen: Snapshots) -> list[str]:
    from joblib import cpu_count

    from weightflow.experiment import ExperimentConfig
    from weightflow.experiment.timing import measure
    from weightflow.progress import duration
    from weightflow.search.study.options import SearchOptions

    pace, options, cpus = measure(seen, ExperimentConfig(), 0), SearchOptions(), cpu_count()
    once, most = pace.preparation + pace.trial, pace.preparation_most + pace.trial_most
    told = [
        f"a fit takes about {duration(once)} on one CPU, and up to {duration(most)} where it misses the snapshots and "
        "goes on (estimated from a few steps of each phase, measured now)"
    ]
    try:
        folds = len(split(dataset, Protocol.AUTO, 0).folds)
    except InputError:
        return told
    preparing = pace.preparation * -(-folds // cpus)
    training = pace.trial * folds * -(-options.trials // cpus)
    told.append(
        f"a search prepares {folds} {'fit' if folds == 1 else 'fits'} for about {duration(preparing)}, and its "
        f"{options.trials} trials would then take up to {duration(training)} on the {cpus} CPUs here; most are ended "
        f"early, and `--time-budget` ({duration(options.time_budget)} by default) ends them all"
    )
    return told


def _picture(dataset: Dataset, out: Path) -> str:
    try:
        from weightflow.report.glance import glance
        from weightflow.report.theme import LIGHT
    except ImportError as error:
        return f"none, since {error.name} is not installed: pip install 'weightflow[report]'"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(glance(dataset.snapshots, dataset.seen).png(LIGHT))
    except OSError as error:
        raise InputError(f"`--out {out}` cannot be written ({error.strerror}); choose another place.") from None
    return str(out)
