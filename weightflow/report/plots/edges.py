"""Axes that end above the bulk of the scores, with marks at the edge for what lies beyond."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

BULK = 0.75  # share of the scores that are shown whatever the others are
REACH = 4.0  # times the distance from the best to the worst of them, above it


def top_of_bulk(scores: np.ndarray) -> float:
    """Return the largest score that is not far above most: one diverging trial would flatten all others."""
    low, most = float(scores.min()), float(np.quantile(scores, BULK, method="lower"))
    near = scores[scores <= most + REACH * (most - low)]
    return float(near.max())


def end_above_bulk(axis: Axes, scores: np.ndarray) -> float:
    """Let an axis of scores end a little above the bulk of them, and return where that is; lower ones are all shown."""
    low, top = float(scores.min()), top_of_bulk(scores)
    margin = 0.08 * (top - low) or 0.05 * abs(low) or 1.0
    axis.set_ylim(low - margin, top + margin)
    return top


def mark_at_edge(
    axis: Axes, x: Sequence[int] | Sequence[float], height: float, marker: str, colour: str, label: str
) -> None:
    """Put marks at a height between 0, the lower edge, and 1, the upper one."""
    if len(x):
        where = axis.get_xaxis_transform()
        axis.plot(x, [height] * len(x), marker, color=colour, ms=6, transform=where, clip_on=False, label=label)
