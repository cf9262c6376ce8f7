"""Optimal-transport couplings between snapshots, and samples between them."""

from weightflow.bridge.bridge import Bridge
from weightflow.bridge.coupling import couple

__all__ = ["Bridge", "couple"]
