"""Single cells: an AnnData, in memory or in an .h5ad of which only what is used is loaded."""

import difflib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from weightflow.data.reading.clouds import MANY, Clouds, grouped
from weightflow.data.reading.columns import (
    Rows,
    check_names,
    chosen_rows,
    confounded,
    covariates_of,
    time_column,
    times_of,
)
from weightflow.data.reading.missing import settle
from weightflow.data.reading.options import Missing, ReadOptions
from weightflow.data.snapshots import exact
from weightflow.data.words import listed
from weightflow.errors import InputError
from weightflow.types import Kind

GENES_ONCE = "call AnnData.var_names_make_unique"
CHUNK = 20_000_000  # numbers of a dense matrix that are in memory at once


@dataclass(frozen=True, eq=False)
class Cells:
    """What is read of an AnnData; matrices may lie in a file, and are read by rows.

    Attributes:
        name: for messages.
        obs: a pandas DataFrame of the cells.
        genes: names.
        x: the matrix (cell, gene); None where there is none.
        layers: others like it, by key.
        reps: matrices (cell, component), by key.
        unit: of the times in `obs["time"]`, where WeightFlow wrote it; else empty.
        kinds: of the values of X by gene, where WeightFlow wrote them; else none.
    """

    name: str
    obs: Any
    genes: list[str]
    x: Any
    layers: Mapping[str, Any]
    reps: Mapping[str, Any]
    unit: str = ""
    kinds: Mapping[str, Kind] = field(default_factory=dict)


@contextmanager
def opened(path: Path) -> Generator[Cells, None, None]:
    """Open an .h5ad.

    Raises:
        InputError: anndata is not installed, or the file is none.
    """
    try:
        import h5py
        from anndata.io import read_elem
    except ImportError:
        raise InputError(
            f"`{path}` is read by anndata, which is not installed: pip install 'weightflow[anndata]'."
        ) from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"`{path}` cannot be read as .h5ad ({error}); write it with AnnData.write_h5ad.") from None
    with file:
        if not {"obs", "var"} <= {*file} or not isinstance(file["obs"], h5py.Group):
            raise InputError(
                f"`{path}` is no .h5ad as anndata writes it since 2020; read it with anndata, and write it again."
            )
        obs, var = read_elem(file["obs"]), read_elem(file["var"])
        layers, reps = file.get("layers", {}), file.get("obsm", {})
        unit = read_elem(file["uns/time_unit"]) if "time_unit" in file.get("uns", ()) else None
        genes = list(map(str, var.index))
        yield Cells(f"`{path}`", obs, genes, file.get("X"), layers, reps, *_ours(obs, var, unit))


def cells_of(adata: Any) -> Cells:
    """Look at an AnnData in memory.

    Raises:
        InputError: it is none.
    """
    if not all(hasattr(adata, part) for part in ("obs", "var", "uns", "X", "layers", "obsm")):
        raise InputError(f"an AnnData is needed, and {type(adata).__name__} was given; `weightflow.read` reads files.")
    layers = {name: layer for name, layer in adata.layers.items() if name is not None}  # anndata 0.13 calls X so
    ours = _ours(adata.obs, adata.var, adata.uns.get("time_unit"))
    return Cells("the AnnData", adata.obs, list(map(str, adata.var_names)), adata.X, layers, adata.obsm, *ours)


def _ours(obs: Any, var: Any, unit: Any) -> tuple[str, dict[str, Kind]]:
    """Return the unit and the kinds that `WeightFlow.to_anndata` wrote; nothing where the cells are of others."""
    if not isinstance(unit, str) or "kind" not in var or not {"time", "draw"} <= {*obs}:
        return "", {}
    kinds = {str(gene): str(kind) for gene, kind in var["kind"].items()}
    known = {*kinds.values()} <= {*Kind}
    return (str(unit), {gene: Kind(kind) for gene, kind in kinds.items()}) if known else ("", {})


def clouds_of(cells: Cells, options: ReadOptions) -> Clouds:
    """Choose what is fitted of these cells, and group it by time.

    Raises:
        InputError: nothing says which genes or components are meant, a name does not exist, or the time is in doubt.
    """
    said: list[str] = []
    path = Path(cells.name.strip("`"))
    obs = cells.obs.rename(columns=str)
    obs = obs.set_axis(np.arange(len(obs)))  # cells are counted as they stand; their names tell nothing
    of_obs = replace(options, species=(), drop=tuple(name for name in options.drop if name in obs.columns))
    if obs.empty:
        raise InputError(
            f"{cells.name} has {len(obs)} cells and {len(obs.columns)} columns in `obs`; add the times there."
        )
    check_names(Path(f"obs of {path}"), obs, of_obs)
    obs = chosen_rows(path, obs, options, said)
    time = time_column(path, obs, of_obs, said)
    said += confounded(obs, time, [c for c in obs.columns if c not in {time, options.unit, *options.covariates}])
    times, covariates = times_of(path, obs[time], time), covariates_of(cells.name, obs, options)
    if cells.unit and time == "time" and not times.unit:
        times = replace(times, unit=cells.unit)
        said.append(f"`time` is in {cells.unit}, as WeightFlow wrote into `uns`")
    bad = ~np.isfinite(times.values) | obs[list(options.covariates)].isna().to_numpy().any(axis=1)
    if bad.any() and options.missing is not Missing.DROP:
        raise InputError(
            f"{int(bad.sum()):,} cells of {cells.name} have no `{'`, `'.join([time, *options.covariates])}`; leave "
            "them out with `--missing drop`."
        )
    places = obs.index.to_numpy()
    values, species = _values(cells, options, places, said)
    if isinstance(values, np.ndarray):
        keep, values, told = settle(cells.name, values, species, options.missing, places, bad)
        said += told
    else:
        keep, values = ~bad, values[~bad]
        _check_finite(cells.name, values, species, places[keep])
    units = None if options.unit is None else obs[options.unit].astype(str).to_numpy(dtype=str)[keep]
    times = replace(times, values=times.values[keep])
    called = "genes" if options.use_rep is None else f"components of {options.use_rep}"
    kept = {name: held[keep] for name, held in covariates.items()}
    rows = Rows(times, values, species, units, tuple(said), kept)
    kinds = () if options.use_rep or options.layer or options.pca else _kinds(cells, values, species)
    if kinds and not isinstance(options.kind, Kind):
        rows = replace(rows, said=(*rows.said, "kinds are those that WeightFlow wrote into `var`"))
    return replace(grouped(rows, options), alike=True, called=called, kinds=kinds)


def _kinds(cells: Cells, values: Any, species: tuple[str, ...]) -> tuple[Kind, ...]:
    """Return the kinds that WeightFlow wrote of these genes; none where the values have changed since."""
    kinds = tuple(cells.kinds[gene] for gene in species if gene in cells.kinds)
    counts = values[:, [i for i, kind in enumerate(kinds) if kind is Kind.COUNTS]]
    whole = bool((counts == np.rint(counts)).all() and (counts >= 0).all())
    return kinds if whole and len(kinds) == len(species) else ()


def _check_finite(name: str, values: Any, genes: tuple[str, ...], places: np.ndarray) -> None:
    """Refuse a sparse matrix that holds what is no finite number."""
    held = values.tocoo()
    wrong = np.flatnonzero(~np.isfinite(held.data))
    if len(wrong):
        first = wrong[0]
        raise InputError(
            f"{name} holds {held.data[first]} for gene `{genes[held.col[first]]}` in row {places[held.row[first]] + 1} "
            f"of the data ({len(wrong):,} such values); all must be finite numbers: correct them before."
        )


def _values(cells: Cells, options: ReadOptions, places: np.ndarray, said: list[str]) -> tuple[Any, tuple[str, ...]]:
    if options.use_rep is not None:
        return _representation(cells, options, places, said)
    matrix, called = cells.x, "X"
    if options.layer is not None:
        _check_key(cells, options.layer, cells.layers, "layer", "layers")
        matrix, called = cells.layers[options.layer], f"the layer `{options.layer}`"
    if matrix is None:
        raise InputError(f"{cells.name} has no X; choose a layer ({listed(list(cells.layers))}) with `--layer`.")
    wanted = options.genes or options.species
    if not wanted and options.pca is None and len(cells.genes) > MANY:
        reps = listed([f"`--use-rep {key}`" for key in cells.reps])
        raise InputError(
            f"{cells.name} has {len(cells.genes):,} genes, and nothing says which are meant; choose some with `--genes "
            f"{','.join(cells.genes[:2])}`, take principal components with `--pca 10`, or a representation with "
            f"`--use-rep` ({reps or 'it holds none in obsm'})."
        )
    columns = (
        _columns_of(cells, wanted)
        if wanted
        else [g for g in range(len(cells.genes)) if cells.genes[g] not in options.drop]
    )
    if options.pca is None:
        _check_unique(cells.name, "genes", [cells.genes[column] for column in columns], GENES_ONCE)
    said.append(f"values are those of {called}, {len(columns):,} of {len(cells.genes):,} genes")
    values = _rows_and_columns(_lazy(matrix), places, columns)
    if options.pca is None:
        values = values.toarray() if hasattr(values, "toarray") else values
    return values, tuple(cells.genes[column] for column in columns)


def _representation(
    cells: Cells, options: ReadOptions, places: np.ndarray, said: list[str]
) -> tuple[Any, tuple[str, ...]]:
    key = options.use_rep or ""
    for name in ("genes", "layer", "pca"):
        if getattr(options, name):
            raise InputError(
                f"`--{name}` chooses among genes and `--use-rep {key}` takes components; give one of both."
            )
    _check_key(cells, key, cells.reps, "use-rep", "obsm")
    held = _lazy(cells.reps[key])
    names = [str(name) for name in getattr(held, "columns", ())]
    matrix = held.to_numpy() if names else held
    names = names or [f"{key.removeprefix('X_')}{i + 1}" for i in range(matrix.shape[1])]
    _check_unique(f"`{key}` of {cells.name}", "columns", names, "give each a name of its own")
    for name in (*options.species, *options.drop):
        if name not in names:
            raise InputError(f"`{key}` of {cells.name} has no column `{name}`; they are {listed(names)}.")
    kept = options.species or tuple(name for name in names if name not in options.drop)
    said.append(f"values are `{key}`, {len(kept)} of {len(names)} components")
    values = _rows_and_columns(matrix, places, [names.index(name) for name in kept])
    return (values.toarray() if hasattr(values, "toarray") else values), kept


def _check_unique(where: str, what: str, names: list[str], do: str) -> None:
    twins = [name for i, name in enumerate(names) if name in names[:i]]
    if twins:
        raise InputError(f"{where} has {names.count(twins[0])} {what} `{twins[0]}`; {do}.")


def _columns_of(cells: Cells, wanted: tuple[str, ...]) -> list[int]:
    where: dict[str, list[int]] = {}
    for place, gene in enumerate(cells.genes):
        where.setdefault(gene, []).append(place)
    for gene in wanted:
        if gene not in where:
            near = difflib.get_close_matches(gene, where, n=3) or difflib.get_close_matches(
                gene.lower(), [name for name in where if name.lower() == gene.lower()], n=3, cutoff=0.0
            )
            raise InputError(
                f"{cells.name} has no gene `{gene}`"
                + (f"; near it are {listed(near)}." if near else "; look at var_names.")
            )
    _check_unique(cells.name, "genes", [gene for gene in cells.genes if gene in wanted], GENES_ONCE)
    return [where[gene][0] for gene in wanted]


def _check_key(cells: Cells, key: str, held: Mapping[str, Any], option: str, where: str) -> None:
    if key not in held:
        raise InputError(
            f"{cells.name} has no `{key}` in {where} (`--{option}`); it holds {listed(list(held)) or 'none'}."
        )


def _lazy(matrix: Any) -> Any:
    """Return a matrix that is read by rows: a group of an .h5ad holds a sparse one, or a table."""
    if not (hasattr(matrix, "attrs") and hasattr(matrix, "file")):
        return matrix
    from anndata.io import read_elem, sparse_dataset

    kind = str(matrix.attrs.get("encoding-type", "array"))
    if kind == "csr_matrix":
        return sparse_dataset(matrix)
    return matrix if kind == "array" else read_elem(matrix)


def _rows_and_columns(matrix: Any, rows: np.ndarray, columns: list[int]) -> Any:
    """Return some rows and columns in double precision; what is large is read in pieces, and only they are kept."""
    from scipy import sparse

    step = max(1, CHUNK // max(matrix.shape[1], 1))
    every = len(columns) == matrix.shape[1] and columns == list(range(len(columns)))
    parts: list[Any] = []
    for start in range(0, matrix.shape[0], step):
        inside = rows[(rows >= start) & (rows < start + step)] - start
        if len(inside):
            piece = matrix[start : start + step]
            piece = piece.tocsr() if sparse.issparse(piece) else np.asarray(piece)
            piece = piece[inside]
            piece = piece if every else piece[:, columns]
            exact(np.asarray(piece.data if sparse.issparse(piece) else piece))  # or else it is refused
            parts.append(piece.astype(np.float64))
    return sparse.vstack(parts).tocsr() if sparse.issparse(parts[0]) else np.concatenate(parts)
