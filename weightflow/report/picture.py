"""A picture that can be drawn in any theme, or words where there is nothing to draw."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from weightflow.report.theme import Theme

RESOLUTION = 144


@dataclass(frozen=True)
class Picture:
    """One picture of the report.

    Attributes:
        name: a word for files and anchors.
        title: heading.
        caption: what there is to see, or why there is nothing.
        alt: the picture in words, for those who cannot see it.
        draw: theme -> figure; None if the caption says it all.
    """

    name: str
    title: str
    caption: str
    alt: str = ""
    draw: Callable[[Theme], Figure] | None = None

    def png(self, theme: Theme) -> bytes:
        """Return the drawn picture; the same input gives the same bytes."""
        if self.draw is None:
            raise ValueError(f"there is no picture `{self.name}` to draw, only words.")
        with mpl.rc_context(theme.settings()):
            figure = self.draw(theme)
            FigureCanvasAgg(figure)
            target = io.BytesIO()
            figure.savefig(target, format="png", dpi=RESOLUTION, metadata={"Software": None})
        return target.getvalue()


def label_time(axis: Axes, unit: str) -> None:
    """Say on a time axis what times are measured in."""
    axis.set_xlabel(f"time ({unit})" if unit else "time")


def grid_of_axes(n: int, width: float, height: float, columns: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n` axes in rows of `columns`, each `height` inches high."""
    columns = min(n, columns)
    rows = -(-n // columns)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for unused in axes[n:]:
        unused.remove()
    return figure, list(axes[:n])
