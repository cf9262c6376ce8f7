"""Fits of the backbone to snapshots."""

from weightflow.anchors.anchors import Anchors
from weightflow.anchors.fit import Alignment, AnchorOptions, fit_anchors, fit_base, go_on

__all__ = ["Alignment", "AnchorOptions", "Anchors", "fit_anchors", "fit_base", "go_on"]
