"""A model for those who have NumPy alone: weights at some times, and a reader that needs nothing of this package."""

import json
import os
from pathlib import Path

import numpy as np

from weightflow.errors import InputError
from weightflow.files import whole, write_text
from weightflow.model import reader
from weightflow.model.asked import Numbers, array_of
from weightflow.model.flow import WeightFlow

WEIGHTS, READER = "weights.npz", "reader.py"


def export_model(model: WeightFlow, times: Numbers, folder: str | os.PathLike[str]) -> None:
    """Write `weights.npz` and `reader.py` into `folder`; `reader.Model(folder)` samples and evaluates at `times`.

    Weights keep their precision, and there is no pickle in the file: what is no number is JSON.

    Raises:
        InputError: as for `WeightFlow.weights`, or the folder cannot be written.
    """
    wanted, folder = np.atleast_1d(array_of("times", times)), Path(folder)
    backbone = model.backbone
    facts = {
        "species": list(model.species),
        "kinds": [kind.value for kind in model.kinds],
        "unit": model.unit,
        "layers": [(layer.rows, layer.fan_in) for layer in backbone.layout.layers],
        **backbone.model_dump(mode="json", include={"core", "heads", "order", "constant"}),
    }
    tokens = model.weights(wanted).numpy()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / WEIGHTS) as draft, draft.open("wb") as file:
            np.savez_compressed(file, times=wanted, tokens=tokens, facts=np.array(json.dumps(facts)))
        write_text(folder / READER, Path(reader.__file__).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"`{folder}` cannot be written ({error.strerror}); choose another place.") from error
