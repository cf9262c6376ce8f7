"""The file for `ray up`, checked without a cloud: Ray's own schema, then what the schema does not see."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config


@pytest.fixture
def config(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "launch" / "cluster.yaml").read_text())


@pytest.fixture
def locked(root: Path) -> dict[str, str]:
    lines = (root / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def commands(config: dict[str, Any]) -> list[str]:
    return [command for key in config if key.endswith("_commands") for command in config[key]]


def test_ray_accepts_the_file(config: dict[str, Any]):
    validate_config(prepare_config(config))


def test_ray_would_have_told_of_a_misspelt_key(config: dict[str, Any]):
    config["available_node_types"]["gpu"]["max_worker"] = 4
    with pytest.raises(ValidationError, match="max_worker"):
        validate_config(prepare_config(config))


def test_each_kind_of_node_has_sensible_numbers(config: dict[str, Any]):
    kinds = config["available_node_types"]
    for kind in kinds.values():
        assert 0 <= kind["min_workers"] <= kind["max_workers"] <= config["max_workers"]
    assert kinds[config["head_node_type"]]["max_workers"] == 0, "the head is no worker"
    assert any(kind["max_workers"] > 0 for kind in kinds.values())
    assert config["idle_timeout_minutes"] > 0


def test_what_is_mounted_exists_in_the_checkout(config: dict[str, Any], root: Path):
    local = [source for source in config["file_mounts"].values() if not source.startswith("~")]
    assert local
    assert all((root / source).is_file() for source in local)


def test_commands_refer_only_to_what_is_on_the_node(config: dict[str, Any]):
    mounted = {path.replace("/home/ray/", "~/") for path in config["file_mounts"]}
    made_by_ray = {"~/ray_bootstrap_config.yaml"}
    used = {path for command in commands(config) for path in re.findall(r"~/[\w./-]+", command)}
    assert used <= mounted | made_by_ray
    assert "~/weightflow/requirements.lock" in used


def test_the_images_have_the_ray_that_is_locked(config: dict[str, Any], locked: dict[str, str]):
    for image in ("head_image", "worker_image"):
        assert config["docker"][image].startswith(f"rayproject/ray:{locked['ray']}-py311-")


def test_results_lie_where_every_node_reaches_them(config: dict[str, Any], root: Path):
    (out,) = set(re.findall(r"--out ([\w/]+)", (root / "launch" / "cluster.yaml").read_text()))
    assert any("mount" in command and out in command for command in config["initialization_commands"])
    assert f"-v {out}:{out}" in config["docker"]["run_options"]


def test_every_side_asks_for_the_token_and_nothing_calls_home(config: dict[str, Any]):
    options = config["docker"]["run_options"]
    for setting in ("RAY_AUTH_MODE=token", "RAY_USAGE_STATS_ENABLED=0", "MLFLOW_DISABLE_TELEMETRY=true"):
        assert f"-e {setting}" in options
    assert "~/.ray/auth_token" in config["file_mounts"].values()
    assert not any("--dashboard-host" in command for command in commands(config)), "the dashboard stays inside the head"


def test_the_lock_holds_one_torch_for_every_kind_of_machine(locked: dict[str, str]):
    assert locked["torch"] == "2.13.0"
    assert not [name for name in locked if "nvidia" in name or "cuda" in name]
    assert not [version for version in locked.values() if "+" in version]
