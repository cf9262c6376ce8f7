"""The times at which a model switches: where a comparison of time, or its floor, takes another value.

The integrator holds rates still between two reactions, and looks for events after a reaction, so it is stopped at each
of these times. A switch is found to the last bit: it is the first time, as a float, that has the new value.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

import numpy as np

from weightflow.errors import InputError
from weightflow.systems.bounds import TIME, Interval, bounds, value
from weightflow.systems.mathml import MATH, RELATIONS, apply, ci, cn, has_time, is_time, names, operator, relations

Known = Mapping[str, Interval]
JUMPS = ("floor", "ceiling")
LINEAR = ("plus", "minus", "times", "divide")
SCANNED = 1000  # parts of the time span in which a switch of a curved formula is looked for

EARLIEST = 1e-290  # what happens at once at the start comes before every switch


class Marks:
    """Names for the comparisons of time alone in a model: parameters that are 1 while one holds, and 0 otherwise.

    The integrator sees the names, not time, and whoever drives it sets them at each switch.

    Args:
        known: see `bounds`.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self._names: dict[bytes, str] = {}
        self._relations: list[ET.Element] = []

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order in which the comparisons were met."""
        return tuple(self._names.values())

    def values(self, time: float) -> tuple[float, ...]:
        """Return which comparisons hold at a time, as 0 or 1."""
        return tuple(_evaluated(relation, self._known)(time) for relation in self._relations)

    def mark(self, formula: ET.Element) -> ET.Element:
        """Put names in the place of comparisons."""
        if operator(formula) in RELATIONS and is_of_time_alone(formula, self._known):
            key = b" ".join(ET.tostring(formula).split())
            if key not in self._names:
                self._names[key] = f"weightflow_holds_{len(self._names)}"
                self._relations.append(formula)
            return apply("gt", ci(self._names[key]), cn(0.5))
        new = ET.Element(formula.tag, formula.attrib)
        new.text, new.tail = formula.text, formula.tail
        new.extend(self.mark(part) for part in formula)
        return new

    def switches(self, formulas: Iterable[ET.Element], stop: float) -> list[float]:
        """Return the times in (0, stop] at which comparisons, or floors in other formulas, switch; increasing."""
        found: set[float] = set()
        for node in [*self._relations, *(step for formula in formulas for step in _steps(formula))]:
            if operator(node) in RELATIONS and is_linear(node):
                at = _threshold(node, self._known)
                found |= set() if at is None else {at}
            elif is_of_time_alone(node, self._known):
                found |= set(_scan(_evaluated(node, self._known), stop))
        return sorted({max(at, EARLIEST) for at in found if at <= stop})


def is_curved(node: ET.Element, known: Known) -> bool:
    """Tell whether time changes a formula between its switches too."""
    if is_time(node) or not has_time(node):
        return is_time(node)
    if operator(node) in {*RELATIONS, *JUMPS} and is_of_time_alone(node, known):
        return False
    return any(is_curved(part, known) for part in node)


def check_trigger(trigger: ET.Element, known: Known, event: str) -> None:
    """Refuse a trigger that cannot be followed to the last bit.

    Raises:
        InputError: a comparison mixes time with the state, or is not linear in time.
    """
    for relation in relations(trigger):
        exact = operator(relation) in RELATIONS[:4] and is_of_time_alone(relation, known) and is_linear(relation)
        if has_time(relation) and not exact:
            raise InputError(
                f"event `{event}` cannot happen at an exact time, since its trigger compares a function of `time` with "
                "the state, or is not linear in `time`; compare `time` with constants, as in `time > 2 && X < 5`."
            )


def is_of_time_alone(node: ET.Element, known: Known) -> bool:
    """Tell whether time is all that changes a formula."""
    return has_time(node) and all(value(ci(name), known) is not None for name in names(node))


def is_linear(relation: ET.Element) -> bool:
    """Tell whether a comparison is one of two formulas that are linear in time, where constants are multiplied."""
    applied = list(relation.iter(MATH + "apply"))[1:]
    simple = all(operator(part) in LINEAR for part in applied)
    divisors = [part[2] for part in applied if operator(part) == "divide"]
    factors = [part for part in applied if operator(part) == "times"]
    once = not any(map(has_time, divisors)) and all(sum(map(has_time, part[1:])) < 2 for part in factors)
    return len(relation) == 3 and simple and once


def _threshold(relation: ET.Element, known: Known) -> float | None:
    """Return the first time after 0 at which a comparison that is linear in time has its new value, if there is one."""
    gap = _evaluated(apply("minus", *relation[1:]), known)
    slope = gap(1.0) - gap(0.0)
    if slope == 0:
        return None
    at = -gap(0.0) / slope
    truth = _evaluated(relation, known)
    low, high = max(0.0, at - 1e-6 * (1 + abs(at))), at + 1e-6 * (1 + abs(at))
    return _flip(truth, low, high) if high > 0 and truth(low) != truth(high) else None


def _steps(formula: ET.Element) -> Iterable[ET.Element]:
    for node in formula.iter(MATH + "apply"):
        if operator(node) in JUMPS and has_time(node):
            yield node
        if operator(node) in {"rem", "quotient"} and has_time(node):
            yield apply("floor", apply("divide", *node[1:]))


def _evaluated(node: ET.Element, known: Known) -> Callable[[float], float]:
    return lambda time: bounds(node, {**known, TIME: (time, time)})[0]


def _flip(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the first float whose value is no longer that of `low`."""
    before = function(low)
    while (middle := low + (high - low) / 2) not in {low, high}:
        low, high = (middle, high) if function(middle) == before else (low, middle)
    return high


def _scan(function: Callable[[float], float], stop: float) -> Iterable[float]:
    for low, high in pairwise(np.linspace(0.0, stop, SCANNED + 1).tolist()):
        at = low
        while function(at) != function(high) and math.isfinite(function(at)):
            at = _flip(function, at, high)
            yield at
