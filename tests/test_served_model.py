"""What a served model answers: the same as the model itself, in the form that was asked for, or one plain line."""

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from models import model_of, numbers, of_counts

import weightflow
from weightflow import Snapshots, WeightFlow
from weightflow.experiment import ExperimentConfig

if TYPE_CHECKING:
    from weightflow.tracking.served_model import ServedModel

TIMES = [12.0, 15.0]
# MLflow warns of type hints of its own when its part for models is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType")


@pytest.fixture(scope="module")
def model() -> WeightFlow:
    return of_counts()


@pytest.fixture(scope="module")
def served(model: WeightFlow, tmp_path_factory: pytest.TempPathFactory) -> "ServedModel":
    return serving(model, tmp_path_factory)


def serving(model: WeightFlow, folders: pytest.TempPathFactory) -> "ServedModel":
    from mlflow.pyfunc.model import PythonModelContext  # not above: importing it warns

    from weightflow.tracking.served_model import ServedModel

    folder = folders.mktemp("served")
    model.save(folder)
    served = ServedModel()
    served.load_context(PythonModelContext({"model": str(folder)}, {}))
    return served


def ask(served: "ServedModel", table: dict[str, Any] | pd.DataFrame, **params: Any) -> Any:
    from mlflow.pyfunc.model import PythonModelContext

    return served.predict(PythonModelContext({}, {}), pd.DataFrame(table), params)


def test_samples_are_those_of_the_model_in_every_encoding(served: "ServedModel", model: WeightFlow) -> None:
    rows = ask(served, {"time": TIMES}, draws=7, seed=3)
    expected = model.sample(TIMES, 7, seed=3).numpy()
    np.testing.assert_array_equal(rows[list(model.species)], expected.reshape(14, 3))
    columns = ask(served, {"time": TIMES}, draws=7, seed=3, encoding="columns")
    assert columns == {name: values.tolist() for name, values in rows.items()}
    packed = ask(served, {"time": TIMES}, draws=7, seed=3, encoding="npy")
    array = np.load(io.BytesIO(base64.b64decode(packed["npy"])), allow_pickle=False)
    assert packed["columns"] == ["time", "draw", *model.species]
    np.testing.assert_array_equal(array, rows.to_numpy())


def test_log_densities_are_those_of_each_row_at_its_time(served: "ServedModel", model: WeightFlow) -> None:
    times, places = [15.0, 12.0, 15.0], np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 3.0], [2.0, 2.0, 2.0]])
    table = ask(served, {"time": times, **dict(zip(model.species, places.T, strict=True))}, answer="log_density")
    expected = [float(model.log_prob(place, time)) for place, time in zip(places, times, strict=True)]
    np.testing.assert_allclose(table["log_density"], expected, rtol=1e-12)


def test_marginals_quantiles_and_moments_are_those_of_the_model(served: "ServedModel", model: WeightFlow) -> None:
    marginals = ask(served, {"time": TIMES}, answer="marginals")
    by_axis = marginals["probability"].to_numpy().reshape(2, 3, -1)
    np.testing.assert_array_equal(by_axis, model.marginals(TIMES, 1000).numpy())
    np.testing.assert_allclose(marginals.groupby(["time", "species"])["probability"].sum(), 1.0, rtol=1e-6)
    quantiles = ask(served, {"time": TIMES}, answer="quantiles", levels=[0.1, 0.9])
    assert quantiles["level"].tolist() == [0.1, 0.9, 0.1, 0.9]
    expected = model.quantiles(TIMES, [0.1, 0.9], 1000).numpy()
    np.testing.assert_array_equal(quantiles[list(model.species)], expected.reshape(4, 3))
    moments, known = ask(served, {"time": TIMES}, answer="moments"), model.mean_and_cov(TIMES, 1000)
    np.testing.assert_array_equal(moments["mean"], known.mean.reshape(-1))
    names = [f"cov_{name}" for name in model.species]
    np.testing.assert_array_equal(moments[names], known.cov.reshape(6, 3))


@pytest.mark.parametrize(
    ("table", "params", "said"),
    [
        ({"time": [1.0]}, {}, "ask for times in that range"),
        ({"time": ["soon"]}, {}, "needs a column `time` of numbers"),
        ({"time": []}, {}, "ask for at least one time"),
        ({"zeit": [12.0]}, {}, "needs a column `time` of numbers"),
        ({"time": [12.0]}, {"draws": 0}, "ask for at least one"),
        ({"time": [12.0]}, {"answer": "mean"}, "known are samples, log_density, marginals, quantiles, moments"),
        ({"time": [12.0]}, {"encoding": "csv"}, "known are rows, columns, npy"),
        ({"time": [12.0]}, {"answer": "log_density"}, "the input has no column `A`"),
        ({"time": [12.0]}, {"answer": "quantiles", "levels": [2.0]}, "2"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_line(
    served: "ServedModel", table: dict[str, Any], params: dict[str, Any], said: str
) -> None:
    with pytest.raises(MlflowException) as error:
        ask(served, table, **params)
    assert error.value.error_code == "INVALID_PARAMETER_VALUE"
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_marginals_of_continuous_species_are_refused_as_the_model_refuses_them(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with pytest.raises(MlflowException, match="continuous"):
        ask(serving(model_of(numbers()), tmp_path_factory), {"time": [12.0]}, answer="marginals")


@pytest.fixture(scope="module")
def of_conditions(tmp_path_factory: pytest.TempPathFactory) -> "ServedModel":
    """A model of doses with two drugs, of one species."""
    rng = np.random.default_rng(0)
    courses = {
        (dose, drug): Snapshots(np.array([0.0, 1.0]), (rng.normal(0, 1, (40, 1)), rng.normal(shift * dose, 1, (40, 1))))
        for drug, shift in (("a", 1.0), ("b", -1.0))
        for dose in (1.0, 3.0)
    }
    options = {
        "dynamics": {"kind": "direct"},
        "bridge": {"drift_steps": 0},
        "anchors": {"base_steps": 5, "steps": 2},
        "teacher": {"steps": 30, "draws": 16, "rounds": 1, "width": 16},
    }
    data = Snapshots.of_conditions(courses, ("dose", "drug"))
    return serving(weightflow.fit(data, ExperimentConfig.parse(options)), tmp_path_factory)


def test_a_model_of_conditions_is_asked_under_those_in_each_row(of_conditions: "ServedModel") -> None:
    model = of_conditions.model
    rows = {"time": [0.5, 1.0, 0.5], "dose": [2, 3, 2], "drug": ["b", "a", "b"]}
    b, a = {"dose": 2.0, "drug": "b"}, {"dose": 3.0, "drug": "a"}
    table = ask(of_conditions, rows, draws=4)
    assert list(table.columns) == ["dose", "drug", "time", "draw", "x1"]
    assert table["drug"].tolist() == ["b"] * 8 + ["a"] * 4
    np.testing.assert_array_equal(table["x1"][:8], model.sample([0.5, 0.5], 4, at=b).numpy().ravel())
    np.testing.assert_array_equal(table["x1"][8:], model.sample([1.0], 4, at=a).numpy().ravel())
    levels = ask(of_conditions, rows, answer="quantiles", levels=[0.25])
    assert float(levels["x1"].iloc[-1]) == float(model.quantiles(1.0, 0.25, 1000, at=a))
    assert {"dose", "drug"} < set(ask(of_conditions, rows, answer="moments").columns)


def test_log_densities_under_conditions_stay_beside_the_rows_that_were_sent(of_conditions: "ServedModel") -> None:
    model = of_conditions.model
    rows = {"x1": [0.1, 0.2, 0.3], "time": [0.5, 1.0, 0.5], "dose": [2.0, 3.0, 2.0], "drug": ["b", "a", "b"]}
    table = ask(of_conditions, rows, answer="log_density")
    expected = [
        float(model.log_prob([x], t, at={"dose": dose, "drug": drug}))
        for x, t, dose, drug in zip(*rows.values(), strict=True)
    ]
    np.testing.assert_allclose(table["log_density"], expected, rtol=1e-6)
    assert table["x1"].tolist() == rows["x1"]
    again = ask(of_conditions, pd.DataFrame(rows, index=[7, 7, 0]), answer="log_density")
    np.testing.assert_array_equal(again["log_density"], table["log_density"])
    assert again.index.tolist() == [7, 7, 0]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"time": [0.5]}, "no column `dose`; this model is asked under conditions: give each row dose, drug"),
        ({"time": [0.5], "dose": [2.0], "drug": ["c"]}, "`drug=c` was never seen"),
        ({"time": [0.5], "dose": [None], "drug": ["a"]}, "`dose=nan` is no finite number"),
        ({"time": [], "dose": [], "drug": []}, "ask for at least one time"),
    ],
)
def test_conditions_that_cannot_be_asked_are_said(of_conditions: "ServedModel", table: dict[str, Any], said: str):
    with pytest.raises(MlflowException, match=said) as error:
        ask(of_conditions, table)
    assert "\n" not in str(error.value)
