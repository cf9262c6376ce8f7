"""One drift for all intervals: how samples move, learned from snapshots alone."""

from weightflow.drift.drift import STEPS, Drift, Varied, drift_of
from weightflow.drift.fit import fit_drifts

__all__ = ["STEPS", "Drift", "Varied", "drift_of", "fit_drifts"]
