"""What a search withstands: Ctrl-C, after which it can go on, and the loss of a worker or its machine."""

import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from io import StringIO
from pathlib import Path
from threading import Thread

import numpy as np
import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from rich.console import Console
from searches import Process, check_results, command, furnish, lines, run_here, tracked, tune_here, wait_for

from weightflow import Snapshots
from weightflow.cache import ArrayCache
from weightflow.experiment import ExperimentConfig
from weightflow.search import request
from weightflow.search.cluster.resources import Resources
from weightflow.search.cluster.workers import WorkerPool
from weightflow.search.folder import STUDY
from weightflow.search.search import Search
from weightflow.search.study.reading import read_study
from weightflow.trials import TrialRecord, TrialState

pytestmark = [pytest.mark.ray, pytest.mark.timeout(450)]


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_a_resumed_search_keeps_what_is_finished(
    tmp_path: Path,
    ray_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    furnish(tmp_path)
    process = subprocess.Popen(
        command("--trials", "50", "--cpus", "2", "--name", "stopped", space="slow.yaml"),
        cwd=tmp_path,
        env={**ray_environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if re.match(r"trial \d+ (finished|pruned)", line):
            break
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=120)
    assert process.returncode == 130, seen + rest + errors
    assert "anchors of 3 snapshots on 2 worker(s)" in seen
    assert re.search(r"Stopped\. [01] finished trial\(s\) are kept", rest)
    assert "Traceback" not in errors
    folder = tmp_path / "out" / "stopped"
    assert not (folder / "best").exists()
    parent, children, _ = tracked(tmp_path, "stopped")
    states = [run.info.status for run in (parent, *children)]
    assert "RUNNING" not in states
    assert "KILLED" in states

    before = ended_trials(folder)
    assert before
    words = command("--trials", "3", "--resume", "stopped", "--seed", "1", space="slow.yaml")
    assert run_here(monkeypatch, tmp_path, words) == 2
    assert "is another search: seed was 0 and is 1" in capsys.readouterr().err
    resumed = tune_here(tmp_path, ray_environment, "--trials", "3", "--resume", "stopped", space="slow.yaml")
    assert resumed.returncode == 0, resumed.stderr
    after = ended_trials(folder)
    assert len(after) == 3
    assert {number: after[number] for number in before} == before
    assert (folder / "best" / "config.json").exists()
    assert tracked(tmp_path, "stopped")[0].info.status == "FINISHED"


@pytest.mark.parametrize(
    ("sign", "space", "kept"),
    [
        pytest.param("preparing will take about", "long.yaml", 0, marks=pytest.mark.slow),
        pytest.param("fitting it again", "space.yaml", 1, marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_outside_of_trials_is_answered_as_cleanly(
    tmp_path: Path, ray_environment: dict[str, str], sign: str, space: str, kept: int
) -> None:
    furnish(tmp_path)
    text = (tmp_path / "space.yaml").read_text()
    (tmp_path / "long.yaml").write_text(text.replace("anchors.base_steps: 40", f"anchors.base_steps: {10**7}"))
    process = Process(tmp_path, ray_environment, command("--trials", "1", "--name", "early", space=space))
    assert process.popen.stdout is not None
    before = next(line for line in process.popen.stdout if sign in line)
    process.popen.send_signal(signal.SIGINT)
    code, out, err = process.end()
    assert code == 130, before + out + err
    assert err.startswith("stopping\n")
    assert f"Stopped. {kept} finished trial(s) are kept" in out
    assert "Traceback" not in out + err
    folder = tmp_path / "out" / "early"
    assert not (folder / "conclusion.json").exists()
    assert tracked(tmp_path, "early")[0].info.status == "KILLED"


def test_a_second_ctrl_c_too_leads_to_how_the_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked_twice(search: Search, *_: object) -> None:
        search.open_study().close()
        raise KeyboardInterrupt

    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(request, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(request, "run_search", asked_twice)
    told = Console(file=StringIO(), width=1000)
    with pytest.raises(KeyboardInterrupt):
        request.tune("counts.npy", space="space.yaml", name="twice", mlflow="mlflow.yml", console=told)
    assert isinstance(told.file, StringIO)
    last = told.file.getvalue().splitlines()[-1]
    assert (
        last == f"Stopped. 0 finished trial(s) are kept in {tmp_path / 'runs' / 'twice'}. Go on with `--resume twice`."
    )


@pytest.mark.slow
@pytest.mark.parametrize("begun", ["best/config.json", "scores.json"])  # just before it scores, and reports
def test_ctrl_c_at_the_very_end_is_answered_at_once_and_what_is_lacking_is_made_by_resuming(
    tmp_path: Path, ray_environment: dict[str, str], begun: str
) -> None:
    furnish(tmp_path)
    words = ("--trials", "1", "--name", "late")
    process = Process(tmp_path, ray_environment, command(*words))
    folder = tmp_path / "out" / "late"
    process.until((folder / begun).is_file)
    asked = time.monotonic()
    process.popen.send_signal(signal.SIGINT)
    code, out, err = process.end()
    assert time.monotonic() - asked < 20  # on a busy machine; a second or two on an idle one
    assert code == 130, out + err
    assert err.startswith("stopping\n")
    assert "Stopped. 1 finished trial(s) are kept" in out
    assert "Traceback" not in out + err
    assert not (folder / "conclusion.json").exists()
    assert tracked(tmp_path, "late")[0].info.status == "KILLED"
    resumed = tune_here(tmp_path, ray_environment, "--trials", "1", "--resume", "late")
    assert resumed.returncode == 0, resumed.stderr
    check_results(folder)
    assert tracked(tmp_path, "late")[0].info.status == "FINISHED"


@pytest.mark.slow
def test_a_terminal_that_is_closed_stops_a_search_as_ctrl_c_does(
    tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    furnish(tmp_path)
    ours, its = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *command("--trials", "50", "--name", "closed", space="slow.yaml")],
        cwd=tmp_path, env=ray_environment, stdin=its, stdout=its, stderr=its,
    )  # fmt: skip
    os.close(its)
    reader = Thread(
        target=drain, args=(ours,), daemon=True
    )  # or else the terminal is full one day, and the search waits
    reader.start()
    folder = tmp_path / "out" / "closed"
    try:
        wait_for(lambda: (folder / STUDY).exists() and any("epoch 1" in line for line in lines(folder)), 400)
        os.close(ours)
        assert process.wait(120) == 130
    finally:
        process.kill()
    parent, children, _ = tracked(tmp_path, "closed")
    assert parent.info.status == "KILLED"
    assert "RUNNING" not in {run.info.status for run in children}
    assert read_study(folder)[1]


def drain(terminal: int) -> None:
    with suppress(OSError):
        while os.read(terminal, 4096):
            pass


@pytest.mark.slow
def test_a_search_in_a_pipe_that_closes_on_oddly_named_data_with_too_small_a_budget_comes_to_its_end(
    tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    furnish(tmp_path)
    (tmp_path / "counts.npy").rename(tmp_path / "my cells (1).npy")
    words = shlex.join(command("--trials", "9", "--time-budget", "1s", "--cpus", "2", data="my cells (1).npy"))
    piped = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {words} | grep -m 1 'the search is named'"],
        cwd=tmp_path, env=ray_environment, capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert (piped.returncode, piped.stderr) == (0, "")
    assert piped.stdout == "the search is named `my-cells-1` after `my cells (1)`; --name gives it another name\n"
    (folder,) = (tmp_path / "out").glob("my-cells-1-*")
    check_results(folder)
    assert [trial.state for trial in read_study(folder)[1]] == [TrialState.FINISHED]


@pytest.mark.slow
def test_a_search_from_a_checkout_whose_path_has_a_space_comes_to_its_end(
    tmp_path: Path, root: Path, ray_environment: dict[str, str]
) -> None:
    home = tmp_path / "My Projects"
    home.mkdir()
    (home / "environment").symlink_to(Path(sys.executable).parent.parent, target_is_directory=True)
    (home / "weightflow").symlink_to(root, target_is_directory=True)
    furnish(home)
    _, _, *words = command("--trials", "2", "--name", "spaced")
    spaced = [str(home / "environment" / "bin" / Path(sys.executable).name), str(home / "weightflow/launch/tune.py")]
    code, out, err = Process(home, ray_environment, [*spaced, *words]).end()
    assert code == 0, out + err
    check_results(home / "out" / "spaced")
    next_command = out.partition("\nNext:\n")[2].splitlines()[0]
    assert "--model out/spaced/best" in next_command


@pytest.mark.slow
def test_a_search_is_over_by_its_deadline_with_model_scores_and_report(
    tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    furnish(tmp_path)
    given, began = 300.0, time.monotonic()
    words = command("--trials", "5000", "--deadline", "5m", "--repeats", "3", "--cpus", "2", "--name", "dead")
    code, out, err = Process(tmp_path, ray_environment, words).end()
    took = time.monotonic() - began
    assert code == 0, out + err
    assert given / 4 < took < given
    assert re.search(r"no further trial, because the deadline of 5 minutes leaves [^,]+, of which the final fit", out)
    check_results(tmp_path / "out" / "dead")


@pytest.mark.slow
def test_trials_that_take_longer_than_they_may_are_ended_in_the_middle_of_an_epoch(
    tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    furnish(tmp_path)
    endless = (tmp_path / "space.yaml").read_text().replace("collocation_steps: 5", f"collocation_steps: {10**7}")
    (tmp_path / "endless.yaml").write_text(endless)
    words = command("--trials", "2", "--trial-time", "5s", "--name", "limited", space="endless.yaml")
    code, out, err = Process(tmp_path, ray_environment, words).end()
    assert code == 1, out + err
    assert "no trial of 2 finished, 2 of them ended early (over the limit of 5 s that `--trial-time` sets)" in err
    trials = read_study(tmp_path / "out" / "limited")[1]
    assert [(trial.state, trial.retries) for trial in trials] == [(TrialState.PRUNED, 0)] * 2
    parent, children, _ = tracked(tmp_path, "limited")
    assert (parent.info.status, "RUNNING" in {run.info.status for run in children}) == ("FAILED", False)


def ended_trials(folder: Path) -> dict[int, TrialRecord]:
    return {trial.number: trial for trial in read_study(folder)[1] if trial.state is not TrialState.STOPPED}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["worker", "machine"])
def test_snapshots_whose_anchor_worker_or_machine_is_lost_are_fitted_again(
    what: str, start_cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    times = np.arange(4.0)
    snapshots = Snapshots(times, tuple(rng.poisson(3 + t, (200, 2)).astype(float) for t in times))
    config = ExperimentConfig.parse(
        {"anchors": {"base_steps": 400, "steps": 1500, "rounds": 1}, "teacher": {"steps": 20, "rounds": 1}}
    )
    cluster = start_cluster()
    leaves = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)

    def rob() -> None:
        """Wait until both workers fit anchors, and take one of them away."""
        below = psutil.Process()
        wait_for(lambda: len(busy(below)) == 2, 300, 0.02)
        if what == "machine":
            cluster.remove_node(leaves, allow_graceful=False)
        else:
            busy(below)[0].kill()

    said: list[str] = []
    with (
        ThreadPoolExecutor() as threads,
        WorkerPool(Resources(cpus=2, gpus=0), ArrayCache(tmp_path), said.append) as pool,
    ):
        robbed = threads.submit(rob)
        (prepared,) = pool.prepare([snapshots], config, 0)
        robbed.result()
        (again,) = pool.prepare([snapshots], config, 0)
    np.testing.assert_array_equal(prepared.anchored.times, times)
    assert np.isfinite(prepared.anchored.tokens).all()
    np.testing.assert_array_equal(again.anchored.tokens, prepared.anchored.tokens)
    assert [line.split(" in ")[0] for line in said[3:]] == [
        "base and bridge from the cache",
        "anchors of 4 snapshots from the cache",
        "teacher path from the cache",
    ]


def busy(root: psutil.Process) -> list[psutil.Process]:
    """Return the processes below `root` that fit anchors."""
    return [child for child in root.children(recursive=True) if "AnchorWorker.anchors" in name_of(child)]


def name_of(process: psutil.Process) -> str:
    """Return what a process calls itself; nothing if it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
