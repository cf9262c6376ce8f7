"""Commands that are asked to stop answer at once, in whatever phase, and those whose readers leave go on."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml

from weightflow.stopping import listen, noting, stop_if_asked

TINY = {
    "anchors.base_steps": 2,
    "anchors.steps": 2,
    "teacher.steps": 2,
    "teacher.rounds": 1,
    "bridge.drift_steps": 2,
    "anchors.rounds": 1,
    "training.rounds": 1,
    "training.epochs": 2,
    "training.collocation_steps": 2,
    "training.rollout_steps": 1,
    "dynamics.hidden": 8,
    "dynamics.heads": 1,
}
ENDLESS = 10**7


def fitting(folder: Path, config: Mapping[str, float] = TINY, data: str = "counts.npy") -> list[str]:
    """Return the command of a fit."""
    rng = np.random.default_rng(0)
    if not (folder / data).exists():
        np.save(folder / data, rng.poisson(5.0, (30, 4, 2)))
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(config)))
    options = ["--data", data, "--every", "1", "--config", "config.yaml", "--out", "model"]
    return [sys.executable, "-m", "weightflow", "fit", *options]


def start(words: list[str], folder: Path, root: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.Popen(
        words, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize(
    ("phase", "steps", "number"),
    [
        pytest.param("base", "anchors.base_steps", signal.SIGINT, marks=pytest.mark.slow),
        ("teacher", "teacher.steps", signal.SIGTERM),
        pytest.param("fit", "training.collocation_steps", signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_fit_tells_its_phase_and_stops_in_it_at_once(
    root: Path, tmp_path: Path, phase: str, steps: str, number: signal.Signals, request: pytest.FixtureRequest
) -> None:
    process = start(fitting(tmp_path, {**TINY, steps: ENDLESS}), tmp_path, root)
    request.addfinalizer(process.kill)
    assert process.stderr is not None
    told = itertools.takewhile(lambda line: not line.startswith(f"{phase}: "), process.stderr)
    assert [line for line in told if "Error" in line] == []
    asked = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err.splitlines()[-1]) == ("", "stopping")
    assert "Traceback" not in err
    assert time.monotonic() - asked < 20  # on a busy machine; a second or two on an idle one
    assert not (tmp_path / "model").exists()


def test_what_is_stopped_before_any_command_runs_says_so_in_one_line(root: Path, tmp_path: Path) -> None:
    code = "from weightflow.stopping import listen; listen(); print('ready', flush=True); import time; time.sleep(99)"
    process = start([sys.executable, "-c", code], tmp_path, root)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "stopping\n"
    assert process.returncode == -signal.SIGINT  # which a shell shows as 130


def test_what_the_process_was_told_to_ignore_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        listen()
        with noting():
            signal.raise_signal(signal.SIGHUP)
            stop_if_asked()
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_where_requests_are_noted_the_first_one_is_heard_and_the_second_one_ends_what_is_done(
    capfd: pytest.CaptureFixture[str],
) -> None:
    # a test before this one may have run a command in this process, which answers signals in its own way
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with noting():
        signal.raise_signal(signal.SIGINT)
        assert capfd.readouterr().err == "stopping\n"
        with pytest.raises(KeyboardInterrupt):
            stop_if_asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with noting():
        stop_if_asked()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    "streams", ["both", *(pytest.param(name, marks=pytest.mark.slow) for name in ("stdout", "stderr"))]
)
def test_a_fit_whose_reader_leaves_ends_as_if_it_were_still_there(root: Path, tmp_path: Path, streams: str) -> None:
    process = start(fitting(tmp_path), tmp_path, root)
    for name in ("stdout", "stderr"):
        stream = getattr(process, name)
        if streams in (name, "both"):
            stream.close()
        else:
            assert "Error" not in stream.read()
    assert process.wait(60) == 0
    assert (tmp_path / "model" / "model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["-x.npy", "zellen-ÄÖü-细胞 (1).npy", "my cells (1).npy", ".hidden.npy", "n" * 200 + ".npy"]
)
def test_data_may_be_named_as_it_likes(root: Path, tmp_path: Path, name: str) -> None:
    process = start(fitting(tmp_path, data=name), tmp_path, root)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


def test_letters_that_a_terminal_cannot_show_end_no_command(root: Path, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("time,protéine φ\n" + "".join(f"{i // 9},{i}\n" for i in range(36)), "utf-8")
    words = [sys.executable, "-m", "weightflow", "inspect", "data.csv"]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "protéine \\u03c6" in done.stdout.decode("latin-1")
