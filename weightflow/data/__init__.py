"""Snapshots, readers and splits."""

from weightflow.data.snapshots import Snapshots

__all__ = ["Snapshots"]
