"""The named preparations of a search space: sets of values of what is made once and shared by many trials.

    preparations:
      as_default: {}
      long_path: {suits: turning, teacher.length: 1.0e-3}
      small_backbone: {suits: few samples, backbone.hidden: 4}

Base, anchors, bridge and teacher take as long as several trials. A sampler that chose each of their values by itself
would ask for another preparation in nearly every trial. Here it chooses among a few whole sets, by the one parameter
`preparation`; a trial's configuration holds the values.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weightflow.data import Shape
from weightflow.errors import InputError, nearest_first
from weightflow.experiment import PREPARED, ExperimentConfig, flatten
from weightflow.trials import PREPARATION

SUITS = "suits"
Values = Mapping[str, Any]


@dataclass(frozen=True)
class NamedPreparation:
    """One of the sets.

    Attributes:
        values: by dotted key, of all keys that any of the sets names: whichever is chosen says all of them.
        suits: features of data for which it is tried early.
    """

    values: Values
    suits: tuple[Shape, ...] = ()

    def content(self) -> dict[str, Any]:
        """Return it as plain values, in the form of a file."""
        return {SUITS: [shape.value for shape in self.suits], **self.values}


def parse_preparations(section: object, known: Collection[str]) -> dict[str, NamedPreparation]:
    """Validate the sets of a file; `known` are the configuration keys that exist.

    Raises:
        InputError: the message says what was given and what is allowed.
    """
    if not isinstance(section, dict):
        raise InputError(f"`preparations` must map names to mappings of values, not {section!r}.")
    given = {str(name): _values(f"the preparation `{name}`", own, known) for name, own in section.items()}
    keys = dict.fromkeys(key for values in given.values() for key in values if key != SUITS)
    default = flatten(ExperimentConfig())
    return {
        name: NamedPreparation(
            {key: values.get(key, default[key]) for key in keys}, _suits(name, values.get(SUITS, []))
        )
        for name, values in given.items()
    }


def expanded(chosen: Values, fixed: Values, preparations: Mapping[str, Values]) -> dict[str, Any]:
    """Return the configuration of a trial by dotted keys: what is fixed, what its preparation says, what was chosen.

    Preparations are given by the values of each, or in the form of a file.
    """
    name = chosen.get(PREPARATION)
    prepared = {} if name is None else preparations[name]
    values = {**fixed, **prepared, **chosen}
    return {key: value for key, value in values.items() if key not in {PREPARATION, SUITS}}


def nearest(values: Values, preparations: Mapping[str, NamedPreparation]) -> str:
    """Return the name of the set that differs in the fewest keys from a whole configuration, the first of several."""
    return min(
        preparations,
        key=lambda name: sum(values[key] != value for key, value in preparations[name].values.items()),
    )


def _values(what: str, own: object, known: Collection[str]) -> dict[str, Any]:
    if not isinstance(own, dict):
        raise InputError(f"{what} must be a mapping of values, not {own!r}; write `{{}}` for the default's.")
    possible = [key for key in known if key.partition(".")[0] in PREPARED]
    for key in own:
        if key in possible or key == SUITS:
            continue
        if key in known:
            raise InputError(f"{what} holds `{key}`, on which no preparation depends; search it under `parameters`.")
        raise InputError(f"{what} holds `{key}`, which is not known; {nearest_first(key, (SUITS, *possible))}.")
    return own


def _suits(name: str, given: object) -> tuple[Shape, ...]:
    words: Sequence[object] = given if isinstance(given, list) else [given]
    for word in words:
        if word not in [*Shape]:
            known = ", ".join(Shape)
            raise InputError(f"the preparation `{name}` has `{SUITS}`={word!r}, which is not known; known: {known}.")
    return tuple(Shape(str(word)) for word in words)
