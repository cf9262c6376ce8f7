"""A picture that can be drawn in any theme, or words where there is nothing to draw."""

import io
import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html import escape
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from weightflow.report.theme import FONT, LIGHT, NARROW, Theme

RESOLUTION = 144
TIP = "tip: "  # begins the name of what shows the rest of it under the pointer


@dataclass(frozen=True)
class Drawn:
    """A picture in light colours.

    Attributes:
        files: suffix -> content.
        elements: for a page, whose colours and font they take: by `wide` and `narrow`, or one that is `single`.
    """

    files: dict[str, bytes]
    elements: dict[str, str]


@dataclass(frozen=True)
class Picture:
    """One picture of the report.

    Attributes:
        name: a word for files and anchors.
        title: heading.
        caption: what there is to see, or why there is nothing.
        alt: the picture in words, for those who cannot see it.
        draw: theme -> figure, as wide as the theme says; None if the caption says it all.
        small: whether it is never drawn wide, as it stands beside another one.
    """

    name: str
    title: str
    caption: str
    alt: str = ""
    draw: Callable[[Theme], Figure] | None = None
    small: bool = False

    def png(self, theme: Theme) -> bytes:
        """Return the drawn picture; the same input gives the same bytes."""
        with self._drawn(theme) as figure:
            return _png(figure)

    def drawn(self) -> Drawn:
        """Draw what a page and the files beside it need; the same input gives the same.

        Each width is drawn and laid out once, which is what takes time. Where there are only words, nothing is drawn.
        """
        if self.draw is None:
            return Drawn({}, {})
        widths = {"single": NARROW} if self.small else {"wide": LIGHT.width, "narrow": NARROW}
        files: dict[str, bytes] = {}
        elements: dict[str, str] = {}
        for name, width in widths.items():
            theme = replace(LIGHT, width=width)
            with self._drawn(theme) as figure:
                svg = self._svg(figure, theme)
                if not files:  # of the first
                    files = {"png": _png(figure), "svg": svg}
            elements[name] = _of_page(svg.decode(), self.alt)
        return Drawn(files, elements)

    def _svg(self, figure: Figure, theme: Theme) -> bytes:
        target = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": f"{self.name} {theme.width}"}):  # or two of one page share their names
            figure.savefig(target, format="svg", dpi=RESOLUTION, metadata={"Date": None, "Title": self.title})
        return re.sub(rb"^ +", b"", target.getvalue(), flags=re.MULTILINE)

    @contextmanager
    def _drawn(self, theme: Theme) -> Generator[Figure]:
        """Draw and lay out, which is what takes time; all formats are written of one figure."""
        if self.draw is None:
            raise ValueError(f"there is no picture `{self.name}` to draw, only words.")
        with mpl.rc_context(theme.settings()):
            figure = self.draw(theme)
            FigureCanvasAgg(figure)
            engine = figure.get_layout_engine()
            if engine is not None:
                engine.execute(figure)
            figure.set_layout_engine("none")
            yield figure


def _png(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=RESOLUTION, metadata={"Software": None})
    return target.getvalue()


def _of_page(svg: str, alt: str) -> str:
    """Turn a file into an element: no header, no names but those that are referred to, colours of the page."""
    body = svg[svg.index("</metadata>") + len("</metadata>") :]
    size = svg[svg.index("viewBox") :].split('"')[1]
    body = re.sub(rf'<g id="{TIP}([^"]*)">', r"<g><title>\1</title>", body)
    body = re.sub(r'<g id="[^"]*"', "<g", body).replace(f"font-family: '{FONT}'; ", "")
    body = re.sub(r"<style.*?</style>", "", body).replace(' transform="rotate(-0 ', ' data-was="')
    body = re.sub(r' data-was="[^"]*"', "", body)
    for name, colour in LIGHT.named.items():
        body = body.replace(f": {colour}", f": var(--p-{name})")
    return f'<svg role="img" aria-label="{escape(alt)}" viewBox="{size}">{body.strip()}'


def label_time(axis: Axes, unit: str) -> None:
    """Say on a time axis what times are measured in."""
    axis.set_xlabel(f"time ({unit})" if unit else "time")


def whole_numbers(axis: Axis) -> None:
    """Put ticks at whole numbers alone: there are no halves of what is counted."""
    axis.set_major_locator(MaxNLocator("auto", integer=True))


def tidy(bar: Colorbar) -> None:
    """Draw a scale without a frame, as one image instead of 256 pieces."""
    cast(Artist, bar.outline).set_visible(False)
    if bar.solids is not None:
        bar.solids.set_rasterized(True)


def grid_of_axes(n: int, theme: Theme, height: float, columns: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n` axes in rows of `columns`, each `height` inches high; below each other if narrow."""
    columns = 1 if theme.narrow else min(n, columns)
    rows = -(-n // columns)
    figure = Figure(figsize=(theme.width, height * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for unused in axes[n:]:
        unused.remove()
    return figure, list(axes[:n])


def legend_above(figure: Figure, handles: Sequence[Any], labels: Sequence[str], columns: int = 4) -> None:
    """Put one legend for all axes above them; a narrow picture has two columns."""
    narrow = figure.get_figwidth() < LIGHT.width
    figure.legend(list(handles), list(labels), loc="outside upper left", ncols=min(columns, 2) if narrow else columns)
