"""What a search withstands: trials that go wrong, a full disk, a dead server, a lost node."""

import json
import re
import runpy
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import mlflow
import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from searches import (
    ENDED,
    PATIENCE,
    Process,
    check_results,
    check_runs,
    check_trials,
    checkpoints,
    command,
    furnish,
    lines,
    run_here,
    tracked,
    trials_of,
    wait_for,
    write_long_space,
)
from test_tracking import Server

from weightflow.search.study.reading import read_study
from weightflow.trials import TrialState

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1800)]

# Trials that go wrong

WRONG = """
parameters:
  dynamics.kind: {kind: choice, values: [ode, cde]}
  training.learning_rate: {kind: choice, values: [0.003, 1.0e+30]}
  training.collocation_steps: {kind: choice, values: [1, 5]}
  training.draws: {kind: choice, values: [128, 200000000, 1000000000000000]}
fixed:
  {anchors.base_steps: 40, anchors.steps: 30, anchors.rounds: 1, teacher.steps: 40, teacher.rounds: 1,
   dynamics.hidden: 8, dynamics.heads: 1, training.rounds: 1,
   dynamics.steps: 6, training.epochs: 3, training.rollout_steps: 2}
first_trials:
%s
"""
GOES_WRONG = "".join(
    f"  - {{dynamics.kind: ode, training.learning_rate: {rate}, training.collocation_steps: {steps}, "
    f"training.draws: {draws}}}\n"
    for rate, steps, draws in (
        ("1.0e+30", 5, 128),  # diverges
        ("1.0e+30", 1, 128),  # takes a finite step to weights that are not
        ("0.003", 5, 10**15),  # asks for what no machine has
        ("0.003", 5, 200_000_000),  # asks for what this one does not have left
        ("0.003", 1, 128),  # goes well
    )
)
GIB = 2**30


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("memory_to_itself")
def test_trials_that_go_wrong_are_tried_again_and_told_with_their_reasons(
    tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    folder = furnish(tmp_path)
    (folder / "wrong.yaml").write_text(WRONG % GOES_WRONG)
    memory = psutil.virtual_memory()
    # Room for the search itself (2 GiB) and a part of what the greedy trial asks for (12 GiB)
    limit = (memory.total - memory.available + 5 * GIB) / memory.total
    if limit > 0.95:
        pytest.skip("too little memory is free for a trial that takes 3 GiB")
    watched = {"RAY_memory_usage_threshold": f"{limit:.3f}", "RAY_memory_monitor_refresh_ms": "100"}
    words = ("--trials", "7", "--retries", "1", "--time-budget", "1h", "--scheduler", "none")
    asked = command(*words, "--name", "wrong", space="wrong.yaml")
    process = Process(folder, {**ray_environment, **watched}, asked)
    code, out, err = process.end()
    assert (code, err) == (0, ""), out + err
    trials = trials_of(folder, "wrong")
    check_trials(trials, 7)
    check_results(folder / "out" / "wrong")
    reasons = {trial.number: trial.reason for trial in trials if trial.state is TrialState.FAILED}
    patterns = {
        2: r"the loss is \S+ in epoch 1 \(collocation\) at learning rate",
        3: r"the held-out score is nan after epoch 1",
        4: r"ArrayMemoryError: Unable to allocate \d+\S* PiB",
        5: r"memory ran out, and Ray ended its process",
    }
    assert reasons.keys() == patterns.keys(), out
    for number, pattern in patterns.items():
        assert re.match(pattern, reasons[number]), reasons[number]
        assert "\n" not in reasons[number]
        assert trials[number].retries == 1
        told = rf"trial {number:02d} failed after \d/3 epochs and is tried again: {re.escape(reasons[number])}"
        assert len(re.findall(told, out)) == 1
    assert [trials[number].epochs for number in patterns] == [0, 0, 2, 2]  # the last two fail when rollouts begin
    written = [json.loads(line) for line in lines(folder / "out" / "wrong")]
    assert {entry["trial_id"] for entry in written if entry.get("state") == 3} == set(patterns)  # told to the sampler
    _, children, _ = tracked(folder, "wrong")
    assert {run.data.tags["reason"] for run in children if run.info.status == "FAILED"} == set(reasons.values())


# A disk that is full, or cannot be written


def fill(disk: Path) -> bool:
    """Let somebody else use all that is left."""
    with suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return True


@pytest.mark.slow
def test_a_full_disk_stops_a_search_that_goes_on_once_there_is_room(
    tmp_path: Path, ray_environment: dict[str, str], mount: Callable[[Path, str], Path]
) -> None:
    folder, disk = furnish(tmp_path), mount(tmp_path / "disk", "size=8m")
    out = disk / "full"

    def begin(how: str) -> Process:
        words = ("--trials", "4", "--time-budget", "1h", "--out", str(disk), how, "full")
        return Process(folder, ray_environment, command(*words, space="slow.yaml"))

    def end_on_full_disk(process: Process) -> None:
        # filled again and again: the search itself gives some back
        wait_for(lambda: fill(disk) and process.popen.poll() is not None, PATIENCE)
        code, out, err = process.end()
        assert code == 1, out + err
        assert re.fullmatch(
            r"error: `\S+/full` cannot be written any more \(No space left on device\); what was reported is kept\. "
            r"Make room and go on with `--resume full`\.\n",
            err,
        ), err

    process = begin("--name")
    process.until(lambda: len(lines(out)) >= 2)  # Ray has started, and anchors are to be fitted
    end_on_full_disk(process)
    assert not list((disk / ".cache").glob("*.safetensors"))
    (disk / "filler").unlink()

    process = begin("--resume")
    process.until(lambda: any(json.loads(line).get("state") == 1 for line in lines(out)[:-1]))
    end_on_full_disk(process)
    kept = {trial.number: trial for trial in list(read_study(out)[1]) if trial.state in ENDED}
    assert kept
    (disk / "filler").unlink()

    fill(mount(out / "checkpoints", "size=32k"))  # what trials leave in case they are cut off is no reason to stop
    code, said, err = begin("--resume").end()
    assert (code, err) == (0, ""), said + err
    warned = r"warning: no checkpoint of trial \d+ could be written \(No space left on device\); the search goes on"
    assert len(re.findall(warned, said)) == said.count("warning") == 1, said
    trials = list(read_study(out)[1])
    check_trials(trials, 4)
    assert {number: trials[number] for number in kept} == kept
    check_results(out)
    check_runs(trials, mlflow.MlflowClient(f"sqlite:///{folder / 'runs.db'}"), "tests", "full")


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path,
    ray_home: Path,
    mount: Callable[[Path, str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, full = furnish(tmp_path), mount(tmp_path / "full", "size=1m")
    (full / "none").mkdir()
    fill(full)
    for place, problem in (
        (folder / "counts.npy", "Not a directory"),
        (mount(tmp_path / "read", "ro"), "Read-only file system"),
        (full, "No space left on device"),
    ):
        assert run_here(monkeypatch, folder, command("--out", str(place), "--name", "none")) == 2
        assert capsys.readouterr().err == (
            f"error: `{place}/none` cannot be written ({problem}); choose a place that can with `--out`.\n"
        )
        assert not ray.is_initialized()


# An MLflow server that goes away


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server", port)
    server.start()
    yield server
    server.kill()


@pytest.mark.slow
def test_a_search_outlives_its_mlflow_server_and_goes_on_with_more_trials(
    tmp_path: Path,
    ray_environment: dict[str, str],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = furnish(tmp_path)
    out = folder / "out" / "served"
    write_long_space(folder)
    (folder / "served.yml").write_text(f"tracking_uri: {server.uri}\nexperiment: tests\n")

    def begin(trials: int, how: str) -> Process:
        how = f"--mlflow served.yml --register {how} served"
        words = f"--trials {trials} --time-budget 1h --scheduler none {how}".split()
        return Process(folder, ray_environment, command(*words, space="long.yaml"))

    def reported() -> int:
        return sum('"epoch ' in line for line in lines(out))

    # It is killed in the middle, and started again while the search goes on.
    process = begin(5, "--name")
    process.until(lambda: reported() >= 1)
    server.kill()
    process.until(lambda: reported() >= 4)
    server.start()
    assert process.popen.poll() is None, "the search has ended while the server was away"
    code, said, err = process.end()
    assert code == 0, said + err
    assert err.count("warning: MLflow") == err.count("\n") == 1, err
    assert "MLflow lacks" not in said
    before = trials_of(folder, "served")
    check_trials(before, 5)
    check_runs(before, mlflow.MlflowClient(server.uri), "tests", "served")

    # The search gets more trials; nobody else may work on it meanwhile; and now the server stays away.
    process = begin(7, "--resume")
    process.until(lambda: len(trials_of(folder, "served")) > 5, pause=0.2)
    words = ["--trials", "8", "--mlflow", "served.yml", "--resume", "served"]
    assert run_here(monkeypatch, folder, command(*words, space="slow.yaml")) == 2
    assert re.fullmatch("error: another process works on the search in .*\n", capsys.readouterr().err)
    assert not ray.is_initialized()
    server.kill()
    code, said, err = process.end()
    assert code == 0, said + err
    assert err.count("warning: MLflow") == err.count("\n") == 1, err
    assert "MLflow lacks a part (Connection refused)" in said
    after = trials_of(folder, "served")
    check_trials(after, 7)
    assert after[:5] == before
    check_results(out)

    # What it lacks is sent by the printed command, once and for all.
    (asked,) = re.findall(r"^  python -m (weightflow sync served.*)$", said, re.MULTILINE)
    monkeypatch.setattr(sys, "argv", shlex.split(asked))
    server.start()
    client = mlflow.MlflowClient(server.uri)
    sent = []
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("weightflow", run_name="__main__", alter_sys=True)
        assert ended.value.code == 0, capsys.readouterr().err
        assert "served is complete in MLflow" in capsys.readouterr().out
        check_runs(after, client, "tests", "served")
        sent.append([(v.run_id, v.version) for v in client.search_model_versions("name='weightflow-counts'")])
    assert sent[0] == sent[1]
    assert sent[0]


# A cluster that is gone


@pytest.mark.slow
def test_a_search_whose_ray_dies_says_so_in_a_line_and_goes_on_with_a_new_one(
    tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    folder = furnish(tmp_path)
    write_long_space(folder)

    def begin(how: str) -> Process:
        words = f"--trials 4 --time-budget 1h --scheduler none {how} lost".split()
        return Process(folder, ray_environment, command(*words, space="long.yaml"))

    process = begin("--name")
    process.until(lambda: checkpoints(folder / "out" / "lost"))
    (store,) = [one for one in psutil.Process(process.popen.pid).children(recursive=True) if one.name() == "gcs_server"]
    store.kill()  # as Linux does where memory runs out
    code, said, err = process.end()
    assert code == 1, said + err
    assert re.fullmatch(
        r"error: the head of the cluster, [\d.]+:\d+, has not answered for 40 s, and nothing goes on without it\. All "
        r"that was reported is kept: start the cluster again, and go on with `--resume lost`\.\n",
        err,
    ), err
    parent, _, _ = tracked(folder, "lost")
    assert parent.info.status == "FAILED"
    assert "has not answered for 40 s" in parent.data.tags["reason"]
    code, said, err = begin("--resume").end()
    assert (code, err) == (0, ""), said + err
    trials = trials_of(folder, "lost")
    check_trials(trials, 4)
    check_runs(trials, mlflow.MlflowClient(f"sqlite:///{folder / 'runs.db'}"), "tests", "lost")
    check_results(folder / "out" / "lost")


# A machine that leaves the cluster


@pytest.mark.slow
def test_a_trial_whose_node_leaves_goes_on_elsewhere(
    tmp_path: Path, start_cluster: Callable[..., Cluster], ray_environment: dict[str, str]
) -> None:
    folder = furnish(tmp_path)
    write_long_space(folder)
    cluster = start_cluster()
    leaves = cluster.add_node(num_cpus=1)
    words = f"--address {cluster.address} --cpus 2 --trials 5 --time-budget 1h --scheduler none --name nodes"
    process = Process(folder, ray_environment, command(*words.split(), space="long.yaml"))
    out = folder / "out" / "nodes"
    # Both nodes train once two trials have checkpoints, as none is pruned and their last epochs are far.
    process.until(lambda: len(seen := checkpoints(out)) == 2 and max(seen.values()) < 4)
    cluster.remove_node(leaves, allow_graceful=False)
    code, said, err = process.end()
    assert (code, err) == (0, ""), said + err
    trials = trials_of(folder, "nodes")
    check_trials(trials, 5)
    (moved,) = [trial for trial in trials if trial.retries]
    assert moved.retries == 1
    assert moved.state in {TrialState.FINISHED, TrialState.PRUNED}
    told = rf"trial {moved.number:02d} failed after [0-5]/6 epochs and is tried again: [^\n]* left the cluster"
    assert re.search(told, said), said
    check_results(out)


@pytest.mark.slow
def test_a_node_without_the_folder_is_used_and_a_trial_that_it_loses_goes_on_from_its_checkpoint(
    tmp_path: Path,
    start_cluster: Callable[..., Cluster],
    ray_environment: dict[str, str],
    node_apart: Callable[..., "subprocess.Popen[bytes]"],
) -> None:
    folder = furnish(tmp_path)
    write_long_space(folder)
    (folder / "out").mkdir()
    cluster = start_cluster()
    node = node_apart(str(cluster.address), "mount -t tmpfs tmpfs", folder / "out")
    words = f"--address {cluster.address} --cpus 3 --trials 6 --time-budget 1h --scheduler none --name apart"
    process = Process(folder, ray_environment, command(*words.split(), space="long.yaml"))
    out = folder / "out" / "apart"
    process.until(lambda: len(seen := checkpoints(out)) == 3 and min(seen.values()) > 1)  # one of each CPU
    there = [one for one in psutil.Process(node.pid).children(recursive=True) if "ImplicitFu" in one.name()]
    assert len(there) == 2
    (root,) = {Path(f"/proc/{one.pid}/root{folder / 'out'}") for one in there[:1]}
    assert list(root.iterdir()) == []  # the node has another folder of that name, and leaves nothing in it
    there[0].kill()
    code, said, err = process.end()
    assert (code, err) == (0, ""), said + err
    trials = trials_of(folder, "apart")
    check_trials(trials, 6)
    (moved,) = [trial for trial in trials if trial.retries]
    assert re.search(rf"trial {moved.number:02d} failed after [1-5]/6 epochs and is tried again", said), said
    assert [entry["epoch"] for entry in moved.history] == [1, 2, 3, 4, 5, 6]
    check_results(out)
