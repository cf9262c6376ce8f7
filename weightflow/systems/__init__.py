"""Reaction networks that the package ships, their exact simulation, and data sets by name or path."""

from weightflow.systems.ensembles import load_dataset
from weightflow.systems.library import BUILT_IN, PAPER, ZOO, System, find_system
from weightflow.systems.simulate import MAX_REACTIONS, Simulator, simulate
from weightflow.systems.varied import Varied, Vary, columns_of, simulate_varied

__all__ = [
    "BUILT_IN",
    "MAX_REACTIONS",
    "PAPER",
    "ZOO",
    "Simulator",
    "System",
    "Varied",
    "Vary",
    "columns_of",
    "find_system",
    "load_dataset",
    "simulate",
    "simulate_varied",
]
