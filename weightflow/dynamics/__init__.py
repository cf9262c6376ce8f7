"""The hypernetwork phi: vector fields over the weight graph, solvers, and paths of weights."""

from weightflow.dynamics.field import CDEField, ODEField, Units, VectorField, build_field
from weightflow.dynamics.options import DynamicsKind, DynamicsOptions, Solver
from weightflow.dynamics.solver import Solution, solve
from weightflow.dynamics.weight_paths import Rollout, Table, WeightPath

__all__ = [
    "CDEField",
    "DynamicsKind",
    "DynamicsOptions",
    "ODEField",
    "Rollout",
    "Solution",
    "Solver",
    "Table",
    "Units",
    "VectorField",
    "WeightPath",
    "build_field",
    "solve",
]
