"""Networks that describe a distribution, as pure functions of (weights, samples)."""

from weightflow.backbones.gru import GRUBackbone, GRUOptions
from weightflow.backbones.layout import Layer, TokenLayout

__all__ = ["GRUBackbone", "GRUOptions", "Layer", "TokenLayout"]
