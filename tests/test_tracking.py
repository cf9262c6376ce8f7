"""Searches in MLflow: a real SQLite store, a real server that dies, and the registered model in a fresh process."""

import ast
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Run
from searches import free_port, wait_for

import weightflow
from weightflow.data import Snapshots
from weightflow.errors import InputError
from weightflow.evaluation import Scores
from weightflow.experiment import ExperimentConfig, Trial, flatten, prepare
from weightflow.tracking import (
    DataPart,
    Results,
    RunFacts,
    SearchRun,
    TrackingConfig,
    environment_facts,
    lookup,
    machine,
    open_run,
    search_run,
    sync,
)
from weightflow.tracking.__main__ import main
from weightflow.tracking.facts import git_commit
from weightflow.tracking.logged_model import SERVED_WITH
from weightflow.tracking.store import open_experiment, open_store
from weightflow.tracking.ui import has_screen
from weightflow.trials import Parameter, TrialRecord, TrialState
from weightflow.types import Kind

FACTS = RunFacts(
    name="night",
    data_name="cells",
    data_hash="d4f1",
    protocol="paper",
    seed=7,
    space_digest="5ace",
    facts={"torch": "2.13.0", "git_commit": "0" * 40 + " + uncommitted changes"},
    description="Cells at **three** times.",
    options={"sampler": "tpe", "space.dynamics.kind": "one of ode, cde"},
    parts=(
        DataPart("fit", "cells", "f17", {"prey": "counts", "predator": "counts"}, "t = 0, 2", 80, "/data/cells.csv"),
        DataPart("held out", "cells", "0117", {"prey": "counts", "predator": "counts"}, "t = 1", 40, "/data/cells.csv"),
        DataPart("test", "cells", "7e57", {"prey": "counts", "predator": "counts"}, "t = 1", 40, "/data/cells.csv"),
    ),
)
ID = "3f2a-night"
# MLflow warns of type hints of its own when its part for models is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType")

MODEL_SCORE = "test/energy_distance/model"
ENDS = (TrialState.FINISHED, TrialState.PRUNED, TrialState.FAILED, TrialState.STOPPED)


@pytest.fixture(autouse=True)
def fast_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write more often than a search does, so that tests need not wait."""
    monkeypatch.setattr(search_run, "_WRITE_SECONDS", 0.05)
    monkeypatch.setattr(search_run, "_RETRY_SECONDS", 0.2)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with tables and nothing in them: to make one takes seconds, to copy one does not."""
    folder = tmp_path_factory.mktemp("empty")
    MlflowClient(settings(folder).tracking_uri).search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def config(tmp_path: Path, empty_store: Path) -> TrackingConfig:
    config = settings(tmp_path / "a folder")  # spaces are common in the paths of users
    shutil.copy(empty_store, tmp_path / "a folder")
    return config


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two species, trained for a moment."""
    counts = np.random.default_rng(0).poisson(2.0, (3, 40, 2)).astype(float)
    snapshots = Snapshots(np.array([0.0, 1.0, 2.0]), tuple(counts), ("prey", "predator"), (Kind.COUNTS, Kind.COUNTS))
    options = ExperimentConfig.parse(
        {
            "anchors": {"base_steps": 3, "steps": 3, "rounds": 1},
            "teacher": {"steps": 3, "draws": 8, "rounds": 1},
            "training": {"epochs": 2, "collocation_steps": 2, "rollout_steps": 1, "draws": 8, "rounds": 1},
        }
    )
    trial = Trial(prepare(snapshots, options, seed=0), options, seed=0)
    for _ in trial.epochs():
        pass
    folder = tmp_path_factory.mktemp("model") / "best"
    trial.model().save(folder)
    return folder


def settings(folder: Path, **keys: str) -> TrackingConfig:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mlflow.yml").write_text(json.dumps(keys))  # JSON is YAML
    return TrackingConfig.read(folder / "mlflow.yml")


def trial(number: int, state: TrialState = TrialState.RUNNING, epochs: int = 0, **more: Any) -> TrialRecord:
    params: dict[str, Parameter] = {
        "dynamics.kind": "ode",
        "dynamics.hidden": 32 * (number + 1),
        "dynamics.depth": 2,
        "dynamics.time": True,
    }
    score = 4.0 - epochs / 10 if epochs else None
    return TrialRecord(number, state, params, score, epochs, 0.5 * epochs, **more)


def remembered(number: int, epochs: int, state: TrialState = TrialState.RUNNING, **more: Any) -> TrialRecord:
    """A trial as a search keeps it on its disk, with all epochs."""
    past = [{"epoch": float(epoch), **metrics(epoch)} for epoch in range(1, epochs + 1)]
    return trial(number, state, epochs, history=tuple(past), **more)


def metrics(epoch: int) -> dict[str, float]:
    return {"score": 4.0 - epoch / 10, "loss": 2.0 / epoch}


def train(run: SearchRun, number: int, epochs: range, end: TrialState | None, reason: str = "") -> TrialRecord:
    """Tell `run` of a trial as the driver of a search does."""
    record = trial(number)
    run.start_trial(record)
    for epoch in epochs:
        record = trial(number, epochs=epoch)
        run.log_epoch(record, epoch, metrics(epoch))
    if end is not None:
        record = replace(record, state=end, reason=reason)
        run.end_trial(record)
    return record


def scores_of(model: float, **rivals: float) -> Scores:
    """Scores by the energy distance of 20 groups, whose means lie in steps of 0.001 around the mean of each method.

    The same places of two methods are off by as much: the interval of a difference is then the difference itself.
    """
    means = {"model": model, "persistence": 1.0, "mixture": 0.9, "mccann": 0.8, "floor": 0.1, **rivals}
    off = 0.001 * (np.arange(20) - 9.5)
    return Scores(
        "paper",
        1000,
        "split-half",
        (1.0,),
        {name: {"energy_distance": (mean,)} for name, mean in means.items()},
        {name: {"energy_distance": tuple(mean + off)} for name, mean in means.items()},
        data="7e57",
    )


def means_of(model: float) -> dict[str, float]:
    """The mean scores of `scores_of` as MLflow has them."""
    means = {"model": model, "persistence": 1.0, "mixture": 0.9, "mccann": 0.8, "floor": 0.1}
    return {f"test/energy_distance/{name}": mean for name, mean in means.items()}


def stop(run: SearchRun, status: Any = "FINISHED") -> dict[str, str]:
    return run.finish(Results(status))


def runs_of(config: TrackingConfig, search_id: str = ID) -> list[Run]:
    """All runs of a search, as the store has them."""
    client = MlflowClient(config.tracking_uri)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(ids, f"tags.search_id = '{search_id}'", order_by=["attributes.start_time ASC"]))


def parent_run(config: TrackingConfig) -> Run:
    return MlflowClient(config.tracking_uri).get_run(parent_of(config))


def contexts_of(run: Run) -> dict[str, str]:
    """The digests of the data sets that a run names, by what they are for."""
    assert run.inputs is not None
    return {one.tags[0].value: one.dataset.digest for one in run.inputs.dataset_inputs}


def parent_of(config: TrackingConfig, search_id: str = ID) -> str:
    (parent,) = [run for run in runs_of(config, search_id) if "mlflow.parentRunId" not in run.data.tags]
    return parent.info.run_id


def children(config: TrackingConfig, parent: str) -> dict[str, Run]:
    """The nested runs by the trial's number, as two digits."""
    client = MlflowClient(config.tracking_uri)
    experiment = client.get_run(parent).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    numbers = [f"{int(run.data.tags['trial']):02d}" for run in found]
    assert len(numbers) == len(set(numbers)), "no trial has two runs"
    return dict(zip(numbers, found, strict=True))


def everything(config: TrackingConfig, search_id: str = ID) -> dict[str, Any]:
    """All that the store has of a search, to be compared."""
    client = MlflowClient(config.tracking_uri)
    found: dict[str, Any] = {}
    for run in runs_of(config, search_id):
        points = {
            key: [
                (point.step, point.value, point.timestamp) for point in client.get_metric_history(run.info.run_id, key)
            ]
            for key in run.data.metrics
        }
        found[run.info.run_id] = (dict(run.info), run.data.tags, run.data.params, points, files(config, run))
    models = client.search_logged_models([experiment.experiment_id for experiment in client.search_experiments()])
    versions = client.search_model_versions()
    found["models"] = sorted(model.model_id for model in models if model.source_run_id in found)
    found["versions"] = sorted((model.name, model.version, model.run_id) for model in versions if model.run_id in found)
    return found


def history(config: TrackingConfig, run: Run, key: str = "score") -> list[tuple[int, float]]:
    points = MlflowClient(config.tracking_uri).get_metric_history(run.info.run_id, key)
    return sorted((point.step, point.value) for point in points)


def scored(config: TrackingConfig, parent: str) -> bool:
    """Whether the first trial has metrics already."""
    return any("score" in run.data.metrics for run in children(config, parent).values())


class TestSettings:
    def test_relative_paths_start_at_the_file(self, tmp_path: Path):
        config = settings(tmp_path, tracking_uri="sqlite:///runs/mine.db", artifact_root="files")
        assert config.tracking_uri == f"sqlite:///{tmp_path}/runs/mine.db"
        assert config.artifact_location == (tmp_path / "files").as_uri()

    def test_absolute_places_are_kept(self, tmp_path: Path):
        config = settings(tmp_path, tracking_uri="sqlite:////data/mine.db", artifact_root="s3://bucket/files")
        assert (config.tracking_uri, config.artifact_location) == ("sqlite:////data/mine.db", "s3://bucket/files")

    def test_the_environment_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
        config = settings(tmp_path, tracking_uri="sqlite:///mine.db")
        assert config.tracking_uri == "http://host:5000"

    def test_a_server_keeps_files_itself_unless_they_have_a_place_that_all_reach(self, tmp_path: Path):
        uri = "https://host"
        assert settings(tmp_path, tracking_uri=uri, artifact_root="files").artifact_location is None
        assert settings(tmp_path, tracking_uri=uri, artifact_root="s3://b/f").artifact_location == "s3://b/f"

    def test_the_file_of_the_project_states_the_defaults(self, root: Path):
        read = TrackingConfig.read(root / "mlflow.yml")
        text = (root / "mlflow.yml").read_text()
        assert all(f"\n{key}: {value}\n" in text for key, value in TrackingConfig().model_dump().items())
        assert (read.experiment, read.model_name("epidemic")) == ("weightflow", "weightflow-epidemic")

    def test_the_model_has_a_name_that_the_registry_takes(self):
        assert TrackingConfig(registered_model="{data}/best").model_name("a:b") == "a-b-best"

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (None, "cannot be read (No such file or directory)"),
            ("tracking: x", "known here: tracking_uri, artifact_root, experiment, registered_model"),
            ("experiment: [1]", "`{path}.experiment`=[1] is not allowed"),
            ("experiment: ''", "`{path}.experiment`='' is not allowed"),
            ("a: b: c", "is not YAML"),
            ("- experiment", "must hold lines of the form `key: value`"),
        ],
    )
    def test_what_cannot_be_used_is_said(self, tmp_path: Path, content: str | None, said: str):
        path = tmp_path / "mlflow.yml"
        if content is not None:
            path.write_text(content)
        with pytest.raises(InputError) as error:
            TrackingConfig.read(path)
        assert said.format(path=path) in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_ui_is_not_started_where_another_one_is(self, config: TrackingConfig, capsys: pytest.CaptureFixture[str]):
        file = str(Path(config.tracking_uri.removeprefix("sqlite:///")).with_name("mlflow.yml"))
        with closing(socket.create_server(("127.0.0.1", 0))) as other:
            port = other.getsockname()[1]
            assert main(["--mlflow", file, "--port", str(port), "--no-browser"]) == 2
        assert f"port {port} is taken" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("environment", "platform", "there"),
        [({}, "linux", False), ({"DISPLAY": ":0"}, "linux", True), ({}, "darwin", True)],
    )
    def test_a_browser_is_opened_only_where_it_would_be_a_window(
        self, environment: dict[str, str], platform: str, there: bool
    ):
        assert has_screen(environment, platform) is there


class TestFacts:
    def test_they_can_be_kept_as_json(self):
        kept = json.loads(json.dumps(asdict(FACTS)))
        assert RunFacts.of(kept) == FACTS
        assert RunFacts.of({key: value for key, value in kept.items() if key != "parts"}).parts == ()

    def test_versions_and_commit_are_known(self):
        facts = environment_facts()
        assert list(facts) == ["python", "weightflow", "torch", "ray", "optuna", "mlflow", "git_commit"]
        assert all(facts.values())

    def test_the_commit_says_whether_the_source_differs_from_it(self, tmp_path: Path):
        package = tmp_path / "package"
        package.mkdir()
        (package / "__init__.py").touch()
        assert git_commit(package) == "unknown"
        git(tmp_path, "init")
        assert git_commit(package) == "unknown", "a repository that surrounds an installed package is not its source"
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-m", "first")
        commit = git(tmp_path, "rev-parse", "HEAD")
        assert git_commit(package) == commit
        (tmp_path / "results.csv").touch()
        assert git_commit(package) == commit
        (package / "more.py").touch()
        assert git_commit(package) == f"{commit} + uncommitted changes"


class TestSearch:
    def test_each_trial_is_a_nested_run_that_ends_as_the_trial_did(self, config: TrackingConfig, tmp_path: Path):
        run = SearchRun.open(config, ID, FACTS)
        for number, end in enumerate(ENDS):
            train(run, number, range(1, 4), end, reason="loss is not finite" if end is TrialState.FAILED else "")
        parent = stop(run)["run_id"]
        runs = children(config, parent)
        ended = {
            name: (run.info.status, run.data.tags["state"], run.data.tags.get("reason")) for name, run in runs.items()
        }
        assert ended == {
            "00": ("FINISHED", "finished", None),
            "01": ("FINISHED", "pruned", None),
            "02": ("FAILED", "failed", "loss is not finite"),
            "03": ("KILLED", "stopped", None),
        }

    def test_runs_can_be_told_apart_and_compared(self, config: TrackingConfig, tmp_path: Path):
        run = SearchRun.open(config, ID, FACTS)
        for number in range(2):
            train(run, number, range(1, 3), TrialState.FINISHED)
        parent = MlflowClient(config.tracking_uri).get_run(stop(run)["run_id"])
        runs = children(config, parent.info.run_id)
        assert [runs[key].info.run_name for key in sorted(runs)] == ["00 ode h32 d2 · night", "01 ode h64 d2 · night"]
        defaults = flatten(ExperimentConfig())
        assert runs["01"].data.params == {key: str(value) for key, value in {**defaults, **trial(1).params}.items()}
        assert runs["01"].data.metrics == {"score": 3.8, "loss": 1.0, "epochs": 2.0, "seconds": 1.0}
        facts = {
            "data": "cells",
            "data_hash": "d4f1",
            "protocol": "paper",
            "seed": "7",
            "torch": "2.13.0",
            "search": "night",
        }
        for one in (parent, *runs.values()):
            assert facts.items() <= one.data.tags.items()
            assert one.data.tags["mlflow.source.git.commit"] == "0" * 40
        assert parent.info.run_name == "night"
        assert parent.data.tags["mlflow.note.content"] == FACTS.description
        assert parent.data.params == {
            "data": "cells",
            "data_hash": "d4f1",
            "protocol": "paper",
            "seed": "7",
            "space": "5ace",
            **FACTS.options,
        }

    def test_how_a_trial_ended_and_which_one_won_shows_in_its_name(self, config: TrackingConfig):
        run = SearchRun.open(config, ID, FACTS)
        best, *_ = [train(run, number, range(1, 4), end) for number, end in enumerate(ENDS)]
        client = MlflowClient(config.tracking_uri)
        wait_for(lambda: len(children(config, parent_of(config))) == len(ENDS))
        client.update_run(children(config, parent_of(config))["02"].info.run_id, name="my favourite")
        again = SearchRun.open(config, ID, FACTS)  # which finds that name
        again.replay([remembered(number, 3, end) for number, end in enumerate(ENDS)])
        run = again.finish(Results("FINISHED", best))["run_id"]
        runs = children(config, run)
        names = ["★ 00 ode h32 d2", "01 pruned · ode h64 d2", "my favourite", "03 stopped · ode h128 d2"]
        shown = [(runs[key].info.run_name or "").removesuffix(" · night") for key in sorted(runs)]
        assert shown == names
        assert [runs[key].data.tags.get("best", "") for key in sorted(runs)] == ["yes", "", "", ""]
        assert {key: runs[key].data.tags["role"] for key in runs} == dict.fromkeys(runs, "trial")
        counts = {"finished": 1.0, "pruned": 1.0, "failed": 1.0, "stopped": 1.0, "repeats": 0.0}
        measured = client.get_run(run).data.metrics
        assert {state: measured[f"trials/{state}"] for state in counts} == counts

    def test_a_search_that_comes_to_nothing_says_why(self, config: TrackingConfig):
        run = SearchRun.open(config, ID, FACTS)
        parent = run.finish(Results("FAILED", reason="no trial finished: 2 of 2 failed"))["run_id"]
        tags = MlflowClient(config.tracking_uri).get_run(parent).data.tags
        assert (tags["state"], tags["reason"], tags["role"]) == ("failed", "no trial finished: 2 of 2 failed", "search")

    def test_runs_name_the_parts_of_the_data_that_they_see(self, config: TrackingConfig):
        run = SearchRun.open(config, ID, FACTS)
        train(run, 0, range(1, 3), TrialState.FINISHED)
        parent = MlflowClient(config.tracking_uri).get_run(stop(run)["run_id"])
        (ended,) = children(config, parent.info.run_id).values()
        seen = {"fit": "f17", "held out": "0117"}
        assert [contexts_of(one) for one in (parent, ended)] == [{**seen, "test": "7e57"}, seen]
        assert ended.inputs is not None
        (fit,) = [one.dataset for one in ended.inputs.dataset_inputs if one.dataset.digest == "f17"]
        assert (fit.name, json.loads(fit.source)) == ("cells", {"uri": "/data/cells.csv"})
        columns = [("double", "time"), ("long", "prey"), ("long", "predator")]
        assert [(one["type"], one["name"]) for one in json.loads(fit.schema or "")["mlflow_colspec"]] == columns

    def test_the_load_of_the_machine_is_followed_also_when_a_search_goes_on(
        self, config: TrackingConfig, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(machine, "_SECONDS", 0.0)
        steps: list[list[int]] = [[]]

        def followed() -> list[int]:
            return [step for step, _ in history(config, parent_run(config), "system/cpu_utilization_percentage")]

        for _ in range(2):
            run = SearchRun.open(config, ID, FACTS)
            wait_for(lambda: len(followed()) > len(steps[-1]))
            stop(run)
            steps.append(followed())
        assert steps[2] == list(range(1, len(steps[2]) + 1))
        assert len(steps[2]) > len(steps[1]) > 0
        assert 0 < parent_run(config).data.metrics["system/system_memory_usage_percentage"] < 100

    def test_the_views_of_an_experiment_are_written_once_and_then_belong_to_people(self, config: TrackingConfig):
        where = MlflowClient(config.tracking_uri)
        stop(SearchRun.open(config, ID, FACTS))
        (found,) = [one for one in where.search_experiments() if one.name == "weightflow"]
        views = {
            key: json.loads(value) for key, value in found.tags.items() if key.startswith("mlflow.sharedViewState.")
        }
        names = ["All searches, with test scores", "All trials, best first", "cells (d4f1), paper: trials, best first"]
        assert sorted(view["name"] for view in views.values()) == names
        state = json.loads(views["mlflow.sharedViewState.weightflow-d4f1-paper-1"]["state"])
        assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`score`", True)
        assert len(where.search_runs([found.experiment_id], state["searchFilter"])) == 0
        where.set_experiment_tag(found.experiment_id, "mlflow.sharedViewState.weightflow-trials-1", "mine")
        run = SearchRun.open(config, "another", FACTS)
        train(run, 0, range(1, 3), TrialState.FINISHED)
        stop(run)
        assert where.get_experiment(found.experiment_id).tags["mlflow.sharedViewState.weightflow-trials-1"] == "mine"
        assert len(where.search_runs([found.experiment_id], state["searchFilter"])) == 1

    def test_metrics_have_a_history_by_epoch_while_the_trial_runs(self, config: TrackingConfig, tmp_path: Path):
        run = SearchRun.open(config, ID, FACTS)
        train(run, 0, range(1, 6), None)
        parent = parent_of(config)
        wait_for(lambda: scored(config, parent))
        assert children(config, parent)["00"].info.status == "RUNNING"
        stop(run, "KILLED")
        ended = children(config, parent)["00"]
        assert history(config, ended) == [(epoch, 4.0 - epoch / 10) for epoch in range(1, 6)]
        assert ended.data.tags["state"] == "stopped", "no run is left running"
        assert MlflowClient(config.tracking_uri).get_run(parent).info.status == "KILLED"

    def test_epochs_that_another_process_was_told_of_are_not_put_before_those_that_are_there(
        self, config: TrackingConfig
    ):
        """When they ended is guessed from the time that a trial took, not counting what passed between processes."""
        run = SearchRun.open(config, ID, FACTS)
        train(run, 0, range(1, 5), None)
        stop(run, "KILLED")
        record = replace(remembered(0, 6, TrialState.FINISHED), started=1_700_000_000.0, ended=1_700_000_009.0)
        sync(config, ID, FACTS, [record], Results("FINISHED", record), 1_700_000_000.0)
        ended = children(config, parent_of(config))["00"]
        points = MlflowClient(config.tracking_uri).get_metric_history(ended.info.run_id, "score")
        assert [point.step for point in points] == [1, 2, 3, 4, 5, 6]
        times = [point.timestamp for point in points]
        assert times == sorted(times)

    def test_a_loss_that_is_not_finite_is_kept(self, config: TrackingConfig, tmp_path: Path):
        run = SearchRun.open(config, ID, FACTS)
        run.start_trial(trial(0))
        run.log_epoch(trial(0, epochs=1), 1, {"score": float("nan"), "loss": float("inf")})
        summary = stop(run)
        assert "problem" not in summary
        assert np.isnan(children(config, summary["run_id"])["00"].data.metrics["score"])

    def test_long_texts_are_cut_to_what_mlflow_takes(self, config: TrackingConfig, tmp_path: Path):
        run = SearchRun.open(config, ID, replace(FACTS, description="d" * 20_000))
        train(run, 0, range(1, 2), TrialState.FAILED, reason="r" * 20_000)
        summary = stop(run)
        assert "problem" not in summary
        assert children(config, summary["run_id"])["00"].data.tags["reason"].endswith("r...")

    def test_more_metrics_than_fit_one_request_are_written(self, config: TrackingConfig, tmp_path: Path):
        run = SearchRun.open(config, ID, FACTS)
        train(run, 0, range(1, 1501), TrialState.FINISHED)
        assert len(history(config, children(config, stop(run)["run_id"])["00"])) == 1500

    def test_a_run_that_the_user_deletes_does_not_hold_up_the_others(
        self, config: TrackingConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        run = SearchRun.open(config, ID, FACTS)
        train(run, 0, range(1, 2), None)
        parent = parent_of(config)
        wait_for(lambda: scored(config, parent))
        MlflowClient(config.tracking_uri).delete_run(children(config, parent)["00"].info.run_id)
        train(run, 0, range(2, 3), TrialState.FINISHED)
        train(run, 1, range(1, 3), TrialState.FINISHED)
        assert "active" in stop(run)["problem"]
        assert children(config, parent)["01"].info.status == "FINISHED"
        assert MlflowClient(config.tracking_uri).get_run(parent).info.status == "FINISHED"
        assert capsys.readouterr().err.count("warning") == 1

    def test_a_trial_says_that_it_was_tried_again_and_what_it_repeats(self, config: TrackingConfig):
        run = SearchRun.open(config, ID, FACTS)
        train(run, 3, range(1, 3), None)
        run.start_trial(replace(trial(3, epochs=2), retries=1, reason="out of memory"))
        parent = parent_of(config)
        wait_for(lambda: children(config, parent).get("03") is not None)
        run.end_trial(trial(3, TrialState.FINISHED, 4, retries=2, reason="the node was lost"))
        run.replay([remembered(12, 2, TrialState.FINISHED, repeat_of=3)])
        runs = children(config, stop(run)["run_id"])
        assert runs["12"].info.run_name == "12 repeats 03 · ode h416 d2 · night"
        assert (runs["12"].data.tags["repeat_of"], "retries" in runs["12"].data.tags) == ("3", False)
        assert runs["03"].data.tags.items() >= {"retries": "2", "reason": "the node was lost"}.items()

    def test_what_is_measured_once_is_written_when_it_comes(self, config: TrackingConfig):
        once = {"sampling_seconds": 0.1, "parameters": 500.0}
        run = SearchRun.open(config, ID, FACTS)
        train(run, 0, range(1, 4), None)
        done = remembered(0, 3, TrialState.FINISHED)
        run.end_trial(replace(done, history=(*done.history[:2], {**done.history[2], **once})))
        ended = children(config, stop(run)["run_id"])["00"]
        assert [step for step, _ in history(config, ended)] == [1, 2, 3]
        assert [history(config, ended, key) for key in once] == [[(3, 0.1)], [(3, 500.0)]]
        assert "epoch" not in ended.data.metrics


class TestResuming:
    def test_a_search_goes_on_in_its_own_runs(self, config: TrackingConfig):
        first = SearchRun.open(config, ID, FACTS)
        train(first, 0, range(1, 4), TrialState.FINISHED)
        train(first, 1, range(1, 4), None)
        train(first, 2, range(1, 4), None)
        before = stop(first, "KILLED")["run_id"]
        client, left = MlflowClient(config.tracking_uri), children(config, before)
        for lost in ("01", "02"):  # a process that is killed leaves its runs like this
            client.update_run(left[lost].info.run_id, "RUNNING")

        again = SearchRun.open(config, ID, FACTS)
        assert client.get_run(before).info.status == "RUNNING"
        train(again, 1, range(2, 7), TrialState.FINISHED)  # from its last checkpoint
        train(again, 3, range(1, 4), TrialState.FINISHED)
        assert stop(again)["run_id"] == before
        runs = children(config, before)
        assert sorted(runs) == ["00", "01", "02", "03"]
        assert {key: runs[key].info.run_id for key in left} == {key: run.info.run_id for key, run in left.items()}
        assert [step for step, _ in history(config, runs["01"])] == [1, 2, 3, 4, 5, 6], "no epoch twice"
        assert (runs["01"].info.status, runs["01"].data.tags["state"]) == ("FINISHED", "finished")
        assert runs["01"].data.tags["reason"] == "", "why it was cut off is over"
        assert (runs["02"].info.status, runs["02"].data.tags["state"]) == ("KILLED", "stopped")

    @pytest.mark.slow
    def test_a_search_that_is_killed_again_and_again_leaves_each_run_once(
        self, config: TrackingConfig, tmp_path: Path, root: Path
    ):
        code = "import sys; from test_tracking import kill_again_and_again as run; run(sys.argv[1])"
        done = python(root / "tests", "-c", code, str(tmp_path / "a folder"))
        assert done.returncode == 0, done.stderr
        before = {run.info.run_id for run in runs_of(config)}
        assert len(before) > 1
        assert any(run.info.status == "RUNNING" for run in runs_of(config)), "they were killed indeed"
        run = live(tmp_path / "a folder")
        summary = stop(run)
        assert "problem" not in summary
        runs = children(config, parent_of(config))
        assert before <= {summary["run_id"], *(run.info.run_id for run in runs.values())}
        assert sorted(runs) == [f"{number:02d}" for number in range(TRIALS)]
        for one in runs.values():
            assert (one.info.status, one.data.tags["state"]) == ("FINISHED", "finished")
            assert history(config, one) == [(epoch, metrics(epoch)["score"]) for epoch in range(1, EPOCHS + 1)]
            assert len(history(config, one, "epochs")) == 1

    def test_what_the_last_second_before_the_end_lost_is_written_from_memory(self, config: TrackingConfig):
        first = SearchRun.open(config, ID, FACTS)
        train(first, 0, range(1, 3), None)
        parent = parent_of(config)
        wait_for(lambda: scored(config, parent))
        again = SearchRun.open(config, ID, FACTS)  # while the first one is dead, to all appearance
        again.replay([remembered(0, 5, TrialState.FINISHED), remembered(1, 2, TrialState.PRUNED)])
        stop(again)
        runs = children(config, parent)
        assert [(step, value) for step, value in history(config, runs["00"])] == [
            (epoch, metrics(epoch)["score"]) for epoch in range(1, 6)
        ]
        assert [runs[key].data.tags["state"] for key in ("00", "01")] == ["finished", "pruned"]

    def test_a_best_trial_of_the_earlier_process_is_not_touched_but_for_the_results(self, config: TrackingConfig):
        first = SearchRun.open(config, ID, FACTS)
        best = train(first, 0, range(1, 4), TrialState.FINISHED)
        parent = stop(first, "KILLED")["run_id"]
        before = children(config, parent)["00"]
        SearchRun.open(config, ID, FACTS).finish(Results("FINISHED", best, scores=scores_of(0.5)))
        after = children(config, parent)["00"]
        assert after.info.end_time == before.info.end_time
        assert after.data.metrics == {**before.data.metrics, **means_of(0.5)}

    def test_runs_that_are_there_twice_are_deleted_but_for_the_first(
        self, config: TrackingConfig, monkeypatch: pytest.MonkeyPatch
    ):
        """A request that was answered too late is sent again."""
        monkeypatch.setattr(lookup, "_PAGE", 2)
        first = SearchRun.open(config, ID, FACTS)
        for number in range(3):
            train(first, number, range(1, 3), TrialState.FINISHED)
        parent = stop(first)["run_id"]
        once, client = runs_of(config), MlflowClient(config.tracking_uri)
        for run in once:
            client.create_run(run.info.experiment_id, tags=run.data.tags)
        again = SearchRun.open(config, ID, FACTS)
        assert [run.info.run_id for run in runs_of(config)] == [run.info.run_id for run in once]
        train(again, 3, range(1, 3), TrialState.FINISHED)
        wait_for(lambda: "03" in children(config, parent))
        own = children(config, parent)["03"]
        client.create_run(own.info.experiment_id, 1, own.data.tags)  # of two, the one that is written to counts
        assert stop(again)["run_id"] == parent
        assert children(config, parent)["03"].info.run_id == own.info.run_id

    def test_a_store_that_was_emptied_is_filled_anew(self, config: TrackingConfig, tmp_path: Path, empty_store: Path):
        first = SearchRun.open(config, ID, FACTS)
        before = train(first, 0, range(1, 3), TrialState.FINISHED)
        stop(first, "KILLED")
        shutil.copy(empty_store, tmp_path / "other.db")
        other = config.model_copy(update={"tracking_uri": f"sqlite:///{tmp_path}/other.db"})
        again = SearchRun.open(other, ID, FACTS)
        again.replay([remembered(0, 2, before.state)])
        train(again, 1, range(1, 3), TrialState.FINISHED)
        runs = children(other, stop(again)["run_id"])
        assert [len(history(other, runs[key])) for key in ("00", "01")] == [2, 2]

    def test_a_search_whose_run_was_deleted_gets_a_new_one_with_its_trials(self, config: TrackingConfig):
        first = SearchRun.open(config, ID, FACTS)
        train(first, 0, range(1, 3), TrialState.FINISHED)
        parent = stop(first)["run_id"]
        before = children(config, parent)
        MlflowClient(config.tracking_uri).delete_run(parent)
        after = stop(SearchRun.open(config, ID, FACTS))["run_id"]
        assert after != parent
        assert children(config, after)["00"].info.run_id == before["00"].info.run_id

    def test_an_experiment_may_be_renamed(self, config: TrackingConfig):
        before = stop(SearchRun.open(config, ID, FACTS))
        client = MlflowClient(config.tracking_uri)
        client.rename_experiment(client.get_run(before["run_id"]).info.experiment_id, "last year")
        run = SearchRun.open(config, ID, FACTS)
        train(run, 0, range(1, 3), TrialState.FINISHED)
        summary = stop(run)
        assert (summary["run_id"], summary["experiment"]) == (before["run_id"], "last year")
        assert list(children(config, before["run_id"])) == ["00"]
        assert client.get_experiment_by_name("weightflow") is None


class TestSync:
    def test_a_search_that_mlflow_has_never_seen_is_there_in_full(self, config: TrackingConfig, tmp_path: Path):
        summary = send(config, tmp_path, None)
        runs = children(config, summary["run_id"])
        states = {key: (run.info.status, run.data.tags["state"]) for key, run in runs.items()}
        assert states == {
            "00": ("FINISHED", "finished"),
            "01": ("FAILED", "failed"),
            "02": ("KILLED", "stopped"),
            "03": ("FINISHED", "pruned"),
        }
        assert history(config, runs["00"]) == [(epoch, metrics(epoch)["score"]) for epoch in range(1, 4)]
        assert runs["00"].data.metrics[MODEL_SCORE] == 0.25
        assert (runs["00"].info.end_time or 0) - runs["00"].info.start_time >= 1500, "as long as the trial took"
        assert parent_run(config).data.tags["role"] == "search"
        assert "pictures/weights.png" in files(config, runs["00"])
        assert MlflowClient(config.tracking_uri).get_run(summary["run_id"]).info.status == "FINISHED"

    @pytest.mark.slow
    def test_a_hundred_trials_are_sent_within_seconds_and_keep_their_times(self, config: TrackingConfig):
        began = 1_700_000_000.0
        records = [
            replace(remembered(n, 12, TrialState.FINISHED), started=began + 60 * n, ended=began + 60 * n + 6.5)
            for n in range(100)
        ]
        ended = int(1000 * (began + 7000))
        clock = time.process_time()  # how busy the machine is with other tests is not in question
        sync(config, ID, FACTS, records, Results("FINISHED", records[0], at=ended), began - 20)
        assert time.process_time() - clock < 10
        parent, runs = parent_run(config), children(config, parent_of(config))
        assert (parent.info.start_time, parent.info.end_time) == (int(1000 * (began - 20)), ended)
        assert len(runs) == 100
        for n, run in enumerate(runs[key] for key in sorted(runs)):
            start = int(1000 * began) + 60_000 * n
            assert (run.info.start_time, run.info.end_time) == (start, start + 6500)
        points = MlflowClient(config.tracking_uri).get_metric_history(runs["03"].info.run_id, "score")
        first = int(1000 * began) + 180_000
        assert [point.timestamp - first for point in points] == [500 * epoch for epoch in range(1, 13)]

    def test_sent_twice_it_is_there_once(self, config: TrackingConfig, tmp_path: Path, model_dir: Path):
        summary = send(config, tmp_path, model_dir)
        once = everything(config)
        assert [len(once["models"]), len(once["versions"])] == [1, 1]
        assert send(config, tmp_path, model_dir) == summary
        assert everything(config) == once

    def test_what_a_search_has_written_itself_is_completed(
        self, config: TrackingConfig, tmp_path: Path, model_dir: Path
    ):
        run = SearchRun.open(config, ID, FACTS)
        train(run, 0, range(1, 3), None)
        parent = parent_of(config)
        wait_for(lambda: scored(config, parent))
        client, best = MlflowClient(config.tracking_uri), children(config, parent)["00"]
        # what is left of a search that is killed while it logs its model
        client.create_logged_model(best.info.experiment_id, source_run_id=best.info.run_id, model_type="weightflow")
        summary = send(config, tmp_path, model_dir)
        assert (summary["run_id"], summary["best_run_id"]) == (parent, best.info.run_id)
        assert len(everything(config)["models"]) == 1
        assert history(config, best) == [(epoch, metrics(epoch)["score"]) for epoch in range(1, 4)]

    def test_files_that_are_not_there_are_an_error(self, config: TrackingConfig, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(InputError, match=r"not taken all of the search night: .*gone.html.* weightflow sync night"):
            sync(config, ID, FACTS, [], Results("FINISHED", remembered(0, 2), files=[Path("gone.html")]))
        assert capsys.readouterr().err == "", "it is told once"


class TestStoresThatCannotBeOpened:
    @pytest.mark.parametrize(
        ("uri", "shown"),
        [
            ("sqlite:///{folder}/text.db", "file is not a database"),
            ("sqlite:///{folder}/text.db/mlflow.db", "File exists"),
            ("http://me:secret@127.0.0.1:9", "http://me:***@127.0.0.1:9"),
            ("nonsense://x", "nonsense"),
        ],
    )
    def test_they_are_named_at_once(self, tmp_path: Path, uri: str, shown: str):
        (tmp_path / "text.db").write_text("no database, but some words of text" * 100)
        began = time.monotonic()
        with pytest.raises(InputError) as error:
            SearchRun.open(settings(tmp_path, tracking_uri=uri.format(folder=tmp_path)), ID, FACTS)
        assert time.monotonic() - began < 20
        said = str(error.value)
        assert shown in said
        assert "name another as `tracking_uri` in mlflow.yml" in said
        assert "secret" not in said

    def test_a_deleted_experiment_is_named_with_its_remedy(self, config: TrackingConfig, tmp_path: Path):
        before = stop(SearchRun.open(config, ID, FACTS))["run_id"]
        client = MlflowClient(config.tracking_uri)
        found = client.get_experiment_by_name("weightflow")
        assert found is not None
        client.delete_experiment(found.experiment_id)
        with pytest.raises(InputError, match=f"restore --experiment-id {found.experiment_id}"):
            SearchRun.open(config, ID, FACTS)
        client.restore_experiment(found.experiment_id)
        assert stop(SearchRun.open(config, ID, FACTS))["run_id"] == before

    def test_a_search_goes_on_while_its_store_is_away_and_sends_what_it_has_at_its_end(
        self, tmp_path: Path, empty_store: Path, capsys: pytest.CaptureFixture[str]
    ):
        away = tmp_path / "away"
        config = settings(tmp_path, tracking_uri=f"sqlite:///{away}/mlflow.db")
        away.touch()
        with pytest.raises(InputError, match="cannot be used"):  # one that begins is refused
            open_run(config, ID, FACTS, known=False)
        results = Results("KILLED", reason="it was asked to stop")
        for back in (False, True):
            run = open_run(config, ID, FACTS, known=True)
            warning = capsys.readouterr().err
            assert warning.startswith("warning: MLflow at sqlite:")
            assert warning.endswith("`python -m weightflow sync night`.\n")
            assert warning.count("\n") == 1
            run.replay([remembered(0, 2, TrialState.FINISHED)])
            for record in (remembered(1, 1), remembered(1, 2)):
                run.start_trial(record)
                run.log_epoch(record, record.epochs, metrics(record.epochs))
            run.end_trial(remembered(1, 2, TrialState.PRUNED))
            if back:
                away.unlink()
                away.mkdir()
                shutil.copy(empty_store, away)
            found = run.finish(results)
            assert ("problem" in found) != back
            assert run.finish(results) == {}
            assert capsys.readouterr().err == ""
        runs = children(config, parent_of(config))
        assert {number: run.data.tags["state"] for number, run in runs.items()} == {"00": "finished", "01": "pruned"}
        assert history(config, runs["01"]) == [(1, 3.9), (2, 3.8)]

    def test_files_that_cannot_be_stored_are_found_out_at_the_start(self, tmp_path: Path, empty_store: Path):
        (tmp_path / "taken").touch()
        shutil.copy(empty_store, tmp_path)
        config = settings(tmp_path, artifact_root="taken/files")
        with pytest.raises(InputError, match="cannot be tracked in sqlite"):
            SearchRun.open(config, ID, FACTS)
        client = MlflowClient(config.tracking_uri)
        assert not client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path, model_dir: Path
) -> tuple[TrackingConfig, dict[str, str]]:
    """A search that has left everything."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(empty_store, folder)
    config = settings(folder)
    return config, finish_with_model(config, folder, model_dir)


class TestResults:
    def test_the_best_run_carries_everything(self, finished: tuple[TrackingConfig, dict[str, str]]):
        config, summary = finished
        best = MlflowClient(config.tracking_uri).get_run(summary["best_run_id"])
        assert files(config, best) == {
            "model/config.json", "model/model.safetensors", "pictures/weights.png", "report.html", "scores.json"
        }  # fmt: skip
        assert best.data.metrics.items() >= {**means_of(0.25), "score": 3.7}.items()
        assert history(config, best, MODEL_SCORE) == [(3, 0.25)]

    def test_the_search_carries_the_outcome(self, finished: tuple[TrackingConfig, dict[str, str]]):
        config, summary = finished
        parent = MlflowClient(config.tracking_uri).get_run(summary["run_id"])
        assert files(config, parent) == {"report.html", "scores.json", "search.json"}
        measured = {key: value for key, value in parent.data.metrics.items() if not key.startswith("system/")}
        limits = {key: value for key, value in measured.items() if key.endswith(("_low", "_high"))}
        counts = {"finished": 1.0, "pruned": 0.0, "failed": 0.0, "stopped": 0.0, "repeats": 0.0}
        expected = {**means_of(0.25), "score": 3.7, **{f"trials/{state}": n for state, n in counts.items()}}
        assert {key: value for key, value in measured.items() if key not in limits} == expected
        interval = scores_of(0.25).interval("model", "energy_distance")
        assert interval is not None
        assert (limits[f"{MODEL_SCORE}_low"], limits[f"{MODEL_SCORE}_high"]) == (interval.low, interval.high)
        assert len(limits) == 2 * len(means_of(0.25))
        assert parent.data.tags["verdict"] == (
            "The model is closer to the data than every alternative beyond chance: it has energy distance 0.2500, "
            "McCann's interpolation has 0.8000, and a perfect model would have 0.1000."
        )
        note = parent.data.tags["mlflow.note.content"]
        assert note.startswith(f"{parent.data.tags['verdict']}\n\nModel: of trial [00 ode h32 d2](")
        assert f"/runs/{summary['best_run_id']}/artifacts/report.html?workflowType=machine_learning)" in note
        assert "By energy distance the model has 0.2500. It is 2.50 times" in note
        assert parent.data.tags["best_trial"] == "00 ode h32 d2"
        assert parent.data.tags["best_run_id"] == summary["best_run_id"]
        assert (parent.info.status, parent.data.tags["state"]) == ("FINISHED", "finished")

    def test_the_model_is_registered_with_where_it_comes_from(self, finished: tuple[TrackingConfig, dict[str, str]]):
        config, summary = finished
        client = MlflowClient(config.tracking_uri)
        version = client.get_model_version("weightflow-cells", "1")
        assert (summary["model_uri"], version.run_id) == ("models:/weightflow-cells/1", summary["best_run_id"])
        figures = {
            "model": "0.2500",
            "floor": "0.1000",
            "persistence": "1.000",
            "mixture": "0.9000",
            "mccann": "0.8000",
        }
        assert version.tags == {
            "search": "night",
            "data": "cells",
            "data_hash": "d4f1",
            "protocol": "paper",
            **{f"test/energy_distance/{name}": figure for name, figure in figures.items()},
        }
        link = f"](/#/experiments/1/runs/{summary['run_id']}?workflowType=machine_learning)"
        assert f"of the search [night{link}" in (version.description or "")
        assert "It beats every alternative beyond chance" in (version.description or "")
        outputs = client.get_run(summary["best_run_id"]).outputs
        assert outputs is not None
        (output,) = outputs.model_outputs
        model = client.get_logged_model(output.model_id)
        assert model.artifact_location == version.source
        assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "weightflow-cells", "version": 1}]
        assert {metric.key: metric.value for metric in model.metrics or []} == means_of(0.25)

    def test_the_model_predicts_in_a_fresh_process_that_does_not_have_this_package(
        self, finished: tuple[TrackingConfig, dict[str, str]], model_dir: Path, tmp_path: Path
    ):
        config, summary = finished
        code = (
            "import sys, mlflow, pandas as pd\n"
            f"mlflow.set_tracking_uri({config.tracking_uri!r})\n"
            f"model = mlflow.pyfunc.load_model({summary['model_uri']!r})\n"
            "table = model.predict(pd.DataFrame({'time': [0, 2]}), {'draws': 5, 'seed': 3})\n"
            "table.to_json('out.json', orient='table')\n"
            "print(sys.modules['weightflow'].__file__)\n"
        )
        done = python(tmp_path, "-c", code)
        assert done.returncode == 0, done.stderr
        assert "mlartifacts" in done.stdout, "the package travels with the model"
        table = pd.read_json(tmp_path / "out.json", orient="table")
        assert list(table.columns) == ["time", "draw", "prey", "predator"]
        assert [str(kind) for kind in table.dtypes] == ["float64", "int64", "int64", "int64"]
        expected = weightflow.load(model_dir).sample([0.0, 2.0], 5, seed=3).numpy().reshape(10, 2)
        np.testing.assert_array_equal(table[["prey", "predator"]], expected)
        np.testing.assert_array_equal(table["time"], [0.0] * 5 + [2.0] * 5)

    @pytest.mark.slow
    def test_the_model_names_all_that_it_needs(self, root: Path):
        """Every package that is imported on the way to `weightflow.load` is among the model's requirements."""
        code = (
            "import sys, weightflow; weightflow.load\n"  # asked for, it is imported
            "print(*[m.__file__ for k, m in sys.modules.items() if k.startswith('weightflow')])"
        )
        sources = [Path(file) for file in python(root, "-c", code).stdout.split()]
        imported = {name for source in sources for name in imports(source)} - sys.stdlib_module_names - {"weightflow"}
        assert len(sources) > 20
        distributions = packages_distributions()
        # of files and stores, which a served model does not read; imported where they are needed
        readers = {"anndata", "h5py", "pyarrow"}
        assert {distributions[name][0] for name in imported - readers} | {"pandas"} <= set(SERVED_WITH)

    def test_a_model_that_does_not_clear_the_bar_is_logged_and_no_version(
        self, config: TrackingConfig, tmp_path: Path, model_dir: Path
    ):
        for close in (0.7995, 0.8):  # by less than the groups differ, and not at all
            found = finish_with_model(config, tmp_path, model_dir, f"close-{close}", scores_of(close, mccann=0.8))
            assert ("model" in found, "unregistered" in found) == (close < 0.8, close == 0.8)
        client = MlflowClient(config.tracking_uri)
        models = client.search_logged_models([client.get_run(found["run_id"]).info.experiment_id])
        assert len(models) == 2
        worse = finish_with_model(config, tmp_path, model_dir, "asked", scores_of(2.0), register=True)
        assert (worse["model_version"], worse["alias"]) == ("2", "challenger")

    def test_the_champion_is_replaced_only_by_what_is_better_beyond_chance_on_the_same_data(
        self, config: TrackingConfig, tmp_path: Path, model_dir: Path
    ):
        """Version by version: which alias it gets, and who is the champion then."""
        elsewhere = replace(scores_of(0.1), data="07e4")
        tried = [
            (scores_of(2.0), "challenger", None),
            (scores_of(0.5), "champion", "2"),
            (scores_of(0.6), "challenger", "2"),
            (elsewhere, "challenger", "2"),
            (replace(scores_of(0.1), groups={}), "challenger", "2"),  # nobody knows what chance would do
            (scores_of(0.4), "champion", "6"),
        ]
        client = MlflowClient(config.tracking_uri)
        for i, (scores, alias, champion) in enumerate(tried):
            found = finish_with_model(config, tmp_path, model_dir, f"try-{i}", scores, register=True)
            assert (found["model_version"], found["alias"]) == (str(i + 1), alias)
            aliases = client.get_registered_model("weightflow-cells").aliases
            assert str(aliases.get("champion")) == str(champion)
        assert str(client.get_registered_model("weightflow-cells").aliases["challenger"]) == "5"

    def test_the_next_search_makes_the_next_version(self, config: TrackingConfig, tmp_path: Path, model_dir: Path):
        for version in ("1", "2"):
            assert finish_with_model(config, tmp_path, model_dir, f"night-{version}")["model_version"] == version

    def test_only_the_first_finish_counts(self, config: TrackingConfig, tmp_path: Path):
        run = SearchRun.open(config, ID, FACTS)
        parent = stop(run)["run_id"]
        assert stop(run, "FAILED") == {}
        assert MlflowClient(config.tracking_uri).get_run(parent).info.status == "FINISHED"

    @pytest.mark.slow
    def test_nothing_is_printed_and_nothing_else_is_changed(self, tmp_path: Path, root: Path, model_dir: Path):
        code = (
            "import logging, os\n"
            "from pathlib import Path\n"
            "before, level = dict(os.environ), logging.getLogger().level\n"
            "from test_tracking import finish_with_model, settings\n"
            f"finish_with_model(settings(Path({str(tmp_path)!r})), Path({str(tmp_path)!r}), Path({str(model_dir)!r}))\n"
            "import mlflow\n"
            "assert mlflow.active_run() is None and logging.getLogger().level == level\n"
            "changed = {key for key in os.environ if os.environ[key] != before.get(key)}\n"
            "assert os.environ['MLFLOW_DISABLE_TELEMETRY'] == 'true'\n"
            "assert 'MLFLOW_TRACKING_URI' not in changed, changed\n"
        )
        done = python(root / "tests", "-c", code)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert {path.name for path in tmp_path.iterdir()} >= {"mlflow.db", "mlartifacts"}


@dataclass
class Server:
    """A real tracking server, which can be killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder}/server.db",
            "--artifacts-destination", (self.folder / "kept").as_uri(),
        ]  # fmt: skip
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self.answers, 60.0)

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.uri}/health", timeout=2).ok
        except requests.ConnectionError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), free_port())
    server.start()
    yield server
    server.kill()


class TestServer:
    @pytest.fixture(autouse=True)
    def short_of_patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the seconds between the second and the third time of trying."""
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

    def test_a_server_gets_everything_and_says_where(self, server: Server, tmp_path: Path, model_dir: Path):
        config = settings(tmp_path, tracking_uri=server.uri.replace("://", "://someuser:secret@"))
        summary = finish_with_model(config, tmp_path, model_dir, "all")
        assert "problem" not in summary
        assert summary["tracking_uri"] == server.uri.replace("://", "://someuser:***@")
        client = MlflowClient(server.uri)
        best = client.get_run(summary["best_run_id"])
        assert "pictures/weights.png" in files(config, best)
        assert (best.info.artifact_uri or "").startswith("mlflow-artifacts:"), "the server keeps the files"
        page = f"{server.uri}/#/experiments/{best.info.experiment_id}/runs"
        assert summary["best_url"] == f"{page}/{best.info.run_id}?workflowType=machine_learning"
        assert summary["runs"] == f"{page}?viewStateShareKey=weightflow-d4f1-paper-1&workflowType=machine_learning"
        assert client.get_model_version("weightflow-cells", "1").run_id == best.info.run_id
        assert not list(tmp_path.glob("ml*/")), "nothing is left on this machine"

    def test_trials_that_are_sent_side_by_side_arrive_once_each(self, server: Server, tmp_path: Path):
        config = settings(tmp_path, tracking_uri=server.uri)
        records = [remembered(n, 2, ENDS[n % len(ENDS)], reason=f"of {n}") for n in range(24)]
        run = SearchRun.open(config, "many", FACTS, live=False)
        run.replay(records[:12])
        assert "problem" not in stop(run)
        (deleted,) = [one for one in runs_of(config, "many") if one.data.tags.get("trial") == "7"]
        again = SearchRun.open(config, "many", FACTS, live=False)
        again.replay(records)
        MlflowClient(server.uri).delete_run(deleted.info.run_id)
        again.end_trial(replace(records[7], reason="of nobody"))
        assert "active" in stop(again)["problem"], "that one is refused, and the others are not held up"
        runs = children(config, parent_of(config, "many"))
        assert sorted(runs) == [f"{n:02d}" for n in range(24) if n != 7]
        for n in set(range(24)) - {7}:
            run_of = runs[f"{n:02d}"]
            assert run_of.data.params["dynamics.hidden"] == str(32 * (n + 1))
            assert (run_of.data.tags["state"], run_of.data.tags["reason"]) == (ENDS[n % len(ENDS)].value, f"of {n}")
            assert history(config, run_of) == [(1, 3.9), (2, 3.8)]

    @pytest.mark.slow
    def test_a_server_that_dies_and_comes_back_misses_nothing(
        self, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        config = settings(tmp_path, tracking_uri=server.uri)
        run = SearchRun.open(config, "back", FACTS)
        train(run, 0, range(1, 4), None)
        parent = parent_of(config, "back")
        wait_for(lambda: scored(config, parent))
        server.kill()
        began = time.monotonic()
        train(run, 0, range(4, 8), TrialState.FINISHED)
        train(run, 1, range(1, 1001), TrialState.FINISHED)
        train(run, 2, range(1, 4), None)
        assert time.monotonic() - began < 1.0, "the search never waits"
        said: list[str] = []
        wait_for(lambda: bool(said.append(capsys.readouterr().err) or "".join(said)))
        server.start()

        def ended() -> list[str]:
            runs = children(config, parent)
            return [key for key in sorted(runs) if runs[key].info.status == "FINISHED"]

        wait_for(lambda: ended() == ["00", "01"])  # while the search goes on
        train(run, 2, range(4, 6), TrialState.FINISHED)
        assert "problem" not in stop(run)
        runs = children(config, parent)
        assert [step for step, _ in history(config, runs["00"])] == list(range(1, 8))
        assert len(history(config, runs["01"])) == 1000
        assert [step for step, _ in history(config, runs["02"])] == list(range(1, 6))
        assert {run.info.status for run in runs.values()} == {"FINISHED"}
        text = "".join(said) + capsys.readouterr().err
        assert text.count("warning: MLflow at http://127.0.0.1") == text.count("\n") == 1, text
        assert "`python -m weightflow sync night`" in text

    @pytest.mark.slow
    def test_what_a_server_that_stays_dead_has_missed_is_sent_later(
        self, server: Server, tmp_path: Path, model_dir: Path, capsys: pytest.CaptureFixture[str]
    ):
        config = settings(tmp_path, tracking_uri=server.uri)
        run = SearchRun.open(config, "later", FACTS)
        train(run, 0, range(1, 3), None)
        parent = parent_of(config, "later")
        wait_for(lambda: scored(config, parent))
        server.kill()
        best = train(run, 0, range(3, 4), TrialState.FINISHED)
        began = time.monotonic()
        summary = run.finish(Results("FINISHED", best, model_dir, scores=scores_of(0.25)))
        assert time.monotonic() - began < 30
        assert "Connection refused" in summary["problem"]
        assert capsys.readouterr().err.count("\n") == 1
        with pytest.raises(InputError, match=r"http://127.* cannot be used: Connection refused; start it"):
            send(config, tmp_path, model_dir, "later")

        server.start()
        sent = send(config, tmp_path, model_dir, "later")
        assert sent["run_id"] == parent
        runs = children(config, parent)
        assert [step for step, _ in history(config, runs["00"])] == [1, 2, 3]
        assert sorted(runs) == ["00", "01", "02", "03"]
        once = everything(config, "later")
        assert [len(once["models"]), len(once["versions"])] == [1, 1]
        assert send(config, tmp_path, model_dir, "later") == sent
        assert everything(config, "later") == once


def finish_with_model(
    config: TrackingConfig,
    folder: Path,
    model_dir: Path,
    search_id: str = ID,
    scores: Scores | None = None,
    register: bool = False,
) -> dict[str, str]:
    """One search with one trial and all results."""
    scores = scores or scores_of(0.25)
    run = SearchRun.open(config, search_id, FACTS)
    best = train(run, 0, range(1, 4), TrialState.FINISHED)
    return run.finish(Results("FINISHED", best, model_dir, *left_on_disk(folder, scores), scores, register=register))


def send(config: TrackingConfig, folder: Path, model_dir: Path | None, search_id: str = ID) -> dict[str, str]:
    """A search with four trials, from its disk."""
    records = [
        remembered(0, 3, TrialState.FINISHED),
        remembered(1, 1, TrialState.FAILED, reason="loss is not finite", retries=2),
        remembered(2, 2),
        remembered(3, 2, TrialState.PRUNED),
    ]
    results = Results("FINISHED", records[0], model_dir, *left_on_disk(folder), scores_of(0.25))
    return sync(config, search_id, FACTS, records, results)


def left_on_disk(folder: Path, scores: Scores | None = None) -> tuple[list[Path], list[Path]]:
    """Files and pictures of a search."""
    results, pictures = [folder / "scores.json", folder / "report.html"], [folder / "pictures" / "weights.png"]
    pictures[0].parent.mkdir(exist_ok=True)
    for file in results:
        file.write_text("{}")
    if scores is not None:
        scores.write(results[0])
    pictures[0].write_bytes(b"\x89PNG")
    return results, pictures


TRIALS, EPOCHS = 3, 40


def live(folder: Path, opened: int | None = None) -> SearchRun:
    """One life of a search: it keeps on its disk how many epochs its trials have done, and goes on from there.

    `opened` is a pipe that hears of it when the search has its run, and again when its first trial has one.
    """
    run = SearchRun.open(settings(folder), ID, FACTS)
    if opened is not None:
        os.write(opened, b".")
        run.start_trial(remembered(0, 0))
        wait_for(lambda: run._trials[0].run is not None)
        os.write(opened, b".")
    for number in range(TRIALS):
        with (folder / f"epochs-{number}").open("ab", buffering=0) as disk:
            done = disk.tell()
            run.start_trial(remembered(number, done))
            for epoch in range(done + 1, EPOCHS + 1):
                disk.write(b".")
                run.log_epoch(trial(number, epochs=epoch), epoch, metrics(epoch))
                time.sleep(0.005)  # an epoch's work: a life that writes at once would end before it is killed
        run.end_trial(remembered(number, EPOCHS, TrialState.FINISHED))
    return run


def kill_again_and_again(folder: str, lives: int = 10, seed: int = 0) -> None:
    """Begin lives and kill them, at another moment each: half of them before they have opened their runs."""
    import_module("mlflow.store.tracking.sqlalchemy_store")  # once here instead of in each life
    search_run._WRITE_SECONDS = 0.02
    chance, opening = random.Random(seed), 0.3
    for life in range(lives):
        listen, tell = os.pipe()
        process = os.fork()
        if process == 0:
            live(Path(folder), tell)
            signal.pause()
        began = time.monotonic()
        if life % 2:
            os.read(listen, 1)
            opening = time.monotonic() - began
        if life == lives - 1:
            os.read(listen, 1)
        time.sleep(chance.uniform(0.0, 0.1 if life % 2 else opening))  # the moment is what is tested: any may come
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def files(config: TrackingConfig, run: Run, folder: str | None = None) -> set[str]:
    found: set[str] = set()
    for one in MlflowClient(config.tracking_uri).list_artifacts(run.info.run_id, folder):
        found |= files(config, run, one.path) if one.is_dir else {one.path}
    return found


def imports(source: Path) -> set[str]:
    """Names of the packages that a file imports."""
    nodes = list(ast.walk(ast.parse(source.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    taken = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in plain | taken}


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class TestStoreOfSqlite:
    """MLflow makes its tables in many steps, and cannot open a store that lacks some of them."""

    def test_it_is_whole_or_not_there_however_early_a_search_is_killed(self, tmp_path: Path) -> None:
        config = settings(tmp_path / "made")
        file = Path(config.tracking_uri.removeprefix("sqlite:///"))
        code = f"from test_tracking import *; open_store(settings(Path({str(file.parent)!r})))"

        def written() -> int:
            return sum(one.stat().st_size for one in file.parent.glob(f"{file.name}.new-*[0-9a-f]"))

        for size in (50_000, 200_000, 400_000):  # a whole one has 950,000 bytes
            process = subprocess.Popen(
                [sys.executable, "-c", code], cwd=Path(__file__).parent, stderr=subprocess.DEVNULL
            )
            wait_for(lambda size=size: written() > size, seconds=60)
            process.kill()
            process.wait()
            assert not file.exists()
        client = open_store(config)
        assert [one.name for one in client.search_experiments()] == ["Default"]
        assert list(file.parent.glob("*.new-*")) == []

    def test_one_that_was_interrupted_is_made_by_the_same_process_later(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = settings(tmp_path / "made")
        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, "search_experiments", interrupted)
            with pytest.raises(KeyboardInterrupt):
                open_store(config)
        assert not Path(config.tracking_uri.removeprefix("sqlite:///")).exists()
        assert open_experiment(open_store(config), config)

    def test_a_link_to_where_it_is_to_lie_stays_one(self, tmp_path: Path) -> None:
        config = settings(tmp_path / "here")
        link = Path(config.tracking_uri.removeprefix("sqlite:///"))
        link.parent.mkdir(exist_ok=True)
        target = tmp_path / "there.db"
        link.symlink_to(target)
        open_store(config)
        assert link.is_symlink()
        assert target.stat().st_size > 0


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
