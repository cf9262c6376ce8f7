"""The hypernetwork phi: vector fields over the weight graph, solvers, and paths of weights."""

from weightflow.dynamics.direct import Direct
from weightflow.dynamics.field import CDEField, FieldUnder, ODEField, Units, VectorField, build_field
from weightflow.dynamics.options import (
    Conditioning,
    DynamicsKind,
    DynamicsOptions,
    Memory,
    Reach,
    Solver,
    SolverOptions,
)
from weightflow.dynamics.solver import Solution, solve
from weightflow.dynamics.weight_paths import Between, Rollout, Solved, Table, Under, WeightPath

__all__ = [
    "Between",
    "CDEField",
    "Conditioning",
    "Direct",
    "DynamicsKind",
    "DynamicsOptions",
    "FieldUnder",
    "Memory",
    "ODEField",
    "Reach",
    "Rollout",
    "Solution",
    "Solved",
    "Solver",
    "SolverOptions",
    "Table",
    "Under",
    "Units",
    "VectorField",
    "WeightPath",
    "build_field",
    "solve",
]
