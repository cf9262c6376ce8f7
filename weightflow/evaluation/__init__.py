"""Scores of samplers against held-out data, beside baselines and the sampling floor."""

from weightflow.evaluation.across import BetweenConditions, around, condition_baselines
from weightflow.evaluation.baselines import (
    BridgeSamples,
    ChosenBridge,
    McCann,
    Mixture,
    Nearest,
    Persistence,
    baselines,
)
from weightflow.evaluation.conditions import LeftOutCondition, overall, read_conditions, write_conditions
from weightflow.evaluation.courses import by_course, silently
from weightflow.evaluation.density import Density
from weightflow.evaluation.fidelity import POINTS, REPEATS, Fidelity, fidelity, held_against
from weightflow.evaluation.floor import Floor, check_scorable
from weightflow.evaluation.held_out import HeldOut, held_out_score, score_of_conditions
from weightflow.evaluation.indistinct import FLOOR_LEVEL, FLOOR_POWER, SHIFT, floor_p_value, floor_power
from weightflow.evaluation.left_out import LeftOut, LeftOutModel, left_out, left_out_model
from weightflow.evaluation.sampler import Sampler
from weightflow.evaluation.score import evaluate, seconds_to_evaluate
from weightflow.evaluation.scores import Interval, Scores
from weightflow.evaluation.verdict import (
    answer,
    bar,
    beats,
    below_bar,
    clears_bar,
    closest,
    comparable,
    figure,
    replaces,
    short_summary,
    summary,
    verdict,
)
from weightflow.model import forecasts_in_words, in_words

__all__ = [
    "FLOOR_LEVEL",
    "FLOOR_POWER",
    "POINTS",
    "REPEATS",
    "SHIFT",
    "BetweenConditions",
    "BridgeSamples",
    "ChosenBridge",
    "Density",
    "Fidelity",
    "Floor",
    "HeldOut",
    "Interval",
    "LeftOut",
    "LeftOutCondition",
    "LeftOutModel",
    "McCann",
    "Mixture",
    "Nearest",
    "Persistence",
    "Sampler",
    "Scores",
    "answer",
    "around",
    "bar",
    "baselines",
    "beats",
    "below_bar",
    "by_course",
    "check_scorable",
    "clears_bar",
    "closest",
    "comparable",
    "condition_baselines",
    "evaluate",
    "fidelity",
    "figure",
    "floor_p_value",
    "floor_power",
    "forecasts_in_words",
    "held_against",
    "held_out_score",
    "in_words",
    "left_out",
    "left_out_model",
    "overall",
    "read_conditions",
    "replaces",
    "score_of_conditions",
    "seconds_to_evaluate",
    "short_summary",
    "silently",
    "summary",
    "verdict",
    "write_conditions",
]
