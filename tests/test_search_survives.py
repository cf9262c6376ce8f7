"""What a search withstands: killed processes, trials that go wrong, a full disk, a dead server, a lost node."""

import json
import random
import re
import runpy
import shlex
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import mlflow
import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from safetensors import SafetensorError
from searches import SPACE, command, furnish, run_here, tracked, trials_of
from test_tracking import Server, wait_for

from weightflow.files import read_arrays
from weightflow.search.book import FILE, read_book
from weightflow.trials import TrialRecord, TrialState

T = TypeVar("T")
pytestmark = [pytest.mark.ray, pytest.mark.timeout(1800)]
PATIENCE = 400  # seconds; what is waited for comes within 30 on an idle machine
PARENT = "mlflow.parentRunId"
ENDED = {TrialState.FINISHED, TrialState.PRUNED, TrialState.FAILED}


@dataclass
class Process:
    """A search as a process of its own, which can be waited for, killed, and asked what it said."""

    folder: Path
    environment: dict[str, str]
    words: list[str]
    popen: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.popen = subprocess.Popen(
            self.words,
            cwd=self.folder,
            env={**self.environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, found: Callable[[], T], pause: float = 0.005) -> T:
        """Return what is found once it is there: a search that ends or hangs before that fails the test."""
        what: list[T] = []

        def there_or_ended() -> bool:
            ended = self.popen.poll() is not None  # asked first: what it left is found all the same
            what[:] = [found()]
            return bool(what[0]) or ended

        wait_for(there_or_ended, PATIENCE, pause)
        if not what[0]:
            out, err = self.popen.communicate()
            pytest.fail(f"the search ended with {self.popen.returncode} too early:\n{out}{err}")
        return what[0]

    def kill(self) -> None:
        """Kill it at once; its workers must not outlive it, for they could write into what the next one reads."""
        workers = self.workers("")
        self.popen.kill()
        self.popen.communicate()
        wait_for(lambda: not any(runs(worker) for worker in workers), PATIENCE)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; return exit code, stdout and stderr."""
        try:
            out, err = self.popen.communicate(timeout=2 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return self.popen.returncode, out, err

    def workers(self, what: str) -> list[psutil.Process]:
        """Return Ray's workers that do `what`."""
        below = psutil.Process(self.popen.pid).children(recursive=True)
        return [process for process in below if runs(process) and process.name().startswith(f"ray::{what}")]


def runs(process: psutil.Process) -> bool:
    """Whether a process is more than an entry in the system's table."""
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE and "Agent" not in process.name()
    return False


def write_long_space(folder: Path) -> None:
    """Make trials of six epochs, of which the first four are collocation: none is pruned before them."""
    long = (SPACE % ("0.003, 0.01", 100, "0.01")).replace("training.epochs: 3", "training.epochs: 6")
    (folder / "long.yaml").write_text(long)


def lines(folder: Path) -> list[str]:
    """Return what a search has written into its book."""
    file = folder / FILE
    return file.read_text().splitlines() if file.exists() else []


def checkpoints(folder: Path) -> dict[int, int]:
    """Return the epoch of each trial's checkpoint."""
    epochs: dict[int, int] = {}
    for file in (folder / "checkpoints").glob("[0-9]*.safetensors"):
        try:
            epochs[int(file.stem)] = read_arrays(file)[1]["reported"]["epoch"]
        except (FileNotFoundError, SafetensorError):  # its trial has just ended
            continue
    return epochs


def check_trials(trials: list[TrialRecord], expected: int) -> None:
    """Each trial is there once and has ended, with each of its epochs once."""
    assert [trial.number for trial in trials] == list(range(expected))
    assert {trial.state for trial in trials} <= ENDED
    for trial in trials:
        assert [entry["epoch"] for entry in trial.history] == list(range(1, trial.epochs + 1))


def check_runs(trials: list[TrialRecord], client: mlflow.MlflowClient, experiment: str, name: str) -> None:
    """MLflow has one run for the search, and one for each trial with each epoch once; none still runs."""
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id])
    runs = [run for run in runs if run.data.tags["search"] == name]
    (parent,) = [run for run in runs if PARENT not in run.data.tags]
    children = [run for run in runs if run.data.tags.get(PARENT) == parent.info.run_id]
    assert len(runs) == 1 + len(children)
    assert Counter(int(run.data.tags["trial"]) for run in children) == Counter(trial.number for trial in trials)
    assert parent.info.status == "FINISHED"
    for run in children:
        trial = trials[int(run.data.tags["trial"])]
        assert run.data.tags["state"] == trial.state.value
        assert run.info.status == ("FAILED" if trial.state is TrialState.FAILED else "FINISHED")
        history = client.get_metric_history(run.info.run_id, "score")
        assert [point.step for point in history] == list(range(1, trial.epochs + 1))


def check_results(folder: Path) -> None:
    """What a search leaves is there, and whole."""
    assert (folder / "best" / "config.json").is_file()
    assert json.loads((folder / "scores.json").read_text())["methods"]["model"]
    assert "</html>" in (folder / "report.html").read_text()


# A process that is killed again and again

TRIALS = 9
GROWTH = 18  # lines of the book in one life: a trial writes at least as many, so that not all end in the first 7 lives
LIVES = ("folder", "cache", *["book"] * 7, "conclusion")


@dataclass
class Story:
    """What was seen of a search that was killed ten times.

    Attributes:
        folder: where it was started.
        epochs: of each trial's checkpoint, in the order in which they were seen, each with the life it was seen in.
        robbed: the trial whose worker was killed.
        errors: what the processes that were not killed said on stderr.
    """

    folder: Path
    epochs: dict[int, list[tuple[int, int]]]
    robbed: int
    errors: str


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, ray_environment: dict[str, str]) -> Story:
    folder = furnish(tmp_path_factory.mktemp("killed"))
    write_long_space(folder)
    out = folder / "out" / "killed"
    rng = random.Random(0)
    epochs: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def begin(cpus: int) -> Process:
        how = "--resume" if (out / FILE).is_file() else "--name"
        words = ("--trials", str(TRIALS), "--cpus", str(cpus), "--time-budget", "2h", how, "killed")
        return Process(folder, ray_environment, command(*words, space="long.yaml"))

    def look(life: int) -> dict[int, int]:
        seen = checkpoints(out)
        for number, epoch in seen.items():
            if epochs[number][-1:] != [(life, epoch)]:
                epochs[number].append((life, epoch))
        return seen

    def live(life: int, moment: str) -> int | None:
        """Begin, and be killed at a moment; return the number of the trial whose worker was killed before."""
        process = begin(1 if moment == "conclusion" else 2)
        trial: int | None = None
        if moment == "folder":
            process.until(out.is_dir)
        elif moment == "cache":
            process.until(lambda: list((folder / "out" / ".cache").glob("*.safetensors")))
        elif moment == "book":
            grown = len(lines(out)) + rng.randint(1, GROWTH)
            process.until(lambda: look(life) is not None and len(lines(out)) >= grown)
            time.sleep(rng.uniform(0, 0.1))  # the moment is what is tested: it may fall between two lines
        else:
            # One trial runs at a time here: a checkpoint that was made in this life is of the trial that is training.
            # After epoch 4 it might be pruned, and its worker without work.
            before = look(life - 1)
            trial, *_ = process.until(lambda: [n for n, e in look(life).items() if before.get(n, 0) < e < 4])
            (trainer,) = process.workers("ImplicitFu")
            trainer.kill()
            process.until(lambda: look(life) is not None and (out / "scores.json").exists())
        process.kill()
        return trial

    robbed = [live(life, moment) for life, moment in enumerate(LIVES)][-1]
    assert robbed is not None
    code, _, errors = begin(2).end()
    assert code == 0, errors
    return Story(folder, dict(epochs), robbed, errors)


def test_a_search_that_is_killed_ten_times_ends_with_each_trial_once(story: Story) -> None:
    trials = trials_of(story.folder, "killed")
    check_trials(trials, TRIALS)
    assert not story.errors
    written = [json.loads(line) for line in lines(story.folder / "out" / "killed")]
    ends = Counter(entry["trial_id"] for entry in written if "trial_id" in entry and entry.get("state") in {1, 2, 3})
    assert ends == Counter(range(TRIALS))  # Optuna was told of each end once
    check_results(story.folder / "out" / "killed")
    assert not list((story.folder / "out" / "killed" / "checkpoints").glob("[0-9]*"))


def test_mlflow_has_a_search_that_is_killed_ten_times_once(story: Story) -> None:
    trials = trials_of(story.folder, "killed")
    client = mlflow.MlflowClient(f"sqlite:///{story.folder / 'runs.db'}")
    check_runs(trials, client, "tests", "killed")
    (model,) = client.search_registered_models()
    assert [str(version.version) for version in client.search_model_versions(f"name='{model.name}'")] == ["1"]


def test_trials_that_were_cut_off_go_on_from_their_checkpoints(story: Story) -> None:
    for seen in story.epochs.values():
        assert [epoch for _, epoch in seen] == sorted(epoch for _, epoch in seen)  # none has started again
    later = [
        number
        for number, seen in story.epochs.items()
        for (life, epoch), (next_life, next_epoch) in pairwise(seen)
        if life < next_life and epoch < next_epoch
    ]
    assert later


def test_a_trial_whose_worker_is_killed_goes_on_from_its_checkpoint(story: Story) -> None:
    trials = trials_of(story.folder, "killed")
    assert {trial.number: trial.retries for trial in trials if trial.retries} == {story.robbed: 1}
    assert trials[story.robbed].state in {TrialState.FINISHED, TrialState.PRUNED}


# Trials that go wrong

WRONG = """
parameters:
  dynamics.kind: {kind: choice, values: [ode, cde]}
  training.learning_rate: {kind: choice, values: [0.003, 1.0e+30]}
  training.collocation_steps: {kind: choice, values: [1, 5]}
  training.draws: {kind: choice, values: [128, 200000000, 1000000000000000]}
fixed:
  {anchors.base_steps: 40, anchors.steps: 30, teacher.steps: 40, dynamics.hidden: 8, dynamics.heads: 1,
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
    words = ("--trials", "7", "--retries", "1", "--cpus", "1", "--time-budget", "1h", "--scheduler", "none")
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


@pytest.fixture
def mount() -> Iterator[Callable[[Path, str], Path]]:
    """Mount an empty file system of a given size."""
    mounted: list[Path] = []

    def one(place: Path, options: str) -> Path:
        place.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here ({done.stderr.strip()})")
        mounted.append(place)
        return place

    yield one
    for place in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> bool:
    """Let somebody else use all that is left."""
    with suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return True


def test_a_full_disk_stops_a_search_that_goes_on_once_there_is_room(
    tmp_path: Path, ray_environment: dict[str, str], mount: Callable[[Path, str], Path]
) -> None:
    folder, disk = furnish(tmp_path), mount(tmp_path / "disk", "size=8m")
    out = disk / "full"

    def begin(how: str) -> Process:
        words = ("--trials", "6", "--time-budget", "1h", "--out", str(disk), how, "full")
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
    kept = {trial.number: trial for trial in list(read_book(out)[1]) if trial.state in ENDED}
    assert kept
    (disk / "filler").unlink()

    fill(mount(out / "checkpoints", "size=32k"))  # what trials leave in case they are cut off is no reason to stop
    code, said, err = begin("--resume").end()
    assert (code, err) == (0, ""), said + err
    warned = r"warning: no checkpoint of trial \d+ could be written \(No space left on device\); the search goes on"
    assert len(re.findall(warned, said)) == said.count("warning") == 1, said
    trials = list(read_book(out)[1])
    check_trials(trials, 6)
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
    (folder / "mlflow.yml").write_text(f"tracking_uri: {server.uri}\nexperiment: tests\n")

    def begin(trials: int, how: str) -> Process:
        words = ("--trials", str(trials), "--time-budget", "1h", "--scheduler", "none", how, "served")
        return Process(folder, ray_environment, command(*words, space="long.yaml"))

    def reported() -> int:
        return sum('"epoch ' in line for line in lines(out))

    # It is killed in the middle, and started again while the search goes on.
    process = begin(12, "--name")
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
    check_trials(before, 12)
    check_runs(before, mlflow.MlflowClient(server.uri), "tests", "served")

    # The search gets more trials; nobody else may work on it meanwhile; and now the server stays away.
    process = begin(14, "--resume")
    process.until(lambda: len(trials_of(folder, "served")) > 12)
    assert run_here(monkeypatch, folder, command("--trials", "15", "--resume", "served", space="slow.yaml")) == 2
    assert re.fullmatch("error: another process works on the search in .*\n", capsys.readouterr().err)
    assert not ray.is_initialized()
    server.kill()
    code, said, err = process.end()
    assert code == 0, said + err
    assert err.count("warning: MLflow") == err.count("\n") == 1, err
    assert "MLflow lacks a part (Connection refused)" in said
    after = trials_of(folder, "served")
    check_trials(after, 14)
    assert after[:12] == before
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


# A machine that leaves the cluster


def test_a_trial_whose_node_leaves_goes_on_elsewhere(
    tmp_path: Path, ray_home: Path, ray_environment: dict[str, str]
) -> None:
    folder = furnish(tmp_path)
    write_long_space(folder)
    quiet = {"include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **quiet})
    try:
        leaves = cluster.add_node(num_cpus=1)
        words = ("--address", str(cluster.address), "--trials", "5", "--time-budget", "1h", "--name", "nodes")
        process = Process(folder, ray_environment, command(*words, "--scheduler", "none", space="long.yaml"))
        out = folder / "out" / "nodes"
        # Both nodes train once two trials have checkpoints, as none is pruned and their last epochs are far.
        process.until(lambda: len(seen := checkpoints(out)) == 2 and max(seen.values()) < 4)
        cluster.remove_node(leaves, allow_graceful=False)
        code, said, err = process.end()
    finally:
        cluster.shutdown()
    assert (code, err) == (0, ""), said + err
    trials = trials_of(folder, "nodes")
    check_trials(trials, 5)
    (moved,) = [trial for trial in trials if trial.retries]
    assert moved.retries == 1
    assert moved.state in {TrialState.FINISHED, TrialState.PRUNED}
    told = rf"trial {moved.number:02d} failed after [0-5]/6 epochs and is tried again: [^\n]* left the cluster"
    assert re.search(told, said), said
    check_results(out)
