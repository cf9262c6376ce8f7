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
        return self.model.to_frame(times, int(chosen["draws"]), int(chosen["seed"]))


set_model(ServedModel())
