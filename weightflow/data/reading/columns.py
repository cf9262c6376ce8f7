"""Which column is what: the time, the unit, the species, and what is none of them."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from weightflow.data.conditions import Scale
from weightflow.data.reading.missing import settle
from weightflow.data.reading.options import Missing, ReadOptions, flag
from weightflow.data.reading.times import Times, is_time_name, names_of_times, read_times, unit_of_name
from weightflow.data.snapshots import exact
from weightflow.data.words import listed, written
from weightflow.errors import InputError

FEW_VALUES = 12  # a condition has no more values
UNEVEN = 0.1  # share of rows by which times may differ in what is missing
NUMBERED = 10  # rows from which 0, 1, 2, .. is no chance
IDENTIFIERS = {
    *("id", "ids", "index", "idx", "row", "name", "barcode", "barcodes", "cell", "cellid", "cell_id", "cell_name"),
    *("sample_id", "sampleid", "sample_name", "rownames", "unnamed_0"),
}
MARKED = re.compile(r"[-+]?\d+(?:[.,]\d+)*")  # a number with marks whose meaning is open
PERCENT = re.compile(r"[-+]?(?:\d+(?:[.,]\d+)?|[.,]\d+)\s*%")
MEASURED = re.compile(r"[<>≤≥~]?\s*[-+−]?\d+(?:[.,]\d+)*\s*\D*")  # a number, and perhaps a unit
WELL = re.compile(r"[A-P]0?(?:[1-9]|1\d|2[0-4])")  # of plates of up to 384
MANY_WELLS = 6  # so many are no chance
CONDITIONS = re.compile(
    r"(^|_)(rep|repl|replica|replicate|batch|plate|donor|patient|subject|mouse|animal|cage|well|site|plot|group|treat|"
    r"treatment|condition|cond|dose|arm|cohort|genotype|strain|clone|run|lane|experiment|exp|cluster|label|salt|temp|"
    r"temperature|concentration|conc|block|trial|sex|seed)s?(_|$)"
)


@dataclass(frozen=True, eq=False)
class Rows:
    """Samples, one a row, each with its time.

    Attributes:
        times: of the rows.
        values: a matrix (row, species), none missing; dense, or sparse where it is to be reduced.
        species: one name for each column.
        units: the unit of each row, as text; None where nothing says.
        said: what was understood, in sentences.
        covariates: the values of each covariate, numbers or text, by its name.
    """

    times: Times
    values: Any
    species: tuple[str, ...]
    units: np.ndarray | None
    said: tuple[str, ...] = ()
    covariates: Mapping[str, np.ndarray] = field(default_factory=dict)


def rows_of(path: Path, frame: Any, options: ReadOptions, hint: str = "") -> Rows:
    """Turn a table into samples with times.

    Args:
        path: of the file, for messages.
        frame: a pandas DataFrame, one row a sample; its first column may have an empty name.
        options: what the user said.
        hint: what else to do where there is only one column.

    Raises:
        InputError: it is in doubt which column is the time, or a column is no species.
    """
    said: list[str] = []
    if frame.empty or len(frame.columns) < 2:
        raise InputError(
            f"`{path}` has {_columns(list(frame.columns))} and {len(frame)} rows; give a time column and species, and "
            f"one row per sample{hint}."
        )
    check_names(path, frame, options)
    unit, options = _drawn(frame, options, said)
    _check_filled(path, frame, [name for name, _ in options.where])
    frame = chosen_rows(path, frame, options, said)
    time = time_column(path, frame, options, said)
    _check_filled(path, frame, [time, *([options.unit] if options.unit else []), *options.covariates], options.missing)
    frame = _as_numbers(frame, time, options, said)
    species = _species(path, frame, time, options, said)
    for name in (time, *options.covariates):
        if frame[name].dtype.kind == "c":
            raise InputError(f"`{path}` holds complex numbers in column `{name}`; all must be real.")
    others = {time, *species, options.unit, *options.covariates, ""}
    said += confounded(frame, time, [c for c in frame.columns if c not in others])
    numbers = _numbers(path, frame, species)
    times = times_of(path, frame[time], time)
    times = replace(times, unit=times.unit or (unit if time == "time" else ""))
    units = None if options.unit is None else _units(frame[options.unit])
    covariates = covariates_of(f"`{path}`", frame, options)
    labels = ~np.isfinite(times.values) if units is None else ~np.isfinite(times.values) | (units == "")
    labels |= frame[list(options.covariates)].isna().to_numpy().any(axis=1)
    if labels.any() and options.missing is not Missing.DROP:
        row = int(np.argmax(labels))
        raise InputError(
            f"`{path}` has no time, unit or condition in row {row + 1} of the data ({int(labels.sum())} such rows); "
            "fill it, or leave such rows out with `--missing drop`."
        )
    keep, numbers, told = settle(f"`{path}`", numbers, species, options.missing, frame.index.to_numpy(), labels)
    said += [*told, *_uneven(times.values, keep)]
    times = replace(times, values=times.values[keep])
    if not keep.any():
        raise InputError(f"no row of `{path}` is left; every one has a missing value: choose `--species` or `--drop`.")
    kept = {name: values[keep] for name, values in covariates.items()}
    return Rows(times, numbers, species, None if units is None else units[keep], tuple(said), kept)


def _drawn(frame: Any, options: ReadOptions, said: list[str]) -> tuple[str, ReadOptions]:
    """Return the unit of times that a model drew at, and leave the numbers of the draws out; none of other tables."""
    unit = frame.attrs.get("time_unit")
    if not isinstance(unit, str) or not {"time", "draw"} <= {*frame.columns}:
        return "", options
    if unit:
        said.append(f"`time` is in {unit}, as WeightFlow wrote into `attrs`")
    if "draw" in {*options.species, *options.drop, *options.covariates, options.unit, options.time}:
        return unit, options
    said.append("`draw` numbers the draws of a model, and is no species")
    return unit, replace(options, drop=(*options.drop, "draw"))


def _check_filled(path: Path, frame: Any, names: Sequence[str], missing: Missing = Missing.REFUSE) -> None:
    """Refuse a column whose values stand where blocks of rows begin, and nowhere else, as of merged cells."""
    for name in names if missing is not Missing.DROP else ():
        gaps = frame[name].isna().to_numpy()
        begins = not gaps[0] and not (~gaps[1:] & ~gaps[:-1]).any()
        if begins and 2 * gaps.sum() > len(gaps):
            raise InputError(
                f"`{path}` has a value of `{name}` in {int((~gaps).sum()):,} of {len(gaps):,} rows, the first among "
                "them, as where merged cells stand for a block of rows each: fill it down to the end of each block (in "
                f"pandas: frame['{name}'].ffill()). `--missing drop` would leave nothing but the rows that have one."
            )


def _as_numbers(frame: Any, time: str, options: ReadOptions, said: list[str]) -> Any:
    """Read percentages, and true and false where `--species` names them; else these may as well mark rows."""
    others = {time, options.unit, *options.drop, *options.covariates, *(column for column, _ in options.where), ""}
    made: dict[str, Any] = {}
    names: list[str] = [name for name in options.species or frame.columns if name not in others]
    for name in names:
        if _is_true_or_false(frame[name]) and options.species:
            made[name] = frame[name].astype("Float64")
            said.append(f"`{name}` holds true and false, read as 1 and 0")
        percentages = _percentages(frame[name])
        if percentages is not None:
            made[name] = percentages
            said.append(
                f"`{name}` is in percent: `{frame[name].dropna().iloc[0]}` is read as {percentages.dropna().iloc[0]:g}"
            )
    return frame.assign(**made)


def _percentages(values: Any) -> Any | None:
    """Return the numbers before the signs where each value has one; None where not, or where a comma is in doubt."""
    import pandas as pd

    if not _is_text(values) or values.isna().all():
        return None
    texts = values.dropna().astype(str).str.strip()
    if not texts.str.fullmatch(PERCENT).all() or (texts.str.contains(",") & texts.str.contains(r",\d{3}\s*%")).any():
        return None
    plain = values.astype("string").str.strip().str.removesuffix("%").str.replace(",", ".")
    return pd.to_numeric(plain)


def _is_true_or_false(values: Any) -> bool:
    """Whether a column holds true and false, and no other value."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(values.dtype):
        return True
    known = values.dropna()
    return bool(_is_text(values) and len(known) and known.map(lambda value: isinstance(value, bool | np.bool_)).all())


def covariates_of(where: str, frame: Any, options: ReadOptions) -> dict[str, np.ndarray]:
    """Return the values of each covariate: numbers, or text where it is no column of numbers or said to be none.

    Raises:
        InputError: a number is infinite.
    """
    import pandas as pd

    def plain(name: str) -> np.ndarray:
        column = frame[name]
        kind = column.dtype.categories.dtype if isinstance(column.dtype, pd.CategoricalDtype) else column.dtype
        numeric = pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)
        if numeric and options.scales.get(name) is not Scale.CATEGORY:
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            if np.isinf(values).any():
                row = int(np.argmax(np.isinf(values)))
                raise InputError(
                    f"{where} holds {values[row]} in `{name}`, row {frame.index[row] + 1} of the data; all must be "
                    "finite numbers."
                )
            return values
        return column.astype(str).to_numpy(dtype=str)

    return {name: plain(name) for name in options.covariates}


def _uneven(times: Float[np.ndarray, "row"], keep: Bool[np.ndarray, "row"]) -> list[str]:
    """Warn where the rows that are left out are not spread evenly over the times: then it matters why they miss."""
    known = np.isfinite(times)
    distinct, place = np.unique(times[known], return_inverse=True)
    share = np.bincount(place, ~keep[known], len(distinct)) / np.bincount(place, minlength=len(distinct))
    if share.max() < 2 * share.min() + UNEVEN:
        return []
    most = int(share.argmax())
    return [
        f"warning: {share[most]:.0%} of the rows at time {written(distinct[most])} are left out, {share.min():.0%} at "
        "others: "
        "where values are missing because nothing was left (died out, not detected), they are zeros: `--missing zero`"
    ]


def times_of(path: Path, column: Any, name: str) -> Times:
    """Understand a column of times, and name the file where it cannot be."""
    try:
        return read_times(column, name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def check_names(path: Path, frame: Any, options: ReadOptions) -> None:
    """Refuse options that name columns which do not exist."""
    columns = list(frame.columns)
    named = {"time": [options.time], "unit": [options.unit], "where": [c for c, _ in options.where]}
    named |= {"species": options.species, "drop": options.drop, "conditions": options.covariates}
    for option, names in named.items():
        for name in names:
            if name is not None and name not in columns:
                raise InputError(f"`{path}` has no column `{name}` ({flag(option)}); {_columns(columns)}.")


def chosen_rows(path: Path, frame: Any, options: ReadOptions, said: list[str]) -> Any:
    """Return the rows that `--where` keeps; the index still counts the rows of the file."""
    import pandas as pd

    for column in dict.fromkeys(column for column, _ in options.where):
        wanted = [value for name, value in options.where if name == column]
        values = frame[column]
        keep = np.zeros(len(frame), dtype=bool)
        for value in wanted:
            same = values.astype(str).str.strip().to_numpy() == value
            if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
                number = _number(value)
                same = same if number is None else values.to_numpy(dtype=np.float64, na_value=np.nan) == number
            if not same.any():
                held = [str(v) for v in pd.unique(values.dropna())]
                raise InputError(f"no row of `{path}` has {column}={value} (`--where`); it holds {listed(held)}.")
            keep |= same
        said.append(f"rows with {column} = {' or '.join(wanted)} alone: {int(keep.sum()):,} of {len(frame):,}")
        frame = frame[keep]
    return frame


def time_column(path: Path, frame: Any, options: ReadOptions, said: list[str]) -> str:
    """Tell which column holds the times.

    Raises:
        InputError: it is in doubt; the message lists the candidates.
    """
    if options.time is not None:
        return options.time
    taken = {*options.species, *options.drop, *options.covariates, options.unit, ""}
    columns = [column for column in frame.columns if column not in taken]
    named = [column for column in columns if is_time_name(column)]
    sure = [column for column in named if re.match(r"time", column.strip(), re.IGNORECASE)] if len(named) > 1 else []
    others = {*named} - {*sure}
    if len(sure) == 1 and all(len(other.strip()) == 1 or other == "samples" for other in others):
        named = sure  # beside a `time`, a `t` or an `h` is a species
    kept = {column for column, _ in options.where}
    aside = len(named) == 1 and _stands_aside(named[0], frame, [column for column in columns if column not in kept])
    if len(named) == 1 and not aside and not _numbers_rows(frame[named[0]]):
        said.append(f"the time is `{named[0]}`, by its name (`--time` chooses another column)")
        return named[0]
    if aside:
        why = f"`{named[0]}` sounds like it, but holds plain numbers and does not stand before the species"
    elif len(named) == 1:
        why = f"`{named[0]}` sounds like it, but numbers the rows: say `--time {named[0]}` if each row has its own time"
    elif named:
        why = f"{' and '.join(f'`{name}`' for name in named)} sound like it"
    else:
        why = "no column has a name such as time, day or hours"
    candidates = sorted(columns if aside else named or columns, key=lambda column: _unlikely(frame[column]))
    told = listed([f"`{name}` ({_counted(frame[name].nunique())})" for name in candidates], 8)
    across = names_of_times(columns)
    wide = (
        f" If {listed([f'`{name}`' for name in across], 4)} are the times, write a row for each of them, with the time "
        "in one column and the value in another."
        if across
        else ""
    )
    raise InputError(f"which column of `{path}` is the time? {why}. Name it with `--time`; candidates: {told}.{wide}")


def _stands_aside(name: str, frame: Any, columns: Sequence[str]) -> bool:
    """Whether a column that is called like a unit (day, hours) holds numbers and stands among or after the species.

    Then it may as well be one of them, such as the days that something took.
    """
    if _is_text(frame[name]) or not unit_of_name(name) or re.match(r"time", name.strip(), re.IGNORECASE):
        return False
    measured = [c for c in columns if not (_is_text(frame[c]) or c.strip().lower() in IDENTIFIERS)]
    return next(c for c in measured if c == name or not CONDITIONS.search(_plain(c))) != name


def confounded(frame: Any, time: str, columns: Sequence[str]) -> list[str]:
    """Say where columns that are left out have other values at some times: what changes may be theirs, not time's."""
    said: list[str] = []
    for column in columns:
        values = frame[column]
        if not 2 <= values.nunique() <= FEW_VALUES:
            continue
        held = values.astype(str).groupby(frame[time].astype(str), sort=False, observed=True).agg(frozenset)
        everywhere = frozenset.intersection(*held)
        odd = [str(when) for when, these in held.items() if these != held.mode()[0]]
        if not everywhere and odd:
            said.append(
                f"warning: no value of `{column}` was observed at all times (it differs at {listed(odd, 4)}): what "
                f"changes there may be due to `{column}` and not to time"
            )
    return said


def _species(path: Path, frame: Any, time: str, options: ReadOptions, said: list[str]) -> tuple[str, ...]:
    """Return the columns that are species, and say what the others are taken for."""
    import pandas as pd

    others = {time, options.unit, *options.drop, *options.covariates, *(column for column, _ in options.where)}
    if options.species:
        wrong = [name for name in options.species if name in {time, options.unit}]
        if wrong:
            raise InputError(f"`{wrong[0]}` is the time or the unit, and no species; leave it out of `--species`.")
        left = [column for column in frame.columns if column not in {*others, *options.species, ""}]
        if left:
            said.append(
                f"left out, since `--species` does not name {'it' if len(left) == 1 else 'them'}: {listed(left)}"
            )
        for name in options.species:
            _check_numbers(path, name, frame[name])
        return options.species
    _check_one_row_each(path, frame, time, [column for column in frame.columns if column not in others])
    species: list[str] = []
    places = pd.factorize(frame[time])[0]
    for column in (column for column in frame.columns if column not in others):
        if _names_the_rows(path, column, frame[column]):
            said.append(f"{f'column `{column}`' if column else 'the first column'} names the rows, and is no species")
            continue
        _check_numbers(path, column, frame[column], _measured_again(frame[column], places))
        species.append(column)
        said += _doubts(column, frame[column], places)
    said += _wells(species, time)
    if not species:
        raise InputError(f"`{path}` has {_columns(list(frame.columns))}, of which none is left as a species; add some.")
    return tuple(species)


def _wells(species: Sequence[str], time: str) -> list[str]:
    """Warn where species are called like the wells of a plate, A1 to H12: they may be one species, measured in each."""
    wells = [name for name in species if WELL.fullmatch(name.strip())]
    if len(wells) < MANY_WELLS or 2 * len(wells) < len(species):
        return []
    return [
        f"warning: {len(wells)} columns are called like wells of a plate ({listed(wells, 3)}), and each is read as a "
        "species of its own: if they hold one species, write them below each other, with a column for the well that "
        f"`--unit` names (in pandas: frame.melt(id_vars='{time}', var_name='well'))"
    ]


def _check_one_row_each(path: Path, frame: Any, time: str, columns: Sequence[str]) -> None:
    """Refuse a table in long form, each row of which holds one of the values of a sample."""
    texts = [column for column in columns if _is_text(frame[column])]
    for name in sorted(texts, key=lambda column: frame[column].nunique()):  # there are fewer species than samples
        several = frame[name].nunique()
        for sample in (column for column in columns if column != name):
            together = frame.groupby([time, sample], sort=False, observed=True).ngroups
            if several < 2 or together * several != len(frame) or frame.duplicated([time, sample, name]).any():
                continue
            if all(_is_text(frame[column]) for column in columns if column != sample):
                continue  # nothing is left that would be the value
            raise InputError(
                f"`{path}` seems to be in long form: each `{sample}` has {several} rows, one for each `{name}` "
                f"({listed([str(value) for value in frame[name].unique()], 4)}). A sample must be one row with a "
                f"column for each species: pivot the table, in pandas by frame.pivot(index=['{time}', '{sample}'], "
                f"columns='{name}', values=..), in R by tidyr::pivot_wider(names_from = {name}, values_from = ..). If "
                f"`{name}` is a condition instead, say {_option('conditions', name)}."
            )


def _names_the_rows(path: Path, column: str, values: Any) -> bool:
    """Whether a column tells rows apart, and measures nothing.

    Raises:
        InputError: it is called like one that does, or has no name, but its values come back.
    """
    import pandas as pd

    distinct = values.nunique(dropna=False)
    plain = re.sub(r"[\s\-.:]+", "_", column.strip().lower())
    if _is_text(values):
        called = plain in IDENTIFIERS or not column
        if called:
            return bool(distinct > len(values) / 2)
        words = pd.to_numeric(values.astype(str), errors="coerce").isna()  # numbers with a word among them are no names
        return bool(distinct == len(values) > 2 and words.mean() > 0.5)
    if _numbers_rows(values) and (plain in IDENTIFIERS or not column):
        return True
    if column and plain not in IDENTIFIERS:
        return False
    if _is_whole(values) and distinct == len(values):
        return True
    if not column:
        raise InputError(f"the first column of `{path}` has no name, and its values come back; name or delete it.")
    raise InputError(
        f"column `{column}` of `{path}` sounds like an identifier, but has {distinct:,} values for {len(values):,} "
        f"rows; say `--unit {column}` if it names what was measured again and again, `--drop {column}`, or name the "
        "`--species`."
    )


def _check_numbers(path: Path, column: str, values: Any, unit: bool = False) -> None:
    """Refuse a species that is no number; `unit` says that it may name what was measured again and again."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        return
    held = [str(value) for value in pd.unique(values.dropna())]
    if _is_true_or_false(values):
        raise InputError(
            f"column `{column}` of `{path}` holds true and false ({listed(held)}) and may mark rows: keep those of one "
            f"with `--where '{column}={held[0]}'`, leave the column out with {_option('drop', column)}, or name it in "
            "`--species`, which reads it as counts, 1 and 0."
        )
    as_numbers = pd.to_numeric(values.astype(str), errors="coerce") if _is_text(values) else pd.Series([np.nan])
    bad = (as_numbers.isna() & values.notna().to_numpy()).to_numpy() if _is_text(values) else np.array([True])
    if _is_text(values) and 2 * bad.sum() <= len(values) and len(values):
        row = int(np.argmax(bad))
        if not bad.any():
            return
        raise InputError(
            f"`{path}` holds `{values.iloc[row]}` in column `{column}`, row {values.index[row] + 1} of the data; all "
            f"values must be numbers: mend it, leave the field empty and say `--missing drop`, or `--drop {column}`."
        )
    if any("," in value for value in held) and all(MARKED.fullmatch(value.strip()) for value in held):
        raise InputError(
            f"column `{column}` of `{path}` holds numbers as text, such as {held[0]}: say which mark is the decimal "
            "one, with `--decimal ,` or `--decimal .`, where the file is text; else make them numbers where the table "
            "is made."
        )
    if len(held) > FEW_VALUES and all(MEASURED.fullmatch(value.strip()) for value in held):
        raise InputError(
            f"column `{column}` of `{path}` holds numbers with something around them, such as {listed(held, 3)}, all "
            "values must be numbers: write them alone where the table is made, and the unit into the name of the "
            f"column, or leave the column out with {_option('drop', column)}."
        )
    example = held[0] if held else "..."
    what = (
        f"column `{column}` of `{path}` holds no numbers but {listed(held, 4)} ({_counted(len(held))}), so it is no "
        "species; "
    )
    if unit:
        what += (
            f"say {_option('unit', column)} if it names what was measured again and again (a cage, a well, a patient), "
        )
    raise InputError(
        f"{what}keep the rows of one value with `--where '{column}={example}'`, or leave the column out with "
        f"{_option('drop', column)}."
    )


def _option(name: str, value: str) -> str:
    """Return an option as a shell takes it."""
    return f"`--{name} {shlex.quote(value)}`"


def _measured_again(values: Any, times: np.ndarray) -> bool:
    """Whether a column may name units: several values, each once at a time, and most of them at several times."""
    import pandas as pd

    known = values.notna().to_numpy() & (times >= 0)
    pairs = pd.DataFrame({"unit": values[known].astype(str).to_numpy(), "time": times[known]})
    each = pairs.groupby("unit").size()
    return bool(not pairs.duplicated().any() and len(each) > 2 and (each > 1).mean() > 0.5)


def _doubts(column: str, values: Any, times: np.ndarray) -> list[str]:
    """Warn of a species that looks like a condition or like numbers of rows."""
    what = ""
    few = 2 <= values.nunique() <= FEW_VALUES
    if few and (CONDITIONS.search(_plain(column)) or _balanced(values, times)):
        what = f"a condition or a replicate ({_counted(values.nunique())})"
    elif _numbers_rows(values):
        what = "numbers of the rows"
    unit = _is_whole(values) and bool(CONDITIONS.search(_plain(column))) and _measured_again(values, times)
    if unit:
        what = f"the name of what was measured again and again ({_counted(values.nunique())})"
    if not what:
        return []
    value = values.dropna().iloc[0]
    ways = f"say so with {_option('unit', column)}, or leave" if unit else "leave"
    return [
        f"warning: `{column}` is read as a species, but looks like {what}: {ways} it out with {_option('drop', column)}"
        + (
            f", keep one value with `--where '{column}={value}'`, or fit all of them with `--conditions {column}`"
            if few
            else ""
        )
    ]


def _plain(column: str) -> str:
    """Return the words of a name, in small letters, with an underscore between."""
    return re.sub(r"[^a-z0-9]+", "_", column.lower())


def _balanced(values: Any, times: np.ndarray) -> bool:
    """Whether each value occurs equally often at each time, as in a design and hardly ever by chance."""
    import pandas as pd

    known = values.notna().to_numpy() & (times >= 0)
    codes, distinct = pd.factorize(values[known])
    counts = np.bincount(times[known] * len(distinct) + codes, minlength=(times.max() + 1) * len(distinct))
    table = counts.reshape(-1, len(distinct))
    return bool(len(table) > 1 and (table.max(axis=1) - table.min(axis=1) <= 1).all() and table.min() >= 3)


def _numbers(path: Path, frame: Any, species: Sequence[str]) -> Float[np.ndarray, "row species"]:
    """Return the species as one matrix, NaN where a value is missing."""
    import pandas as pd

    def numbers(column: Any) -> np.ndarray:
        if _is_text(column):
            column = pd.to_numeric(column, errors="coerce")
        if column.isna().any():
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        return exact(column.to_numpy())

    try:
        return np.stack([numbers(frame[name]) for name in species], axis=1)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _units(column: Any) -> np.ndarray:
    """Return the names of units as text, empty where one is missing."""
    return np.where(column.isna(), "", column.astype(str)).astype(str)


def _is_text(values: Any) -> bool:
    import pandas as pd

    kind = values.dtype
    return bool(pd.api.types.is_object_dtype(kind) or isinstance(kind, pd.CategoricalDtype | pd.StringDtype))


def _is_whole(values: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_integer_dtype(values.dtype))


def _numbers_rows(values: Any) -> bool:
    """Whether values are 0, 1, 2, .. or 1, 2, 3, .. in the order of the rows."""
    if not _is_whole(values) or len(values) < NUMBERED or values.isna().any():
        return False
    numbers = values.to_numpy(dtype=np.float64)
    return bool(numbers[0] in {0, 1} and (np.diff(numbers) == 1).all())


def _unlikely(values: Any) -> tuple[bool, int]:
    """Return a key that sorts columns by how unlikely they are times: those with few values come first."""
    distinct = int(values.nunique())
    return not 2 <= distinct <= len(values) / 2, distinct


def _counted(distinct: int) -> str:
    return f"{distinct:,} value" + ("" if distinct == 1 else "s")


def _columns(columns: Sequence[str]) -> str:
    names = [column or "(without a name)" for column in columns]
    return f"columns {listed(names)}" if len(columns) != 1 else f"columns {names[0]}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
