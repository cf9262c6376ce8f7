"""From snapshots to a model: anchors, teacher, training, saving, in seconds on a small system."""

import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch
from exact import cascade1_means
from safetensors.torch import load_file, save_file
from scipy import stats

import weightflow
from weightflow import Snapshots, WeightFlow, load
from weightflow.anchors import Alignment, AnchorOptions, fit_anchors, fit_base
from weightflow.backbones import BackboneOptions
from weightflow.cache import ArrayCache
from weightflow.dynamics import CDEField, Rollout
from weightflow.errors import InputError, TrainingError
from weightflow.evaluation import held_out_score
from weightflow.experiment import ExperimentConfig, Prepared, Trial, direct_model, line_model, prepare
from weightflow.files import read_arrays, write_arrays
from weightflow.metrics import paper_jsd
from weightflow.path import Clock
from weightflow.systems import simulate
from weightflow.training import Checkpoint, LogRatio
from weightflow.training.teacher import draw_times, draw_within, tokens_at
from weightflow.types import Kind

TIMES = np.array([0.0, 1.0, 2.0, 4.0, 6.0])
QUICK = {
    "anchors": {"base_steps": 150, "steps": 100, "rounds": 1},
    "teacher": {"steps": 300, "draws": 64, "rounds": 1},
    "bridge": {"drift_steps": 0},
    "dynamics": {"hidden": 16, "heads": 2, "steps": 10},
    "training": {"epochs": 6, "collocation_steps": 100, "rollout_steps": 15, "rounds": 1},
}


def death_process(times: np.ndarray, n: int, seed: int) -> Snapshots:
    """Two species of 12 that die at rates 0.3 and 0.1: independent binomials at every time, exactly."""
    rng = np.random.default_rng(seed)
    survival = np.exp(-np.outer(times, [0.3, 0.1]))
    return Snapshots(times, tuple(rng.binomial(12, p, (n, 2)).astype(float) for p in survival))


def config(**overrides: dict[str, object]) -> ExperimentConfig:
    return ExperimentConfig.parse(
        {group: {**QUICK.get(group, {}), **overrides.get(group, {})} for group in {*QUICK, *overrides}}
    )


@pytest.fixture(scope="module")
def snapshots() -> Snapshots:
    return death_process(TIMES, 800, 0)


@pytest.fixture(scope="module")
def prepared(snapshots: Snapshots) -> Prepared:
    return prepare(snapshots, config(), seed=0, anchors=True)


@pytest.fixture(scope="module")
def model(prepared: Prepared) -> WeightFlow:
    trial = Trial(prepared, config(), seed=0, record={"note": "made by a test"})
    reports = list(trial.epochs())
    assert [report.epoch for report in reports] == list(range(1, 7))
    assert [report.phase for report in reports] == ["collocation"] * 4 + ["rollout"] * 2
    return trial.model()


def mean_jsd(model: WeightFlow, times: np.ndarray) -> float:
    truth, drawn = death_process(times, 2000, 9), model.sample(times, 2000, seed=1).numpy()
    return float(np.mean([paper_jsd(x, y, 100) for x, y in zip(drawn, truth.samples, strict=True)]))


def test_a_trained_model_finds_the_law_between_the_snapshots(model: WeightFlow, prepared: Prepared) -> None:
    between = np.array([0.5, 1.5, 3.0, 5.0])
    floor = np.mean(
        [
            paper_jsd(x, y, 100)
            for x, y in zip(
                death_process(between, 2000, 3).samples, death_process(between, 2000, 4).samples, strict=True
            )
        ]
    )
    assert mean_jsd(model, between) < floor + 0.006
    assert mean_jsd(direct_model(prepared), between) < floor + 0.006


def test_the_score_is_the_mean_of_both_held_out_parts(model: WeightFlow) -> None:
    interior, last = death_process(np.array([3.0]), 3000, 5), death_process(np.array([7.0]), 3000, 6)
    held_out = held_out_score(model, interior, last).facts()
    assert held_out["score"] == pytest.approx((held_out["score_interior"] + held_out["score_last"]) / 2)
    p = np.exp(-3.0 * np.array([0.3, 0.1]))
    entropy = 0.0
    for one in p:
        mass = np.array([_binomial(12, k, one) for k in range(13)])
        entropy -= float((mass * np.log(mass)).sum())
    assert entropy - 0.05 < held_out["score_interior"] < entropy + 0.1


def _binomial(n: int, k: int, p: float) -> float:
    return comb(n, k) * p**k * (1 - p) ** (n - k)


def test_marginals_are_normalised_and_agree_with_the_density(model: WeightFlow) -> None:
    times = np.array([0.5, 3.0])
    marginals = model.marginals(times)
    torch.testing.assert_close(marginals.sum(-1), torch.ones(2, 2, dtype=torch.float64))
    states = torch.cartesian_prod(torch.arange(40.0), torch.arange(40.0))
    joint = model.log_prob(states, times).exp().reshape(2, 40, 40)
    torch.testing.assert_close(joint.sum((1, 2)), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(marginals[:, 1, :12], joint.sum(1)[:, :12], atol=1e-5, rtol=1e-3)


def test_log_prob_takes_one_time_or_many(model: WeightFlow) -> None:
    x = np.array([[3.0, 9.0], [2.0, 8.0]])
    one, many = model.log_prob(x, 2.0), model.log_prob(x, [2.0, 3.0])
    assert one.shape == (2,)
    torch.testing.assert_close(many[0], one)
    torch.testing.assert_close(model.log_prob(np.stack([x, x]), [2.0, 3.0]), many)


def test_a_saved_model_is_the_same_model(model: WeightFlow, tmp_path: Path) -> None:
    model.save(tmp_path / "best")
    again = load(tmp_path / "best")
    times = [0.0, 2.5, 8.0]
    assert torch.equal(again.sample(times, 50, seed=3), model.sample(times, 50, seed=3))
    assert torch.equal(again.weights(times), model.weights(times))
    assert again.record["note"] == "made by a test"
    assert again.record["config"]["dynamics"]["hidden"] == 16
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["config.json", "model.safetensors"]


def test_saved_paths_of_all_kinds_are_the_same_models(prepared: Prepared, tmp_path: Path) -> None:
    cde = Trial(prepared, config(dynamics={"kind": "cde", "z_dim": 2}), seed=0).model()
    for name, one in (("cde", cde), ("line", line_model(prepared)), ("direct", direct_model(prepared))):
        one.save(tmp_path / name)
        assert torch.equal(load(tmp_path / name).weights([0.5, 7.0]), one.weights([0.5, 7.0]))


def test_a_model_of_format_5_forecasts_as_it_did(model: WeightFlow, tmp_path: Path) -> None:
    model.save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["clock.rate"]
    save_file(tensors, tmp_path / "model.safetensors")
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "format": 5}))
    loaded, marks, times = load(tmp_path), model.clock.marks, model.clock.times
    assert loaded.clock.rate == pytest.approx((marks[-1] - marks[-2]) / (times[-1] - times[-2]))
    assert torch.equal(loaded.weights([0.5, 6.0]), model.weights([0.5, 6.0]))


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, model: WeightFlow) -> None:
    with pytest.raises(InputError, match="is no model directory"):
        load(tmp_path)
    model.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "format": 99}))
    with pytest.raises(InputError, match="has format 99"):
        load(tmp_path)


@pytest.mark.parametrize(("times", "said"), [([-1.0], "fitted: "), ([1e6], "ask for times"), ([np.nan], "finite")])
def test_times_that_no_data_support_are_refused(model: WeightFlow, times: list[float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        model.weights(times)


def test_the_wrong_number_of_species_is_refused(model: WeightFlow) -> None:
    with pytest.raises(InputError, match=r"give x of shape \(draw, 2\)"):
        model.log_prob(np.zeros((4, 3)), 1.0)


@pytest.fixture(scope="module")
def timeless(snapshots: Snapshots) -> float:
    """How far a law that does not know the time is from the truth: all snapshots together, at each time."""
    drawn = np.random.default_rng(1).choice(snapshots.pooled(), 2000)
    return float(np.mean([paper_jsd(drawn, y, 30) for y in death_process(TIMES, 2000, 9).samples]))


@pytest.mark.parametrize(
    ("overrides", "share"),  # measured: 0.02 to 0.03, 0.31 and 0.06
    [
        ({"dynamics": {"kind": "cde", "z_dim": 1, "projection": "autoencoder"}}, 0.1),
        pytest.param({"dynamics": {"time": False, "solver": "dopri5"}}, 0.1, marks=pytest.mark.slow),
        pytest.param({"dynamics": {"solver": "euler", "dropout": 0.1}}, 0.1, marks=pytest.mark.slow),
        ({"training": {"objective": "anchor"}}, 0.5),
        pytest.param(
            {"training": {"objective": "anchor"}, "dynamics": {"kind": "cde", "z_dim": 2, "solver": "midpoint"}},
            0.2,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_variant_learns_how_the_law_depends_on_time(
    prepared: Prepared, timeless: float, overrides: dict[str, dict[str, object]], share: float
) -> None:
    short = {"collocation_steps": 150, "rollout_steps": 4, **overrides.get("training", {})}
    trial = Trial(prepared, config(**{**overrides, "training": short}), seed=0)
    losses: dict[str, list[float]] = {}
    for report in trial.epochs():
        losses.setdefault(report.phase, []).append(report.loss)
    assert losses["collocation"][-1] < 0.4 * losses["collocation"][0]
    assert np.isfinite(losses["rollout"]).all()
    assert mean_jsd(trial.model(), TIMES) < share * timeless


def test_the_clock_is_a_channel_of_the_control_path(prepared: Prepared) -> None:
    def speed(**options: object) -> torch.Tensor:
        path = Trial(prepared, config(dynamics={"kind": "cde", "z_dim": 2, **options}), seed=0).model().path
        assert isinstance(path, Rollout)
        assert isinstance(path.field, CDEField)
        return path.field.control.derivative(torch.tensor([0.1, 0.6, 1.0]))

    with_clock, without = speed(), speed(time_channel=False)
    torch.testing.assert_close(with_clock[:, 0], torch.ones(3))
    torch.testing.assert_close(with_clock[:, 1:], without)


def test_a_direct_path_is_trained_once_it_is_prepared(prepared: Prepared) -> None:
    trial = Trial(prepared, config(dynamics={"kind": "direct"}), seed=0)
    assert [(report.epoch, report.phase, report.loss) for report in trial.epochs()] == [
        (6, "direct", prepared.taught.loss)
    ]
    assert torch.equal(trial.model().weights([2.5]), direct_model(prepared).weights([2.5]))


def test_the_papers_objective_needs_no_teacher(snapshots: Snapshots) -> None:
    paper: dict[str, object] = {"objective": "anchor", "warm_share": 0.0, "epochs": 2, "rollout_steps": 2}
    made = prepare(snapshots, config(anchors={"base_steps": 20, "steps": 20}, training=paper), seed=0)
    assert made.teacher is None
    assert [report.phase for report in Trial(made, config(training=paper), seed=0).epochs()] == ["rollout"] * 2


def test_what_is_prepared_is_taken_from_the_cache_unchanged(snapshots: Snapshots, tmp_path: Path) -> None:
    quick = config(anchors={"base_steps": 20, "steps": 20}, teacher={"steps": 20})
    first, again = (prepare(snapshots, quick, seed=0, cache=ArrayCache(tmp_path)) for _ in range(2))
    assert torch.equal(direct_model(again).weights([2.5]), direct_model(first).weights([2.5]))
    times, rng = np.array([0.5, 3.0]), np.random.default_rng
    np.testing.assert_array_equal(again.bridge.sample(times, 9, rng(0)), first.bridge.sample(times, 9, rng(0)))
    assert again.bridge.options == first.bridge.options


def test_the_same_seed_gives_the_same_model_and_another_seed_another(prepared: Prepared) -> None:
    def weights(seed: int) -> torch.Tensor:
        trial = Trial(prepared, config(training={"epochs": 2, "collocation_steps": 5, "rollout_steps": 5}), seed)
        assert list(trial.epochs())
        return trial.model().weights([3.3])

    first = weights(0)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def test_a_fit_takes_one_thread_however_many_there_are_and_gives_them_back(snapshots: Snapshots) -> None:
    quick = config(
        anchors={"base_steps": 5, "steps": 5},
        teacher={"steps": 5},
        training={"epochs": 2, "collocation_steps": 2, "rollout_steps": 2},
    )
    before, taken, fits = torch.get_num_threads(), set[int](), list[torch.Tensor]()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            model = weightflow.fit(snapshots, quick, progress=lambda *_: taken.add(torch.get_num_threads()))
            assert torch.get_num_threads() == threads
            fits.append(model.weights(TIMES))
    finally:
        torch.set_num_threads(before)
    assert taken == {1}
    assert torch.equal(*fits)


@pytest.mark.parametrize("epochs_before", [2, 4, 5])  # in collocation, at its end, in rollouts
def test_a_training_that_was_cut_off_goes_on_as_if_it_had_not_been(
    prepared: Prepared, tmp_path: Path, epochs_before: int
) -> None:
    options = config(dynamics={"dropout": 0.1}, training={"collocation_steps": 5, "rollout_steps": 2})
    whole, cut, resumed = (Trial(prepared, options, seed=0) for _ in range(3))
    losses = [report.loss for report in whole.epochs()]
    running = iter(cut.epochs())
    before = [next(running).loss for _ in range(epochs_before)]
    checkpoint = cut.checkpoint()
    assert checkpoint is not None
    write_arrays(tmp_path / "checkpoint", checkpoint.arrays, checkpoint.facts)
    resumed.restore(Checkpoint(checkpoint.epoch, *read_arrays(tmp_path / "checkpoint")))
    after = [report.loss for report in resumed.epochs()]
    assert before + after == losses
    assert torch.equal(resumed.model().weights(TIMES), whole.model().weights(TIMES))


def test_a_diverging_loss_is_an_error_that_says_where(prepared: Prepared) -> None:
    trial = Trial(prepared, config(training={"learning_rate": 1e30}), seed=0)
    with pytest.raises(TrainingError, match=r"epoch \d+ \((collocation|rollout)\) at learning rate"):
        list(trial.epochs())


def test_continuous_species_are_learned_in_their_own_units() -> None:
    """A Gaussian that moves and widens, with correlated species of very different size."""
    rng = np.random.default_rng(0)

    def law(t: float) -> tuple[np.ndarray, np.ndarray]:
        root = np.array([[1.0 + 0.2 * t, 0.0], [80.0, 60.0]])
        return np.array([3.0 * t, 500.0 - 40.0 * t]), root @ root.T

    times = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    data = Snapshots(times, tuple(rng.multivariate_normal(*law(t), size=800) for t in times), ("height", "weight"))
    learned = direct_model(prepare(data, config(teacher={"steps": 500}), seed=0))
    for t in (0.5, 2.5):
        fresh = rng.multivariate_normal(*law(t), size=4000)
        exact = stats.multivariate_normal(*law(t)).logpdf(fresh)
        assert abs(float(learned.log_prob(fresh, t).mean()) - exact.mean()) < 0.06
        drawn = learned.sample(t, 4000).numpy()
        np.testing.assert_allclose(np.corrcoef(drawn, rowvar=False), np.corrcoef(fresh, rowvar=False), atol=0.05)
        np.testing.assert_allclose(drawn.mean(0), law(t)[0], atol=0.15 * np.sqrt(np.diag(law(t)[1])).max())


@pytest.mark.parametrize(
    ("start", "span", "unit"),
    [
        (1.6e9, 4.0, 0.01),
        pytest.param(2020.0, 0.1, 1e-30, marks=pytest.mark.slow),
        pytest.param(-1e-30, 4e-30, 1e30, marks=pytest.mark.slow),
    ],
)
def test_a_model_does_not_depend_on_units_and_offsets(start: float, span: float, unit: float, tmp_path: Path) -> None:
    """A Gaussian that moves and widens far from zero, a count near a million, and a constant, at any times."""
    rng = np.random.default_rng(0)
    s = np.linspace(0.0, 1.0, 5)
    offset = 1e6 * unit

    def cloud(at: float, n: int) -> np.ndarray:
        moved = offset + unit * rng.normal(at, 0.5 + at, n)
        return np.stack([moved, np.full(n, 0.1), rng.poisson(1e6 + 2000 * at, n)], axis=1)

    data = Snapshots(start + span * s, tuple(cloud(at, 300) for at in s))
    short = config(
        anchors={"base_steps": 100, "steps": 30},
        teacher={"steps": 150},
        training={"collocation_steps": 100, "rollout_steps": 4},
    )
    fitted = weightflow.fit(data, short)
    fitted.save(tmp_path)
    model, at = load(tmp_path), 0.9  # where a law that does not know the time is 0.4 and 800 off
    time = start + span * at
    drawn = model.sample(time, 2000)
    assert torch.equal(drawn, fitted.sample(time, 2000))
    assert drawn.dtype == torch.float64
    assert len(drawn[:, 0].unique()) == 2000
    assert (drawn[:, 1] == 0.1).all()
    assert torch.equal(drawn[:, 2], drawn[:, 2].round())
    assert float(drawn[:, 0].mean() - offset) / unit == pytest.approx(at, abs=0.3)
    assert float(drawn[:, 2].mean()) == pytest.approx(1e6 + 2000 * at, abs=300)
    fresh = cloud(at, 2000)
    exact = stats.norm(offset + at * unit, (0.5 + at) * unit).logpdf(fresh[:, 0])
    exact = exact + stats.poisson(1e6 + 2000 * at).logpmf(fresh[:, 2])
    assert float(model.log_prob(fresh, time).mean()) == pytest.approx(exact.mean(), abs=0.3)


def test_what_cannot_be_has_no_density_and_what_is_no_number_is_refused(model: WeightFlow) -> None:
    x = np.array([[3.0, 9.0], [3.5, 9.0], [3.0, -1.0], [np.inf, 9.0], [3.0, -np.inf], [1e6, 9.0]])
    found = model.log_prob(x, [0.0, 2.0])
    assert found.dtype == torch.float64
    assert torch.isfinite(found[:, [0, 5]]).all()
    assert (found[:, 1:5] == -torch.inf).all()
    with pytest.raises(InputError, match=r"not a number \(NaN\).*drop those rows"):
        model.log_prob(np.array([[np.nan, 1.0]]), 1.0)


def test_a_gene_that_is_switched_on_after_the_fitted_times_costs_a_finite_score() -> None:
    rng = np.random.default_rng(0)
    clouds = tuple(np.stack([rng.poisson(9.0, 200), np.zeros(200)], 1).astype(float) for _ in range(3))
    data = Snapshots(np.arange(3.0), clouds, kinds=(Kind.COUNTS,) * 2)
    fitted = direct_model(prepare(data, config(teacher={"steps": 60}), seed=0))
    off = fitted.log_prob(clouds[0], 3.0)
    on = fitted.log_prob(clouds[0] + [0.0, 4.0], 3.0)
    torch.testing.assert_close(on - off, torch.full_like(on, np.log(1e-6 / 20) - np.log1p(-1e-6)))
    marginals = fitted.marginals([1.0])
    assert float(marginals[0, 1, 0]) == pytest.approx(1 - 1e-6)
    torch.testing.assert_close(marginals.sum(-1), torch.ones(1, 2, dtype=torch.float64))


@pytest.mark.parametrize(
    "alignment",
    [pytest.param(a, marks=pytest.mark.slow) if a is Alignment.CHAIN else a for a in Alignment],
)
def test_anchors_describe_their_snapshots(snapshots: Snapshots, alignment: Alignment) -> None:
    backbone = BackboneOptions().build(snapshots)
    options = AnchorOptions(alignment=alignment, base_steps=200, steps=150)
    base = fit_base(backbone, snapshots, options, seed=0)
    anchors = fit_anchors(backbone, snapshots, base, options, seed=0)
    data = torch.stack([torch.as_tensor(cloud, dtype=torch.float32) for cloud in snapshots.samples])
    fitted = -backbone.log_prob(torch.tensor(anchors.tokens), data).mean(1).numpy()
    survival = np.exp(-np.outer(TIMES, [0.3, 0.1]))
    for k in range(1, len(TIMES)):
        mass = [np.array([_binomial(12, c, p) for c in range(13)]) for p in survival[k]]
        entropy = -sum(float((m * np.log(m)).sum()) for m in mass)
        assert entropy - 0.1 < fitted[k] < entropy + 0.2  # all snapshots together would cost 0.8 to 1.1


def test_anchors_that_are_shared_out_are_the_anchors_that_one_worker_fits(snapshots: Snapshots) -> None:
    backbone, options = BackboneOptions().build(snapshots), AnchorOptions(base_steps=20, steps=20)
    base = fit_base(backbone, snapshots, options, seed=0)
    whole = fit_anchors(backbone, snapshots, base, options, seed=0)
    part = fit_anchors(backbone, snapshots.subset([1, 3]), base, options, seed=0)
    np.testing.assert_allclose(part.tokens, whole.tokens[[1, 3]], atol=2e-4)


def test_the_pooled_anchors_are_nearer_to_each_other_than_independent_ones(snapshots: Snapshots) -> None:
    backbone = BackboneOptions().build(snapshots)

    def length(alignment: Alignment) -> float:
        options = AnchorOptions(alignment=alignment, base_steps=100, steps=60)
        base = fit_base(backbone, snapshots, options, seed=0)
        tokens = fit_anchors(backbone, snapshots, base, options, seed=0).tokens
        return float(np.sqrt((np.diff(tokens, axis=0) ** 2).sum((1, 2))).sum())

    assert length(Alignment.POOLED) < 0.7 * length(Alignment.NONE)


def test_the_cache_answers_only_for_what_it_was_made_of(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    made: list[int] = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return {"x": np.arange(3.0) + len(made)}

    first = cache.get_or_make("thing", {"data": "a", "seed": 0}, make)
    again = cache.get_or_make("thing", {"seed": 0, "data": "a"}, make)
    other = cache.get_or_make("thing", {"data": "b", "seed": 0}, make)
    np.testing.assert_array_equal(first["x"], again["x"])
    assert len(made) == 2
    assert other["x"][0] == 2.0
    assert not list(tmp_path.glob("*.part"))


def test_of_several_that_ask_the_cache_at_once_only_the_first_makes(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        time.sleep(0.1)  # long enough for the others to ask meanwhile
        return {"x": np.arange(3.0)}

    with ThreadPoolExecutor(4) as many:
        asked = [many.submit(ArrayCache(tmp_path).get_or_make, "thing", {"a": 1}, make) for _ in range(4)]
    assert len(made) == 1
    for one in asked:
        np.testing.assert_array_equal(one.result()["x"], np.arange(3.0))


def test_a_damaged_cache_file_is_made_again(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    cache.get_or_make("thing", {"a": 1}, lambda: {"x": np.ones(2)})
    next(tmp_path.glob("thing-*.safetensors")).write_bytes(b"half a file")
    assert cache.get("thing", {"a": 1}) is None
    np.testing.assert_array_equal(cache.get_or_make("thing", {"a": 1}, lambda: {"x": np.zeros(2)})["x"], np.zeros(2))
    assert cache.get("thing", {"a": 1}) is not None


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_what_is_cached_may_be_read_by_whom_the_umask_lets(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        ArrayCache(tmp_path).get_or_make("thing", {"a": 1}, lambda: {"x": np.ones(2)})
    finally:
        os.umask(before)
    (file,) = tmp_path.glob("thing-*.safetensors")
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.slow
def test_a_shorter_path_does_not_cost_likelihood(snapshots: Snapshots) -> None:
    def teacher(length: float) -> tuple[float, float]:
        made = prepare(snapshots, config(anchors={"steps": 5}, teacher={"length": length}), seed=0)
        _, tokens = made.taught.table(made.backbone)
        path = float(np.sqrt((np.diff(tokens, axis=0) ** 2).sum((1, 2))).sum())
        return path, held_out_score(direct_model(made), death_process(TIMES[1:], 2000, 7), snapshots).score

    (free_path, free_score), (short_path, short_score) = teacher(0.0), teacher(1e-2)
    assert short_path < 0.5 * free_path
    assert short_score < free_score + 0.03


def test_the_clock_of_a_model_runs_by_its_path(model: WeightFlow) -> None:
    assert isinstance(model.clock, Clock)
    assert model.span == (0.0, 6.0)
    even = np.interp(np.linspace(0, 1, 11), model.clock.marks, model.clock.times)
    steps = (model.weights(even).diff(dim=0)).flatten(1).norm(dim=1)
    uniform = (model.weights(np.linspace(0, 6, 11)).diff(dim=0)).flatten(1).norm(dim=1)
    assert steps.std() / steps.mean() < uniform.std() / uniform.mean()


def test_the_fitted_density_of_the_linear_cascade_is_the_product_of_poissons_that_it_is() -> None:
    times, kept = np.linspace(0.0, 2.0, 6), slice(0, 4)
    trajectories, species = simulate("cascade1", 600, 0, times)
    clouds = tuple(trajectories[:, k, kept] for k in range(len(times)))
    made = prepare(Snapshots(times, clouds, species[kept]), config(teacher={"steps": 400}), seed=0)
    between = np.array([0.6, 1.0, 1.8])
    means = cascade1_means(between)[:, kept]
    fresh = np.random.default_rng(0).poisson(means[:, None], (3, 4000, 4)).astype(float)
    exact = stats.poisson(means[:, None]).logpmf(fresh).sum(-1).mean(1)
    learned = direct_model(made).log_prob(fresh, between).mean(1).numpy()
    np.testing.assert_allclose(learned, exact, atol=0.06)
    assert (learned < exact + 0.01).all()  # no density is better than the true one


def test_the_public_names_are_found_though_nothing_imports_them_before_they_are_asked_for():
    assert set(weightflow.__all__) <= set(dir(weightflow))
    assert all(callable(getattr(weightflow, name)) for name in weightflow.__all__)
    assert not hasattr(weightflow, "no_such_name")


def test_random_times_leave_no_stretch_of_the_span_out() -> None:
    rng = np.random.default_rng(0)
    times = np.array([2.0, 3.0, 12.0])
    drawn = draw_times(times, 12, rng)
    assert np.array_equal(np.floor((drawn[:2] - 2.0) * 2), [0, 1])  # a sixth in the first interval, one in each half
    assert np.array_equal(np.floor(drawn[2:] - 2.0), np.arange(10))
    many = np.concatenate([draw_times(times, 6, rng)[2:] for _ in range(5_000)])
    assert stats.kstest(many, "uniform", (2.0, 10.0)).pvalue > 1e-3


def test_the_log_ratio_is_nothing_on_the_teachers_path_and_the_divergence_from_it_nearby(prepared: Prepared) -> None:
    backbone, family, path = prepared.backbone, prepared.family, prepared.taught.path(prepared.backbone)
    objective = LogRatio(backbone, family, path, Clock.uniform(*prepared.taught.span), config().training)
    drawn = draw_within(family, 2, 8, 4000, np.random.default_rng(0))
    with torch.no_grad():
        taught = tokens_at(path, family, drawn, "cpu")
        off = taught + 0.01 * backbone.layout.mask
        assert float(objective.apart(taught, drawn)) == 0.0
        numbers = torch.rand(len(taught), 20_000, backbone.dim, generator=torch.Generator().manual_seed(0))
        fresh = backbone.sample(taught, numbers.to(taught)).double()
        divergence = float((backbone.log_prob(taught, fresh) - backbone.log_prob(off, fresh)).mean())
        assert divergence > 1e-5
        assert float(objective.apart(off, drawn)) == pytest.approx(divergence, rel=0.25)
