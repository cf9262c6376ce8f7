"""Files that hold a table: text of any dialect, Parquet, Excel. What the dialect is, is found out and said."""

import bz2
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from weightflow.data.reading.options import ReadOptions
from weightflow.data.words import listed
from weightflow.errors import InputError

ENOUGH = 10_000  # values that tell what a decimal mark is; what is no number then, is refused later
SAMPLE = 200  # lines that a separator must divide alike
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}
COMPRESSED = {
    b"\x1f\x8b": ("gzip", gzip.decompress),
    b"BZh": ("bzip2", bz2.decompress),
    b"\xfd7zXZ": ("xz", lzma.decompress),
}
UNREADABLE = (  # what decompressing raises: each of them of data that are damaged, and beside that
    EOFError,  # of data that are cut off
    OSError,  # gzip and bzip2: another format
    ValueError,  # bzip2: another format inside
    RuntimeError,  # zip: locked by a password, or packed by a method that this Python does not have
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
PACKED = (b"PK\x03\x04", b"PK\x05\x06")  # how a zip archive begins, and one of no files
NO_TEXT = (".parquet", ".xlsx", ".xls", ".ods", ".npy", ".npz", ".h5ad")
BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
SEP_LINE = re.compile(r"sep=(.)", re.IGNORECASE)
COMMA = re.compile(r"\s*[-+]?\d+,\d+(?:[eE][-+]?\d+)?\s*")
THOUSANDS = re.compile(r"\s*[-+]?\d{1,3}(?:,\d{3})+\s*")
GROUPED = {  # by the decimal mark: numbers whose thousands the other mark sets apart, and those where it surely does
    ".": (r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", r"[-+]?\d{1,3}(?:(?:,\d{3}){2,}(?:\.\d+)?|(?:,\d{3})+\.\d+)"),
    ",": (r"[-+]?\d{1,3}(?:\.\d{3})+(?:,\d+)?", r"[-+]?\d{1,3}(?:(?:\.\d{3}){2,}(?:,\d+)?|(?:\.\d{3})+,\d+)"),
}


@dataclass(frozen=True, eq=False)
class Table:
    """A table as it stands in the file.

    Attributes:
        frame: a pandas DataFrame; its first column may have an empty name.
        said: what was found out about the file, in sentences.
        aside: what else the file holds and is not read, to be said where the table cannot be used.
    """

    frame: Any
    said: tuple[str, ...] = ()
    aside: str = ""


def read_text(path: Path, options: ReadOptions) -> Table:
    """Read a text file.

    Raises:
        InputError: it is no text or no table, or its dialect is in doubt.
    """
    said: list[str] = []
    text = _without_comments(_text(path, options, said), said)
    lines = _first_lines(text)
    if not lines:
        raise InputError(f"`{path}` cannot be read as CSV: it is empty; give a header and one row per sample.")
    told = SEP_LINE.fullmatch(lines[0].strip())  # for Excel
    if told:
        text = text[text.index(lines.pop(0)) + len(told[0]) :]
    sep = options.sep or (told[1] if told else _separator(path, lines))
    if sep != ",":
        said.append(f"columns are separated by {SEPARATORS.get(sep, f'`{sep}`')}s")
    header, *rows = _split(path, lines, sep)
    header = [name.strip() for name in header]
    _check_header(path, header)
    named = _names_rows(path, lines, header, rows)
    names = ["", *header] if named else header
    _check_width(path, names, rows)
    _check_end(path, text, len(names), sep)
    frame = _parsed(path, text, sep, len(names), options.decimal or ".")
    decimal = options.decimal or (_decimal(path, frame) if sep != "," or '"' in text else ".")
    if decimal == "," and options.decimal is None:
        frame = _parsed(path, text, sep, len(names), ",")
        said.append("numbers are written with a decimal comma")
    return _tidy(path, names, _ungrouped(frame, decimal, said), tuple(said))


def read_parquet(path: Path, _options: ReadOptions) -> Table:
    """Read a Parquet file; a named index is a column, and one without a name holds the names of rows."""
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError:
        raise InputError(f"`{path}` is read by pyarrow, which is missing: pip install 'weightflow[tables]'.") from None
    except (ValueError, OSError) as error:
        raise InputError(f"`{path}` cannot be read as Parquet ({_line(error)}); write it again.") from None
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(names=[name or "" for name in frame.index.names])
    return _tidy(path, [str(name) for name in frame.columns], frame)


def read_excel(path: Path, options: ReadOptions) -> Table:
    """Read the first sheet of an Excel file."""
    import pandas as pd

    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheets = [str(name) for name in book.sheet_names]
            header, frame = book.parse(sheets[0], header=None, nrows=1), book.parse(sheets[0], header=None, skiprows=1)
    except ImportError:
        raise InputError(f"`{path}` is read by openpyxl, which is missing: pip install 'weightflow[tables]'.") from None
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"`{path}` cannot be read as Excel ({_line(error)}); save it again, or as .csv.") from None
    aside = (
        f" Of this file the first sheet alone is read, `{sheets[0]}`, and not "
        f"{listed([f'`{name}`' for name in sheets[1:]])}: move the table there, or save it as a file of its own."
        if len(sheets) > 1
        else ""
    )
    if header.empty or frame.empty:
        raise InputError(
            f"the first sheet of `{path}`, `{sheets[0]}`, holds no table; give a header and rows below.{aside}"
        )
    names = ["" if pd.isna(name) else str(name).strip() for name in header.iloc[0]]
    names += [""] * (frame.shape[1] - len(names))
    _check_formulas(path, names, frame, options)
    said = (f"sheet `{sheets[0]}` is read, and not {listed(sheets[1:])}",) if len(sheets) > 1 else ()
    try:
        return replace(_tidy(path, names, frame, said), aside=aside)
    except InputError as error:
        raise InputError(f"{error}{aside}") from None


def _check_formulas(path: Path, names: list[str], frame: Any, options: ReadOptions) -> None:
    """Refuse a column whose formulas were never calculated: a file that a program wrote has no values of them."""
    from openpyxl import load_workbook

    used = {*options.species, *options.covariates, options.time, options.unit, *(name for name, _ in options.where)}
    gaps = [
        place
        for place, name in enumerate(names)
        if frame[place].isna().any() and name not in options.drop and (not options.species or name in used)
    ]
    if not gaps:
        return
    book = load_workbook(path, read_only=True)
    rows = [list(row) for row in book.worksheets[0].iter_rows(min_row=2, values_only=True)]
    book.close()
    for place in gaps:
        held = [row[place] for row in rows if len(row) > place and row[place] is not None]
        formulas = [value for value in held if isinstance(value, str) and value.startswith("=")]
        if formulas and frame[place].notna().sum() <= len(held) - len(formulas):
            raise InputError(
                f"column `{names[place]}` of `{path}` holds {_plural(len(formulas), 'formula')} such as {formulas[0]}, "
                "and no value of them: they were never calculated, or all give errors. Open the file in a spreadsheet "
                f"program and save it, or leave the column out with `--drop {names[place]}`."
            )


TABLES: dict[str, Callable[[Path, ReadOptions], Table]] = {
    ".csv": read_text,
    ".tsv": read_text,
    ".txt": read_text,
    ".zip": read_text,
    ".parquet": read_parquet,
    ".xlsx": read_excel,
}


def _tidy(path: Path, names: list[str], frame: Any, said: tuple[str, ...] = ()) -> Table:
    """Name the columns; those without a name are left out if they are empty, and the first may name the rows."""
    _check_header(path, names)
    empty = [i for i, name in enumerate(names) if not name and frame.iloc[:, i].isna().all()]
    kept = [i for i in range(len(names)) if i not in empty]
    frame, names = frame.iloc[:, kept], [names[i] for i in kept]
    frame.columns = names
    if "" in names[1:]:
        title = [name for name in names if name]
        if len(title) == 1 and len(names) > 2:
            raise InputError(
                f"`{path}` begins with `{title[0]}`, which names one of {len(names)} columns and may be a title; the "
                "first line must name the columns: delete what stands above them, or let it begin with #."
            )
        raise InputError(f"column {names.index('', 1) + 1} of `{path}` has no name; name it, or delete it.")
    said += (f"{_plural(len(empty), 'column')} without name and values left out",) if empty else ()
    return Table(frame, said)


def _text(path: Path, options: ReadOptions, said: list[str]) -> str:
    raw = _decompressed(path, path.read_bytes(), said)
    bom = next((encoding for mark, encoding in BOMS.items() if raw.startswith(mark)), None)
    encoding = options.encoding or bom or "utf-8"
    try:
        text = raw.decode(encoding)
    except LookupError:
        raise InputError(f"`--encoding {encoding}` is not known; write utf-8, latin-1 or cp1252, say.") from None
    except UnicodeDecodeError:
        if options.encoding or bom:
            raise InputError(f"`{path}` is not written in {encoding}; give another `--encoding`.") from None
        encoding, text = _western(raw)
    if "\0" in text[:100_000]:
        raise InputError(
            f"`{path}` cannot be read as CSV: it holds zero bytes, as no text does; save it as text, or say how it is "
            "encoded with `--encoding`, such as utf-16."
        )
    if encoding not in {"utf-8", "utf-8-sig"} and not options.encoding:
        said.append(f"letters are encoded in {encoding}; `--encoding` chooses another encoding")
    return text.removeprefix("\ufeff")


def _western(raw: bytes) -> tuple[str, str]:
    """Decode what is no UTF-8: by far the most of it comes from Western Windows; latin-1 gives each byte a letter."""
    try:
        return "cp1252", raw.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1", raw.decode("latin-1")


def _decompressed(path: Path, raw: bytes, said: list[str]) -> bytes:
    if raw.startswith(PACKED):
        return _unpacked(path, raw, said)
    for mark, (name, decompress) in COMPRESSED.items():
        if raw.startswith(mark):
            said.append(f"it is compressed with {name}")
            with _whole(path):
                return decompress(raw)
    if raw.startswith(b"\x28\xb5\x2f\xfd"):
        raise InputError(f"`{path}` is compressed with zstd, which is not read here; unpack it with `zstd -d`.")
    return raw


def _unpacked(path: Path, raw: bytes, said: list[str]) -> bytes:
    with _whole(path):
        archive = zipfile.ZipFile(io.BytesIO(raw))
    names = [name for name in archive.namelist() if not (name.endswith("/") or _is_of_a_mac(name))]
    if len(names) != 1:
        held = f" ({listed(names)})" if names else ""
        raise InputError(
            f"`{path}` is an archive of {len(names)} files{held}, and one table is read; unpack it and give one of "
            "them, or write all rows into one."
        )
    if Path(names[0]).suffix.lower() in NO_TEXT:
        raise InputError(
            f"`{path}` is an archive of `{names[0]}`, and of packed files only text is read; unpack it, and give the "
            "file itself."
        )
    said.append(f"it is `{names[0]}` in a zip archive")
    with _whole(path):
        return archive.read(names[0])


def _is_of_a_mac(name: str) -> bool:
    """Whether a Mac put this file into an archive, beside those that people see."""
    return name.startswith("__MACOSX/") or Path(name).name.startswith(".")


@contextmanager
def _whole(path: Path) -> Generator[None, None, None]:
    """Name the file where it cannot be decompressed; nothing of ours may be raised inside, as it is a ValueError."""
    try:
        yield
    except UNREADABLE as error:
        raise InputError(f"`{path}` cannot be decompressed ({_line(error)}); it may be cut off.") from None


def _without_comments(text: str, said: list[str]) -> str:
    """Leave out lines that begin with #; one right above numbers names their columns, as numpy writes it."""
    if not text.lstrip().startswith("#") and "\n#" not in text:
        return text
    lines = text.splitlines()
    comments = [i for i, line in enumerate(lines) if line.lstrip().startswith("#")]
    rest = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    head = max((i for place, i in enumerate(comments) if i == place), default=None)
    if head is not None and rest and _all_numbers(re.split(r"[\s,;|]+", rest[0].strip())):
        named = lines[head].lstrip("# \t")
        if len(re.split(r"[\s,;|]+", named.strip())) == len(re.split(r"[\s,;|]+", rest[0].strip())):
            said.append(f"columns are named by the comment `{lines[head].strip()}`")
            rest.insert(0, named)
            comments.remove(head)
    if comments:
        said.append(
            f"{_plural(len(comments), 'line')} that {'begins' if len(comments) == 1 else 'begin'} with # left out"
        )
    return "\n".join(rest) + "\n"


def _first_lines(text: str) -> list[str]:
    some = io.StringIO(text, newline=None)
    lines: list[str] = []
    for line in some:
        if line.strip():
            lines.append(line.rstrip("\n"))
        if len(lines) > SAMPLE:
            break
    return lines


def _separator(path: Path, lines: list[str]) -> str:
    """Find the one character that divides all lines alike; spaces only where nothing else does."""
    divides = [sep for sep in SEPARATORS if sep != " " and _divides(path, lines, sep)]
    if len(divides) > 1:
        raise InputError(
            f"columns of `{path}` may be separated by {' or by '.join(f'`{SEPARATORS[sep]}`' for sep in divides)}; say "
            f"which with `--sep`."
        )
    if divides:
        return divides[0]
    if _divides(path, lines, " "):
        return " "
    return next((sep for sep in SEPARATORS if sep != " " and sep in lines[0]), ",")


def _divides(path: Path, lines: list[str], sep: str) -> bool:
    header, *rows = _split(path, lines, sep)
    # tables that R writes name no column for the names of rows
    return (
        len(header) > 1 and len({len(row) for row in rows}) <= 1 and all(len(r) - len(header) in {0, 1} for r in rows)
    )


def _split(path: Path, lines: list[str], sep: str) -> list[list[str]]:
    """Split lines at a separator; several spaces are one."""
    plain = [re.sub(r"\s+", " ", line.strip()) for line in lines] if sep == " " else lines
    try:
        return list(csv.reader(plain, delimiter=sep, skipinitialspace=True))
    except (csv.Error, TypeError) as error:
        raise InputError(f"`{path}` cannot be read as CSV ({_line(error)}); give one row per sample.") from None


def _check_width(path: Path, names: list[str], rows: list[list[str]]) -> None:
    for number, row in enumerate(rows, 1):
        if len(row) > len(names):
            raise InputError(
                f"`{path}` cannot be read as CSV: row {number} of the data has {len(row)} values for {len(names)} "
                "columns; give one row per sample, or say what separates its columns with `--sep`."
            )


def _check_end(path: Path, text: str, width: int, sep: str) -> None:
    """Refuse a file whose last line breaks off: it has fewer values than there are columns, and no end of line."""
    if text.endswith(("\n", "\r")):
        return
    last = re.split(r"[\r\n]", text)[-1]
    held = len(_split(path, [last], sep)[0])
    if held < width:
        raise InputError(
            f"the last line of `{path}` holds {held} of {width} values and has no end: the file may be cut off. Get it "
            "anew, or delete that line."
        )


def _check_header(path: Path, header: Sequence[str]) -> None:
    known = [name for name in header if name]
    twins = [name for i, name in enumerate(known) if name in known[:i]]
    if twins:
        raise InputError(f"`{path}` has more than one column `{twins[0]}`; give each column a name of its own.")
    if known and _all_numbers(known):
        raise InputError(
            f"`{path}` begins with numbers ({listed(known)}); its first line must name the columns: add such a line."
        )


def _names_rows(path: Path, lines: list[str], header: list[str], rows: list[list[str]]) -> bool:
    """Whether rows begin with a name that has no column, as R writes them."""
    longer = [row for row in rows if len(row) == len(header) + 1]
    if not rows or len(longer) < len(rows):
        return False
    quoted = all(line.startswith('"') for line in lines[1:])
    if not quoted and any(_all_numbers(row[:1]) for row in rows):
        raise InputError(f"`{path}` has more values in a row than its {len(header)} column names; name every column.")
    return True


def _parsed(path: Path, text: str, sep: str, width: int, decimal: str) -> Any:
    import pandas as pd

    try:
        return pd.read_csv(
            io.StringIO(text),
            sep=r"\s+" if sep == " " else sep,
            decimal=decimal,
            header=None,
            names=range(width),
            skiprows=_header_lines(text),
            skipinitialspace=True,
            float_precision="round_trip",
            low_memory=False,
            on_bad_lines="error",
        )
    except (ValueError, OSError, OverflowError, csv.Error) as error:
        raise InputError(
            f"`{path}` cannot be read as CSV ({_line(error)}); give a header and one row per sample, or say what "
            "separates its columns with `--sep`."
        ) from None


def _header_lines(text: str) -> int:
    """Number of lines up to the header: blank ones stand before it at times."""
    return next(i for i, line in enumerate(io.StringIO(text, newline=None)) if line.strip()) + 1


def _decimal(path: Path, frame: Any) -> str:
    """Tell whether a comma is the decimal mark: where a column holds nothing but numbers with one.

    A single number of which a mark can part nothing but thousands settles it, too, as 1,234.5 and 1.234,5 do.
    """
    commas: list[str] = []
    for _, texts in _texts(frame):
        for mark in GROUPED:
            if _are_grouped(texts, mark) and any(re.fullmatch(GROUPED[mark][1], text) for text in texts):
                return mark
        if all(COMMA.fullmatch(value) or _all_numbers([value]) for value in texts):
            commas += [value for value in texts if "," in value]
    if commas and all(THOUSANDS.fullmatch(value) for value in commas):
        plain = commas[0].strip()
        raise InputError(
            f"`{plain}` in `{path}` may be {plain.replace(',', '.')} or {plain.replace(',', '')}; say `--decimal ,` "
            "for the former, `--decimal .` for the latter."
        )
    return "," if commas else "."


def _texts(frame: Any) -> Generator[tuple[Any, list[str]], None, None]:
    """Yield the name of each column of text with the first of its values."""
    import pandas as pd

    for name in frame.columns:
        kind = frame[name].dtype
        if pd.api.types.is_object_dtype(kind) or isinstance(kind, pd.StringDtype):
            texts = [value.strip() for value in frame[name].dropna().head(ENOUGH) if isinstance(value, str)]
            if texts:
                yield name, texts


def _are_grouped(texts: Sequence[str], decimal: str) -> bool:
    """Whether values are numbers of which some have their thousands set apart."""
    plain = re.compile(rf"[-+]?\d+(?:{re.escape(decimal)}\d+)?")
    grouped = re.compile(GROUPED[decimal][0])
    return any(grouped.fullmatch(text) for text in texts) and all(
        grouped.fullmatch(text) or plain.fullmatch(text) for text in texts
    )


def _ungrouped(frame: Any, decimal: str, said: list[str]) -> Any:
    """Read numbers whose thousands are set apart, 1,234.5 or 1.234,5 by the decimal mark."""
    import pandas as pd

    parts = {".": ",", ",": "."}[decimal]
    for name, texts in list(_texts(frame)):
        plain = frame[name].astype("string").str.replace(parts, "").str.replace(decimal, ".")
        numbers = pd.to_numeric(plain, errors="coerce")
        if _are_grouped(texts, decimal) and not (numbers.isna() & frame[name].notna()).any():
            frame[name] = numbers
            example = next(text for text in texts if parts in text)
            meant = example.replace(parts, "").replace(decimal, ".")
            said.append(f"`{parts}` sets thousands apart: `{example}` is read as {meant}")
    return frame


def _all_numbers(texts: Sequence[str]) -> bool:
    try:
        return all(np.isfinite([float(text) for text in texts]))
    except ValueError:
        return False


def _plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
