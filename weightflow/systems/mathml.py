"""Formulas of SBML models: content MathML as a tree, how it is built, and what its symbols stand for."""

import copy
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping

MATH = "{http://www.w3.org/1998/Math/MathML}"
SYMBOLS = "http://www.sbml.org/sbml/symbols/"
RELATIONS = ("lt", "leq", "gt", "geq", "eq", "neq")


def local(node: ET.Element) -> str:
    """Return an element's name without its namespace."""
    return node.tag.rsplit("}", 1)[-1]


def text(node: ET.Element) -> str:
    """Return the name or number that an element holds."""
    return (node.text or "").strip()


def ci(name: str) -> ET.Element:
    """Return a symbol."""
    node = ET.Element(MATH + "ci")
    node.text = name
    return node


def cn(value: float) -> ET.Element:
    """Return a number."""
    node = ET.Element(MATH + "cn")
    mantissa, _, exponent = repr(float(value)).partition("e")
    node.text = mantissa
    if exponent:
        node.set("type", "e-notation")
        ET.SubElement(node, MATH + "sep").tail = str(int(exponent))
    return node


def number(node: ET.Element) -> float:
    """Return the value of a `cn`: an integer, a decimal, 1.5<sep/>-3, or the fraction 1<sep/>3."""
    if not len(node):
        return float(text(node))
    second = (node[0].tail or "").strip()
    return float(f"{text(node)}e{second}") if node.get("type") == "e-notation" else float(text(node)) / float(second)


def apply(operator: str, *arguments: ET.Element) -> ET.Element:
    """Return an operator, or a function such as `exp`, applied to formulas."""
    node = ET.Element(MATH + "apply")
    ET.SubElement(node, MATH + operator)
    node.extend(arguments)
    return node


def time() -> ET.Element:
    """Return the symbol of time."""
    node = ET.Element(MATH + "csymbol", {"encoding": "text", "definitionURL": SYMBOLS + "time"})
    node.text = "time"
    return node


def piecewise(pieces: list[tuple[ET.Element, ET.Element]], otherwise: ET.Element) -> ET.Element:
    """Return a formula that is the first piece (value, condition) whose condition holds."""
    node = ET.Element(MATH + "piecewise")
    for piece in pieces:
        ET.SubElement(node, MATH + "piece").extend(piece)
    ET.SubElement(node, MATH + "otherwise").append(otherwise)
    return node


def pieces(node: ET.Element) -> tuple[list[tuple[ET.Element, ET.Element]], ET.Element | None]:
    """Take a piecewise formula apart; without `otherwise` its value is undefined there."""
    otherwise = next((part[0] for part in node if local(part) == "otherwise"), None)
    return [(part[0], part[1]) for part in node if local(part) == "piece"], otherwise


def operator(node: ET.Element) -> str:
    """Return what an `apply` applies, `` for all other elements and for functions of the model."""
    return local(node[0]) if local(node) == "apply" and len(node) else ""


def is_time(node: ET.Element) -> bool:
    """Tell whether an element is the symbol of time."""
    return local(node) == "csymbol" and node.get("definitionURL") == SYMBOLS + "time"


def has_time(node: ET.Element) -> bool:
    """Tell whether time occurs in a formula."""
    return any(is_time(part) for part in node.iter(MATH + "csymbol"))


def names(node: ET.Element) -> set[str]:
    """Return the symbols that occur in a formula."""
    return {text(part) for part in node.iter(MATH + "ci")}


def relations(node: ET.Element) -> Iterator[ET.Element]:
    """Find all comparisons in a formula."""
    return (part for part in node.iter(MATH + "apply") if operator(part) in RELATIONS)


def replaced(node: ET.Element, values: Mapping[str, ET.Element]) -> ET.Element:
    """Put formulas in the place of symbols."""
    if local(node) == "ci" and text(node) in values:
        return copy.deepcopy(values[text(node)])
    new = ET.Element(node.tag, node.attrib)
    new.text, new.tail = node.text, node.tail
    new.extend(replaced(part, values) for part in node)
    return new


class Definitions:
    """What a model defines by formulas: its functions, the symbols that rules set, and its reactions' rates.

    Args:
        functions: `lambda` elements by name.
        symbols: formulas by the name that stands for them.
    """

    def __init__(self, functions: Mapping[str, ET.Element], symbols: Mapping[str, ET.Element]) -> None:
        self._functions = functions
        self._symbols = symbols

    def inline(self, node: ET.Element) -> ET.Element:
        """Write a formula in terms of species, parameters, compartments and time alone."""
        if local(node) == "ci" and text(node) in self._symbols:
            return self.inline(self._symbols[text(node)])
        if local(node) == "apply" and len(node) and local(node[0]) == "ci" and text(node[0]) in self._functions:
            function = self._functions[text(node[0])]
            bound = [text(part[0]) for part in function if local(part) == "bvar"]
            arguments = dict(zip(bound, (self.inline(part) for part in node[1:]), strict=True))
            body = self._without_symbols().inline(function[-1])  # inside, names are the function's own
            return replaced(body, arguments)
        new = ET.Element(node.tag, node.attrib)
        new.text, new.tail = node.text, node.tail
        new.extend(self.inline(part) for part in node)
        return new

    def _without_symbols(self) -> "Definitions":
        return Definitions(self._functions, {})
