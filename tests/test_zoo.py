"""Each system of the zoo follows the law that its text promises: exact laws, differential equations, what is kept."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exact import check_law, follows, master_equation
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.sparse.linalg import expm_multiply
from scipy.stats import poisson

from weightflow.systems import BUILT_IN, PAPER, ZOO, find_system, simulate

SPECIES = {
    "lotka_volterra": ("prey", "predators"),
    "repressilator": ("mA", "mB", "mC", "A", "B", "C"),
    "brusselator": ("X", "Y"),
    "schloegl": ("X",),
    "telegraph_gene": ("G", "M"),
    "michaelis_menten": ("E", "S", "ES", "P"),
    "outbreak": ("S", "I", "R"),
    "circadian_clock": ("M", "P0", "P1", "P2", "PN"),
    "vilar_oscillator": ("GA", "GA_A", "GR", "GR_A", "MA", "MR", "A", "R", "C"),
    "seasonal_insects": ("larvae", "adults"),
    "mapk_cascade": ("KKK", "KKK_P", "KK", "KK_P", "KK_PP", "K", "K_P", "K_PP"),
}
# Sums of species that no reaction changes, and what they are.
KEPT = {
    "michaelis_menten": [(("E", "ES"), 12), (("S", "ES", "P"), 30)],
    "outbreak": [(("S", "I", "R"), 200)],
    "vilar_oscillator": [(("GA", "GA_A"), 1), (("GR", "GR_A"), 1)],
    "mapk_cascade": [(("KKK", "KKK_P"), 100), (("KK", "KK_P", "KK_PP"), 300), (("K", "K_P", "K_PP"), 300)],
}


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """Write the text of a system with other values."""

    def write(name: str, **values: float) -> Path:
        comments, start, text = find_system(name).text.partition("model ")
        for symbol, value in values.items():
            text, found = re.subn(rf"(?<= ){symbol} = [\d.e-]+", f"{symbol} = {value}", text)
            assert found == 1, symbol
        path = tmp_path / f"{name}.ant"
        path.write_text(comments + start + text)
        return path

    return write


@pytest.mark.parametrize("name", ZOO)
def test_a_system_of_the_zoo_holds_counts_at_101_times_and_keeps_what_is_conserved(name):
    samples, species = simulate(name, 10, seed=0)
    assert species == SPECIES[name]
    assert samples.shape == (10, 101, len(species))
    assert (samples == np.rint(samples)).all()
    assert (samples >= 0).all()
    assert np.allclose(find_system(name).times, np.linspace(0, ZOO[name], 101))
    for parts, total in KEPT.get(name, []):
        assert (samples[..., [species.index(part) for part in parts]].sum(-1) == total).all()


def test_the_zoo_has_ten_systems_beside_those_of_the_paper():
    assert len(ZOO) >= 10
    assert set(BUILT_IN) == {*PAPER, *ZOO}
    assert not set(PAPER) & set(ZOO)


# Exact laws


def test_the_telegraph_gene_follows_its_master_equation_and_ends_as_a_beta_poisson():
    shape = (2, 130)
    gene, mrna = np.indices(shape).astype(float)
    reactions = [(0.6 * (1 - gene), (1, 0)), (1.2 * gene, (-1, 0)), (60 * gene, (0, 1)), (mrna, (0, -1))]
    times = np.array([0.3, 1.0, 3.0, 12.0])
    ensemble = simulate("telegraph_gene", 3000, seed=41, times=times)[0]
    check_law(ensemble, times, (0, 0), reactions)
    places, weights = np.polynomial.legendre.leggauss(2000)
    p = ((places + 1) / 2) ** (1 / 0.6)  # takes away the pole of the density of Beta(0.6, 1.2) at 0
    density = weights * (1 - p) ** 0.2
    mixed = (poisson.pmf(np.arange(130)[:, None], 60 * p) * density).sum(1) / density.sum()
    assert follows(ensemble[:, -1, 1], mixed) > 1e-4


def test_michaelis_menten_follows_its_master_equation():
    shape = (31, 13)  # free substrates and bound enzymes tell the rest
    free, bound = np.indices(shape).astype(float)
    reactions = [(0.0166 * free * (12 - bound), (-1, 1)), (1e-4 * bound, (1, -1)), (0.1 * bound, (0, -1))]
    times = np.array([1.0, 5.0, 20.0, 50.0])
    ensemble = simulate("michaelis_menten", 3000, seed=42, times=times)[0]
    check_law(ensemble[..., 1:3], times, (30, 0), reactions)


@pytest.mark.slow
def test_the_schloegl_model_follows_its_master_equation_and_has_two_ways_out():
    x = np.arange(800.0)
    gains, losses = 0.015 * x * (x - 1) + 200, 1e-4 / 6 * x * (x - 1) * (x - 2) + 3.5 * x
    generator = master_equation((800,), [(gains, (1,)), (losses, (-1,))]).toarray()
    times = np.array([0.5, 2.0])
    ensemble = simulate("schloegl", 400, seed=43, times=times)[0]
    laws = [expm(generator * time)[:, 250] for time in (*times, 5.0)]
    for counts, law in zip(ensemble[..., 0].T, laws[:2], strict=True):
        assert law[-20:].sum() < 1e-6  # the box is large enough
        assert follows(counts // 10, np.bincount(np.arange(800) // 10, law)) > 1e-4
    low, between, high = (part.sum() for part in np.split(laws[-1], [200, 350]))
    assert min(low, high) > 0.35
    assert between < 0.1


def outbreak_reactions(persons: int) -> list[tuple[np.ndarray, tuple[int, int]]]:
    susceptible, infected = np.indices((persons + 1, persons + 1)).astype(float)
    return [(0.5 * susceptible * infected / persons, (-1, 1)), (0.25 * infected, (0, -1))]


def final_sizes(persons: int) -> np.ndarray:
    """Law of how many are infected in all, from which of the two comes next, infection or recovery (Bailey 1953)."""
    chance = np.zeros((persons + 1, persons + 1))  # of ever passing through (susceptible, infected)
    chance[persons - 1, 1] = 1.0
    for s in range(persons - 1, -1, -1):
        infects = 0.5 * s / persons
        for i in range(persons - s, 0, -1):
            chance[s, i - 1] += chance[s, i] * 0.25 / (infects + 0.25)
            if s:
                chance[s - 1, i + 1] += chance[s, i] * infects / (infects + 0.25)
    return chance[::-1, 0]  # persons - s have been infected


def test_an_outbreak_follows_its_master_equation(changed):
    times = np.array([2.0, 8.0, 20.0])
    ensemble = simulate(changed("outbreak", S=49, persons=50), 3000, seed=44, times=times)[0]
    check_law(ensemble[..., :2], times, (49, 1), outbreak_reactions(50))


def test_an_outbreak_dies_out_or_does_not_as_often_as_it_should():
    ensemble = simulate("outbreak", 3000, seed=45, times=[1000.0])[0][:, 0]
    assert (ensemble[:, 1] == 0).all()
    law = final_sizes(200)
    assert follows(ensemble[:, 2], law) > 1e-4
    assert law[40:90].sum() < 0.01
    assert law[:40].sum() == pytest.approx(0.5, abs=0.02)  # Whittle: 1 / R0
    minor = (ensemble[:, 2] < 40).mean()
    assert abs(minor - law[:40].sum()) < 4 * np.sqrt(0.25 / len(ensemble))


def test_predators_and_prey_follow_their_master_equation_into_extinction(changed):
    shape = (90, 60)
    prey, predators = np.indices(shape).astype(float)
    reactions = [(prey, (1, 0)), (0.1 * prey * predators, (-1, 1)), (0.6 * predators, (0, -1))]
    times = np.array([0.5, 1.5, 2.5])
    ensemble = simulate(changed("lotka_volterra", prey=4, predators=8, hunts=0.1), 3000, seed=46, times=times)[0]
    check_law(ensemble, times, (4, 8), reactions)
    start = np.zeros(shape)
    start[4, 8] = 1
    law = expm_multiply(master_equation(shape, reactions) * times[-1], start.ravel()).reshape(shape)
    assert law.sum() > 0.9999  # the box is large enough
    gone = law[0].sum()
    assert gone > 0.05
    assert abs((ensemble[:, -1, 0] == 0).mean() - gone) < 4 * np.sqrt(gone * (1 - gone) / len(ensemble))


def test_predators_and_prey_turn_and_some_die_out():
    ensemble = simulate("lotka_volterra", 500, seed=47)[0]
    prey_gone, predators_gone = (ensemble[:, -1] == 0).mean(0)
    assert 0.04 < prey_gone < 0.2
    assert 0.005 < predators_gone < 0.12
    for gone in (ensemble == 0).transpose(2, 0, 1):
        assert (np.diff(gone.astype(int), axis=1) >= 0).all()  # who is gone does not come back


def test_the_brusselator_follows_its_master_equation(changed):
    shape = (60, 60)
    x, y = np.indices(shape).astype(float)
    reactions = [
        (np.full(shape, 10.0), (1, 0)),
        (2.5 * x, (-1, 1)),
        (x * (x - 1) * y / 100, (1, -1)),
        (x, (-1, 0)),
    ]
    times = np.array([0.2, 0.8])
    ensemble = simulate(changed("brusselator", X=10, Y=10, size=10), 2000, seed=48, times=times)[0]
    check_law(ensemble, times, (10, 10), reactions, width=4)


def insect_moments(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means (time, 2) and covariances (time, 2, 2) of larvae and adults, from their own linear equations."""
    changes = np.array([(10, 0), (-1, 1), (0, 1), (-1, 0), (0, -1)], float)

    def slope(t: float, moments: np.ndarray) -> np.ndarray:
        mean, covariance = moments[:2], moments[2:].reshape(2, 2)
        lays = 0.09 * (1 + 0.7 * np.sin(2 * np.pi * t / 52))
        linear = np.array([(0, lays), (0.5, 0), (0, 0), (1, 0), (0, 0.35)])
        rates = linear @ mean + np.array([0, 0, 1, 0, 0])
        flow = changes.T @ linear
        spread = flow @ covariance + covariance @ flow.T + (changes.T * rates) @ changes
        return np.r_[changes.T @ rates, spread.ravel()]

    start = np.array([20, 20, 0, 0, 0, 0], float)
    found = solve_ivp(slope, (0, times[-1]), start, t_eval=times, rtol=1e-9, atol=1e-9).y.T
    return found[:, :2], found[:, 2:].reshape(-1, 2, 2)


@pytest.mark.slow
def test_seasonal_insects_have_the_means_and_covariances_of_their_equations():
    times = np.array([2.0, 10.0, 26.0, 45.0, 70.0])
    ensemble = simulate("seasonal_insects", 500, seed=49, times=times)[0]
    means, covariances = insect_moments(times)
    for cloud, mean, covariance in zip(ensemble.swapaxes(0, 1), means, covariances, strict=True):
        assert (np.abs(cloud.mean(0) - mean) < 4.5 * np.sqrt(np.diag(covariance) / len(cloud))).all()
        products = np.einsum("ni,nj->nij", cloud - mean, cloud - mean)
        error = products.std(0) / np.sqrt(len(cloud))
        assert (np.abs(products.mean(0) - covariance) < 4.5 * error).all()


# Differential equations, in the limit of many molecules: published ones, or (circadian) of that form with our rates


def repressilator_equations(_: float, x: np.ndarray) -> np.ndarray:
    mrna, protein = x[:3], x[3:]
    decays, slow = np.log(2) / 2, np.log(2) / 10
    before = np.roll(protein, 1)  # C blocks A, A blocks B, B blocks C
    made = 60 * (5e-4 + (0.5 - 5e-4) / (1 + (before / 40) ** 2))
    return np.r_[made - decays * mrna, 20 * decays * mrna - slow * protein]


def circadian_equations(_: float, x: np.ndarray) -> np.ndarray:
    m, p0, p1, p2, pn = x
    first, second = 6 * p0 / (1.5 + p0) - 3 * p1 / (2 + p1), 6 * p1 / (1.5 + p1) - 3 * p2 / (2 + p2)
    moved = 2 * p2 - pn
    return np.array(
        [
            0.5 * 2**4 / (2**4 + pn**4) - 0.3 * m / (0.2 + m),
            2 * m - first,
            first - second,
            second - 1.5 * p2 / (0.1 + p2) - moved,
            moved,
        ]
    )


def vilar_equations(_: float, x: np.ndarray) -> np.ndarray:
    ga, ga_a, gr, gr_a, ma, mr, a, r, c = x
    on_a, on_r = 50 * ga_a - ga * a, 100 * gr_a - gr * a
    return np.array(
        [
            on_a,
            -on_a,
            on_r,
            -on_r,
            50 * ga + 500 * ga_a - 10 * ma,
            0.01 * gr + 50 * gr_a - 0.5 * mr,
            50 * ma + on_a + on_r - 2 * a * r - a,
            5 * mr - 2 * a * r + c - 0.2 * r,
            2 * a * r - c,
        ]
    )


def mapk_equations(_: float, x: np.ndarray) -> np.ndarray:
    a, ap, b, bp, bpp, c, cp, cpp = x
    v1, v2 = 2.5 * a / ((1 + cpp / 9) * (10 + a)), 0.25 * ap / (8 + ap)
    v3, v4 = 0.025 * ap * b / (15 + b), 0.025 * ap * bp / (15 + bp)
    v5, v6 = 0.75 * bpp / (15 + bpp), 0.75 * bp / (15 + bp)
    v7, v8 = 0.025 * bpp * c / (15 + c), 0.025 * bpp * cp / (15 + cp)
    v9, v10 = 0.5 * cpp / (15 + cpp), 0.5 * cp / (15 + cp)
    return np.array([v2 - v1, v1 - v2, v6 - v3, v3 + v5 - v4 - v6, v4 - v5, v10 - v7, v7 + v9 - v8 - v10, v8 - v9])


# name: equations in their own units, how many of a model's units one of those is for each species
LIMITS = {
    "repressilator": (repressilator_equations, np.array([1, 1, 1, 0.1, 0.1, 0.1])),
    "circadian_clock": (circadian_equations, np.full(5, 50.0)),
    "vilar_oscillator": (vilar_equations, np.array([1, 1, 1, 1, 1, 1, 0.2, 0.2, 0.2])),
    "mapk_cascade": (mapk_equations, np.ones(8)),
}


@pytest.mark.parametrize(
    "name", [name if name == "repressilator" else pytest.param(name, marks=pytest.mark.slow) for name in LIMITS]
)
def test_many_molecules_follow_the_differential_equations(name):
    equations, units = LIMITS[name]
    times = find_system(name).times[:31:3]  # a late phase depends on chance, however many the molecules are
    start = simulate(name, 1, seed=0, times=[0.0])[0][0, 0] / units
    truth = solve_ivp(equations, (0, times[-1]), start, t_eval=times, method="LSODA", rtol=1e-8, atol=1e-8).y.T * units
    many = 100.0
    found = simulate(name, 1, seed=50, times=times, molecules_per_unit=many, max_reactions=10**8)[0][0] / many
    assert (np.abs(found - truth) <= 0.15 * truth.max(0)).all()


def period(curves: np.ndarray, step: float) -> float:
    """Return the period of the strongest frequency in the mean spectrum of (trajectory, time) curves, interpolated."""
    centred = curves - curves.mean(1, keepdims=True)
    power = (np.abs(np.fft.rfft(centred, n=8 * curves.shape[1], axis=1)) ** 2).mean(0)
    return 8 * curves.shape[1] * step / float(power.argmax())


@pytest.mark.parametrize(
    ("name", "species", "expected"),
    [
        ("lotka_volterra", "predators", 9.0),
        ("repressilator", "A", 130.0),
        ("brusselator", "Y", 7.0),
        ("circadian_clock", "PN", 24.0),
        ("vilar_oscillator", "R", 26.0),
        ("mapk_cascade", "K_PP", 1400.0),
    ],
)
def test_oscillators_turn_at_their_period(name, species, expected):
    step = expected / 20
    curves = simulate(name, 12, seed=51, times=np.arange(0, 5 * expected, step))[0]
    assert period(curves[..., SPECIES[name].index(species)], step) == pytest.approx(expected, rel=0.2)
