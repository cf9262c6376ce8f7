"""What a model may ask for: the Gillespie algorithm cannot follow everything that SBML can say."""

import re
import xml.etree.ElementTree as ET

from weightflow.errors import InputError
from weightflow.systems.document import Document, formula, kinetic_law, law_of
from weightflow.systems.mathml import MATH, SYMBOLS, local, names, text


def check(document: Document) -> None:
    """Refuse what the integrator would follow wrongly, or never come back from.

    Raises:
        InputError: the message says what cannot be followed, and how to write it instead.
    """
    name, reactions = document.name, document.listed("listOfReactions")
    if not reactions or not any(document.free(species) for species in document.species()):
        raise InputError(
            f"model `{name}` has no species that reactions change; write at least one species and reaction."
        )
    if any(law_of(reaction) is None or not names_or_numbers(reaction) for reaction in reactions):
        raise InputError(
            f"model `{name}` has a reaction without a rate; write the rate of each, as in `A -> B; k * A`."
        )
    kinds = {local(rule) for rule in document.listed("listOfRules")}
    if kinds - {"assignmentRule"}:
        raise InputError(
            f"model `{name}` has rate rules or algebraic rules, which the Gillespie algorithm cannot follow; write "
            "them as reactions or as functions of `time`."
        )
    for reaction in reactions:
        if reaction.get("fast") == "true":
            raise InputError(
                f"reaction `{reaction.get('id')}` of model `{name}` is marked as fast, which asks for equilibrium and "
                'not for chance; give it a large rate, without `fast="true"`.'
            )
    _check_randomness(document)
    _check_packages(document)
    _check_factors(document)
    _check_delays(document)
    _check_values(document)


def names_or_numbers(reaction: ET.Element) -> bool:
    """Tell whether a reaction's law holds a formula."""
    law = law_of(reaction)
    return law is not None and any(len(part) for part in law if part.tag == MATH + "math")


def _check_randomness(document: Document) -> None:
    drawn = [text(node) for node in _symbols(document, "distrib/")]
    functions = document.listed("listOfFunctionDefinitions")  # whose annotation says so, in older models
    drawn += [item.get("id", "") for item in functions if re.search(rb"distribution", ET.tostring(item), re.IGNORECASE)]
    if drawn:
        raise InputError(
            f"model `{document.name}` draws random numbers itself (`{drawn[0]}`), which the seed would not decide; "
            "write chance as reactions, and give each start and parameter one value."
        )


def _check_packages(document: Document) -> None:
    """Refuse extensions of SBML that change what a model says; those of `distrib` that do are found by name."""
    needed = [key for key, value in document.root.items() if key.endswith("}required") and value == "true"]
    packages = [match[1] for key in needed if (match := re.search(r"/level3/version\d+/(\w+)/", key))]
    unknown = [package for package in packages if package != "distrib"]
    if unknown:
        raise InputError(
            f"model `{document.name}` needs the package `{unknown[0]}` of SBML, which is not followed; export it as "
            "plain SBML, without packages (for `comp`: flatten it)."
        )


def _check_factors(document: Document) -> None:
    """Refuse factors between a reaction and its species, and rates in a time of their own, which nobody multiplies."""
    factors = [item for item in (document.model, *document.species().values()) if item.get("conversionFactor")]
    if factors:
        raise InputError(
            f"model `{document.name}` has the conversion factor `{factors[0].get('conversionFactor')}` between rates "
            "and species, but a reaction turns whole molecules; write rates and species in one unit, without factors."
        )
    for reaction in document.listed("listOfReactions"):
        unit = kinetic_law(reaction).get("timeUnits", "time")
        if unit not in {"time", "second"}:
            raise InputError(
                f"the rate of reaction `{reaction.get('id')}` of model `{document.name}` is in units of time of its "
                f"own (`{unit}`); write all rates in the model's time, without `timeUnits`."
            )


def _check_delays(document: Document) -> None:
    if any(_symbols(document, "delay")) or any(_symbols(document, "rateOf")):
        raise InputError(
            f"model `{document.name}` uses `delay` or `rateOf`, which the Gillespie algorithm cannot follow; write a "
            "delay as a chain of reactions."
        )
    for event in document.listed("listOfEvents"):
        if any(local(part) == "delay" for part in event):
            raise InputError(
                f"event `{event.get('id')}` of model `{document.name}` has a delay, after which the Gillespie "
                "algorithm would notice it too late; let it depend on species, or on `time` as in `time > 2`."
            )


def _check_values(document: Document) -> None:
    """Refuse symbols without a value, which would make every rate undefined."""
    valued = document.assigned | {
        item.get("id", "")
        for kind in ("listOfParameters", "listOfCompartments", "listOfSpecies", "listOfReactions")
        for item in document.listed(kind)
        if kind != "listOfParameters" or item.get("value") is not None
    }
    references = {item.get("id", "") for item in document.model.iter() if local(item) == "speciesReference"}
    for reaction in document.listed("listOfReactions"):
        law = kinetic_law(reaction)
        own = {item.get("id", "") for part in law for item in part if item.get("value") is not None}
        missing = names(formula(law)) - valued - references - own - _functions(document)
        if missing:
            raise InputError(
                f"model `{document.name}` cannot be compiled: '{min(missing)}' is missing a value in the rate of "
                f"reaction `{reaction.get('id')}`; give it one, as in `{min(missing)} = 1`."
            )


def _functions(document: Document) -> set[str]:
    return {item.get("id", "") for item in document.listed("listOfFunctionDefinitions")}


def _symbols(document: Document, start: str) -> list[ET.Element]:
    found = document.model.iter(MATH + "csymbol")
    return [node for node in found if (node.get("definitionURL") or "").startswith(SYMBOLS + start)]
