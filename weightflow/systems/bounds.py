"""Between which values a formula lies, whatever the state: interval arithmetic on MathML.

An interval of one point is a value: the same rules evaluate formulas of constants.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from itertools import pairwise

from weightflow.systems.mathml import RELATIONS, SYMBOLS, is_time, local, number, operator, pieces, text

Interval = tuple[float, float]
# Names of a model hold no space, so these are none of them.
TIME = " time"
WHOLE = " whole "  # before the name of what holds whole numbers alone
ANY: Interval = (-math.inf, math.inf)
NOT_NEGATIVE: Interval = (0.0, math.inf)
AVOGADRO = 6.02214076e23

CONSTANTS = {"pi": math.pi, "exponentiale": math.e, "true": 1.0, "false": 0.0, "infinity": math.inf}
WITHIN: Mapping[str, tuple[Callable[[float], float], Interval]] = {  # functions that are not monotone
    "sin": (math.sin, (-1.0, 1.0)),
    "cos": (math.cos, (-1.0, 1.0)),
    "cosh": (math.cosh, (1.0, math.inf)),
    "tan": (math.tan, ANY),
    "factorial": (math.gamma, NOT_NEGATIVE),
}
RISING: Mapping[str, Callable[[float], float]] = {
    "exp": math.exp,
    "ln": math.log,
    "floor": math.floor,
    "ceiling": math.ceil,
    "tanh": math.tanh,
    "arctan": math.atan,
    "sinh": math.sinh,
}


def bounds(node: ET.Element, known: Mapping[str, Interval]) -> Interval:
    """Return an interval that holds every value of a formula.

    Args:
        node: content MathML, without functions of the model.
        known: intervals of its symbols; what is not known may be anything. Conditions are 0 or 1.
    """
    if local(node) == "piecewise":
        return _pieces(node, known)
    return _apply(operator(node), node, known) if local(node) == "apply" else _symbol(node, known)


def _symbol(node: ET.Element, known: Mapping[str, Interval]) -> Interval:
    if local(node) == "ci":
        return known.get(text(node), ANY)
    if local(node) == "cn":
        return _point(number(node))
    if is_time(node):
        return known.get(TIME, NOT_NEGATIVE)
    if node.get("definitionURL") == SYMBOLS + "avogadro":
        return _point(AVOGADRO)
    return _point(CONSTANTS[local(node)]) if local(node) in CONSTANTS else ANY


def _point(at: float) -> Interval:
    return at, at


def is_zero(node: ET.Element, known: Mapping[str, Interval]) -> bool:
    """Tell whether a formula is always 0."""
    return bounds(node, known) == (0, 0)


def value(node: ET.Element, known: Mapping[str, Interval]) -> float | None:
    """Return the value of a formula of constants, None where it has no single one."""
    low, high = bounds(node, known)
    return low if low == high and math.isfinite(low) else None


def narrowed(known: Mapping[str, Interval], condition: ET.Element, holds: bool = True) -> dict[str, Interval]:
    """Return what is known where a condition holds, or does not; only comparisons with numbers say something."""
    found = dict(known)
    name = operator(condition)
    if name == ("and" if holds else "or"):
        for part in condition[1:]:
            found = narrowed(found, part, holds)
    if name == "not":
        return narrowed(found, condition[1], not holds)
    if name in RELATIONS[:4] and len(condition) == 3:
        below = name in {"lt", "leq"}
        for one, other, is_below in ((1, 2, below), (2, 1, not below)):
            if local(condition[one]) == "ci":
                low, high = found.get(text(condition[one]), ANY)
                limit = bounds(condition[other], known)
                pair = (low, min(high, limit[1])) if is_below == holds else (max(low, limit[0]), high)
                found[text(condition[one])] = pair
    return found


def _pieces(node: ET.Element, known: Mapping[str, Interval]) -> Interval:
    parts, otherwise = pieces(node)
    found: list[Interval] = []
    for formula, condition in parts:
        truth = bounds(condition, known)
        if truth != (0, 0):
            found.append(bounds(formula, narrowed(known, condition)))
        if truth == (1, 1):
            break
        known = narrowed(known, condition, holds=False)
    else:
        found.append(bounds(otherwise, known) if otherwise is not None else ANY)
    return min(low for low, _ in found), max(high for _, high in found)


def _apply(name: str, node: ET.Element, known: Mapping[str, Interval]) -> Interval:
    if name in BY_PARTS:
        return BY_PARTS[name](node, known)
    arguments = [bounds(part, known) for part in node[1:]]
    if name in RELATIONS:
        return _every([_compare(name, one, other) for one, other in pairwise(arguments)])
    if name in LOGIC:
        return LOGIC[name](arguments)
    if name in ARITHMETIC and arguments:
        return ARITHMETIC[name](arguments)
    if name in RISING and arguments:
        return _safe(RISING[name], arguments[0][0], -math.inf), _safe(RISING[name], arguments[0][1], math.inf)
    return _within(name, arguments[0]) if name in WITHIN and arguments else ANY


def _within(name: str, argument: Interval) -> Interval:
    function, within = WITHIN[name]
    low, high = argument
    shift = 1 if name == "factorial" else 0
    return _point(_safe(function, low + shift, math.inf)) if low == high and math.isfinite(low) else within


def _safe(function: Callable[[float], float], at: float, otherwise: float) -> float:
    if math.isinf(at):
        return {"exp": 0.0, "tanh": -1.0}.get(function.__name__, -math.inf) if at < 0 else otherwise
    try:
        return float(function(at))
    except (ValueError, OverflowError):
        return otherwise


def _times(one: Interval, other: Interval) -> Interval:
    corners = [0.0 if 0 in {a, b} else a * b for a in one for b in other]
    return min(corners), max(corners)


def _product(node: ET.Element, known: Mapping[str, Interval]) -> Interval:
    found: Interval = (1.0, 1.0)
    for part in node[1:]:
        found = _times(found, bounds(part, known))
    if found[0] >= 0 or found[1] <= 0:
        return found
    return _falling(list(_factors(node)), known) or found


def _factors(node: ET.Element) -> list[ET.Element]:
    return [factor for part in node[1:] for factor in _factors(part)] if operator(node) == "times" else [node]


def _falling(factors: list[ET.Element], known: Mapping[str, Interval]) -> Interval | None:
    """X (X - 1) (X - 2) .. is not negative for whole X that is not negative, though its factors may be."""
    counts: dict[str, set[float]] = {}
    others: Interval = (1.0, 1.0)
    for factor in factors:
        lower = _lowered(factor, known)
        if lower is not None:
            counts.setdefault(lower[0], set()).add(lower[1])
        else:
            others = _times(others, bounds(factor, known))
    whole = all(taken == set(range(len(taken))) for taken in counts.values())
    return _times(others, NOT_NEGATIVE) if whole and counts else None


def _lowered(node: ET.Element, known: Mapping[str, Interval]) -> tuple[str, float] | None:
    """Return the species and n of X - n."""
    if local(node) == "ci" and WHOLE + text(node) in known:
        return text(node), 0.0
    if operator(node) not in {"minus", "plus"} or len(node) != 3:
        return None
    first, second = node[1:] if operator(node) == "minus" or local(node[1]) == "ci" else (node[2], node[1])
    by = value(second, known)
    if by is None or WHOLE + text(first) not in known:
        return None
    return text(first), by if operator(node) == "minus" else -by


def _sum(arguments: list[Interval]) -> Interval:
    return sum((low for low, _ in arguments), 0.0), sum((high for _, high in arguments), 0.0)


def _minus(arguments: list[Interval]) -> Interval:
    negative = [(-high, -low) for low, high in arguments]
    return negative[0] if len(arguments) == 1 else _sum([arguments[0], *negative[1:]])


def _divide(arguments: list[Interval]) -> Interval:
    top, (low, high) = arguments
    if low < 0 < high:
        return ANY
    if high <= 0:
        return _divide([_minus([top]), (-high, -low)])
    if high == 0:
        return ANY
    return _times(top, (1 / high, 1 / low if low > 0 else math.inf))


def _power(arguments: list[Interval]) -> Interval:
    (low, high), (least, most) = arguments
    if low < 0 and least == most and least % 1 != 0:
        low, high = 0.0, max(high, 0.0)  # a root of what is negative has no value
    if low >= 0:
        corners = [_raise(base, exponent) for base in (low, high) for exponent in (least, most)]
        # base 1 lies between corners that are all above it
        return (min(corners), max(corners)) if least == most or low >= 1 else (0.0, max(*corners, 1.0))
    if least == most and least >= 0 and least % 2 == 0:
        return (
            (0.0, max(_raise(-low, least), _raise(abs(high), least))) if low < high else _point(_raise(abs(low), least))
        )
    if least == most and least > 0 and least % 1 == 0:
        return -_raise(-low, least), math.copysign(_raise(abs(high), least), high)
    return NOT_NEGATIVE if least == most and least % 2 == 0 else ANY


def _raise(base: float, exponent: float) -> float:
    if base == 0 and exponent < 0:
        return math.inf
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def _root(node: ET.Element, known: Mapping[str, Interval]) -> Interval:
    degree = next((bounds(part[0], known) for part in node if local(part) == "degree"), (2.0, 2.0))
    return _power([bounds(node[-1], known), _divide([(1.0, 1.0), degree])])


def _log(node: ET.Element, known: Mapping[str, Interval]) -> Interval:
    base = next((bounds(part[0], known) for part in node if local(part) == "logbase"), (10.0, 10.0))
    logs = [(_safe(math.log, low, -math.inf), _safe(math.log, high, math.inf)) for low, high in (base,)]
    low, high = bounds(node[-1], known)
    return _divide([(_safe(math.log, low, -math.inf), _safe(math.log, high, math.inf)), *logs])


def _abs(arguments: list[Interval]) -> Interval:
    low, high = arguments[0]
    return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))


def _rem(arguments: list[Interval]) -> Interval:
    (low, high), (least, most) = arguments
    if low == high and least == most and least and math.isfinite(low):
        return _point(math.fmod(low, least))
    return (0.0, most) if low >= 0 and least > 0 else ANY


BY_PARTS: Mapping[str, Callable[[ET.Element, Mapping[str, Interval]], Interval]] = {
    "root": _root,
    "log": _log,
    "times": _product,
}
ARITHMETIC: Mapping[str, Callable[[list[Interval]], Interval]] = {
    "plus": _sum,
    "minus": _minus,
    "divide": _divide,
    "power": _power,
    "abs": _abs,
    "rem": _rem,
    "min": lambda arguments: (min(low for low, _ in arguments), min(high for _, high in arguments)),
    "max": lambda arguments: (max(low for low, _ in arguments), max(high for _, high in arguments)),
}


def _compare(name: str, one: Interval, other: Interval) -> Interval:
    if name in {"gt", "geq"}:
        return _compare({"gt": "lt", "geq": "leq"}[name], other, one)
    if name == "lt":
        return float(one[1] < other[0]), float(one[0] < other[1])
    if name == "leq":
        return float(one[1] <= other[0]), float(one[0] <= other[1])
    equal = (float(one == other and one[0] == one[1]), float(one[0] <= other[1] and other[0] <= one[1]))
    return equal if name == "eq" else _not(equal)


def _not(truth: Interval) -> Interval:
    return 1.0 - truth[1], 1.0 - truth[0]


def _every(truths: list[Interval]) -> Interval:
    return min([low for low, _ in truths], default=1.0), min([high for _, high in truths], default=1.0)


def _some(truths: list[Interval]) -> Interval:
    return max([low for low, _ in truths], default=0.0), max([high for _, high in truths], default=0.0)


def _xor(truths: list[Interval]) -> Interval:
    if any(low != high for low, high in truths):
        return 0.0, 1.0
    return _point(float(sum(low for low, _ in truths) % 2))


LOGIC: Mapping[str, Callable[[list[Interval]], Interval]] = {
    "and": _every,
    "or": _some,
    "xor": _xor,
    "not": lambda truths: _not(truths[0]),
}
