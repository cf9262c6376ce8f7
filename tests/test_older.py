"""What earlier versions have left: read, or refused with what to do. All files in `older` were written by these.

`search.json` and `model-1.json` are of a search at commit b87f50d, `model-2.json` of one at c660753, the studies of the
same search at 39da0ff and d0f2049, up to the end of its first trial, and so is the piece of d0f2049's cache.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import weightflow
from weightflow.cache import ArrayCache
from weightflow.data import Protocol, split
from weightflow.errors import InputError
from weightflow.experiment import ExperimentConfig, Preparation, nest
from weightflow.files import read_arrays
from weightflow.search.folder import STUDY
from weightflow.search.study.reading import best_points, read_study
from weightflow.trials import TrialState

OLDER = Path(__file__).parent / "older"
STUDIES = ["study-39da0ff.log", "study-d0f2049.log"]
FIXED = {
    "anchors.base_steps": 40,
    "anchors.steps": 30,
    "teacher.steps": 40,
    "dynamics.hidden": 8,
    "dynamics.heads": 1,
    "dynamics.steps": 6,
    "training.epochs": 3,
    "training.collocation_steps": 5,
    "training.rollout_steps": 2,
}
SPACE = f"""
parameters:
  dynamics.kind: {{kind: choice, values: [ode, cde]}}
  training.learning_rate: {{kind: choice, values: [0.003, 0.01]}}
fixed: {{{", ".join(f"{key}: {value}" for key, value in FIXED.items())}}}
first_trials:
  - {{dynamics.kind: ode, training.learning_rate: 0.01}}
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """The data and the space of those searches, and an empty folder of the name that they had."""
    rng = np.random.default_rng(0)
    survival = np.exp(-np.outer(np.arange(13), [0.15, 0.06]))
    np.save(tmp_path / "counts.npy", np.stack([rng.binomial(9, p, (40, 2)) for p in survival], 1))
    (tmp_path / "space.yaml").write_text(SPACE)
    (tmp_path / "runs" / "old").mkdir(parents=True)
    return tmp_path


def search(workplace: Path, name: str | None = None, resume: str | None = None) -> None:
    weightflow.tune(
        weightflow.read(workplace / "counts.npy"),
        space=workplace / "space.yaml",
        protocol="interpolation",
        out=workplace / "runs",
        progress=False,
        name=name,
        resume=resume,
    )


@pytest.mark.parametrize("what", ["name", "resume"])
def test_a_search_that_was_kept_in_one_json_file_is_refused_with_a_way_on(what: str, workplace: Path) -> None:
    old = workplace / "runs" / "old"
    shutil.copy(OLDER / "search.json", old)
    refused = r"search of an early version.*cannot go on with it.*Start anew under another `--name`.*`first_trials`"
    with pytest.raises(InputError, match=refused):
        search(workplace, **{what: "old"})
    with pytest.raises(InputError, match=refused):
        best_points(old)
    assert [path.name for path in old.iterdir() if path.name != ".lock"] == ["search.json"]


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_whose_trials_were_scored_otherwise_does_not_go_on(study: str, workplace: Path) -> None:
    old = workplace / "runs" / "old"
    shutil.copy(OLDER / study, old / STUDY)
    with pytest.raises(InputError, match=r"cannot go on.*Start anew under another `--name`, with `--warm-start old`"):
        search(workplace, resume="old")
    assert (old / STUDY).read_bytes() == (OLDER / study).read_bytes()


@pytest.mark.parametrize("study", STUDIES)
def test_trials_of_an_older_study_can_be_read_and_begin_a_new_search(study: str, workplace: Path) -> None:
    old = workplace / "runs" / "old"
    shutil.copy(OLDER / study, old / STUDY)
    about, (trial,) = read_study(old)
    assert about["identity"]["data"]["digest"] == weightflow.read(workplace / "counts.npy").snapshots.digest()
    assert (trial.number, trial.state, trial.epochs) == (0, TrialState.FINISHED, 3)
    assert trial.score == trial.history[-1]["score"] == 14.286216735839844
    assert best_points(old) == ({"dynamics.kind": "ode", "training.learning_rate": 0.003, **FIXED},)


@pytest.mark.parametrize("number", [1, 2])
def test_a_model_of_an_older_format_is_to_be_fitted_again(number: int, tmp_path: Path) -> None:
    shutil.copy(OLDER / f"model-{number}.json", tmp_path / "config.json")
    with pytest.raises(InputError, match=rf"has format {number} .* reads 3, 4, 5, 6, 7 and 8; fit it again"):
        weightflow.load(tmp_path)


def test_a_model_of_format_7_forecasts_as_it_did_by_its_field(tmp_path: Path) -> None:
    times = np.arange(4.0)
    data = weightflow.Snapshots(times, tuple(np.random.default_rng(k).normal(k, 1.0, (40, 1)) for k in range(4)))
    groups = nest({key: value for key, value in FIXED.items() if key != "dynamics.steps"})
    made = weightflow.fit(data, ExperimentConfig.parse({**groups, "bridge": {"drift_steps": 0}}))
    made.save(tmp_path / "new")
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    assert (config["format"], config.pop("coasts")) == (8, True)
    (tmp_path / "old" / "config.json").write_text(json.dumps({**config, "format": 7}))
    new, old = (weightflow.load(tmp_path / name) for name in ("new", "old"))
    asked = np.array([1.5, 3.0, 4.0, 6.0])
    drawn, as_made, by_field = (model.sample(asked, 500, seed=0).numpy() for model in (new, made, old))
    np.testing.assert_array_equal(drawn, as_made)
    np.testing.assert_allclose(drawn[:2], by_field[:2], rtol=1e-5)  # marks of a longer solution
    assert (np.abs(drawn[2:] - by_field[2:]).mean(axis=(1, 2)) > 1e-5).all()  # inside rounding makes 1e-8


def test_a_piece_of_an_older_cache_is_no_hit_and_stays_where_it_is(workplace: Path) -> None:
    (piece,) = OLDER.glob("base-*.safetensors")
    shutil.copy(piece, workplace)
    fitted = split(weightflow.read(workplace / "counts.npy"), Protocol.INTERPOLATION, 0).folds[0].fit
    preparation = Preparation(fitted, ExperimentConfig.parse(nest(FIXED)), 0)
    older, facts = read_arrays(piece)
    assert facts["data"] == preparation.depends_on("base")["data"]  # it is of these very data, which are hashed as then
    cache = ArrayCache(workplace)
    for depends_on in (facts, preparation.depends_on("base")):
        assert cache.get("base", depends_on) is None
    made = cache.get_or_make("base", facts, lambda: {"tokens": older["tokens"] + 1})
    np.testing.assert_array_equal(made["tokens"], older["tokens"] + 1)
    np.testing.assert_array_equal(read_arrays(workplace / piece.name)[0]["tokens"], older["tokens"])
