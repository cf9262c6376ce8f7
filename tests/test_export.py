"""The exported model, run where neither torch nor this package can be imported, says what the model says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from models import mixed, model_of, numbers, small_counts
from typer.testing import CliRunner

from weightflow import Snapshots, WeightFlow
from weightflow.cli import app
from weightflow.errors import InputError
from weightflow.model import export_model, reader
from weightflow.torch_rng import uniforms

TIMES = [10.0, 14.5, 21.0]
FORBIDDEN = ("torch", "weightflow", "scipy", "pandas", "pydantic", "jaxtyping")
SCRIPT = f"""
import sys
sys.modules.update(dict.fromkeys({FORBIDDEN!r}))  # importing one of them is an error
sys.path.insert(0, sys.argv[1])
import numpy as np
from reader import Model
model = Model(sys.argv[1])
with np.load(sys.argv[2]) as given:
    drawn = model.sample_from(model.times, given["uniforms"])
    log_prob = model.log_prob(given["x"], model.times)
np.savez(sys.argv[3], drawn=drawn, log_prob=log_prob, own=model.sample(model.times, 5, seed=1), times=model.times)
"""


def large() -> Snapshots:
    """Counts up to a million and a few, constant species of both kinds, and values far from zero."""
    rng = np.random.default_rng(0)
    columns = [
        rng.poisson(1e6, 90),
        rng.poisson(2.0, 90),
        rng.normal(1e6, 0.01, 90),
        np.full(90, 3.0),
        np.full(90, 0.1),
    ]
    cloud = np.stack(columns, 1)
    return Snapshots(np.array([10.0, 20.0]), (cloud, cloud))


MODELS = {
    "softmax": (small_counts, {"head": "softmax"}),
    "logistic": (small_counts, {"head": "logistic"}),
    "gaussian": (numbers, {"components": 3}),
    "mixed and constant": (mixed, {}),
    "large": (large, {}),
    "no places, another order": (large, {"places": False, "order": "random"}),
    "transformer": (large, {"kind": "transformer", "hidden": 8, "heads": 2, "depth": 2}),
}


def read_apart(model: WeightFlow, u: np.ndarray, x: np.ndarray, folder: Path) -> dict[str, np.ndarray]:
    """What the reader gives in a process of its own."""
    export_model(model, TIMES, str(folder))
    np.savez(folder / "given.npz", uniforms=u, x=x)
    words = [sys.executable, "-I", "-c", SCRIPT, str(folder), str(folder / "given.npz"), str(folder / "found.npz")]
    subprocess.run(words, check=True, capture_output=True, text=True)
    with np.load(folder / "found.npz") as found:
        return dict(found)


@pytest.mark.parametrize("name", MODELS)
def test_the_reader_draws_the_same_samples_and_says_the_same_densities(name: str, tmp_path: Path) -> None:
    data, options = MODELS[name]
    model = model_of(data(), scale=3.0, **options)
    dim = len(model.species)
    u = torch.stack([uniforms(2000, dim, 0, "test", i) for i in range(3)])
    drawn = model.backbone.sample(model.weights(TIMES).double(), u).numpy()
    x = drawn[:, :60].copy()
    x[:, :20] += np.random.default_rng(0).integers(-2, 3, (3, 20, dim))  # among them what cannot be, and constants left
    found = read_apart(model, u.numpy(), x, tmp_path)
    counts = [kind == "counts" for kind in model.kinds]
    np.testing.assert_array_equal(found["drawn"][..., counts], drawn[..., counts])
    np.testing.assert_allclose(found["drawn"], drawn, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["log_prob"], model.log_prob(x, TIMES), rtol=1e-6, atol=1e-6)
    assert found["times"].tolist() == TIMES
    assert found["own"].shape == (3, 5, dim)


def test_at_a_bare_number_the_reader_leaves_out_the_axis_of_times_as_the_model_does(tmp_path: Path) -> None:
    export_model(model_of(mixed()), TIMES, tmp_path)
    given = reader.Model(tmp_path)
    several = given.sample(TIMES[:1], 7, seed=3)
    alone = given.sample(TIMES[0], 7, seed=3)
    np.testing.assert_array_equal(alone, several[0])
    np.testing.assert_array_equal(given.log_prob(alone, TIMES[0]), given.log_prob(several, TIMES[:1])[0])


def test_the_reader_is_short_and_imports_nothing_but_numpy_and_the_standard_library() -> None:
    text = Path(reader.__file__).read_text()
    assert len(text.splitlines()) < 200
    lines = [line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert set(lines) - set(sys.stdlib_module_names) == {"numpy"}


def test_the_reader_refuses_times_that_were_not_exported(tmp_path: Path) -> None:
    export_model(model_of(mixed()), TIMES, tmp_path)
    with pytest.raises(ValueError, match=r"no weights for t = 12; the exported times are \[10.0, 14.5, 21.0\]"):
        reader.Model(tmp_path).sample(12.0, 3)


def test_the_command_exports_a_model_and_says_how_it_is_read(tmp_path: Path) -> None:
    model_of(mixed()).save(tmp_path / "model")
    words = ["export", "--model", str(tmp_path / "model"), "--times", "10:20:5", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "weights.npz with 3 times from 10 to 20 day" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["reader.py", "weights.npz"]


def test_times_without_support_and_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ask for times in that range"):
        export_model(model_of(mixed()), [5.0], tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        export_model(model_of(mixed()), TIMES, tmp_path / "file" / "out")
