"""One drift for all intervals: how samples move, learned from snapshots alone."""

from weightflow.drift.drift import Drift
from weightflow.drift.fit import fit_drifts

__all__ = ["Drift", "fit_drifts"]
