"""Files in, data sets out.

- `.npy`: trajectories, shape (trajectory, time, species); times are 0, step, 2 step, ..
- `.npz`: the array `times` with one array of shape (trajectory, time, species); or, in long form, one array of shape
  (row, species) with one array of a time for each row (`times`, `time`, `t` or `samples`). An array `species` may
  name the species.
- `.csv`: long form: a column of times (named time, times, t or samples; else the first), and one for each species.

In long form the order of the rows means nothing: rows of one time are one cloud, and no row is paired with another.
Times that differ by rounding alone (0.1 + 0.2 and 0.3) are one time.
Nothing pickled is ever loaded. What reads a table imports pandas: that takes 0.4 s, and most data are arrays.
"""

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weightflow.data.dataset import Dataset, every_nth
from weightflow.data.snapshots import Snapshots, exact, guess_kinds
from weightflow.errors import InputError
from weightflow.types import Kind

if TYPE_CHECKING:
    import pandas

TIME_NAMES = ("time", "times", "t", "samples")
SAME_TIME = 1e-9  # times that differ by less than this share of the span differ by rounding


def read(
    path: str | Path,
    *,
    step: float | None = None,
    every: int | None = None,
    kind: Kind | None = None,
    time_column: str | None = None,
) -> Dataset:
    """Read a file.

    Args:
        path: `.npy`, `.npz` or `.csv`.
        step: time between columns of an `.npy` (1 by default).
        every: which times are seen; every tenth by default, every second of fewer than 31.
        kind: kind of all species; by default those that hold whole numbers alone are counts.
        time_column: name of the times in a `.csv` or `.npz`; see above for the default.

    Raises:
        InputError: the file is missing, cannot be read, or does not hold what it must.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"`{path}` is no file; give a path of {', '.join(READERS)} or the name of a built-in system.")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"`{path}` ends in {path.suffix or 'nothing'}; known formats are {', '.join(READERS)}.")
    if step is not None and path.suffix.lower() != ".npy":
        raise InputError(f"`--step` is for .npy trajectories; `{path}` holds its own times.")
    if step is not None and not (np.isfinite(step) and step > 0):
        raise InputError(f"`--step {step:g}` was given; the time step must be above 0.")
    if time_column is not None and path.suffix.lower() == ".npy":
        raise InputError(
            f"`--time-column {time_column}` is for files that hold their times; `{path}` is an .npy array."
        )
    times, samples, species, paired = reader(path, step if step is not None else 1.0, time_column)
    # Negative whole numbers are taken for counts and then refused, as likely a mistake as another kind.
    kinds = guess_kinds(samples, negative=True) if kind is None else (kind,) * samples[0].shape[1]
    try:
        snapshots = Snapshots(times, samples, species, kinds)
        return Dataset(path.stem, snapshots, every_nth(len(snapshots), every), paired)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


Content = tuple[np.ndarray, tuple[np.ndarray, ...], tuple[str, ...], bool]


def _read_npy(path: Path, step: float, _time_column: str | None) -> Content:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"`{path}` cannot be read as a plain .npy array ({error}); save it with numpy.save.") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise InputError(f"`{path}` is an archive of several arrays, not one array; rename it to .npz.")
    clouds = _trajectories(path, array)
    return step * np.arange(len(clouds)), clouds, (), True


def _read_npz(path: Path, _step: float, time_column: str | None) -> Content:
    if not zipfile.is_zipfile(path):
        raise InputError(f"`{path}` is not an archive of arrays, or is cut off; save it with numpy.savez.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"`{path}` cannot be read as plain .npz arrays ({error}); save it with numpy.savez.") from None
    named = "species" in arrays and arrays["species"].dtype.kind == "U" and arrays["species"].ndim == 1
    species = tuple(arrays.pop("species").tolist()) if named else ()
    known = TIME_NAMES if time_column is None else (time_column,)
    time_name = next((name for name in known if name in arrays and arrays[name].ndim == 1), None)
    values = [name for name in arrays if name != time_name]
    if time_name is None or len(values) != 1:
        held = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
        raise InputError(
            f"`{path}` holds {held}; it must hold `{time_column or 'times'}` and one array of samples: "
            "(trajectory, time, species), or (row, species) with one time for each row."
        )
    times, array = arrays[time_name], arrays[values[0]]
    if array.ndim == 2:
        return (*_group(path, times, array), species, False)
    clouds = _trajectories(path, array)
    if len(times) != len(clouds):
        raise InputError(f"`{path}` has {len(times)} times for an array of shape {array.shape}; give one per column.")
    return _numbers(path, times), clouds, species, True


def _read_csv(path: Path, _step: float, time_column: str | None) -> Content:
    import pandas as pd

    try:
        header = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0]  # as it stands: pandas renames twins
        table = pd.read_csv(path, float_precision="round_trip")
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise InputError(
            f"`{path}` cannot be read as CSV ({' '.join(str(error).split())}); give a header and one row per sample."
        ) from None
    if header.dropna().duplicated().any():
        twin = header[header.dropna().duplicated().idxmax()]
        raise InputError(f"`{path}` has more than one column `{twin}`; give each column a name of its own.")
    columns = [str(column) for column in table.columns]
    if time_column is not None and time_column not in columns:
        raise InputError(f"`{path}` has no column `{time_column}`; its columns are {', '.join(columns)}.")
    time_name = time_column or next((column for column in columns if column.lower() in TIME_NAMES), columns[0])
    species = tuple(column for column in columns if column != time_name)
    if not species or table.empty:
        raise InputError(
            f"`{path}` has columns {', '.join(columns)} and {len(table)} rows; give a time column and species."
        )
    _check_table(path, table)
    values = np.stack([_numbers(path, table[name].to_numpy()) for name in species], axis=1)
    times = _numbers(path, table[time_name].to_numpy())
    return (*_group(path, times, values), species, False)


READERS: dict[str, Callable[[Path, float, str | None], Content]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
}


def _check_table(path: Path, table: "pandas.DataFrame") -> None:
    import pandas as pd

    names = [str(column) for column in table.columns]
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes what has no name for names of rows
        raise InputError(f"`{path}` has more values in a row than its {len(names)} column names; name every column.")
    if all(_is_number(name) for name in names):
        raise InputError(f"`{path}` begins with numbers ({', '.join(names)}); its first line must name the columns.")
    if names[0].startswith("Unnamed:"):
        raise InputError(
            f"the first column of `{path}` has no name; name it, or save without row numbers (index=False)."
        )
    for name, (_, column) in zip(names, table.items(), strict=True):
        bad = pd.to_numeric(column, errors="coerce").isna().to_numpy()
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"`{path}` holds `{column.iloc[row]}` in column `{name}`, row {row + 1} of the data; all values must "
                "be numbers: fill or drop such rows and columns."
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _trajectories(path: Path, array: np.ndarray) -> tuple[np.ndarray, ...]:
    if array.ndim != 3:
        raise InputError(
            f"`{path}` has shape {array.shape}; trajectories must have shape (trajectory, time, species): with one "
            "species, add an axis of length 1."
        )
    if 0 in array.shape:
        raise InputError(f"`{path}` has shape {array.shape} and holds no number; every axis must be longer than 0.")
    array = _numbers(path, array)
    return tuple(np.ascontiguousarray(array[:, i]) for i in range(array.shape[1]))


def _group(path: Path, times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Collect rows of one time into a cloud; in long form the order of the rows means nothing."""
    times, values = _numbers(path, times), _numbers(path, values)
    if len(times) != len(values):
        raise InputError(f"`{path}` has {len(times)} times for {len(values)} rows; give one time for each row.")
    if not np.isfinite(times).all():
        raise InputError(
            f"`{path}` has a time that is no finite number in row {int(np.argmin(np.isfinite(times)))}; fix it."
        )
    distinct, place = _distinct(times)
    return distinct, tuple(values[place == k] for k in range(len(distinct)))


def _distinct(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct times, increasing, and the place of each time among them; rounding makes no difference.

    Two units in the last place are always rounding, however short the span is: seconds since 1970 have 2e-7 of them. Of
    times that are one, the one that takes the fewest digits to write is what was meant.
    """
    values, which = np.unique(times, return_inverse=True)
    nearest = max(SAME_TIME * (values[-1] - values[0]), 2 * np.spacing(np.abs(values).max()))
    place = np.cumsum(np.diff(values, prepend=values[0]) > nearest)
    groups = [values[place == k].tolist() for k in range(place[-1] + 1)]
    return np.array([min(group, key=lambda time: len(repr(time))) for group in groups]), place[which]


def _numbers(path: Path, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise InputError(f"`{path}` holds values of type {array.dtype}; all must be real numbers.")
    try:
        return exact(array)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
