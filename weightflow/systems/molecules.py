"""From a model's units of substance to numbers of molecules.

With X molecules to a unit, a species' amount a becomes the number n = X a. A law r(a) in units of substance a time is
X r(n / X) in molecules a time, whatever its form. All formulas get numbers for amounts so: laws, rules, starts, events
and their triggers. Sizes of compartments, parameters and time stay as they are.

A law is scaled as it stands. One of two equal molecules, k A A, becomes (k / X) n n and not (k / X) n (n - 1): the pair
of a molecule with itself, of relative weight 1 / n, is not taken out, for the text does not say that it was meant to
be. Where few molecules react with their own kind, write the model in molecules.
"""

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

from weightflow.errors import InputError
from weightflow.systems.bounds import AVOGADRO
from weightflow.systems.document import Document, formula, law_of, set_formula
from weightflow.systems.mathml import MATH, apply, ci, cn, local, replaced

HOW = "give `--molecules-per-unit X` (`molecules_per_unit=X` in Python), so that X molecules are one unit of substance"

UNSTATED = (1.0, "`substance`")  # what nobody says is taken for molecules, or for the unit that the others have


def count_molecules(document: Document, per_unit: float | None) -> Document:
    """Write a model in numbers of molecules.

    Args:
        document: the model.
        per_unit: molecules in one unit of substance; None: amounts are numbers of molecules already.

    Raises:
        InputError: the model states other units than molecules and `per_unit` is not given, or it is not above 0.
    """
    if per_unit is None:
        _refuse_other_units(document)
    elif not 0 < per_unit < float("inf"):
        raise InputError(f"`--molecules-per-unit {per_unit:g}` was given; it must be a number above 0.")
    else:
        _refuse_mixed_units(document)
        _scale(document, per_unit)
    return Document(document.text(), document.name)


def _refuse_other_units(document: Document) -> None:
    for what, unit in _measured(document):
        size, words = _molecules(document, unit)
        if size != 1:
            about = f" (a unit is {size:g})" if size else ""
            raise InputError(
                f"{what} of model `{document.name}` is measured in {words}, but a simulation counts molecules; "
                f"{HOW}{about}."
            )


def _refuse_mixed_units(document: Document) -> None:
    """One number of molecules for a unit is enough only where all have the same unit."""
    stated = [(what, unit) for what, unit in _measured(document) if _molecules(document, unit) != UNSTATED]
    for (first, unit), (what, other) in pairwise(stated):
        size, words = _molecules(document, unit)
        its_size, its_words = _molecules(document, other)
        if not (math.isclose(size, its_size) if size and its_size else words == its_words):
            raise InputError(
                f"{first} of model `{document.name}` is measured in {words}, but {what} in {its_words}, and "
                "`--molecules-per-unit` scales all alike; write the model in one unit of substance."
            )


def _measured(document: Document) -> list[tuple[str, str]]:
    """Return what is measured in units of substance, in words, and in which: species, and rates of reactions."""
    default = document.model.get("substanceUnits") or "substance"
    extent = document.model.get("extentUnits") or default
    species = [
        (f"species `{name}`", item.get("substanceUnits") or item.get("units") or default)
        for name, item in document.species().items()
    ]
    reactions = document.listed("listOfReactions")
    laws = [(f"the rate of reaction `{item.get('id')}`", law_of(item)) for item in reactions]
    return species + [(what, extent if law is None else law.get("substanceUnits") or extent) for what, law in laws]


def _molecules(document: Document, unit: str) -> tuple[float | None, str]:
    """Return how many molecules a unit is (None: no number of them), and the unit in words."""
    parts = [item for item in document.listed("listOfUnitDefinitions") if item.get("id") == unit]
    units = [part for item in parts for part in document.listed("listOfUnits", item)]
    if not units:
        return {"mole": AVOGADRO, "item": 1.0, "dimensionless": 1.0, "substance": 1.0}.get(unit), f"`{unit}`"
    size = 1.0
    for part in units:
        kind = {"mole": AVOGADRO, "avogadro": AVOGADRO, "item": 1.0, "dimensionless": 1.0}.get(part.get("kind", ""))
        if kind is None:
            return None, f"`{unit}`"
        prefix = float(part.get("multiplier", "1")) * 10.0 ** float(part.get("scale", "0"))
        size *= (prefix * kind) ** float(part.get("exponent", "1"))
    kinds = " ".join(f"{_prefix(part)}{part.get('kind')}" for part in units)
    return size, kinds if unit in kinds else f"`{unit}` ({kinds})"


def _prefix(part: ET.Element) -> str:
    factor = float(part.get("multiplier", "1")) * 10.0 ** float(part.get("scale", "0"))
    return "" if factor == 1 else f"{factor:g} "


def _scale(document: Document, per_unit: float) -> None:
    species = document.species()
    rates = [item.get("id", "") for item in document.listed("listOfReactions")]
    in_units = {name: apply("divide", ci(name), cn(per_unit)) for name in [*species, *rates]}
    for reaction in document.listed("listOfReactions"):
        law = law_of(reaction)
        if law is not None:
            own = {item.get("id") for part in law for item in part if local(part) != "math"}
            outer = {name: new for name, new in in_units.items() if name not in own}
            set_formula(law, apply("times", cn(per_unit), replaced(formula(law), outer)))
    for part in document.model:
        if local(part) in {"listOfFunctionDefinitions", "listOfReactions"}:
            continue
        for item in [holder for holder in part.iter() if any(child.tag == MATH + "math" for child in holder)]:
            new = replaced(formula(item), in_units)
            target = item.get("symbol") or item.get("variable")
            set_formula(item, apply("times", cn(per_unit), new) if target in species else new)
    for item in species.values():
        for start in ("initialAmount", "initialConcentration"):
            if item.get(start) is not None:
                item.set(start, repr(float(item.get(start, "")) * per_unit))
