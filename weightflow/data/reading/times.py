"""Times as people write them: 3, day 3, D0, E8.5, 3h, 12 wk, ordered categories, dates."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from weightflow.errors import InputError

SAME_TIME = 1e-9  # times that differ by less than this share of the span differ by rounding

WORDS = {
    "ms": ("ms", "msec", "millisecond", "milliseconds"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    "min": ("min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "day": ("d", "day", "days"),
    "week": ("w", "wk", "wks", "week", "weeks"),
    "month": ("mo", "mon", "month", "months"),
    "year": ("y", "yr", "yrs", "year", "years"),
    "embryonic day": ("e",),
    "postnatal day": ("p",),
    "stage": ("stage",),
    "generation": ("gen", "generation", "generations"),
    "passage": ("passage",),
}
UNITS = {word: unit for unit, words in WORDS.items() for word in words}
SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "day": 86400.0, "week": 604800.0}
MONTHS = {"month": 1.0, "year": 12.0}  # how many days a month has, depends on which one it is
SINCE = re.compile(r"[smhdw]p[a-z]")  # hpf, dpi: hours post fertilisation, days post infection
PIECES = re.compile(r"^(?P<before>\D*?)(?P<sign>[-+−])?(?P<number>\d+(?:[.,]\d+)?|\.\d+)(?P<after>\D*)$")
PLAIN = re.compile(r"[-+]?\d+(?:\.\d+)?")
ISO = re.compile(r"\d{4}-\d\d(-\d\d)?([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?\s*(Z|[+-]\d\d:?\d\d)?")
CLOCK = re.compile(r"(?:(?P<days>\d+) days?,? *)?(?P<hours>\d+):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d(?:[.,]\d+)?)")
DATE = re.compile(
    r"(\d{1,4}([ ./-])\w+\2\d{1,4}|[^\W\d]{3,} (\d{1,2}, )?\d{4})( \d{1,2}:\d\d(:\d\d)?( [AaPp][Mm])?)?|\d{4}-?W\d\d"
)
ORDERS = {  # how a date is written: how that is said
    "%d/%m/%Y": "day/month/year",
    "%m/%d/%Y": "month/day/year",
    "%Y/%m/%d": "year/month/day",
    "%d.%m.%Y": "day.month.year",
    "%m.%d.%Y": "month.day.year",
    "%Y.%m.%d": "year.month.day",
    "%d-%m-%Y": "day-month-year",
    "%m-%d-%Y": "month-day-year",
    "%d/%m/%y": "day/month/year",
    "%m/%d/%y": "month/day/year",
    "%y/%m/%d": "year/month/day",
    "%d.%m.%y": "day.month.year",
    "%d-%m-%y": "day-month-year",
    "%m-%d-%y": "month-day-year",
    "%y-%m-%d": "year-month-day",
    **{
        order: order.replace("%d", "day").replace("%b", "month").replace("%B", "month").replace("%Y", "year")
        for month in ("%b", "%B")
        for order in (f"%d {month} %Y", f"%d-{month}-%Y", f"{month} %d, %Y", f"{month} %Y")
    },
    **{f"%d{mark}%b{mark}%y": f"day{mark}month{mark}year" for mark in " -"},
}
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
WEEK = "%G-W%V-%u"  # of ISO 8601, in which a week begins on Monday
NAMES = {
    *(
        "time",
        "times",
        "timepoint",
        "timepoints",
        "time_point",
        "time_points",
        "date",
        "dates",
        "datetime",
        "timestamp",
    ),
    *("year", "years", "month", "months", "week", "weeks", "wk", "day", "days", "hour", "hours", "hrs"),
    *("minute", "minutes", "seconds", "stage", "samples"),
}
SHORT = {"t", "h", "d"}  # as they stand, since T may be the target cells of a virus


@dataclass(frozen=True, eq=False)
class Times:
    """One time for each row.

    Attributes:
        values: numbers, in `unit`; NaN where the time is missing.
        unit: as `Snapshots.unit`.
        said: how they were read, in sentences; none for plain numbers.
    """

    values: Float[np.ndarray, "row"]
    unit: str
    said: tuple[str, ...] = ()


def is_time_name(name: str) -> bool:
    """Whether a column of this name holds times, as far as a name can say."""
    plain = name.strip()
    if plain in SHORT or re.sub(r"[\s\-.]+", "_", plain.lower()) in NAMES:
        return True
    return bool(unit_of_name(plain)) and not re.fullmatch(r"[A-Za-z]", plain) and plain.lower() not in UNITS


def names_of_times(names: Sequence[str]) -> list[str]:
    """Return the names that are times themselves, as `t=0 min`, `day 3` and `0:30:00` are; none where it may be chance.

    Dates are, too, and three numbers and more that increase.
    """
    for pattern in (CLOCK, ISO, PLAIN):
        these = [name for name in names if pattern.fullmatch(name)]
        if len({*these}) > (2 if pattern is PLAIN else 1) and (pattern is not PLAIN or _increase(map(float, these))):
            return these
    stated = [name for name in names if (match := PIECES.match(name)) and _says_time(match["before"], match["after"])]
    found = _written(stated)
    return stated if found is not None and len(set(found[0])) == len(stated) > 1 else []


def _says_time(before: str, after: str) -> bool:
    words = _words(before, after)
    return bool(_one_unit(words)) or bool({"t", "time", "timepoint"} & {*words})


def unit_of_name(name: str) -> str:
    """Return the unit that the name of a column states, or nothing: day for `day`, h for `time_h`, `Time (hours)`."""
    words = [word for word in re.split(r"[\s_.\-()\[\]/,]+", name.strip().lower()) if word]
    if len(words) == 1:
        return _unit(words[0]) if words[0] not in {"e", "p", "s", "y", "w", "mo", "mon"} else ""
    if words and words[0] in {"time", "times", "t", "timepoint"}:
        units = [_unit(word) for word in words[1:] if _unit(word)]
        return units[0] if len(units) == 1 else ""
    if len(words) > 1 and words[1] in {"post", "after", "since", "from"}:
        return _unit(words[0])
    return ""


def read_times(column: Any, name: str) -> Times:
    """Understand a column of times.

    Args:
        column: a pandas Series, of numbers, text, categories, dates or durations.
        name: of the column, which may state the unit.

    Raises:
        InputError: a value is no time, or the values are not of one kind.
    """
    import pandas as pd

    codes, distinct = pd.factorize(column)  # what is missing has the code -1
    labels = pd.Series(distinct)
    _check_finite(labels, codes, column, name)
    ordered = isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered
    order = [c for c in column.dtype.categories if c in set(distinct)] if ordered else None
    values, unit, said = _understood(labels, order, name)
    of_row = np.append(np.asarray(values, dtype=np.float64), np.nan)[codes]
    return Times(of_row, unit or unit_of_name(name), said)


def _check_finite(labels: Any, codes: np.ndarray, column: Any, name: str) -> None:
    """Refuse an infinite time, and say in which row it stands; `codes` are the places of the rows among the labels."""
    import pandas as pd

    numbers = labels.astype(labels.cat.categories.dtype) if isinstance(labels.dtype, pd.CategoricalDtype) else labels
    endless = np.isinf(numbers.to_numpy(dtype=np.float64)) if pd.api.types.is_float_dtype(numbers.dtype) else []
    if np.any(endless):
        code = int(np.argmax(endless))
        row = column.index[int(np.argmax(codes == code))] + 1
        raise InputError(
            f"column `{name}` holds {numbers[code]}, no finite number, in row {row} of the data; write the time."
        )


def distinct_times(times: Float[np.ndarray, "row"]) -> tuple[Float[np.ndarray, "time"], np.ndarray]:
    """Return the distinct times, increasing, and the place of each time among them; rounding makes no difference.

    Two units in the last place are always rounding, however short the span is: seconds since 1970 have 2e-7 of them. Of
    times that are one, the one that takes the fewest digits to write is what was meant, and zero where one lies no
    farther from it.
    """
    values, which = np.unique(times, return_inverse=True)
    nearest = max(SAME_TIME * (values[-1] - values[0]), 2 * np.spacing(np.abs(values).max()))
    place = np.cumsum(np.diff(values, prepend=values[0]) > nearest)
    groups = np.split(values, np.flatnonzero(np.diff(place)) + 1)
    distinct = np.array([min(group.tolist(), key=lambda time: len(repr(time))) for group in groups])
    start = np.abs(distinct).argmin()
    distinct[start] = 0.0 if abs(distinct[start]) <= nearest else distinct[start]
    return distinct, place[which]


Read = tuple[list[float], str, tuple[str, ...]]


def _understood(labels: Any, order: list | None, name: str) -> Read:
    """Read the distinct labels (a Series) of a column."""
    import pandas as pd

    labels = labels.astype(labels.cat.categories.dtype) if isinstance(labels.dtype, pd.CategoricalDtype) else labels
    typed = _typed(labels, name)
    if typed is not None:
        return typed
    texts = [str(label).strip() for label in labels]
    dates = _written_dates(texts) or _basic_dates(pd.Series(texts), name)
    if dates is not None:
        return _dates(dates[0], name, dates[1])
    found = _clock(texts) or _written(texts)
    if order is not None and (found is None or not _increases(found[0], texts, order)):
        places = [float(order.index(label)) for label in labels]
        named = ", ".join(f"{i} = {label}" for i, label in enumerate(order))
        return places, "", (f"`{name}` holds categories in an order, which are numbered: {named}",)
    if found is None:
        raise InputError(_why_not(texts, name))
    values, unit = found
    first = sorted(zip(values, texts, strict=True))[:3]
    pattern = f"`{name}` is written as {', '.join(f'`{text}`' for _, text in first)}"
    return values, unit, (f"{pattern}, and read as {', '.join(f'{v:g}' for v, _ in first)}{unit and f' ({unit})'}",)


def _typed(labels: Any, name: str) -> Read | None:
    """Read labels that are no text."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(labels.dtype):
        raise InputError(f"column `{name}` holds true and false, which are no times; name another with `--time`.")
    if pd.api.types.is_datetime64_any_dtype(labels.dtype):
        return _dates(labels, name)
    if isinstance(labels.dtype, pd.PeriodDtype):
        return _periods(labels, name)
    if pd.api.types.is_timedelta64_dtype(labels.dtype):
        return (labels.dt.total_seconds() / 86_400).tolist(), "day", ()
    return _numbers(labels, name) if pd.api.types.is_numeric_dtype(labels.dtype) else None


def _numbers(labels: Any, name: str) -> Read:
    values = labels.to_numpy(dtype=np.float64)
    dates = _basic_dates(labels, name)
    return (values.tolist(), "", ()) if dates is None else _dates(dates[0], name, dates[1])


def _basic_dates(labels: Any, name: str) -> tuple[Any, str] | None:
    """Read whole numbers as dates or months, 20201130 and 202011, where all are such and the name does not object."""
    import pandas as pd

    if unit_of_name(name) not in {"", "day", "month"}:
        return None
    for pattern, order, first, last, names in (
        ("%Y%m%d", "", 18000101, 22001231, r"dat|day|month|time"),
        ("%Y%m", "year and month", 180001, 220012, r"dat|month|time"),
    ):
        values = pd.to_numeric(labels, errors="coerce")
        if not re.search(names, name, re.IGNORECASE) or not values.between(first, last).all():
            continue
        dates = pd.to_datetime(values.astype(np.int64).astype(str), format=pattern, errors="coerce")
        if (values % 1 == 0).all() and dates.notna().all():
            return dates, order
    return None


def _periods(labels: Any, name: str) -> Read:
    """Read years as such, whatever their column is called, and other periods as the dates on which they begin."""
    if labels.dtype.freq.name.startswith("Y"):
        return labels.dt.year.astype(float).tolist(), "year", (f"`{name}` holds years",)
    return _dates(labels.dt.start_time, name, "the starts of periods")


def _dates(labels: Any, name: str, order: str = "") -> Read:
    """Return days since the first date, which is said: a model's times count from it."""
    first = labels.min()
    days = ((labels - first).dt.total_seconds() / SECONDS["day"]).tolist()
    written = first.strftime("%Y-%m-%d" if first == first.normalize() else "%Y-%m-%d %H:%M:%S")
    zone = " UTC" if first.tzinfo is not None and first != first.normalize() else ""
    read = f", read as {order}" if order else ""
    return days, "day", (f"`{name}` holds dates{read}: times are days since {written}{zone}",)


def _written_dates(texts: list[str]) -> tuple[Any, str] | None:
    """Read ISO dates and weeks, and such as 17.11.2024, 11/17/24 3:05 PM or 17 Nov 2024 where one order fits all.

    Between dots the day stands first wherever dates are written so. The order is returned too, empty for ISO dates.
    """
    import pandas as pd

    if all(ISO.fullmatch(text) for text in texts):
        return pd.Series(pd.to_datetime(texts, format="ISO8601", utc=True)), ""
    if not all(DATE.fullmatch(text) for text in texts):
        return None

    def read(texts: list[str], pattern: str) -> Any | None:
        dates = pd.Series(pd.to_datetime(texts, format=pattern, errors="coerce"))
        return dates if dates.notna().all() else None

    if all("W" in text for text in texts):
        weeks = read([f"{text[:4]}-{text[-3:]}-1" for text in texts], WEEK)
        return None if weeks is None else (weeks, "the Mondays of weeks")
    found = {
        words: dates
        for order, words in ORDERS.items()
        for clock in CLOCKS
        if (dates := read(texts, order + clock)) is not None
    }
    day_first = {words: dates for words, dates in found.items() if words == "day.month.year"}
    chosen = day_first or found
    return next((dates, words) for words, dates in chosen.items()) if len(chosen) == 1 else None


def _clock(texts: list[str]) -> tuple[list[float], str] | None:
    """Read 0:30:00 or `1 day, 2:30:00` as hours that have passed, as plate readers and spreadsheets write them."""
    found = [CLOCK.fullmatch(text) for text in texts]
    pieces = [match for match in found if match is not None]
    if not texts or len(pieces) < len(texts):
        return None
    seconds = [
        86400 * int(match["days"] or 0)
        + 3600 * int(match["hours"])
        + 60 * int(match["minutes"])
        + float(match["seconds"].replace(",", "."))
        for match in pieces
    ]
    return [passed / SECONDS["h"] for passed in seconds], "h"


def _written(texts: list[str]) -> tuple[list[float], str] | None:
    """Read a number with words around it, the same words in all, or units that can be changed into each other."""
    found = [PIECES.match(text) for text in texts]
    pieces = [match for match in found if match is not None]
    if len(pieces) < len(texts):
        return None
    dashes = [match["sign"] == "-" and bool(match["before"].strip(" _")) for match in pieces]
    joined = all(dashes) and len(dashes) > 1  # day-0, day-3: no minus, or else all would lie before a day 0
    numbers = [
        float(match["number"].replace(",", ".")) * (-1 if match["sign"] in {"-", "−"} and not joined else 1)
        for match in pieces
    ]
    around = [_words(match["before"], match["after"]) for match in pieces]
    named = [words for words, number in zip(around, numbers, strict=True) if words or number != 0]  # 0, 3h, 6h
    if not named or all(words == named[0] for words in named):
        return numbers, _one_unit(named[0] if named else ())
    units = [words[0] if len(words) == 1 else "" for words in around]
    for sizes in (SECONDS, MONTHS):
        target = Counter(unit for unit in units if unit in sizes).most_common(1)
        if target and all(u in sizes or (u == "" and n == 0) for u, n in zip(units, numbers, strict=True)):
            to = target[0][0]
            return [n * sizes.get(unit, 0.0) / sizes[to] for n, unit in zip(numbers, units, strict=True)], to
    return None


def _words(before: str, after: str) -> tuple[str, ...]:
    """Return the words around a number, units in their usual form."""
    words = [word for word in re.split(r"[\s_.=:\-()\[\]]+", f"{before} {after}".strip().lower()) if word]
    return tuple(_unit(word) or word for word in words)


def _one_unit(words: tuple[str, ...]) -> str:
    units = [word for word in words if word in WORDS or SINCE.fullmatch(word)]
    return units[0] if len(units) == 1 else ""


def _unit(word: str) -> str:
    return UNITS.get(word) or (word if SINCE.fullmatch(word) else "")


def _increase(values: Iterable[float]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))


def _increases(values: list[float], texts: list[str], order: list) -> bool:
    of_text = dict(zip(texts, values, strict=True))
    in_order = [of_text[str(label).strip()] for label in order]
    return _increase(in_order)


def _why_not(texts: list[str], name: str) -> str:
    odd = next((text for text in texts if not PIECES.match(text)), None)
    shown = ", ".join(f"`{text}`" for text in texts[:4])
    if odd is not None and DATE.fullmatch(odd):
        return (
            f"column `{name}` holds dates such as `{odd}`, whose order of day, month and year is in doubt, or not the "
            "same in all; write them as 2020-03-31."
        )
    if odd is not None and re.fullmatch(r"\d+:\d\d", odd):
        last = max(texts)
        return (
            f"column `{name}` holds `{last}`, which may be hours and minutes or minutes and seconds; write hours, "
            f"minutes and seconds, as in `{last}:00` or `0:{last}`."
        )
    if odd is None:
        return f"column `{name}` holds times of different kinds ({shown}); write all with one unit."
    return (
        f"column `{name}` holds `{odd}` (among {shown}), which is no time: write numbers, `day 3`, `3h` or dates such "
        "as 2020-03-31, or make the column an ordered category; or name another column with `--time`."
    )
