"""Distances between two clouds of samples: NumPy arrays of shape (samples, species) in, one number out.

`METRICS` lists them all, with what they are called and what they are measured in; each can also tell how much every
sample contributes to its uncertainty (`Metric.estimate`).
"""

from weightflow.metrics.correlation import correlation_error
from weightflow.metrics.energy import energy_distance
from weightflow.metrics.estimate import Estimate
from weightflow.metrics.joint import joint_w1, joint_w2
from weightflow.metrics.likelihood import estimate_nll
from weightflow.metrics.mmd import mmd_median, mmd_paper
from weightflow.metrics.paper import paper_jsd, paper_w1
from weightflow.metrics.registry import METRICS, NLL, Measure, Metric, applicable, described, labelled
from weightflow.metrics.sliced import sliced_w1, sliced_w2
from weightflow.metrics.species import species_w1

__all__ = [
    "METRICS",
    "NLL",
    "Estimate",
    "Measure",
    "Metric",
    "applicable",
    "correlation_error",
    "described",
    "energy_distance",
    "estimate_nll",
    "joint_w1",
    "joint_w2",
    "labelled",
    "mmd_median",
    "mmd_paper",
    "paper_jsd",
    "paper_w1",
    "sliced_w1",
    "sliced_w2",
    "species_w1",
]
