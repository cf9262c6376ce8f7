"""What becomes of missing values: refused, left out with their row, or read as zero. Infinite ones are refused."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from weightflow.data.reading.options import Missing
from weightflow.data.words import listed
from weightflow.errors import InputError

Settled = tuple[Bool[np.ndarray, "row"], Float[np.ndarray, "kept species"], list[str]]


def settle(
    where: str,
    values: Float[np.ndarray, "row species"],
    species: Sequence[str],
    missing: Missing,
    rows: np.ndarray,
    bad: Bool[np.ndarray, "row"],
) -> Settled:
    """Return which rows are kept, their values, and sentences about it.

    Args:
        where: what the values are of, for messages.
        values: NaN where one is missing.
        species: names of the columns.
        missing: what the user wants.
        rows: number of each row in the file, from 0.
        bad: rows that are left out anyway.

    Raises:
        InputError: a value is missing, and nothing says what to do; or one that is kept is infinite.
    """
    gaps = np.isnan(values)
    out = bad | gaps.any(axis=1) if missing is Missing.DROP else bad
    _check_finite(where, values, species, rows, out)
    if not gaps.any() and not bad.any():
        return ~bad, values, []
    held = [f"`{name}` ({count})" for name, count in zip(species, gaps.sum(axis=0), strict=True) if count]
    if missing is Missing.REFUSE and gaps.any():
        row, column = np.argwhere(gaps)[0]
        raise InputError(
            f"{where} has no value in column `{species[column]}`, row {rows[row] + 1} of the data ("
            f"{int(gaps.any(axis=1).sum()):,} of {len(values):,} rows miss one, in {listed(held)}); fill them, leave "
            "such rows out with `--missing drop`, or read them as zero with `--missing zero`."
        )
    if missing is Missing.ZERO:
        told = [f"{int(gaps.sum()):,} missing values are read as zero, in {listed(held)}"] if gaps.any() else []
        return ~bad, np.where(gaps, 0.0, values)[~bad], told
    keep = ~(gaps.any(axis=1) | bad)
    told = [f"{int((~keep).sum()):,} of {len(values):,} rows left out, since values are missing"]
    return keep, values[keep], told


def _check_finite(
    where: str,
    values: Float[np.ndarray, "row species"],
    species: Sequence[str],
    rows: np.ndarray,
    out: Bool[np.ndarray, "row"],
) -> None:
    """Refuse infinite values: they are no missing ones, but what was divided by zero, or too large to be written."""
    endless = np.isinf(values) & ~out[:, None]
    if not endless.any():
        return
    row, column = np.argwhere(endless)[0]
    held = [f"`{name}` ({count})" for name, count in zip(species, endless.sum(axis=0), strict=True) if count]
    raise InputError(
        f"{where} holds {values[row, column]} in column `{species[column]}`, row {rows[row] + 1} of the data ("
        f"{int(endless.any(axis=1).sum()):,} of {len(values):,} rows hold an infinite value, in {listed(held)}); all "
        "values must be finite: correct it, or make it a missing value and say `--missing drop`."
    )
