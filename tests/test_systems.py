"""Simulated ensembles follow the law of their reactions."""

import sys
from pathlib import Path

import numpy as np
import pytest
from exact import cascade1_means, check_law, follows, master_equation
from scipy.integrate import quad, solve_ivp
from scipy.sparse import csr_matrix
from scipy.stats import poisson

from weightflow.data import ReadOptions
from weightflow.errors import InputError
from weightflow.systems import BUILT_IN, PAPER, Simulator, ensembles, find_system, load_dataset, simulate
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
    return simulate("epidemic", 2500, seed=11)[0]


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


def test_the_epidemic_agrees_with_the_published_ensemble(epidemic, shared_data):
    published = np.load(shared_data / "epidemic" / "trajectories.npy")
    error = np.sqrt(published.var(0) / len(published) + epidemic.var(0) / len(epidemic))[1:]
    z = (published.mean(0) - epidemic.mean(0))[1:] / error
    # The published S falls a little late until t = 2.5: 0.15 persons, 3.8 standard errors from the exact mean.
    assert np.abs(z).max() < 5
    assert np.sqrt((z**2).mean()) < 1.6


def test_cascade1_is_a_product_of_poissons():
    times = np.array([0.2, 0.6, 1.5, 3.0, 10.0])
    samples = simulate("cascade1", 2000, seed=21, times=times)[0]
    for cloud, means in zip(samples.swapaxes(0, 1), cascade1_means(times), strict=True):
        assert (np.abs(cloud.mean(0) - means) < 4.5 * np.sqrt(means / len(cloud)) + 1e-3).all()
        for counts, mean in zip(cloud.T, means, strict=True):
            assert follows(counts, poisson.pmf(np.arange(30), mean)) > 1e-4
        present = cloud[:, means > 0.05]  # correlations of species that are hardly ever seen are not Gaussian
        correlations = np.corrcoef(present.T)[np.triu_indices(present.shape[1], 1)]
        assert np.abs(correlations).max() < 5 / np.sqrt(len(cloud))
    variances, means = samples[:, -1].var(0, ddof=1), cascade1_means(times)[-1]
    assert (np.abs(variances - means) < 4.5 * np.sqrt((2 * means**2 + means) / len(samples))).all()


@pytest.mark.parametrize(("name", "made", "decays"), [("cascade1", 10, 1), ("cascade2", 500 / 3, 2.5)])
def test_molecules_in_a_cascade_are_passed_on_and_neither_made_nor_lost_on_the_way(name, made, decays):
    # Each molecule enters at a constant rate and leaves independently of all others: their number is Poisson.
    times = find_system(name).times[[5, 20, 100]]
    samples = simulate(name, 500, seed=22, times=times)[0]
    for total, mean in zip(samples.sum(-1).T, made / decays * (1 - np.exp(-decays * times)), strict=True):
        assert follows(total, poisson.pmf(np.arange(200), mean)) > 1e-4


def test_the_first_two_species_of_cascade2_follow_their_master_equation():
    # What comes first in a cascade does not depend on what comes after it.
    shape = (40, 30)
    x1, x2 = np.indices(shape).astype(float)

    def passed(x: np.ndarray) -> np.ndarray:
        return np.where(x >= 1, 50 / 3 + 5000 / 3 * x / (200 / 3 + x), 0)

    made = np.full(shape, 500 / 3)
    reactions = [(made, (1, 0)), (passed(x1), (-1, 1)), (passed(x2), (0, -1)), (2.5 * x1, (-1, 0)), (2.5 * x2, (0, -1))]
    times = np.array([0.02, 0.1, 0.5])
    ensemble = simulate("cascade2", 1500, seed=23, times=times)[0]
    check_law(ensemble[..., :2], times, (0, 0), reactions)


def test_the_toggle_switch_follows_its_master_equation():
    shape = (2, 2, 85, 85)
    gx, gy, px, py = np.indices(shape).astype(float)
    reactions = [
        (50 * gx, (0, 0, 1, 0)),
        (50 * gy, (0, 0, 0, 1)),
        (px, (0, 0, -1, 0)),
        (py, (0, 0, 0, -1)),
        (1e-4 * px * (px - 1) * gy, (0, -1, -2, 0)),
        (1e-4 * py * (py - 1) * gx, (-1, 0, 0, -2)),
        (0.1 * (1 - gy), (0, 1, 2, 0)),
        (0.1 * (1 - gx), (1, 0, 0, 2)),
    ]
    times = np.array([0.5, 2.0])
    check_law(simulate("toggle_switch", 2000, seed=24, times=times)[0], times, (1, 1, 0, 0), reactions, width=10)


def test_a_gene_of_the_toggle_switch_is_free_or_blocked_and_both_happen():
    ensemble = simulate("toggle_switch", 300, seed=25)[0]
    assert set(np.unique(ensemble[:, -1, :2])) == {0, 1}
    assert set(np.unique(ensemble[..., :2])) == {0, 1}


def evolution() -> tuple[list[tuple[np.ndarray, tuple[int, int]]], np.ndarray]:
    """Reactions of `ecological_evolution` on all genotypes, and 2 N fitness of each."""
    x, y = np.indices((100, 100)).astype(float)

    def hill(at: tuple[float, float], widths: tuple[float, float]) -> np.ndarray:
        return np.exp(-(((x - at[0]) / widths[0]) ** 2 + ((y - at[1]) / widths[1]) ** 2) / 2)

    fitness = 8 * hill((46, 86), (10, 10)) + 8 * hill((18, 31), (10, 10)) + 10 * hill((52, 44), (20, 8))

    def rate(change: tuple[int, int]) -> np.ndarray:
        gain = np.roll(fitness, (-change[0], -change[1]), (0, 1)) - fitness
        return 1.5 * gain / -np.expm1(-gain)

    return [(rate(change), change) for change in ((1, 0), (-1, 0), (0, 1), (0, -1))], fitness


@pytest.mark.slow
def test_ecological_evolution_follows_its_master_equation():
    times = np.array([5.0, 20.0, 40.0])
    ensemble = simulate("ecological_evolution", 2000, seed=26, times=times)[0]
    check_law(ensemble, times, (30, 62), evolution()[0], width=5)


def test_ecological_evolution_balances_where_genotypes_are_as_frequent_as_their_fitness_demands():
    reactions, fitness = evolution()
    frequent = np.exp(fitness).ravel()
    assert np.abs(master_equation((100, 100), reactions) @ frequent).max() < 1e-9 * frequent.max()


@pytest.mark.parametrize("corner", [(0, 0), (99, 0), (0, 99), (99, 99)])
def test_evolution_stays_within_the_alleles_that_there_are(model, corner):
    text = find_system("ecological_evolution").text.replace("x = 30, y = 62", f"x = {corner[0]}, y = {corner[1]}")
    ensemble = simulate(model(text), 50, seed=27, times=np.linspace(0, 5, 51))[0]
    assert (ensemble[:, 0] == corner).all()
    assert ensemble.min() >= 0
    assert ensemble.max() <= 99
    assert len(np.unique(ensemble[:, -1], axis=0)) > 20


def test_evolution_splits_towards_the_three_places_of_the_paper():
    ensemble = simulate("ecological_evolution", 500, seed=28, times=[0.0, 10.0, 100.0])[0]
    places = np.array([(46, 86), (18, 31), (52, 44)])
    near = (np.linalg.norm(ensemble[:, :, None] - places, axis=-1) < 15).mean(0)  # (time, place)
    assert (near[0] == 0).all()
    assert (near[1] < 0.1).all()
    assert (near[2] > 0.15).all()
    assert near[2].sum() > 0.8


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
    last = simulate(model(text), 3000, seed=3, times=times)[0][:, -1, 0]
    assert abs(last.mean() - 2) < 4 * np.sqrt(2 / len(last))
    assert follows(last, poisson.pmf(np.arange(30), 2.0)) > 1e-4


def kendall(time: float, size: int) -> np.ndarray:
    """Law of a birth and death process from one individual (Kendall 1948), births at 0.6 (1 + 0.9 sin 2 pi t)."""

    def grown(t: float) -> float:
        return 0.6 * (t + 0.9 * (1 - np.cos(2 * np.pi * t)) / (2 * np.pi)) - 0.5 * t

    w = np.exp(grown(time)) * (1 + quad(lambda t: 0.5 * np.exp(-grown(t)), 0, time)[0])
    gone, ratio = 1 - np.exp(grown(time)) / w, 1 - 1 / w
    return np.r_[gone, (1 - gone) * (1 - ratio) * ratio ** np.arange(size - 1)]


def test_births_at_a_rate_that_turns_with_time_follow_kendalls_law(model):
    # Quarters of the period: over whole ones a late rate would do as well.
    text = "model m()\n species X = 1; X => 2 X; 0.6 * (1 + 0.9 * sin(2 * pi * time)) * X; X => ; 0.5 * X;\nend"
    times = np.array([0.25, 0.5, 2.75])
    samples = simulate(model(text), 3000, seed=5, times=times)[0]
    for cloud, time in zip(samples[:, :, 0].T, times, strict=True):
        assert follows(cloud, kendall(time, 200)) > 1e-4


def test_a_closed_population_keeps_its_size(model):
    samples, species = simulate(model(CLOSED), 200, seed=0, times=np.linspace(0, 20, 41))
    assert species == ("S", "I", "R")
    assert (samples.sum(-1) == 35).all()
    assert (np.diff(samples[..., 0], axis=1) <= 0).all()


def test_a_state_does_not_depend_on_which_other_times_are_recorded_in_law(model):
    alone = simulate(model(BIRTH_DEATH), 4000, seed=4, times=[5.0])[0][:, 0, 0]
    among = simulate(model(BIRTH_DEATH), 4000, seed=5, times=np.linspace(0, 5, 51))[0][:, -1, 0]
    assert abs(alone.mean() - among.mean()) < 4.5 * np.sqrt((alone.var() + among.var()) / 4000)


@pytest.mark.parametrize(
    ("name", "species", "start", "stop"),
    [
        ("epidemic", ["S", "I", "R"], [50, 10, 0], 50),
        ("toggle_switch", ["Gx", "Gy", "Px", "Py"], [1, 1, 0, 0], 10),
        ("cascade1", [f"X{i}" for i in range(1, 16)], [0] * 15, 10),
        ("cascade2", [f"X{i}" for i in range(1, 16)], [0] * 15, 1),
        ("ecological_evolution", ["x", "y"], [30, 62], 100),
    ],
)
def test_the_systems_of_the_paper_hold_counts_from_its_start_on_at_101_times(name, species, start, stop):
    samples, names = simulate(name, 20, seed=0)
    assert samples.shape == (20, 101, len(species))
    assert list(names) == species
    assert (samples[:, 0] == start).all()
    assert (samples == np.rint(samples)).all()
    assert (samples >= 0).all()
    assert np.allclose(find_system(name).times, np.linspace(0, stop, 101))


def test_the_systems_of_the_paper_are_all_there():
    assert set(PAPER) == {"epidemic", "toggle_switch", "cascade1", "cascade2", "ecological_evolution"}


def test_a_seed_decides_the_ensemble_and_more_trajectories_begin_with_the_same(epidemic):
    assert np.array_equal(simulate("epidemic", 50, seed=11)[0], epidemic[:50])
    assert not np.array_equal(simulate("epidemic", 50, seed=12)[0], epidemic[:50])
    simulator = Simulator(find_system("epidemic"))
    done: list[int] = []
    simulator.run(7, seed=1, watch=done.append)
    assert done == [1, 2, 3, 4, 5, 6, 7]
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


def test_species_are_counted_in_molecules_whatever_the_volume(model):
    text = "model m()\n compartment C = 4; species A in C = 25, B in C = 0; A => B; 0.5 * A * C;\nend"
    samples = simulate(model(text), 1000, seed=8, times=[0.0, 1.0])[0]
    assert (samples[:, 0] == [100, 0]).all()
    left = 100 * np.exp(-0.5)
    assert abs(samples[:, 1, 0].mean() - left) < 4.5 * np.sqrt(left * (1 - np.exp(-0.5)) / 1000)


def test_an_event_happens_as_soon_as_its_species_allow(model):
    text = "model m()\n species X = 9; X => ; X; at (X < 5): X = 9;\nend"
    samples = simulate(model(text), 50, seed=9, times=np.linspace(0, 9, 91))[0]
    assert set(np.unique(samples)) == {5, 6, 7, 8, 9}


def test_simulating_prints_nothing(model, capfd):
    simulate("epidemic", 5, seed=0)
    with pytest.raises(InputError):
        simulate(model("model m()\n species X = 2.5; X => ; X;\nend"), 50, 0, [0.0, 9.0])
    simulate(model("model m()\n species X = 9; X => ; X; at (time > 2): X = time + 7;\nend"), 5, 0, [0.0, 5.0])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model m()\n species X = 2; X => ; X; at (X < 1): X = -3;\nend", "reaches -"),
        ("model m()\n species X = 2.5; X => ; X;\nend", "reaches 2.5"),
        ("model m()\n species A = 1, B = 40; A => B; A - B;\nend", "each direction as a reaction of its own"),
        ("model m()\n species X = 2; X => ; k * X;\nend", "'k' is missing a value"),
        ("model m()\n k = 1; k' = 0.5; species X = 2; X => ; k * X;\nend", "rate rules"),
        ("model m()\n species X = 2; X => ;\nend", "a reaction without a rate"),
        ("model m()\n species X = 2, Y = 0; X => Y; 1 / Y;\nend", "reaches inf, but a rate is a finite number"),
        ("model m()\n species X = 3; X => ; X * sqrt(X - 1.5);\nend", "reaches nan, but a rate is a finite number"),
        ("model m()\n species X = 9; X => ; X; at 2 after (X < 5): X = 9;\nend", "has a delay"),
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
    own = find_system(model(CLOSED))
    for times in (None, own.times):
        with pytest.raises(InputError, match="--times"):
            Simulator(own).run(5, seed=0, times=times)
    with pytest.raises(InputError, match="0 trajectories"):
        simulate("epidemic", 0, seed=0)


def test_unknown_models_are_refused(model):
    with pytest.raises(InputError, match=r"neither a built-in system \(epidemic.*nor an existing file"):
        simulate("epidemci", 5, seed=0)
    with pytest.raises(InputError, match=r"ends in `.py`"):
        simulate(model(CLOSED, "own.py"), 5, seed=0)
    with pytest.raises(InputError, match="cannot be compiled"):
        simulate(model("<sbml", "own.xml"), 5, seed=0, times=[0.0, 1.0])
    with pytest.raises(InputError, match="no <sbml> element"):
        simulate(model("<html/>", "own.xml"), 5, seed=0, times=[0.0, 1.0])


@pytest.mark.parametrize("library", ["roadrunner", "antimony"])
def test_a_missing_library_is_named_with_what_to_install(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)  # importing a name that maps to None raises
    with pytest.raises(InputError, match=rf"`{library}`.*pip install 'weightflow\[simulate\]'"):
        simulate("epidemic", 1, seed=0)


def test_a_built_in_data_set_has_three_independent_ensembles(monkeypatch):
    assert ensembles.TRAJECTORIES == 1000
    monkeypatch.setattr(ensembles, "TRAJECTORIES", 200)
    data = load_dataset("epidemic", seed=0)
    assert data.fresh is not None
    assert data.reference is not None
    parts = [data.snapshots, data.fresh, data.reference]
    assert {len(cloud) for part in parts for cloud in part.samples} == {200}
    assert len({part.digest() for part in parts}) == 3
    assert data.snapshots.species == ("S", "I", "R")
    assert set(data.snapshots.kinds) == {Kind.COUNTS}
    assert data.seen == tuple(range(0, 101, 10))
    # what `simulate --seed 0` writes is none of what a search with that seed fits or scores on
    again = simulate("epidemic", 200, seed=0)[0]
    assert not any(np.array_equal(again[:, -1], part.samples[-1]) for part in parts)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_data_set_holds_counts_and_fresh_trajectories(name, monkeypatch):
    monkeypatch.setattr(ensembles, "TRAJECTORIES", 20)
    data = load_dataset(name, seed=3)
    assert data.fresh is not None
    assert data.reference is not None
    assert len({part.digest() for part in (data.snapshots, data.fresh, data.reference)}) == 3
    assert set(data.snapshots.kinds) == {Kind.COUNTS}
    assert len(data.snapshots.kinds) == len(data.snapshots.species) == data.snapshots.dim
    assert len(data.seen) == 11


def test_a_built_in_data_set_takes_no_options_of_files():
    with pytest.raises(InputError, match="built in"):
        load_dataset("epidemic", 0, ReadOptions(step=0.5))
    with pytest.raises(InputError, match="built in"):
        load_dataset("epidemic", 0, ReadOptions(kind=Kind.CONTINUOUS))


def test_an_unknown_data_set_says_which_there_are():
    with pytest.raises(
        InputError, match=r"`nowhere.npy` is neither a built-in system \(epidemic.*nor an existing file"
    ):
        load_dataset("nowhere.npy", seed=0)
