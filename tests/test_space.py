"""Search spaces: what a YAML file says is what Optuna is asked, and what it cannot mean is told at once."""

import pickle
from pathlib import Path
from textwrap import dedent
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from spaces import Reader, check_refused, space_reader

from weightflow.data import Shape
from weightflow.dynamics.options import Solver
from weightflow.errors import InputError
from weightflow.experiment import ExperimentConfig, flat_keys, nest, preset, whole_keys
from weightflow.search.space.parameters import IntRange
from weightflow.search.space.space import Space
from weightflow.search.study.options import SearchOptions

KNOWN = ("dynamics.kind", "dynamics.depth", "dynamics.time", "dynamics.z_dim", "training.learning_rate", "bridge.width")
SMALL = """
    description: Small fields.
    parameters:
      dynamics.kind: {kind: choice, values: [ode, cde]}
      dynamics.depth: {kind: int, low: 1, high: 9, step: 4}
      dynamics.z_dim: {kind: int, low: 1, high: 4, when: {dynamics.kind: cde}}
      training.learning_rate: {kind: float, low: 1e-3, high: 1e-1, log: true}
      bridge.width: {kind: float, low: 0, high: 1.5, step: 0.5, when: {dynamics.kind: [ode, cde]}}
    fixed:
      dynamics.time: true
    first_trials:
      - {dynamics.kind: ode, dynamics.depth: 5, training.learning_rate: 2e-2, bridge.width: 1}
      - {dynamics.kind: cde, dynamics.depth: 1, dynamics.z_dim: 2, training.learning_rate: 0.01, bridge.width: 0.5}
"""


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Read a space from text."""

    return space_reader(tmp_path, KNOWN)


def sampled(space: Space, n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return the parameters of `n` trials of a random study, the first trials among them."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for point in space.first_trials:
        study.enqueue_trial(point)
    study.optimize(lambda trial: float(len(space(trial))), n_trials=n)
    return [trial.params for trial in study.get_trials(states=[TrialState.COMPLETE])]


@pytest.fixture(autouse=True)
def _quiet_optuna():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def first_configs(path: Path) -> list[ExperimentConfig]:
    space = Space.read(path, flat_keys())
    return [
        ExperimentConfig.parse(nest(space.configuration(point))) for _, point in SearchOptions().first_points(space)
    ]


class TestSampling:
    @pytest.mark.parametrize("name", ["default", "smoke", "paper"])
    def test_the_spaces_of_the_project_give_only_configurations_that_can_be_used(self, root: Path, name: str):
        space = Space.read(root / "search_spaces" / f"{name}.yaml", flat_keys(), can_be_used)
        trials = sampled(space, 500)
        assert len(trials) == 500
        for params in trials:
            can_be_used(space.configuration(params))
            assert ("dynamics.z_dim" in params) == (params["dynamics.kind"] == "cde")
        for key, parameter in space.parameters.items():
            values = [params[key] for params in trials if key in params]
            assert all(parameter.admits(value) for value in values)
            assert len(set(values)) > 1, f"{key} never varies"

    def test_the_default_space_starts_with_the_presets_and_with_our_default_without_a_clock_and_twice(self, root: Path):
        first, second, third, fourth = first_configs(root / "search_spaces" / "default.yaml")
        assert first == ExperimentConfig()
        assert (second.dynamics.kind, second.training.objective) == ("cde", "anchor")
        assert not second.dynamics.time_channel
        longer = {"pull_back": 2.0, "collocation_steps": 192}
        assert third == preset("default", training=longer, dynamics={"time": False, "steps": 16})
        twice = preset("default").of_round(1)
        assert fourth == twice.model_copy(update={"training": twice.training.model_copy(update={"rollout_steps": 6})})

    def test_the_space_of_the_paper_starts_with_its_preset_after_the_default(self, root: Path):
        _, second = first_configs(root / "search_spaces" / "paper.yaml")
        assert second == preset("paper")

    def test_nothing_is_tried_first_that_would_run_as_an_earlier_one(self, tmp_path: Path):
        read = space_reader(tmp_path, flat_keys())
        one = read("""
            preparations: {as_default: {}, said: {suits: few samples, bridge.width: 1.0}}
            parameters:
              dynamics.depth: {kind: int, low: 1, high: 1}
              dynamics.steps: {kind: choice, values: [16]}
            first_trials:
              - {preparation: said, dynamics.depth: 1, dynamics.steps: 16}
        """)
        points = [*SearchOptions(shapes=frozenset({Shape.FEW})).first_points(one)]
        assert points == [("default preset", {"preparation": "as_default", "dynamics.depth": 1, "dynamics.steps": 16})]

    def test_the_nearest_point_of_a_grid_is_not_beyond_its_end(self, read: Reader):
        space = read("parameters: {training.learning_rate: {kind: float, low: 1e-3, high: 1e-2, step: 1e-3}}")
        assert space.nearest({"training.learning_rate": 0.01}) == {"training.learning_rate": 0.01}

    def test_an_ode_is_asked_for_nothing_that_only_a_cde_has(self, root: Path):
        space = Space.read(root / "search_spaces" / "default.yaml", flat_keys())
        only = {"dynamics.z_dim", "dynamics.time_channel", "dynamics.projection", "training.objective"}
        for params in sampled(space, 200):
            assert only & set(params) == (only if params["dynamics.kind"] == "cde" else set())

    def test_only_solvers_that_choose_their_steps_are_asked_for_a_tolerance(self, root: Path):
        space = Space.read(root / "search_spaces" / "default.yaml", flat_keys())
        for params in sampled(space, 200):
            solver = params.get("dynamics.solver")
            assert ("dynamics.rtol" in params) == (solver is not None and Solver(solver).adaptive)

    def test_every_value_of_a_grid_is_drawn_and_no_other(self, read: Reader):
        trials = sampled(read(SMALL), 500)
        assert {params["dynamics.depth"] for params in trials} == {1, 5, 9}
        assert {params["bridge.width"] for params in trials} == {0.0, 0.5, 1.0, 1.5}
        assert {params["dynamics.z_dim"] for params in trials if "dynamics.z_dim" in params} == {1, 2, 3, 4}

    def test_a_logarithmic_range_has_half_its_draws_below_its_geometric_mean(self, read: Reader):
        rates = [params["training.learning_rate"] for params in sampled(read(SMALL), 500)]
        assert 1e-3 <= min(rates) < max(rates) <= 1e-1
        assert sum(rate < 1e-2 for rate in rates) / len(rates) == pytest.approx(
            0.5, abs=0.08
        )  # 3.5 standard deviations

    def test_first_trials_come_first_and_as_they_are(self, read: Reader):
        space = read(SMALL)
        assert tuple(sampled(space, 4)[:2]) == space.first_trials

    def test_a_trial_gets_the_fixed_values_as_constants(self, read: Reader):
        space = read(SMALL)
        assert space(optuna.create_study().ask()) == {"dynamics.time": True}

    def test_the_same_seed_gives_the_same_trials(self, read: Reader):
        space = read(SMALL)
        assert sampled(space, 20, seed=3) == sampled(space, 20, seed=3) != sampled(space, 20, seed=4)

    def test_a_condition_may_hang_on_another_condition(self, read: Reader):
        space = read("""
            parameters:
              dynamics.time: {kind: choice, values: [true, false]}
              dynamics.kind: {kind: choice, values: [ode, cde], when: {dynamics.time: true}}
              dynamics.z_dim: {kind: int, low: 1, high: 2, when: {dynamics.kind: cde}}
        """)
        for params in sampled(space, 100):
            assert ("dynamics.kind" in params) == params["dynamics.time"]
            assert ("dynamics.z_dim" in params) == (params.get("dynamics.kind") == "cde")


class TestSpace:
    def test_it_survives_pickling_which_is_how_ray_keeps_it(self, read: Reader):
        space = read(SMALL)
        copy = pickle.loads(pickle.dumps(space))  # noqa: S301 - our own
        assert copy == space
        assert sampled(copy, 10) == sampled(space, 10)

    def test_its_digest_changes_with_what_is_searched_and_not_with_the_description(self, read: Reader):
        digest = read(SMALL).digest()
        assert read(SMALL.replace("Small fields", "Others")).digest() == digest
        for change in (("high: 9", "high: 5"), ("time: true", "time: false"), ("z_dim: 2", "z_dim: 3")):
            assert read(SMALL.replace(*change)).digest() != digest, change

    def test_a_key_can_be_fixed_from_outside_unless_it_is_searched(self, read: Reader):
        space = read(SMALL)
        fixed = space.fixing("dynamics.time", False)
        assert fixed(optuna.create_study().ask()) == {"dynamics.time": False}
        assert fixed.digest() != space.digest()
        with pytest.raises(InputError, match=r"`dynamics.kind`=cde was asked for, but the space searches it \(one of"):
            space.fixing("dynamics.kind", "cde")

    def test_dotted_keys_become_groups(self):
        flat = {"dynamics.kind": "ode", "dynamics.depth": 2, "bridge.width": 0.5}
        assert nest(flat) == {"dynamics": {"kind": "ode", "depth": 2}, "bridge": {"width": 0.5}}

    @pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.e-3", "1.0e-3", "+1e-3", "0.001"])
    def test_numbers_may_be_written_as_people_write_them(self, read: Reader, number: str):
        space = read(f"parameters: {{bridge.width: {{kind: float, low: {number}, high: 1}}}}")
        assert space.parameters["bridge.width"].corners()[0] == 0.001

    @pytest.mark.parametrize("word", ["e3", "1e", "e-3", "rk4", "1e3x"])
    def test_words_that_look_a_little_like_numbers_stay_words(self, read: Reader, word: str):
        space = read(f"parameters: {{dynamics.kind: {{kind: choice, values: [{word}]}}}}")
        assert space.parameters["dynamics.kind"].corners() == [word]


def can_be_used(flat: dict[str, Any]) -> None:
    """Raise InputError unless `flat` is a configuration."""
    ExperimentConfig.parse(nest(flat))


MISTAKES = {
    "kind": (
        "bridge.width: {kind: flaot, low: 0, high: 1}",
        r"`bridge.width`: has `kind`='flaot'; give one of choice, int",
    ),
    "no kind": ("bridge.width: {low: 0, high: 1}", r"`bridge.width`: has no `kind`; give one of choice, int, float"),
    "scalar": ("bridge.width: 1", r"`bridge.width`: is 1; give a mapping"),
    "order": ("bridge.width: {kind: float, low: 2, high: 1}", r"`low`=2 must not exceed `high`=1"),
    "log": ("bridge.width: {kind: float, low: 0, high: 1, log: true}", r"`low`=0 must be above 0 with `log: true`"),
    "log and step": (
        "dynamics.depth: {kind: int, low: 1, high: 3, step: 1, log: true}",
        r"`step` and `log: true` exclude",
    ),
    "grid": (
        "dynamics.depth: {kind: int, low: 1, high: 4, step: 2}",
        r"`high`=4 must be reached from `low`=1 in steps of 2",
    ),
    "step": ("dynamics.depth: {kind: int, low: 1, high: 4, step: 0}", r"`step`=0 must be above 0"),
    "text": ("bridge.width: {kind: float, low: small, high: 1}", r"`low`='small' is not allowed: .*valid number"),
    "infinite": ("bridge.width: {kind: float, low: 0, high: .inf}", r"`high`=inf is not allowed: .*finite"),
    "fraction": ("dynamics.depth: {kind: int, low: 1.5, high: 4}", r"`low`=1.5 is not allowed: .*valid integer"),
    "missing": ("dynamics.depth: {kind: int, low: 1}", r"`high` is missing; known: when, low, high, step, log, kind"),
    "option": (
        "dynamics.depth: {kind: int, low: 1, hi: 4, high: 4}",
        r"`hi` is not known here; known: when, low, high",
    ),
    "empty": ("dynamics.kind: {kind: choice, values: []}", r"`values`=\[\] is not allowed: .*at least 1 item"),
    "twice": ("dynamics.kind: {kind: choice, values: [1, ode, 1]}", r"`values` holds 1 twice"),
    "true is 1": ("dynamics.kind: {kind: choice, values: [1, true]}", r"`values` holds True twice"),
    "nested": (
        "dynamics.kind: {kind: choice, values: [[ode]]}",
        r"`values` holds \['ode'\]; give true or false, numbers or",
    ),
    "key": (
        "dynamics.dept: {kind: int, low: 1, high: 4}",
        r"`parameters` holds `dynamics.dept`, .*; known: dynamics.kind,",
    ),
}


class TestMistakes:
    @pytest.mark.parametrize(("line", "message"), MISTAKES.values(), ids=MISTAKES.keys())
    def test_a_parameter_that_cannot_be_meant_is_named(self, read: Reader, line: str, message: str):
        check_refused(read, f"parameters:\n  {line}\n", message)

    @pytest.mark.parametrize(
        ("when", "message"),
        [
            ("dynamics.time: true", r"`when` names `dynamics.time`, which must be .* above it: dynamics.kind\."),
            ("dynamics.z_dim: 1", r"`when` names `dynamics.z_dim`, which must be a choice that stands above it"),
            ("dynamics.depth: 1", r"`when` names `dynamics.depth`, which must be a choice that stands above it"),
            ("dynamics.kind: sde", r"waits for `dynamics.kind`='sde', which is never so; it is one of ode, cde"),
            ("dynamics.kind: [ode, sde]", r"waits for `dynamics.kind`='sde', which is never so"),
            ("dynamics.kind: true", r"waits for `dynamics.kind`=True, which is never so"),
        ],
    )
    def test_a_condition_that_can_never_hold_is_named(self, read: Reader, when: str, message: str):
        with pytest.raises(InputError, match=message):
            read(f"""
                parameters:
                  dynamics.kind: {{kind: choice, values: [ode, cde]}}
                  dynamics.depth: {{kind: int, low: 1, high: 3}}
                  dynamics.z_dim: {{kind: int, low: 1, high: 4, when: {{{when}}}}}
                  dynamics.time: {{kind: choice, values: [true, false]}}
            """)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ((" dynamics.depth: 5,", ""), r"leaves out `dynamics.depth`; give it a whole number from 1 to 9 in steps"),
            (("depth: 5,", "depth: 4,"), r"first trial 1 has `dynamics.depth`=4; it must be a whole number from 1"),
            (("depth: 5,", "depth: 5.0,"), r"`dynamics.depth`=5.0; it must be a whole number"),
            (("depth: 5,", "depth: true,"), r"`dynamics.depth`=True; it must be a whole number"),
            (("rate: 2e-2", "rate: 2"), r"`training.learning_rate`=2; it must be a number from 0.001 to 0.1"),
            (("kind: ode,", "kind: sde,"), r"`dynamics.kind`='sde'; it must be one of ode, cde"),
            (("kind: ode,", "kind: ode, dynamics.z_dim: 1,"), r"only where `dynamics.kind` is cde; remove it"),
            (("kind: ode,", "kind: ode, dynamics.time: true,"), r"holds `dynamics.time`, .* known: dynamics.kind"),
        ],
    )  # fmt: skip
    def test_a_first_trial_outside_the_space_is_named(self, read: Reader, change: tuple[str, str], message: str):
        with pytest.raises(InputError, match=message):
            read(SMALL.replace(*change))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("- a", r"the file must be a mapping, not \['a'\]"),
            ("", r"the file must be a mapping, not None"),
            ("params: {}", r"holds `params`, .*; known: description, preparations, parameters, fixed,"),
            ("parameters: {}", r"`parameters` is empty; name at least one"),
            ("parameters: [a]", r"`parameters` must be a mapping, not \['a'\]"),
            (f"{SMALL}    fixed: {{}}", r"line \d+: `fixed` stands here for the second time"),
            (SMALL.replace("time: true", "depth: 1"), r"`dynamics.depth` is both searched and fixed \(to 1\)"),
            (
                SMALL.replace("time: true", "tim: 1"),
                r"`fixed` holds `dynamics.tim`, which is not known; perhaps `dynamics.time` is meant; known: dynamics",
            ),
            (SMALL.replace("dynamics.depth:", "depth:"), r"holds `depth`, .* perhaps `dynamics.depth` is meant; kno"),
            (SMALL.replace("Small fields.", "[a]"), r"`description` must be text, not \['a'\]"),
            (SMALL[: SMALL.index("first")] + "first_trials: 3", r"`first_trials` must be a list of .*, not 3"),
            ("parameters: {a: 1", r"space.yaml, line 1: .*expected ',' or '}'"),
            ("parameters:\n\ta: 1", r"space.yaml, line 2: .*cannot start any token"),
            ("parameters: !!python/object:os.system {}", r"could not determine a constructor"),
        ],
    )  # fmt: skip
    def test_a_file_of_another_form_is_told(self, read: Reader, text: str, message: str):
        with pytest.raises(InputError, match=message) as caught:
            read(text)
        assert "\n" not in str(caught.value)

    def test_files_that_cannot_be_read_are_told(self, tmp_path: Path):
        for name, message in (
            ("none.yaml", r"none.yaml` cannot be read \(No such file"),
            ("space.json", r"no YAML file by its name; give one that ends in .yaml or .yml"),
        ):
            with pytest.raises(InputError, match=message):
                Space.read(tmp_path / name, KNOWN)
        (tmp_path / "latin.yaml").write_bytes(b"description: \xe9t\xe9")
        with pytest.raises(InputError, match="not text in UTF-8"):
            Space.read(tmp_path / "latin.yaml", KNOWN)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("dynamics.solver: {kind: choice, values: [rk4, rk5]}", r"`dynamics.solver`='rk5' is not allowed"),
            ("training.learning_rate: {kind: float, low: -1, high: 1}", r"`training.learning_rate`=-1"),
            # only within a range, also a long one
            (
                """
                  dynamics.hidden: {kind: int, low: 4, high: 8}
                  dynamics.heads: {kind: choice, values: [4]}""",
                r"`heads`=4 must divide `hidden`=5 \(in dynamics.hidden: 5, dynamics.heads: 4\)",
            ),
            ("dynamics.hidden: {kind: int, low: 4, high: 1000}", r"`heads`=2 must divide `hidden`=5 "),
            ("dynamics.depth: {kind: float, low: 1, high: 3, step: 1}", r"`dynamics.depth`: is of `kind: float`"),
            ("backbone.components: {kind: float, low: 1, high: 3}", r"holds whole numbers alone; give `kind: int`, or"),
            # only together, and only where a condition holds
            (
                """
                  dynamics.kind: {kind: choice, values: [ode, cde]}
                  dynamics.heads: {kind: choice, values: [1, 2, 3], when: {dynamics.kind: cde}}
                  dynamics.hidden: {kind: choice, values: [6, 16]}""",
                r"`heads`=3 must divide `hidden`=16 \(in dynamics.kind: cde, dynamics.heads: 3, dynamics.hidden: 16\)",
            ),
        ],
    )  # fmt: skip
    def test_values_that_no_trial_could_use_are_told_before_the_search(self, tmp_path: Path, text: str, message: str):
        file = tmp_path / "space.yaml"
        file.write_text(dedent(f"parameters:\n                  {text}\n"))
        with pytest.raises(InputError, match=message):
            Space.read(file, flat_keys(), can_be_used, whole_keys())

    def test_values_of_a_range_of_whole_numbers_are_tried_all_or_if_many_some_with_neighbours_and_both_ends(self):
        few, many = (IntRange(kind="int", low=3, high=high) for high in (9, 1000))
        assert few.corners() == [*range(3, 10)]
        tried = many.corners()
        assert (tried[:2], tried[-1], len(tried)) == ([3, 4], 1000, len({*tried}))
        assert len(tried) < 20
        assert IntRange(kind="int", low=8, high=40, step=8).corners() == [8, 16, 24, 32, 40]
