"""The data and the verdicts of the zoo's benchmark."""

from dataclasses import replace

import numpy as np
import pytest
import zoo_data
from scipy.integrate import solve_ivp
from zoo_data import CELLS, EQUATIONS, Equation, read, write
from zoo_tables import Cell, Found, forecasts, forecasts_well, leads_between, level_between


def test_noise_alone_is_geometric_brownian_motion():
    times = [0.0, 0.5, 1.0]
    start, *clouds = Equation(np.zeros_like, 0.4, (2.0, 3.0), 1.0, ("a", "b")).solve(
        20000, times, np.random.default_rng(0)
    )
    assert (start == [2, 3]).all()
    for cloud, time in zip(clouds, times[1:], strict=True):
        logs, spread = np.log(cloud / [2, 3]), 0.4 * np.sqrt(time)
        assert (np.abs(logs.mean(0) + spread**2 / 2) < 4.5 * spread / np.sqrt(20000)).all()
        assert np.allclose(logs.std(0), spread, rtol=0.025)


def test_an_equation_without_noise_is_solved_as_by_scipy():
    for equation in EQUATIONS.values():
        times = np.array([0.0, 3.5, 10.0]) * equation.step
        options = {"t_eval": times, "rtol": 1e-9, "atol": 1e-9}
        truth = solve_ivp(lambda _, x, f=equation.drift: f(x[None])[0], (0, times[-1]), equation.start, **options).y.T
        found = np.concatenate(replace(equation, noise=0.0).solve(1, times.tolist(), np.random.default_rng(0)))
        assert np.abs(found - truth).max() < 1e-3 * truth.max()


def test_samples_of_an_equation_at_different_times_are_of_different_trajectories(tmp_path):
    write(tmp_path, "noisy_lotka_volterra", 0)
    observed = read(tmp_path, "noisy_lotka_volterra", 0)
    assert [len(observed.training.samples[0]), len(observed.reference.samples[0])] == [CELLS, 3 * CELLS]
    assert np.allclose(observed.training.times[list(observed.seen)], np.arange(10))
    assert np.allclose(observed.training.times[observed.beyond], [9.2, 9.5, 9.8, 10])
    first, second = (observed.training.samples[i][:, 0] for i in observed.seen[5:7])
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(CELLS)
    assert observed.training.digest() != observed.fresh.digest()


def test_a_network_is_kept_at_the_seen_times_and_three_between(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo_data, "TRAJECTORIES", 5)
    zoo_data.write(tmp_path, "telegraph_gene", 3)
    observed = zoo_data.read(tmp_path, "telegraph_gene", 3)
    times = observed.training.times
    assert np.allclose(times[list(observed.seen)], np.linspace(0, 6, 11))
    assert np.allclose(times[observed.between[:4]], [0.12, 0.3, 0.48, 0.72])
    assert observed.known == 8
    assert np.allclose(times[observed.beyond], [4.32, 4.5, 4.68, 4.8])
    assert observed.counts
    assert [len(part.samples[0]) for part in (observed.training, observed.fresh, observed.reference)] == [5, 5, 15]


def row(
    method: str, mean: float, seed: int = 0, where: str = "between", metric: str = "energy_distance", half: float = 0.1
):
    ahead = mean - 1.0
    return {
        "system": "outbreak", "where": where, "method": method, "metric": metric, "seed": str(seed), "mean": str(mean),
        "ahead": str(ahead), "ahead_low": str(ahead - half), "ahead_high": str(ahead + half), "cpu_seconds": "1",
    }  # fmt: skip


def test_intervals_of_several_seeds_shrink_with_their_root():
    cell = Cell.of([row("mccann", 1.2, seed) for seed in range(4)])
    assert cell.ahead == pytest.approx(0.2)
    assert (cell.low, cell.high) == pytest.approx((0.15, 0.25))


@pytest.mark.parametrize(
    ("mccann", "mixture", "floor", "leads", "level"),
    [
        (1.3, 1.4, 0.5, True, True),
        (1.05, 1.4, 0.5, False, True),  # not beyond chance
        (0.8, 1.4, 0.5, False, False),
        (0.8, 0.8, 0.9, True, True),  # at the floor nobody can be told apart
    ],
)
def test_ahead_beyond_chance_is_outside_both_intervals_or_at_the_floor(mccann, mixture, floor, leads, level):
    found = Found([row("default", 1.0), row("mccann", mccann), row("mixture", mixture), row("floor", floor)])
    assert leads_between(found, "outbreak") is leads
    assert level_between(found, "outbreak") is level


@pytest.mark.parametrize(
    ("persistence", "drift", "floor", "below", "well"),
    [
        (1.5, 1.2, 0.6, True, True),
        (1.5, 0.9, 0.6, False, True),
        (0.9, 1.5, 0.95, True, True),
        (0.9, 2, 0.4, False, False),
    ],
)
def test_a_forecast_is_held_against_the_better_of_persistence_and_drift(persistence, drift, floor, below, well):
    values = {"default": 1.0, "persistence": persistence, "mccann": drift, "floor": floor}
    rows = [
        row(name, mean, where="ahead", metric=metric)
        for name, mean in values.items()
        for metric in ("paper_jsd", "energy_distance")
    ]
    assert forecasts(Found(rows), "outbreak") is below
    assert forecasts_well(Found(rows), "outbreak") is well
