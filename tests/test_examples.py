"""The notebooks in `examples` run from a fresh folder to their end, and say what they should."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(ROOT.glob("examples/*.ipynb"))


def runs(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that executes a notebook: the client's own threads and sockets are not ours to warn of."""
    for mark in (pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore")):
        test = mark(test)
    return test


def run(notebook: Path, folder: Path) -> str:
    """Execute a notebook in a folder; returns the text of all outputs."""
    page: Any = nbformat.read(notebook, as_version=4)
    NotebookClient(page, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in page.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)


def figures(pattern: str, text: str) -> list[float]:
    found = re.search(pattern, text)
    assert found, text
    return [float(one) for one in found.groups()]


@pytest.fixture
def said(request: pytest.FixtureRequest, tmp_path: Path, ray_home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return run(ROOT / "examples" / f"{request.param}.ipynb", tmp_path)


@runs
@pytest.mark.parametrize("said", ["single_cells"], indirect=True)
def test_left_out_cells_are_predicted_better_than_by_mixing_days(said: str):
    (model,) = figures(r"model\s+([\d.]+)", said)
    (mixture,) = figures(r"mixture of days 1 and 3\s+([\d.]+)", said)
    assert model < mixture
    assert "3.5    200" in said


@runs
@pytest.mark.parametrize("said", ["mrna_counts"], indirect=True)
def test_more_nuclear_rna_goes_with_more_cytoplasmic_rna(said: str):
    few, many = figures(r"at 50 min: ([\d.]+) given 2 in the nucleus, ([\d.]+) given 20", said)
    assert few < many
    table = re.findall(r"^\d\s+(\d+)\.0\s+(-[\d.]+)\s+(-[\d.]+)", said, re.MULTILINE)
    later = [float(model) > float(simple) for minutes, model, simple in table if float(minutes) >= 30]
    assert later == [True] * 5  # the correlation is worth more than knowing the very cells


@runs
@pytest.mark.parametrize("said", ["epidemic"], indirect=True)
def test_an_epidemic_that_ends_is_forecast(said: str):
    table = re.findall(r"^\d\s+[45][05]\.0\s+([\d.]+)\s+([\d.]+)", said, re.MULTILINE)
    assert len(table) == 3
    assert all(float(model) < float(persistence) for model, persistence in table)
    model, truth = figures(r"t = 50: ([\d.]+)% says the model, ([\d.]+)% of fresh", said)
    assert abs(model - truth) < 3


@runs
@pytest.mark.parametrize("said", ["ecology"], indirect=True)
def test_cages_are_read_as_units_and_searched(said: str):
    assert "salt = 0.2" in said
    model, gone, cages = figures(r"the model says (\d+)%; (\d+) of (\d+) cages", said)
    assert abs(model / 100 - gone / cages) < 0.2


def test_every_notebook_is_small_and_without_outputs():
    assert len(NOTEBOOKS) == 4
    for path in NOTEBOOKS:
        page: Any = nbformat.read(path, as_version=4)
        assert path.stat().st_size < 20_000
        assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in page.cells)
