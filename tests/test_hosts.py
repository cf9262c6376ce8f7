"""Whatever happens to the machines of a cluster, in whichever phase: the scores are those of an undisturbed search."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hosts import Host, Network, network, wait_out
from mlflow import MlflowClient
from postgres import postgres, tracking_server
from searches import (
    ENDED,
    Process,
    check_results,
    check_runs,
    check_trials,
    checkpoints,
    command,
    furnish,
    trials_of,
    write_long_space,
)

from weightflow.trials import TrialRecord

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]
TRIALS, AWAY = 6, 30.0  # seconds that a machine is out of reach
NAME = "weather"


def prepare(folder: Path) -> Path:
    """Furnish a folder with trials of half a minute each, as long as a machine is out of reach."""
    folder.mkdir(exist_ok=True)
    write_long_space(furnish(folder))
    space = (folder / "long.yaml").read_text().replace("collocation_steps: 100", "collocation_steps: 1000")
    (folder / "long.yaml").write_text(space)
    (folder / "out").mkdir()
    return folder


def search(*more: str, how: str = "--name") -> list[str]:
    """Return the command of a search whose trials do not depend on the order in which they end."""
    words = f"--trials {TRIALS} --time-budget 1h --scheduler none --sampler random --seed 5 {how} {NAME}"
    return command(*words.split(), *more, space="long.yaml")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, ray_environment: dict[str, str]) -> Sequence[TrialRecord]:
    folder = prepare(tmp_path_factory.mktemp("calm"))
    code, said, err = Process(folder, ray_environment, search()).end()
    assert code == 0, said + err
    return trials_of(folder, NAME)


@pytest.fixture
def laid(tmp_path: Path, ray_environment: dict[str, str]) -> Iterator[Network]:
    folder = prepare(tmp_path / "rough")
    with network(tmp_path, ray_environment, folder / "out") as one:
        one.start_head()
        yield one


def check_scores(folder: Path, expected: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The scores are the same to four decimals, and nothing is there twice."""
    trials = trials_of(folder, NAME)
    check_trials(trials, TRIALS)
    assert [trial.params for trial in trials] == [trial.params for trial in expected]
    assert [trial.score for trial in trials] == pytest.approx([trial.score for trial in expected], abs=1e-4)
    check_results(folder / "out" / NAME)
    return trials


def check(folder: Path, expected: Sequence[TrialRecord]) -> None:
    """MLflow has all of it as well, once."""
    client = MlflowClient(f"sqlite:///{folder / 'runs.db'}")
    check_runs(check_scores(folder, expected), client, "tests", NAME)


def killed(host: Host, last: bool) -> None:
    """It is switched off, and another one comes in its place."""
    host.kill()


def stopped(host: Host, last: bool) -> None:
    host.stop()
    wait_out(AWAY)
    host.go_on()


def partitioned(host: Host, last: bool) -> None:
    """In the end it does not come back, while all that runs there goes on for as long as it likes."""
    host.unplug()
    wait_out(AWAY)
    if not last:
        host.plug_in()


@pytest.mark.parametrize("befalls", [killed, stopped, partitioned])
def test_a_machine_that_fails_in_each_phase_changes_no_score(
    befalls: Callable[[Host, bool], None],
    laid: Network,
    expected: Sequence[TrialRecord],
    tmp_path: Path,
    ray_environment: dict[str, str],
) -> None:
    laid.add()
    folder = tmp_path / "rough"
    out = folder / "out" / NAME
    process = Process(folder, ray_environment, search("--address", laid.address, "--cpus", "3"))

    def ended() -> int:
        return sum(trial.state in ENDED for trial in trials_of(folder, NAME))

    process.until(lambda: laid.one().working("AnchorWorker"))  # it prepares
    befalls(laid.one(), False)
    process.until(lambda: laid.one().working("ImplicitFu") and checkpoints(out))  # it trains
    befalls(laid.one(), False)
    process.until(lambda: laid.one().working("AnchorWorker") and ended() == TRIALS)  # it fits and scores
    befalls(laid.one(), True)
    code, said, err = process.end()
    assert code == 0, said + err
    check(folder, expected)


def test_a_search_that_starts_on_one_machine_takes_up_three_more(
    laid: Network, expected: Sequence[TrialRecord], tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    folder = tmp_path / "rough"
    process = Process(folder, ray_environment, search("--address", laid.address, "--cpus", "7", "--elastic"))
    process.until(lambda: checkpoints(folder / "out" / NAME))  # the head's one CPU trains
    hosts = [laid.add() for _ in range(3)]
    process.until(lambda: all(host.working("ImplicitFu") for host in hosts))
    code, said, err = process.end()
    assert code == 0, said + err
    assert "begins with 1 CPU(s) and 0 GPU(s) on 1 node(s); waits for 6 more CPU(s)" in " ".join(said.split())
    check(folder, expected)


def test_a_search_whose_head_is_killed_goes_on_with_a_new_one(
    laid: Network, expected: Sequence[TrialRecord], tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    host, folder = laid.add(), tmp_path / "rough"
    joined = ("--address", laid.address, "--cpus", "3")
    process = Process(folder, ray_environment, search(*joined))
    process.until(lambda: host.working("ImplicitFu") and checkpoints(folder / "out" / NAME))
    laid.kill_head()
    code, said, err = process.end()
    assert code == 1, said + err
    told = rf"error: the head of the cluster, {laid.address}, .* go on with `--resume {NAME}`\.\n"
    assert re.fullmatch(told, err), err
    host.kill()  # its node would wait for a head for a while
    laid.start_head()
    laid.add()
    code, said, err = Process(folder, ray_environment, search(*joined, how="--resume")).end()
    assert code == 0, said + err
    check(folder, expected)


def test_a_search_whose_database_stops_changes_no_score_and_is_tracked_whole(
    expected: Sequence[TrialRecord],
    tmp_path: Path,
    ray_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = prepare(tmp_path / "rough")
    with postgres() as database, tracking_server(database, tmp_path) as tracking:
        process = Process(folder, {**ray_environment, **tracking}, search("--cpus", "2"))
        process.until(lambda: process.workers("AnchorWorker"))
        database.stop()
        wait_out(AWAY)
        database.start()
        process.until(lambda: checkpoints(folder / "out" / NAME))
        database.stop()
        wait_out(AWAY)
        database.start()
        code, said, err = process.end()
        assert code == 0, said + err
        assert "MLflow lacks" not in said
        for name, value in tracking.items():
            monkeypatch.setenv(name, value)
        trials = check_scores(folder, expected)
        check_runs(trials, MlflowClient(tracking["MLFLOW_TRACKING_URI"]), "tests", NAME)
