"""Models judged at conditions that they have not seen, beside what else could be made of the others."""

from collections.abc import Sequence

from weightflow.data import Split, in_words
from weightflow.errors import InputError
from weightflow.evaluation import LeftOutCondition, condition_baselines, evaluate, silently
from weightflow.experiment.judging import DRAWS
from weightflow.model import WeightFlow
from weightflow.progress import Progress, unseen, within
from weightflow.side_by_side import Mapper, in_turn


def judge_conditions(
    models: Sequence[WeightFlow],
    courses: Sequence[Split],
    seed: int,
    progress: Progress = unseen,
    mapper: Mapper = in_turn,
) -> list[LeftOutCondition]:
    """Score each model at the condition that its fit has left out.

    Args:
        models: one for each condition.
        courses: what is scored of it (`Split.courses`).
        seed: decides every draw.
        progress: told how far it is.
        mapper: measures side by side if it likes.

    Raises:
        InputError: there are no conditions, or too few samples to be scored.
    """
    found: list[LeftOutCondition] = []
    for model, parts in zip(models, courses, strict=True):
        (fold,) = parts.tests
        known = fold.fit.conditions
        if known is None:
            raise InputError("what is scored by conditions must have been fitted to some; name them.")
        methods = {"model": silently(model, fold.at), **condition_baselines(fold.fit, known.point(fold.at), seed)}
        told = within(progress, f"scoring {in_words(fold.at)}")
        scores = evaluate(methods, parts, DRAWS, seed, progress=told, mapper=mapper)
        found.append(LeftOutCondition(fold.at, fold.extrapolation, scores))
    return found
