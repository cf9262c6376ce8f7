"""A registered model behind HTTP, in an environment that holds what the model itself names and nothing else."""

import base64
import io
import os
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
from models import of_counts
from searches import free_port, wait_for
from test_tracking import finish_with_model, settings

from weightflow import WeightFlow

TIMES = [12.0, 15.0]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
]


@pytest.fixture(scope="module")
def model() -> WeightFlow:
    return of_counts()


@pytest.fixture(scope="module")
def registered(model: WeightFlow, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The store, and the address of the champion in it."""
    folder = tmp_path_factory.mktemp("store")
    model.save(folder / "best")
    config = settings(folder)
    finish_with_model(config, folder, folder / "best")
    return config.tracking_uri, "models:/weightflow-cells@champion"


@pytest.fixture(scope="module")
def commands(registered: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a new environment, into which only the model's own requirements were installed."""
    with pytest.MonkeyPatch.context() as patch:  # `set_tracking_uri` would stay in the environment of all later tests
        patch.setenv("MLFLOW_TRACKING_URI", registered[0])
        wanted = mlflow.pyfunc.get_model_dependencies(registered[1])
    folder = tmp_path_factory.mktemp("fresh") / "env"
    venv.create(folder, with_pip=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", wanted]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if "Temporary failure in name resolution" in done.stderr:
        pytest.skip("no package index can be reached, from which an environment would be made")
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.fixture(scope="module")
def address(registered: tuple[str, str], commands: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The served model, as the documentation starts it; no source of this package is on the way to it."""
    port, folder = free_port(), tmp_path_factory.mktemp("serving")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"MLFLOW_TRACKING_URI": registered[0], "PATH": f"{commands}:{os.environ['PATH']}"}
    command = [
        commands / "mlflow",
        "models",
        "serve",
        "-m",
        registered[1],
        "--port",
        str(port),
        "--env-manager",
        "local",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    base = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: server.poll() is not None or answers(base), 120)
        assert server.poll() is None, (folder / "log").read_text()
        yield base
    finally:
        os.killpg(server.pid, 9)
        server.wait()


def answers(base: str) -> bool:
    try:
        return requests.get(f"{base}/ping", timeout=5).ok
    except requests.RequestException:
        return False


def ask(base: str, table: dict[str, Any], **params: Any) -> requests.Response:
    frame = pd.DataFrame(table)
    asked = {"dataframe_split": {"columns": list(frame), "data": frame.to_numpy().tolist()}, "params": params}
    return requests.post(f"{base}/invocations", json=asked, timeout=60)


def test_a_fresh_environment_answers_as_the_model_does(address: str, commands: Path, model: WeightFlow):
    held = subprocess.run([commands / "python", "-I", "-c", "import weightflow"], capture_output=True, check=False)
    assert held.returncode != 0, "this package is in the environment, and the model would not need its own copy"
    rows = pd.DataFrame(ask(address, {"time": TIMES}, draws=20, seed=3).json()["predictions"])
    expected = model.sample(TIMES, 20, seed=3).numpy().reshape(40, 3)
    np.testing.assert_array_equal(rows[list(model.species)], expected)
    packed = ask(address, {"time": TIMES}, draws=20, seed=3, encoding="npy").json()["predictions"]
    array = np.load(io.BytesIO(base64.b64decode(packed["npy"])), allow_pickle=False)
    np.testing.assert_array_equal(array[:, 2:], expected)


def test_each_kind_of_question_has_its_answer(address: str, model: WeightFlow):
    place = dict(zip(model.species, ([1.0], [2.0], [0.0]), strict=True))
    (row,) = ask(address, {"time": [12.0], **place}, answer="log_density").json()["predictions"]
    assert row["log_density"] == pytest.approx(float(model.log_prob([1.0, 2.0, 0.0], 12.0)), rel=1e-6)
    (levels,) = ask(address, {"time": [12.0]}, answer="quantiles", levels=[0.5]).json()["predictions"]
    assert [levels[name] for name in model.species] == model.quantiles(12.0, 0.5, 1000).tolist()
    moments = pd.DataFrame(ask(address, {"time": [12.0]}, answer="moments").json()["predictions"])
    np.testing.assert_allclose(moments["mean"], model.mean_and_cov(12.0, 1000).mean, rtol=1e-6)
    marginals = pd.DataFrame(ask(address, {"time": [12.0]}, answer="marginals").json()["predictions"])
    np.testing.assert_allclose(marginals.groupby("species")["probability"].sum(), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("table", "params", "said"),
    [
        ({"time": [1.0]}, {}, "ask for times in that range"),
        ({"zeit": [12.0]}, {}, "time"),
        ({"time": [12.0]}, {"answer": "mean"}, "known are samples, log_density, marginals, quantiles, moments"),
    ],
)
def test_what_cannot_be_answered_is_the_callers_to_mend(
    address: str, table: dict[str, Any], params: dict[str, Any], said: str
):
    answer = ask(address, table, **params)
    assert answer.status_code == 400
    assert said in answer.json()["message"]
    assert "Traceback" not in answer.text
