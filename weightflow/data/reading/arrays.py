"""Plain arrays: trajectories in an .npy or .npz, and tables in an .npz.

- `.npy`: trajectories, shape (trajectory, time, species); times are 0, step, 2 step, ..
- `.npz`: one array of times with one array of shape (trajectory, time, species); or, in long form, one array of shape
  (row, species) with one array of a time for each row. An array `species` may name the species, and each covariate is
  an array with a value for each trajectory, or for each row.
"""

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from weightflow.data.conditions import Scale
from weightflow.data.reading.clouds import Clouds, grouped
from weightflow.data.reading.columns import Rows, times_of
from weightflow.data.reading.missing import settle
from weightflow.data.reading.options import Missing, ReadOptions
from weightflow.data.reading.times import Times, is_time_name
from weightflow.data.snapshots import exact
from weightflow.data.words import listed, written
from weightflow.errors import InputError

DRAWN = {"times", "samples", "species", "unit"}  # arrays of what `forecast` writes


def read_npy(path: Path, options: ReadOptions) -> Clouds:
    """Read one array of trajectories.

    Raises:
        InputError: it is no plain array, or not of that shape.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"`{path}` cannot be read as a plain .npy array ({error}); save it with numpy.save.") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise InputError(f"`{path}` is an archive of several arrays, not one array; rename it to .npz.")
    step = 1.0 if options.step is None else options.step
    said = f"times are 0, {step:g}, {2 * step:g}, .." + ("" if options.step else " (`--step` tells another step)")
    return _trajectories(
        path, Times(step * np.arange(array.shape[1] if array.ndim > 1 else 0), "", (said,)), array, (), options
    )


def read_npz(path: Path, options: ReadOptions) -> Clouds:
    """Read an archive of arrays.

    Raises:
        InputError: it is no archive of plain arrays, or does not hold times and samples.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(f"`{path}` is not an archive of arrays, or is cut off; save it with numpy.savez.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"`{path}` cannot be read as plain .npz arrays ({error}); save it with numpy.savez.") from None
    if {*arrays} >= DRAWN and arrays["unit"].ndim == 0:
        return _drawn(path, arrays, options)
    named = "species" in arrays and arrays["species"].dtype.kind == "U" and arrays["species"].ndim == 1
    species = tuple(arrays.pop("species").tolist()) if named else ()
    held = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
    unit = None if options.unit is None else arrays.pop(options.unit, None)
    if options.unit is not None and (unit is None or unit.ndim != 1):
        raise InputError(f"`{path}` holds {held}; `--unit {options.unit}` must name an array of one unit for each row.")
    covariates = {name: _covariate(path, arrays, name, options, held) for name in options.covariates}
    time = _time_name(path, arrays, options, held)
    values = [name for name in arrays if name != time]
    if time is None or len(values) != 1:
        raise InputError(
            f"`{path}` holds {held}; it must hold `{options.time or 'times'}` and one array of samples: "
            "(trajectory, time, species), or (row, species) with one time for each row. `--time` names the times"
            + _told_apart(arrays, time)
        )
    array, times = arrays[values[0]], _times(path, arrays[time], time)
    if array.ndim == 2:
        return grouped(_rows(path, times, array, species, unit, options, covariates), options)
    if unit is not None:
        raise InputError(f"`--unit {options.unit}` is for tables; `{values[0]}` in `{path}` holds trajectories.")
    return _trajectories(path, times, array, species, options, covariates)


def _drawn(path: Path, arrays: dict[str, np.ndarray], options: ReadOptions) -> Clouds:
    """Read what `forecast` wrote: other draws at each time, of shape (time, draw, species)."""
    if options.unit is not None or options.covariates or options.time not in {None, "times"}:
        raise InputError(f"`{path}` holds what a model drew; leave `--time`, `--unit` and `--conditions` out.")
    unit, samples, times = str(arrays["unit"]), arrays["samples"], arrays["times"]
    said = (f"it holds what a model drew at {len(times)} times{unit and f', in {unit}'}, as `forecast` wrote it",)
    of_row = Times(np.repeat(times, samples.shape[1]), unit, said)
    species = tuple(arrays["species"].astype(str).tolist())
    return grouped(_rows(path, of_row, samples.reshape(-1, samples.shape[-1]), species, None, options, {}), options)


def _told_apart(arrays: dict[str, np.ndarray], time: str | None) -> str:
    """Say of arrays with one value for each of the samples what they may be."""
    sizes = {len(array) for array in arrays.values() if array.ndim > 1}
    flat = [name for name, array in arrays.items() if name != time and array.ndim == 1 and len(array) in sizes]
    if not flat:
        return "."
    return f"; what tells conditions apart, such as a dose, is named too: `--conditions {','.join(flat)}`."


def _covariate(path: Path, arrays: dict[str, np.ndarray], name: str, options: ReadOptions, held: str) -> np.ndarray:
    """Take the array of a covariate out of the others."""
    array = arrays.pop(name, None)
    if array is None or array.ndim != 1 or array.dtype.kind not in "iufUb":
        raise InputError(
            f"`{path}` holds {held}; `--conditions {name}` must name an array of one number or text for each "
            "trajectory or row."
        )
    if array.dtype.kind in "iuf" and options.scales.get(name) is not Scale.CATEGORY:
        if not np.isfinite(array).all():
            raise InputError(f"`{name}` in `{path}` holds {array[~np.isfinite(array)][0]}; all must be finite numbers.")
        return array.astype(np.float64)
    return array.astype(str)


def _time_name(path: Path, arrays: dict[str, np.ndarray], options: ReadOptions, held: str) -> str | None:
    flat = [name for name, array in arrays.items() if array.ndim == 1]
    if options.time is not None:
        return options.time if options.time in flat else None
    known = [name for name in flat if is_time_name(name)]
    if len(known) > 1:
        raise InputError(f"`{path}` holds {held}; say with `--time` whether {' or '.join(known)} are the times.")
    return known[0] if known else None


def _times(path: Path, array: np.ndarray, name: str) -> Times:
    import pandas as pd

    if array.dtype.kind in "biuf" and not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array)))
        raise InputError(f"`{path}` has a time that is no finite number in row {row} of `{name}`; fix it.")
    if array.dtype.kind not in "iufUM":
        raise InputError(f"`{path}` holds times of type {array.dtype}; all must be real numbers, text or dates.")
    read = times_of(path, pd.Series(array), name)
    return Times(read.values, read.unit, (*read.said, f"the times are `{name}`"))


def _rows(
    path: Path,
    times: Times,
    array: np.ndarray,
    species: tuple[str, ...],
    unit: np.ndarray | None,
    options: ReadOptions,
    covariates: dict[str, np.ndarray],
) -> Rows:
    values = _numbers(path, array)
    for what, given in (("times", times.values), ("units", unit), *covariates.items()):
        if given is not None and len(given) != len(values):
            raise InputError(f"`{path}` has {len(given)} {what} for {len(values)} rows; give one for each row.")
    if not values.size:
        raise InputError(f"`{path}` has shape {array.shape} and holds no number; every axis must be longer than 0.")
    values, species = _chosen(path, values, species, options)
    keep, values, said = settle(
        f"`{path}`", values, species, options.missing, np.arange(len(values)), np.zeros(len(values), dtype=bool)
    )
    _check_some(path, keep)
    units = None if unit is None else unit.astype(str)[keep]
    kept = {name: given[keep] for name, given in covariates.items()}
    return Rows(Times(times.values[keep], times.unit, times.said), values, species, units, tuple(said), kept)


def _trajectories(
    path: Path,
    times: Times,
    array: np.ndarray,
    species: tuple[str, ...],
    options: ReadOptions,
    covariates: dict[str, np.ndarray] | None = None,
) -> Clouds:
    if array.ndim != 3:
        raise InputError(
            f"`{path}` has shape {array.shape}; trajectories must have shape (trajectory, time, species): with one "
            "species, add an axis of length 1."
        )
    if 0 in array.shape:
        raise InputError(f"`{path}` has shape {array.shape} and holds no number; every axis must be longer than 0.")
    if len(times.values) != array.shape[1]:
        raise InputError(
            f"`{path}` has {len(times.values)} times for an array of shape {array.shape}; give one per column."
        )
    values, species = _chosen(path, _numbers(path, array), species, options)
    said = list(times.said)
    gaps = np.isnan(values)
    _check_whole(path, times, values, species, options.missing)
    if gaps.any() and options.missing is Missing.ZERO:
        said.append(f"{int(gaps.sum()):,} missing values are read as zero")
        values = np.where(gaps, 0.0, values)
    elif gaps.any() and options.missing is Missing.DROP:
        keep = np.array([not some.any() for some in gaps])
        _check_some(path, keep)
        said.append(f"{int((~keep).sum()):,} of {len(keep):,} trajectories left out, since values are missing")
        values, covariates = values[keep], {name: held[keep] for name, held in (covariates or {}).items()}
    if covariates:
        return _varied(path, Times(times.values, times.unit, ()), values, species, options, covariates, said)
    clouds = tuple(np.ascontiguousarray(values[:, i]) for i in range(values.shape[1]))
    return Clouds(times.values, times.unit, clouds, species, paired=True, dense=True, said=tuple(said))


def _check_whole(path: Path, times: Times, values: np.ndarray, species: tuple[str, ...], missing: Missing) -> None:
    """Refuse values that are no finite numbers, but for missing ones of which the user says what they become."""
    wrong = ~np.isfinite(values)
    if missing is not Missing.REFUSE:
        wrong &= ~np.isnan(values)
    if missing is Missing.DROP:
        wrong &= ~np.isnan(values).any(axis=(1, 2), keepdims=True)
    if not wrong.any():
        return
    place = np.argwhere(wrong)[0].tolist()
    held, time = values[tuple(place)], float(times.values[place[1]])
    do = (
        "fill it, leave such trajectories out with `--missing drop`, or read it as zero with `--missing zero`"
        if np.isnan(held)
        else "correct it, or make it nan and say `--missing drop`"
    )
    raise InputError(
        f"`{path}` holds {held} at {place} (trajectory, time, species, counted from 0), that is in "
        f"`{species[place[2]]}` at t={written(time)} ({int(wrong.any(axis=(1, 2)).sum()):,} of "
        f"{len(values):,} trajectories hold such a value); all must be finite: {do}."
    )


def _varied(
    path: Path,
    times: Times,
    values: np.ndarray,
    species: tuple[str, ...],
    options: ReadOptions,
    covariates: dict[str, np.ndarray],
    said: list[str],
) -> Clouds:
    """Part trajectories by condition; each one is a unit, since it is the same at every time."""
    n, n_times = values.shape[:2]
    for name, held in covariates.items():
        if len(held) != n:
            raise InputError(f"`{path}` has {len(held)} values of `{name}` for {n} trajectories; give one for each.")
    rows = Rows(
        Times(np.tile(times.values, n), times.unit, ()),
        values.reshape(n * n_times, -1),
        species,
        np.repeat(np.array([f"{i}" for i in range(n)]), n_times),
        tuple(said),
        {name: np.repeat(held, n_times) for name, held in covariates.items()},
    )
    return replace(grouped(rows, options), dense=True)


def _chosen(
    path: Path, values: np.ndarray, species: tuple[str, ...], options: ReadOptions
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Keep the species that are wanted; without names they are called x1, x2, .."""
    names = list(species or (f"x{i + 1}" for i in range(values.shape[-1])))
    if len(names) != values.shape[-1]:
        raise InputError(f"`{path}` names {len(names)} species for an array of shape {values.shape}; name each once.")
    twins = [name for i, name in enumerate(names) if name in names[:i]]
    if twins:
        raise InputError(f"`{path}` has {names.count(twins[0])} species `{twins[0]}`; give each a name of its own.")
    for name in (*options.species, *options.drop):
        if name not in names:
            raise InputError(f"`{path}` has no species `{name}`; they are {listed(names)}.")
    kept = options.species or tuple(name for name in names if name not in options.drop)
    if not kept:
        raise InputError(f"`--drop` leaves no species of `{path}`; drop fewer.")
    return values[..., [names.index(name) for name in kept]], kept


def _check_some(path: Path, keep: np.ndarray) -> None:
    if not keep.any():
        raise InputError(f"every row of `{path}` has a missing value; choose `--species`, or `--missing zero`.")


def _numbers(path: Path, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise InputError(f"`{path}` holds values of type {array.dtype}; all must be real numbers.")
    try:
        return exact(array)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
