"""The model as MLflow serves it. MLflow copies this file beside the model and runs it there.

model = mlflow.pyfunc.load_model("models:/NAME/VERSION")
model.predict(pandas.DataFrame({"time": [0.0, 12.5]}), {"draws": 100, "seed": 0})
"""

from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from weightflow.model import WeightFlow, load
from weightflow.types import Kind


class ServedModel(PythonModel):
    """Samples at the times asked for, in long form."""

    model: WeightFlow

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model directory."""
        self.model = load(context.artifacts["model"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return one row for each time and draw: `time`, `draw` and a column for each species."""
        times = model_input["time"].to_numpy(dtype=np.float64)
        chosen = {"draws": 1000, "seed": 0, **(params or {})}
        draws = int(chosen["draws"])
        samples = self.model.sample(times, draws, int(chosen["seed"])).numpy()
        table = pd.DataFrame({"time": np.repeat(times, draws), "draw": np.tile(np.arange(draws), len(times))})
        for i, (name, kind) in enumerate(zip(self.model.species, self.model.kinds, strict=True)):
            values = samples[:, :, i].reshape(-1).astype(np.int64 if kind is Kind.COUNTS else np.float64)
            table.insert(i + 2, name, values, allow_duplicates=True)
        return table


set_model(ServedModel())
