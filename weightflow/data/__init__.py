"""Snapshots, readers and splits."""

from weightflow.data.advice import advice
from weightflow.data.dataset import Dataset, every_nth
from weightflow.data.grid import parse_times
from weightflow.data.readers import read
from weightflow.data.snapshots import Snapshots
from weightflow.data.splits import Fold, Protocol, Split, leave_one_out, split
from weightflow.data.words import listed

__all__ = [
    "Dataset",
    "Fold",
    "Protocol",
    "Snapshots",
    "Split",
    "advice",
    "every_nth",
    "leave_one_out",
    "listed",
    "parse_times",
    "read",
    "split",
]
