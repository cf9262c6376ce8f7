"""WeightFlow: the distribution of a stochastic system at every time, learned from snapshots."""

from weightflow.data import Snapshots
from weightflow.experiment import fit_model as fit
from weightflow.model import WeightFlow, load
from weightflow.presets import preset

__version__ = "0.1.0"

__all__ = ["Snapshots", "WeightFlow", "fit", "load", "preset"]
