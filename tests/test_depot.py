"""What trials leave and share: kept beside the driver, whichever folders nodes have, and made by one trial alone."""

import os
import signal
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
import ray
from ray.tune.search import Searcher
from searches import wait_for
from test_study import EPOCHS, open_study, report

from weightflow.cache import ArrayCache
from weightflow.experiment import flat_keys, flatten, preset
from weightflow.search.cluster import connection
from weightflow.search.cluster.nodes import Joining
from weightflow.search.cluster.resources import Resources
from weightflow.search.space.space import Space
from weightflow.search.study.options import SearchOptions
from weightflow.search.study.study import Study
from weightflow.search.trials.depot import Depot, depot
from weightflow.search.trials.making import Making
from weightflow.search.trials.stopper import Stopper
from weightflow.search.trials.tuner import StudySearcher
from weightflow.trials import SchedulerName, TrialRecord, TrialState

ON = {"data": "a", "seed": 1}
ARRAYS = {"x": np.arange(300_000.0)}  # too large to travel with a call


@pytest.fixture(scope="module")
def started(ray_environment: dict[str, str]) -> Generator[None, None, None]:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in ray_environment.items():
            patched.setenv(name, value)
        connection.ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.mark.ray
@pytest.mark.timeout(300)
class TestDepot:
    """A real actor; what it is asked comes from other processes."""

    def test_a_piece_is_made_once_and_found_by_others_also_after_its_keeper_died(
        self, started: None, tmp_path: Path
    ) -> None:
        with depot(tmp_path / "cache", tmp_path) as kept:
            first, second, third = (asking.remote(kept) for _ in range(3))
            made = sum(ray.get([first, second, third]))
            assert 1 <= made <= 3  # who asks at the same time makes it too; trials are handed out so that none does
            assert ray.get(asking.remote(kept)) == 0
            kill(kept)
            assert ray.get(asking.remote(kept)) == 0
        found = ArrayCache(tmp_path / "cache").get("thing", ON)
        assert found is not None
        np.testing.assert_array_equal(found["x"], ARRAYS["x"])

    def test_a_checkpoint_lies_with_the_driver_until_it_is_dropped(self, started: None, tmp_path: Path) -> None:
        with depot(tmp_path / "cache", tmp_path) as kept:
            assert kept.checkpoint(3) is None
            assert kept.save(3, ARRAYS, {"epoch": 2}) == ""
            assert [file.name for file in tmp_path.iterdir()] == ["0003.safetensors"]
            kill(kept)
            arrays, facts = kept.checkpoint(3) or ({}, {})
            np.testing.assert_array_equal(arrays["x"], ARRAYS["x"])
            assert facts == {"epoch": 2}
            (tmp_path / "0003.safetensors").write_bytes(b"damaged")
            assert kept.checkpoint(3) is None
            kept.drop(3)
            wait_for(lambda: not list(tmp_path.iterdir()))
            assert kept.checkpoint(3) is None

    def test_a_full_disk_is_said_and_a_piece_is_shared_all_the_same(
        self, started: None, tmp_path: Path, mount: Callable[[Path, str], Path]
    ) -> None:
        full = mount(tmp_path / "full", "size=1m")
        with depot(full / "cache", full) as kept:
            assert kept.save(1, ARRAYS, {}) == "No space left on device"
            assert ray.get(asking.remote(kept)) == 1
            assert ray.get(asking.remote(kept)) == 0
        assert not list(full.rglob("*.safetensors"))


@ray.remote(num_cpus=0)
def asking(kept: Depot) -> int:
    """Ask for a piece, check it, and return how often it was made."""
    made: list[int] = []
    arrays = kept.get_or_make("thing", ON, lambda: made.append(1) or ARRAYS)
    assert np.array_equal(arrays["x"], ARRAYS["x"])
    return len(made)


def kill(kept: Depot) -> None:
    os.kill(ray.get(kept.keeper.__ray_call__.remote(lambda _: os.getpid())), signal.SIGKILL)


class TestMaking:
    """Trials of three preparations: `a` was made, `b` and `c` not."""

    def test_one_makes_what_others_wait_for(self) -> None:
        asked = Asked("bbabc")
        making = Making(asked.names("a"), most=9)
        assert asked.handed_out(making) == [0, 2, 4]
        assert [making.makes(number) for number in (0, 2, 4)] == [True, False, True]
        assert [record.number for record in making.waiting] == [1, 3]
        making.done(0)
        assert asked.handed_out(making) == [1, 3]
        assert not making.makes(1)

    def test_where_the_maker_is_lost_the_next_one_makes_it(self) -> None:
        asked = Asked("bbb")
        making = Making([], most=9)
        assert asked.handed_out(making) == [0]
        making.gone(0)
        assert asked.handed_out(making) == [1]
        assert making.makes(1)
        making.done(1)
        assert asked.handed_out(making) == [2]

    def test_a_trial_that_is_handed_out_again_still_makes_it(self) -> None:
        asked = Asked("b")
        making = Making([], most=1)
        assert asked.handed_out(making) == [0]
        asked.left = [0]
        assert asked.handed_out(making) == [0]
        assert making.makes(0)

    def test_no_more_are_asked_for_than_may_wait(self) -> None:
        asked = Asked("bbbbba")
        making = Making(asked.names("a"), most=2)
        assert asked.handed_out(making) == [0]
        assert asked.left == [3, 4, 5]

    def test_when_the_search_is_over_those_that_wait_are_given_back_unbegun_and_a_longer_search_begins_them(
        self, tmp_path: Path
    ) -> None:
        hidden = {"kind": "choice", "values": [4]}
        rate = {"kind": "float", "low": 1e-3, "high": 1e-2}
        parameters = {"backbone.hidden": hidden, "training.learning_rate": rate}
        space = Space.build({"parameters": parameters, "fixed": {"training.epochs": EPOCHS}}, flat_keys())

        def searcher(cpu_hours: float) -> tuple[Study, StudySearcher]:
            options = SearchOptions(
                trials=4, time_budget=1e9, cpu_hours=cpu_hours, stop_at_floor=False, scheduler=SchedulerName.NONE
            )
            study = open_study(tmp_path, options, space)
            stopper, joining = Stopper(study, options, 1.0, 0.0), Joining(Resources(1, 0), print)
            return study, StudySearcher(study, stopper, joining, Making([], 2))

        study, asking = searcher(EPOCHS / 3600)  # CPU-hours that the first trial takes
        assert asking.suggest("a")["makes"]
        assert asking.suggest("b") is None  # two wait for what it makes, and no more may
        waiting = [record.number for record in asking.making.waiting]
        assert len(waiting) == 2
        assert report(study, 0, 1.0, 1, EPOCHS).state is TrialState.FINISHED
        assert asking.suggest("c") == Searcher.FINISHED
        assert [study.records[number].state for number in waiting] == [TrialState.STOPPED] * 2
        assert [study.records[number].epochs for number in waiting] == [0, 0]
        study.close()

        study, asking = searcher(1.0)
        again = [asking.suggest("d"), asking.suggest("e")]
        assert [one and one["number"] for one in again] == [waiting[0], None]  # the first makes it, the second waits
        assert asking.making.waiting[0].number == waiting[1]
        study.close()


class Asked:
    """A study that hands out trials with such preparations, in this order."""

    def __init__(self, names: str) -> None:
        self.given = names
        self.left = list(range(len(names)))

    def __call__(self) -> TrialRecord | None:
        return self._record(self.left.pop(0)) if self.left else None

    def handed_out(self, making: Making) -> list[int]:
        return [record.number for record in iter(lambda: making.next(self), None) if record is not None]

    def names(self, which: str) -> set[str]:
        """Return what is prepared as these."""
        own = Making([], 1)
        for name in which:
            own.next(lambda name=name: self._record(self.given.index(name)))
            own.done(self.given.index(name))
        return own.made

    def _record(self, number: int) -> TrialRecord:
        hidden = {"backbone.hidden": 4 + "abc".index(self.given[number])}
        return TrialRecord(number, TrialState.RUNNING, {**flatten(preset("default")), **hidden})
