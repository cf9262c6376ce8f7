"""Scores by method, metric and time, and the file that holds them."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weightflow.errors import InputError

FORMAT = 1
MODEL, FLOOR, MCCANN = "model", "floor", "mccann"


@dataclass(frozen=True)
class Scores:
    """What each method scored at each time by each metric; lower is better.

    Attributes:
        protocol: what was fitted and what is scored.
        draws: the largest number of samples compared at one time.
        floor: where the method `floor` comes from, and with what sample sizes.
        times: the scored times, in the data's units.
        methods: method -> metric -> one score for each time.
    """

    protocol: str
    draws: int
    floor: str
    times: tuple[float, ...]
    methods: Mapping[str, Mapping[str, tuple[float, ...]]]

    def __post_init__(self) -> None:
        for method, by_metric in self.methods.items():
            for metric, by_time in by_metric.items():
                if len(by_time) != len(self.times):
                    raise InputError(
                        f"`{method}` has {len(by_time)} scores by `{metric}` for {len(self.times)} times; "
                        "give one for each time."
                    )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, in the order of the table."""
        return tuple(next(iter(self.methods.values()), {}))

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of the methods that are neither the model nor the floor."""
        return tuple(method for method in self.methods if method not in (MODEL, FLOOR))

    def mean(self, method: str, metric: str) -> float:
        """Return the mean score over times."""
        return float(np.mean(self.by_time(method, metric)))

    def by_time(self, method: str, metric: str) -> tuple[float, ...]:
        """Return one score for each time.

        Raises:
            InputError: the method or the metric was not scored.
        """
        if method not in self.methods or metric not in self.methods[method]:
            raise InputError(
                f"there is no score of `{method}` by `{metric}`; methods are {', '.join(self.methods)}, "
                f"metrics {', '.join(self.metrics)}."
            )
        return self.methods[method][metric]

    def to_json(self) -> str:
        """Return the text of the score file."""
        methods = {
            method: {
                metric: {"mean": self.mean(method, metric), "by_time": list(by_time)}
                for metric, by_time in by_metric.items()
            }
            for method, by_metric in self.methods.items()
        }
        head = {"format": FORMAT, "protocol": self.protocol, "draws": self.draws, "floor": self.floor}
        return json.dumps({**head, "times": list(self.times), "methods": methods}, allow_nan=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Scores":
        """Read the text of a score file.

        Raises:
            InputError: it is no score file of this format.
        """
        try:
            return cls._from_values(json.loads(text))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"this is no score file of format {FORMAT} ({error!r}); score again.") from error

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> "Scores":
        if values["format"] != FORMAT:
            raise InputError(f"the score file has format {values['format']}, but format {FORMAT} is read; score again.")
        methods = {
            method: {metric: tuple(map(float, entry["by_time"])) for metric, entry in by_metric.items()}
            for method, by_metric in values["methods"].items()
        }
        return cls(values["protocol"], values["draws"], values["floor"], tuple(map(float, values["times"])), methods)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the score file; whoever reads it sees the old one or the new one, never half of it."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(self.to_json(), encoding="utf-8")
        temporary.replace(path)
