"""How sure a forecast is, in words: the further beyond the last fitted time, the louder."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from weightflow.data.words import written

if TYPE_CHECKING:
    from weightflow.model import Band, WeightFlow

LEVEL = 0.9
TOLD = 4  # of many times beyond the last fitted one so many are told of, the furthest among them


def means(model: "WeightFlow", times: Float[np.ndarray, "time"]) -> "Band | None":
    """Return the band of the means; None of a model that was fitted without members."""
    return model.band("mean", times, LEVEL) if model.members else None


def beyond(model: "WeightFlow", times: Float[np.ndarray, "time"]) -> str:
    """Warn of times beyond the last fitted one: how much wider the bands of the means are there; empty if none is."""
    first, last = model.span
    later = times[times > last]
    if not len(later):
        return ""
    reach = (later.max() - last) / (last - first)
    said = f"warning: the forecast goes {reach:.2g} times the fitted span beyond t = {written(last)}; "
    some = later[np.unique(np.linspace(0, len(later) - 1, min(TOLD, len(later))).round().astype(int))]
    found = means(model, np.array([last, *some]))
    if found is None:
        return said + "nothing here says how sure they are: fit with --members 10 for bands.\n"
    width = found.width.numpy()
    moving = width[0] > 0
    ratios = np.median(width[1:, moving] / width[0, moving], axis=1) if moving.any() else np.ones(len(some))
    told = ", ".join(f"{ratio:.1f} at t = {written(t)}" for ratio, t in zip(ratios, some, strict=True))
    return said + (
        f"the {LEVEL:.0%} bands of the means, in units of those at t = {written(last)}, are as wide as {told}, and "
        "hold only "
        "if the system goes on as it did.\n"
    )
