"""The layers of the package, as the contracts in pyproject.toml state them."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from importlinter.cli import lint_imports
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

IMPORT_WITHOUT = """
import importlib, sys
forbidden, modules = (words.split(",") for words in sys.argv[1:])
sys.modules.update(dict.fromkeys(forbidden))  # importing a name that maps to None raises
for module in modules:
    importlib.import_module(module)
"""

SIMULATE_AND_TELL = """
import sys
from pathlib import Path
import weightflow.systems
from weightflow.cli import simulate
simulate("epidemic", trajectories=1, out=Path(sys.argv[1]))
print("imported:", *sorted(sys.modules.keys() & {"ot", "pandas", "sklearn", "torch"}))
"""


def test_imports_keep_to_the_layers(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(root)
    assert lint_imports(config_filename=str(root / "pyproject.toml"), no_cache=True) == 0


def test_the_core_can_be_imported_where_the_optional_libraries_are_not_installed(root: Path):
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    (core,) = [
        c for c in settings["tool"]["importlinter"]["contracts"] if c["name"].startswith("The core runs without")
    ]
    command = [
        sys.executable,
        "-c",
        IMPORT_WITHOUT,
        ",".join(core["forbidden_modules"]),
        ",".join(core["source_modules"]),
    ]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_simulating_waits_for_none_of_the_libraries_that_take_a_second_to_import(root: Path, tmp_path: Path):
    pytest.importorskip("roadrunner")
    command = [sys.executable, "-c", SIMULATE_AND_TELL, str(tmp_path / "one.npy")]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "imported:"


def test_no_dependency_may_be_older_than_the_minor_version_that_is_tested(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    lines = (root / "requirements.lock").read_text().splitlines()
    locked = dict(line.split("==") for line in lines if not line.startswith("#"))
    tested = {canonicalize_name(name): Version(version) for name, version in locked.items()}
    optional = project["project"]["optional-dependencies"].values()
    always = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    texts = [*always, *(text for group in optional for text in group)]
    asked = [one for one in map(Requirement, texts) if one.name != project["project"]["name"]]
    assert len(asked) > 40
    for one in asked:
        version = tested[canonicalize_name(one.name)]
        (low,) = [Version(spec.version) for spec in one.specifier if spec.operator == ">="]
        assert (low.major, low.minor) == (version.major, version.minor), one
        assert version in one.specifier
