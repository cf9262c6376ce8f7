"""Autoregressive networks as pure functions of their weights, and their layout as a weight graph."""

from weightflow.backbones.backbone import MAX_VALUES, Backbone
from weightflow.backbones.layout import Layer, TokenLayout
from weightflow.backbones.options import BackboneOptions, CoreKind, Order
from weightflow.types import HeadKind

__all__ = ["MAX_VALUES", "Backbone", "BackboneOptions", "CoreKind", "HeadKind", "Layer", "Order", "TokenLayout"]
