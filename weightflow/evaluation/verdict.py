"""What the scores say, in plain words and computed from nothing but the numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from weightflow.errors import InputError
from weightflow.evaluation.across import MIXTURE, NEAREST, TRANSPORT
from weightflow.evaluation.floor import TOO_HIGH
from weightflow.evaluation.scores import FITTED, FLOOR, MCCANN, MODEL, Scores
from weightflow.metrics import described, labelled

BAR = ("persistence", "mixture", "mccann")  # what costs nothing: a model that does not beat it is not worth having
CONDITION_BAR = (NEAREST, MIXTURE, TRANSPORT)  # the same where conditions are left out
EARLIER = "earlier"
LEVEL = 0.01  # two scores are called level if they differ by less than this share of the larger one, or by chance
NAMES = {
    "nearest": "the nearest snapshot",
    "persistence": "persistence",
    "mixture": "the mixture",
    "mccann": "McCann's interpolation",
    "bridge": "the bridge",
    "chosen_bridge": "the chosen bridge",
    NEAREST: "the nearest condition",
    MIXTURE: "the mixture of conditions",
    TRANSPORT: "transport between conditions",
}
SELECTED = (
    "Read the model's scores as selected: the search chose its configuration at these very {where}, as there are too "
    "few to keep some apart. On data that nobody has chosen by it may do worse; the alternatives were not chosen."
)
KNOWN = (
    "All these times were fitted: the scores say how well the model describes what it has seen, and nothing of how it "
    "predicts."
)
OWNERS = {
    "nearest": "the nearest snapshot's",
    "persistence": "the last snapshot's",
    "mixture": "the mixture's",
    "mccann": "McCann's",
    "bridge": "the bridge's",
    "chosen_bridge": "the chosen bridge's",
    NEAREST: "the nearest condition's",
    MIXTURE: "the mixture of conditions'",
    TRANSPORT: "that of transport between conditions",
}


def beats(scores: Scores, rival: str, metric: str) -> bool:
    """Whether the model's mean lies below the rival's by more than chance; where that is not known, it does not."""
    interval = scores.difference(MODEL, rival, metric)
    return interval is not None and interval.high < 0


def bar(scores: Scores) -> tuple[str, ...]:
    """Return what a model must beat to be worth having."""
    return CONDITION_BAR if scores.places else BAR


def clears_bar(scores: Scores) -> bool:
    """Whether the model beats what costs nothing beyond chance, by the leading metric.

    That is persistence, the mixture and McCann; where conditions were left out, the nearest one, the mixture of
    neighbours and transport between them.
    """
    return all(beats(scores, rival, scores.leading) for rival in bar(scores))


def below_bar(scores: Scores) -> str:
    """Say which of those that a model must beat to be worth having it does not beat."""
    rivals = [rival for rival in bar(scores) if not beats(scores, rival, scores.leading)]
    return f"it does not beat {_listed([NAMES.get(rival, rival) for rival in rivals])} beyond chance."


def replaces(scores: Scores, earlier: Scores) -> bool:
    """Whether the model is better beyond chance than that of earlier scores, by the leading metric of both.

    Scores of other test samples, or at other times, cannot be compared: then it is not. Where the two were grouped by
    other seeds, what the samples do to both does not cancel, so that the interval is too wide rather than too narrow.
    """
    metric = scores.leading
    if not (comparable(scores, earlier) and earlier.has(MODEL, metric)):
        return False
    return beats(_beside(scores, earlier), EARLIER, metric)


def comparable(scores: Scores, other: Scores) -> bool:
    """Whether two models were scored on the same data at the same times, as far as that is known."""
    return bool(scores.data) and (scores.data, scores.times) == (other.data, other.times)


def closest(models: Mapping[str, Scores]) -> str:
    """Say in one sentence which of several comparable models is closest to the data, and whether beyond chance.

    It goes by the leading metric of the first one.

    Raises:
        InputError: a model has no score by that metric.
    """
    metric = next(iter(models.values())).leading
    first, *others = sorted(models, key=lambda name: models[name].mean(MODEL, metric))
    pairs = {name: _beside(models[first], models[name]) for name in others}
    figures = {name: f"{name} ({figure(scores.mean(MODEL, metric))})" for name, scores in models.items()}
    behind = [figures[name] for name, pair in pairs.items() if _order(pair, MODEL, EARLIER, metric) < 0]
    level = [figures[name] for name, pair in pairs.items() if _order(pair, MODEL, EARLIER, metric) >= 0]
    chance = "beyond chance" if all(one.difference(MODEL, EARLIER, metric) for one in pairs.values()) else "in the mean"
    told = [
        *([f"is closer to the data than {_listed(behind)} {chance}"] if behind else []),
        *([f"is level within chance with {_listed(level)}"] if level else []),
    ]
    perfect = _perfect(models[first], metric)
    return f"By {labelled(metric)}, {figures[first]} {' and '.join(told)}{f'; {perfect}' if perfect else ''}."


def _beside(scores: Scores, earlier: Scores) -> Scores:
    """Return the scores of two models, `MODEL` and `EARLIER`, by which they are held against each other."""
    return replace(
        scores,
        methods={MODEL: scores.methods[MODEL], EARLIER: earlier.methods[MODEL]},
        groups={MODEL: scores.groups.get(MODEL, {}), EARLIER: earlier.groups.get(MODEL, {})},
    )


def verdict(scores: Scores, metric: str) -> str:
    """Say how the model stands by one metric: against McCann, against the best alternative, and how far from the floor.

    Raises:
        InputError: there is no `model` among the methods.
    """
    parts = (_against_alternatives(scores, metric), _chance(scores, metric), _against_floor(scores, metric))
    return " ".join(part for part in parts if part)


def summary(scores: Scores) -> str:
    """Say how far the model is from the floor, which alternatives it beats beyond chance, and where one of them wins.

    It goes by one metric, which it names (`Scores.leading`), and looks at the others for alternatives that win.

    Raises:
        InputError: there is no `model` among the methods.
    """
    _require_model(scores)
    metric = scores.leading
    told = (
        (_beaten(scores, metric), _elsewhere(scores, metric))
        if scores.alternatives
        else ("It was scored without any alternative beside it.",)
    )
    return " ".join((_distance(scores, metric), *told, *_caveats(scores)))


def short_summary(scores: Scores) -> str:
    """Say the answer, by how many of the metrics an alternative wins, and what must be known to read it rightly.

    Raises:
        InputError: there is no `model` among the methods.
    """
    having = [metric for metric in scores.metrics if scores.has(MODEL, metric) and best_alternative(scores, metric)]
    lost = sum(standing(scores, metric) == "loses" for metric in having)
    told = [f"An alternative wins by {lost} of {len(having)} metrics."] if having else []
    return " ".join((answer(scores), *told, *_caveats(scores)))


def _caveats(scores: Scores) -> tuple[str, ...]:
    selected = SELECTED.format(where="conditions" if scores.places else "times")
    return (*([selected] if scores.selected else []), *([KNOWN] if scores.protocol == FITTED else []))


def answer(scores: Scores) -> str:
    """Say in one sentence how the model stands, by the leading metric, with the numbers that it takes to judge it.

    Raises:
        InputError: there is no `model` among the methods.
    """
    _require_model(scores)
    metric = scores.leading
    rival, own = best_alternative(scores, metric), f"{labelled(metric)} {figure(scores.mean(MODEL, metric))}"
    perfect = _perfect(scores, metric)
    if rival is None:
        return f"The model has {own}{f'; {perfect}' if perfect else ''}, and nothing was scored beside it."
    orders = [_order(scores, MODEL, one, metric) for one in scores.alternatives if scores.has(one, metric)]
    sure = "" if scores.difference(MODEL, rival, metric) is None else " beyond chance"
    head = {
        -1: f"The model is closer to the data than every alternative{sure}",
        0: f"The model and the best alternative, {NAMES.get(rival, rival)}, are level within chance",
        1: f"{NAMES.get(rival, rival)} is closer to the data than the model{sure}",
    }[max(orders)]
    other = f"{NAMES.get(rival, rival)} has {figure(scores.mean(rival, metric))}"
    text = f"{head}: it has {own}, {other}{f', and {perfect}' if perfect else ''}."
    text = text.replace(": it has", ": the model has") if max(orders) >= 0 else text
    return f"{text[0].upper()}{text[1:]}"


def _perfect(scores: Scores, metric: str) -> str:
    """Say what the best possible score is, as far as that is known."""
    if not scores.has(FLOOR, metric):
        return ""
    floor = figure(scores.mean(FLOOR, metric))
    if scores.floor.endswith(TOO_HIGH):
        return f"a perfect model would have less than {floor}"
    return f"a perfect model would have {floor}"


def _distance(scores: Scores, metric: str) -> str:
    text = f"By {labelled(metric)} the model has {figure(scores.mean(MODEL, metric))}"
    against = _against_floor(scores, metric)
    return f"{text}. {against}" if against else f"{text}; there is no floor to hold against it."


def _beaten(scores: Scores, metric: str) -> str:
    """Sort the alternatives by how the model stands to them."""
    orders = {a: _order(scores, MODEL, a, metric) for a in scores.alternatives if scores.has(a, metric)}
    if not orders:
        return "No alternative has this metric."
    by_order = {sign: [NAMES.get(a, a) for a, order in orders.items() if order == sign] for sign in (-1, 0, 1)}
    chance = "beyond chance" if all(scores.difference(MODEL, a, metric) for a in orders) else "in the mean"
    if len(by_order[-1]) == len(orders):
        return f"It beats every alternative {chance}: {_listed(by_order[-1])}."
    parts = (
        f"it beats {_listed(by_order[-1])} {chance}" if by_order[-1] else "it beats no alternative " + chance,
        f"is level with {_listed(by_order[0])}" if by_order[0] else "",
        f"loses to {_listed(by_order[1])}" if by_order[1] else "",
    )
    text = ", ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}."


def _elsewhere(scores: Scores, leading: str) -> str:
    """Name the other metrics by which an alternative wins."""
    others = [metric for metric in scores.metrics if metric != leading and scores.has(MODEL, metric)]
    lost = [metric for metric in others if standing(scores, metric) == "loses"]
    if not others:
        return "Nothing else was measured."
    if not lost:
        return "By no other metric an alternative wins."
    return "By other metrics an alternative wins: " + ", ".join(_winner(scores, metric) for metric in lost) + "."


def _winner(scores: Scores, metric: str) -> str:
    rival = best_alternative(scores, metric) or ""
    misled = " (which rewards too little spread here)" if scores.rewards_shrinking(metric) else ""
    return f"{NAMES.get(rival, rival)} by {labelled(metric)}{misled}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def standing(scores: Scores, metric: str) -> Literal["wins", "level", "loses", "alone"]:
    """Say in a word how the model stands against the best alternative, if there is one."""
    rival = best_alternative(scores, metric)
    return "alone" if rival is None else ("wins", "level", "loses")[_order(scores, MODEL, rival, metric) + 1]


def best_alternative(scores: Scores, metric: str) -> str | None:
    """Return the alternative with the lowest mean, None if none has this metric."""
    having = [one for one in scores.alternatives if scores.has(one, metric)]
    return min(having, key=lambda one: scores.mean(one, metric), default=None)


def figure(value: float) -> str:
    """Write a score so that neighbouring ones can be told apart: about four digits, and no negative zero."""
    if abs(value) >= 1:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}"
    text = f"{value:.5f}" if abs(value) < 0.001 else f"{value:.4f}"
    return text if float(text) else text.lstrip("-")


def _against_alternatives(scores: Scores, metric: str) -> str:
    _require_model(scores)
    text = f"The model's mean {labelled(metric)}, {figure(scores.mean(MODEL, metric))},"
    rival = best_alternative(scores, metric)
    if rival is None:
        return f"{text} has no alternative beside it."
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
        all_have_it = all(scores.has(one, metric) for one in scores.alternatives)
        return f": on this metric it beats every alternative{'' if all_have_it else ' that has it'}."
    return ": on this metric an alternative is " + ("as good." if order == 0 else "better.")


def _chance(scores: Scores, metric: str) -> str:
    """Say how far chance reaches, in the difference from McCann's score or, where it has none, from the best one."""
    rival = MCCANN if scores.has(MCCANN, metric) else best_alternative(scores, metric)
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


def _order(scores: Scores, first: str, second: str, metric: str) -> int:
    """-1, 0 or 1: below, level (nearly equal, or no further apart than chance takes them), above."""
    interval = scores.difference(first, second, metric)
    if interval is not None and interval.low <= 0 <= interval.high:
        return 0
    a, b = scores.mean(first, metric), scores.mean(second, metric)
    if abs(a - b) <= LEVEL * max(abs(a), abs(b)):
        return 0
    return -1 if a < b else 1


def _require_model(scores: Scores) -> None:
    if MODEL not in scores.methods:
        raise InputError(
            f"there is no `{MODEL}` among the methods ({', '.join(scores.methods)}); score one as `{MODEL}`."
        )
