"""Fits of the backbone to snapshots, and their cache."""

from weightflow.anchors.anchors import Anchors
from weightflow.anchors.cache import ArrayCache
from weightflow.anchors.fit import Alignment, AnchorOptions, fit_anchors, fit_base, go_on

__all__ = ["Alignment", "AnchorOptions", "Anchors", "ArrayCache", "fit_anchors", "fit_base", "go_on"]
