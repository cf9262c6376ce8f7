"""Image, Slurm, Kubernetes and tracking server: what each file would do, as far as it can be seen without them."""

import configparser
import importlib.metadata
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from deploying import ROOT, parsed, told
from postgres import SERVER, postgres, server_settings
from searches import free_port, wait_for

from weightflow.cli import app

SCRIPTS = sorted((ROOT / "launch").glob("*.sh"))
PASSWORD = "not-for-others"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_bash_and_can_be_started(script: Path):
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert script.stat().st_mode & stat.S_IXUSR


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, and what follows each."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def of_kind(kind: str) -> list[str]:
    return [rest for word, rest in instructions() if word == kind]


def test_the_image_has_the_python_of_the_project_at_an_exact_version():
    (base,) = of_kind("FROM")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base)


def test_everything_that_is_copied_into_the_image_exists_and_nothing_else_gets_near_it():
    copied = [name for rest in of_kind("COPY") for name in rest.split()[:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(copied)


def test_what_pip_installs_is_that_of_the_lock():
    installs = [part for run in of_kind("RUN") for part in re.split(r"&&|;;|;", run) if "pip install" in part]
    assert len(installs) == 3
    assert all("requirements.lock" in install for install in installs)


def test_the_package_is_installed_whole_and_runs_as_nobody_special():
    extras = [run for run in of_kind("RUN") if "'.[all]'" in run]
    assert len(extras) == 1
    assert of_kind("USER") == ["1000:1000"]
    after = instructions()[[word for word, _ in instructions()].index("USER") :]
    assert not [word for word, _ in after if word in {"RUN", "COPY", "ADD", "USER"}][1:]
    assert not of_kind("ENTRYPOINT"), "`ray up` and KubeRay start a shell"


def test_the_image_has_what_those_who_start_it_need():
    """Ray's launcher mounts files below the HOME that the image names, and takes /root where it names none."""
    (env,) = of_kind("ENV")
    settings = dict(setting.split("=", 1) for setting in env.split())
    home = settings["HOME"]
    (user,) = [run for run in of_kind("RUN") if "useradd" in run]
    assert home == "/home/" + user.partition("&&")[0].split()[-1]
    assert f"install -d -o 1000 -g 1000 -m 700 {home}/.ray" in user
    assert (settings["RAY_AUTH_MODE"], settings["RAY_USAGE_STATS_ENABLED"]) == ("token", "0")
    (packages,) = [run for run in of_kind("RUN") if "apt-get install" in run]
    assert {"openssh-client", "rsync", "wget"} <= set(packages.split())


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("tracking_uri: sqlite:///mlflow.db", False),
        ("# postgresql://USER:PASSWORD@HOST/NAME", False),
        ("tracking_uri: http://mlflow.example.org:5000", False),
        ("tracking_uri: postgresql://me@host/runs", False),
        ("tracking_uri: postgresql://me:secret@host/runs", True),
        ("artifact_root: ftp://me:pa/ss@host/files", True),
    ],
)
def test_settings_with_a_password_do_not_get_into_an_image(line: str, refused: bool, tmp_path: Path):
    (tmp_path / "mlflow.yml").write_text(line + "\n")
    (run,) = [run for run in of_kind("RUN") if "mlflow.yml" in run]
    check = run.partition("&&")[0]
    assert subprocess.run(["sh", "-c", check], cwd=tmp_path, check=False, capture_output=True).returncode == (
        2 if refused else 0
    )


def test_the_command_at_the_top_of_the_image_is_known():
    words = told("Dockerfile", "docker run")
    parse_tune(words[words.index("tune") + 1 :])


def parse_tune(arguments: list[str]) -> dict[str, Any]:
    command: Any = typer.main.get_command(app)
    return dict(command.commands["tune"].make_context("tune", list(arguments)).params)


# the fields of RayJobSpec and RayClusterSpec that are used, by KubeRay's reference of ray.io/v1
JOB_FIELDS = {
    "entrypoint": str,
    "submissionMode": str,
    "backoffLimit": int,
    "activeDeadlineSeconds": int,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "rayClusterSpec": dict,
}
CLUSTER_FIELDS = {
    "rayVersion": str,
    "authOptions": dict,
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": dict,
    "headGroupSpec": dict,
    "workerGroupSpecs": list,
}


@pytest.fixture
def job() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "launch" / "rayjob.yaml").read_text())


def test_the_ray_job_has_the_fields_of_its_kind(job: dict[str, Any]):
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert {name: type(value) for name, value in job["spec"].items()} == JOB_FIELDS
    cluster = job["spec"]["rayClusterSpec"]
    assert {name: type(value) for name, value in cluster.items()} == CLUSTER_FIELDS
    assert all(isinstance(value, str) for value in cluster["headGroupSpec"]["rayStartParams"].values())
    assert f"ray=={cluster['rayVersion']}" in (ROOT / "requirements.lock").read_text().splitlines()


def test_the_entrypoint_of_the_ray_job_is_known_asks_for_what_may_come_and_goes_on_where_it_was(
    job: dict[str, Any], tmp_path: Path
):
    entrypoint = job["spec"]["entrypoint"].replace("/mnt/weightflow", str(tmp_path))

    def asked() -> dict[str, Any]:
        echoed = subprocess.run(["sh", "-c", f"echo {entrypoint}"], capture_output=True, text=True, check=True).stdout
        words = shlex.split(echoed)
        assert words[:2] == ["weightflow", "tune"]
        return parse_tune(words[2:])

    (workers,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    first = asked()
    assert (first["name"], first["resume"], first["address"]) == (job["metadata"]["name"], None, "auto")
    assert first["gpus"] == workers["maxReplicas"] == 4, "one each"
    study = tmp_path / "runs" / first["name"] / "study.log"
    study.parent.mkdir(parents=True)
    study.touch()
    assert (asked()["name"], asked()["resume"]) == (None, first["name"])


def test_pods_run_as_nobody_special_share_the_volume_and_only_the_head_knows_the_store(job: dict[str, Any]):
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 1000)
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        named = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == named
        assert container["resources"]["requests"] == container["resources"]["limits"], "Ray counts the limits"
        assert "env" not in container
    secrets = ["envFrom" in group["template"]["spec"]["containers"][0] for group in groups]
    assert secrets == [True, False]


def script_in(folder: Path, name: str, text: str) -> Path:
    """Write a program."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder / name


@pytest.fixture
def serve(tmp_path: Path) -> Any:
    """Start the script with a Python that only writes down what it is given."""
    python = script_in(
        tmp_path / "bin",
        "python",
        '#!/usr/bin/env bash\n[ "$1" = -c ] && exit\nprintf "%s\\n" "$@" >"$TOLD/arguments"\nenv >"$TOLD/env"\n',
    )
    settings = tmp_path / "settings" / "server.env"

    def start(lines: str, *arguments: str, mode: int = 0o600) -> subprocess.CompletedProcess[str]:
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(lines)
        settings.chmod(mode)
        known = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TOLD": str(tmp_path),
            "WEIGHTFLOW_PYTHON": str(python),
            "WEIGHTFLOW_MLFLOW_SETTINGS": str(settings),
        }
        command = [str(ROOT / "launch" / "mlflow_server.sh"), *arguments]
        return subprocess.run(command, env=known, capture_output=True, text=True, check=False)

    return start


def read_as_mlflow_does(file: Path) -> tuple[list[str], dict[str, Any]]:
    """The words that the server is started with, and what MLflow's own parser reads in them."""
    with warnings.catch_warnings():  # of MLflow about its own types
        warnings.simplefilter("ignore")
        from mlflow.cli import server
    words = file.read_text().splitlines()
    assert words[:3] == ["-m", "mlflow", "server"]
    return words, server.make_context("server", words[3:]).params


def test_the_tracking_server_listens_here_alone_asks_for_passwords_and_shows_none(serve: Any, tmp_path: Path):
    said = serve(f"PGPASSWORD={PASSWORD}\nMLFLOW_AUTH_ADMIN_PASSWORD={PASSWORD}$(touch {tmp_path}/run)\nPGHOST=db\n")
    assert said.returncode == 0, said.stderr
    words, asked = read_as_mlflow_does(tmp_path / "arguments")
    assert (asked["host"], asked["port"], asked["app_name"]) == ("127.0.0.1", 5000, "basic-auth")
    assert asked["backend_store_uri"] == "postgresql://mlflow@db:5432/mlflow"
    assert PASSWORD not in " ".join(words) + said.stdout + said.stderr
    given = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    assert given["PGPASSWORD"] == PASSWORD
    assert given["MLFLOW_AUTH_ADMIN_PASSWORD"] == f"{PASSWORD}$(touch {tmp_path}/run)", "lines are read, not run"
    assert not (tmp_path / "run").exists()
    assert len(given["MLFLOW_FLASK_SERVER_SECRET_KEY"]) == 64
    ours, theirs = configparser.ConfigParser(), configparser.ConfigParser()
    ours.read(given["MLFLOW_AUTH_CONFIG_PATH"])
    theirs.read(str(importlib.metadata.distribution("mlflow").locate_file("mlflow/server/auth/basic_auth.ini")))
    assert ours["mlflow"]["database_uri"] == asked["backend_store_uri"]
    assert ours["mlflow"].keys() <= theirs["mlflow"].keys(), "MLflow reads nothing else"
    assert ours["mlflow"]["authorization_function"] == theirs["mlflow"]["authorization_function"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "settings").iterdir()}
    assert modes == {"server.env": 0o600, "mlflow_server_auth.ini": 0o600}


def test_the_tracking_server_listens_elsewhere_if_it_is_told_to(serve: Any, tmp_path: Path):
    said = serve(f"PGPASSWORD={PASSWORD}\n", "--host", "0.0.0.0", "--port", "5001")
    assert said.returncode == 0, said.stderr
    _, asked = read_as_mlflow_does(tmp_path / "arguments")
    assert (asked["host"], asked["port"]) == ("0.0.0.0", 5001)


def test_the_key_of_the_tracking_server_stays_the_same(serve: Any, tmp_path: Path):
    serve(f"PGPASSWORD={PASSWORD}\nMLFLOW_FLASK_SERVER_SECRET_KEY=kept\n")
    assert "MLFLOW_FLASK_SERVER_SECRET_KEY=kept" in (tmp_path / "env").read_text().splitlines()


def test_a_database_that_mlflow_could_not_use_is_refused_at_once_with_the_reason(tmp_path: Path):
    with postgres() as database:  # beside the one for MLflow it has one of its own, of the encoding of locale C
        for port, name, says in (
            (free_port(), "mlflow", "connection failed"),
            (database.port, "runs", 'database "runs" does not exist'),
            (database.port, "postgres", "its encoding is SQL_ASCII; make it with --encoding UTF8"),
        ):
            said = subprocess.run(
                [SERVER],
                env=server_settings(tmp_path, port, name),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert (said.returncode, said.stdout) == (2, "")
            told = f"the database postgresql://mlflow@127.0.0.1:{port}/{name} cannot be used: "
            assert said.stderr.startswith(told), said.stderr
            assert says in said.stderr
            assert said.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("lines", "mode", "says"),
    [(f"PGPASSWORD={PASSWORD}\n", 0o644, "chmod 600"), ("PGUSER=me\n", 0o600, "no password for the database")],
)
def test_the_tracking_server_does_not_start_with_open_or_without_passwords(
    serve: Any, tmp_path: Path, lines: str, mode: int, says: str
):
    said = serve(lines, mode=mode)
    assert (said.returncode, says in said.stderr) == (2, True)
    assert not (tmp_path / "arguments").exists()


JOB = 1000 + os.getpid() % 8000  # which gives the port: two runs of these tests do not meet

SRUN = """#!/usr/bin/env bash
# a node: the head listens until it is told to end, a minute at most, workers wait; what they see of the token is told
echo $* >>"$TOLD/steps"
stat -c %a "$RAY_AUTH_TOKEN_PATH" >>"$TOLD/modes"
trap 'kill $!; exit' TERM
if [[ "$*" = *--head* ]]; then
    "$REAL" -c 'import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(60)' "$PORT" &
else
    sleep 60 &
fi
wait
"""
SCONTROL = """#!/usr/bin/env bash
[ "$1" = show ] && printf 'one\\ntwo\\n' || echo "$*" >>"$TOLD/requeued"
"""
PYTHON = """#!/usr/bin/env bash
# says the address of the head; runs as long as the search does
[ "$1" = -c ] && { echo 127.0.0.1; exit; }
trap 'kill $! 2>/dev/null; exit 130' TERM  # before anybody can know that it runs
mkdir -p "$OUT/night" && touch "$OUT/night/study.log"
printf '%s\\n' "$@" >"$TOLD/search"
sleep "$LASTS" &
wait $!
"""


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Any]:
    """Start the job with commands that stand for Slurm's, and return it with a file of its search's arguments."""
    bins = tmp_path / "bin"
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("python", PYTHON), ("ray", "#!/bin/sh\n")):
        script_in(bins, name, text)
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, lasts: int = 60, **more: str) -> subprocess.Popen[str]:
        known = {
            "PATH": f"{bins}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "TOLD": str(tmp_path),
            "OUT": str(tmp_path / "runs"),
            "REAL": sys.executable,
            "PORT": str(20000 + JOB),
            "LASTS": str(lasts),
            "SLURM_JOB_ID": str(JOB),
            "SLURM_JOB_NODELIST": "[one,two]",
            "SLURM_SUBMIT_DIR": str(ROOT),
            "SLURM_CPUS_PER_TASK": "8",
            "SLURM_GPUS_ON_NODE": "2",
            "MLFLOW_TRACKING_URI": "http://server:5000",
            **more,
        }
        command = ["bash", str(ROOT / "launch" / "slurm.sh"), *arguments]
        process = subprocess.Popen(command, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for_text(file: Path) -> None:
    wait_for(lambda: file.exists() and file.read_text(), 60)


def test_a_job_of_slurm_starts_each_node_is_queued_again_in_time_and_goes_on(slurm: Any, tmp_path: Path):
    """The whole way of a job through stand-ins for Slurm's commands, since a test may not need its daemons.

    Slurm itself can be installed (Debian's slurm-wlm): under its 22.05 the same script ran a search, stopped it at the
    signal, was queued again and resumed.
    """
    out = tmp_path / "runs"
    arguments = ("--data", "epidemic", "--trials", "500", "--name", "night", f"--out={out}")
    job = slurm(*arguments)
    wait_for_text(tmp_path / "search")
    token = out / f".ray-token-{JOB}"
    secret = token.read_text()
    asked = parsed("launch/tune.py", (tmp_path / "search").read_text().splitlines()[1:])
    assert (asked["name"], asked["resume"], asked["out"], asked["trials"]) == ("night", None, str(out), 500)
    assert (asked["gpus"], asked["cpus"], asked["elastic"]) == (4, 16, True)
    assert asked["address"] == f"127.0.0.1:{20000 + JOB}"
    job.send_signal(signal.SIGUSR1)
    said = job.communicate(timeout=90)[0]
    assert job.returncode == 130, said
    assert (tmp_path / "requeued").read_text().splitlines() == [f"requeue {JOB}"]
    steps = (tmp_path / "steps").read_text()
    nodes = [(re.findall(r"--nodelist=(\S+)", step), "start --head" in step) for step in steps.splitlines()]
    assert nodes == [(["one"], True), (["two"], False)]
    assert f"start --address=127.0.0.1:{20000 + JOB} " in steps.splitlines()[1] + " "
    assert len(secret) == 64
    assert secret not in steps + said + (tmp_path / "search").read_text()
    assert set((tmp_path / "modes").read_text().split()) == {"600"}
    assert not token.exists()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", 20000 + JOB), timeout=1)

    (tmp_path / "search").unlink()
    again = slurm(*arguments, lasts=0)
    said = again.communicate(timeout=90)[0]
    assert again.returncode == 0, said
    asked = parsed("launch/tune.py", (tmp_path / "search").read_text().splitlines()[1:])
    assert (asked["name"], asked["resume"]) == (None, "night")
    assert (tmp_path / "requeued").read_text().splitlines() == [f"requeue {JOB}"], "what has ended is not queued again"


def test_a_job_of_slurm_that_is_cancelled_stops_its_search_and_stays_stopped(slurm: Any, tmp_path: Path):
    job = slurm("--name", "night", "--out", str(tmp_path / "runs"))
    wait_for_text(tmp_path / "search")
    job.terminate()
    said = job.communicate(timeout=90)[0]
    assert job.returncode == 130, said
    assert not (tmp_path / "requeued").exists()
    assert not (tmp_path / "runs" / f".ray-token-{JOB}").exists()


@pytest.mark.parametrize(
    ("arguments", "more", "says"),
    [
        (["--name", "night"], {}, "give --name and --out"),
        (["--name", "night", "--out", "/x", "--resume", "night"], {}, "leave out `--resume`"),
        (["--name", "night", "--out", "s3://lab/runs"], {}, "give a folder"),
        (["--name", "night", "--out", "/x"], {"SLURM_JOB_ID": ""}, "sbatch launch/slurm.sh"),
        (["--name", "night", "--out", "/x"], {"SLURM_SUBMIT_DIR": "/"}, "root of the checkout"),
    ],
)
def test_a_job_of_slurm_says_what_it_lacks(slurm: Any, arguments: list[str], more: dict[str, str], says: str):
    job = slurm(*arguments, **more)
    said = job.communicate(timeout=90)[0]
    assert (job.returncode, says in said) == (2, True), said


def test_a_job_of_slurm_keeps_no_sqlite_on_a_network_file_system(slurm: Any, tmp_path: Path):
    script_in(tmp_path / "bin", "stat", "#!/bin/sh\necho nfs\n")
    job = slurm("--name", "night", "--out", str(tmp_path / "runs"), MLFLOW_TRACKING_URI="")
    said = job.communicate(timeout=90)[0]
    assert (job.returncode, "is on a network file system" in said) == (2, True), said


def test_the_signal_comes_before_the_time_a_search_may_take_to_stop():
    text = (ROOT / "launch" / "slurm.sh").read_text()
    (before,) = re.findall(r"^#SBATCH --signal=B:USR1@(\d+)$", text, re.MULTILINE)
    (patience,) = re.findall(r"^readonly PATIENCE=(\d+)", text, re.MULTILINE)
    assert int(patience) + 60 <= int(before)
    assert "\n#SBATCH --requeue\n" in text


def test_the_command_at_the_top_of_the_job_of_slurm_is_known():
    words = told("launch/slurm.sh", "sbatch --nodes")
    parsed("launch/tune.py", words[words.index("launch/slurm.sh") + 1 :])
