"""The Pareto front of a search with several criteria, and the trial that is recommended on it."""

import math
from collections.abc import Sequence

from weightflow.trials import Criterion, Front, TrialRecord

RULE = (
    "of the trials on the front whose score is within one standard error of the best one's, the one with the lowest "
    "geometric mean of the other criteria"
)


def pareto_front(finished: Sequence[TrialRecord], criteria: tuple[Criterion, ...]) -> Front | None:
    """Return the trials that no other one beats in all criteria; None where no trial finished."""
    if not finished:
        return None
    kept = [one for one in finished if not any(_dominates(other, one, criteria) for other in finished)]
    kept.sort(key=lambda record: record.value(Criterion.SCORE))
    best = kept[0]
    limit = best.value(Criterion.SCORE) + best.history[-1]["score_error"]
    near = [record for record in kept if record.value(Criterion.SCORE) <= limit]
    others = [criterion for criterion in criteria if criterion is not Criterion.SCORE]
    cheapest = min(near, key=lambda record: math.prod(record.value(criterion) for criterion in others))
    return Front(criteria, tuple(kept), cheapest.number, RULE)


def _dominates(one: TrialRecord, other: TrialRecord, criteria: tuple[Criterion, ...]) -> bool:
    pairs = [(one.value(criterion), other.value(criterion)) for criterion in criteria]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
