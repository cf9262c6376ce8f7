"""A model, written so that the integrator follows its law exactly, and comes back.

- A law that is a net rate becomes two reactions (`directions`).
- A reaction happens only where all that it takes is there.
- Comparisons of time become parameters, which are set at each switch; a reaction of its own then wakes the events.
- Each reaction is counted, and laws vanish after `PAUSE` of them until the count is set back: no call runs for ever.
"""

import copy
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from weightflow.errors import InputError
from weightflow.systems.bounds import is_zero
from weightflow.systems.directions import Law, Side
from weightflow.systems.document import Document, formula, kinetic_law, set_formula
from weightflow.systems.followed import check
from weightflow.systems.mathml import MATH, apply, ci, cn, local, names, piecewise, time
from weightflow.systems.molecules import count_molecules
from weightflow.systems.switches import Known, Marks, check_trigger, is_curved

PAUSE = 100_000  # reactions in one call, which nothing can interrupt: a fifth of a second
COUNT, PAUSED = "weightflow_reactions", "weightflow_paused_at"
SWITCHED, DUE = "weightflow_switched", "weightflow_switches_due"
ARMED = 3  # switches that are due at the start, see `_arm`
AT_ONCE = 1e300  # the rate of what happens at once: the wait is too short to change a time


@dataclass(frozen=True, eq=False)
class Network:
    """A model that can be simulated.

    Attributes:
        text: SBML.
        species: those that reactions change and the model names.
        reactions: their names; a split one and its way back have two.
        laws: all rates in terms of species, parameters and time.
        marks: what is set at each switch.
        eventful: whether the model has events, which each switch has to wake.
        known: see `bounds`.
    """

    text: str
    species: tuple[str, ...]
    reactions: tuple[str, ...]
    laws: tuple[ET.Element, ...]
    marks: Marks
    eventful: bool
    known: Known

    @property
    def curved(self) -> bool:
        """Whether rates change with time otherwise than in steps."""
        return any(is_curved(law, self.known) for law in self.laws)

    def switches(self, stop: float) -> list[float]:
        """Return the times up to `stop` at which rates or events switch."""
        return self.marks.switches(self.laws, stop)


def build(sbml: str, name: str, molecules_per_unit: float | None = None) -> Network:
    """Write a model so that it can be simulated.

    Args:
        sbml: level 2 or 3.
        name: what messages call the model.
        molecules_per_unit: see `count_molecules`.

    Raises:
        InputError: what the model asks for cannot be followed exactly; the message says where, and what to do.
    """
    check(Document(sbml, name))
    document = count_molecules(Document(sbml, name), molecules_per_unit)
    species = tuple(name for name in document.species() if document.free(name))
    directed = [item for reaction in document.listed("listOfReactions") for item in _directed(document, reaction)]
    _inline_rates(document)
    marks = _mark(document, directed)
    reactions = next(part for part in document.model if local(part) == "listOfReactions")
    reactions[:] = [_guarded(document, item, law) for item, law in directed]
    known, eventful = document.known, bool(document.listed("listOfEvents"))
    _arm(document)
    _add_counters(document, marks, eventful)
    names = tuple(item.get("id", "") for item, _ in directed)
    return Network(document.text(), species, names, tuple(law for _, law in directed), marks, eventful, known)


def _directed(document: Document, reaction: ET.Element) -> list[tuple[ET.Element, ET.Element]]:
    """Return a reaction, or one for each of its two directions, with laws in terms of species and parameters."""
    kinetic = kinetic_law(reaction)
    law = Law(
        document.definitions(reaction).inline(formula(kinetic)),
        reaction.get("id", ""),
        document.name,
        reaction.get("reversible", "true") == "true",
        (_side(document, reaction, "listOfReactants"), _side(document, reaction, "listOfProducts")),
        document.known,
        frozenset(document.species()),
    )
    rates = law.split()
    if isinstance(rates, ET.Element):
        return [(reaction, rates)]
    ways = (copy.deepcopy(reaction), _turned(document, reaction))
    for way, rate in zip(ways, rates, strict=True):
        held = kinetic_law(way)
        held[:] = [part for part in held if part.tag == MATH + "math"]  # the rate holds its parameters' values
        set_formula(held, rate)
    return list(zip(ways, rates, strict=True))


def _turned(document: Document, reaction: ET.Element) -> ET.Element:
    turned = copy.deepcopy(reaction)
    turned.set("id", f"{reaction.get('id')}_back")
    turned.attrib.pop("metaid", None)
    other = {"listOfReactants": "listOfProducts", "listOfProducts": "listOfReactants"}
    for part in turned:
        part.tag = document.namespace + other.get(local(part), local(part))
    order = ("listOfReactants", "listOfProducts", "listOfModifiers", "kineticLaw")
    turned[:] = sorted(turned, key=lambda part: order.index(local(part)) if local(part) in order else -1)
    return turned


def _side(document: Document, reaction: ET.Element, kind: str) -> Side:
    taken = _stoichiometry(document, reaction, kind)
    other = _stoichiometry(document, reaction, "listOfProducts" if kind == "listOfReactants" else "listOfReactants")
    return Side(
        {name: count for name, count in taken.items() if document.free(name)},
        {name: document.per_molecule(name) for name in taken},
        frozenset(name for name, count in taken.items() if count > other.get(name, 0)),
    )


def _stoichiometry(document: Document, reaction: ET.Element, kind: str) -> dict[str, float]:
    counts: dict[str, float] = {}
    for item in document.listed(kind, reaction):
        name, text = item.get("species", ""), item.get("stoichiometry")
        count = float(text) if text is not None else (1.0 if document.level < 3 else float("nan"))
        fixed = not any(local(part) == "stoichiometryMath" for part in item)
        if not fixed or item.get("id") in document.assigned or not (count % 1 == 0 and count >= 0):
            raise InputError(
                f"reaction `{reaction.get('id')}` of model `{document.name}` takes or makes "
                f"{text or 'a variable number'} of `{name}`, but molecules come and go in fixed "
                "whole numbers; write such a number."
            )
        counts[name] = counts.get(name, 0.0) + count
    return counts


def _guarded(document: Document, reaction: ET.Element, law: ET.Element) -> ET.Element:
    """Let a reaction be counted, and happen only where its reactants are there and the count is not full."""
    conditions = [apply("lt", ci(COUNT), cn(float(PAUSE)))]
    for name, count in _stoichiometry(document, reaction, "listOfReactants").items():
        if document.free(name) and not _vanishes(document, law, name, int(count)):
            size = document.compartment_of(name)
            amount = ci(name) if size is None else apply("times", ci(name), ci(size))
            conditions.append(apply("gt", amount, cn(count - 0.5)))  # sizes may leave a rounding error
    kinetic = kinetic_law(reaction)
    condition = conditions[0] if len(conditions) == 1 else apply("and", *conditions)
    set_formula(kinetic, piecewise([(formula(kinetic), condition)], cn(0.0)))
    products = next((part for part in reaction if local(part) == "listOfProducts"), None)
    if products is None:
        products = document.element("listOfProducts")
        place = next((i for i, part in enumerate(reaction) if local(part) in {"listOfModifiers", "kineticLaw"}), 0)
        reaction.insert(place, products)
    products.append(_reference(document, COUNT))
    return reaction


def _vanishes(document: Document, law: ET.Element, name: str, count: int) -> bool:
    """Tell whether a law is 0 wherever fewer than `count` molecules are there."""
    unit = document.per_molecule(name)
    short = [] if unit is None else [number * unit for number in range(count)]
    return unit is not None and all(is_zero(law, {**document.known, name: (few, few)}) for few in short)


def _mark(document: Document, directed: list[tuple[ET.Element, ET.Element]]) -> Marks:
    """Let comparisons of time alone stand for themselves as parameters, in laws, rules and events."""
    marks, inline = Marks(document.known), document.definitions().inline
    formulas = [(kinetic_law(item), law) for item, law in directed]
    for part in document.model:
        if local(part) not in {"listOfFunctionDefinitions", "listOfReactions", "listOfConstraints"}:
            formulas += [(item, inline(formula(item))) for item in _holders(part)]
    for event in document.listed("listOfEvents"):
        for part in event:
            if local(part) == "trigger":
                check_trigger(inline(formula(part)), document.known, event.get("id") or "")
    for item, plain in formulas:
        known_names = len(marks.names)
        marked = marks.mark(plain)
        if len(marks.names) > known_names or names(marked) & set(marks.names):
            set_formula(item, marked)
    return marks


def _holders(part: ET.Element) -> list[ET.Element]:
    return [holder for holder in part.iter() if any(child.tag == MATH + "math" for child in holder)]


def _inline_rates(document: Document) -> None:
    """Where a formula names a reaction, write the law that the model gives it, before it is guarded or split."""
    rates = {item.get("id", "") for item in document.listed("listOfReactions")}
    inline = document.definitions().inline
    for part in document.model:
        if local(part) != "listOfFunctionDefinitions":
            for item in _holders(part):
                if names(formula(item)) & rates:
                    set_formula(item, inline(formula(item)))


def _arm(document: Document) -> None:
    """Let each trajectory begin with events that know nothing of the one before.

    The integrator keeps between trajectories which triggers held last. So no trigger holds at the first of three
    switches at the start; at the second, those events happen whose trigger holds at the start, and change something
    only where the model says that they happen then.
    """
    _rank(document)
    for event in document.listed("listOfEvents"):
        trigger = next(part for part in event if local(part) == "trigger")
        set_formula(trigger, apply("and", apply("gt", ci(SWITCHED), cn(1.5)), formula(trigger)))
        if trigger.get("initialValue", "true") == "true":
            for item in document.listed("listOfEventAssignments", event):
                started = apply("gt", ci(SWITCHED), cn(2.5))
                set_formula(item, piecewise([(formula(item), started)], ci(item.get("variable", ""))))


def _rank(document: Document) -> None:
    """Let events of one time happen in the order of the text, unless the model ranks them.

    The integrator would draw the order by lot, from a generator of its own, which knows nothing of the user's seed.

    Raises:
        InputError: two events of one trigger have no order, and cannot be given one.
    """
    events = document.listed("listOfEvents")
    if document.level > 2 and not any(local(part) == "priority" for event in events for part in event):
        for rank, event in enumerate(reversed(events)):
            priority = document.element("priority")
            ET.SubElement(priority, MATH + "math").append(cn(float(rank)))
            place = next(i for i, part in enumerate(event) if local(part) == "trigger")
            event.insert(place + 1, priority)
        return
    met: dict[bytes, str] = {}
    for event in events:
        rank = [formula(part) for part in event if local(part) in {"trigger", "priority"}]
        key = b"".join(b"".join(ET.tostring(part).split()) for part in rank)
        if key in met:
            raise InputError(
                f"events `{met[key]}` and `{event.get('id')}` of model `{document.name}` happen at the same time, and "
                "nothing says which comes first; make them one event, or give each a priority of its own."
            )
        met[key] = event.get("id", "")


def _add_counters(document: Document, marks: Marks, eventful: bool) -> None:
    compartment = document.listed("listOfCompartments")[0].get("id", "")
    for name in (COUNT, SWITCHED):
        document.insert("listOfSpecies", _counter(document, name, compartment))
    for name in (PAUSED, DUE, *marks.names):
        document.insert("listOfParameters", document.element("parameter", id=name, value="0", constant="false"))
    document.insert("listOfEvents", _pause(document))
    if eventful:
        document.insert("listOfReactions", _switch(document))


def _counter(document: Document, name: str, compartment: str) -> ET.Element:
    flags = {"hasOnlySubstanceUnits": "true", "boundaryCondition": "false", "constant": "false"}
    return document.element("species", id=name, compartment=compartment, initialAmount="0", **flags)


def _pause(document: Document) -> ET.Element:
    """Return the event that keeps the time at which the count is full."""
    event = document.element("event", id="weightflow_pause")
    trigger, changes = document.element("trigger"), document.element("listOfEventAssignments")
    change = document.element("eventAssignment", variable=PAUSED)
    if document.level > 2:
        event.set("useValuesFromTriggerTime", "true")
        trigger.attrib.update(initialValue="false", persistent="true")
    for holder, held in ((trigger, apply("geq", ci(COUNT), cn(float(PAUSE)))), (change, time())):
        ET.SubElement(holder, MATH + "math").append(held)
    changes.append(change)
    event.extend((trigger, changes))
    return event


def _switch(document: Document) -> ET.Element:
    """Return the reaction that happens at once when a switch is due: events are looked for after a reaction."""
    reaction = document.element("reaction", id="weightflow_switch", reversible="false", fast="false")
    products, kinetic = document.element("listOfProducts"), document.element("kineticLaw")
    products.append(_reference(document, SWITCHED))
    due = apply("and", apply("lt", ci(COUNT), cn(float(PAUSE))), apply("lt", ci(SWITCHED), ci(DUE)))
    ET.SubElement(kinetic, MATH + "math").append(piecewise([(cn(AT_ONCE), due)], cn(0.0)))
    reaction.extend((products, kinetic))
    return reaction


def _reference(document: Document, species: str) -> ET.Element:
    reference = document.element("speciesReference", species=species, stoichiometry="1")
    if document.level > 2:
        reference.set("constant", "true")
    return reference
