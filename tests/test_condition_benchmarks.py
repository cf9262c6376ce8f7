"""The data of the benchmarks of several conditions: exact distributions, and which conditions are fitted."""

import conditions_data
import numpy as np
import pytest
from conditions_data import CASES
from scipy.stats import poisson
from surrogate import STATES, TIMES, distances, exact


def test_without_binding_the_protein_is_poisson() -> None:
    found = exact(np.array([1.0, 0.0, 7.0, 100.0]))
    for time, marginal in zip(TIMES, found, strict=True):
        np.testing.assert_allclose(marginal, poisson.pmf(np.arange(STATES), 7 * (1 - np.exp(-time))), atol=1e-9)


def test_a_gene_that_is_bound_for_ever_makes_the_activated_number() -> None:
    marginal = exact(np.array([0.0, 0.1, 10.0, 60.0]))[-1]
    np.testing.assert_allclose(marginal, poisson.pmf(np.arange(STATES), 60.0), atol=1e-6)


def test_the_distance_of_two_distributions_is_that_of_hellinger() -> None:
    one, other = np.array([[[0.5, 0.5, 0.0]]]), np.array([[[0.0, 0.0, 1.0]]])
    assert distances(one, other) == pytest.approx(np.ones((1, 1)))
    assert distances(one, one) == pytest.approx(np.zeros((1, 1)), abs=1e-7)


def test_half_of_two_rates_is_left_out_and_no_condition_is_both_fitted_and_scored() -> None:
    both = CASES["epidemic, two rates"]
    assert (len(both.fitted), len(both.unseen)) == (10, 10)
    for case in CASES.values():
        assert not {*case.fitted} & {*case.unseen}


def test_trajectories_are_kept_by_condition_and_time(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions_data, "TRAJECTORIES", 40)
    monkeypatch.setattr(conditions_data, "SCORED", 60)
    found = conditions_data.observed(tmp_path, "epidemic", 0)
    again = conditions_data.observed(tmp_path, "epidemic", 0)
    slow, *_, fast = found.fitted.values()
    assert (len(found.seen), len(found.unseen)) == (11, 30)
    assert [len(part.samples[5]) for part in (slow, *found.fresh.values(), *found.perfect.values())] == [40, *[60] * 8]
    assert (slow.samples[0] == [50, 10, 0]).all()
    assert slow.samples[-1][:, 0].mean() > fast.samples[-1][:, 0].mean() + 10  # of those who can still be infected
    assert {p: s.digest() for p, s in found.fitted.items()} == {p: s.digest() for p, s in again.fitted.items()}
