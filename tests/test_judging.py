"""Judging without a search: `score` and `compare`, as a user types them."""

import html
import re
import runpy
import shutil
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

import weightflow
from weightflow.cache import ArrayCache
from weightflow.data import Dataset, Snapshots, Split, leave_one_out, parse_times
from weightflow.errors import WeightFlowError
from weightflow.evaluation import Nearest, Scores, evaluate
from weightflow.experiment import ExperimentConfig, Fitted, fit_each, judge
from weightflow.search.cluster.connection import connected
from weightflow.search.cluster.resources import Wanted, usable_cpus
from weightflow.search.cluster.workers import WorkerPool
from weightflow.search.results.conclusion import next_commands
from weightflow.side_by_side import in_processes

pytestmark = pytest.mark.timeout(300)  # the processes of fits import torch, which a busy machine does slowly

SMALL = """
anchors.base_steps: 40
anchors.steps: 30
anchors.rounds: 1
teacher.steps: 40
teacher.rounds: 1
bridge.drift_steps: 5
dynamics.hidden: 8
dynamics.heads: 1
dynamics.steps: 6
training.epochs: 3
training.collocation_steps: 5
training.rollout_steps: 2
training.rounds: 1
"""
TIMES = np.arange(4.0)


def clouds(times: np.ndarray, seed: int = 1) -> Snapshots:
    """Other cells at each time: a cloud that moves by 1 a day in both species."""
    rng = np.random.default_rng(seed)
    return Snapshots(times, tuple(rng.normal(time, 1.0, (120, 2)) for time in times), ("A", "B"))


def write(path: Path, snapshots: Snapshots) -> None:
    rows = [
        f"{time:g},{a!r},{b!r}"
        for time, cloud in zip(snapshots.times, snapshots.samples, strict=True)
        for a, b in cloud.tolist()
    ]
    path.write_text("\n".join(["time,A,B", *rows]) + "\n")


def say(monkeypatch: pytest.MonkeyPatch, folder: Path, words: str) -> int:
    """Run a command in this process; return its exit code."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["weightflow", *words.split()])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("weightflow", run_name="__main__", alter_sys=True)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def scored(
    monkeypatch: pytest.MonkeyPatch, workplace: Path, capsys: pytest.CaptureFixture[str], data: str, out: str
) -> tuple[str, Scores]:
    """Score the model of the workplace on data; return what is said, and what is left in a folder."""
    assert say(monkeypatch, workplace, f"score --model model --data {data}") == 0
    said = " ".join(capsys.readouterr().out.split())
    return said, Scores.from_json((workplace / out / "scores.json").read_text())


def words_of(page: Path) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.unescape(page.read_text())).split())


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of four times, another with two times more, and a model of the first one."""
    folder = tmp_path_factory.mktemp("judging")
    (folder / "small.yaml").write_text(SMALL)
    (folder / "mlflow.yml").write_text("tracking_uri: sqlite:///runs.db\nexperiment: tests\n")
    four = clouds(TIMES)
    write(folder / "four.csv", four)
    between = clouds(np.array([1.5, 4.0]), seed=2)
    both = [*zip(four.times, four.samples, strict=True), *zip(between.times, between.samples, strict=True)]
    both.sort(key=lambda pair: pair[0])
    write(folder / "six.csv", Snapshots(np.array([t for t, _ in both]), tuple(x for _, x in both), ("A", "B")))
    write(folder / "others.csv", clouds(np.array([0.5, 2.5]), seed=3))
    config = weightflow.preset("default", **nested())
    weightflow.fit(four, config).save(folder / "model")
    return folder


def nested() -> dict[str, dict[str, int]]:
    groups: dict[str, dict[str, int]] = {}
    for line in SMALL.split("\n"):
        if line:
            key, value = line.split(": ")
            group, name = key.split(".")
            groups.setdefault(group, {})[name] = int(value)
    return groups


@pytest.fixture(scope="module")
def judged(workplace: Path) -> str:
    """What is printed where the method is judged on four times; it is left in the folder `judged`."""
    command = "score --data four.csv --leave-one-out --out judged --config small.yaml --mlflow mlflow.yml"
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
        assert say(patch, workplace, command) == 0
    return " ".join(out.getvalue().split())


def test_a_method_is_judged_by_leaving_each_time_out(judged: str, workplace: Path) -> None:
    assert "tested at the end: t = 1, 2, 3, each left out in turn, by fits to all others" in judged
    assert "4 fits follow" in judged
    scores = Scores.from_json((workplace / "judged" / "scores.json").read_text())
    assert (scores.protocol, scores.times, scores.selected) == ("leave-one-out", (1.0, 2.0, 3.0), False)
    beside = {"nearest", "persistence", "mixture", "mccann", "bridge", "direct", "floor"}
    assert set(scores.methods) - {"chosen_bridge"} == {"model", *beside}
    assert scores.by_time("persistence", "species_w1") == pytest.approx([1.0, 1.0, 1.0], abs=0.3)
    assert max(scores.by_time("mccann", "species_w1")) < 0.4
    assert weightflow.load(workplace / "judged" / "best").record["times"] == TIMES.tolist()
    page = words_of(workplace / "judged" / "report.html")
    assert "Each scored time was left out in turn" in page
    assert "There was no search" in page
    assert "Learned from 4 snapshots of 120 samples each; judged" in page


def test_the_model_of_each_left_out_time_is_the_fit_to_the_others(judged: str, workplace: Path) -> None:
    scores = Scores.from_json((workplace / "judged" / "scores.json").read_text())
    data = clouds(TIMES)
    by_hand = weightflow.fit(data.subset([0, 1, 3]), weightflow.preset("default", **nested()))
    lost = -by_hand.log_prob(data.samples[2], 2.0).numpy().mean()
    assert scores.by_time("model", "nll")[1] == pytest.approx(lost, rel=1e-6)


def test_what_was_judged_is_a_run_in_mlflow_if_that_is_asked_for(judged: str, workplace: Path) -> None:
    scores = Scores.from_json((workplace / "judged" / "scores.json").read_text())
    (run,) = mlflow.MlflowClient(f"sqlite:///{workplace / 'runs.db'}").search_runs(["1"])
    assert run.info.run_name == "judged"
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/species_w1/model"] == pytest.approx(scores.mean("model", "species_w1"))
    assert "MLflow has it as run judged" in judged


def left_out_fits() -> tuple[Split, ExperimentConfig, list[Fitted]]:
    """Return four times, each but the first one left out in turn, and the fits to the others, made one by one."""
    parts = leave_one_out(Dataset("four", clouds(TIMES), (0, 1, 2, 3), paired=False))
    config = weightflow.preset("default", **nested())
    return parts, config, fit_each([fold.fit for fold in parts.tests], config, 0)


@pytest.mark.slow
def test_fits_and_scores_made_side_by_side_are_those_made_one_by_one_to_the_last_digit() -> None:
    parts, config, fitted = left_out_fits()
    beside = in_processes(2)
    again = fit_each([fold.fit for fold in parts.tests], config, 0, mapper=beside)
    for one, other in zip(fitted, again, strict=True):
        assert torch.equal(one.model.weights([0.0, 1.5, 4.0]), other.model.weights([0.0, 1.5, 4.0]))
    told: list[tuple[str, int, int]] = []
    scores = judge(again, parts, 0, lambda *stand: told.append(stand), beside)
    assert scores.to_json() == judge(fitted, parts, 0).to_json()
    assert {phase for phase, _, _ in told} == {"scoring"}
    assert [done for _, done, _ in told] == list(range(told[0][2] + 1))  # none to begin with, and each one as it comes


@pytest.mark.ray
@pytest.mark.slow
def test_scores_from_the_workers_of_a_search_are_those_of_one_process_to_the_last_digit(
    ray_home: Path, tmp_path: Path
) -> None:
    parts, _, fitted = left_out_fits()
    cpus, said = usable_cpus(), list[str]()
    with (
        connected(None, Wanted(cpus, 0), said.append) as resources,
        WorkerPool(resources, ArrayCache(tmp_path), said.append) as pool,
    ):
        scores = judge(fitted, parts, 0, mapper=pool.map)
        one_species = Snapshots(TIMES, tuple(cloud[:, :1] for cloud in clouds(TIMES).samples))
        with pytest.raises(
            WeightFlowError, match=r"^`model` returned samples of shape \(3, 100, 1\), but 100 draws of 2"
        ):
            evaluate({"model": Nearest(one_species)}, parts, 100, 0, mapper=pool.map)
    assert scores.to_json() == judge(fitted, parts, 0).to_json()


@pytest.mark.parametrize(
    ("times", "grid"),
    [
        ([0.0, 1.0, 2.0, 3.0], "0:3:1"),
        ([8.0, 9.0, 10.0, 11.5], "8:11.5:0.5"),
        ([0.0, 0.7, 2.0, 2.7], "0,0.7,2,2.7"),
        ([0.0, 1.0, 1.0 + 1 / 3, 2.0], "0:2:0.333333333333"),
        ([0.0, 1.0, 2.7182818, 9.0], "0:9:1"),
        ([0.0, 1.0, 2.0, 7.0313], "0,1,2,7.0313"),
    ],
)
def test_the_command_that_is_printed_last_asks_for_times_that_forecast_takes(times: list[float], grid: str) -> None:
    parts = leave_one_out(Dataset("four", clouds(np.array(times)), (0, 1, 2, 3), paired=False))
    command, *_ = next_commands(Path("runs/four"), parts)
    assert f"--times {grid} " in command
    asked = parse_times(grid)
    assert (asked[0], asked[-1]) == (times[0], times[-1])


@pytest.mark.parametrize("kind", ["ode", "cde", "direct"])
@pytest.mark.parametrize("objective", ["likelihood", "anchor"])
def test_two_snapshots_which_is_what_a_fold_of_three_times_has_can_be_fitted_in_every_way(
    kind: str, objective: str
) -> None:
    parts = leave_one_out(Dataset("three", clouds(TIMES[:3]), (0, 1, 2), paired=False))
    options = {**nested(), "dynamics": {**nested()["dynamics"], "kind": kind, "z_dim": 4}}  # a space may ask for more
    options["training"] = {**options["training"], "objective": objective}
    config = weightflow.preset("default", **options)
    for fitted, fold in zip(fit_each([fold.fit for fold in parts.tests], config, 0), parts.tests, strict=True):
        (time,), (cloud,) = fold.held_out.times, fold.held_out.samples
        assert np.isfinite(fitted.model.log_prob(cloud, time).numpy()).all()
        if kind == "cde":  # the time, and the one direction in which two anchors differ
            assert fitted.model.path.state_dict()["field.control.values"].shape == (2, 2)


def test_a_model_is_scored_at_the_times_that_it_was_not_fitted_to(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said, scores = scored(monkeypatch, workplace, capsys, "six.csv", "model-on-six")
    assert "scored at t = 1.5, 4, which the model was not fitted to" in said
    assert "they rearrange the snapshots that the model was fitted to" in said
    assert (scores.protocol, scores.times) == ("unseen times", (1.5, 4.0))
    assert {"model", "mccann", "persistence", "floor"} <= set(scores.methods)
    assert scores.by_time("persistence", "species_w1") == pytest.approx([0.5, 1.0], abs=0.3)
    assert "</html>" in (workplace / "model-on-six" / "report.html").read_text()


@pytest.mark.slow
def test_scores_at_fitted_times_are_plainly_marked(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said, scores = scored(monkeypatch, workplace, capsys, "four.csv --out fitted", "fitted")
    assert "All these times were fitted" in said
    assert "none: they would hand out the scored samples themselves" in said
    assert (scores.protocol, scores.times) == ("fitted times", tuple(TIMES))
    assert set(scores.methods) == {"model", "floor"}
    assert "All these times were fitted" in words_of(workplace / "fitted" / "report.html")


def test_without_the_fitted_snapshots_the_model_stands_beside_the_floor_alone(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert say(monkeypatch, workplace, "score --model model --data others.csv --out others") == 0
    assert "the data do not hold snapshots at all times that the model was fitted to" in " ".join(
        capsys.readouterr().out.split()
    )
    scores = Scores.from_json((workplace / "others" / "scores.json").read_text())
    assert (set(scores.methods), scores.times) == ({"model", "floor"}, (0.5, 2.5))
    assert "Learned from 4 snapshots; judged at 2 times" in words_of(workplace / "others" / "report.html")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("score --data four.csv", "give one of the two"),
        ("score --data four.csv --model model --leave-one-out --out x", "give one of the two"),
        ("score --data four.csv --leave-one-out", "name their folder with `--out`"),
        ("score --data four.csv --model model --config small.yaml", "`--model` is fitted"),
        ("score --data two.csv --leave-one-out --out x", "nothing can be judged here"),
        ("score --data strange.csv --model model", "same species, in the same order"),
        ("score --data before.csv --model model", "lie before t=0"),
        ("compare judged", "two at least"),
        ("compare nowhere nothing", "`nowhere` is no folder with a scores.json"),
    ],
)
def test_what_cannot_be_judged_is_said(
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    says: str,
) -> None:
    write(workplace / "two.csv", clouds(np.array([0.0, 1.0])))
    write(workplace / "before.csv", clouds(np.array([-2.0, -1.0])))
    (workplace / "strange.csv").write_text((workplace / "four.csv").read_text().replace("time,A,B", "time,B,A"))
    assert say(monkeypatch, workplace, command) == 2
    assert says in capsys.readouterr().err


@pytest.mark.slow
def test_judged_models_are_compared_on_one_page(
    judged: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(workplace / "judged", workplace / "twin")
    assert say(monkeypatch, workplace, "compare judged twin --folder . --out same.html") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "All were scored on the same data" in said
    scores = Scores.from_json((workplace / "judged" / "scores.json").read_text())
    assert f"{scores.mean('model', 'energy_distance'):.4f}" in said
    assert "is level within chance with twin" in said
    page = words_of(workplace / "same.html")
    assert "t = 1, 2, 3" in page
    assert "All were scored on the same data" in page
    assert "is level within chance with twin" in page
    text = (workplace / "same.html").read_text()
    assert text.count("data:image/svg+xml;base64") == 4  # data and model of each, in light and in dark colours
    assert text.count('<figure id="distances-') == 2  # drawn of the scores
    assert say(monkeypatch, workplace, "score --model model --data six.csv --out six") == 0
    assert say(monkeypatch, workplace, "compare judged six --folder . --out other.html") == 0
    other = words_of(workplace / "other.html")
    assert "They were not scored on the same data" in other
    assert "closer to the data than" not in other.partition("Scores beside each other")[0]  # nobody could know
    (workplace / "twin" / "scores.json").write_text(
        (workplace / "judged" / "scores.json").read_text().replace(f'"data": "{scores.data}",', "")
    )
    assert say(monkeypatch, workplace, "compare judged twin --folder . --out unknown.html") == 0
    assert "Whether all were scored on the same data is not known" in words_of(workplace / "unknown.html")
