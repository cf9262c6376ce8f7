"""How many requests a second a served model answers, and how long answers for many times take in each encoding.

python benchmarks/serving.py                   # two minutes: a fit, then MLflow's own server with one worker
python benchmarks/serving.py --requests 50     # a first look

The server is started as docs/mlflow.md says, and asked over HTTP by one client and by two at once.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import common
import numpy as np
import requests
import typer
from mlflow import MlflowClient

import weightflow
from weightflow.cli.running import run
from weightflow.errors import InputError
from weightflow.systems import load_dataset
from weightflow.tracking.logged_model import log_model

START_S = 120
DRAWS, TIMES = 1000, 101
ENCODINGS = ("rows", "columns", "npy")
ASKED: dict[str, dict[str, Any]] = {
    "1,000 draws at one time, rows": {"draws": DRAWS},
    "1,000 draws at one time, npy": {"draws": DRAWS, "encoding": "npy"},
    "quantiles at one time": {"answer": "quantiles"},
    "log-density of one place": {"answer": "log_density"},
}

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def main(
    system: Annotated[str, typer.Option(help="Built-in system that the model is fitted to.")] = "epidemic",
    count: Annotated[int, typer.Option("--requests", help="Requests in each measurement.", min=10)] = 200,
    out: common.Out = common.RESULTS,
) -> None:
    """Fit, serve, ask, and write the tables."""
    dataset = load_dataset(system, 0)
    snapshots = dataset.snapshots.subset(dataset.seen)
    with tempfile.TemporaryDirectory() as folder:
        model = weightflow.fit(snapshots)
        model.save(Path(folder, "model"))
        place = dict(zip(model.species, snapshots.samples[-1][0].tolist(), strict=True))
        with _served(Path(folder)) as address:
            rates = [[name, *_rates(address, model.span[1], place, params, count)] for name, params in ASKED.items()]
            many = [_many(address, model.span, encoding) for encoding in ENCODINGS]
    text = (
        f"{common.head('A served model')}\n`mlflow models serve --env-manager local`, one worker, a model of "
        f"{len(model.species)} species ({system}); the clients share the machine with it. {count} requests each, after "
        "ten that are not counted.\n\n"
        + common.table(["asked", "requests a second, one client", "two at once", "median ms, one client"], rates)
        + f"\n{DRAWS:,} draws at {TIMES} times in one request, median of five:\n\n"
        + common.table(["encoding", "seconds", "MB sent"], many)
    )
    (out / "serving.md").write_text(text)
    print(text)


@contextmanager
def _served(folder: Path) -> Generator[str]:
    """Log the model, serve it, and yield the address to ask.

    Raises:
        InputError: it does not come up.
    """
    store = f"sqlite:///{folder}/mlflow.db"
    client = MlflowClient(store)
    experiment = client.create_experiment("serving", (folder / "kept").as_uri())
    logged = log_model(client, client.create_run(experiment).info.run_id, folder / "model", "model", {})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["-m", f"models:/{logged.model_id}", "--port", str(port), "--env-manager", "local"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", *command],
            env={
                **os.environ,
                "MLFLOW_TRACKING_URI": store,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(f"http://127.0.0.1:{port}/ping", folder / "log")
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(address: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.RequestException:
            pass  # it does not listen before it has imported torch and MLflow
        time.sleep(0.5)  # it has no other sign that it is ready: to ask without a pause would slow it down
    raise InputError(f"the model was not served within {START_S} s; its server said:\n{log.read_text()}")


def _rates(address: str, when: float, place: dict[str, float], params: dict[str, Any], count: int) -> list[str]:
    row = {"time": when, **(place if params.get("answer") == "log_density" else {})}
    asked = {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}, "params": params}

    def seconds(_: int) -> float:
        began = time.perf_counter()
        requests.post(address, json=asked, timeout=60).raise_for_status()
        return time.perf_counter() - began

    for i in range(10):
        seconds(i)
    rates: list[str] = []
    took: list[list[float]] = []
    for clients in (1, 2):
        began = time.perf_counter()
        with ThreadPoolExecutor(clients) as threads:
            took.append(list(threads.map(seconds, range(count))))
        rates.append(f"{count / (time.perf_counter() - began):.0f}")
    return [*rates, f"{1000 * np.median(took[0]):.0f}"]


def _many(address: str, span: tuple[float, float], encoding: str) -> list[str]:
    times = np.linspace(*span, TIMES)
    asked = {"dataframe_split": {"columns": ["time"], "data": times[:, None].tolist()}}
    asked["params"] = {"draws": DRAWS, "encoding": encoding}
    took, size = [], 0
    for _ in range(5):
        began = time.perf_counter()
        answer = requests.post(address, json=asked, timeout=300)
        answer.raise_for_status()
        took.append(time.perf_counter() - began)
        size = len(answer.content)
    return [encoding, f"{np.median(took):.2f}", f"{size / 1e6:.1f}"]


if __name__ == "__main__":
    run(app)
