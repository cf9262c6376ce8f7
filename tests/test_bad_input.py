"""Each mistake in the input gets one message that says what was given, what must hold and what to do."""

import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import typer
from searches import run_here
from typer.testing import CliRunner, Result

import weightflow
from weightflow.cli import app
from weightflow.cli.output import whole_file, writable_folder
from weightflow.cli.running import run
from weightflow.data import Dataset, Protocol, Snapshots, every_nth, parse_times, read, split
from weightflow.errors import InputError, TrainingError

GOOD = np.random.default_rng(0).poisson(5.0, (20, 40, 2)).astype(float)


@pytest.mark.parametrize(
    ("times", "samples", "says"),
    [
        ([0.0, 1.0], [np.ones((3, 2))], "give one time per cloud"),
        ([], [], "there is no snapshot"),
        ([0.0, 1.0], [np.ones((3, 2)), np.ones((3, 1))], r"t=1 has shape \(3, 1\)"),
        ([0.0, 1.0], [np.ones((3, 2)), np.ones((0, 2))], "t=1 is empty"),
        ([0.0, 1.0], [np.ones((3, 2)), np.full((3, 2), np.nan)], "t=1 holds nan"),
        ([1.0, 0.0], [np.ones((3, 2)), np.ones((3, 2))], "strictly increase"),
    ],
)
def test_snapshots_cannot_be_built_wrong(times, samples, says):
    with pytest.raises(InputError, match=says):
        Snapshots(np.array(times), tuple(samples))


def test_clouds_of_one_axis_are_refused_with_the_axis_to_add(untyped):
    with pytest.raises(InputError, match=r"t=0 has shape \(5,\).*one species.*x\[:, None\]"):
        Snapshots(np.array([0.0, 1.0]), (np.ones(5), np.ones(5)))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"trials": 0}, "`trials=0` was given; it must be a whole number, 1 or more"),
        ({"trials": True}, "`trials=True` was given"),
        ({"trials": "5"}, "`trials='5'` was given"),
        ({"repeats": 0}, "`repeats=0` was given; it must be a whole number, 1 or more"),
        ({"retries": -1}, "`retries=-1` was given; it must be a whole number, 0 or more"),
        ({"cpu_hours": float("nan")}, "`cpu_hours=nan` was given; it must be a number of hours"),
        ({"gpu_hours": "2"}, "`gpu_hours='2'` was given"),
        ({"seed": -1}, "`seed=-1` was given"),
        ({"members": 2.5}, "`members=2.5` was given"),
        ({"cpus": 1.5}, "`--cpus 1.5` must be a whole number; `--cpus-per-trial` may be a part"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_in_python_before_anything_is_started(untyped, tmp_path, given, says):
    with pytest.raises(InputError, match=re.escape(says)):
        weightflow.tune("epidemic", out=tmp_path, progress=False, **given)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "words",
    [["fit", "--data", "epidemic"], ["score", "--data", "epidemic", "--leave-one-out"]],
    ids=lambda words: words[0],
)
def test_a_folder_that_cannot_be_written_is_named_before_anything_is_fitted(words, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("weightflow.experiment.preparation.fit_base", pytest.fail)
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=f"`--out {re.escape(str(out))}` cannot be written"):
            CliRunner().invoke(app, [*words, "--out", str(out)], catch_exceptions=False)


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path):
    with suppress(InputError), writable_folder(tmp_path / "new") as folder:
        assert folder.is_dir()
        raise InputError("no")
    assert not (tmp_path / "new").exists()
    with writable_folder(tmp_path / "new") as folder:
        (folder / "result").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["result"]


def data(n_times: int, every: int, n: int = 20) -> Dataset:
    snapshots = Snapshots(np.arange(n_times, dtype=float), tuple(np.ones((n, 2)) for _ in range(n_times)))
    return Dataset("cells", snapshots, every_nth(n_times, every), True)


@pytest.mark.parametrize(
    ("dataset", "protocol", "says"),
    [
        (data(5, 2), Protocol.INTERPOLATION, "3 snapshots of `cells`.*at least 4.*lower `--every`.*leave-one-out"),
        (data(9, 2), Protocol.FORECAST, "3 snapshots of `cells`|4 snapshots"),
        (data(9, 1), Protocol.INTERPOLATION, "no time of `cells` is left to be scored.*raise `--every`.*leave-one-out"),
        (data(9, 1, n=1), Protocol.AUTO, "single trajectory.*protocol `leave-one-out`"),
        (data(40, 4, n=1), Protocol.INTERPOLATION, "single trajectory.*protocol `paper`"),
        (data(40, 4, n=1), Protocol.FORECAST, "single trajectory.*protocol `paper`"),
    ],
)
def test_data_that_cannot_be_split(dataset, protocol, says):
    with pytest.raises(InputError, match=says):
        split(dataset, protocol, seed=0)


@pytest.mark.parametrize(
    "text", ["", "now", "0:1", "0:1:0", "0:1:-1", "1:0:1", "0:1:1:1", "nan", "inf", "0:inf:1", "0:1:nan", "a,b", "0,,1"]
)
def test_times_that_cannot_be_read(text):
    with pytest.raises(InputError, match=r"start:stop:step|more than"):
        parse_times(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0:1:0.3", "write 0:0.9:0.3"),
        ("0:1e12:1", "more than 1,000,000"),
        ("0,2,1", "do not strictly increase"),
        ("0,1,1", "do not strictly increase"),
    ],
)
def test_times_that_cannot_be_meant(text, says):
    with pytest.raises(InputError, match=says):
        parse_times(text)


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for path, words in (
        (tmp_path / "file" / "out.npy", "cannot be written"),
        (Path("/proc/nowhere/out.npy"), "cannot be written"),
        (tmp_path / "out.csv", "ends in .csv; give a name that ends in .npy"),
    ):
        with pytest.raises(InputError, match=words), whole_file(path, ".npy"):
            pytest.fail("the work began")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(InputError, match="is a folder"), whole_file(tmp_path / "folder.npy", ".npy"):
        pytest.fail("the work began")


def test_work_that_fails_leaves_the_old_file_and_no_draft(tmp_path: Path):
    path = tmp_path / "new" / "out.npy"
    with whole_file(path, ".npy") as file:
        np.save(file, np.arange(3))

    def fail() -> None:
        with whole_file(path, ".npy") as file:
            file.write_bytes(b"half")
            raise TrainingError("no more")

    with pytest.raises(TrainingError):
        fail()
    assert np.array_equal(np.load(path), np.arange(3))
    assert [other.name for other in path.parent.iterdir()] == ["out.npy"]


@pytest.mark.parametrize(("error", "code"), [(InputError("give more."), 2), (TrainingError("not finite."), 1)])
def test_foreseen_errors_become_one_line_and_an_exit_code(error, code, capsys, monkeypatch):
    application = typer.Typer(pretty_exceptions_enable=False)

    @application.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["fail"])
    with pytest.raises(SystemExit) as stop:
        run(application)
    assert stop.value.code == code
    assert capsys.readouterr() == ("", f"error: {error}\n")


def command(root: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "weightflow", *map(str, arguments)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def fit_here(*arguments: str | Path) -> Result:
    """Fit by the command line in this process, which has imported torch already."""
    return CliRunner().invoke(app, ["fit", *map(str, arguments)])


def test_the_command_line_simulates_into_an_array_that_can_be_read(root: Path, tmp_path: Path):
    out = tmp_path / "deep" / "trajectories.npy"
    times = ("--times", "0:20:0.5")
    result = command(root, "simulate", "epidemic", "--trajectories", "25", "--seed", "3", "--out", out, *times)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "25 trajectories, 41 times from 0 to 20, species S, I, R" in result.stdout
    assert f"--data {out} --step 0.5" in result.stdout
    again = read(out, step=0.5).snapshots
    assert again.times == pytest.approx(np.linspace(0, 20, 41))
    assert np.array_equal(again.samples[0], np.tile([50, 10, 0], (25, 1)))


def test_the_command_line_says_what_is_wrong_alone_and_exits_with_2(root: Path, tmp_path: Path):
    result = command(root, "simulate", "epidemci", "--out", tmp_path / "a.npy")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: `epidemci` is neither a built-in system (epidemic, ")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--preset", "papr"], "error: there is no preset `papr`; known are default, paper."),
        (["--head", "softmx"], "'softmx' is not one of 'auto', 'softmax', 'logistic'"),
        (["--config", "CONFIG"], "holds `dynamics.hiden`, which is not known"),
    ],
)
def test_a_fit_that_cannot_be_meant_is_refused_before_the_data_is_read(tmp_path: Path, options, says):
    (tmp_path / "mine.yaml").write_text("dynamics.hiden: 8\n")
    options = [tmp_path / "mine.yaml" if option == "CONFIG" else option for option in options]
    result = fit_here("--data", "nowhere.npy", "--out", tmp_path / "model", *options)
    error = f"error: {result.exception}" if isinstance(result.exception, InputError) else result.stderr
    assert result.exit_code
    assert says in " ".join(error.replace("│", " ").split())
    assert not (tmp_path / "model").exists()


def test_a_configuration_replaces_values_of_the_preset_and_the_head_replaces_both(tmp_path: Path):
    np.save(tmp_path / "counts.npy", GOOD[:, ::10])
    tiny = "anchors.base_steps: 2\nanchors.steps: 2\ntraining.epochs: 2\ntraining.rollout_steps: 1\n"
    (tmp_path / "mine.yaml").write_text(tiny + "dynamics.hidden: 8\nbackbone.head: softmax\n")
    given = ["--data", tmp_path / "counts.npy", "--every", "1", "--out", tmp_path / "model"]
    options = ["--preset", "paper", "--config", tmp_path / "mine.yaml", "--head", "logistic"]
    result = fit_here(*given, *options)
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "model" / "config.json").read_text())["record"]["config"]
    assert (config["anchors"]["alignment"], config["dynamics"]["dropout"]) == ("chain", 0.1)  # the preset
    assert config["dynamics"]["hidden"] == 8
    assert config["backbone"]["head"] == "logistic"


def test_a_head_that_the_space_searches_cannot_be_asked_for(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "space.yaml").write_text("parameters: {backbone.head: {kind: choice, values: [softmax, logistic]}}")
    tune = [sys.executable, str(root / "launch" / "tune.py")]
    asked = ["--head", "softmax", "--space", str(tmp_path / "space.yaml")]
    assert run_here(monkeypatch, tmp_path, [*tune, *asked]) == 2
    assert capsys.readouterr().err == (
        "error: `backbone.head`=softmax was asked for, but the space searches it (one of softmax, logistic); leave "
        "the option out, or take the key out of the space's `parameters`.\n"
    )


def test_help_shows_an_example(root: Path):
    result = command(root, "simulate", "--help")
    assert result.returncode == 0
    assert "python -m weightflow simulate epidemic --trajectories 1000" in result.stdout
