"""The built-in systems, and how a name or a path becomes a model.

A system is one Antimony text in the folder `models`, which says where its rates come from, and one entry in `PAPER` or
`ZOO` with the last of the equally spaced times at which it is observed unless the user says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from weightflow.errors import InputError

PAPER: Mapping[str, float] = MappingProxyType(  # the systems of Li et al., WeightFlow (AAAI 2026): name, last time
    {"epidemic": 50.0, "toggle_switch": 10.0, "cascade1": 10.0, "cascade2": 1.0, "ecological_evolution": 100.0}
)
ZOO: Mapping[str, float] = MappingProxyType(  # what that paper has none of: cycles, extinction, two ways out, seasons
    {
        "lotka_volterra": 15.0,
        "repressilator": 250.0,
        "brusselator": 15.0,
        "schloegl": 5.0,
        "telegraph_gene": 6.0,
        "michaelis_menten": 50.0,
        "outbreak": 60.0,
        "circadian_clock": 48.0,
        "vilar_oscillator": 40.0,
        "seasonal_insects": 104.0,
        "mapk_cascade": 2000.0,
    }
)
BUILT_IN: Mapping[str, float] = MappingProxyType({**PAPER, **ZOO})
STEPS = 100  # from zero to the last time
ANTIMONY = (".ant", ".txt")
SBML = (".xml", ".sbml")


@dataclass(frozen=True, eq=False)
class System:
    """The text of a reaction network.

    Attributes:
        name: a built-in name, or the file's name without its suffix.
        text: Antimony or SBML.
        sbml: whether the text is SBML.
        times: when it is observed by default, shape (time,); empty: the user must say.
    """

    name: str
    text: str
    sbml: bool = False
    times: Float[np.ndarray, "time"] = field(default_factory=lambda: np.empty(0))


def find_system(model: str | Path) -> System:
    """Return a built-in system by name, or read an Antimony (.ant, .txt) or SBML (.xml, .sbml) file.

    Raises:
        InputError: there is no such name or file, or the file is neither.
    """
    if str(model) in BUILT_IN:
        return built_in(str(model))
    path = Path(model)
    if not path.is_file():
        raise InputError(
            f"`{model}` is neither a built-in system ({', '.join(BUILT_IN)}) nor an existing file; "
            "give one of those names or the path of an Antimony (.ant) or SBML (.xml) file."
        )
    if path.suffix.lower() not in ANTIMONY + SBML:
        raise InputError(
            f"`{path}` ends in `{path.suffix}`, but a model is an Antimony ({', '.join(ANTIMONY)}) "
            f"or SBML ({', '.join(SBML)}) file; rename it to what it is."
        )
    try:
        return System(path.stem, path.read_text(encoding="utf-8"), path.suffix.lower() in SBML)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`{path}` cannot be read as text: {error}; give a readable UTF-8 file.") from error


def built_in(name: str) -> System:
    """Return one of `BUILT_IN`."""
    text = files("weightflow.systems").joinpath("models", f"{name}.ant").read_text(encoding="utf-8")
    return System(name, text, times=np.linspace(0.0, BUILT_IN[name], STEPS + 1))
