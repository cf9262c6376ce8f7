"""What the scores say, in plain words and computed from nothing but the numbers."""

from collections.abc import Sequence
from typing import Literal

from weightflow.errors import InputError
from weightflow.evaluation.floor import TOO_HIGH
from weightflow.evaluation.scores import FLOOR, MCCANN, MODEL, Scores
from weightflow.metrics import described

LEVEL = 0.01  # two scores are called level if they differ by less than this share of the larger one, or by chance
OWNERS = {
    "nearest": "the nearest snapshot's",
    "mixture": "the mixture's",
    "mccann": "McCann's",
    "bridge": "the bridge's",
    "chosen_bridge": "the chosen bridge's",
    "weights_line": "the straight line's in weights",
    "direct": "the direct path's",
}


def verdict(scores: Scores, metric: str) -> str:
    """Say how the model stands by one metric: against McCann, against the best baseline, and how far from the floor.

    Raises:
        InputError: there is no `model` among the methods.
    """
    parts = (_against_baselines(scores, metric), _chance(scores, metric), _against_floor(scores, metric))
    return " ".join(part for part in parts if part)


def summary(scores: Scores) -> str:
    """Say in one or two sentences whether the model beats McCann and every baseline, and by how many metrics.

    Raises:
        InputError: there is no `model` among the methods.
    """
    _require_model(scores)
    if not scores.baselines:
        return "The model was scored without any baseline beside it, so that there is nothing to say for or against it."
    comparable = _comparable(scores, scores.baselines)
    best, total = sum(_beats(scores, scores.baselines, metric) for metric in comparable), len(comparable)
    text = f"The model is better than {'every' if best else 'the best'} simple baseline on {_of(best, total)}."
    if best == total or MCCANN not in scores.methods:
        return text
    comparable = _comparable(scores, (MCCANN,))
    mccann = sum(_beats(scores, (MCCANN,), metric) for metric in comparable)
    return f"{text} It beats optimal-transport (McCann) interpolation on {_of(mccann, len(comparable))}."


def standing(scores: Scores, metric: str) -> Literal["wins", "level", "loses"]:
    """Say in a word how the model stands against the best baseline."""
    rival = best_baseline(scores, metric)
    order = -1 if rival is None else _order(scores, MODEL, rival, metric)
    return ("wins", "level", "loses")[order + 1]


def best_baseline(scores: Scores, metric: str) -> str | None:
    """Return the baseline with the lowest mean, None if none has this metric."""
    having = [baseline for baseline in scores.baselines if scores.has(baseline, metric)]
    return min(having, key=lambda baseline: scores.mean(baseline, metric), default=None)


def figure(value: float) -> str:
    """Write a score so that neighbouring ones can be told apart: about four digits, and no negative zero."""
    if abs(value) >= 1:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}"
    text = f"{value:.5f}" if abs(value) < 0.001 else f"{value:.4f}"
    return text if float(text) else text.lstrip("-")


def _against_baselines(scores: Scores, metric: str) -> str:
    _require_model(scores)
    text = f"The model's mean {metric}, {figure(scores.mean(MODEL, metric))},"
    rival = best_baseline(scores, metric)
    if rival is None:
        return f"{text} has no baseline beside it."
    named = [rival] if not scores.has(MCCANN, metric) or rival == MCCANN else [MCCANN, rival]
    places = " and ".join(_place(scores, method, metric) for method in named)
    return f"{text} is {places}{_consequence(scores, rival, metric)}"


def _place(scores: Scores, rival: str, metric: str) -> str:
    word = ("below", "level with", "above")[_order(scores, MODEL, rival, metric) + 1]
    owner = OWNERS.get(rival, f"{rival}'s")
    return f"{word} {owner} {figure(scores.mean(rival, metric))}"


def _consequence(scores: Scores, rival: str, metric: str) -> str:
    order = _order(scores, MODEL, rival, metric)
    if order < 0:
        all_have_it = all(scores.has(baseline, metric) for baseline in scores.baselines)
        return f": on this metric it beats every baseline{'' if all_have_it else ' that has it'}."
    return ": on this metric a simple baseline is " + ("as good." if order == 0 else "better.")


def _chance(scores: Scores, metric: str) -> str:
    """Say how far chance reaches, in the difference from McCann's score or, where it has none, from the best one."""
    rival = MCCANN if scores.has(MCCANN, metric) else best_baseline(scores, metric)
    interval = None if rival is None else scores.difference(MODEL, rival, metric)
    if rival is None or interval is None:
        return ""
    difference = scores.mean(MODEL, metric) - scores.mean(rival, metric)
    meaning = "no more than chance" if interval.low <= 0 <= interval.high else "more than chance"
    owner = OWNERS.get(rival, f"{rival}'s")
    return (
        f"Its difference from {owner}, {figure(difference)} (95 %: {figure(interval.low)} to {figure(interval.high)}), "
        f"is {meaning}."
    )


def _against_floor(scores: Scores, metric: str) -> str:
    if not scores.has(FLOOR, metric):
        return ""
    model, floor = scores.mean(MODEL, metric), scores.mean(FLOOR, metric)
    high = scores.floor.endswith(TOO_HIGH)  # whoever is level with this floor may be above the true one
    name = f"split-half floor of {figure(floor)}" if high else f"sampling floor of {figure(floor)}"
    if _order(scores, MODEL, FLOOR, metric) <= 0:
        return f"It is at or below the {name}{', which lies above the true floor' if high else ''}."
    known = described(metric)
    if floor <= 0 or (known is not None and known.signed):  # about zero on average: a ratio says nothing
        return f"It is {figure(model - floor)} above the {name}."
    return f"It is {model / floor:.2f} times the {name}."


def _comparable(scores: Scores, rivals: Sequence[str]) -> tuple[str, ...]:
    """Metrics that the model and any of the rivals have."""
    return tuple(
        metric
        for metric in scores.metrics
        if scores.has(MODEL, metric) and any(scores.has(rival, metric) for rival in rivals)
    )


def _beats(scores: Scores, rivals: Sequence[str], metric: str) -> bool:
    return all(_order(scores, MODEL, rival, metric) < 0 for rival in rivals if scores.has(rival, metric))


def _order(scores: Scores, first: str, second: str, metric: str) -> int:
    """-1, 0 or 1: below, level (nearly equal, or no further apart than chance takes them), above."""
    interval = scores.difference(first, second, metric)
    if interval is not None and interval.low <= 0 <= interval.high:
        return 0
    a, b = scores.mean(first, metric), scores.mean(second, metric)
    if abs(a - b) <= LEVEL * max(abs(a), abs(b)):
        return 0
    return -1 if a < b else 1


def _of(count: int, total: int) -> str:
    return {0: "no metric", total: "every metric"}.get(count, f"{count} of {total} metrics")


def _require_model(scores: Scores) -> None:
    if MODEL not in scores.methods:
        raise InputError(
            f"there is no `{MODEL}` among the methods ({', '.join(scores.methods)}); score one as `{MODEL}`."
        )
