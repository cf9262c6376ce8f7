"""An SBML document: what its elements say, and what is known of its symbols before a simulation starts."""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from functools import cached_property

from weightflow.data.words import listed
from weightflow.errors import InputError
from weightflow.systems.bounds import ANY, NOT_NEGATIVE, WHOLE, Interval, bounds
from weightflow.systems.mathml import MATH, Definitions, cn, local, names


class Document:
    """The tree of an SBML text, of level 2 or 3.

    Attributes:
        name: what messages call the model.

    Raises:
        InputError: the text is no SBML, or has no model.
    """

    def __init__(self, sbml: str, name: str) -> None:
        self.name = name
        # Any other text would be taken for the address of a file.
        if not re.search(r"<(?:\w+:)?sbml\b", sbml):
            raise InputError(f"model `{name}` is not SBML, since it has no <sbml> element; give the file of a model.")
        try:
            self.root = ET.fromstring(sbml.encode())  # noqa: S314 (expat itself limits what entities grow to)
        except ET.ParseError as error:
            raise InputError(f"model `{name}` cannot be compiled: it is not valid XML ({error}); mend it.") from None
        models = [part for part in self.root if local(part) == "model"]
        if not models:
            raise InputError(f"model `{name}` cannot be compiled: it has no <model> element; give the file of a model.")
        self.model = models[0]
        self.namespace = self.root.tag.rsplit("}", 1)[0] + "}"

    @property
    def level(self) -> int:
        """The level of SBML: 1, 2 or 3."""
        return int(self.root.get("level", "3"))

    def text(self) -> str:
        """Write the document."""
        return ET.tostring(self.root, encoding="unicode")

    def listed(self, kind: str, within: ET.Element | None = None) -> list[ET.Element]:
        """Return what a list such as `listOfSpecies` holds; nothing where there is no such list."""
        parent = self.model if within is None else within
        return [item for part in parent if local(part) == kind for item in part]

    def insert(self, kind: str, item: ET.Element) -> None:
        """Add to a list, which is made where there is none, in the order that SBML demands."""
        found = next((part for part in self.model if local(part) == kind), None)
        if found is None:
            found = ET.Element(self.namespace + kind)
            later = LISTS[LISTS.index(kind) + 1 :]
            place = next((i for i, part in enumerate(self.model) if local(part) in later), len(self.model))
            self.model.insert(place, found)
        found.append(item)

    def set_value(self, name: str, value: float) -> None:
        """Give a parameter another value, or a species another number or concentration to start with.

        Raises:
            InputError: the model has no such name, or says the value by a formula.
        """
        parameters = {item.get("id", ""): item for item in self.listed("listOfParameters")}
        species = self.species()
        if name not in {**parameters, **species}:
            raise InputError(
                f"model `{self.name}` has no parameter or species `{name}` to vary; it has "
                f"{listed([*parameters, *species]) or 'none'}."
            )
        if name in self.assigned:
            raise InputError(
                f"`{name}` of model `{self.name}` is set by a formula, so that its own value means nothing; vary what "
                "the formula is made of."
            )
        if name in parameters:
            parameters[name].set("value", repr(value))
            return
        start = "initialConcentration" if "initialConcentration" in species[name].attrib else "initialAmount"
        species[name].set(start, repr(value))

    def element(self, name: str, **attributes: str) -> ET.Element:
        """Return a new element of SBML."""
        return ET.Element(self.namespace + name, attributes)

    def maths(self) -> Iterator[ET.Element]:
        """Find all formulas, but those of functions."""
        for part in self.model:
            if local(part) != "listOfFunctionDefinitions":
                yield from part.iter(MATH + "math")

    def species(self) -> dict[str, ET.Element]:
        """Return all species by name, those that reactions leave alone too."""
        return {item.get("id", ""): item for item in self.listed("listOfSpecies")}

    def compartment_of(self, species: str) -> str | None:
        """Return by which compartment's size the amount of a species is divided in formulas; None: by none."""
        item = self.species()[species]
        return None if item.get("hasOnlySubstanceUnits") == "true" else item.get("compartment")

    @cached_property
    def assigned(self) -> set[str]:
        """What rules, events or starts set by a formula."""
        return self.changed | {item.get("symbol", "") for item in self.listed("listOfInitialAssignments")}

    @cached_property
    def changed(self) -> set[str]:
        """What rules and events set, so that its value at the start says nothing of later."""
        rules = {rule.get("variable", "") for rule in self.listed("listOfRules")}
        return rules | {target for target, _ in self._event_assignments()}

    def free(self, species: str) -> bool:
        """Tell whether reactions change a species."""
        item = self.species()[species]
        return "true" not in {item.get("boundaryCondition"), item.get("constant")} and species not in self.rules

    @cached_property
    def rules(self) -> dict[str, ET.Element]:
        """Formulas of assignment rules, by what they set."""
        rules = [rule for rule in self.listed("listOfRules") if local(rule) == "assignmentRule"]
        return {rule.get("variable", ""): formula(rule) for rule in rules}

    def definitions(self, reaction: ET.Element | None = None) -> Definitions:
        """Return what names stand for, in the law of a reaction with its own parameters, or anywhere else."""
        functions = {
            item.get("id", ""): part
            for item in self.listed("listOfFunctionDefinitions")
            for part in item.iter(MATH + "lambda")
        }
        symbols = dict(self.rules)
        for item in self.listed("listOfReactions"):
            law = law_of(item)
            if law is not None and item.get("id") in self._named:
                symbols[item.get("id", "")] = self._closed(functions, item, formula(law))
        if reaction is not None:
            symbols |= self._own_parameters(reaction)
        return Definitions(functions, symbols)

    @cached_property
    def _named(self) -> set[str]:
        return {name for math_element in self.maths() for name in names(math_element)}

    def _closed(self, functions: Mapping[str, ET.Element], reaction: ET.Element, law: ET.Element) -> ET.Element:
        return Definitions(functions, self._own_parameters(reaction)).inline(law)

    def _own_parameters(self, reaction: ET.Element) -> dict[str, ET.Element]:
        law = law_of(reaction)
        lists = ("listOfParameters", "listOfLocalParameters")
        items = [] if law is None else [item for kind in lists for item in self.listed(kind, law)]
        return {item.get("id", ""): cn(float(item.get("value", "nan"))) for item in items}

    @cached_property
    def known(self) -> dict[str, Interval]:
        """Between which values species, compartments and parameters stay, as used in formulas."""
        known: dict[str, Interval] = dict.fromkeys(self.species(), NOT_NEGATIVE)
        starts = {item.get("symbol", ""): formula(item) for item in self.listed("listOfInitialAssignments")}
        inline = self.definitions().inline
        sized: dict[str, Interval] = {}
        for item in self.listed("listOfCompartments"):
            sized[item.get("id", "")] = _attribute(item, "size", (1.0, 1.0) if self.level == 2 else NOT_NEGATIVE)
        for item in self.listed("listOfParameters"):
            sized[item.get("id", "")] = _attribute(item, "value", ANY)
        waiting = {name: inline(start) for name, start in starts.items() if name in sized}
        known |= {name: interval for name, interval in sized.items() if name not in waiting}
        for _ in range(len(waiting)):  # as deep as one start can refer to others
            known |= {name: bounds(start, known) for name, start in waiting.items()}
        return self._with_changes(known)

    def _with_changes(self, known: dict[str, Interval]) -> dict[str, Interval]:
        inline = self.definitions().inline
        at_start, species = dict(known), set(self.species())
        known |= dict.fromkeys(self.changed - species, ANY)
        assigned = [(target, inline(new)) for target, new in self._event_assignments() if target not in species]
        found = {name: at_start.get(name, ANY) for name, _ in assigned}
        for target, new in assigned:
            low, high = bounds(new, known)
            found[target] = min(low, found[target][0]), max(high, found[target][1])
        known |= found
        whole = {WHOLE + name: (1.0, 1.0) for name in species if self.per_molecule(name, known) == 1}
        return known | whole

    def per_molecule(self, species: str, known: Mapping[str, Interval] | None = None) -> float | None:
        """Return by how much one molecule changes the value of a species in formulas; None: not always the same."""
        compartment = self.compartment_of(species)
        low, high = (1.0, 1.0) if compartment is None else (known or self.known).get(compartment, ANY)
        return 1 / low if low == high and 0 < low < math.inf else None

    def _event_assignments(self) -> list[tuple[str, ET.Element]]:
        items = [item for event in self.listed("listOfEvents") for item in self.listed("listOfEventAssignments", event)]
        return [(item.get("variable", ""), formula(item)) for item in items]


# The order of a model's lists, which readers of SBML insist on up to level 3 version 1.
LISTS = [
    "listOfFunctionDefinitions",
    "listOfUnitDefinitions",
    "listOfCompartmentTypes",
    "listOfSpeciesTypes",
    "listOfCompartments",
    "listOfSpecies",
    "listOfParameters",
    "listOfInitialAssignments",
    "listOfRules",
    "listOfConstraints",
    "listOfReactions",
    "listOfEvents",
]


def formula(item: ET.Element) -> ET.Element:
    """Return the formula within a rule, a law, a trigger or an assignment."""
    math_element = next((part for part in item if part.tag == MATH + "math"), None)
    return cn(math.nan) if math_element is None or not len(math_element) else math_element[0]


def set_formula(item: ET.Element, new: ET.Element) -> None:
    """Put another formula in its place."""
    math_element = next(part for part in item if part.tag == MATH + "math")
    math_element[:] = [new]


def law_of(reaction: ET.Element) -> ET.Element | None:
    """Return the kinetic law of a reaction, if it has one."""
    return next((part for part in reaction if local(part) == "kineticLaw"), None)


def kinetic_law(reaction: ET.Element) -> ET.Element:
    """Return the kinetic law of a reaction that has one."""
    return next(part for part in reaction if local(part) == "kineticLaw")


def _attribute(item: ET.Element, name: str, otherwise: Interval) -> Interval:
    at = item.get(name)
    return otherwise if at is None else (float(at), float(at))
