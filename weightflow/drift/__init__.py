"""One drift for all intervals: how samples move, learned from snapshots alone."""

from weightflow.drift.drift import STEPS, Drift, Varied
from weightflow.drift.fit import fit_drifts

__all__ = ["STEPS", "Drift", "Varied", "fit_drifts"]
