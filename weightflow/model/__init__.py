"""The learned distribution at any time, in the data's own units: one noun of it in each file."""

from weightflow.model.bands import Band
from weightflow.model.draws import Draws
from weightflow.model.export import export_model
from weightflow.model.flow import Numbers, WeightFlow, load
from weightflow.model.standing import forecasts_in_words, in_words
from weightflow.model.statistics import Moments

__all__ = [
    "Band",
    "Draws",
    "Moments",
    "Numbers",
    "WeightFlow",
    "export_model",
    "forecasts_in_words",
    "in_words",
    "load",
]
