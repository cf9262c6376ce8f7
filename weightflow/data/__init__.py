"""Snapshots, readers and splits."""

from weightflow.data.advice import advice
from weightflow.data.condition_splits import conditions_left_out, leave_one_condition_out
from weightflow.data.conditions import Conditions, Covariate, Point, Scale, Value, as_options, in_words
from weightflow.data.dataset import SPECIES, Dataset, every_nth
from weightflow.data.grid import parse_times
from weightflow.data.parts import Fold, Protocol, Split
from weightflow.data.reading import ReadOptions, from_anndata, read
from weightflow.data.shape import Shape, shapes
from weightflow.data.snapshots import Snapshots
from weightflow.data.splits import leave_one_out, split
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
    "as_options",
    "at_times",
    "conditions_left_out",
    "every_nth",
    "from_anndata",
    "in_words",
    "leave_one_condition_out",
    "leave_one_out",
    "parse_times",
    "read",
    "shapes",
    "split",
]
