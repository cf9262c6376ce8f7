"""`weightflow compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from weightflow.errors import InputError
from weightflow.terminal import tell

if TYPE_CHECKING:
    from weightflow.report.comparison import Scored


def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Searches or scored models: names in FOLDER, or folders.")
    ],
    folder: Annotated[Path, typer.Option(help="Where the names are.")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="Page to write; an existing one is replaced.")] = Path("comparison.html"),
) -> None:
    """Show several searches or scored models on one page: which is closest to the data, scores, times and pictures.

    \b
    python -m weightflow compare my-search another-search --out both.html
    """
    from weightflow.report.comparison import closest_of, common_metrics, same_data, write_comparison
    from weightflow.report.terminal import print_models

    if len({*names}) < 2:
        raise InputError("one name is nothing to compare; give two at least, each once.")
    if out.suffix.lower() != ".html":
        raise InputError(f"`--out {out}` is a page; give a name that ends in .html.")
    scored = [_read(name, folder) for name in dict.fromkeys(names)]
    metrics = common_metrics(scored)
    if not metrics:
        raise InputError("there is no metric by which all of them were scored; score them anew on data of one kind.")
    try:
        write_comparison(out, scored)
    except OSError as error:
        raise InputError(f"`--out {out}` cannot be written ({error.strerror}); choose another place.") from error
    console = Console(emoji=False, markup=False)
    print_models(console, {one.name: one.scores for one in scored}, metrics)
    tell(console, f"{closest_of(scored)} {same_data(scored)}".strip())
    tell(console, f"Written: {out}")


def _read(name: str, folder: Path) -> "Scored":
    """Read the scores of a name in the folder, or of a folder of its own.

    Raises:
        InputError: there is no such folder, it holds no scores, or none of a model.
    """
    from weightflow.evaluation import Scores
    from weightflow.evaluation.scores import MODEL
    from weightflow.report.comparison import Scored

    place = next((place for place in (folder / name, Path(name)) if (place / "scores.json").is_file()), None)
    if place is None:
        raise InputError(
            f"`{name}` is no folder with a scores.json, neither in `{folder}` nor here; a search leaves one at its "
            "end, and for a model there is: python -m weightflow score."
        )
    try:
        scores = Scores.from_json((place / "scores.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`{place / 'scores.json'}` cannot be read ({error}); score again.") from None
    except InputError as error:
        raise InputError(f"`{place / 'scores.json'}`: {error}") from None
    if MODEL not in scores.methods:
        raise InputError(f"`{place / 'scores.json'}` holds no scores of a model; score one.")
    return Scored(name, scores, place)
