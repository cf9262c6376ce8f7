"""Models judged at conditions that they have not seen, beside what else could be made of the others."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from weightflow.data import Split, Value, in_words
from weightflow.dynamics import Between, Under
from weightflow.errors import InputError
from weightflow.evaluation import LeftOutCondition, Sampler, around, condition_baselines, evaluate, silently
from weightflow.evaluation.scores import LINE_BETWEEN
from weightflow.experiment.judging import DRAWS
from weightflow.model import WeightFlow
from weightflow.progress import Progress, unseen, within
from weightflow.side_by_side import Mapper, in_turn


def line_between(model: WeightFlow, at: Mapping[str, Value]) -> WeightFlow:
    """Return the variant that knows no conditions between two: a straight line in weights between those around.

    The model under one of those that were fitted is a model of that condition; what it has learned of how weights
    change between conditions shows where it differs from the line.

    Args:
        model: of several conditions.
        at: the condition that is asked for.

    Raises:
        InputError: the model has no conditions, or this one is not possible.
    """
    known = model.conditions
    if known is None:
        raise InputError("a line between conditions needs a model of several; name them when it is fitted.")
    *ends, place = around(known, known.point(at))
    first, second = (model.under(known.named(end)) for end in ends)
    if not isinstance(first.path, Under) or not isinstance(second.path, Under):
        return first  # its conditions do not differ
    return replace(first, path=Between(first.path, second.path, place), members=(), motion=None)


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
        methods: dict[str, Sampler] = {
            "model": silently(model, fold.at),
            **condition_baselines(fold.fit, known.point(fold.at), seed),
            LINE_BETWEEN: line_between(model, fold.at),
        }
        told = within(progress, f"scoring {in_words(fold.at)}")
        scores = evaluate(methods, parts, DRAWS, seed, progress=told, mapper=mapper)
        found.append(LeftOutCondition(fold.at, fold.extrapolation, scores))
    return found
