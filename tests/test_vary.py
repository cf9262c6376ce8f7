"""A model at several values of its parameters: each has the law that it should have, and the table says which."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from weightflow.data import read
from weightflow.errors import InputError
from weightflow.systems import Simulator, System, Vary, simulate_varied
from weightflow.systems.library import find_system
from weightflow.systems.varied import columns_of

DECAY = System("decay", "species A = 40; rate = 1; A => ; rate * A; k := rate", times=np.array([0.0, 0.5, 1.0]))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("b=1:3:5", [1, 1.5, 2, 2.5, 3]),
        ("b=0.01:100:5:log", [0.01, 0.1, 1, 10, 100]),
        ("b=0.5,2", [0.5, 2]),
        ("b = 7", [7]),
    ],
)
def test_values_are_even_in_number_or_logarithm_or_as_listed(text, values):
    assert Vary.of(text).name == "b"
    assert Vary.of(text).values == pytest.approx(values)


@pytest.mark.parametrize(
    "text", ["b", "b=", "=1:2:3", "b=1:2", "b=1:2:0", "b=1:2:2.5", "b=0:2:3:log", "b=1,2:log", "b=x"]
)
def test_what_is_no_range_and_no_list_is_refused(text):
    with pytest.raises(InputError, match=r"cannot be read; write a name with start:stop:number"):
        Vary.of(text)


def test_each_rate_and_each_start_has_the_mean_of_its_own_decay():
    grid = [Vary("rate", (0.5, 2.0)), Vary("A0", (20.0, 60.0))]
    system = System("decay", "A0 = 1; species A; A = A0; rate = 1; J: A => ; rate * A;", times=DECAY.times)
    found = simulate_varied(system, grid, 400, 0, DECAY.times)
    assert found.names == ("rate", "A0")
    assert found.samples.shape == (1600, 3, 1)
    for rate, start in ((0.5, 20.0), (0.5, 60.0), (2.0, 20.0), (2.0, 60.0)):
        mine = found.samples[(found.values == [rate, start]).all(axis=1), :, 0]
        survive = np.exp(-rate * DECAY.times)
        error = np.sqrt(start * survive * (1 - survive) / 400)
        assert mine.mean(axis=0) == pytest.approx(start * survive, abs=1e-9 + 4 * error.max())
    alone = simulate_varied(system, [Vary("rate", (2.0,)), Vary("A0", (60.0,))], 400, 0, DECAY.times)
    assert np.array_equal(alone.samples, found.samples[-400:])  # whatever else is simulated beside it


def test_a_species_may_be_varied_in_what_it_starts_with():
    assert Simulator(DECAY, values={"A": 7.0}).run(1, 0)[0, 0, 0] == 7
    found = simulate_varied(DECAY, [Vary("A", (3.0, 9.0))], 5, 0, DECAY.times)
    assert (found.names, found.species) == (("A_start",), ("A",))
    assert found.samples[:, 0, 0].tolist() == found.values[:, 0].tolist() == [3.0] * 5 + [9.0] * 5
    assert list(columns_of(found, DECAY.times)) == ["A_start", "time", "A"]


def test_what_a_model_does_not_have_or_computes_cannot_be_varied():
    with pytest.raises(InputError, match="no parameter or species `beta` to vary; it has rate, k, A"):
        Simulator(DECAY, values={"beta": 1.0})
    with pytest.raises(InputError, match="`k` of model `decay` is set by a formula"):
        Simulator(DECAY, values={"k": 1.0})
    with pytest.raises(InputError, match="`rate` is given to `--vary` twice"):
        simulate_varied(DECAY, [Vary("rate", (1.0,))] * 2, 1, 0, DECAY.times)
    named = System("named", "species A = 2; samples = 1; J: A => ; samples * A;", times=DECAY.times)
    with pytest.raises(InputError, match="`--vary samples` would have the name of something else in the file"):
        simulate_varied(named, [Vary("samples", (1.0,))], 1, 0, DECAY.times)


@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_the_command_line_writes_what_the_reader_reads_as_conditions(suffix, tmp_path: Path):
    from weightflow.cli import app

    out = tmp_path / f"rates.{suffix}"
    asked = ["--vary", "beta=0.002,0.02", "--trajectories", "5", "--times", "0:10:1", "--out", str(out)]
    app(["simulate", "epidemic", *asked], standalone_mode=False)
    data = read(out, conditions="beta", every=1)
    times = np.arange(11.0)
    direct = simulate_varied(find_system("epidemic"), [Vary("beta", (0.002, 0.02))], 5, 0, times)
    for k, course in enumerate(data.snapshots.courses.values()):
        assert course.times.tolist() == times.tolist()
        mine = np.stack(course.samples, axis=1)
        theirs = direct.samples[5 * k : 5 * k + 5]
        assert np.array_equal(np.sort(mine[:, -1], axis=0), np.sort(theirs[:, -1], axis=0))
    if suffix == "csv":
        assert pd.read_csv(out).columns.tolist() == ["beta", "time", "S", "I", "R"]
