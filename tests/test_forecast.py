"""Samples as files: each form holds the same numbers with names, times and units, whole or not at all."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from models import SPECIES, mixed, model_of, small_counts
from typer.testing import CliRunner, Result

from weightflow import Snapshots, WeightFlow
from weightflow.cli import app
from weightflow.errors import InputError


@pytest.fixture(scope="module")
def model() -> WeightFlow:
    return model_of(mixed())


@pytest.fixture(scope="module")
def folder(model: WeightFlow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model")
    model.save(place)
    return place


@pytest.fixture(scope="module")
def expected(model: WeightFlow) -> np.ndarray:
    return model.sample([10.0, 15.0, 30.0], 4, seed=3).numpy()


def forecast(folder: Path, out: Path) -> Result:
    options = ["--times", "10,15,30", "--draws", "4", "--seed", "3"]
    return CliRunner().invoke(app, ["forecast", "--model", str(folder), *options, "--out", str(out)])


def written(folder: Path, out: Path) -> str:
    done = forecast(folder, out)
    assert done.exit_code == 0, done.output
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    return done.stdout


def test_the_message_gives_shape_times_with_their_unit_and_species(folder: Path, tmp_path: Path) -> None:
    said = written(folder, tmp_path / "samples.npy")
    assert "shape (3, 4, 3), 4 samples at 3 times from 10 to 30 day, 1 of them forecasts beyond t = 20 day" in said
    assert "species A, B, C" in said


def test_a_forecast_without_members_warns_that_nothing_says_how_sure_it_is(folder: Path, tmp_path: Path) -> None:
    said = forecast(folder, tmp_path / "samples.npy").stderr
    assert "warning: the forecast goes 1 times the fitted span beyond t = 20; nothing here says how sure" in said
    words = ["forecast", "--model", str(folder), "--times", "10:20:5", "--out", str(tmp_path / "within.npy")]
    assert CliRunner().invoke(app, words).stderr == ""


@pytest.mark.parametrize("name", ["samples.npy", "samples.NPY"])
def test_an_npy_holds_the_samples(folder: Path, expected: np.ndarray, name: str, tmp_path: Path) -> None:
    written(folder, tmp_path / name)
    np.testing.assert_array_equal(np.load(tmp_path / name), expected)


def test_an_npz_holds_names_times_and_unit_beside_the_samples(
    folder: Path, expected: np.ndarray, tmp_path: Path
) -> None:
    written(folder, tmp_path / "samples.npz")
    with np.load(tmp_path / "samples.npz") as found:
        np.testing.assert_array_equal(found["samples"], expected)
        assert found["times"].tolist() == [10.0, 15.0, 30.0]
        assert tuple(found["species"]) == SPECIES
        assert str(found["unit"]) == "day"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_has_a_row_for_each_time_and_draw(
    folder: Path, expected: np.ndarray, suffix: str, tmp_path: Path
) -> None:
    out = tmp_path / f"samples{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    written(folder, out)
    table = pd.read_csv(out, float_precision="round_trip") if suffix == ".csv" else pd.read_parquet(out)
    assert list(table.columns) == ["time", "draw", *SPECIES]
    assert table["time"].tolist() == [time for time in (10.0, 15.0, 30.0) for _ in range(4)]
    assert table["draw"].tolist() == [0, 1, 2, 3] * 3
    assert table["B"].dtype == np.int64
    np.testing.assert_array_equal(table[list(SPECIES)].to_numpy(dtype=float), expected.reshape(12, 3))
    assert table.attrs == ({"time_unit": "day"} if suffix == ".parquet" else {})


def test_an_h5ad_has_times_and_draws_in_its_obs(folder: Path, expected: np.ndarray, tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    written(folder, tmp_path / "samples.h5ad")
    found = anndata.read_h5ad(tmp_path / "samples.h5ad")
    np.testing.assert_array_equal(found.X, expected.reshape(12, 3))
    assert found.obs["time"].tolist() == [time for time in (10.0, 15.0, 30.0) for _ in range(4)]
    assert found.obs["draw"].tolist() == [0, 1, 2, 3] * 3
    assert found.var_names.tolist() == list(SPECIES)
    assert found.uns["time_unit"] == "day"


def test_another_ending_is_refused_before_anything_is_drawn(folder: Path, tmp_path: Path) -> None:
    done = forecast(folder, tmp_path / "samples.xlsx")
    assert isinstance(done.exception, InputError)
    assert "ends in .xlsx; give a name that ends in .npy, .npz, .csv, .parquet or .h5ad" in str(done.exception)


def test_a_library_that_is_missing_is_named_with_how_to_install_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weightflow.cli.samples.find_spec", lambda name: None)
    for suffix, install in (
        (".parquet", "pip install 'weightflow[tables]'"),
        (".h5ad", "pip install 'weightflow[anndata]'"),
    ):
        done = forecast(folder, tmp_path / f"samples{suffix}")
        assert isinstance(done.exception, InputError)
        assert install in str(done.exception)


def test_what_cannot_be_written_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    data = small_counts()
    model_of(Snapshots(data.times, data.samples, ("A", "draw", "C"))).save(tmp_path / "model")
    out = tmp_path / "there" / "samples.csv"
    out.parent.mkdir()
    out.write_text("old")
    done = forecast(tmp_path / "model", out)
    assert "a species is called `draw`" in str(done.exception)
    assert out.read_text() == "old"
    assert [path.name for path in out.parent.iterdir()] == ["samples.csv"]
