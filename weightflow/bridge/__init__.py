"""Optimal-transport couplings between snapshots, and samples between them."""

from weightflow.bridge.ahead import Forecast
from weightflow.bridge.bridge import Bridge
from weightflow.bridge.bridges import Bridges
from weightflow.bridge.chain import Chain
from weightflow.bridge.choice import BridgeChoice, build_bridge, build_bridges, choose_bridge
from weightflow.bridge.coupling import Coupling, couple
from weightflow.bridge.family import Across, ConditionOptions, Draws, Family, neighbours, seen
from weightflow.bridge.lengthened import samples_for_fitting
from weightflow.bridge.options import BridgeOptions, CouplingKind, Curve, Spread
from weightflow.bridge.pace import Pace
from weightflow.bridge.smoothed import Samples, Smoothed, kernel_widths
from weightflow.bridge.tried import DRIFT_ROUNDS

__all__ = [
    "DRIFT_ROUNDS",
    "Across",
    "Bridge",
    "BridgeChoice",
    "BridgeOptions",
    "Bridges",
    "Chain",
    "ConditionOptions",
    "Coupling",
    "CouplingKind",
    "Curve",
    "Draws",
    "Family",
    "Forecast",
    "Pace",
    "Samples",
    "Smoothed",
    "Spread",
    "build_bridge",
    "build_bridges",
    "choose_bridge",
    "couple",
    "kernel_widths",
    "neighbours",
    "samples_for_fitting",
    "seen",
]
