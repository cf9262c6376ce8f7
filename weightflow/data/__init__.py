"""Snapshots, readers and splits."""

from weightflow.data.advice import advice
from weightflow.data.conditions import Conditions, Covariate, Point, Scale, Value, in_words
from weightflow.data.dataset import SPECIES, Dataset, every_nth
from weightflow.data.grid import parse_times
from weightflow.data.reading import ReadOptions, from_anndata, read
from weightflow.data.shape import Shape, shapes
from weightflow.data.snapshots import Snapshots
from weightflow.data.splits import Fold, Protocol, Split, leave_one_out, split
from weightflow.data.words import at_times

__all__ = [
    "SPECIES",
    "Conditions",
    "Covariate",
    "Dataset",
    "Fold",
    "Point",
    "Protocol",
    "ReadOptions",
    "Scale",
    "Shape",
    "Snapshots",
    "Split",
    "Value",
    "advice",
    "at_times",
    "every_nth",
    "from_anndata",
    "in_words",
    "leave_one_out",
    "parse_times",
    "read",
    "shapes",
    "split",
]
