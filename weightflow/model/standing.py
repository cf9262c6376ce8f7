"""How a model stands to the snapshots that it was fitted to, as its record tells it."""

from collections.abc import Mapping
from typing import Any


def in_words(fidelity: Mapping[str, Any]) -> str:
    """Say in a sentence what a model's record holds under `fidelity`, and what it took."""
    rounds = {"teacher": "path", "fit": "solution"}
    more = [
        f"the {name} in {fidelity['rounds'][key]} rounds" for key, name in rounds.items() if fidelity["rounds"][key] > 1
    ]
    took = f" (fitted with more than was asked: {' and '.join(more)})" if more else ""
    if not fidelity["missed"]:
        return f"its draws cannot be told from the fitted snapshots{took}."
    times = ", ".join(f"{time:g}" for time in fidelity["missed"])
    return (
        f"its draws can be told from the fitted snapshots at t = {times}{took}: they are typically "
        f"{fidelity['ratio']:.1f} times as far from the data as chance takes them. More rounds (`teacher.rounds`, "
        "`training.rounds`) or a larger backbone (`backbone.hidden`, `backbone.components`) may reach them."
    )
