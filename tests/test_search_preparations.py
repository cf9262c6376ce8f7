"""A search over named preparations: each is made once, some side by side before they are needed, and found again."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from searches import Process, check_results, check_trials, command, furnish, lines, tracked, trials_of, tune_here

from weightflow import load
from weightflow.files import read_arrays
from weightflow.trials import TrialRecord, TrialState

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]
VALUES = {"as_default": (8, 1.0), "narrow": (8, 0.5), "small": (4, 1.0)}  # size of the backbone, width of the bridge
ASKED = ["as_default", "narrow", "small", "small", "narrow"]  # and then whatever the sampler likes
SPACE = """
preparations:
  as_default: {}
  small: {backbone.hidden: 4}
  narrow: {bridge.width: 0.5, suits: few samples}
parameters:
  training.learning_rate: {kind: choice, values: [0.01, 0.03]}
fixed:
  {anchors.base_steps: 40, anchors.steps: 30, anchors.rounds: 1, teacher.steps: 40, teacher.rounds: 1,
   bridge.drift_steps: 0, dynamics.hidden: 8, dynamics.heads: 1, dynamics.steps: 6,
   training.epochs: 4, training.collocation_steps: 150, training.rollout_steps: 2, training.rounds: 1}
first_trials:
  - {preparation: small, training.learning_rate: 0.01}
  - {preparation: small, training.learning_rate: 0.03}
  - {preparation: narrow, training.learning_rate: 0.03}
"""
Pieces = dict[tuple[str, int | None, float | None], int]


@dataclass
class Story:
    """What was seen of a search whose trials lost their workers, which was killed itself, and went on.

    Attributes:
        folder: where it was started.
        seen: when which piece was written, as it was when workers were killed.
        before: what the search said until it was killed.
        after: what it said when it went on.
    """

    folder: Path
    seen: Pieces
    before: str
    after: str

    @property
    def trials(self) -> list[TrialRecord]:
        """The trials in the end."""
        return trials_of(self.folder, "sets")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, ray_environment: dict[str, str]) -> Story:
    folder = furnish(tmp_path_factory.mktemp("preparations"))
    (folder / "space.yaml").write_text(SPACE)
    words = ("--trials", "6", "--cpus", "2", "--scheduler", "none", "--time-budget", "2h")
    process = Process(folder, ray_environment, command(*words, "--name", "sets"))
    process.until(lambda: ("teacher", *VALUES["small"]) in pieces(folder))
    seen = pieces(folder)
    for worker in process.workers("ImplicitFu"):
        worker.kill()
    out = folder / "out" / "sets"
    process.until(lambda: sum(json.loads(line).get("state") == 1 for line in lines(out)[:-1]) >= 3)  # trials that ended
    before = process.kill()
    resumed = command(*words, "--resume", "sets")
    del resumed[resumed.index("--space") : resumed.index("--space") + 2]
    code, after, errors = Process(folder, ray_environment, resumed).end()
    assert code == 0, after + errors
    return Story(folder, seen, before, after)


def pieces(folder: Path) -> Pieces:
    """Return when which piece of the searched data was written to the cache, by its name and what it is made with."""
    found: dict[str, Pieces] = {}
    for path in sorted((folder / "out" / ".cache").glob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns):
        _, facts = read_arrays(path)
        hidden, width = facts.get("backbone", {}).get("hidden"), facts.get("bridge", {}).get("width")
        own = found.setdefault(facts["data"], {})
        own[path.name.partition("-")[0], hidden, width] = path.stat().st_mtime_ns
    return next(iter(found.values()), {})  # those of the final fit come later


def test_trials_hold_the_values_of_their_preparations_and_mlflow_has_them(story: Story) -> None:
    check_trials(story.trials, 6)
    assert [trial.preparation for trial in story.trials][:5] == ASKED
    for trial in story.trials:
        assert (trial.params["backbone.hidden"], trial.params["bridge.width"]) == VALUES[trial.preparation]
    _, children, _ = tracked(story.folder, "sets")
    assert len(children) == 6
    for run in children:
        trial = story.trials[int(run.data.tags["trial"])]
        hidden, width = VALUES[trial.preparation]
        told = {key: run.data.params[key] for key in ("preparation", "backbone.hidden", "bridge.width")}
        assert told == {
            "preparation": trial.preparation, "backbone.hidden": str(hidden), "bridge.width": str(width),
        }  # fmt: skip


def test_the_default_and_what_suits_the_data_are_made_side_by_side_before_the_first_trial(story: Story) -> None:
    assert "2 of at least 3 preparations are made side by side, before trials" in story.before
    assert "teacher path on 2 worker(s)" in story.before  # of one fold
    assert story.trials[0].started is not None
    began = story.trials[0].started * 1e9
    for name, expected in {"as_default": True, "narrow": True, "small": False}.items():
        assert (story.seen["teacher", *VALUES[name]] < began) == expected, name


def test_pieces_are_made_once_whichever_preparations_and_trials_need_them(story: Story) -> None:
    # no piece was written again: by the second trial of `small`, by those whose workers died, by the resumed search
    assert pieces(story.folder) == story.seen
    assert sorted(story.seen, key=str) == sorted(
        [
            ("base", 8, None), ("base", 4, None),  # `narrow` shares that of the default
            ("bridge", None, 1.0), ("bridge", None, 0.5),  # and `small` its bridge
            ("anchors", 8, None),
            ("teacher", 8, 1.0), ("teacher", 8, 0.5), ("teacher", 4, 1.0),
        ],
        key=str,
    )  # fmt: skip


def test_a_killed_worker_and_a_resumed_search_find_preparations_again(story: Story) -> None:
    assert any(trial.retries for trial in story.trials if trial.preparation == "small")
    assert "the space is the one that the search began with" in story.after
    assert "teacher path from the cache" in story.after
    assert "base and bridge from the cache" in story.after


def test_the_best_trial_is_fitted_again_with_its_preparation(story: Story) -> None:
    out = story.folder / "out" / "sets"
    check_results(out)
    best = min(story.trials, key=lambda trial: trial.score or np.inf)
    config = load(out / "best").record["config"]
    assert (config["backbone"]["hidden"], config["bridge"]["width"]) == VALUES[best.preparation]
    assert "preparation" in (out / "report.html").read_text()


def test_a_preparation_that_cannot_be_made_costs_its_own_trials_alone(
    tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    furnish(tmp_path)
    broken = SPACE.replace("{bridge.width: 0.5,", "{anchors.learning_rate: 1.0e+30,").replace("steps: 150", "steps: 5")
    (tmp_path / "space.yaml").write_text(broken)
    words = ("--trials", "3", "--cpus", "2", "--retries", "0", "--name", "broken")
    done = tune_here(tmp_path, ray_environment, *words)
    assert done.returncode == 0, done.stderr
    assert "the default's preparation is made alone, because of another one that cannot be: " in done.stdout
    default, narrow, small = trials_of(tmp_path, "broken")
    assert (narrow.preparation, narrow.state) == ("narrow", TrialState.FAILED)
    assert "is no longer finite" in narrow.reason or "is not finite" in narrow.reason, narrow.reason
    assert {default.state, small.state} <= {TrialState.FINISHED, TrialState.PRUNED}
