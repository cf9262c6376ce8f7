"""Objectives, the teacher, and the loop."""

from weightflow.training.collocation import Collocation
from weightflow.training.loop import Checkpoint, EpochReport, Training
from weightflow.training.objectives import AnchorDistance, LogRatio, RolloutObjective
from weightflow.training.options import Objective, TeacherOptions, TrainingOptions
from weightflow.training.sensitivity import sensitivity
from weightflow.training.teacher import Teacher, fit_teacher

__all__ = [
    "AnchorDistance",
    "Checkpoint",
    "Collocation",
    "EpochReport",
    "LogRatio",
    "Objective",
    "RolloutObjective",
    "Teacher",
    "TeacherOptions",
    "Training",
    "TrainingOptions",
    "fit_teacher",
    "sensitivity",
]
