"""The clock, and paths through weight space and its projections."""

from weightflow.path.clock import Clock
from weightflow.path.control import ControlPath
from weightflow.path.projection import Projection, project
from weightflow.path.reference import ReferencePath

__all__ = ["Clock", "ControlPath", "Projection", "ReferencePath", "project"]
