"""The one reader: a path and options in, a data set out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightflow.data.dataset import Dataset
from weightflow.data.reading.arrays import read_npy, read_npz
from weightflow.data.reading.cells import cells_of, clouds_of, opened
from weightflow.data.reading.clouds import Clouds, dataset_of, grouped
from weightflow.data.reading.columns import rows_of
from weightflow.data.reading.options import ReadOptions
from weightflow.data.reading.tables import TABLES
from weightflow.errors import InputError
from weightflow.places import fetched, is_uri

if TYPE_CHECKING:
    from pandas import DataFrame

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zip", ".zst")
ARRAY = ("species", "drop", "missing", "kind", "pca", "every")
VARIED = ("conditions", "shared_start")
TABLE = (*ARRAY, *VARIED, "time", "where", "unit")
TEXT = (*TABLE, "sep", "decimal", "encoding")
CELLS = (*TABLE, "use_rep", "layer", "genes")


def read(path: "str | Path | DataFrame", options: ReadOptions | None = None, **said: Any) -> Dataset:
    """Read a file: .csv, .tsv, .txt (compressed or not), .parquet, .xlsx, .npy, .npz or .h5ad; or a DataFrame.

    A .zip is read that holds one file of text. `reading` of the result says what was understood, in sentences.

    Args:
        path: of the file, or a URI of one in an object store (`s3://bucket/cells.csv`); or a table of pandas with one
            row a sample: an index that has a name is one more column, as in the file that `to_csv` writes.
        options: how; or, instead of them,
        said: the attributes of `ReadOptions` by name: `read("cells.csv", time="day", drop="batch")`.

    Raises:
        InputError: the file is missing, cannot be read, does not hold what it must, or leaves in doubt what is meant.
    """
    options = options or ReadOptions.of(**said)
    if is_uri(path):
        return _read_from_store(str(path), options)
    if not isinstance(path, str | Path):
        return _read_frame(path, options)
    path = Path(path)
    if not path.is_file():
        raise InputError(f"`{path}` is no file; give a path of {', '.join(FORMATS)} or the name of a built-in system.")
    suffix = _suffix(path)
    if suffix in COMPRESSIONS and suffix not in FORMATS:
        raise InputError(f"`{path}` does not say what is compressed; give it a name such as table.csv{suffix}.")
    if suffix not in FORMATS:
        raise InputError(f"`{path}` ends in {path.suffix or 'nothing'}; known formats are {', '.join(FORMATS)}.")
    allowed, reader = FORMATS[suffix]
    if options.step is not None and suffix != ".npy":
        raise InputError(f"`--step` is for .npy trajectories; `{path}` holds its own times.")
    options.only(allowed, f"`{path}`, {'an' if suffix[1] in 'nx' else 'a'} {suffix} file")
    name = path.name[: path.name.lower().index(suffix)]
    clouds = reader(path, options)
    try:
        return replace(dataset_of(name, clouds, options), source=str(path.resolve()))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _read_frame(frame: "DataFrame", options: ReadOptions) -> Dataset:
    if not (hasattr(frame, "columns") and hasattr(frame, "index")):
        raise InputError(f"a {type(frame).__name__} was given to be read; {_instead(frame)}.")
    options.only(TABLE, "a DataFrame")
    levels = [level for level, name in enumerate(frame.index.names) if name is not None]
    names = [str(name) for name in (*(frame.index.names[level] for level in levels), *frame.columns)]
    if frame.columns.nlevels > 1 or len({*names}) < len(names):
        raise InputError(f"the DataFrame has the columns {', '.join(names)}; give each one name that no other has.")
    told = frame.reset_index(level=levels) if levels else frame
    rows = rows_of(Path("the DataFrame"), told.set_axis(names, axis=1).reset_index(drop=True), options)
    return dataset_of("table", grouped(rows, options), options)


def _instead(given: Any) -> str:
    """Say what to do with what is no table of pandas."""
    if all(hasattr(given, part) for part in ("obs", "var_names")):
        return "`weightflow.from_anndata` makes a data set of it"
    if hasattr(given, "to_pandas"):
        return "give the DataFrame of pandas that its `to_pandas()` returns"
    if isinstance(given, list | tuple) or (hasattr(given, "shape") and not hasattr(given, "to_frame")):
        return (
            "give arrays to `weightflow.Snapshots(times, samples)`, with an array (samples, species) for each time, or "
            "save trajectories as .npy"
        )
    return "give the path of a file, or a DataFrame"


def _read_from_store(uri: str, options: ReadOptions) -> Dataset:
    with fetched(uri) as copy:
        try:
            return replace(read(copy, options), source=uri)
        except InputError as error:
            raise InputError(str(error).replace(str(copy), uri)) from None


def from_anndata(adata: Any, name: str = "cells", **said: Any) -> Dataset:
    """Make a data set of an AnnData in memory.

    Args:
        adata: an `anndata.AnnData`.
        name: of the data set.
        said: the attributes of `ReadOptions` that mean something here: time, use_rep, layer, genes, pca, where, unit,
            species, drop, missing, kind, every, conditions, shared_start.

    Raises:
        InputError: as for `read`.
    """
    options = ReadOptions.of(**said)
    options.only(CELLS, "an AnnData")
    return dataset_of(name, clouds_of(cells_of(adata), options), options)


def _read_cells(path: Path, options: ReadOptions) -> Clouds:
    with opened(path) as cells:
        return clouds_of(cells, options)


def _read_table(path: Path, options: ReadOptions) -> Clouds:
    table = TABLES[_suffix(path)](path, options)
    hint = " (or say what separates the columns with `--sep`)" if "sep" in FORMATS[_suffix(path)][0] else ""
    try:
        rows = rows_of(path, table.frame, options, hint)
    except InputError as error:
        raise InputError(f"{error}{table.aside}") from None
    return grouped(replace(rows, said=(*table.said, *rows.said)), options)


def _suffix(path: Path) -> str:
    """Return the suffix that tells the format; that of a compression stands after it."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if len(suffixes) > 1 and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


FORMATS: dict[str, tuple[tuple[str, ...], Callable[[Path, ReadOptions], Clouds]]] = {
    ".csv": (TEXT, _read_table),
    ".tsv": (TEXT, _read_table),
    ".txt": (TEXT, _read_table),
    ".parquet": (TABLE, _read_table),
    ".xlsx": (TABLE, _read_table),
    ".npy": ((*ARRAY, "step"), read_npy),
    ".npz": ((*ARRAY, *VARIED, "time", "unit"), read_npz),
    ".h5ad": (CELLS, _read_cells),
    ".zip": (TEXT, _read_table),
}
