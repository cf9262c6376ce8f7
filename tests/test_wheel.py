"""The package as pip installs it: a command, the default space and the tracking settings, and no checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from searches import furnish

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(600)]
FILES, FOLDERS = ("pyproject.toml", "README.md", "LICENSE", "mlflow.yml"), ("search_spaces", "weightflow")
WHERE = """
import weightflow
from weightflow.search.shipped import shipped_file
print(weightflow.__file__, shipped_file("search_spaces/default.yaml"), shipped_file("mlflow.yml"), sep="\\n")
"""


@pytest.fixture(scope="module")
def commands(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of commands of an environment that holds the wheel; its dependencies are those of this one."""
    here = tmp_path_factory.mktemp("wheel")
    source = here / "source"
    source.mkdir()
    for name in FILES:
        shutil.copy(root / name, source)
    for name in FOLDERS:
        shutil.copytree(root / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--quiet", "--wheel-dir", str(here)]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    if "Temporary failure in name resolution" in built.stderr or "No matching distribution" in built.stderr:
        pytest.skip("no package index can be reached, from which the build would take setuptools")
    assert built.returncode == 0, built.stderr
    venv.create(here / "env", with_pip=True)
    python = here / "env" / "bin" / "python"
    (wheel,) = here.glob("*.whl")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    # after the environment's own packages, and without the editable install that is read from there as a file
    (Path(packages.stdout.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def outside(commands: Path, folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        [commands / words[0], *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_wheel_holds_the_default_space_and_the_tracking_settings(commands: Path, tmp_path: Path):
    places = outside(commands, tmp_path, "python", "-c", WHERE).splitlines()
    assert [Path(place).is_relative_to(commands.parent.resolve()) for place in places] == [True] * 3


def test_the_installed_command_searches_and_forecasts(commands: Path, tmp_path: Path):
    furnish(tmp_path)
    options = ("--data", "counts.npy", "--every", "3", "--space", "space.yaml", "--no-stop-at-floor")
    small = ("--trials", "1", "--repeats", "1", "--cpus", "1", "--name", "one")
    told = outside(commands, tmp_path, "weightflow", "tune", *options, *small)
    assert "Next:" in told
    assert (tmp_path / "runs" / "one" / "report.html").is_file()
    assert (tmp_path / "runs.db").is_file()  # the mlflow.yml of the current folder names it
    told = outside(commands, tmp_path, "weightflow", "forecast", "--model", "runs/one/best", "--times", "0:12:3")
    assert "shape (5, 1000, 2)" in told
