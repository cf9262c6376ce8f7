"""What a model answers: shapes, statistics, conditional samples, gradients and tables, against exact values."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import SPECIES, mixed, model_of, numbers, of_counts, small_counts
from scipy import stats

import weightflow
from weightflow import Snapshots, WeightFlow, load
from weightflow.bridge import Pace
from weightflow.errors import InputError
from weightflow.model import engine, marginals
from weightflow.types import Kind

# One rule for shapes


def test_one_bare_time_has_no_axis_and_a_sequence_of_one_has() -> None:
    counts, real = of_counts(), model_of(numbers())
    x = real.sample(12.0, 7)
    answers = {
        "weights": counts.weights,
        "sample": lambda t: counts.sample(t, 7),
        "sample given the first": lambda t: counts.sample(t, 7, given={"A": 2.0}),
        "sample given the last": lambda t: counts.sample(t, 7, given={"C": 2.0}),
        "log_prob": lambda t: real.log_prob(x, t),
        "score": lambda t: real.score(x, t),
        "marginals": counts.marginals,
        "mean": lambda t: counts.mean_and_cov(t, 50).mean,
        "cov": lambda t: counts.mean_and_cov(t, 50).cov,
        "quantiles": lambda t: counts.quantiles(t, [0.1, 0.5], 50),
        "quantile": lambda t: counts.quantiles(t, 0.5, 50),
    }
    for name, answer in answers.items():
        one, listed, two = answer(12.0), answer([12.0]), answer(np.array([12.0, 15.0]))
        assert listed.shape == (1, *one.shape), name
        assert two.shape == (2, *one.shape), name
        torch.testing.assert_close(listed[0], one, msg=name)
        torch.testing.assert_close(two[0], one, msg=name)
    assert counts.sample(12.0, 7).shape == (7, 3)
    assert counts.quantiles([12.0], 0.5, 50).shape == (1, 3)
    assert counts.mean_and_cov(12.0, 50).cov.shape == (3, 3)


def test_at_one_time_the_density_has_the_shape_of_its_samples() -> None:
    model = model_of(numbers())
    x = model.sample([11.0, 19.0], 4)
    whole = model.log_prob(x, 12.0)
    assert whole.shape == (2, 4)
    torch.testing.assert_close(model.log_prob(x[1, 2], 12.0), whole[1, 2])
    assert model.score(x[1, 2], 12.0).shape == (3,)


@pytest.mark.parametrize("shape", [(), (2,), (4, 2)])
def test_samples_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"give x of shape \(draw, 3\)"):
        model_of(numbers()).log_prob(np.zeros(shape), 12.0)


def test_times_with_two_axes_are_refused() -> None:
    with pytest.raises(InputError, match=r"`times` has shape \(1, 2\)"):
        of_counts().weights([[11.0, 12.0]])


# Statistics


def test_means_covariances_and_quantiles_are_those_of_the_density() -> None:
    """Of counts, summed over all states; the tails beyond 30 hold nothing that matters here."""
    model, time = of_counts(), 14.0
    axis = torch.arange(31.0, dtype=torch.float64)
    states = torch.cartesian_prod(axis, axis, axis)
    mass = model.log_prob(states, time).exp()
    mean = mass @ states
    cov = (states - mean).mT @ ((states - mean) * mass[:, None])
    found = model.mean_and_cov(time, 40_000)
    torch.testing.assert_close(found.mean, mean, atol=0.02, rtol=0)
    torch.testing.assert_close(found.cov, cov, atol=0.1, rtol=0.03)
    cumulated = model.marginals(time).cumsum(-1)
    for level in (0.137, 0.5, 0.86):
        expected = (cumulated < level).sum(-1).double()
        torch.testing.assert_close(model.quantiles(time, level, 40_000), expected, atol=0, rtol=0)


def test_quantiles_of_continuous_values_invert_their_distribution() -> None:
    model, levels = model_of(numbers()), [0.025, 0.5, 0.975]
    found = model.quantiles(12.0, levels, 20_000)
    fresh = model.sample(12.0, 50_000, seed=5, independent=True)
    shares = (fresh[None] <= found[:, None]).double().mean(1)
    torch.testing.assert_close(shares, torch.tensor(levels).double()[:, None].expand(3, 3), atol=0.006, rtol=0)
    with pytest.raises(InputError, match="from 0 to 1"):
        model.quantiles(12.0, 95)


# Some species given others


def conditional(model: WeightFlow, time: float, given: dict[str, float], of: str) -> torch.Tensor:
    """P(of | given), summed over all states that hold what is given."""
    axis = torch.arange(41.0, dtype=torch.float64)
    sides = [torch.tensor([given[name]], dtype=torch.float64) if name in given else axis for name in SPECIES]
    states = torch.cartesian_prod(*sides)
    mass = model.log_prob(states, time).exp()
    column = states[:, SPECIES.index(of)]
    joint = torch.stack([mass[column == value].sum() for value in axis])
    return joint / joint.sum()


@pytest.mark.parametrize(
    ("given", "of"),
    [({"A": 2.0}, "C"), ({"A": 4.0, "B": 1.0}, "C"), ({"C": 3.0}, "A"), ({"B": 0.0}, "A"), ({"A": 1.0, "C": 2.0}, "B")],
)
def test_samples_given_some_species_have_the_conditional_law(given: dict[str, float], of: str) -> None:
    model, n = of_counts(), 20_000
    drawn = model.sample(11.0, n, seed=1, given=given)
    for name, value in given.items():
        assert (drawn[:, SPECIES.index(name)] == value).all()
    expected, told_nothing = conditional(model, 11.0, given, of), conditional(model, 11.0, {}, of)
    found = torch.bincount(drawn[:, SPECIES.index(of)].long(), minlength=41)[:41].double() / n
    assert 0.5 * (told_nothing - expected).abs().sum() > 0.035
    assert 0.5 * (found - expected).abs().sum() < 0.012


def test_continuous_values_given_a_later_one_agree_with_a_window_around_it() -> None:
    model, n = model_of(numbers(), scale=4.0), 2000
    whole = model.sample(15.0, 150_000, seed=3)
    value = float(whole[:, 2].median())
    window = whole[(whole[:, 2] - value).abs() < 0.005]
    drawn = model.sample(15.0, n, seed=1, given={"C": value})
    assert (drawn[:, 2] == value).all()
    for i in (0, 1):
        assert stats.ks_2samp(drawn[:, i], window[:, i]).statistic < 0.06


def test_giving_a_constant_species_changes_nothing_else() -> None:
    model = model_of(mixed())
    free, given = model.sample(12.0, 30), model.sample(12.0, 30, given={"C": 7.0})
    assert torch.equal(given[:, :2], free[:, :2])
    assert (given[:, 2] == 7.0).all()


def test_what_is_given_does_not_depend_on_what_else_is_asked() -> None:
    model = of_counts()
    both, one = model.sample([12.0, 15.0], 20, given={"C": 2.0}), model.sample(15.0, 20, given={"C": 2.0})
    assert torch.equal(both[1], one)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"D": 1.0}, "`given` names `D`"),
        ({"A": 1.5}, "give a whole number, not negative"),
        ({"B": -1.0}, "give a whole number, not negative"),
        ({"A": float("nan")}, "whole number"),
        ({"A": 1.0, "B": 1.0, "C": 1.0}, "none is left to be drawn"),
    ],
)
def test_what_cannot_be_given_is_refused(given: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        of_counts().sample(12.0, 5, given=given)


def test_values_that_too_few_candidates_agree_with_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_VALUES", 30_000)
    with pytest.raises(InputError, match=r"at t=15 the values C=-2 are improbable: of 16,000 candidates \d+ count"):
        model_of(numbers(), scale=8.0).sample(15.0, 1000, given={"C": -2.0})


# The gradient


def test_the_score_is_the_slope_of_the_log_density() -> None:
    model, step = model_of(numbers()), torch.tensor([1e-6, 1e-5, 1e-7], dtype=torch.float64)
    x = model.sample([11.0, 19.0], 50)
    found = model.score(x, [11.0, 19.0])
    for i in range(3):
        shift = step * torch.eye(3, dtype=torch.float64)[i]
        slope = (model.log_prob(x + shift, [11.0, 19.0]) - model.log_prob(x - shift, [11.0, 19.0])) / (2 * step[i])
        torch.testing.assert_close(found[..., i], slope, rtol=1e-4, atol=1e-4)
    assert found.dtype == torch.float64


def test_counts_have_no_score_and_infinite_values_neither() -> None:
    with pytest.raises(InputError, match=r"counts \(B\) have none; compare `log_prob`"):
        model_of(mixed()).score(np.zeros((2, 3)), 12.0)
    with pytest.raises(InputError, match="not finite"):
        model_of(numbers()).score(np.full((2, 3), np.inf), 12.0)


def test_a_constant_species_adds_nothing_to_the_score() -> None:
    data = mixed()
    real = Snapshots(data.times, data.samples, data.species, (Kind.CONTINUOUS,) * 3)
    found = model_of(real).score(np.array([[3.0, 4.0, 0.5]]), 12.0)
    assert float(found[0, 2]) == 0.0
    assert (found[0, :2] != 0).all()


# Tables and pictures


def test_a_table_of_draws_holds_times_draws_and_species_of_their_kinds() -> None:
    model = model_of(mixed())
    table = model.to_frame([11.0, 15.0], 3, seed=2)
    assert list(table.columns) == ["time", "draw", *SPECIES]
    assert [str(table[name].dtype) for name in SPECIES] == ["float64", "int64", "float64"]
    assert table["time"].tolist() == [11.0] * 3 + [15.0] * 3
    assert table["draw"].tolist() == [0, 1, 2] * 2
    np.testing.assert_array_equal(table[list(SPECIES)], model.sample([11.0, 15.0], 3, seed=2).reshape(6, 3))
    assert table.attrs == {"time_unit": "day"}


def test_an_anndata_of_draws_has_times_and_draws_in_its_obs() -> None:
    pytest.importorskip("anndata")
    model = model_of(mixed())
    found = model.to_anndata(11.0, 3, seed=2)
    assert found.obs["time"].tolist() == [11.0] * 3
    assert found.obs["draw"].tolist() == [0, 1, 2]
    assert found.var_names.tolist() == list(SPECIES)
    assert found.var["kind"].tolist() == ["continuous", "counts", "continuous"]
    assert found.uns["time_unit"] == "day"
    np.testing.assert_array_equal(found.X, model.sample(11.0, 3, seed=2))


def test_a_species_with_the_name_of_a_column_of_the_table_is_refused() -> None:
    data = small_counts()
    with pytest.raises(InputError, match="a species is called `draw`"):
        model_of(Snapshots(data.times, data.samples, ("A", "draw", "C"))).to_frame(12.0, 2)


def test_a_model_says_what_it_is() -> None:
    data = mixed()
    model = model_of(Snapshots(data.times, data.samples, ("A<b>", "B", "C")))
    for said in (repr(model), model._repr_html_()):
        assert "B (counts)" in said
        assert "10 to 20 day" in said
        assert "its draws reach the fitted snapshots: they are typically" in said
    assert "A&lt;b&gt; (continuous)" in model._repr_html_()


def test_marginals_by_draws_and_by_listing_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    model = of_counts()
    exact = model.marginals([12.0, 18.0])
    monkeypatch.setattr(marginals, "MAX_STATES", 1)
    torch.testing.assert_close(model.marginals([12.0, 18.0], draws=20_000), exact, atol=2e-3, rtol=0)


def test_a_path_that_would_run_away_rests_and_one_that_keeps_the_pace_goes_on(tmp_path: Path) -> None:
    """The weights go in a straight line, so that the samples of 30 are as far from those of 20 as these from 10."""
    model = model_of(numbers())
    draws = [model.sample(time, 500).numpy() for time in (10.0, 20.0, 30.0)]
    pace = Pace.of(draws, np.array([10.0, 20.0, 30.0]))
    steady, rushing = (
        replace(model, record={**model.record, "pace": replace(pace, before=moved, last=moved).facts()})
        for moved in (pace.last, pace.last / 1000)
    )
    rushing.save(tmp_path)
    assert (model.rests, steady.rests, rushing.rests) == (False, False, True)
    for one in (model, steady):
        torch.testing.assert_close(one.weights(30.0), 2 * one.weights(20.0) - one.weights(10.0))
    for one in (rushing, load(tmp_path)):
        torch.testing.assert_close(one.weights([20.0, 21.0, 90.0]), model.weights([20.0, 20.0, 20.0]))
        torch.testing.assert_close(one.weights([15.0, 30.0])[0], model.weights(15.0))
        assert "beyond the last snapshot all stands still, since the field alone would run away there" in repr(one)
    assert "stands still" not in repr(steady)


def test_what_is_no_number_is_refused_by_name_and_numbers_may_lie_in_anything(untyped: None) -> None:
    model = model_of(numbers())
    x = model.sample(12.0, 4)
    call: Any = model.sample  # as a notebook does, without types
    quantiles: Any = model.quantiles
    fit: Any = weightflow.fit
    observed = numbers()
    wrong: dict[str, Callable[[], object]] = {
        r"`times`=\['noon'\] holds what is no number; give numbers alone": lambda: call(["noon"], 4),
        r"`x`=\[\['a', 'b', 'c'\]\] holds what is no number": lambda: model.log_prob([["a", "b", "c"]], 12.0),
        r"`n`=2.5 samples were asked for; ask for at least one, as a whole number": lambda: call(12.0, 2.5),
        r"`draws`='9' samples were asked for": lambda: quantiles(12.0, 0.5, "9"),
        r"`q`='half' holds what is no number": lambda: quantiles(12.0, "half", 9),
        r"a ndarray was given to be fitted; give `Snapshots\(times, sam": lambda: fit(np.zeros((3, 4, 2))),
        r"a dict was given as `config`; give what `weightflow.preset": lambda: fit(observed, config={"training": {}}),
        r"`seed=1.5` was given; it must be a whole number, 0 or more": lambda: fit(observed, seed=1.5),
        r"`seed=True` was given": lambda: fit(observed, seed=True),
        r"`seed=-1` was given": lambda: fit(observed, seed=-1),
        r"`members=2.5` was given": lambda: fit(observed, members=2.5),
        r"`members=-2` was given": lambda: fit(observed, members=-2),
        r"device `gpu` is not known; give cpu, cuda, or cuda:N": lambda: fit(observed, device="gpu"),
        r"device `cuda:99` is not there": lambda: fit(observed, device="cuda:99"),
    }
    for said, ask in wrong.items():
        with pytest.raises(InputError, match=said):
            ask()
    same = model.log_prob(x, 12.0)
    for given in (x.numpy(), x.tolist(), x.clone().requires_grad_()):
        torch.testing.assert_close(model.log_prob(given, torch.tensor(12.0)), same)
    assert torch.equal(model.sample(12.0, int(np.int64(4))), call(12.0, np.int64(4)))
