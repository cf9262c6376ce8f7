"""Objectives, the teacher, and the loop."""

from weightflow.training.collocation import Collocation
from weightflow.training.loop import EpochReport, train
from weightflow.training.objectives import AnchorDistance, Likelihood, RolloutObjective
from weightflow.training.options import Objective, TeacherOptions, TrainingOptions
from weightflow.training.teacher import Teacher, fit_teacher

__all__ = [
    "AnchorDistance",
    "Collocation",
    "EpochReport",
    "Likelihood",
    "Objective",
    "RolloutObjective",
    "Teacher",
    "TeacherOptions",
    "TrainingOptions",
    "fit_teacher",
    "train",
]
