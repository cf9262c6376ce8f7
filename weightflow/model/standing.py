"""How a model stands to the snapshots that it was fitted to, as its record tells it."""

from collections.abc import Mapping
from typing import Any

from weightflow.data.words import written

LAG = 0.002  # nats by which a value of a species may be less likely than under the path that a solution was taught on


def in_words(fidelity: Mapping[str, Any]) -> str:
    """Say in a sentence what a model's record holds under `fidelity`, and what it took."""
    rounds = {"teacher": "path", "fit": "solution"}
    more = [
        f"the {name} in {fidelity['rounds'][key]} rounds" for key, name in rounds.items() if fidelity["rounds"][key] > 1
    ]
    took = f" (fitted with more than was asked: {' and '.join(more)})" if more else ""
    lag = fidelity.get("lag", 0.0)  # records of older versions have none
    behind = (
        f" Its solution falls behind the path that it was taught on, by {lag:.2g} nats per value: more "
        "rounds (`training.rounds`), a larger field (`dynamics.hidden`) or more rollouts (`training.rollout_steps`) "
        "may follow; `dynamics.kind: direct` is that path."
        if lag > LAG
        else ""
    )
    if not fidelity["missed"]:
        return (
            f"its draws reach the fitted snapshots{took}: they are typically {fidelity['ratio']:.1f} times as far from "
            "the data, or as widely spread, as chance takes them, where nothing finer than 2 % of a species' deviation "
            f"over all times is looked at.{behind}"
        )
    times = ", ".join(written(time) for time in fidelity["missed"])
    return (
        f"its draws can be told from the fitted snapshots at t = {times}{took}: they are typically "
        f"{fidelity['ratio']:.1f} times as far from the data, or as widely spread, as chance takes them. More rounds "
        "(`teacher.rounds`, `training.rounds`) or a larger backbone (`backbone.hidden`, `backbone.components`) may "
        "reach "
        f"them.{behind}"
    )


def forecasts_in_words(forecast: Mapping[str, Any] | None, rests: bool = False) -> str:
    """Say in a sentence what a model's record holds under `forecast`: where they come from, and what they are worth.

    Distances are energy distances at the last snapshot, forecast without having seen it, in deviations of each species.

    Args:
        forecast: what the record holds; none where no drift was tried.
        rests: whether the model stands still beyond the last snapshot (`WeightFlow.rests`).
    """
    alone = (
        "none: beyond the last snapshot all stands still, since the field alone would run away there"
        if rests
        else "by the field alone, as it goes on, which nothing supports"
    )
    if forecast is None:
        return (
            f"{alone}; no drift was tried for them (that takes `bridge.curve: auto`, five times or more, few species, "
            "and a last snapshot that can be told from the one before), and nothing here says what they are worth."
        )
    held_out = (
        f"the held-out last snapshot was forecast by a drift with energy distance {forecast['drift']:.2g}, where the "
        f"snapshot before has {forecast['persistence']:.2g}, transport that goes on {forecast['transport']:.2g}, and "
        f"chance alone makes {forecast['floor']:.2g}"
    )
    if forecast["by"] == "drift":
        return (
            f"taught by a drift up to t = {forecast['until']:g}, beyond which the field goes on alone and nothing "
            f"supports it; {held_out}."
        )
    return f"{alone}; no drift was kept for them: {held_out}."
