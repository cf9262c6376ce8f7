"""Members of a model: what they are fitted to, what their spread says, and how they are kept."""

import os
import re
import signal
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from models import model_of, numbers, of_counts
from scipy import stats
from typer.testing import CliRunner

import weightflow
from weightflow import Dataset, Snapshots, WeightFlow, load
from weightflow.cli import app
from weightflow.data import Protocol, split
from weightflow.dynamics import Table
from weightflow.errors import InputError, TrainingError
from weightflow.experiment import ExperimentConfig, fitting, told_of, with_members
from weightflow.experiment.members import Failed, resampled
from weightflow.model.bands import band
from weightflow.progress import unseen
from weightflow.report.plots.bands import DRAWS, bands, share_bands
from weightflow.report.plots.observed import Observed
from weightflow.report.theme import LIGHT
from weightflow.rng import derive_seed
from weightflow.side_by_side import in_processes, in_turn

pytestmark = pytest.mark.timeout(300)  # the processes of members import torch, which a busy machine does slowly

TINY = {
    "anchors": {"base_steps": 20, "steps": 2, "rounds": 1},
    "teacher": {"steps": 20, "rounds": 1},
    "bridge": {"drift_steps": 0},
    "dynamics": {"kind": "direct"},
    "training": {"epochs": 2, "collocation_steps": 2, "rollout_steps": 1, "rounds": 1},
}


def paired() -> Dataset:
    return Dataset("paired", trajectories(), (0, 1, 2), paired=True)


def trajectories(n: int = 40) -> Snapshots:
    """Row i is one unit, whose first species is its number."""
    rng = np.random.default_rng(0)
    clouds = tuple(np.stack([np.arange(n), rng.poisson(3 + t, n)], 1).astype(float) for t in range(3))
    return Snapshots(np.arange(3.0), clouds, ("unit", "A"), unit="h")


# What they are fitted to


def test_rows_are_resampled_at_each_time_by_themselves() -> None:
    data = replace(trajectories(), samples=tuple(cloud[: 40 - 5 * k] for k, cloud in enumerate(trajectories().samples)))
    drawn = resampled(data, 0, None)
    assert [len(cloud) for cloud in drawn.samples] == [40, 35, 30]
    for cloud, first in zip(drawn.samples, data.samples, strict=True):
        assert {tuple(row) for row in cloud} < {tuple(row) for row in first}
    assert not np.array_equal(drawn.samples[0][:30, 0], drawn.samples[2][:, 0])
    assert drawn.unit == "h"


def test_units_are_resampled_as_a_whole_where_rows_are_paired() -> None:
    data = trajectories()
    drawn = resampled(data, 0, [np.arange(40)] * 3)
    units = [cloud[:, 0].astype(int) for cloud in drawn.samples]
    assert (units[0] == units[1]).all()
    assert (units[0] == units[2]).all()
    assert len(set(units[0])) < 40
    for cloud, first in zip(drawn.samples, data.samples, strict=True):
        np.testing.assert_array_equal(cloud, first[units[0]])


def test_units_with_gaps_come_with_all_their_rows_and_leave_no_time_empty() -> None:
    units = [np.array(["b", "a", "c"]), np.array(["c"]), np.array(["a", "a", "d"])]
    clouds = tuple(np.array([[float(ord(name))] for name in present]) for present in units)
    for seed in range(20):
        drawn = resampled(Snapshots(np.arange(3.0), clouds), seed, units)
        held = [[chr(int(value)) for value in cloud[:, 0]] for cloud in drawn.samples]
        assert all(held)
        assert held[0].count("c") == len(held[1])
        assert held[2].count("a") == 2 * held[0].count("a")
    with pytest.raises(InputError, match="name the unit of each row"):
        resampled(Snapshots(np.arange(3.0), clouds), 0, units[:2])


def test_the_units_of_what_a_search_fits_are_those_of_its_rows() -> None:
    data = trajectories()
    names = tuple(cloud[:, 0].astype(int).astype(str)[: 40 - k] for k, cloud in enumerate(data.samples))
    some = replace(data, samples=tuple(cloud[: 40 - k] for k, cloud in enumerate(data.samples)))
    parts = split(Dataset("cages", some, (0, 1, 2), paired=False, units=names), Protocol.LEAVE_ONE_OUT, 0)
    assert parts.units is not None
    for cloud, units in zip(parts.seen.samples, parts.units, strict=True):
        assert 0 < len(cloud) < 38
        assert units.astype(float).tolist() == cloud[:, 0].tolist()
    parts = split(paired(), Protocol.LEAVE_ONE_OUT, 0)
    assert parts.units is not None
    pairs = zip(parts.units, parts.seen.samples, strict=True)
    first, second, third = (dict(zip(units.tolist(), cloud[:, 0], strict=True)) for units, cloud in pairs)
    assert first == second == third
    assert len(first) == 32  # a fifth is scored
    alone = Dataset("cells", data, (0, 1, 2), paired=False)
    assert split(alone, Protocol.LEAVE_ONE_OUT, 0).units is None


def test_each_unit_is_drawn_once_on_average_and_as_often_as_chance_has_it() -> None:
    counts = np.concatenate(
        [
            np.bincount(resampled(trajectories(), seed, [np.arange(40)] * 3).samples[0][:, 0].astype(int), minlength=40)
            for seed in range(50)
        ]
    )
    assert counts.mean() == 1.0
    assert counts.var() == pytest.approx(1 - 1 / 40, abs=0.1)


# What they say


def test_a_band_holds_the_truth_as_often_as_it_says_whatever_the_number_of_members() -> None:
    rng = np.random.default_rng(0)
    for members in (2, 5, 20):
        said = torch.as_tensor(rng.normal(0.0, 1.0, (members + 1, 10_000)))
        found = band(said[0], list(said[1:]), 0.9)
        inside = (found.low <= 0.0) & (found.high >= 0.0)
        assert float(inside.double().mean()) == pytest.approx(0.9, abs=0.01)


def test_a_band_is_the_spread_of_the_members_around_what_the_model_says() -> None:
    model = of_counts()
    assert isinstance(model.path, Table)
    other, third = (replace(model, path=Table(model.path.marks, by * model.path.tokens)) for by in (1.1, 0.9))
    whole = replace(model, members=(other, third))
    found = whole.band("mean", [12.0, 15.0], 0.8)
    said = [one.mean_and_cov([12.0, 15.0], 2_000).mean for one in (model, other, third)]
    half = stats.t.ppf(0.9, 1) * (said[1] - said[2]).abs() / np.sqrt(2)
    torch.testing.assert_close(found.mid, said[0])
    torch.testing.assert_close(found.high - found.mid, half)
    torch.testing.assert_close(found.width, 2 * half)
    assert whole.band("marginals", 12.0).low.min() >= 0.0
    medians = whole.band(lambda one, times: one.quantiles(times, 0.5), 12.0)
    assert medians.mid.shape == (3,)


def test_members_that_saw_smaller_counts_list_as_many_as_the_model() -> None:
    model = of_counts()
    rng = np.random.default_rng(0)
    fewer = Snapshots(np.array([10.0, 20.0]), tuple(rng.integers(0, 3, (50, 3)).astype(float) for _ in range(2)))
    small = model_of(fewer, head="softmax")
    whole = replace(model, members=(small, small))
    found = whole.band("marginals", 12.0)
    torch.testing.assert_close(found.low, found.high)
    short, long = small.marginals(12.0), small.marginals(12.0, states=model.backbone.states)
    assert short.shape[-1] < long.shape[-1]
    torch.testing.assert_close(long[:, : short.shape[-1] - 1], short[:, :-1])
    torch.testing.assert_close(long[:, short.shape[-1] - 1 :].sum(-1), short[:, -1])
    with pytest.raises(InputError, match=r"`states`=2 were asked for; this model lists at least"):
        small.marginals(12.0, states=2)


def test_bands_that_cannot_be_are_refused() -> None:
    model = model_of(numbers())
    with pytest.raises(InputError, match=r"0 members, and bands need two at least; fit it with `--members 10`"):
        model.band("mean", 12.0)
    whole = replace(model, members=(model, model))
    with pytest.raises(InputError, match="between 0 and 1"):
        whole.band("mean", 12.0, level=90.0)
    with pytest.raises(InputError, match="`spread` is not known; give mean, cov, marginals"):
        whole.band("spread", 12.0)


def test_shares_of_samples_by_bin_have_the_band_of_their_members_and_stay_between_0_and_1() -> None:
    model = of_counts()
    assert isinstance(model.path, Table)
    other, third = (replace(model, path=Table(model.path.marks, by * model.path.tokens)) for by in (1.2, 0.8))
    whole, edges = replace(model, members=(other, third)), [np.arange(-0.5, 13), np.array([-0.5, 1.5, 50.5])]
    first, second = share_bands(whole, np.array([12.0, 15.0]), edges)
    assert (first.mid.shape, second.mid.shape) == ((2, 13), (2, 2))
    drawn = [one.sample(15.0, DRAWS).numpy()[:, 1] for one in (model, other, third)]
    few = np.array([(x <= 1).mean() for x in drawn])
    half = stats.t.ppf(0.95, 1) * abs(few[1] - few[2]) / np.sqrt(2)
    assert float(second.mid[1, 0]) == pytest.approx(few[0])
    assert float(second.high[1, 0]) == pytest.approx(min(few[0] + half, 1.0))
    assert float(second.low[1, 0]) == pytest.approx(max(few[0] - half, 0.0))
    for band_of_one in (first, second):
        assert float(band_of_one.low.min()) >= 0.0
        assert float(band_of_one.high.max()) <= 1.0


def test_reports_show_bands_of_models_that_have_members_alone() -> None:
    model = of_counts()
    times = np.array([10.0, 12.0, 20.0])
    drawn = model.sample(times, 50).numpy()
    seen = np.array([True, False, True])
    observed = Observed(times, tuple(drawn), drawn, seen, model.species, (True,) * 3, "h")
    assert list(bands(observed, model)) == []
    means, shares = bands(observed, replace(model, members=(model, model, model)))
    assert (means.name, shares.name) == ("means", "shares")
    for picture in (means, shares):
        assert "90%" in picture.title
        assert "by the spread of 3 members" in picture.caption
        assert picture.png(LIGHT).startswith(b"\x89PNG")


# How they are made and kept


@pytest.fixture(scope="module")
def fitted() -> WeightFlow:
    return weightflow.fit(paired(), ExperimentConfig.parse(TINY), members=3)


def test_members_are_fits_of_their_own_and_the_model_is_what_it_is_without_them(fitted: WeightFlow) -> None:
    alone = weightflow.fit(trajectories(), ExperimentConfig.parse(TINY))
    assert torch.equal(alone.weights(1.0), fitted.weights(1.0))
    weights = [one.weights(1.0) for one in (fitted, *fitted.members)]
    assert len(fitted.members) == 3
    assert all(not torch.equal(a, b) for i, a in enumerate(weights) for b in weights[:i])
    assert [one.unit for one in fitted.members] == ["h"] * 3


def test_the_same_seed_gives_the_same_members(fitted: WeightFlow) -> None:
    again = weightflow.fit(paired(), ExperimentConfig.parse(TINY), members=2)
    for one, other in zip(again.members, fitted.members, strict=False):
        assert torch.equal(one.weights([0.0, 1.7]), other.weights([0.0, 1.7]))


def test_members_are_kept_beside_the_model_and_those_of_a_former_one_are_not(
    fitted: WeightFlow, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    assert sorted(path.name for path in (tmp_path / "members").iterdir()) == ["00", "01", "02"]
    again = load(tmp_path)
    assert torch.equal(again.band("mean", [0.0, 3.0]).high, fitted.band("mean", [0.0, 3.0]).high)
    assert "3, for bands" in repr(again)
    replace(fitted, members=fitted.members[:2]).save(tmp_path)
    assert len(load(tmp_path).members) == 2
    assert sorted(path.name for path in (tmp_path / "members").iterdir()) == ["00", "01"]
    replace(fitted, members=()).save(tmp_path)
    assert load(tmp_path).members == ()


DIVERGING = {**TINY, "teacher": {**TINY["teacher"], "learning_rate": 1e30}}


def fit_or_diverge(seed: int, bad: Collection[int]) -> WeightFlow | Failed:
    config = ExperimentConfig.parse(DIVERGING if seed in bad else TINY)
    return fitting(paired().visible, paired().visible_units, config)(seed)


def test_a_member_that_fails_is_told_and_the_others_are_kept(fitted: WeightFlow, tmp_path: Path) -> None:
    seeds = [derive_seed(0, "member", k) for k in range(3)]
    told: list[tuple[str, int, int]] = []
    model = replace(fitted, members=())
    fit_one = partial(fit_or_diverge, bad=seeds[1:2])
    found = with_members(model, fit_one, 3, 0, lambda *stand: told.append(stand), in_turn)
    assert told == [("members", done, 3) for done in range(4)]
    for one, alike in zip(found.members, (fitted.members[0], fitted.members[2]), strict=True):
        assert torch.equal(one.weights([0.0, 1.7]), alike.weights([0.0, 1.7]))
    assert re.fullmatch(
        r"2 members \(1 failed: the teacher's likelihood is not finite at step 1 of 20; .*\)", told_of(found)
    )
    found.save(tmp_path)
    assert told_of(load(tmp_path)) == told_of(found)
    assert told_of(fitted) == "3 members"
    with pytest.raises(
        TrainingError, match=r"2 of 3 members could not be fitted \(the teacher's .*\), and bands need two"
    ):
        with_members(model, partial(fit_or_diverge, bad=seeds[:2]), 3, 0, unseen, in_turn)


def die_or_fit(seed: int, bad: Collection[int]) -> WeightFlow | Failed:
    if seed in bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return fit_or_diverge(seed, ())


def test_a_member_whose_process_is_killed_takes_with_it_those_alone_that_had_not_come(fitted: WeightFlow) -> None:
    last = derive_seed(0, "member", 5)  # at its turn two others at least have come
    found = with_members(replace(fitted, members=()), partial(die_or_fit, bad=[last]), 6, 0, unseen, in_processes(2))
    assert 2 <= len(found.members) <= 5
    assert "failed: A worker process managed by the executor was unexpectedly terminated" in told_of(found)


@pytest.mark.parametrize(
    ("members", "says"),
    [(1, "needs two at least, and 10 are a good number"), (-2, "must be a whole number, 0 or more")],
)
def test_a_single_member_is_refused_before_anything_is_fitted(members: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        weightflow.fit(trajectories(), ExperimentConfig.parse(TINY), members=members)


@pytest.mark.slow
def test_the_commands_fit_members_and_write_bands(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "\n".join(f"{g}.{k}: {v}" for g, values in TINY.items() for k, v in values.items())
    )
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(30, 3, 2)).cumsum(1))
    words = ["fit", "--data", str(tmp_path / "data.npy"), "--config", str(tmp_path / "tiny.yaml"), "--every", "1"]
    done = CliRunner().invoke(app, [*words, "--members", "2", "--out", str(tmp_path / "model")])
    assert done.exit_code == 0, done.output
    assert "2 members beside it give bands" in done.stdout
    model, out = load(tmp_path / "model"), tmp_path / "samples.npz"
    words = ["forecast", "--model", str(tmp_path / "model"), "--times", "1,2,4,6", "--draws", "3", "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    band = model.band("mean", [1.0, 2.0, 4.0, 6.0])
    with np.load(out) as found:
        for name, part in (("mean_low", band.low), ("mean", band.mid), ("mean_high", band.high)):
            np.testing.assert_allclose(found[name], part)
        assert float(found["level"]) == 0.9
    shares = np.median(band.width / band.width[1], axis=1)
    assert "the forecast goes 2 times the fitted span beyond t = 2" in done.stderr
    assert f"those at t = 2, are as wide as {shares[2]:.1f} at t = 4, {shares[3]:.1f} at t = 6, and hold" in done.stderr
