"""A search that is killed again and again ends as if it had not been."""

import json
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import mlflow
import pytest
from searches import (
    Process,
    check_results,
    check_runs,
    check_trials,
    checkpoints,
    command,
    furnish,
    lines,
    trials_of,
    write_long_space,
)

from weightflow.search.folder import STUDY
from weightflow.trials import TrialState

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]
TRIALS = 7
GROWTH = 12  # lines of the study in one life: a trial writes at least as many, so that not all end in the first 7 lives
LIVES = ("folder", "cache", *["study"] * 7, "conclusion")


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
        how = "--resume" if (out / STUDY).is_file() else "--name"
        words = ("--trials", str(TRIALS), "--cpus", str(cpus), "--time-budget", "2h", "--register", how, "killed")
        return Process(folder, ray_environment, command(*words, space="long.yaml"))

    def look(life: int) -> dict[int, int]:
        seen = checkpoints(out)
        for number, epoch in seen.items():
            if epochs[number][-1:] != [(life, epoch)]:
                epochs[number].append((life, epoch))
        return seen

    def rob(process: Process, life: int, before: dict[int, int]) -> list[int]:
        """Kill the worker of a trial that has left a checkpoint in this life; return the trial's number, if any.

        One trial runs at a time here. After epoch 4 it might be pruned, and its worker without work.
        """
        for trainer in process.workers("ImplicitFu"):
            trainer.suspend()  # or else the trial that was seen might end, and the next one lose its worker
            if numbers := [number for number, epoch in look(life).items() if before.get(number, 0) < epoch < 4]:
                trainer.kill()
                return numbers
            trainer.resume()
        return []

    def live(life: int, moment: str) -> int | None:
        """Begin, and be killed at a moment; return the number of the trial whose worker was killed before."""
        process = begin(2 if life % 3 == 1 else 1)  # trials at a time, in the last life one
        trial: int | None = None
        if moment == "folder":
            process.until(out.is_dir)
        elif moment == "cache":
            process.until(lambda: list((folder / "out" / ".cache").glob("*.safetensors")))
        elif moment == "study":
            grown = len(lines(out)) + rng.randint(1, GROWTH)
            process.until(lambda: look(life) is not None and len(lines(out)) >= grown)
            time.sleep(rng.uniform(0, 0.1))  # the moment is what is tested: it may fall between two lines
        else:
            before = look(life - 1)
            (trial,) = process.until(lambda: rob(process, life, before))
            process.until(lambda: look(life) is not None and (out / "scores.json").exists())
        process.kill()
        return trial

    robbed = [live(life, moment) for life, moment in enumerate(LIVES)][-1]
    assert robbed is not None
    code, _, errors = begin(1).end()
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
