"""Optimal-transport couplings between snapshots, and samples between them."""

from weightflow.bridge.bridge import Bridge
from weightflow.bridge.chain import Chain
from weightflow.bridge.choice import BridgeChoice, build_bridge, choose_bridge
from weightflow.bridge.coupling import Coupling, couple
from weightflow.bridge.options import BridgeOptions, CouplingKind, Curve, Spread

__all__ = [
    "Bridge",
    "BridgeChoice",
    "BridgeOptions",
    "Chain",
    "Coupling",
    "CouplingKind",
    "Curve",
    "Spread",
    "build_bridge",
    "choose_bridge",
    "couple",
]
