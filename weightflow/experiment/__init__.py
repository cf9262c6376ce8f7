"""One experiment: from snapshots and a configuration to a trained model.

`prepare` does once what depends on the data alone (anchors, teachers); a `Trial` trains one phi on it. A search shares
the first among its trials; a single fit does both. Whatever is fitted is held against the fitted snapshots, and goes
on, or begins anew with more, where it can be told from them.
"""

from weightflow.experiment.attempt import Attempt
from weightflow.experiment.config import ExperimentConfig, flat_keys, flatten, nest, preset, whole_keys
from weightflow.experiment.fitting import fit_model
from weightflow.experiment.judging import DRAWS, Fitted, fit_each, judge, reference_points, seconds_to_judge, shown
from weightflow.experiment.judging_conditions import judge_conditions, line_between
from weightflow.experiment.members import check_members, fitting, told_of, with_members
from weightflow.experiment.preparation import (
    PREPARED,
    Preparation,
    Prepared,
    direct_model,
    line_model,
    prepare,
    prepares_as,
)
from weightflow.experiment.trial import Trial

__all__ = [
    "DRAWS",
    "PREPARED",
    "Attempt",
    "ExperimentConfig",
    "Fitted",
    "Preparation",
    "Prepared",
    "Trial",
    "check_members",
    "direct_model",
    "fit_each",
    "fit_model",
    "fitting",
    "flat_keys",
    "flatten",
    "judge",
    "judge_conditions",
    "line_between",
    "line_model",
    "nest",
    "prepare",
    "prepares_as",
    "preset",
    "reference_points",
    "seconds_to_judge",
    "shown",
    "told_of",
    "whole_keys",
    "with_members",
]
