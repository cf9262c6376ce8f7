"""Samples as files: the end of the name says how."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weightflow.cli.certainty import LEVEL
from weightflow.errors import InputError

if TYPE_CHECKING:
    from weightflow.model import Band, Draws

NEEDS = {  # library, and what to install
    ".parquet": ("pyarrow", "'weightflow[tables]'"),
    ".h5ad": ("anndata", "'weightflow[anndata]'"),
}


def check_library(path: Path) -> None:
    """See that what writes such a file is installed, before the samples are drawn.

    Raises:
        InputError: it is not; the message says how to install it.
    """
    library, install = NEEDS.get(path.suffix.lower(), ("numpy", ""))
    if find_spec(library) is None:
        raise InputError(f"`--out {path}` needs the library {library}; pip install {install}, or write .npz or .csv.")


def write_samples(path: Path, draws: "Draws", means: "Band | None" = None) -> None:
    """Write samples as the end of `path` says; the band of the means has a place in an .npz alone."""
    WRITERS[path.suffix.lower()](path, draws, means)


def _npy(path: Path, draws: "Draws", _: "Band | None") -> None:
    np.save(path, draws.samples)


def _npz(path: Path, draws: "Draws", means: "Band | None") -> None:
    species, unit = np.array(draws.species), np.array(draws.unit)
    if means is None:
        np.savez(path, times=draws.times, samples=draws.samples, species=species, unit=unit)
        return
    np.savez(
        path,
        times=draws.times,
        samples=draws.samples,
        species=species,
        unit=unit,
        mean=means.mid.numpy(),
        mean_low=means.low.numpy(),
        mean_high=means.high.numpy(),
        level=np.array(LEVEL),
    )


def _csv(path: Path, draws: "Draws", _: "Band | None") -> None:
    draws.frame().to_csv(path, index=False)


def _parquet(path: Path, draws: "Draws", _: "Band | None") -> None:
    draws.frame().to_parquet(path, engine="pyarrow", index=False)  # keeps `attrs`, and the unit with them


def _h5ad(path: Path, draws: "Draws", _: "Band | None") -> None:
    draws.anndata().write_h5ad(path)


WRITERS: dict[str, Callable[[Path, "Draws", "Band | None"], None]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
    ".h5ad": _h5ad,
}
