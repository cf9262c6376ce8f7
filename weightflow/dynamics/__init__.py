"""The hypernetwork phi: vector fields over the weight graph, solvers, and paths of weights."""

from weightflow.dynamics.direct import Direct
from weightflow.dynamics.field import CDEField, ODEField, Units, VectorField, build_field
from weightflow.dynamics.options import DynamicsKind, DynamicsOptions, Memory, Reach, Solver, SolverOptions
from weightflow.dynamics.solver import Solution, solve
from weightflow.dynamics.weight_paths import Rollout, Table, WeightPath

__all__ = [
    "CDEField",
    "Direct",
    "DynamicsKind",
    "DynamicsOptions",
    "Memory",
    "ODEField",
    "Reach",
    "Rollout",
    "Solution",
    "Solver",
    "SolverOptions",
    "Table",
    "Units",
    "VectorField",
    "WeightPath",
    "build_field",
    "solve",
]
