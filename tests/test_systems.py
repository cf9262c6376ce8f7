"""Simulated ensembles follow the law of their reactions."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.sparse import csr_matrix
from scipy.stats import chisquare, poisson

from weightflow.errors import InputError
from weightflow.systems import BUILT_IN, Simulator, find_system, load_dataset, simulate
from weightflow.types import Kind

BIRTH_DEATH = "model m()\n species X = 0; birth: => X; 6; death: X => ; 0.5 * X;\nend"
CLOSED = "model m()\n species S = 30, I = 5, R = 0; S + I => 2 I; 0.02 * S * I; I => R; 0.3 * I;\nend"


@pytest.fixture
def model(tmp_path: Path):
    """Write a model's text to a file."""

    def write(text: str, name: str = "own.ant") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="module")
def epidemic() -> np.ndarray:
    return simulate("epidemic", 4000, seed=11)[0]


def epidemic_by_the_master_equation(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact means (time, species) and law of I (time, persons), from the probabilities of all 39,711 states.

    Nobody is born, so S + I + R never exceeds the 60 of the start.
    """
    everybody = 60
    grid = np.indices((everybody + 1,) * 3).reshape(3, -1).T
    states = grid[grid.sum(1) <= everybody]
    index = np.full((everybody + 2,) * 3, -1)
    index[tuple(states.T)] = np.arange(len(states))

    def reaction(rate: np.ndarray, change: list[int]) -> csr_matrix:
        source = np.flatnonzero(rate > 0)
        target = index[tuple((states[source] + change).T)]
        entries = (np.r_[rate[source], -rate[source]], (np.r_[target, source], np.r_[source, source]))
        return csr_matrix(entries, (len(states),) * 2)

    s, i, r = states.T.astype(float)
    infection = reaction(0.003 * s * i, [-1, 1, 0])
    others = reaction(0.02 * i, [0, -1, 1]) + reaction(0.007 * r, [1, 0, -1])
    others += reaction(0.002 * s, [-1, 0, 0]) + reaction(0.05 * i, [0, -1, 0]) + reaction(0.002 * r, [0, 0, -1])
    start = np.zeros(len(states))
    start[index[50, 10, 0]] = 1.0

    def slope(t: float, p: np.ndarray) -> np.ndarray:
        return others @ p + (1 + 0.2 * np.sin(2 * np.pi * t / 6)) * (infection @ p)

    p = solve_ivp(slope, (0, times[-1]), start, t_eval=times, rtol=1e-6, atol=1e-10).y.T
    infected = np.stack([np.bincount(states[:, 1], weights=row, minlength=everybody + 1) for row in p])
    return p @ states, infected


def test_the_epidemic_follows_its_master_equation(epidemic):
    kept = np.array([1, 3, 6, 12, 25, 50, 100])
    means, infected = epidemic_by_the_master_equation(find_system("epidemic").times[kept])
    ensemble = epidemic[:, kept]
    errors = (ensemble.mean(0) - means) / (ensemble.std(0) / np.sqrt(len(ensemble)))
    assert np.abs(errors).max() < 4.5
    for cloud, law in zip(ensemble[:, :, 1].T, infected, strict=True):
        assert follows(cloud, law) > 1e-4


def follows(counts: np.ndarray, law: np.ndarray) -> float:
    """P value of the chi-square test, where states expected fewer than 10 times are taken together."""
    seen = np.bincount(counts.astype(int), minlength=len(law))[: len(law)].astype(float)
    expected = law * len(counts)
    rare = expected < 10
    seen, expected = np.r_[seen[~rare], seen[rare].sum()], np.r_[expected[~rare], expected[rare].sum()]
    kept = expected > 0
    return float(chisquare(seen[kept], expected[kept] * seen[kept].sum() / expected[kept].sum()).pvalue)


def test_the_epidemic_agrees_with_the_published_ensemble(epidemic, shared_data):
    published = np.load(shared_data / "epidemic" / "trajectories.npy")
    error = np.sqrt(published.var(0) / len(published) + epidemic.var(0) / len(epidemic))[1:]
    z = (published.mean(0) - epidemic.mean(0))[1:] / error
    # The published S falls a little late until t = 2.5: 0.15 persons, 3.8 standard errors from the exact mean.
    assert np.abs(z).max() < 5
    assert np.sqrt((z**2).mean()) < 1.6


def test_a_birth_death_process_is_poisson_at_every_time(model):
    times = np.array([0.4, 1.0, 3.0, 8.0])
    samples, species = simulate(model(BIRTH_DEATH), 4000, seed=2, times=times)
    assert species == ("X",)
    for cloud, mean in zip(samples[:, :, 0].T, 12 * (1 - np.exp(-0.5 * times)), strict=True):
        assert follows(cloud, poisson.pmf(np.arange(60), mean)) > 1e-4


@pytest.mark.parametrize("times", [[0.0, 10.0], np.linspace(0, 10, 41)])
def test_rates_that_depend_on_time_are_followed_however_few_times_are_recorded(model, times):
    # Integrated over whole periods the rate gives 2; held still between rare reactions it would give 2.3.
    text = "model m()\n species X = 0; => X; 0.2 * (1 + 0.9 * sin(2 * pi * time));\nend"
    last = simulate(model(text), 8000, seed=3, times=times)[0][:, -1, 0]
    assert abs(last.mean() - 2) < 4 * np.sqrt(2 / len(last))
    assert follows(last, poisson.pmf(np.arange(30), 2.0)) > 1e-4


def test_a_closed_population_keeps_its_size(model):
    samples, species = simulate(model(CLOSED), 200, seed=0, times=np.linspace(0, 20, 41))
    assert species == ("S", "I", "R")
    assert (samples.sum(-1) == 35).all()
    assert (np.diff(samples[..., 0], axis=1) <= 0).all()


def test_a_state_does_not_depend_on_which_other_times_are_recorded_in_law(model):
    alone = simulate(model(BIRTH_DEATH), 4000, seed=4, times=[5.0])[0][:, 0, 0]
    among = simulate(model(BIRTH_DEATH), 4000, seed=5, times=np.linspace(0, 5, 51))[0][:, -1, 0]
    assert abs(alone.mean() - among.mean()) < 4.5 * np.sqrt((alone.var() + among.var()) / 4000)


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_systems_hold_counts_from_time_zero_on(name):
    samples, species = simulate(name, 20, seed=0)
    times = find_system(name).times
    assert samples.shape == (20, len(times), len(species))
    assert times[0] == 0
    assert (samples == np.rint(samples)).all()
    assert (samples >= 0).all()
    assert (samples[:, 0] == samples[0, 0]).all()


def test_a_seed_decides_the_ensemble_and_more_trajectories_begin_with_the_same(epidemic):
    assert np.array_equal(simulate("epidemic", 50, seed=11)[0], epidemic[:50])
    assert not np.array_equal(simulate("epidemic", 50, seed=12)[0], epidemic[:50])
    simulator = Simulator(find_system("epidemic"))
    simulator.run(7, seed=1)
    assert np.array_equal(simulator.run(50, seed=11), epidemic[:50])


def test_trajectories_are_independent(epidemic):
    assert len(np.unique(epidemic.reshape(len(epidemic), -1), axis=0)) == len(epidemic)
    for state in epidemic[:, [20, 60, 100]].reshape(len(epidemic), -1).T:
        assert abs(np.corrcoef(state[:-1], state[1:])[0, 1]) < 4.5 / np.sqrt(len(state))


def test_sbml_and_antimony_of_one_model_give_the_same_trajectories(model):
    antimony = pytest.importorskip("antimony")
    antimony.clearPreviousLoads()
    antimony.loadAntimonyString(CLOSED)
    sbml = model(antimony.getSBMLString("m"), "own.xml")
    times = [0.0, 1.0, 4.0]
    assert np.array_equal(simulate(sbml, 20, 7, times)[0], simulate(model(CLOSED), 20, 7, times)[0])


def test_simulating_prints_nothing(model, capfd):
    simulate("epidemic", 5, seed=0)
    with pytest.raises(InputError):
        simulate(model("model m()\n species X = 2; X => ; 1;\nend"), 50, 0, [0.0, 9.0])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model m()\n species X = 2; X => ; 1;\nend", "reaches -"),
        ("model m()\n species X = 2.5; X => ; X;\nend", "reaches 2.5"),
        ("model m()\n species A = 1, B = 40; A -> B; A - B;\nend", "each direction as a reaction of its own"),
        ("model m()\n species X = 2; X => ; k * X;\nend", "'k' is missing a value"),
        ("model m()\n k = 1; k' = 0.5; species X = 2; X => ; k * X;\nend", "rate rules"),
        ("model m()\n k = 1;\nend", "no species that reactions change"),
        ("", "no species that reactions change"),
        ("model m(\n", "not valid Antimony"),
    ],
)
def test_models_that_cannot_be_simulated_exactly_are_refused(model, text, says):
    with pytest.raises(InputError) as error:
        simulate(model(text), 20, seed=0, times=[0.0, 5.0])
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ([-1.0, 0.0], "starts at 0"),
        ([0.0, 2.0, 1.0], "strictly increase"),
        ([0.0, 0.0], "strictly increase"),
        ([0.0, np.nan], "finite"),
        ([], "one at least"),
    ],
)
def test_times_that_cannot_be_simulated_are_refused(times, says):
    with pytest.raises(InputError, match=says):
        simulate("epidemic", 2, seed=0, times=times)


def test_a_model_without_times_or_trajectories_is_refused(model):
    with pytest.raises(InputError, match="--times"):
        simulate(model(CLOSED), 5, seed=0)
    with pytest.raises(InputError, match="0 trajectories"):
        simulate("epidemic", 0, seed=0)


def test_unknown_models_are_refused(model):
    with pytest.raises(InputError, match=r"neither a built-in system \(epidemic.*nor an existing file"):
        simulate("epidemci", 5, seed=0)
    with pytest.raises(InputError, match=r"ends in `.py`"):
        simulate(model(CLOSED, "own.py"), 5, seed=0)
    with pytest.raises(InputError, match="cannot be compiled"):
        simulate(model("<sbml", "own.xml"), 5, seed=0, times=[0.0, 1.0])


@pytest.mark.parametrize("library", ["roadrunner", "antimony"])
def test_a_missing_library_is_named_with_what_to_install(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)  # importing a name that maps to None raises
    with pytest.raises(InputError, match=rf"`{library}`.*pip install 'weightflow\[simulate\]'"):
        simulate("epidemic", 1, seed=0)


def test_a_built_in_data_set_has_three_independent_ensembles():
    data = load_dataset("epidemic", seed=0)
    assert data.fresh is not None
    assert data.reference is not None
    ensembles = [data.snapshots, data.fresh, data.reference]
    assert {len(cloud) for part in ensembles for cloud in part.samples} == {1000}
    assert len({part.digest() for part in ensembles}) == 3
    assert data.snapshots.species == ("S", "I", "R")
    assert set(data.snapshots.kinds) == {Kind.COUNTS}
    assert data.seen == tuple(range(0, 101, 10))
    # what `simulate --seed 0` writes is none of what a search with that seed fits or scores on
    again = simulate("epidemic", 1000, seed=0)[0]
    assert not any(np.array_equal(again[:, -1], part.samples[-1]) for part in ensembles)


def test_a_built_in_data_set_takes_no_options_of_files():
    with pytest.raises(InputError, match="built in"):
        load_dataset("epidemic", seed=0, step=0.5)
    with pytest.raises(InputError, match="built in"):
        load_dataset("epidemic", seed=0, kind=Kind.CONTINUOUS)


def test_an_unknown_data_set_says_which_there_are():
    with pytest.raises(
        InputError, match=r"`nowhere.npy` is neither a built-in system \(epidemic.*nor an existing file"
    ):
        load_dataset("nowhere.npy", seed=0)
