"""Files as people have them are read with the right values, or refused with what to do."""

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import weightflow
from weightflow.cli.samples import write_samples
from weightflow.data import Dataset, Protocol, ReadOptions, Snapshots, from_anndata, read, split
from weightflow.data.reading.times import is_time_name, read_times, unit_of_name
from weightflow.errors import InputError
from weightflow.model.draws import Draws
from weightflow.types import Kind

GOOD = np.random.default_rng(0).poisson(5.0, (20, 40, 2)).astype(float)
TIMES = [0, 1, 3, 7, 14]


def written(folder: Path, text: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_trajectories_come_back_as_they_were_written(tmp_path: Path):
    array = np.random.default_rng(0).poisson(5.0, (30, 40, 2))
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", samples=array, times=0.25 * np.arange(40))
    for data in (read(tmp_path / "a.npy", step=0.25), read(str(tmp_path / "a.npz"))):
        assert data.name == "a"
        assert data.paired
        assert data.snapshots.times == pytest.approx(0.25 * np.arange(40))
        assert np.array_equal(np.stack(data.snapshots.samples, axis=1), array)
        assert data.snapshots.kinds == (Kind.COUNTS, Kind.COUNTS)
        assert data.seen == (0, 10, 20, 30)
    assert read(tmp_path / "a.npy").snapshots.times[-1] == 39
    assert read(tmp_path / "a.npy", every=4).seen == tuple(range(0, 40, 4))
    assert read(tmp_path / "a.npy", kind=Kind.CONTINUOUS).snapshots.kinds == (Kind.CONTINUOUS,) * 2


def test_fractions_are_continuous(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(30, 5, 2)))
    assert read(tmp_path / "a.npy").snapshots.kinds == (Kind.CONTINUOUS,) * 2


def test_each_column_has_a_kind_of_its_own(tmp_path: Path):
    rng = np.random.default_rng(0)
    columns = np.stack([rng.poisson(3.0, 40), rng.normal(5.0, 1.0, 40), rng.poisson(9.0, 40)], axis=1)
    times, kinds = np.repeat([0.0, 1.0], 20), (Kind.COUNTS, Kind.CONTINUOUS, Kind.COUNTS)
    pd.DataFrame({"time": times, "n": columns[:, 0].astype(int), "size": columns[:, 1], "m": columns[:, 2]}).to_csv(
        tmp_path / "a.csv", index=False
    )
    np.save(tmp_path / "a.npy", columns.reshape(20, 2, 3))
    np.savez(tmp_path / "a.npz", X=columns, times=times)
    for name in ("a.csv", "a.npy", "a.npz"):
        assert read(tmp_path / name, every=1).snapshots.kinds == kinds
        assert read(tmp_path / name, kind=Kind.CONTINUOUS, every=1).snapshots.kinds == (Kind.CONTINUOUS,) * 3
    assert Snapshots(np.array([0.0, 1.0]), (columns[:20], columns[20:])).kinds == kinds


@pytest.mark.parametrize("offset", [0.0, -7.0, 2020.0])
def test_times_that_differ_by_rounding_alone_are_one_time(tmp_path: Path, offset: float):
    jitter = [offset + 0.1 + 0.2, offset + 0.3, offset + 0.7, offset + 0.1 * 7, offset, offset + 1e-16, offset + 1.4]
    counts = np.arange(7)[:, None]
    pd.DataFrame({"time": jitter, "A": counts[:, 0]}).to_csv(tmp_path / "a.csv", index=False)
    np.savez(tmp_path / "a.npz", X=counts, times=np.array(jitter))
    for name in ("a.csv", "a.npz"):
        snapshots = read(tmp_path / name, every=1).snapshots
        assert snapshots.times == pytest.approx(offset + np.array([0.0, 0.3, 0.7, 1.4]), abs=1e-12)
        assert snapshots.times[0] == offset
        assert [sorted(cloud[:, 0]) for cloud in snapshots.samples] == [[4, 5], [0, 1], [2, 3], [6]]


def test_a_time_that_is_zero_but_for_rounding_is_zero(tmp_path: Path):
    rounded = [-1.93628e-12, 5e-13, 12.5, 25, -3.1, -3.1 + 1e-12]
    np.savez(tmp_path / "a.npz", X=np.arange(6)[:, None], times=np.array(rounded))
    assert read(tmp_path / "a.npz").snapshots.times.tolist() == [-3.1, 0, 12.5, 25]
    np.savez(tmp_path / "b.npz", X=np.arange(3)[:, None], times=np.array([-2e-12, 1e-12, 5e-12]))
    assert read(tmp_path / "b.npz").snapshots.times.tolist() == [-2e-12, 1e-12, 5e-12]


def test_seconds_since_1970_stay_apart_by_microseconds_and_meet_by_rounding(tmp_path: Path):
    start = 1.6e9
    times = start + np.array([0.0, 1e-6, 2e-6, 0.3])
    again = np.nextafter(times, np.inf)
    np.savez(tmp_path / "a.npz", X=np.arange(8)[:, None], times=np.concatenate([times, again]))
    np.savez(tmp_path / "b.npz", X=np.arange(6)[:, None], times=np.concatenate([times[:3], again[:3]]))
    assert len(read(tmp_path / "a.npz", every=1).snapshots) == 4
    assert len(read(tmp_path / "b.npz", every=1).snapshots) == 3


def test_two_columns_of_one_name_are_refused(tmp_path: Path):
    (tmp_path / "a.csv").write_text("time,A,B,A\n0,1,2,3\n1,1,2,3\n")
    with pytest.raises(InputError, match="more than one column `A`"):
        read(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("time,A,A.1\n0,1,2\n1,1,2\n")
    assert read(tmp_path / "b.csv", every=1).snapshots.species == ("A", "A.1")


@pytest.mark.parametrize("other", ["", ",B"])
def test_whole_numbers_that_double_precision_does_not_hold_are_refused(tmp_path: Path, other: str):
    def table(largest: int) -> Path:
        rows = "".join(f"{t},{largest - t}{',0.5' if other else ''}\n" for t in range(2))
        return written(tmp_path, f"time,A{other}\n{rows}")

    for largest in (2**63 - 1, 2**52 + 1):
        with pytest.raises(InputError, match=r"reach \d+, but they are exact up to 4,503,599,627,370,496"):
            read(table(largest))
    snapshots = read(table(2**52)).snapshots
    assert [int(cloud[0, 0]) for cloud in snapshots.samples] == [2**52, 2**52 - 1]


def test_a_table_s_rows_may_stand_in_any_order_and_its_times_in_any_column(tmp_path: Path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"rna": rng.poisson(3, 60), "hours": np.repeat([0.5, 2.0, 7.0], 20), "protein": rng.poisson(9, 60)}
    )
    table.sample(frac=1, random_state=1).to_csv(tmp_path / "shuffled.csv", index=False)
    table[["hours", "rna", "protein"]].to_csv(tmp_path / "first.csv", index=False)
    table.rename(columns={"hours": "time"}).to_csv(tmp_path / "named.csv", index=False)
    wanted = [sorted(map(tuple, rows[["rna", "protein"]].to_numpy())) for _, rows in table.groupby("hours")]
    for data in (
        read(tmp_path / "shuffled.csv", time="hours"),
        read(tmp_path / "first.csv"),
        read(tmp_path / "named.csv"),
    ):
        assert data.snapshots.times == pytest.approx([0.5, 2.0, 7.0])
        assert data.snapshots.species == ("rna", "protein")
        assert [sorted(map(tuple, cloud)) for cloud in data.snapshots.samples] == wanted
        assert not data.paired
        assert data.seen == (0, 1, 2)


def test_an_archive_in_long_form_is_a_table(tmp_path: Path):
    values, times = np.random.default_rng(0).normal(size=(60, 4)), np.tile([0, 1, 2, 3], 15)
    np.savez(tmp_path / "a.npz", X=values, samples=times)
    np.savez(tmp_path / "b.npz", X=values, day=times)
    for data in (read(tmp_path / "a.npz"), read(tmp_path / "b.npz", time="day")):
        assert data.snapshots.times == pytest.approx([0, 1, 2, 3])
        assert np.array_equal(data.snapshots.samples[2], values[times == 2])
        assert not data.paired


@pytest.mark.parametrize(
    ("name", "n_times", "dim", "kind", "paired"),
    [
        ("epidemic/trajectories.npy", 101, 3, Kind.COUNTS, True),
        ("dusp1/dusp1_snapshots.csv", 12, 2, Kind.COUNTS, False),
        ("embryoid/eb_nlsb_5d.csv", 5, 5, Kind.CONTINUOUS, False),
        ("embryoid/eb_nlsb_2750x100.npz", 5, 100, Kind.CONTINUOUS, False),
    ],
)
def test_published_data_can_be_read(shared_data: Path, name, n_times, dim, kind, paired):
    data = read(shared_data / name)
    assert (len(data.snapshots), data.snapshots.dim, data.paired) == (n_times, dim, paired)
    assert set(data.snapshots.kinds) == {kind}


def changed(value: float) -> np.ndarray:
    array = GOOD.copy()
    array[7, 3, 1] = value
    return array


@pytest.mark.parametrize(
    ("array", "options", "says"),
    [
        (GOOD[0], {}, ["(40, 2)", "(trajectory, time, species)", "add an axis"]),
        (GOOD[None], {}, ["(1, 20, 40, 2)", "(trajectory, time, species)"]),
        (GOOD[:0], {}, ["(0, 40, 2)", "longer than 0"]),
        (GOOD[:, :, :0], {}, ["(20, 40, 0)", "longer than 0"]),
        (GOOD[:, :1], {}, ["single snapshot", "t=0", "add times"]),
        (changed(np.nan), {}, ["holds nan at [7, 3, 1]", "`x2` at t=3", "1 of 20 traj", "drop`", "zero`"]),
        (changed(np.inf), {}, ["holds inf at [7, 3, 1]", "`x2` at t=3", "finite", "make it nan"]),
        (changed(-np.inf), {"missing": "drop"}, ["holds -inf at [7, 3, 1]"]),
        (changed(np.inf), {"missing": "zero"}, ["holds inf at [7, 3, 1]"]),
        (changed(-1), {}, ["`x2`", "-1 at t=3", "not negative", "--kind continuous"]),
        (changed(2.5), {"kind": Kind.COUNTS}, ["`x2`", "2.5 at t=3", "whole"]),
        (GOOD + 0j, {}, ["complex128", "real numbers"]),
        (GOOD.astype(str), {}, ["<U", "real numbers"]),
        (GOOD, {"step": 0.0}, ["--step 0", "above 0"]),
        (GOOD, {"step": -0.5}, ["--step -0.5", "above 0"]),
        (GOOD, {"step": np.nan}, ["--step nan", "above 0"]),
        (GOOD, {"every": 0}, ["--every 0", "1 (all times are seen) or more"]),
        (GOOD, {"every": -3}, ["--every -3", "or more"]),
        (GOOD, {"every": 40}, ["only 1 of the 40 times", "lower `--every`"]),
        (GOOD, {"time": "t"}, ["`--time`", "an .npy file"]),
    ],
)
def test_arrays_of_trajectories(tmp_path: Path, array, options, says):
    np.save(tmp_path / "data.npy", array)
    refuses(tmp_path / "data.npy", says, **options)


@pytest.mark.parametrize(
    ("arrays", "options", "says"),
    [
        ({"samples": GOOD}, {}, ["samples (20, 40, 2)", "must hold `times`"]),
        ({"samples": GOOD, "times": np.arange(39)}, {}, ["39 times", "(20, 40, 2)"]),
        (
            {"samples": GOOD, "times": np.r_[0, 2, 1, 3:40]},
            {},
            ["strictly increase", "times[1]=2", "sort the snapshots"],
        ),
        ({"samples": GOOD, "times": np.r_[0, 1, 1, 3:40]}, {}, ["strictly increase", "merge those two"]),
        ({"samples": GOOD, "times": np.r_[np.nan, 1:40]}, {}, ["no finite number in row 0", "`times`"]),
        ({"X": GOOD[:, 0], "times": np.arange(19)}, {}, ["19 times for 20 rows", "each row"]),
        ({"X": GOOD[:, 0], "times": np.r_[np.nan, 1:20]}, {}, ["no finite number in row 0 of `times`"]),
        ({"X": GOOD[:, 0], "Y": GOOD[:, 1], "times": np.arange(20)}, {}, ["Y (20, 2)", "one array of samples"]),
        ({"X": GOOD[:, 0], "times": np.arange(20)}, {"time": "day"}, ["must hold `day`"]),
        ({"X": GOOD[:, 0], "times": np.arange(20)}, {"step": 2.0}, ["--step", "holds its own times"]),
        ({"X": GOOD[0, 0], "times": np.arange(2)}, {}, ["(2,)", "(trajectory, time, species)"]),
        (
            {"X": GOOD[:, 0], "times": np.arange(20), "species": np.array(["A", "A"])},
            {},
            ["2 species `A`", "a name of its own"],
        ),
        ({}, {}, ["holds nothing"]),
    ],
)
def test_archives(tmp_path: Path, arrays, options, says):
    np.savez(tmp_path / "data.npz", **arrays)
    refuses(tmp_path / "data.npz", says, **options)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("", {}, ["cannot be read as CSV", "header"]),
        ("time,x\n", {}, ["time, x", "0 rows"]),
        ("time\n0\n1\n", {}, ["columns time", "species"]),
        ("0,3\n1,4\n2,5\n", {}, ["begins with numbers (0, 3)", "first line must name the columns"]),
        (",time,x\n5,0,3\n5,1,4\n", {}, ["first column", "has no name", "name or delete it"]),
        ("time,x\n0,3\n1,many\n", {}, ["`many` in column `x`, row 2", "numbers"]),
        ("time,x\n0,3\nlate,4\n", {}, ["column `time` holds `late`", "no time", "--time"]),
        ("time,x\n0,3\n1,\n", {}, ["no value in column `x`, row 2", "--missing drop", "--missing zero"]),
        ("time,x\n0,3\n1,-4\n", {}, ["`x`", "-4 at t=1", "not negative"]),
        ("time,x\n0,3\n1,4.5\n", {"kind": Kind.COUNTS}, ["`x`", "4.5 at t=1", "whole"]),
        ("time,x\n0,3\n0,4\n", {}, ["single snapshot"]),
        ("time,x\n0,3\n1,4\n", {"time": "day"}, ["no column `day`", "time, x"]),
        ("time,x\n0,3\n1,4\n", {"step": 1.0}, ["--step", "holds its own times"]),
        ("time,x\n0,3\n1,4,5\n1,2,3,4\n", {}, ["cannot be read as CSV"]),
        ("time,x\n0,3,7\n1,4,7\n", {}, ["more values in a row than its 2 column names"]),
    ],
)
def test_tables(tmp_path: Path, text, options, says):
    (tmp_path / "data.csv").write_text(text)
    refuses(tmp_path / "data.csv", says, **options)


def refuses(path: Path, says: list[str], **options) -> None:
    with pytest.raises(InputError) as error:
        read(path, **options)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value) or "--" in str(error.value)
    for words in says:
        assert words in str(error.value)


class Pickled:
    """Says whether it was unpickled."""

    loaded = False

    def __reduce__(self):
        return (setattr, (Pickled, "loaded", True))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickles_are_never_loaded(tmp_path: Path, suffix):
    plain, inside = tmp_path / f"plain{suffix}", tmp_path / f"inside{suffix}"
    plain.write_bytes(pickle.dumps(Pickled()))
    objects = np.empty(1, dtype=object)
    objects[0] = Pickled()
    if suffix == ".npy":
        np.save(inside, objects, allow_pickle=True)
    else:
        np.savez(inside, samples=objects, times=np.arange(1))
    for path in (plain, inside):
        refuses(path, ["numpy.save"])
    assert not Pickled.loaded


def test_broken_and_misnamed_files(tmp_path: Path):
    for suffix, words in ((".npy", "numpy.save"), (".npz", "numpy.savez")):
        (tmp_path / f"broken{suffix}").write_bytes(b"not an array")
        refuses(tmp_path / f"broken{suffix}", [words])
        (tmp_path / f"empty{suffix}").write_bytes(b"")
        refuses(tmp_path / f"empty{suffix}", [words])
    np.savez(tmp_path / "whole.npz", samples=GOOD, times=np.arange(40))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-200])
    refuses(tmp_path / "cut.npz", ["numpy.savez"])
    (tmp_path / "archive.npy").write_bytes((tmp_path / "whole.npz").read_bytes())
    refuses(tmp_path / "archive.npy", ["rename it to .npz"])
    np.save(tmp_path / "array.npy", GOOD)
    (tmp_path / "array.npz").write_bytes((tmp_path / "array.npy").read_bytes())
    refuses(tmp_path / "array.npz", ["numpy.savez"])
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    refuses(tmp_path / "binary.csv", ["cannot be read as CSV"])


def test_missing_files_folders_and_unknown_formats(tmp_path: Path):
    refuses(tmp_path / "nowhere.npy", ["is no file", ".csv, .tsv, .txt, .parquet, .xlsx, .npy, .npz, .h5ad"])
    (tmp_path / "folder.npy").mkdir()
    refuses(tmp_path / "folder.npy", ["is no file"])
    for name in ("data.rds", "data"):
        (tmp_path / name).write_text("")
        refuses(tmp_path / name, ["known formats are .csv, .tsv"])


# ---- the small files that once went wrong: 25 rows at each of 5 times, A rises and B falls ----


def course(label: str = "{}", name: str = "time", extra: str = "", sep: str = ",", value: str = "{},{}") -> str:
    """A table of the kind that people have; `label` writes a time, `extra` stands before the species."""
    head = sep.join([name, *([extra.split("=", maxsplit=1)[0]] if extra else []), "A", "B"])
    rows = [head]
    for place, time in enumerate(TIMES):
        for row in range(25):
            more = [extra.split("=")[1].split("|")[row % len(extra.split("|"))]] if extra else []
            rows.append(
                sep.join([label.format(time), *more, *value.format(3 + 4 * place + row % 5, int(row**0.5)).split(",")])
            )
    return "\n".join(rows) + "\n"


A = np.concatenate([[3 + 4 * place + row % 5 for row in range(25)] for place in range(5)])
B = np.tile([int(row**0.5) for row in range(25)], 5)


def is_the_course(data: Dataset, unit: str = "", species: tuple[str, ...] = ("A", "B")) -> None:
    """All of it: no value is lost, changed or moved to another time."""
    assert data.snapshots.times.tolist() == TIMES
    assert data.snapshots.unit == unit
    assert data.snapshots.species == species
    assert [len(cloud) for cloud in data.snapshots.samples] == [25] * 5
    assert data.snapshots.pooled().tolist() == np.stack([A, B], axis=1).tolist()
    assert data.seen == (0, 1, 2, 3, 4)


def told(data: Dataset) -> str:
    return "; ".join(data.reading)


@pytest.mark.parametrize(
    ("label", "name", "unit"),
    [
        ("day {}", "day", "day"),
        ("Day_{}", "time", "day"),
        ("day-{}", "time", "day"),
        ("D{}", "time", "day"),
        ("{}d", "time", "day"),
        ("{}h", "time", "h"),
        ("{} hrs", "time", "h"),
        ("{} wk", "time", "week"),
        ("week {}", "time", "week"),
        ("E{}", "time", "embryonic day"),
        ("P{}", "time", "postnatal day"),
        ("{} hpf", "stage", "hpf"),
        ("{}min", "t", "min"),
        ("{} s", "time", "s"),
        ("day {} after infection", "timepoint", "day"),
        ("t={}", "time", ""),
        ("T{}", "timepoint", ""),
        ("{}", "time_h", "h"),
        ("{}", "Time (days)", "day"),
        ("{}", "time [min]", "min"),
        ("{}", "hours", "h"),
        ("{}", "Day", "day"),
        ("{}", "dpi", "dpi"),
        ("{}", "hours post infection", "h"),
        ("{}", "samples", ""),
        ("{}.0", "time", ""),
    ],
)
def test_times_are_read_as_people_write_them(tmp_path: Path, label: str, name: str, unit: str):
    is_the_course(read(written(tmp_path, course(label, name))), unit)


def test_times_in_several_units_are_changed_into_the_one_that_most_have(tmp_path: Path):
    text = "time,A\n0,1\n30 min,2\n1h,3\n2 h,4\n1 d,5\n"
    snapshots = read(written(tmp_path, text)).snapshots
    assert snapshots.times.tolist() == [0, 0.5, 1, 2, 24]
    assert snapshots.unit == "h"
    assert [cloud[0, 0] for cloud in snapshots.samples] == [1, 2, 3, 4, 5]


def test_months_and_years_are_changed_into_each_other_and_not_into_days(tmp_path: Path):
    snapshots = read(written(tmp_path, "time,A\n0 mo,1\n3 mo,2\n18 months,3\n1 y,4\n")).snapshots
    assert snapshots.times.tolist() == [0, 3, 12, 18]
    assert snapshots.unit == "month"
    assert [cloud[0, 0] for cloud in snapshots.samples] == [1, 2, 4, 3]
    assert read(written(tmp_path, "time,A\n0,1\n6 mo,2\n1 y,3\n2 yr,4\n")).snapshots.times.tolist() == [0, 0.5, 1, 2]
    refuses(written(tmp_path, "time,A\n0 d,1\n10 d,2\n1 mo,3\n"), ["different kinds", "`1 mo`"])


def test_days_before_the_start_are_negative_and_a_dash_after_every_word_is_none(tmp_path: Path):
    before = read(written(tmp_path, "day,A\nD-2,1\nD0,2\nD3,3\n")).snapshots
    assert before.times.tolist() == [-2, 0, 3]
    joined = read(written(tmp_path, "day,A\nD-0,1\nD-2,2\nD-3,3\n")).snapshots
    assert joined.times.tolist() == [0, 2, 3]
    assert read(written(tmp_path, "stage,A\nE8.5,1\nE9,2\nE10.25,3\n")).snapshots.times.tolist() == [8.5, 9, 10.25]


@pytest.mark.parametrize(
    ("dates", "times", "first"),
    [
        (["2020-03-01", "2020-03-02", "2020-03-15"], [0, 1, 14], "2020-03-01"),
        (["2020-02-28", "2020-03-01", "2021-02-28"], [0, 2, 366], "2020-02-28"),
        (["2020-03-01 06:00", "2020-03-01 12:00", "2020-03-02T18:00"], [0, 0.25, 1.5], "2020-03-01 06:00:00"),
        (["2020-03-01T00:00:00Z", "2020-03-01T12:00:00+02:00", "2020-03-02T00:00:00Z"], [0, 10 / 24, 1], "2020-03-01"),
        (["20200301", "20200302", "20200331"], [0, 1, 30], "2020-03-01"),
    ],
)
def test_dates_are_days_since_the_first_which_is_said(tmp_path: Path, dates, times, first):
    data = read(written(tmp_path, "date,A\n" + "".join(f"{date},{i}\n" for i, date in enumerate(dates))))
    assert data.snapshots.times == pytest.approx(times, abs=1e-12)
    assert data.snapshots.unit == "day"
    assert f"times are days since {first}" in told(data)


@pytest.mark.parametrize("form", [int, float, str, "category", "Int64"])
@pytest.mark.parametrize("name", ["month", "date", "time", "Sampling month"])
def test_months_that_are_written_as_numbers_are_dates(name: str, form: Any):
    data = read(
        pd.DataFrame({name: pd.Series([202011, 202012, 202101, 202101]).astype(form), "A": [1, 2, 3, 4]}), time=name
    )
    assert data.snapshots.times.tolist() == [0, 30, 61]
    assert data.snapshots.unit == "day"
    assert f"`{name}` holds dates, read as year and month: times are days since 2020-11-01" in told(data)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("month", [202011, 202013]), ("month", [202011, 7]), ("time_s", [202011, 202012]), ("hours", [202011, 202012])],
)
def test_numbers_of_which_one_is_no_month_are_numbers(name: str, numbers: list[int]):
    times = read(pd.DataFrame({name: numbers, "A": [1, 2]})).snapshots.times
    assert times.tolist() == sorted(numbers)


@pytest.mark.parametrize(
    ("dates", "times", "says"),
    [
        (("13.11.2024", "20.11.2024"), [0, 7], "day.month.year"),
        (("03.11.2024", "10.11.2024"), [0, 7], "day.month.year"),  # between dots the day stands first everywhere
        (("03/11/2024", "30/11/2024"), [0, 27], "day/month/year"),
        (("11/03/2024", "11/30/2024"), [0, 27], "month/day/year"),
        (("30-11-2024 06:00", "01-12-2024 18:00"), [0, 1.5], "day-month-year"),
        (("11/30/24 3:15 PM", "12/01/24 3:15 AM"), [0, 0.5], "month/day/year"),
        (("30.11.24", "01.12.24"), [0, 1], "day.month.year"),
        (("2020/03/31", "2020/04/02"), [0, 2], "year/month/day"),
        (("17-Nov-24", "3-Dec-24"), [0, 16], "day-month-year"),
        (("17 November 2024", "3 December 2024"), [0, 16], "day month year"),
        (("Jan 2020", "Mar 2020"), [0, 60], "month year"),
        (("2020-W52", "2021-W01"), [0, 14], "the Mondays of weeks"),  # 2020 had 53
    ],
)
def test_dates_are_read_in_the_one_order_of_day_and_month_that_fits_all(tmp_path: Path, dates, times, says):
    first, second = dates
    data = read(written(tmp_path, f"date;x\n{first};3\n{first};4\n{second};5\n"))
    np.testing.assert_allclose(data.snapshots.times, times)
    assert data.snapshots.unit == "day"
    assert says in told(data)


@pytest.mark.parametrize("first", ["0:00:00", "0 days 00:00:00"])
def test_hours_minutes_and_seconds_are_hours_that_have_passed(tmp_path: Path, first: str):
    for second, hours in (("0:30:00", 0.5), ("26:15:00", 26.25), ("0:00:04.5", 0.00125), ("1 day, 2:00:00", 26)):
        data = read(written(tmp_path, f"time;x\n{first};3\n{second};5\n"))
        np.testing.assert_allclose(data.snapshots.times, [0, hours])
        assert data.snapshots.unit == "h"
    refuses(written(tmp_path, "time,x\n00:00,3\n00:30,4\n"), ["`00:30`", "minutes and seconds", "00:30:00"])


def test_ordered_categories_are_numbered_in_their_order_and_those_with_numbers_are_these():
    column = pd.Series(pd.Categorical(["late", "early", None, "mid"], ["early", "mid", "late"], ordered=True))
    times = read_times(column, "stage")
    assert times.values[[0, 1, 3]].tolist() == [2, 0, 1]
    assert np.isnan(times.values[2])
    assert "0 = early, 1 = mid, 2 = late" in times.said[0]
    numbers = pd.Series(pd.Categorical(["E9", "E8.5", "E10"], ["E8.5", "E9", "E10"], ordered=True))
    assert read_times(numbers, "stage").values.tolist() == [9, 8.5, 10]
    assert read_times(pd.Series(pd.Categorical([10.5, 10.0, 11.0])), "day").values.tolist() == [10.5, 10, 11]


def test_names_of_times_are_those_that_say_so_and_no_others():
    times = ["time", "Time", "t", "time_h", "Time (days)", "hours", "DAY", "time.point", "Time Point", "hpf", "t_min"]
    assert [name for name in times if not is_time_name(name)] == []
    others = [
        "T",
        "H",
        "A",
        "minimum",
        "second",
        "timer",
        "A_h",
        "daylight",
        "prime",
        "yr1",
        "e",
        "p",
        "S",
        "age",
        "min",
    ]
    assert [name for name in others if is_time_name(name)] == []
    assert [unit_of_name(name) for name in ("time_h", "day", "t", "A", "time")] == ["h", "day", "", "", ""]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (course(sep=";", value="{},{}"), "separated by semicolons"),
        (course(sep="\t"), "separated by tabs"),
        (course(sep="|"), "separated by bars"),
        (course(sep=" "), "separated by spaces"),
        (course(sep="   "), "separated by spaces"),
        (course(sep=", "), ""),
        ("# exported 2020\n# by hand\n" + course(), "2 lines that begin with # left out"),
        ("# time A B\n" + course(sep=" ").split("\n", 1)[1], "named by the comment `# time A B`"),
        ("\n\n" + course(), ""),
        ("sep=;\n" + course(sep=";"), "semicolons"),
        (course().replace("\n", "\r\n"), ""),
        (course().replace("\n", "\r"), ""),
        (course().encode("utf-8-sig"), ""),
        (course().encode("utf-16"), "utf-16"),
        (gzip.compress(course().encode()), "compressed with gzip"),
        (bz2.compress(course().encode()), "compressed with bzip2"),
        (lzma.compress(course().encode()), "compressed with xz"),
        (course(extra="cell=").replace(",,", ","), ""),
        (
            course().replace("time,A,B", "time,A,B,").replace("\n", ",\n").replace(",,\n", ",\n"),
            "without name and values",
        ),
    ],
)
@pytest.mark.parametrize("name", ["data.csv", "data.txt"])
def test_the_dialect_of_a_table_is_found_out_and_said(tmp_path: Path, text, says, name):
    if isinstance(text, str) and text.startswith("time,cell"):
        text = text.replace("time,cell,", "time,")
    data = read(written(tmp_path, text, name))
    is_the_course(data)
    assert says in told(data)


def test_a_decimal_comma_is_told_from_one_that_separates_thousands(tmp_path: Path):
    commas = read(written(tmp_path, "time;A;B\n0;3,5;4,25\n0,5;7,5;1e2\n")).snapshots
    assert commas.times.tolist() == [0, 0.5]
    assert commas.pooled().tolist() == [[3.5, 4.25], [7.5, 100]]
    quoted = read(written(tmp_path, 'time,A\n0,"3,5"\n1,"7,25"\n')).snapshots
    assert quoted.pooled().tolist() == [[3.5], [7.25]]
    doubtful = written(tmp_path, "time;A\n0;1,234\n1;2,345\n")
    refuses(doubtful, ["`1,234`", "1.234 or 1234", "--decimal ,"])
    assert read(doubtful, decimal=",").snapshots.pooled().tolist() == [[1.234], [2.345]]
    assert read(doubtful, decimal=".").snapshots.pooled().tolist() == [[1234], [2345]]
    points = read(written(tmp_path, "time;A\n0;1.234\n1;2.345\n")).snapshots
    assert points.pooled().tolist() == [[1.234], [2.345]]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('time,A\n0,"1,234.5"\n1,"2,345"\n2,17\n', [1234.5, 2345, 17]),
        ("time;A\n0;1.234,5\n1;2.345\n2;17\n", [1234.5, 2345, 17]),
        ('time,A\n0,"1,234,567"\n1,"2,345"\n', [1234567, 2345]),
        ("time;A;B\n0;1.234;0,5\n1;12.345.678;1,5\n", [1234, 12345678]),
    ],
)
def test_a_mark_that_can_part_nothing_but_thousands_does(tmp_path: Path, text: str, values: list[float]):
    data = read(written(tmp_path, text))
    assert data.snapshots.pooled()[:, 0].tolist() == values
    assert "sets thousands apart" in told(data)


def test_versions_and_addresses_are_no_numbers_with_thousands(tmp_path: Path):
    refuses(written(tmp_path, "time,x\n0,1.234.567\n1,1.23.5\n"), ["`x`", "no numbers"])


def test_letters_of_western_windows_are_read_and_others_by_their_encoding(tmp_path: Path):
    text = "time,Zähler,µg\n0,3,4\n1,7,5\n"
    data = read(written(tmp_path, text.encode("latin-1")))
    assert data.snapshots.species == ("Zähler", "µg")
    assert "cp1252" in told(data)
    cyrillic = written(tmp_path, "время,А\n0,3\n1,4\n".encode("koi8-r"))
    assert read(cyrillic, encoding="koi8-r", time="время").snapshots.species == ("А",)
    refuses(cyrillic, ["not written in utf-8", "--encoding"], encoding="utf-8")
    refuses(cyrillic, ["--encoding klingon", "not known"], encoding="klingon")


def test_an_archive_of_one_table_is_read_and_one_of_several_is_not(tmp_path: Path):
    def archive(*names: str) -> bytes:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as file:
            for name in names:
                file.writestr(name, course())
        return held.getvalue()

    one = read(written(tmp_path, archive("inside.csv"), "data.csv.zip"))
    is_the_course(one)
    assert one.name == "data"
    mac = archive("in/", "in/table.tsv", "__MACOSX/in/._table.tsv", "in/.DS_Store")
    for name in ("data.zip", "data.csv.zip"):
        plain = read(written(tmp_path, mac, name))
        is_the_course(plain)
        assert plain.name == "data"
        assert "it is `in/table.tsv` in a zip archive" in told(plain)
        two = written(tmp_path, archive("a.csv", "b.csv"), name)
        with pytest.raises(InputError) as error:
            read(two)
        assert str(error.value) == (
            f"`{two}` is an archive of 2 files (a.csv, b.csv), and one table is read; unpack it and give one of them, "
            "or write all rows into one."
        )
    refuses(written(tmp_path, archive(), "no.zip"), ["is an archive of 0 files, and one"])
    refuses(written(tmp_path, archive("a.h5ad"), "cells.zip"), ["an archive of `a.h5ad`", "only text", "unpack it"])
    refuses(written(tmp_path, gzip.compress(course().encode()), "data.gz"), ["does not say what", "table.csv.gz"])
    refuses(written(tmp_path, archive("a.csv")[:-40], "cut.csv.zip"), ["cannot be decompressed", "cut off"])
    is_the_course(read(written(tmp_path, gzip.compress(course().encode()), "d.tsv.gz")))
    refuses(written(tmp_path, gzip.compress(course().encode())[:-40]), ["cannot be decompressed", "cut off"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (course(extra="cell=X").replace("X", "{}"), "column `cell` names the rows"),
        (course(extra="donor_cell=X").replace("X", "{}"), "column `donor_cell` names the rows"),
        (course(extra="id=X").replace("X", "{}"), "column `id` names the rows"),
        (course(extra="=X").replace("X", "{}"), "no name"),
    ],
)
def test_names_and_numbers_of_rows_are_no_species(tmp_path: Path, text: str, says: str):
    number = iter(range(1000))
    named = "donor_cell" in text or ",cell" in text
    filled = "".join(
        line.replace("{}", f"AAAC{next(number)}-1" if named else str(next(number))) + "\n" for line in text.splitlines()
    )
    if "id" in text.splitlines()[0]:
        filled = filled.replace("time,id", "time,id")
    path = written(tmp_path, filled)
    if says == "no name":
        refuses(path, ["column 2", "has no name"])
        return
    data = read(path)
    is_the_course(data)
    assert says in told(data)


@pytest.mark.parametrize("barcode", ["AAAC{}-1", "{}"])
def test_a_first_column_without_a_name_names_the_rows(tmp_path: Path, barcode: str):
    head, *rows = course().splitlines()
    text = "\n".join(["," + head, *(f"{barcode.format(i)},{row}" for i, row in enumerate(rows))])
    data = read(written(tmp_path, text))
    is_the_course(data)
    assert "the first column names the rows, and is no species" in told(data)
    of_r = "\n".join(
        [" ".join(f'"{w}"' for w in head.split(",")), *(f'"{i}" {r.replace(",", " ")}' for i, r in enumerate(rows, 1))]
    )
    is_the_course(read(written(tmp_path, of_r, "data.txt")))


def test_the_time_is_asked_for_where_it_is_in_doubt(tmp_path: Path):
    unnamed = written(tmp_path, course(name="moment"))
    refuses(unnamed, ["which column", "--time", "`moment` (5 values)", "`A` (21 values)", "`B` (5 values)"])
    is_the_course(read(unnamed, time="moment"))
    two = written(tmp_path, course(name="day", extra="hour=1|2|3"))
    refuses(two, ["`day` and `hour`", "--time", "`day` (5 values)", "`hour` (3 values)"])
    is_the_course(read(two, time="day", drop="hour"), "day")
    rows = written(tmp_path, "day,A\n" + "".join(f"{i},{i % 3}\n" for i in range(40)))
    refuses(rows, ["numbers the rows", "--time day"])
    assert len(read(rows, time="day").snapshots) == 40


def test_beside_a_time_letters_are_species(tmp_path: Path):
    data = read(written(tmp_path, "time,T,I,h\n0,9,1,0\n1,5,3,2\n"))
    assert data.snapshots.species == ("T", "I", "h")


def test_a_unit_in_the_last_column_is_asked_for_and_a_time_there_is_not(tmp_path: Path):
    def last(name: str) -> Path:
        lines = (line.split(",") for line in course(name=name).splitlines())
        return written(tmp_path, "\n".join(",".join(line[1:] + line[:1]) for line in lines))

    refuses(last("day"), ["`day` sounds like it, but holds plain numbers", "--time", "`day` (5 values)"])
    is_the_course(read(last("day"), time="day"), "day")
    data = read(last("time"))
    is_the_course(data, "")
    assert "the time is `time`, by its name (`--time` chooses another column)" in told(data)


def test_numbers_that_a_table_holds_as_text_are_no_conditions():
    days = np.repeat([0, 1], 3)
    for texts in (["1,204", "2,300,100", "17"] * 2, ["3,5", "2", "1.204,5"] * 2):
        with pytest.raises(InputError, match=r"`n` .* holds numbers as text, such as .* where the table is made"):
            read(pd.DataFrame({"day": days, "n": texts}))


def test_of_two_columns_of_text_in_long_form_the_one_with_fewer_values_names_the_species():
    table = {"hour": np.repeat([0, 2], 12), "well": [*np.repeat([*"ABCDEF"], 2)] * 2, "dye": ["gfp", "rfp"] * 12}
    with pytest.raises(InputError, match=r"each `well` has 2 rows, one for each `dye` \(gfp, rfp\)"):
        read(pd.DataFrame({**table, "value": np.arange(24) / 7}))


def test_what_was_measured_again_and_again_is_told_from_a_condition(tmp_path: Path):
    cages = "".join(f"{day},cage {i},{i + day}\n" for day in range(3) for i in range(4))
    refuses(written(tmp_path, f"day,the cage,x\n{cages}"), ["--unit 'the cage'", "measured again", "--drop 'the cage'"])
    treated = "".join(f"{day},{name},{i}.5\n" for day in range(3) for name in ("a", "b") for i in range(4))
    with pytest.raises(InputError) as error:
        read(written(tmp_path, f"day,treatment,x\n{treated}"))
    assert "--unit" not in str(error.value)
    assert "long form" not in str(error.value)
    numbered = read(written(tmp_path, "day,cage,x\n" + cages.replace("cage ", "")))
    assert "warning: `cage` is read as a species, but looks like the name of what was measured again" in told(numbered)
    assert "`--unit cage`" in told(numbered)


def test_conditions_of_text_are_refused_with_the_ways_out_and_numbered_ones_are_named(tmp_path: Path):
    text = written(tmp_path, course(extra="condition=drug|ctrl"))
    refuses(text, ["`condition`", "drug, ctrl", "--where 'condition=drug'", "--drop condition"])
    is_the_course(read(text, drop="condition"))
    half = read(text, where="condition=ctrl")
    assert half.snapshots.species == ("A", "B")
    assert [len(cloud) for cloud in half.snapshots.samples] == [12] * 5
    assert "rows with condition = ctrl alone: 60 of 125" in told(half)
    refuses(text, ["condition=none", "drug, ctrl"], where="condition=none")
    for name in ("replicate", "SALT", "dose_nM"):
        numbered = written(tmp_path, course(extra=f"{name}=1|2|3"))
        assert f"warning: `{name}` is read as a species, but looks like a condition" in told(read(numbered))
        is_the_course(read(numbered, drop=name))
        assert read(numbered, where=[f"{name}=1", f"{name}=3"]).snapshots.species == ("A", "B")
    assert "warning" not in told(read(written(tmp_path, course(extra="C=0|0|0|1|2"))))


def test_a_condition_that_changes_with_time_is_named_even_where_it_is_left_out(tmp_path: Path):
    text = "day,batch,A\n" + "".join(f"{t},{'a' if t < 2 else 'b'},{i % 3}\n" for t in range(4) for i in range(9))
    assert "no value of `batch` was observed at all times" in told(read(written(tmp_path, text), drop="batch"))
    assert "no value" not in told(read(written(tmp_path, course(extra="batch=1|2")), drop="batch"))


def test_species_are_chosen_by_name_in_the_order_that_is_asked_for(tmp_path: Path):
    path = written(tmp_path, course(extra="note=good|bad"))
    data = read(path, species="B,A")
    assert data.snapshots.species == ("B", "A")
    assert data.snapshots.pooled().tolist() == np.stack([B, A], axis=1).tolist()
    assert "left out, since `--species` does not name it: note" in told(data)
    refuses(path, ["no column `C`", "--species", "time, note, A, B"], species="A,C")
    refuses(path, ["`A`", "`--species` and in `--drop`"], species="A", drop="A")
    refuses(path, ["named twice"], species="A,A")
    refuses(path, ["the time or the unit"], species="time,A", time="time")


@pytest.mark.parametrize("sign", ["%", " %"])
def test_percentages_are_numbers_and_it_is_said(tmp_path: Path, sign: str):
    path = written(tmp_path, f"day,viable,B\n0,97.5{sign},3\n0,,4\n1,-5{sign},5\n")
    data = read(path, missing="drop")
    assert data.snapshots.pooled().tolist() == [[97.5, 3], [-5, 5]]
    assert f"`viable` is in percent: `97.5{sign}` is read as 97.5" in told(data)
    commas = read(written(tmp_path, f"day;viable\n0;97,5{sign}\n1;8{sign}\n", "commas.csv"), species="viable")
    assert commas.snapshots.pooled().tolist() == [[97.5], [8]]
    assert read(path, conditions="viable", missing="drop").snapshots.species == ("B",)


@pytest.mark.parametrize("dtype", ["bool", "boolean", "object"])
def test_true_and_false_are_counts_where_they_are_named_as_a_species(dtype: str):
    frame = pd.DataFrame({"day": [0, 0, 1, 1], "on": pd.array([True, False, True, True], dtype=dtype)})
    with pytest.raises(InputError, match=r"`on` of .* true and false \(True, False\) and may mark rows"):
        read(frame)
    data = read(frame, species="on")
    assert data.snapshots.pooled().tolist() == [[1], [0], [1], [1]]
    assert data.snapshots.kinds == (Kind.COUNTS,)
    assert "`on` holds true and false, read as 1 and 0" in told(data)


@pytest.mark.parametrize(
    "options", [{}, {"unit": "cage"}, {"conditions": "cage"}, {"where": "cage=a", "drop": "cage"}, {"missing": "zero"}]
)
def test_merged_cells_are_to_be_filled_down(tmp_path: Path, options: dict[str, Any]):
    column = "cage" if "cage" in options.values() or "where" in options else "day"
    rows = [("a" if i % 10 == 0 else "", i // 10, i) for i in range(40)]
    text = "cage,day,x\n" + "".join(f"{cage},{day},{x}\n" for cage, day, x in rows)
    if column == "day":
        text = "day,x\n" + "".join(f"{day if cage else ''},{x}\n" for cage, day, x in rows)
    path = written(tmp_path, text)
    refuses(path, [f"value of `{column}` in 4 of 40 rows", "merged cells", f"['{column}'].ffill()"], **options)
    if column == "day":
        assert read(path, missing="drop").snapshots.pooled().tolist() == [[0], [10], [20], [30]]


def test_times_that_are_missing_here_and_there_are_no_merged_cells(tmp_path: Path):
    path = written(tmp_path, "day,x\n" + "".join(f"{'' if i % 5 > 1 else i // 10},{i}\n" for i in range(40)))
    refuses(path, ["no time, unit or condition in row 3 of the data (24 such rows)"])


def test_columns_that_are_called_like_wells_are_warned_of(tmp_path: Path):
    def table(*names: str) -> Path:
        rows = "".join(f"{t},{','.join(str(t + i / 7) for i in range(len(names)))}\n" for t in range(3))
        return written(tmp_path, f"Time,{','.join(names)}\n{rows}")

    wells = [f"{row}{column}" for row in "AB" for column in ("1", "02", "12")]
    plate = told(read(table("T600", *wells)))
    assert "warning: 6 columns are called like wells of a plate (A1, A02, A12 and 3 more)" in plate
    assert "`--unit`" in plate
    assert "melt(id_vars='Time'" in plate
    assert "wells" not in told(read(table("A1", "B2", "S1", "CD4", "IL6", "T25", "A0")))


def test_kinds_are_given_for_all_or_for_each(tmp_path: Path):
    path = written(tmp_path, course())
    assert read(path, kind="continuous").snapshots.kinds == (Kind.CONTINUOUS,) * 2
    assert read(path, kind="B=continuous").snapshots.kinds == (Kind.COUNTS, Kind.CONTINUOUS)
    assert read(path, kind={"A": Kind.CONTINUOUS}).snapshots.kinds == (Kind.CONTINUOUS, Kind.COUNTS)
    refuses(path, ["--kind C=counts", "A, B"], kind="C=counts")
    refuses(path, ["--kind typo", "counts or continuous"], kind="typo")


def test_missing_values_are_refused_left_out_or_zero(tmp_path: Path):
    path = written(tmp_path, "time,A,B\n0,1,2\n0,,4\n1,5,NA\n1,7,8\n")
    refuses(path, ["no value in column `A`, row 2", "2 of 4 rows", "`A` (1), `B` (1)", "--missing drop"])
    dropped = read(path, missing="drop")
    assert dropped.snapshots.pooled().tolist() == [[1, 2], [7, 8]]
    assert "2 of 4 rows left out, since values are missing" in told(dropped)
    zero = read(path, missing="zero")
    assert zero.snapshots.pooled().tolist() == [[1, 2], [0, 4], [5, 0], [7, 8]]
    assert zero.snapshots.kinds == (Kind.COUNTS, Kind.COUNTS)
    timeless = written(tmp_path, "time,A\n0,1\n,2\n1,3\n")
    refuses(timeless, ["no time", "row 2"], missing="zero")
    assert read(timeless, missing="drop").snapshots.pooled().tolist() == [[1], [3]]
    array = GOOD.copy()
    array[3, 5, 1] = np.nan
    np.save(tmp_path / "a.npy", array)
    assert [len(cloud) for cloud in read(tmp_path / "a.npy", missing="drop").snapshots.samples] == [19] * 40
    assert read(tmp_path / "a.npy", missing="zero").snapshots.samples[5][3, 1] == 0


def test_a_row_that_is_left_out_may_hold_an_infinite_value(tmp_path: Path):
    path = written(tmp_path, "time,x,y\n0,,inf\n0,1.5,2\n1,3,4.5\n")
    assert read(path, missing="drop").snapshots.pooled().tolist() == [[1.5, 2], [3, 4.5]]
    array = GOOD.copy()
    array[3, 5] = np.nan, np.inf
    np.save(tmp_path / "a.npy", array)
    assert len(read(tmp_path / "a.npy", missing="drop").snapshots.samples[0]) == 19


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_an_infinite_value_of_a_cell_is_located_by_gene_and_row(form: Any):
    anndata = pytest.importorskip("anndata")
    values = np.arange(1.0, 25.0).reshape(8, 3)
    values[5, 1] = np.inf
    cells = anndata.AnnData(form(values), obs=pd.DataFrame({"day": [0, 1] * 4}, index=[*"abcdefgh"]))
    cells.var_names = ["A", "B", "C"]
    several: list[dict[str, Any]] = [{}, {"pca": 2}, {"where": "day=1"}]
    for options in several:
        with pytest.raises(InputError, match=r"the AnnData holds inf .*`B`.* row 6 of the data"):
            from_anndata(cells, time="day", **options)


def cages(gap: bool, order: int = 0) -> pd.DataFrame:
    rows = [(u, t, 10 * u + t) for u in range(10) for t in range(4) if not (gap and u == 3 and t == 2)]
    table = pd.DataFrame(rows, columns=["cage", "day", "N"])
    return table.sample(frac=1, random_state=order) if order else table


@pytest.mark.parametrize("order", [0, 1, 2])
def test_units_without_gaps_are_paired_whatever_the_order_of_the_rows(tmp_path: Path, order: int):
    cages(gap=False, order=order).to_csv(tmp_path / "a.csv", index=False)
    data = read(tmp_path / "a.csv", unit="cage")
    assert data.paired
    assert data.snapshots.species == ("N",)
    assert all((cloud[:, 0] // 10).tolist() == list(range(10)) for cloud in data.snapshots.samples)


@pytest.mark.parametrize("protocol", [Protocol.INTERPOLATION, Protocol.FORECAST])
def test_no_unit_with_gaps_is_both_fitted_and_scored(tmp_path: Path, protocol: Protocol):
    rows = [(u, t, 100 * u + t) for u in range(20) for t in range(12) if (u + t) % 7]
    pd.DataFrame(rows, columns=["cage", "day", "N"]).to_csv(tmp_path / "a.csv", index=False)
    data = read(tmp_path / "a.csv", unit="cage", every=2)
    assert not data.paired
    parts = split(data, protocol, seed=1)
    fitted, scored = ({int(row[0] // 100) for row in part.pooled()} for part in (parts.seen, parts.test))
    assert fitted
    assert scored
    assert not fitted & scored
    assert fitted | scored == set(range(20))
    assert min(map(len, parts.test.samples)) >= 4, "as many as scores need"
    lonely = [row for row in rows if row[1] != 1 or row[0] == 1]
    pd.DataFrame(lonely, columns=["cage", "day", "N"]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(InputError, match=r"too few units at t=1 to fit some and to score others"):
        split(read(tmp_path / "b.csv", unit="cage", every=2), protocol, seed=1)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("time,x\n0,3\n1,4\n", {"layer": "raw"}, ["`--layer` means nothing", ".csv"]),
        ("time,x\n0,3\n1,4\n", {"genes": "x"}, ["`--genes` means nothing", ".csv"]),
        ("time,x\n0,3\n1,4\n", {"use_rep": "X_pca"}, ["`--use-rep` means nothing"]),
        ("time,x\n0,3\n1,4\n", {"where": "dose"}, ["--where dose", "dose=0.2"]),
        ("time,x\n0,3\n1,4\n", {"where": "dose=1"}, ["no column `dose`", "--where"]),
        ("time,x\n0,1\n0,-\n1,3\n1,4\n", {}, ["`-` in column `x`, row 2", "--missing drop"]),
        ("time,x\n0,1\n1,2\n\ntime,x\n0,5\n1,6\n", {}, ["`x` in column `x`, row 3"]),
        ("a title\ntime,x\n0,1\n1,2\n", {}, ["more values in a row"]),
        ("time;x\n0;10,125%\n1;20,5%\n", {}, ["`x`", "no numbers", "10,125%"]),
        (
            "time,x\n" + "".join(f"{i % 2},{i // 2} mg/l\n" for i in range(40)),
            {},
            ["numbers with something around them, such as 0 mg/l, 1 mg/l", "write them alone", "--drop x"],
        ),
        ("year,month,x\n2001,1,4\n2001,2,5\n2002,1,6\n", {}, ["`year` and `month`", "--time"]),
        ("gene,0h,3h\nA,1,2\nB,3,4\n", {}, ["which column", "--time"]),
        ("time,x\n0,3\n1,4\n", {"missing": "fill"}, ["--missing fill", "refuse, drop, zero"]),
        ("time,x\n0,3\n1,4\n", {"sep": ",,"}, ["--sep ,,", "one character"]),
        ("time,x\n0,3\n1,4\n", {"decimal": ";"}, ["--decimal ;"]),
        ("time,x\n0,3\n1,4\n", {"sep": ",", "decimal": ","}, ["must differ"]),
        ("time,x\n0,3\n1,4\n", {"pca": 0}, ["--pca 0"]),
        ("time,x\n0,3\n1,4\n", {"pca": 7}, ["--pca 7", "at most"]),
        ("time,x\n0,3\n1,4\n", {"unit": "cage"}, ["no column `cage`", "--unit"]),
        ("time,x\n0,3\n1,4\n", {"drop": "x"}, ["none is left as a species"]),
        ("time,x\n1,3\n1,4\n", {"where": "time=1"}, ["single snapshot"]),
        ("time,x,x\n0,3,1\n1,4,1\n", {}, ["more than one column `x`"]),
        ("time,x\n03/04/2020,3\n04/04/2020,4\n", {}, ["`03/04/2020`", "order of day, month and year", "2020-03-31"]),
        ("time,x\n31/12/2020,3\n12/31/2020,4\n", {}, ["`31/12/2020`", "order of day, month and year"]),
        ("Export of plate 3;;\n;;\ntime;A;B\n0;3;4\n1;4;5\n", {}, ["`Export of plate 3`", "title", "#"]),
        ("rep,t=0 h,t=2 h\n1,3.5,4.5\n2,3.1,4.2\n3,2.9,4\n", {}, ["`t=0 h`, `t=2 h` are the times", "a row for each"]),
        ("well,0:00:00,0:30:00\nA1,1.5,2\nA2,3,4\n", {}, ["If `0:00:00`, `0:30:00` are the times", "a row for each"]),
        ("mouse,2024-03-01,2024-03-05\na,1.5,2\nb,3,4\n", {}, ["If `2024-03-01`, `2024-03-05` are the times"]),
        ("gene,0,6,12\nSox2,1,2,4\nT,3,4,5\n", {}, ["If `0`, `6`, `12` are the times", "a row for each"]),
        (
            "day,cell,gene,n\n"
            + "".join(f"{d},{d}{c},{g},5\n" for d in (0, 3) for c in "abc" for g in ("Sox2", "Nanog")),
            {},
            [
                "in long form",
                "each `cell` has 2 rows",
                "--conditions gene",
                "`gene` (Sox2, Nanog)",
                "frame.pivot",
                "pivot_wider",
            ],
        ),
        ("time,x,y\n0,3,4\n1,4,5\n2,5", {}, ["the last line", "2 of 3 values", "cut off"]),
        ("time;x\n0;3,5\n1;4,25\n", {"decimal": "."}, ["`x`", "numbers as text, such as 3,5", "--decimal ,"]),
        ("time,x\nE8,3\nP1,4\n", {}, ["different kinds", "`E8`, `P1`"]),
        ("time,x\nbefore,3\nafter,4\n", {}, ["`before`", "ordered category"]),
        ("time,x\nday 1 rep 2,3\nday 2 rep 2,4\n", {}, ["`day 1 rep 2`", "no time"]),
        ("time,x\n0,3\ninf,3\n1,4\n", {}, ["column `time` holds inf, no finite number, in row 2 of the data"]),
        ("time,x\n0,3\ninf,3\n1,4\n", {"missing": "drop"}, ["holds inf, no finite number, in row 2"]),
        ("time,x\nTrue,3\nFalse,4\n", {}, ["true and false", "--time"]),
        ("time,x,y\n1,3,0\n0,4,inf\n", {}, ["holds inf in column `y`, row 2 of the data", "1 of 2", "`y` (1)"]),
        ("time,x,y\n1,3,0\n0,4,-inf\n", {"missing": "drop"}, ["-inf in column `y`, row 2", "make it a missing"]),
        ("a,time,y\n1,1,0\n2,0,inf\n", {"where": "a=2"}, ["inf in column `y`, row 2 of the data"]),
        ("time,d,y\n1,3,0\n0,inf,4\n", {"conditions": "d"}, ["inf in `d`, row 2 of the data", "finite numbers"]),
        ("time,x\n0,True\n1,False\n", {}, ["`x`", "True, False", "--drop x", "--where 'x=True'", "--species"]),
        ("time,x\n0,True\n1,\n", {}, ["`x`", "true and false (True)", "--drop x"]),
        ("time,x\n0,1.234,5\n1,4\n", {}, ["3 values for 2 columns", "--sep"]),
        ("time;x,y\n0;3,4\n1;4,5\n", {}, ["semicolon", "comma", "--sep"]),
        ("only one column\n1\n2\n", {}, ["species", "--sep"]),
        ("time,id,x\n0,1,3\n0,2,4\n1,1,5\n1,2,6\n", {}, ["`id`", "--unit id", "--drop id"]),
        ("time,x\n" + "0,3\n" * 300 + "1,4,5\n", {}, ["cannot be read as CSV", "line 302"]),
        (
            "time," + ",".join(f"g{i}" for i in range(400)) + "\n" + ("0" + ",1" * 400 + "\n") * 2 + "1" + ",2" * 400,
            {},
            ["400 species", "--species A,B", "--pca 10"],
        ),
        ("time,x\n0,\n1,\n", {"missing": "drop"}, ["no row", "is left"]),
    ],
)
def test_odd_tables_and_options_are_refused_with_what_to_do(tmp_path: Path, text, options, says):
    refuses(written(tmp_path, text), says, **options)


def test_a_last_line_without_an_end_is_whole_where_it_has_all_values(tmp_path: Path):
    assert read(written(tmp_path, "time,x,y\n0,3,4\n1,4,5")).snapshots.pooled().tolist() == [[3, 4], [4, 5]]
    short = read(written(tmp_path, "time,x,y\n0,3,4\n1,4\n"), missing="zero")
    assert short.snapshots.pooled().tolist() == [[3, 4], [4, 0]]


def test_an_unknown_option_is_refused_by_name(tmp_path: Path):
    with pytest.raises(InputError, match=r"no reading option `time_column`; known are conditions, decimal, drop"):
        ReadOptions.of(time_column="day")


def test_excel_and_parquet_are_read_where_their_libraries_are(tmp_path: Path):
    table = pd.read_csv(io.StringIO(course(name="day")))
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "a.parquet")
    is_the_course(read(tmp_path / "a.parquet"), "day")
    table.set_axis([f"cell{i}" for i in range(125)]).to_parquet(tmp_path / "b.parquet")
    is_the_course(read(tmp_path / "b.parquet"), "day")
    dated = table.assign(day=pd.Timestamp("2020-03-01") + pd.to_timedelta(table["day"], unit="D"))
    dated.rename(columns={"day": "date"}).to_parquet(tmp_path / "c.parquet")
    is_the_course(read(tmp_path / "c.parquet"), "day")
    refuses(written(tmp_path, b"PAR1 no", "d.parquet"), ["cannot be read as Parquet"])


def test_the_first_sheet_of_excel_is_read(tmp_path: Path):
    pytest.importorskip("openpyxl")
    table = pd.read_csv(io.StringIO(course(name="day")))
    with pd.ExcelWriter(tmp_path / "a.xlsx") as book:
        table.to_excel(book, sheet_name="counts", index=False)
        table.head().to_excel(book, sheet_name="notes", index=False)
    data = read(tmp_path / "a.xlsx")
    is_the_course(data, "day")
    assert "sheet `counts` is read, and not notes" in told(data)
    dated = table.assign(day=pd.Timestamp("2020-03-01") + pd.to_timedelta(table["day"], unit="D"))
    dated.rename(columns={"day": "date"}).to_excel(tmp_path / "b.xlsx")
    is_the_course(read(tmp_path / "b.xlsx"), "day")
    refuses(written(tmp_path, b"not a book", "c.xlsx"), ["cannot be read as Excel"])


def test_an_error_names_the_sheet_that_is_read_and_the_others(tmp_path: Path):
    pytest.importorskip("openpyxl")
    table = pd.read_csv(io.StringIO(course(name="day")))
    twice = ["A", "A", "B"]
    for first in (pd.DataFrame({"note": ["made by X"]}), table.set_axis(twice, axis=1), pd.DataFrame()):
        with pd.ExcelWriter(tmp_path / "a.xlsx") as book:
            first.to_excel(book, sheet_name="readme", index=False)
            table.to_excel(book, sheet_name="data", index=False)
            table.to_excel(book, sheet_name="again", index=False)
        refuses(tmp_path / "a.xlsx", ["the first sheet alone is read, `readme`, and not `data`, `again`", "of its own"])
    pd.DataFrame({"note": ["made by X"]}).to_excel(tmp_path / "b.xlsx", index=False)
    with pytest.raises(InputError, match=r"columns note and 1 rows; [^`]*\.$"):
        read(tmp_path / "b.xlsx")


def test_formulas_that_were_never_calculated_are_told_from_missing_values(tmp_path: Path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["day", "A", "ratio"])
    for row in range(2, 42):
        book.active.append([row // 10, row % 7, 1.5 if row == 2 else f"=B{row}/A{row}"])
    book.save(tmp_path / "a.xlsx")
    several: list[dict[str, Any]] = [{}, {"missing": "zero"}, {"missing": "drop"}, {"species": "ratio"}]
    for options in several:
        refuses(tmp_path / "a.xlsx", ["`ratio`", "39 formulas such as =B3/A3", "save it", "--drop ratio"], **options)
    several = [{"drop": "ratio"}, {"species": "A", "time": "day"}]
    for options in several:
        assert read(tmp_path / "a.xlsx", **options).snapshots.species == ("A",)
    book.active["C2"] = None
    for row in range(3, 42):
        book.active[f"C{row}"] = None
    book.save(tmp_path / "b.xlsx")
    refuses(tmp_path / "b.xlsx", ["no value in column `ratio`"])


# ---- single cells ----


def annotated(sparse: bool = False) -> Any:
    anndata = pytest.importorskip("anndata")
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(2.0, 1.0, 400), (90, 400)).astype(np.float32)
    obs = pd.DataFrame(
        {"day": np.repeat(["day 0", "day 2", "day 10"], 30), "batch": np.tile(["a", "b", "c"], 30)},
        index=[f"cell{i}" for i in range(90)],
    )
    var = pd.DataFrame(index=[f"g{i}" for i in range(400)])
    made = anndata.AnnData(csr_matrix(counts) if sparse else counts, obs=obs, var=var)
    made.layers["twice"] = made.X * 2
    made.obsm["X_pca"] = rng.normal(size=(90, 4))
    return made


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("on_disk", [False, True])
def test_cells_are_read_from_memory_and_from_files_alike(tmp_path: Path, sparse: bool, on_disk: bool):
    adata = annotated(sparse)
    counts = adata.X.toarray() if sparse else adata.X
    adata.write_h5ad(tmp_path / "cells.h5ad")

    def taken(**options: Any) -> Dataset:
        return read(tmp_path / "cells.h5ad", **options) if on_disk else weightflow.from_anndata(adata, **options)

    genes = taken(genes="g7,g2")
    assert genes.snapshots.times.tolist() == [0, 2, 10]
    assert genes.snapshots.unit == "day"
    assert genes.snapshots.species == ("g7", "g2")
    assert genes.snapshots.kinds == (Kind.COUNTS,) * 2
    assert np.array_equal(genes.snapshots.pooled(), counts[:, [7, 2]])
    twice = taken(genes="g7", layer="twice", where="batch=b")
    assert np.array_equal(twice.snapshots.pooled(), 2 * counts[1::3, [7]])
    rep = taken(use_rep="X_pca")
    assert rep.snapshots.species == ("pca1", "pca2", "pca3", "pca4")
    assert np.array_equal(rep.snapshots.pooled(), adata.obsm["X_pca"])
    assert taken(use_rep="X_pca", species="pca2").snapshots.pooled().tolist() == adata.obsm["X_pca"][:, [1]].tolist()
    for options, says in (
        (
            {},
            "400 genes, and nothing says which are meant; choose some with `--genes g0,g1`, take.*--pca 10.*--use-rep",
        ),
        ({"genes": "g999"}, "no gene `g999`; near it are"),
        ({"layer": "raw", "genes": "g1"}, "no `raw` in layers .*it holds twice"),
        ({"use_rep": "X_umap"}, "no `X_umap` in obsm .*it holds X_pca"),
        ({"use_rep": "X_pca", "genes": "g1"}, "give one of both"),
        ({"time": "week", "genes": "g1"}, "no column `week`"),
        ({"step": 1.0}, "--step"),
    ):
        with pytest.raises(InputError, match=says):
            taken(**options)


def test_principal_components_are_those_of_log_counts_of_the_seen_times(tmp_path: Path):
    dense, sparse = annotated(), annotated(sparse=True)
    counts = np.asarray(dense.X, dtype=np.float64)
    seen = np.r_[0:30, 60:90]
    totals = counts.sum(axis=1, keepdims=True)
    logs = np.log1p(counts / totals * np.median(totals[seen]))
    centred = logs - logs[seen].mean(axis=0)
    _, _, axes = np.linalg.svd(centred[seen], full_matrices=False)
    wanted = centred @ axes[:3].T
    table = pd.DataFrame(counts, columns=dense.var_names).assign(day=np.repeat([0, 2, 10], 30))
    table.to_csv(tmp_path / "a.csv", index=False)
    for data in (
        weightflow.from_anndata(dense, pca=3, every=2),
        weightflow.from_anndata(sparse, pca=3, every=2),
        read(tmp_path / "a.csv", pca=3, every=2, time="day"),
    ):
        found = data.snapshots.pooled()
        signs = np.sign((found * wanted).sum(axis=0))
        np.testing.assert_allclose(found * signs, wanted, atol=1e-6)
        assert data.snapshots.species == ("PC1", "PC2", "PC3")
        assert data.snapshots.kinds == (Kind.CONTINUOUS,) * 3
        assert f"counts scaled to {np.median(totals[seen]):g} in each sample" in told(data)
        assert "fitted to the 2 seen times" in told(data)


def test_genes_of_one_matrix_are_of_one_kind():
    adata = annotated()
    adata.X = np.log1p(adata.X)
    adata.X[:, 5] = 0
    assert weightflow.from_anndata(adata, genes="g4,g5").snapshots.kinds == (Kind.CONTINUOUS,) * 2


def test_of_a_file_only_the_rows_and_genes_that_are_used_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from weightflow.data.reading import cells

    adata = annotated(sparse=True)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr(cells, "CHUNK", 400 * 7)  # seven cells at once: pieces that divide neither cells nor times
    data = read(tmp_path / "cells.h5ad", genes="g7,g2", where="batch=b")
    assert np.array_equal(data.snapshots.pooled(), adata.X.toarray()[1::3][:, [7, 2]])


def test_genes_of_one_name_are_refused_with_what_makes_them_differ():
    anndata = pytest.importorskip("anndata")
    values = np.arange(24.0).reshape(8, 3)
    cells = anndata.AnnData(values, obs=pd.DataFrame({"day": [0, 1] * 4}, index=[*"abcdefgh"]))
    cells.var_names = ["A", "B", "B"]
    several: list[dict[str, Any]] = [{}, {"genes": "B"}, {"genes": "A,B"}, {"species": "B"}]
    for options in several:
        with pytest.raises(InputError, match=r"has 2 genes `B`; call AnnData.var_names_make_unique\.$"):
            from_anndata(cells, **options)
    several = [{"genes": "A"}, {"drop": "B"}, {"pca": 2}]
    for options in several:
        assert len(from_anndata(cells, **options).snapshots) == 2


def drawn() -> Draws:
    rng = np.random.default_rng(0)
    samples = np.stack([rng.normal(5, 1, (3, 30)), rng.poisson(9, (3, 30))], axis=2)
    return Draws(np.array([0.0, 2.5, 5.0]), samples, ("A", "B"), (Kind.CONTINUOUS, Kind.COUNTS), "h")


@pytest.mark.parametrize("on_disk", [False, True])
def test_cells_that_a_model_drew_keep_their_unit_and_kinds(tmp_path: Path, on_disk: bool):
    pytest.importorskip("anndata")
    adata = drawn().anndata()

    def taken(**options: Any) -> Dataset:
        adata.write_h5ad(tmp_path / "drawn.h5ad")
        return read(tmp_path / "drawn.h5ad", **options) if on_disk else from_anndata(adata, **options)

    data = taken()
    assert data.snapshots.unit == "h"
    assert data.snapshots.kinds == (Kind.CONTINUOUS, Kind.COUNTS)
    assert np.array_equal(np.stack(data.snapshots.samples), drawn().samples)
    assert "`time` is in h, as WeightFlow wrote into `uns`" in told(data)
    assert "kinds are those that WeightFlow wrote into `var`" in told(data)
    assert taken(genes="B").snapshots.kinds == (Kind.COUNTS,)
    given = taken(kind="continuous")
    assert given.snapshots.kinds == (Kind.CONTINUOUS,) * 2
    assert "kinds are those" not in told(given)
    assert taken(kind="B=continuous").snapshots.kinds == (Kind.CONTINUOUS,) * 2
    adata.X = np.log1p(adata.X)
    assert taken().snapshots.kinds == (Kind.CONTINUOUS,) * 2
    adata.obs = adata.obs.rename(columns={"draw": "replicate"})
    assert taken().snapshots.unit == ""


def test_a_table_that_a_model_drew_keeps_its_unit_and_its_draws_are_no_species(tmp_path: Path):
    pytest.importorskip("pyarrow")
    write_samples(tmp_path / "drawn.parquet", drawn())
    for data in (read(drawn().frame()), read(tmp_path / "drawn.parquet")):
        assert data.snapshots.unit == "h"
        assert data.snapshots.species == ("A", "B")
        assert data.snapshots.kinds == (Kind.CONTINUOUS, Kind.COUNTS)
        assert "`time` is in h, as WeightFlow wrote into `attrs`" in told(data)
        assert "`draw` numbers the draws of a model" in told(data)
    paired = read(drawn().frame(), unit="draw", kind="B=continuous")
    assert paired.paired
    assert paired.snapshots.kinds == (Kind.CONTINUOUS,) * 2


def test_an_archive_that_a_model_drew_is_read_by_its_times(tmp_path: Path):
    path = tmp_path / "drawn.npz"
    write_samples(path, drawn())
    data = read(path)
    assert data.snapshots.times.tolist() == [0, 2.5, 5]
    assert (data.snapshots.unit, data.snapshots.species, data.paired) == ("h", ("A", "B"), False)
    assert data.snapshots.kinds == (Kind.CONTINUOUS, Kind.COUNTS)
    assert np.array_equal(np.stack(data.snapshots.samples), drawn().samples)
    assert "what a model drew at 3 times, in h" in told(data)
    assert read(path, species="B").snapshots.species == ("B",)
    refuses(path, ["holds what a model drew", "`--unit`"], unit="A")


def test_files_that_are_no_cells_are_refused(tmp_path: Path):
    pytest.importorskip("anndata")
    import h5py

    refuses(written(tmp_path, b"no hdf5", "a.h5ad"), ["cannot be read as .h5ad", "write_h5ad"])
    with h5py.File(tmp_path / "b.h5ad", "w") as file:
        file["X"] = np.eye(3)
    refuses(tmp_path / "b.h5ad", ["no .h5ad", "write it again"])
    with pytest.raises(InputError, match="an AnnData is needed, and dict was given"):
        weightflow.from_anndata({}, genes="A")


def test_real_cells_are_read_by_day(shared_data: Path):
    pytest.importorskip("anndata")
    path = shared_data / "anndata" / "moscot_temporal_tests.h5ad"
    refuses(path, ["1,479 genes", "--genes", "--pca", "--use-rep"])
    data = read(path, genes="Fam150a,Prex2", time="day")
    assert data.snapshots.times.tolist() == [10, 10.5, 11]
    assert [len(cloud) for cloud in data.snapshots.samples] == [85, 81, 84]
    assert data.snapshots.kinds == (Kind.CONTINUOUS,) * 2


def test_each_small_case_is_read_or_refused_as_its_readme_says(shared_data: Path):
    cases = shared_data.parent / "cases"
    if not cases.is_dir():
        pytest.skip(f"{cases} is absent")
    asked = {
        "condition.csv": "--where",
        "day_last_col.csv": "--time",
        "dup_cols.csv": "own",
        "int64.csv": "subtract an offset",
    }
    for path in sorted(cases.glob("*.csv")):
        if path.name in asked:
            refuses(path, [asked[path.name]])
        else:
            data = read(path)
            assert len(data.snapshots) == (6 if path.name == "one_cell_last.csv" else 5), path
            rounded = [0.0, 0.1, 0.3, 0.7, 1.4] if "jitter" in path.name else TIMES
            assert data.snapshots.times[:5].tolist() == pytest.approx(rounded), path
            assert [len(cloud) for cloud in data.snapshots.samples[:5]] == [25] * 5, path


def test_a_dose_response_of_many_times_is_read_by_its_minutes(shared_data: Path):
    path = shared_data / "dusp1_dose" / "dusp1_dose.csv"
    data = read(path, where="dose_nM=100", drop="replica")
    assert data.snapshots.unit == "min"
    assert data.snapshots.species == ("nuclear", "cytoplasmic")
    assert data.snapshots.times[0] == 0
    table = pd.read_csv(path).query("dose_nM == 100")
    assert [len(cloud) for cloud in data.snapshots.samples] == table.groupby("minutes").size().tolist()
    assert data.snapshots.pooled().sum() == table[["nuclear", "cytoplasmic"]].to_numpy().sum()


def test_what_is_missing_at_some_times_alone_is_warned_of(tmp_path: Path):
    rows = [f"{t},{'' if t == 3 and i < 15 else int(i**0.5)}" for t in range(4) for i in range(20)]
    data = read(written(tmp_path, "time,A\n" + "\n".join(rows)), missing="drop")
    assert "75% of the rows at time 3 are left out, 0% at others" in told(data)
    assert "--missing zero" in told(data)
    even = [f"{t},{'' if i < 2 else int(i**0.5)}" for t in range(4) for i in range(20)]
    assert "warning" not in told(read(written(tmp_path, "time,A\n" + "\n".join(even)), missing="drop"))


def test_units_that_are_missing_after_they_died_out_are_warned_of(tmp_path: Path):
    rows = [(u, t, max(0, 3 - u - t)) for u in range(4) for t in range(5) if u + t <= 3 or u == 0]
    pd.DataFrame(rows, columns=["cage", "day", "N"]).to_csv(tmp_path / "a.csv", index=False)
    assert "3 units (1, 2, 3) are missing after they were seen at zero" in told(read(tmp_path / "a.csv", unit="cage"))
    whole = [(u, t, max(0, 3 - u - t)) for u in range(4) for t in range(5)]
    pd.DataFrame(whole, columns=["cage", "day", "N"]).to_csv(tmp_path / "b.csv", index=False)
    assert "warning" not in told(read(tmp_path / "b.csv", unit="cage"))


def test_a_table_of_pandas_is_read_as_a_file_of_it_is(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"day": [0, 0, 1, 1, 1], "dose": [1, 2, 1, 2, 2], "A": [1, 2, 3, 4, 5], "B": [1.0, 2, 3, 4, 5.5]}
    )
    frame.to_csv(tmp_path / "cells.csv", index=False)
    there, here = read(tmp_path / "cells.csv", conditions="dose"), read(frame, conditions="dose")
    assert here.snapshots.digest() == there.snapshots.digest()
    assert here.snapshots.unit == "day"
    assert (here.name, here.source) == ("table", "memory")
    assert read(frame.rename(index=str), drop="dose").snapshots.species == ("A", "B")
    anything: Any = read
    for given, said in (
        (frame.set_axis(["day", "A", "A", "B"], axis=1), "has the columns day, A, A, B; give each one name"),
        (frame["A"], "a Series was given to be read; give the path of a file, or a DataFrame"),
        (3, "a int was given to be read; give the path of a file, or a DataFrame"),
        (GOOD, r"a ndarray was given to be read; give arrays to `weightflow.Snapshots\(times, samples\)`"),
        (torch.ones(3, 2), r"a Tensor was given .*`weightflow.Snapshots\(times, samples\)`"),
        ([GOOD[0]], r"a list was given .*`weightflow.Snapshots\(times, samples\)`"),
    ):
        with pytest.raises(InputError, match=said):
            anything(given)
    anndata = pytest.importorskip("anndata")
    with pytest.raises(InputError, match=r"a AnnData was given to be read; `weightflow.from_anndata` makes a data set"):
        anything(anndata.AnnData(GOOD[0]))
    pyarrow = pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match=r"a Table was given .*to_pandas\(\)"):
        anything(pyarrow.Table.from_pandas(frame))
    with pytest.raises(InputError, match=r"`--sep` means nothing for a DataFrame"):
        read(frame, sep=";")


@pytest.mark.parametrize(
    ("column", "times", "unit"),
    [
        (pd.to_timedelta([0, 0, 12, 36], "h"), [0, 0.5, 1.5], "day"),
        (pd.to_datetime(["2024-01-01", "2024-01-01", "2024-01-03", "2024-01-04"]), [0, 2, 3], "day"),
        (pd.PeriodIndex([2000, 2000, 2001, 2005], freq="Y"), [2000, 2001, 2005], "year"),
        (pd.PeriodIndex(["2001-01", "2001-01", "2001-02", "2001-03"], freq="M"), [0, 31, 59], "day"),
        (pd.PeriodIndex(["2001Q1", "2001Q1", "2001Q2", "2001Q3"], freq="Q"), [0, 90, 181], "day"),
        (pd.array([0, 0, 2, 3], dtype="Int64"), [0, 2, 3], ""),
        (pd.array(["day 0", "day 0", "day 2", "day 3"], dtype="string"), [0, 2, 3], "day"),
        (pd.Categorical(["b", "b", "a", "c"], categories=["b", "a", "c"], ordered=True), [0, 1, 2], ""),
    ],
)
def test_times_of_a_table_may_be_of_any_kind_that_pandas_has_for_them(column: Any, times: list[float], unit: str):
    frame = pd.DataFrame({"time": column, "A": pd.array([1, 2, 3, 4], dtype="Int64")})
    for told in (frame, frame.set_index("time")):  # an index with a name is a column, as in a file of the table
        seen = read(told).snapshots
        np.testing.assert_allclose(seen.times, times)
        assert (seen.unit, seen.species, seen.kinds) == (unit, ("A",), (Kind.COUNTS,))
        assert [cloud.tolist() for cloud in seen.samples] == [[[1], [2]], [[3]], [[4]]]


def test_years_of_pandas_are_years_whatever_the_column_is_called():
    data = read(pd.DataFrame({"day": pd.PeriodIndex([2000, 2001, 2005], freq="Y-JUN"), "A": [1, 2, 3]}))
    assert data.snapshots.times.tolist() == [2000, 2001, 2005]
    assert data.snapshots.unit == "year"
    assert "`day` holds years" in told(data)
    months = read(pd.DataFrame({"year": pd.PeriodIndex(["2001-02", "2001-03"], freq="M"), "A": [1, 2]}))
    assert "holds dates, read as the starts of periods: times are days since 2001-02-01" in told(months)


def test_of_an_index_what_has_a_name_is_read_and_names_of_rows_are_no_species():
    levels = pd.MultiIndex.from_arrays([["a", "b", "c"], [0, 0, 1], [5, 6, 7]], names=["cell", "day", None])
    seen = read(pd.DataFrame({"A": [1.5, 2, 3]}, index=levels))
    assert seen.snapshots.times.tolist() == [0, 1]
    assert seen.snapshots.species == ("A",)
    assert "column `cell` names the rows" in told(seen)
    with pytest.raises(InputError, match="has the columns day, day, A"):
        read(pd.DataFrame({"day": [0, 1], "A": [1, 2]}, index=pd.Index([0, 1], name="day")))
    with pytest.raises(InputError, match=r"`the DataFrame` has columns A and 2 rows; .*, and one row per sample\.$"):
        read(pd.DataFrame({"A": [1, 2]}))


def test_a_missing_value_of_a_nullable_column_is_one():
    frame = pd.DataFrame({"time": [0, 0, 1], "A": pd.array([1, None, 3], dtype="Int64")})
    with pytest.raises(InputError, match="has no value in column `A`, row 2"):
        read(frame)
    assert [len(cloud) for cloud in read(frame, missing="drop").snapshots.samples] == [1, 1]
    assert read(frame, missing="zero").snapshots.samples[0].tolist() == [[1], [0]]


@pytest.mark.parametrize("name", ["time", "dose", "A"])
def test_complex_numbers_are_refused_wherever_a_table_has_them(name: str):
    frame = pd.DataFrame({"time": [0, 0, 1, 1], "dose": [1, 2, 1, 2], "A": [1.5, 2, 3, 4]})
    frame[name] = frame[name] + 1j
    with pytest.raises(InputError, match=r"complex.*must be real"):
        read(frame, conditions="dose")


def test_complex_numbers_are_refused_in_cells_too():
    anndata = pytest.importorskip("anndata")
    obs = pd.DataFrame({"day": [0, 0, 1, 1]}, index=list("abcd"))
    values = np.arange(8.0).reshape(4, 2)
    for rep in (
        values + 1j,
        sparse.csr_matrix(values + 1j),
        pd.DataFrame(values + 1j, index=obs.index, columns=["u", "v"]),
    ):
        cells = anndata.AnnData(values.astype(np.float32), obs=obs, obsm={"X_z": rep})
        with pytest.raises(InputError, match=r"complex.*must be real"):
            from_anndata(cells, use_rep="X_z")
        assert from_anndata(cells).snapshots.dim == 2
