"""Distances between two clouds of samples: NumPy arrays of shape (samples, species) in, one number out.

`METRICS` lists them all, with what they are called and what they are measured in.
"""

from weightflow.metrics.energy import energy_distance
from weightflow.metrics.joint import joint_w1, joint_w2
from weightflow.metrics.mmd import mmd_median, mmd_paper
from weightflow.metrics.paper import paper_jsd, paper_w1
from weightflow.metrics.registry import METRICS, Metric, applicable
from weightflow.metrics.sliced import sliced_w1, sliced_w2
from weightflow.metrics.species import species_w1

__all__ = [
    "METRICS",
    "Metric",
    "applicable",
    "energy_distance",
    "joint_w1",
    "joint_w2",
    "mmd_median",
    "mmd_paper",
    "paper_jsd",
    "paper_w1",
    "sliced_w1",
    "sliced_w2",
    "species_w1",
]
