"""Snapshots, readers and splits."""

from weightflow.data.dataset import Dataset, every_nth
from weightflow.data.grid import parse_times
from weightflow.data.readers import read
from weightflow.data.snapshots import Snapshots
from weightflow.data.splits import Protocol, Split, split

__all__ = ["Dataset", "Protocol", "Snapshots", "Split", "every_nth", "parse_times", "read", "split"]
