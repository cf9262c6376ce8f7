"""The model as MLflow serves it. MLflow copies this file beside the model and runs it there.

model = mlflow.pyfunc.load_model("models:/NAME/VERSION")
model.predict(pandas.DataFrame({"time": [0.0, 12.5]}), {"answer": "quantiles", "levels": [0.05, 0.5, 0.95]})
"""

import base64
import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

sys.path.insert(0, str(Path(__file__).parent / "code" / "weightflow.zip"))  # which lies beside this file's copy alone

from weightflow.dynamics import Rollout, Solved
from weightflow.errors import InputError
from weightflow.model import WeightFlow, load

Params = Mapping[str, Any]
Answer = Callable[[WeightFlow, pd.DataFrame, Params], pd.DataFrame]
DEFAULTS: Params = {"answer": "samples", "draws": 1000, "seed": 0, "levels": [0.05, 0.5, 0.95], "encoding": "rows"}


class ServedModel(PythonModel):
    """Answers what its parameter `answer` asks for, at the times of the input, and under its conditions."""

    model: WeightFlow

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model directory; a path of the weights that no condition changes is solved once for all requests."""
        model = load(context.artifacts["model"])
        if model.conditions is None and isinstance(model.path, Rollout):
            model = replace(model, path=Solved(model.path))
        self.model = model

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> Any:
        """Return a table; with the encoding `npy` its numbers as one array.

        Raises:
            MlflowException: the input or a parameter cannot be used; its text says what to do, and reaches a client.
        """
        chosen = {**DEFAULTS, **(params or {})}
        try:
            answer, encode = _one_of(ANSWERS, "answer", chosen), _one_of(ENCODINGS, "encoding", chosen)
            return encode(_under_each(self.model, answer, model_input, chosen))
        except InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


def samples(model: WeightFlow, asked: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Return `time`, `draw` and a column for each species: one row for each time and draw."""
    return model.to_frame(_times(asked), int(params["draws"]), int(params["seed"]))


def log_density(model: WeightFlow, asked: pd.DataFrame, _: Params) -> pd.DataFrame:
    """Return the input with a column `log_density`, in nats: the input has a column for each species."""
    missing = [name for name in model.species if name not in asked]
    if missing:
        raise InputError(
            f"the input has no column `{missing[0]}`; a density needs `time` and {', '.join(model.species)}."
        )
    times, places = _times(asked), asked[list(model.species)].to_numpy(dtype=np.float64)
    found = np.empty(len(times))
    for time in np.unique(times):  # the weights of a time serve all of its rows
        found[times == time] = model.log_prob(places[times == time], time).numpy()
    return asked.assign(log_density=found)


def marginals(model: WeightFlow, asked: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Return `time`, `species`, `count` and its `probability`; the last count stands for all from there on."""
    times = _times(asked)
    found = model.marginals(times, int(params["draws"]), int(params["seed"]))
    return _long(found.numpy(), {"time": times, "species": model.species, "count": range(found.shape[2])})


def quantiles(model: WeightFlow, asked: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Return `time`, `level` and a column for each species."""
    times, levels = _times(asked), np.atleast_1d(np.asarray(params["levels"], dtype=np.float64))
    found = model.quantiles(times, levels, int(params["draws"]), int(params["seed"])).numpy()
    rows = pd.MultiIndex.from_product([times, levels], names=["time", "level"]).to_frame(index=False)
    return rows.assign(**dict(zip(model.species, found.reshape(len(rows), -1).T, strict=True)))


def moments(model: WeightFlow, asked: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Return `time`, `species`, its `mean`, and a column `cov_NAME` for its covariance with each species."""
    times, species = _times(asked), model.species
    found = model.mean_and_cov(times, int(params["draws"]), int(params["seed"]))
    rows = pd.MultiIndex.from_product([times, species], names=["time", "species"]).to_frame(index=False)
    covariances = found.cov.reshape(len(rows), -1).T.numpy()
    named = dict(zip([f"cov_{name}" for name in species], covariances, strict=True))
    return rows.assign(mean=found.mean.reshape(-1).numpy(), **named)


def _under_each(model: WeightFlow, answer: Answer, asked: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Answer the rows of each condition by the model under it; its covariates are the first columns of the answer.

    Answers come in the order in which conditions are first named. Log-densities stay beside the rows that were sent.
    """
    if asked.empty:
        raise InputError("the input has no rows; ask for at least one time.")
    if model.conditions is None:
        return answer(model, asked, params)
    names = list(model.conditions.names)
    missing = [name for name in names if name not in asked]
    if missing:
        raise InputError(
            f"the input has no column `{missing[0]}`; this model is asked under conditions: give each row "
            f"{', '.join(names)} beside its time."
        )
    found: list[pd.DataFrame] = []
    numbered = asked.reset_index(drop=True)  # rows may come with any index, and with the same one twice
    for point, rows in numbered.groupby(names, sort=False, dropna=False):
        at = dict(zip(names, (one.item() if isinstance(one, np.generic) else one for one in point), strict=True))
        table = answer(model.under(at), rows, params)
        found.append(table if answer is log_density else pd.concat([_columns_of(at, len(table)), table], axis=1))
    if answer is log_density:
        return pd.concat(found).sort_index().set_axis(asked.index)
    return pd.concat(found, ignore_index=True)


def _columns_of(at: Mapping[str, Any], rows: int) -> pd.DataFrame:
    return pd.DataFrame({name: [value] * rows for name, value in at.items()})


def _times(asked: pd.DataFrame) -> np.ndarray:
    try:
        return asked["time"].to_numpy(dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        raise InputError("the input needs a column `time` of numbers, in the units of the data.") from None


def _long(values: np.ndarray, axes: Mapping[str, Any]) -> pd.DataFrame:
    rows = pd.MultiIndex.from_product(list(axes.values()), names=list(axes)).to_frame(index=False)
    return rows.assign(probability=values.reshape(-1))


def _columns(table: pd.DataFrame) -> dict[str, Any]:
    return {str(name): column.tolist() for name, column in table.items()}


def _npy(table: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers as one array, as `numpy.save` writes it, in base64: a row for each row of the table."""
    numbers = table.select_dtypes("number")
    file = io.BytesIO()
    np.save(file, numbers.to_numpy(), allow_pickle=False)
    return {"columns": list(numbers), "npy": base64.b64encode(file.getvalue()).decode()}


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    return table


def _one_of(known: Mapping[str, Any], name: str, params: Params) -> Any:
    value = params[name]
    if value not in known:
        raise InputError(f"`{name}`={value!r} is not known; known are {', '.join(known)}.")
    return known[value]


ANSWERS: Mapping[str, Answer] = {
    "samples": samples,
    "log_density": log_density,
    "marginals": marginals,
    "quantiles": quantiles,
    "moments": moments,
}
ENCODINGS: Mapping[str, Callable[[pd.DataFrame], Any]] = {"rows": _rows, "columns": _columns, "npy": _npy}
set_model(ServedModel())
