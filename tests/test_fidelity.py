"""A fit is held against the snapshots it was fitted to, goes on where it misses them, and says so."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from weightflow import Snapshots, load
from weightflow.cli import app
from weightflow.dynamics import Rollout, Solver, solve
from weightflow.errors import TrainingError
from weightflow.evaluation import Fidelity, fidelity, in_words
from weightflow.evaluation.fidelity import FAR, FEWEST, MISSED, RESOLUTION
from weightflow.experiment import ExperimentConfig, Prepared, Trial, flatten, preparation, prepare
from weightflow.experiment.attempt import Attempt
from weightflow.experiment.preparation import CUT
from weightflow.files import read_arrays, write_arrays
from weightflow.model.standing import LAG
from weightflow.training import Checkpoint, EpochReport
from weightflow.training.options import TeacherOptions
from weightflow.training.teacher import LONG, priced

TIMES = np.arange(5.0)
SEEDS = range(6)


class Law:
    """Independent samples of a law that is known; `strays` of a cloud lie five deviations over all times off."""

    def __init__(self, shift: float = 0.0, scale: float = 1.0, strays: float = 0.0) -> None:
        self.shift, self.scale, self.strays = shift, scale, strays

    def sample(self, times: np.ndarray, n: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng([seed, len(times)])
        drawn = rng.normal(times[:, None, None] + self.shift, self.scale, (len(times), n, 2))
        drawn[2, rng.random(n) < self.strays] += 5.0 * np.sqrt(1.0 + TIMES.var())
        return drawn


def observed(n: int, seed: int = 0) -> Snapshots:
    return Snapshots(TIMES, tuple(Law().sample(TIMES, n, 100 + seed)))


def test_the_ratio_of_samples_of_one_law_is_one() -> None:
    ratios = np.array([fidelity(Law(), observed(300, seed), seed).ratios for seed in SEEDS])
    assert ratios.shape == (len(SEEDS), len(TIMES))
    assert ratios.mean() == pytest.approx(1.0, abs=0.1)
    assert ((np.median(ratios, axis=1) > 0.7) & (np.median(ratios, axis=1) < 1.4)).all()
    assert not any(fidelity(Law(), observed(300, seed), seed).missed for seed in SEEDS)


def test_the_ratio_does_not_depend_on_units() -> None:
    here = fidelity(Law(0.2), observed(100), 0)

    class Scaled(Law):
        def sample(self, times: np.ndarray, n: int, seed: int) -> np.ndarray:
            return super().sample(times, n, seed) * [1e-6, 1e9]

    data = Snapshots(TIMES, tuple(cloud * [1e-6, 1e9] for cloud in observed(100).samples))
    np.testing.assert_allclose(fidelity(Scaled(0.2), data, 0).ratios, here.ratios, rtol=1e-6)


@pytest.mark.parametrize("wrong", [Law(shift=0.5), Law(scale=0.5), Law(scale=1.6)])
def test_a_model_that_is_half_a_deviation_off_or_of_another_width_misses_most_times(wrong: Law) -> None:
    found = fidelity(wrong, observed(300), 0)
    assert found.ratio > 1.5
    assert len(found.missed) >= 3


@pytest.mark.parametrize("heavy", [False, True])
def test_a_few_draws_at_the_place_of_another_time_are_seen_where_clouds_are_narrow(heavy: bool) -> None:
    """One draw in two hundred is of the next time; the law itself, with tails or without, is not taken for such."""

    class Narrow(Law):
        def sample(self, times: np.ndarray, n: int, seed: int) -> np.ndarray:
            rng = np.random.default_rng([seed, 9])
            size = (len(times), n, 2)
            here = 0.02 * (rng.standard_t(4, size) if heavy else rng.normal(size=size))
            return times[:, None, None] + here + (rng.random((len(times), n, 1)) < self.strays)

    data = Snapshots(TIMES, tuple(Narrow().sample(TIMES, 100, 1)))
    right, strays = (fidelity(Narrow(strays=share), data, 0) for share in (0.0, 0.005))
    assert (right.missed, right.ratio < 1.2) == ((), True)
    assert strays.ratio > MISSED
    assert len(strays.missed) >= 3


def test_stray_draws_at_one_time_are_named_only_where_they_are_far() -> None:
    some, many = (fidelity(Law(strays=share), observed(300), 0) for share in (0.01, 0.2))
    assert 3.0 < some.ratios[2] < FAR < many.ratios[2]
    assert (some.missed, many.missed) == ((), (2.0,))


@pytest.mark.parametrize(("whole", "spread"), [(True, 0.17), (False, 0.01)])
def test_a_start_that_is_one_point_is_reached_by_draws_that_hardly_vary(whole: bool, spread: float) -> None:
    """Of the draws at the start, one count in three hundred is one off, and values vary by a thousandth."""

    def cloud(scale: float, seed: int, n: int = 300) -> np.ndarray:
        drawn = 50.0 + scale * np.random.default_rng(seed).normal(size=(n, 2))
        return np.rint(drawn) if whole else drawn

    class Start:
        def __init__(self, scale: float) -> None:
            self.scale = scale

        def sample(self, times: np.ndarray, n: int, seed: int) -> np.ndarray:
            return np.stack([cloud(scale, seed + k, n) for k, scale in enumerate((self.scale, 10.0, 10.0))])

    data = Snapshots(np.arange(3.0), (np.full((300, 2), 50.0), cloud(10.0, 100), cloud(10.0, 101)))
    close, wide = fidelity(Start(spread), data, 0), fidelity(Start(5.0), data, 0)
    assert close.ratios[0] < 1.5
    assert (close.missed, wide.missed) == ((), (0.0,))


def test_times_with_too_few_samples_are_not_looked_at() -> None:
    clouds = [Law().sample(TIMES, n, 0)[k] for k, n in enumerate((1, FEWEST - 1, FEWEST, 100, 3))]
    found = fidelity(Law(shift=5.0), Snapshots(TIMES, tuple(clouds)), 0)
    np.testing.assert_array_equal(found.times, [2.0, 3.0])
    assert found.missed == (2.0, 3.0)
    nothing = fidelity(Law(shift=5.0), Snapshots(TIMES, tuple(cloud[:3] for cloud in clouds)), 0)
    assert (nothing.missed, nothing.ratio) == ((), 1.0)


def test_of_many_snapshots_the_first_the_last_and_some_between_are_looked_at() -> None:
    times = np.arange(101.0)
    data = Snapshots(times, tuple(Law().sample(times, 30, 0)))
    np.testing.assert_allclose(fidelity(Law(), data, 0).times, np.linspace(0, 100, 25).round())


def test_one_time_far_off_is_missed_alone_and_a_high_median_makes_all_that_are_high_missed() -> None:
    assert Fidelity(TIMES, np.array([1.0, 1.4, 9.0, 1.0, 11.0])).missed == (4.0,)
    assert Fidelity(TIMES, np.array([1.0, 1.4, 1.6, 1.7, 11.0])).missed == (2.0, 3.0, 4.0)


def test_what_was_reached_and_what_it_took_is_said_in_words() -> None:
    def said(missed: list[float], ratio: float, teacher: int, fit: int) -> str:
        return in_words({"missed": missed, "ratio": ratio, "rounds": {"teacher": teacher, "fit": fit}})

    reached = said([], 1.04, 1, 1)
    assert reached.startswith("its draws reach the fitted snapshots: they are typically 1.0 times as far from the data")
    assert f"nothing finer than {100 * RESOLUTION:g} % of a species' deviation" in reached
    more = "(fitted with more than was asked: the path in 3 rounds and the solution in 2 rounds)"
    assert said([], 1.0, 3, 2).startswith(f"its draws reach the fitted snapshots {more}: they are typically")
    missed = said([0.5, 4.0], 3.14, 1, 2)
    assert missed.startswith("its draws can be told from the fitted snapshots at t = 0.5, 4 (fitted with more than was")
    assert "they are typically 3.1 times as far from the data, or as widely spread, as chance takes them" in missed
    assert "`teacher.rounds`" in missed


@pytest.mark.parametrize("missed", [[], [0.5]])
def test_a_solution_that_falls_behind_its_path_is_said_to_whatever_its_draws_look_like(missed: list[float]) -> None:
    def said(lag: float) -> str:
        return in_words({"missed": missed, "ratio": 1.0, "rounds": {"teacher": 1, "fit": 2}, "lag": lag})

    assert "falls behind" not in said(0.0019)
    assert "falls behind" in said(0.0051)
    assert "falls behind the path that it was taught on, by 0.48 nats per value" in said(0.484)


# Fits in rounds


def narrow() -> Snapshots:
    """Narrow clouds on their way round a circle: a handful of steps does not reach them."""
    angle = np.linspace(0.0, 1.5 * np.pi, 5)
    centres = 5.0 * np.stack([np.cos(angle), np.sin(angle)], 1)
    rng = np.random.default_rng(0)
    return Snapshots(TIMES, tuple(rng.normal(centre, 0.2, (100, 2)) for centre in centres))


def hasty(**groups: dict[str, object]) -> ExperimentConfig:
    usual: dict[str, dict[str, object]] = {
        "anchors": {"base_steps": 60, "steps": 10, "rounds": 1},
        "teacher": {"steps": 40, "draws": 32, "rounds": 1},
        "bridge": {"drift_steps": 0},
        "dynamics": {"hidden": 8, "heads": 1, "steps": 4},
        "training": {"epochs": 3, "collocation_steps": 5, "rollout_steps": 2, "draws": 32, "random_times": 2},
    }
    return ExperimentConfig.parse({name: {**usual[name], **groups.get(name, {})} for name in usual})


def test_a_teacher_that_misses_its_snapshots_goes_on_until_it_is_better_and_says_so() -> None:
    one, three = (prepare(narrow(), hasty(teacher={"rounds": n}), seed=0).taught for n in (1, 3))
    assert (one.rounds, one.missed) == (1, tuple(TIMES))
    assert three.rounds > 1
    assert three.ratio < 0.7 * one.ratio
    assert three.loss < one.loss - 0.3


def test_a_long_path_pays_for_the_logarithm_of_its_length_and_a_short_one_for_all_of_it() -> None:
    lengths = torch.tensor([0.0, 3.0, LONG, 2 * LONG, 10 * LONG], requires_grad=True)
    price = priced(lengths)
    torch.testing.assert_close(price, torch.tensor([0.0, 3.0, 9.0, 9 + 9 * math.log(2), 9 + 9 * math.log(10)]))
    price.sum().backward()
    assert lengths.grad is not None
    torch.testing.assert_close(lengths.grad, torch.tensor([1.0, 1.0, 1.0, 0.5, 0.1]))


@pytest.mark.parametrize(("species", "draws"), [(1, 32), (4, 32), (6, 48), (15, 120), (16, 128), (150, 128)])
def test_a_teacher_of_more_species_takes_more_draws_up_to_four_times_as_many(species: int, draws: int) -> None:
    assert TeacherOptions().draws_of(species) == draws


def test_a_teacher_that_reaches_its_snapshots_is_fitted_once() -> None:
    still = Snapshots(TIMES, tuple(np.random.default_rng(k).normal(0.0, 1.0, (100, 2)) for k in range(5)))
    taught = prepare(still, hasty(anchors={"base_steps": 150}, teacher={"rounds": 3}), seed=0).taught
    assert (taught.rounds, taught.missed) == (1, ())
    assert taught.ratio < 1.5


def test_a_path_that_is_long_goes_on_once_at_a_tenth_of_its_price_though_it_reaches_its_snapshots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    still = Snapshots(TIMES, tuple(np.random.default_rng(k).normal(0.0, 1.0, (100, 2)) for k in range(5)))
    config = hasty(anchors={"base_steps": 150}, teacher={"rounds": 3})
    short = prepare(still, config, seed=0).taught
    assert (short.rounds, short.missed) == (1, ())
    assert 0 < config.teacher.length * short.length < CUT
    monkeypatch.setattr(preparation, "CUT", 0.5 * config.teacher.length * short.length)
    monkeypatch.setattr(preparation, "WANDERS", np.inf)  # so short a path grows many times as long
    further = prepare(still, config, seed=0).taught
    assert (further.rounds, further.missed) == (2, ())
    monkeypatch.setattr(preparation, "WANDERS", 0.5 * further.length / short.length)
    assert prepare(still, config, seed=0).taught.length == short.length  # one that lost its way is not kept
    cheap = prepare(still, hasty(anchors={"base_steps": 150}, teacher={"rounds": 3, "length": 1e-4}), seed=0).taught
    assert cheap.rounds == 1  # its price cuts nothing


@pytest.mark.parametrize(("pull_back", "steps", "substeps"), [(5.0, 8, 1), (15.0, 8, 1), (15.0, 8, 2), (5.0, 2, 1)])
def test_a_field_leads_back_no_faster_than_its_solver_can_follow(pull_back: float, steps: int, substeps: int) -> None:
    asked = hasty(dynamics={"steps": steps, "substeps": substeps}, training={"pull_back": pull_back})
    assert asked.leads_back == min(pull_back, steps * substeps)
    later = asked.of_round(1)
    assert later.leads_back == 2 * asked.leads_back
    assert later.dynamics.hidden == 2 * asked.dynamics.hidden
    prepared = prepare(narrow(), hasty(), seed=0)
    for config in (asked, later):
        attempt = Attempt(prepared, config, 0, "cpu")
        assert isinstance(attempt.path, Rollout)
        assert attempt.path.field.decay == config.leads_back
        assert attempt.training is not None
        assert attempt.training.options.pull_back == config.leads_back


@pytest.mark.parametrize(("time", "decay", "expected"), [(True, 3.0, 3.0), (True, 99.0, 8.0), (False, None, 0.0)])
def test_a_decay_is_as_asked_as_far_as_the_solver_follows_and_none_without_a_clock(
    time: bool, decay: float | None, expected: float
) -> None:
    config = hasty(dynamics={"time": time, "decay": decay, "steps": 8})
    assert Attempt(prepare(narrow(), hasty(), seed=0), config, 0, "cpu").dynamics.decay == expected


def turning() -> Snapshots:
    """A cloud that goes once round a circle of six deviations."""
    angles = np.linspace(0.0, 2 * np.pi, 8)
    centres = 3.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    clouds = (np.random.default_rng(k).normal(centre, 0.5, (200, 2)) for k, centre in enumerate(centres))
    return Snapshots(np.arange(8.0), tuple(clouds))


def test_phi_follows_its_teacher_at_the_snapshots_and_between_and_would_not_without_a_clock_or_a_decay() -> None:
    usual = hasty(teacher={"steps": 200})
    prepared = prepare(turning(), usual, seed=0)

    def lag(**dynamics: object) -> float:
        asked = ExperimentConfig.parse({"dynamics": dynamics, "training": {"rounds": 1}})
        trial = Trial(prepared, usual.model_copy(update={"dynamics": asked.dynamics, "training": asked.training}), 0)
        for _ in trial.epochs():
            pass
        return trial.finished().record["fidelity"]["lag"]

    assert lag() < LAG  # measured: 0.0007, 0.007 and 0.16
    assert lag(decay=0.0) > LAG
    assert lag(time=False) > 0.05


@pytest.mark.parametrize("solver", list(Solver))
def test_every_solver_is_steady_at_the_rate_at_which_a_field_leads_back(solver: Solver) -> None:
    asked = hasty(dynamics={"solver": solver.value, "steps": 8}, training={"pull_back": 40.0})
    for config in (asked, asked.of_round(1)):
        zero, start, options = torch.zeros(1), torch.ones(1, 1, 1), config.dynamics
        rate = config.leads_back
        left = solve(lambda _t, x, k=rate: -k * x, start, zero, zero + 1, options.steps, options).tokens.flatten()
        assert bool((left.diff() <= 0.01).all())  # an adaptive solver errs by its tolerance
        assert abs(float(left[-1])) < max(0.05, 2 * np.exp(-rate))


@pytest.fixture(scope="module")
def behind() -> tuple[ExperimentConfig, Prepared, Trial, list[EpochReport]]:
    """A configuration whose solution needs a second round, what it is fitted to, the trial, and what that reported."""
    options = hasty(teacher={"steps": 300}, training={"rounds": 2, "epochs": 4, "collocation_steps": 60})
    prepared = prepare(narrow(), options, seed=0)
    trial = Trial(prepared, options, seed=0)
    return options, prepared, trial, list(trial.epochs())


def test_a_solution_behind_its_teacher_is_begun_anew_with_more_and_the_better_one_is_kept(
    behind: tuple[ExperimentConfig, Prepared, Trial, list[EpochReport]],
) -> None:
    options, prepared, trial, reports = behind
    once = options.model_copy(update={"training": options.training.model_copy(update={"rounds": 1})})
    alone = Trial(prepared, once, seed=0)
    short = list(alone.epochs())
    assert [report.epoch for report in reports] == [report.epoch for report in short] == [1, 2, 3, 4]
    assert reports[-1].seconds > sum(report.seconds for report in reports[:-1])  # the last epoch holds all of it
    better, first = (one.finished().record["fidelity"] for one in (trial, alone))
    assert (better["rounds"], first["rounds"]) == ({"teacher": 1, "fit": 2}, {"teacher": 1, "fit": 1})
    assert better["ratio"] < first["ratio"]
    assert better["lag"] < first["lag"] - 0.25
    second, one = trial.model(), alone.model()
    gains = [second.log_prob(x, t) - one.log_prob(x, t) for x, t in zip(narrow().samples, TIMES, strict=True)]
    assert torch.stack(gains).mean() > 0.5


def test_a_further_round_whose_loss_is_not_finite_leaves_the_round_before(
    behind: tuple[ExperimentConfig, Prepared, Trial, list[EpochReport]], monkeypatch: pytest.MonkeyPatch
) -> None:
    options, prepared, _, _ = behind
    further = ExperimentConfig.of_round

    def hot(config: ExperimentConfig, number: int) -> ExperimentConfig:
        later = further(config, number)
        rate = {"learning_rate": 1e30} if number else {}
        return later.model_copy(update={"training": later.training.model_copy(update=rate)})

    monkeypatch.setattr(ExperimentConfig, "of_round", hot)
    with pytest.raises(TrainingError):
        list(Attempt(prepared, options.of_round(1), 0, "cpu").training or ())
    once = options.model_copy(update={"training": options.training.model_copy(update={"rounds": 1})})
    trial, alone = Trial(prepared, options, seed=0), Trial(prepared, once, seed=0)
    reports, short = list(trial.epochs()), list(alone.epochs())
    assert [report.loss for report in reports] == [report.loss for report in short]
    assert torch.equal(trial.model().weights(TIMES), alone.model().weights(TIMES))
    assert trial.finished().record["fidelity"]["rounds"] == {"teacher": 1, "fit": 2}  # it was tried


@pytest.mark.parametrize(
    "done", [3, pytest.param(4, marks=pytest.mark.slow)]
)  # cut off in the rounds of the last epoch, and after them
def test_a_trial_that_is_cut_off_in_its_further_rounds_goes_on_to_the_same_model(
    behind: tuple[ExperimentConfig, Prepared, Trial, list[EpochReport]], tmp_path: Path, done: int
) -> None:
    options, prepared, whole, _ = behind
    cut, resumed = (Trial(prepared, options, seed=0) for _ in range(2))
    running = cut.epochs()
    for _ in range(done):
        next(running)
    checkpoint = cut.checkpoint()
    assert checkpoint is not None
    write_arrays(tmp_path / "checkpoint", checkpoint.arrays, checkpoint.facts)
    resumed.restore(Checkpoint(checkpoint.epoch, *read_arrays(tmp_path / "checkpoint")))
    assert resumed.round == (1 if done == 4 else 0)
    assert [report.epoch for report in resumed.epochs()] == list(range(done + 1, 5))
    assert torch.equal(resumed.model().weights(TIMES), whole.model().weights(TIMES))
    assert resumed.finished().record["fidelity"]["rounds"] == {"teacher": 1, "fit": 2}


def test_the_command_warns_of_few_samples_and_says_how_the_fit_stands(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clouds = (rng.normal(0.0, 1.0, (1, 2)), rng.normal(1.0, 1.0, (25, 2)), rng.normal(9.0, 1.0, (40, 2)))
    rows = [f"{time},{a},{b}" for time, cloud in enumerate(clouds) for a, b in cloud.tolist()]
    (tmp_path / "cells.csv").write_text("\n".join(["time,a,b", *rows]) + "\n")
    (tmp_path / "config.yaml").write_text(json.dumps(flatten(hasty())))
    words = ["fit", "--data", tmp_path / "cells.csv", "--every", 1, "--config", tmp_path / "config.yaml"]
    done = CliRunner().invoke(app, [*map(str, words), "--out", str(tmp_path / "model")])
    assert done.exit_code == 0, done.output
    assert "warning: there is a single sample at t = 0: it says where" in done.stderr
    assert "warning: there are fewer than 30 samples at t = 1 (the fewest: 25)" in done.stderr
    assert in_words(load(tmp_path / "model").record["fidelity"]) in done.stdout
    assert "fitted snapshots at t = " in done.stdout
