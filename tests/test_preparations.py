"""Named preparations of a space: what they say, which suit which data, and how a trial's configuration holds them."""

from pathlib import Path

import numpy as np
import optuna
import pytest
from spaces import Reader, check_refused, space_reader

from weightflow import Snapshots
from weightflow.data import Dataset, Protocol, Shape, shapes
from weightflow.errors import InputError
from weightflow.experiment import ExperimentConfig, flat_keys, flatten, nest, prepares_as, preset
from weightflow.search.search import Search
from weightflow.search.space.space import Space
from weightflow.search.study.options import SearchOptions
from weightflow.search.study.reading import read_study, space_of
from weightflow.search.study.study import Study
from weightflow.search.trials.table import short_names
from weightflow.tracking import TrackingConfig
from weightflow.types import Kind

TEXT = """
    preparations:
      as_default: {}
      long_path: {suits: turning, teacher.length: 1e-3, teacher.steps: 1400}
      small: {suits: [few samples, turning], backbone.hidden: 4}
    parameters:
      dynamics.kind: {kind: choice, values: [ode, cde]}
      training.pull_back: {kind: float, low: 1, high: 10, when: {preparation: [long_path, small]}}
    fixed:
      training.epochs: 4
    first_trials:
      - {preparation: small, dynamics.kind: cde, training.pull_back: 2}
"""


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Read a space from text, as a search does."""

    return space_reader(tmp_path, flat_keys(), lambda flat: ExperimentConfig.parse(nest(flat)))


def at_means(means: np.ndarray, n: int, seed: int = 0, spread: float = 1.0) -> Snapshots:
    """Gaussian snapshots with these means, of shape (time, species)."""
    rng = np.random.default_rng(seed)
    clouds = tuple(mean + spread * rng.normal(size=(n, means.shape[1])) for mean in means)
    kinds = (Kind.CONTINUOUS,) * means.shape[1]
    return Snapshots(np.arange(len(means), dtype=float), clouds, tuple("abcdefgh")[: means.shape[1]], kinds)


ANGLES = np.linspace(0, 2 * np.pi, 9)
CIRCLE = 5 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


class TestShapes:
    def test_a_cycle_turns_and_half_of_one_does_not(self):
        # a mean goes through its range twice in a cycle; in half of one, one species does so once, the other one twice
        # through a range that is half as wide: (2 + 2) / (2 + 1) = 4/3 of the ranges
        assert Shape.TURNING in shapes(at_means(CIRCLE, 200))
        assert Shape.TURNING not in shapes(at_means(CIRCLE[:5], 200))

    def test_what_goes_one_way_does_not_turn_in_however_many_species_and_what_comes_back_does(self):
        one_after_another = 5 * np.clip(np.arange(9)[:, None] - np.arange(8), 0, 1.0)
        assert Shape.TURNING not in shapes(at_means(one_after_another, 200))
        there_and_back = np.array([[0.0], [4.0], [8.0], [4.0], [0.0]])
        assert Shape.TURNING in shapes(at_means(there_and_back, 200))

    @pytest.mark.parametrize("n", [2, 20, 200])
    def test_means_that_differ_by_chance_do_not_turn(self, n: int):
        still = np.zeros((9, 2))
        assert sum(Shape.TURNING in shapes(at_means(still, n, seed)) for seed in range(20)) <= 1

    def test_samples_are_few_below_a_hundred_and_many_from_five_hundred_on(self):
        found = {n: shapes(at_means(np.arange(4.0)[:, None], n)) for n in (1, 99, 100, 499, 500)}
        few, many = frozenset({Shape.FEW}), frozenset({Shape.MANY})
        assert found == {1: few, 99: few, 100: frozenset(), 499: frozenset(), 500: many}

    def test_units_do_not_matter(self):
        snapshots = at_means(CIRCLE, 50)
        scaled = tuple(cloud * [1e-9, 1e9] for cloud in snapshots.samples)
        other = Snapshots(snapshots.times, scaled, snapshots.species, snapshots.kinds)
        assert shapes(other) == shapes(snapshots) == {Shape.TURNING, Shape.FEW}


class TestConfigurations:
    def test_a_preparation_is_one_choice_and_its_values_are_in_the_configuration(self, read: Reader):
        space = read(TEXT)
        assert [*space.parameters] == ["preparation", "dynamics.kind", "training.pull_back"]
        point = {"preparation": "long_path", "dynamics.kind": "ode", "training.pull_back": 3.0}
        assert space.configuration(point) == {
            "training.epochs": 4, "dynamics.kind": "ode", "training.pull_back": 3.0,
            "teacher.length": 1e-3, "teacher.steps": 1400, "backbone.hidden": 8,
        }  # fmt: skip

    def test_what_a_set_does_not_name_has_the_defaults_value(self, read: Reader):
        configuration = read(TEXT).configuration({"preparation": "as_default", "dynamics.kind": "ode"})
        default = flatten(preset("default"))
        keys = ("teacher.length", "teacher.steps", "backbone.hidden")
        assert {key: configuration[key] for key in keys} == {key: default[key] for key in keys}

    def test_a_condition_may_hang_on_the_preparation(self, read: Reader):
        space = read(TEXT)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.optimize(lambda trial: float(len(space(trial))), n_trials=50)
        for trial in study.trials:
            assert ("training.pull_back" in trial.params) == (trial.params["preparation"] != "as_default")

    def test_presets_and_earlier_configurations_find_the_nearest_set(self, read: Reader):
        space, default = read(TEXT), flatten(preset("default"))
        assert space.nearest(default)["preparation"] == "as_default"
        near = {**default, "teacher.length": 1e-3, "teacher.steps": 1400, "backbone.hidden": 16}
        assert space.nearest(near)["preparation"] == "long_path"

    @pytest.mark.parametrize(
        ("found", "names"),
        [
            (frozenset(), []),
            ({Shape.FEW}, ["small"]),
            ({Shape.MANY}, []),
            ({Shape.TURNING}, ["long_path", "small"]),
        ],
    )
    def test_the_default_comes_first_then_what_suits_the_data_then_the_rest(
        self, read: Reader, found: frozenset[Shape], names: list[str]
    ):
        points = [*SearchOptions(shapes=frozenset(found)).first_points(read(TEXT))]
        assert [point["preparation"] for _, point in points] == ["as_default", *names, "as_default", "small"]
        assert [origin for origin, _ in points] == [
            "default preset", *["suits the data"] * len(names), "paper preset", "first trial",
        ]  # fmt: skip
        for (_, point), name in zip(points[1:], names, strict=False):
            # the default in all but its preparation
            assert point == {"preparation": name, "dynamics.kind": "ode", "training.pull_back": 5.0}

    def test_the_space_that_a_study_tells_of_is_the_same_space(self, read: Reader):
        space = read(TEXT)
        again = Space.of_content(space.content(), flat_keys())
        assert again == space
        assert again.content() == space.content()

    def test_a_space_without_preparations_has_the_content_that_it_always_had(self, read: Reader):
        plain = read("parameters: {dynamics.hidden: {kind: int, low: 8, high: 16, step: 2}}")
        assert sorted(plain.content()) == ["first_trials", "fixed", "order", "parameters"]
        assert [*plain.parameters] == ["dynamics.hidden"]
        assert Space.of_content(plain.content(), flat_keys()) == plain

    def test_searches_of_earlier_versions_are_still_the_same_search(self, read: Reader):
        earlier = """
            parameters:
              dynamics.kind: {kind: choice, values: [ode, cde]}
              backbone.hidden: {kind: int, low: 4, high: 8, step: 4}
              training.learning_rate: {kind: float, low: 1.0e-3, high: 1.0e-2, log: true, when: {dynamics.kind: cde}}
            fixed:
              bridge.width: 0.5
            first_trials:
              - {dynamics.kind: ode, backbone.hidden: 4}
        """
        assert read(earlier).digest() == "9ee4c06866969abf"  # by commit b220750, which knew no preparations

    def test_a_search_that_knew_no_preparations_goes_on_with_the_space_that_its_study_tells_of(
        self, read: Reader, tmp_path: Path
    ):
        space = read("parameters: {backbone.hidden: {kind: int, low: 4, high: 8}}")
        about = {"space": space.content()}
        begun = Study(tmp_path, space, SearchOptions(), 4, 1, 0, about, {})
        first = begun.next_trial()
        begun.close()
        kept = space_of(tmp_path)
        assert kept is not None
        assert kept == space.content()
        again = Space.of_content(kept, flat_keys())
        study = Study(
            tmp_path, again, SearchOptions(), 4, 1, 0, {"space": again.content()}, {}
        )  # or else it is refused
        resumed = study.next_trial()
        assert first is not None
        assert resumed is not None
        assert (resumed.number, resumed.params, resumed.preparation) == (0, first.params, "")
        study.close()

    def test_preparations_alone_can_be_searched(self, read: Reader):
        space = read("preparations: {as_default: {}, small: {backbone.hidden: 4}}")
        assert [point["preparation"] for point in space.points()] == ["as_default", "small"]

    def test_other_values_are_another_search(self, read: Reader):
        digest = read(TEXT).digest()
        assert read(TEXT.replace("1400", "1500")).digest() != digest
        assert read(TEXT.replace("suits: turning", "suits: many samples")).digest() != digest


MISTAKES = {
    "unknown key": (
        "a: {teacher.lenght: 1}",
        r"the preparation `a` holds `teacher.lenght`, which is not known; perhaps `teacher.length` is meant; known: s",
    ),
    "no part of a preparation": (
        "a: {dynamics.hidden: 4}",
        r"the preparation `a` holds `dynamics.hidden`, on which no preparation depends; search it under `parameters`",
    ),
    "value": ("a: {teacher.length: -1}", r"`teacher.length`=-1 is not allowed.*in preparation: a"),
    "feature": ("a: {suits: cyclic}", r"`a` has `suits`='cyclic', which is not known; known: turning, few samples, ma"),
    "no mapping": ("a: 3", r"the preparation `a` must be a mapping of values, not 3; write `\{\}` for the default's"),
    "list": ("[a]", r"`preparations` must map names to mappings of values, not \['a'\]"),
    "searched too": ("a: {backbone.hidden: 4}", r"`backbone.hidden` stands under `parameters` and in `preparations`"),
    "fixed too": ("a: {bridge.width: 0.5}", r"`bridge.width` is both searched and fixed \(to 1\)"),
}


class TestMistakes:
    @pytest.mark.parametrize(("sets", "message"), MISTAKES.values(), ids=MISTAKES.keys())
    def test_a_set_that_cannot_be_meant_is_named(self, read: Reader, sets: str, message: str):
        text = f"""
            preparations: {{{sets}}}
            parameters: {{backbone.hidden: {{kind: int, low: 4, high: 8}}}}
            fixed: {{bridge.width: 1}}
        """
        if sets.startswith("["):
            text = text.replace("{[a]}", "[a]")
        check_refused(read, text, message)

    def test_a_first_trial_names_its_preparation(self, read: Reader):
        with pytest.raises(InputError, match="leaves out `preparation`; give it one of as_default, long_path, small"):
            read(TEXT.replace("{preparation: small, ", "{"))

    def test_an_option_that_would_change_a_set_is_refused(self, read: Reader):
        with pytest.raises(InputError, match=r"`teacher.steps`=3 was asked for, but `preparations` of the space set"):
            read(TEXT).fixing("teacher.steps", 3)


class TestSearches:
    def test_trials_of_a_study_hold_the_values_whoever_reads_it(self, read: Reader, tmp_path: Path):
        space = read(TEXT)
        study = Study(
            tmp_path, space, SearchOptions(shapes=frozenset({Shape.FEW})), 4, 1, 0, {"space": space.content()}, {}
        )
        first, second = study.next_trial(), study.next_trial()
        assert first is not None
        assert second is not None
        assert (first.preparation, first.params["backbone.hidden"]) == ("as_default", 8)
        assert (second.preparation, second.params["backbone.hidden"]) == ("small", 4)
        assert second.params["training.epochs"] == 4
        assert "preparation" not in second.params
        ExperimentConfig.parse(nest(second.params))
        study.close()
        assert [(r.preparation, r.params) for r in read_study(tmp_path)[1]] == [
            (r.preparation, r.params) for r in (first, second)
        ]
        kept = space_of(tmp_path)
        assert kept is not None
        assert Space.of_content(kept, flat_keys()) == space
        assert space_of(tmp_path / "elsewhere") is None

    def test_as_many_are_prepared_beforehand_as_no_worker_waits_for(self, read: Reader, tmp_path: Path):
        def search(space: Space, times: int, trials: int = 32) -> Search:
            snapshots = at_means(np.arange(float(times))[:, None] * [1, 2], 40)
            dataset = Dataset("data", snapshots, tuple(range(times)), paired=False)
            tracking = TrackingConfig(tracking_uri="sqlite:///runs.db")
            return Search(dataset, Protocol.AUTO, space, tracking, "a", tmp_path, 0, SearchOptions(trials=trials))

        def hidden(search: Search, workers: int) -> list[tuple[int, float]]:
            return [(config.backbone.hidden, config.teacher.length) for config in search.beforehand(workers)]

        default, small, long_path = (8, 1e-2), (4, 1e-2), (8, 1e-3)
        few = search(read(TEXT), 5)  # the default, then what suits few samples, then the rest
        folds = len(few.parts.folds)
        assert folds == 4
        assert hidden(few, 1) == hidden(few, folds) == hidden(few, 2 * folds - 1) == [default]
        assert hidden(few, 2 * folds) == [default, small]
        assert hidden(few, 100 * folds) == [default, small, long_path]
        assert hidden(search(read(TEXT), 5, trials=1), 100) == [default]
        assert few.shared_config == few.preparing[0]
        once = read(TEXT.replace("backbone.hidden: 4", "backbone.hidden: 8"))  # two names of one preparation
        assert hidden(search(once, 5), 100) == [default, long_path]

    def test_a_preparation_that_no_data_like_these_can_have_is_told_before_the_search(
        self, read: Reader, tmp_path: Path
    ):
        rng = np.random.default_rng(0)
        clouds = tuple(rng.poisson(5000, (40, 1)).astype(float) for _ in range(5))
        counts = Snapshots(np.arange(5.0), clouds, ("a",), (Kind.COUNTS,))
        dataset = Dataset("data", counts, (0, 1, 2, 3, 4), paired=False)
        space = read("preparations: {as_default: {}, every: {backbone.head: softmax}}")
        tracking = TrackingConfig(tracking_uri="sqlite:///runs.db")
        with pytest.raises(InputError, match=r"`backbone.head`=softmax has a weight for every count"):
            Search(dataset, Protocol.AUTO, space, tracking, "a", tmp_path, 0, SearchOptions()).check()

    def test_configurations_prepare_alike_where_they_differ_in_phi_alone(self):
        default = preset("default")
        assert prepares_as(preset("default", dynamics={"kind": "cde"}, training={"epochs": 3})) == prepares_as(default)
        for group, values in {"bridge": {"width": 0.5}, "anchors": {"steps": 2}, "teacher": {"steps": 2}}.items():
            assert prepares_as(preset("default", **{group: values})) != prepares_as(default)

    def test_a_table_calls_the_preparation_by_its_name(self):
        assert short_names(["preparation", "dynamics.kind"]) == {"preparation": "preparation", "dynamics.kind": "kind"}
