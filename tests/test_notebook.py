"""The whole search as one call, as a notebook makes it: twice in one process, and interrupted."""

import os
import signal
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import ray
from searches import PATIENCE, furnish, wait_for

import weightflow
from weightflow.errors import InputError, WeightFlowError
from weightflow.search.result import SearchResult

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ray_environment: dict[str, str]) -> Generator[Path, None, None]:
    """Return where this process works; its Ray has the home and the token of all tests, which Ray reads only once."""
    here = furnish(tmp_path_factory.mktemp("notebook"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ray_environment.items():
            patch.setenv(name, value)
        patch.chdir(here)
        yield here


def search(name: str | None, **options: Any) -> SearchResult:
    usual: dict[str, Any] = {"space": "space.yaml", "cpus": 1, "repeats": 1, "stop_at_floor": False, "out": "out"}
    given: dict[str, Any] = {**usual, "name": name, "progress": False, **options}
    return weightflow.tune(weightflow.read("counts.npy", every=3), **given)


@pytest.fixture(scope="module")
def result(folder: Path) -> SearchResult:
    return search("first", trials=2)


@pytest.mark.slow
def test_a_second_search_runs_in_the_same_process_and_knows_the_first(result: SearchResult):
    again = search("second", trials=1, warm_start="first")
    assert again.finished
    assert not ray.is_initialized()
    assert again.folder != result.folder


@pytest.mark.slow
def test_a_ray_that_runs_already_is_used_and_goes_on(result: SearchResult):
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, address="local")
    try:
        assert search("guest", trials=1).finished
        assert ray.is_initialized()
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_an_interrupted_search_returns_what_it_has_and_can_be_resumed(result: SearchResult):
    def interrupt() -> None:
        trials = Path("out") / "cut" / "study.log"
        wait_for(lambda: trials.is_file() and "trial_id" in trials.read_text(), PATIENCE)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a notebook's kernel
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        cut = search("cut", trials=2, space="slow.yaml")
    finally:
        signal.signal(signal.SIGINT, before)
    assert not cut.finished
    with pytest.raises(WeightFlowError, match="go on with `resume='cut'`"):
        _ = cut.model
    assert "interrupted" in repr(cut)
    assert search(None, trials=2, space="slow.yaml", resume="cut").finished


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"protocol": "guess"}, "`protocol`='guess' is not known; known are "),
        ({"time_budget": "soon"}, "write a time above 0 such as 90s, 30m or 2h"),
        ({"fixed": {"dynamics.size": 3}}, "`fixed` holds `dynamics.size`, which is not known"),
        ({"resume": "x"}, "give one of the two"),
        ({"resume": ""}, "`--resume` is empty, as where a variable of a script is not set"),
        ({"warm_start": ""}, "`--warm-start` is empty"),
        ({"space": "missing.yaml"}, "missing.yaml"),
    ],
)
def test_what_cannot_be_asked_for_is_said_before_anything_starts(folder: Path, options: dict[str, Any], says: str):
    with pytest.raises(InputError, match=says.replace("(", r"\(")):
        search("never", **options)
    assert not (folder / "out" / "never").exists()
