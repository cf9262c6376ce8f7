"""A reaction's law, as the rates of the events that it stands for: one direction, or two.

A law that is a difference is the net rate of two directions, each of which happens by chance on its own: `A -> B` at
0.2 A - 0.2 B is `A => B` at 0.2 A and `B => A` at 0.2 B. One reaction at the net rate would come to rest where both are
equal. The split P - N is exact where it is the only one: N is what remains of the law when the reactants are used up,
P vanishes then, N vanishes when the products are used up, neither is ever negative, and no terms of the two, as they
are written, have cancelled each other.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from weightflow.errors import InputError
from weightflow.systems.bounds import Interval, bounds, is_zero, narrowed, value
from weightflow.systems.mathml import apply, cn, local, names, operator, pieces, piecewise, replaced

Known = Mapping[str, Interval]


@dataclass(frozen=True)
class Side:
    """One side of a reaction, as far as the reaction uses it up.

    Attributes:
        needs: how many molecules of each species it takes.
        per_molecule: by how much one molecule changes a species' value in formulas; None: not always the same.
        lost: species of which fewer are left afterwards, or which stand for a pool outside the model.
    """

    needs: Mapping[str, float]
    per_molecule: Mapping[str, float | None]
    lost: frozenset[str]

    def available(self, known: Known) -> dict[str, Interval]:
        """Return what is known where the reaction can happen."""
        found = dict(known)
        for name, count in self.needs.items():
            unit, (low, high) = self.per_molecule[name], found[name]
            found[name] = (low, high) if unit is None else (max(low, count * unit), high)
        return found


@dataclass(frozen=True)
class Law:
    """A rate law.

    Attributes:
        text: the formula, in terms of species, parameters and time alone.
        reaction, model: what messages call it.
        reversible: whether the model says that it goes both ways.
        sides: reactants and products.
        known: see `bounds`.
        species: all names of species.
    """

    text: ET.Element
    reaction: str
    model: str
    reversible: bool
    sides: tuple[Side, Side]
    known: Known
    species: frozenset[str]

    def split(self) -> ET.Element | tuple[ET.Element, ET.Element]:
        """Return the rate of the one direction, or those of the two.

        Raises:
            InputError: the law can be negative, and no two directions say the same.
        """
        before, after = self.sides
        if bounds(self.text, before.available(self.known))[0] >= 0:
            return self.text
        forward, back = self._parts(_unfolded(self.text, before.available(self.known)), self.known)
        return forward if is_zero(back, after.available(self.known)) else (forward, back)

    def _parts(self, law: ET.Element, known: Known) -> tuple[ET.Element, ET.Element]:
        before = self.sides[0].available(known)
        if bounds(law, before)[0] >= 0 or not names(law) & self.species:  # time alone: its sign is seen at each time
            return law, cn(0.0)
        if local(law) == "piecewise":
            return self._pieces(law, known)
        if bounds(law, before)[1] <= 0:
            raise InputError(f"{self._subject} is never positive, but a rate is not negative; turn the reaction round.")
        return self._difference(law, known)

    def _pieces(self, law: ET.Element, known: Known) -> tuple[ET.Element, ET.Element]:
        parts, otherwise = pieces(law)
        forward: list[tuple[ET.Element, ET.Element]] = []
        back: list[tuple[ET.Element, ET.Element]] = []
        for formula, condition in parts:
            one, other = self._parts(formula, narrowed(known, condition))
            forward.append((one, condition))
            back.append((other, condition))
            known = narrowed(known, condition, holds=False)
        rest = (cn(0.0), cn(0.0)) if otherwise is None else self._parts(otherwise, known)
        return piecewise(forward, rest[0]), piecewise(back, rest[1])

    def _difference(self, law: ET.Element, known: Known) -> tuple[ET.Element, ET.Element]:
        before, after = self.sides
        if not self.reversible or not before.lost or not after.lost:
            raise self._two_ways()
        algebra = _Algebra(known)
        split, written = algebra.without(law, before.lost), algebra.written(law)
        # Terms of both directions may cancel each other: A (1 + B) - B (1 + A) is A - B, with another noise.
        if not self._exact(*split, known) or (self._exact(*written, known) and not algebra.same(written, split)):
            raise self._two_ways()
        return split

    def _exact(self, forward: ET.Element, back: ET.Element, known: Known) -> bool:
        """Tell whether these can be the rates of the two directions."""
        before, after = self.sides
        return (
            bounds(forward, before.available(known))[0] >= 0
            and bounds(back, after.available(known))[0] >= 0
            and not is_zero(back, known)
            and all(is_zero(forward, {**known, name: (0.0, 0.0)}) for name in before.lost)
            and all(is_zero(back, {**known, name: (0.0, 0.0)}) for name in after.lost)
        )

    @property
    def _subject(self) -> str:
        return f"the rate of reaction `{self.reaction}` of model `{self.model}`"

    def _two_ways(self) -> InputError:
        return InputError(
            f"{self._subject} can be negative, and is no difference that splits exactly into two directions; write "
            "each direction as a reaction of its own, since a net rate has another law, or, where the reaction is "
            "meant to stop, `max(0, ...)` around the rate."
        )


def _unfolded(node: ET.Element, known: Known) -> ET.Element:
    """Bring cases whose sign is open to the front: a - {b if c} is {a - b if c}."""
    if operator(node) not in {"plus", "minus", "times", "divide"} or bounds(node, known)[0] >= 0:
        return node
    arguments = [_unfolded(part, known) for part in node[1:]]
    for i, argument in enumerate(arguments):
        if local(argument) == "piecewise" and bounds(argument, known)[0] < 0:

            def within(part: ET.Element, at: int = i) -> ET.Element:
                return _unfolded(apply(operator(node), *arguments[:at], part, *arguments[at + 1 :]), known)

            parts, otherwise = pieces(argument)
            rest = cn(float("nan")) if otherwise is None else within(otherwise)
            return piecewise([(within(part), condition) for part, condition in parts], rest)
    return apply(operator(node), *arguments)


class _Algebra:
    """Sums, products and quotients by sympy; all other formulas are symbols to it, and come back as they were."""

    def __init__(self, known: Known) -> None:
        self._sympy = import_module("sympy")  # takes half a second, and most laws are no difference
        self._known = known
        self._symbols: dict[bytes, Any] = {}
        self._formulas: dict[str, ET.Element] = {}

    def without(self, law: ET.Element, reactants: frozenset[str]) -> tuple[ET.Element, ET.Element]:
        """Split a law into P - N, where N is what remains of -law when the reactants are used up, over one divisor."""
        top, bottom = self._sympy.fraction(self._sympy.together(self.read(law)))
        if bounds(self.write(bottom), self._known)[1] <= 0:
            top, bottom = -top, -bottom
        used_up = {name: cn(0.0) for name in reactants}
        emptied = {
            symbol: self.read(replaced(self._formulas[str(symbol)], used_up))
            for symbol in top.free_symbols
            if names(self._formulas[str(symbol)]) & reactants
        }
        back = self._sympy.expand(-top.subs(emptied, simultaneous=True))
        forward = self._sympy.factor(self._sympy.expand(top + back))
        return self.write(forward / bottom), self.write(self._sympy.factor(back) / bottom)

    def written(self, law: ET.Element) -> tuple[ET.Element, ET.Element]:
        """Return what a law adds and what it subtracts, where nothing cancels."""
        added, taken = self._signed(law)
        return self.write(self._sympy.factor(added)), self.write(self._sympy.factor(taken))

    def same(self, one: tuple[ET.Element, ET.Element], other: tuple[ET.Element, ET.Element]) -> bool:
        """Tell whether two splits say the same."""
        return self._sympy.simplify(self.read(one[1]) - self.read(other[1])) == 0

    def _signed(self, node: ET.Element) -> tuple[Any, Any]:
        name, zero = operator(node), self._sympy.Integer(0)
        if name in {"plus", "minus", "times"} and value(node, self._known) is None:
            parts = [self._signed(part) for part in node[1:]]
            if name == "minus":
                parts = (
                    [parts[0], *((taken, added) for added, taken in parts[1:])] if len(parts) > 1 else [parts[0][::-1]]
                )
            if name != "times":
                return sum((added for added, _ in parts), zero), sum((taken for _, taken in parts), zero)
            added, taken = self._sympy.Integer(1), zero
            for more, less in parts:
                added, taken = added * more + taken * less, added * less + taken * more
            return added, taken
        if name == "divide" and bounds(node[2], self._known)[0] >= 0:
            added, taken = self._signed(node[1])
            bottom = self.read(node[2])
            return added / bottom, taken / bottom
        found = self.read(node)
        return (zero, -found) if found.is_negative else (found, zero)

    def read(self, node: ET.Element) -> Any:
        constant = value(node, self._known)
        if constant is not None:
            return self._sympy.Rational(repr(constant))
        name, arguments = operator(node), list(node[1:])
        if name == "power" and (value(arguments[1], self._known) or 0.5) % 1 == 0:
            return self.read(arguments[0]) ** self.read(arguments[1])
        if name in {"plus", "times"}:
            join = self._sympy.Add if name == "plus" else self._sympy.Mul
            return join(*(self.read(part) for part in arguments))
        if name == "minus":
            first = self.read(arguments[0])
            return -first if len(arguments) == 1 else first - self.read(arguments[1])
        if name == "divide":
            return self.read(arguments[0]) / self.read(arguments[1])
        return self._symbol(node)

    def _symbol(self, node: ET.Element) -> Any:
        key = b" ".join(ET.tostring(node).split())
        if key not in self._symbols:
            self._symbols[key] = self._sympy.Symbol(f"s{len(self._symbols)}")
            self._formulas[f"s{len(self._symbols) - 1}"] = node
        return self._symbols[key]

    def write(self, expression: Any) -> ET.Element:
        if expression.is_Symbol:
            return self._formulas[str(expression)]
        if expression.is_Number:
            return cn(float(expression))
        top, bottom = self._sympy.fraction(expression)
        if bottom != 1:
            return apply("divide", self.write(top), self.write(bottom))
        arguments = [self.write(part) for part in expression.args]
        return apply("power" if expression.is_Pow else "plus" if expression.is_Add else "times", *arguments)
