"""One drift for all intervals: how samples move, learned from snapshots alone."""

from weightflow.drift.drift import STEPS, Drift
from weightflow.drift.fit import fit_drifts

__all__ = ["STEPS", "Drift", "fit_drifts"]
