"""The learned distribution at any time, in the data's own units: one noun of it in each file."""

from weightflow.model.bands import Band
from weightflow.model.draws import Draws
from weightflow.model.export import export_model
from weightflow.model.flow import Numbers, WeightFlow, load
from weightflow.model.inference import WEIGHT, WEIGHT_ALONE, Prior, infer, interval
from weightflow.model.standing import forecasts_in_words, in_words
from weightflow.model.statistics import Moments

__all__ = [
    "WEIGHT",
    "WEIGHT_ALONE",
    "Band",
    "Draws",
    "Moments",
    "Numbers",
    "Prior",
    "WeightFlow",
    "export_model",
    "forecasts_in_words",
    "in_words",
    "infer",
    "interval",
    "load",
]
