"""`weightflow infer`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from weightflow.cli.conditions import limits, told
from weightflow.cli.options import Data, Device
from weightflow.cli.output import whole_file
from weightflow.cli.reading import reads_data, tell
from weightflow.data import Conditions, ReadOptions
from weightflow.errors import InputError
from weightflow.systems import load_dataset


@reads_data
def infer(
    model: Annotated[Path, typer.Option(help="Directory of a model of several conditions.")],
    data: Data,
    prior: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=LOW:HIGH", help="Limits of a covariate [default: what was fitted]."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Table to write, .csv; a picture goes beside it.")] = Path("posterior.csv"),
    device: Device = "cpu",
    *,
    reading: ReadOptions,
) -> None:
    """Say under which condition data were observed: the posterior of the covariates, by the model's own likelihood.

    All samples count as independent, those of different times too. The prior is uniform on the scale of each covariate.

    \b
    python -m weightflow infer --model doses --data unknown.csv --out posterior.csv
    python -m weightflow infer --model rates --data new.csv --prior beta=0.001:0.01
    """
    from weightflow.model import WEIGHT_ALONE, interval, load

    fitted, dataset = load(model, device), load_dataset(data, 0, reading)
    tell(dataset)
    if fitted.conditions is None:
        raise InputError(f"`{model}` is a model without conditions, of which there is none to infer.")
    with whole_file(out, ".csv") as file, told():
        posterior = fitted.infer(dataset, limits(prior))
        posterior.to_csv(file, index=False)
    for covariate in fitted.conditions.covariates:
        if not covariate.varies:
            continue
        if not covariate.numeric:
            shares = posterior.groupby(covariate.name)["weight"].sum()
            likely = ", ".join(f"{level} {shares.get(level, 0.0):.2g}" for level in covariate.levels)
            sys.stdout.write(f"{covariate.name}: {likely} (probabilities)\n")
            continue
        middle, low, high = interval(posterior, covariate)
        sys.stdout.write(f"{covariate.name} = {middle:.3g}, within {low:.3g} and {high:.3g} with probability 0.95")
        if WEIGHT_ALONE in posterior:
            _, low, high = interval(posterior, covariate, weight=WEIGHT_ALONE)
            sys.stdout.write(f" (without the members, that is, as if the model had no error: {low:.3g} and {high:.3g})")
        sys.stdout.write("\n")
    if WEIGHT_ALONE not in posterior:
        sys.stdout.write("This leaves the model's own error out; a model that was fitted with `--members` counts it.\n")
    sys.stdout.write(f"{out}: {len(posterior)} points; picture: {_picture(fitted.conditions, posterior, out)}\n")


def _picture(conditions: Conditions, posterior: Any, out: Path) -> str:
    try:
        from weightflow.report.posterior import posterior_picture
        from weightflow.report.theme import LIGHT
    except ImportError as error:
        return f"none, since {error.name} is not installed: pip install 'weightflow[report]'"
    place = out.with_suffix(".png")
    place.write_bytes(posterior_picture(conditions, posterior).png(LIGHT))
    return str(place)
