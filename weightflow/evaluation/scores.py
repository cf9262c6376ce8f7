"""Scores by method, metric and time, and the file that holds them."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from weightflow.card import Carded, Facts
from weightflow.data import at_times
from weightflow.data.words import written
from weightflow.errors import InputError
from weightflow.rng import generator

FORMAT = 1
UNSEEN, FITTED = "unseen times", "fitted times"  # where a model is scored that was fitted before, instead of a protocol
MODEL, FLOOR, MCCANN = "model", "floor", "mccann"
SHRUNK = "shrunk_truth"  # a sample of the truth at half its spread: no method, but a warning beside transport distances
LINE_BETWEEN = "weights_line_between_conditions"
# what the model's own fit yields besides: no user has these without it
VARIANTS = ("direct", "weights_line", LINE_BETWEEN)
# By a proper score nothing is better on average than the truth. Transport between finite clouds in many dimensions is
# none: it prefers too little spread.
PROPER = ("energy_distance", "nll", "sliced_w1", "sliced_w2")
LEVEL = 0.95  # how often an interval holds the true mean
FEWEST_GROUPS = 8  # of fewer, too many resamples would be one group again and again
RESAMPLES = 2000


@cache
def _resampled(groups: int) -> Int[np.ndarray, "resample group"]:
    """Return which groups each resample holds: the same for all scores, which are then the same in each run."""
    return generator(0, "bootstrap").integers(groups, size=(RESAMPLES, groups))


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float

    @property
    def half(self) -> float:
        """Half of its width."""
        return (self.high - self.low) / 2

    @classmethod
    def of(cls, centre: float, groups: Sequence[float]) -> "Interval":
        """Return the bootstrap-t interval around `centre` from independent values of the same mean.

        Groups are drawn again with replacement; how far their mean is then off, in units of its own standard error,
        is how far `centre` may be (Efron 1982, *The jackknife, the bootstrap and other resampling plans*, chapter 10).
        Percentiles of the resampled means would be some 10 % too narrow for so few groups.
        """
        values = np.asarray(groups)
        again = values[_resampled(len(values))]
        errors = again.std(axis=1, ddof=1)
        off = (again.mean(axis=1) - values.mean())[errors > 0] / errors[errors > 0]
        low, high = np.quantile(off, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(off) else (0.0, 0.0)
        error = values.std(ddof=1)
        return cls(float(centre - high * error), float(centre - low * error))


@dataclass(frozen=True, repr=False)
class Scores(Carded):
    """What each method scored at each time by each metric; lower is better.

    Not every method has every metric: baselines have no density, and so no likelihood.

    Attributes:
        protocol: what was fitted and what is scored.
        draws: the largest number of samples compared at one time.
        floor: where the method `floor` comes from, and with what sample sizes.
        times: the scored times, in the data's units.
        methods: method -> metric -> one score for each time.
        groups: method -> metric -> the mean score over times of each of some independent groups of samples (see
            `weightflow.evaluation.grouping`); missing where no interval is known. Equal places of two methods other
            than the floor stand for the same test samples.
        selected: whether the model's configuration was chosen by scores at these very times.
        data: digest of the scored snapshots; empty where that is not known. Scores of equal data can be compared.
        places: where conditions were left out, each scored condition and time in words; `times` then counts them.
    """

    protocol: str
    draws: int
    floor: str
    times: tuple[float, ...]
    methods: Mapping[str, Mapping[str, tuple[float, ...]]]
    groups: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    selected: bool = False
    data: str = ""
    places: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for method, by_metric in self.methods.items():
            for metric, by_time in by_metric.items():
                if len(by_time) != len(self.times):
                    raise InputError(
                        f"`{method}` has {len(by_time)} scores by `{metric}` for {len(self.times)} times; "
                        "give one for each time."
                    )

    def _card(self) -> tuple[str, Facts]:
        means = [
            (metric, ", ".join(f"{one} {self.mean(one, metric):.4g}" for one in self.methods if self.has(one, metric)))
            for metric in self.metrics
        ]
        return "Scores (means, lower is better)", [("protocol", self.protocol), ("scored", self.where), *means]

    @property
    def where(self) -> str:
        """Where it was scored, in words: at which times, or under which conditions at which times."""
        return "; ".join(self.places) if self.places else at_times(self.times)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that any method has, in the order of the table; in many dimensions proper ones lead."""
        found = list(dict.fromkeys(metric for by_metric in self.methods.values() for metric in by_metric))
        leading = [metric for metric in PROPER if metric in found] if self.many_dimensions else []
        return (*leading, *(metric for metric in found if metric not in leading))

    @property
    def many_dimensions(self) -> bool:
        """Whether there are so many species that transport between clouds rewards too little spread."""
        return SHRUNK in self.methods

    def rewards_shrinking(self, metric: str) -> bool:
        """Whether the truth at half its spread scores better by the metric than the truth itself."""
        measured = self.has(SHRUNK, metric) and self.has(FLOOR, metric)
        return measured and self.mean(SHRUNK, metric) < self.mean(FLOOR, metric)

    @property
    def leading(self) -> str:
        """The metric that a headline goes by: the energy distance, or else the first one that the model has."""
        having = [metric for metric in self.metrics if self.has(MODEL, metric)]
        return next((metric for metric in having if metric == PROPER[0]), having[0])

    @property
    def alternatives(self) -> tuple[str, ...]:
        """Names of what a user could take instead of the model: all that is neither of its fit nor the truth's."""
        return tuple(method for method in self.methods if method not in (MODEL, *VARIANTS, SHRUNK, FLOOR))

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the methods that come out of the model's own fit."""
        return tuple(method for method in self.methods if method in VARIANTS)

    @property
    def ordered(self) -> tuple[str, ...]:
        """Names of all methods as tables have them: the model, alternatives, variants, and what the truth scores."""
        order = (MODEL, *self.alternatives, *self.variants, SHRUNK, FLOOR)
        return tuple(method for method in order if method in self.methods)

    def has(self, method: str, metric: str) -> bool:
        """Whether the method was scored by the metric."""
        return metric in self.methods.get(method, {})

    def scored(self, metric: str) -> tuple[str, ...]:
        """Names of the methods that were scored by the metric."""
        return tuple(method for method in self.methods if self.has(method, metric))

    def mean(self, method: str, metric: str, after: float | None = None, until: float | None = None) -> float:
        """Return the mean score over the times t with `after` < t <= `until`, where these are given.

        With the second seen time as `until` this is the score in the first interval, and as `after` that in all others.

        Raises:
            InputError: as for `by_time`, or there is no such time.
        """
        low, high = (-np.inf if after is None else after), (np.inf if until is None else until)
        values = [v for v, t in zip(self.by_time(method, metric), self.times, strict=True) if low < t <= high]
        if not values:
            raise InputError(
                f"no scored time lies after {written(low)} and not after {written(high)}; they go from "
                f"{written(min(self.times))} to "
                f"{written(max(self.times))}: choose other bounds."
            )
        return float(np.mean(values))

    def by_time(self, method: str, metric: str) -> tuple[float, ...]:
        """Return one score for each time.

        Raises:
            InputError: the method or the metric was not scored.
        """
        if not self.has(method, metric):
            raise InputError(
                f"there is no score of `{method}` by `{metric}`; methods are {', '.join(self.methods)}, "
                f"metrics {', '.join(self.metrics)}."
            )
        return self.methods[method][metric]

    def interval(self, method: str, metric: str) -> Interval | None:
        """Return the interval of the mean over all times; None where it is not known."""
        groups = self.groups.get(method, {}).get(metric, ())
        return Interval.of(self.mean(method, metric), groups) if len(groups) >= FEWEST_GROUPS else None

    def difference(self, method: str, rival: str, metric: str) -> Interval | None:
        """Return the interval of mean(method) - mean(rival), both scored on the same data; None where it is not known.

        What the test samples do to both alike cancels, so that it is narrower than those of the two means tell.
        """
        pair = [self.groups.get(name, {}).get(metric, ()) for name in (method, rival)]
        if FLOOR in (method, rival) or len(pair[0]) != len(pair[1]) or len(pair[0]) < FEWEST_GROUPS:
            return None
        centre = self.mean(method, metric) - self.mean(rival, metric)
        return Interval.of(centre, [a - b for a, b in zip(*pair, strict=True)])

    @classmethod
    def joined(cls, parts: Sequence["Scores"]) -> "Scores":
        """Join scores at different times into one, as of a benchmark that leaves out one time after another.

        Only methods and metrics that all parts have are kept. The test samples of the parts must be independent, or
        one trajectory must be in one group in all of them, for the intervals to hold.

        Raises:
            InputError: there is no part, or they differ in protocol or draws, or a time occurs twice.
        """
        _check_joinable(parts)
        parts = sorted(parts, key=lambda part: part.times)
        first = parts[0]
        common = {
            method: [metric for metric in by_metric if all(part.has(method, metric) for part in parts)]
            for method, by_metric in first.methods.items()
        }
        times = tuple(time for part in parts for time in part.times)
        order = np.argsort(times)
        methods = {
            method: {metric: _joined_times(parts, method, metric, order) for metric in metrics}
            for method, metrics in common.items()
            if metrics
        }
        groups = {
            method: {metric: _joined_groups(parts, method, metric) for metric in by} for method, by in methods.items()
        }
        label = _joined_labels([part.floor for part in parts])
        selected = any(part.selected for part in parts)
        return cls(first.protocol, first.draws, label, tuple(sorted(times)), methods, groups, selected)

    def to_json(self) -> str:
        """Return the text of the score file.

        Beside what was scored it holds intervals, which methods are alternatives and which variants of the model, and
        under `differences` how the model differs from each of them.
        """
        methods = {
            method: {metric: self._entry(method, metric) for metric in by_metric}
            for method, by_metric in self.methods.items()
        }
        head: dict[str, Any] = {"format": FORMAT, "protocol": self.protocol, "draws": self.draws, "floor": self.floor}
        head |= {"selected": self.selected, "data": self.data}
        head |= {"places": list(self.places)} if self.places else {}
        head |= {"alternatives": list(self.alternatives), "variants": list(self.variants)}
        values = {**head, "times": list(self.times), "methods": methods, "differences": self._differences()}
        return json.dumps(values, allow_nan=False, indent=1) + "\n"

    def _entry(self, method: str, metric: str) -> dict[str, Any]:
        interval = self.interval(method, metric)
        known = {} if interval is None else {"interval": [interval.low, interval.high]}
        groups = self.groups.get(method, {}).get(metric, ())
        return {
            "mean": self.mean(method, metric),
            **known,
            "by_time": list(self.by_time(method, metric)),
            **({"groups": list(groups)} if groups else {}),
        }

    def _differences(self) -> dict[str, dict[str, Any]]:
        differences: dict[str, dict[str, Any]] = {}
        for rival in (*self.alternatives, *self.variants):
            for metric in self.metrics:
                interval = self.difference(MODEL, rival, metric)
                if interval is not None:
                    mean = self.mean(MODEL, metric) - self.mean(rival, metric)
                    differences.setdefault(rival, {})[metric] = {
                        "mean": mean,
                        "interval": [interval.low, interval.high],
                    }
        return differences

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
        groups = {
            method: {metric: tuple(map(float, entry["groups"])) for metric, entry in by.items() if "groups" in entry}
            for method, by in values["methods"].items()
        }
        times = tuple(map(float, values["times"]))
        known = {method: by_metric for method, by_metric in groups.items() if by_metric}
        places = tuple(map(str, values.get("places", ())))
        later = values.get("selected", False), values.get("data", ""), places  # what older files do not tell
        return cls(values["protocol"], values["draws"], values["floor"], times, methods, known, *later)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the score file; whoever reads it sees the old one or the new one, never half of it."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(self.to_json(), encoding="utf-8")
        temporary.replace(path)


def _check_joinable(parts: Sequence[Scores]) -> None:
    if not parts:
        raise InputError("there are no scores to join; give one for each part.")
    for name in ("protocol", "draws"):
        if len(different := {getattr(part, name) for part in parts}) > 1:
            raise InputError(
                f"the scores to join differ in `{name}` ({', '.join(sorted(map(str, different)))}); "
                "join those of one benchmark."
            )
    times = [time for part in parts for time in part.times]
    if len(set(times)) < len(times):
        twice = next(time for time in times if times.count(time) > 1)
        raise InputError(f"t={written(twice)} was scored twice; give each left-out time once.")


def _joined_times(parts: Sequence[Scores], method: str, metric: str, order: np.ndarray) -> tuple[float, ...]:
    values = [value for part in parts for value in part.by_time(method, metric)]
    return tuple(values[i] for i in order)


def _joined_groups(parts: Sequence[Scores], method: str, metric: str) -> tuple[float, ...]:
    """Mean of each group over all times; nothing where the parts have other groups."""
    groups = [part.groups.get(method, {}).get(metric, ()) for part in parts]
    if len({len(one) for one in groups}) > 1:
        return ()
    weights = [len(part.times) for part in parts]
    return tuple(map(float, np.average(groups, axis=0, weights=weights))) if groups[0] else ()


def _joined_labels(labels: Sequence[str]) -> str:
    """Return one label for all, with ranges where they differ in numbers only."""
    pieces = [re.split(r"(\d[\d,]*\d|\d)", label) for label in labels]
    if len({tuple(piece[::2]) for piece in pieces}) > 1:
        return "; ".join(dict.fromkeys(labels))
    return "".join(
        same[0] if len(set(same)) == 1 else f"{min(same, key=_number)} to {max(same, key=_number)}"
        for same in zip(*pieces, strict=True)
    )


def _number(text: str) -> int:
    return int(text.replace(",", ""))
