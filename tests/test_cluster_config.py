"""The file for `ray up`, checked without a cloud: Ray's own schema, then what the schema does not see."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml
from deploying import parsed, told
from ray.autoscaler._private.util import prepare_config, validate_config

from weightflow.tracking import TrackingConfig


@pytest.fixture
def config(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "launch" / "cluster.yaml").read_text())


@pytest.fixture
def locked(root: Path) -> dict[str, str]:
    lines = (root / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


@pytest.fixture
def submitted() -> list[str]:
    """The arguments of the command at the top."""
    return told("launch/cluster.yaml", "python launch/submit.py")[2:]


def head_options(config: dict[str, Any]) -> list[str]:
    return [*config["docker"]["run_options"], *config["docker"]["head_run_options"]]


def commands(config: dict[str, Any]) -> list[str]:
    return [command for key in config if key.endswith("_commands") for command in config[key]]


def test_ray_accepts_the_file(config: dict[str, Any]):
    schema = json.loads(Path(ray.autoscaler.__file__).with_name("ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    validate_config(prepare_config(config))


def test_ray_would_have_told_of_a_misspelt_key(config: dict[str, Any]):
    config["available_node_types"]["gpu"]["max_worker"] = 4
    with pytest.raises(jsonschema.ValidationError, match="max_worker"):
        validate_config(prepare_config(config))


def test_each_kind_of_node_has_sensible_numbers(config: dict[str, Any]):
    kinds = config["available_node_types"]
    for kind in kinds.values():
        assert 0 <= kind["min_workers"] <= kind["max_workers"] <= config["max_workers"]
    assert kinds[config["head_node_type"]]["max_workers"] == 0, "the head is no worker"
    assert any(kind["max_workers"] > 0 for kind in kinds.values())
    assert config["idle_timeout_minutes"] > 0


def test_commands_refer_only_to_what_is_on_the_node(config: dict[str, Any]):
    made_by_ray = {"~/ray_bootstrap_config.yaml"}
    used = {path for command in commands(config) for path in re.findall(r"~/[\w./-]+", command)}
    assert used == {"~/.ray/auth_token", *made_by_ray}


def test_nodes_come_with_what_they_need_and_install_no_torch(config: dict[str, Any]):
    """A spot worker is paid for while it installs; only the head, once, gets what starts the others."""
    everywhere = [*config["setup_commands"], *config["worker_setup_commands"]]
    assert not [command for command in everywhere if "pip" in command or "conda" in command]
    images = [config["docker"][image] for image in ("head_image", "worker_image")]
    assert [image.rpartition("/")[2] for image in images] == ["weightflow:cpu", "weightflow:cuda"]


def test_the_group_of_the_file_system_is_there_before_the_first_machine(config: dict[str, Any], root: Path):
    """Ray would make a group with the first machine, whose file system could not let that group in before."""
    kinds = [kind["node_config"] for kind in config["available_node_types"].values()]
    assert {tuple(kind["SecurityGroupIds"]) for kind in kinds} == {("sg-FILL_IN",)}
    assert "security_group" not in config["provider"], "Ray makes none"
    script = (root / "launch" / "aws_network.sh").read_text()
    assert (
        script.index("create-security-group") < script.index("create-file-system") < script.index("--security-groups")
    )


def test_the_head_can_start_workers_with_the_rights_that_ray_gives_it(config: dict[str, Any]):
    """Its role holds EC2 and S3; looking an image up by a path needs `ssm:GetParameters`."""
    images = {kind["node_config"]["ImageId"] for kind in config["available_node_types"].values()}
    assert images == {"ami-FILL_IN"}


def test_results_lie_where_every_node_reaches_them(config: dict[str, Any], submitted: list[str]):
    out = submitted[submitted.index("--out") + 1]
    (mount,) = [command for command in config["initialization_commands"] if "sudo mount" in command]
    assert mount.endswith(f".efs.{config['provider']['region']}.amazonaws.com:/ {out}")
    assert f"-v {out}:{out}" in config["docker"]["run_options"]
    zones = config["provider"]["availability_zone"].split(",")
    assert len(zones) > 1
    assert {zone[:-1] for zone in zones} == {config["provider"]["region"]}


def test_runs_are_stored_on_the_disk_of_the_head_and_files_beside_the_results(
    config: dict[str, Any], submitted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """SQLite on a network file system is damaged sooner or later."""
    out = submitted[submitted.index("--out") + 1]
    settings = dict(line.split(" ", 1)[1].split("=", 1) for line in head_options(config) if line.startswith("-e "))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings["MLFLOW_TRACKING_URI"])
    (tmp_path / "mlflow.yml").write_text("tracking_uri: sqlite:///mlflow.db\nartifact_root: mlartifacts\n")
    kept = TrackingConfig.read(tmp_path / "mlflow.yml", folder=Path(out))  # as a submitted search has it, in --out
    assert kept.tracking_uri == "sqlite:////var/lib/weightflow/mlflow.db"
    assert kept.artifact_root == f"file://{out}/mlartifacts"
    folder = Path(kept.tracking_uri.removeprefix("sqlite:///")).parent
    assert f"-v {folder}:{folder}" in head_options(config)
    assert f"sudo install -d -o 1000 -g 1000 {folder}" in config["initialization_commands"]
    assert not folder.is_relative_to(out)
    assert not [option for option in config["docker"]["run_options"] if "MLFLOW_TRACKING" in option]


def test_the_command_at_the_top_is_known_and_asks_for_no_more_than_may_come(
    config: dict[str, Any], submitted: list[str]
):
    sent = parsed("launch/submit.py", submitted)
    asked = parsed("launch/tune.py", submitted[submitted.index("--") + 1 :])
    assert sent["address"] == "http://127.0.0.1:8265"
    assert asked["gpus"] == config["available_node_types"]["gpu"]["max_workers"] == 4, "one each"
    assert asked["trials"] == 200


def test_every_side_asks_for_the_token_and_nothing_calls_home(config: dict[str, Any], root: Path):
    options = config["docker"]["run_options"]
    for setting in ("RAY_AUTH_MODE=token", "RAY_USAGE_STATS_ENABLED=0", "MLFLOW_DISABLE_TELEMETRY=true"):
        assert f"-e {setting}" in options
    home = re.findall(r"HOME=(\S+)", (root / "Dockerfile").read_text())[0]
    assert config["file_mounts"] == {f"{home}/.ray/auth_token": "~/.ray/auth_token"}
    assert "chmod 600 ~/.ray/auth_token" in config["setup_commands"]
    assert not any("--dashboard-host" in command for command in commands(config)), "the dashboard stays inside the head"


def test_the_lock_holds_one_torch_for_every_kind_of_machine(locked: dict[str, str]):
    assert locked["torch"] == "2.13.0"
    assert not [name for name in locked if "nvidia" in name or "cuda" in name]
    assert not [version for version in locked.values() if "+" in version]
