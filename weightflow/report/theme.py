"""Colours for a light and a dark page.

The hues are those of Okabe and Ito, which stay apart for colour-blind readers; lines differ in dashes as well.
"""

from dataclasses import dataclass
from typing import Any

from matplotlib.colors import LinearSegmentedColormap


@dataclass(frozen=True)
class Style:
    """How a method is drawn."""

    label: str
    dashes: str | tuple[int, tuple[float, ...]]
    width: float


STYLES = {
    "model": Style("model", "-", 2.2),
    "mccann": Style("McCann interpolation", "-", 1.3),
    "bridge": Style("bridge samples", (0, (5.0, 2.0)), 1.3),
    "chosen_bridge": Style("chosen bridge", (0, (5.0, 1.5, 1.5, 1.5)), 1.3),
    "mixture": Style("mixture of neighbours", (0, (3.0, 1.5, 1.0, 1.5)), 1.3),
    "nearest": Style("nearest snapshot", (0, (1.0, 1.2)), 1.5),
    "persistence": Style("persistence (last snapshot)", (0, (1.0, 2.5)), 1.5),
    "weights_line": Style("straight line in weights", (0, (7.0, 2.0, 1.0, 2.0, 1.0, 2.0)), 1.3),
    "direct": Style("direct path, no field", (0, (2.0, 2.0)), 1.3),
    "shrunk_truth": Style("shrunk truth (half its spread)", (0, (1.0, 4.0)), 1.0),
    "floor": Style("sampling floor", "-", 1.0),
    "transport_between_conditions": Style("transport between conditions", "-", 1.3),
    "mixture_of_conditions": Style("mixture of conditions", (0, (3.0, 1.5, 1.0, 1.5)), 1.3),
    "weights_line_between_conditions": Style("line in weights", (0, (7.0, 2.0, 1.0, 2.0, 1.0, 2.0)), 1.3),
    "nearest_condition": Style("nearest condition", (0, (1.0, 1.2)), 1.5),
}
# what does the same between conditions as another between times has its colour
LIKE = {
    "transport_between_conditions": "mccann",
    "mixture_of_conditions": "mixture",
    "nearest_condition": "nearest",
    "weights_line_between_conditions": "weights_line",
}


FONT = "DejaVu Sans"  # of files; a page takes its own
DENSITY = (0.16, 0.49, 0.75)
TIMES = ("#7c6fd6", "#2f86cf", "#1f9e89", "#8a9a1f", "#d0781c", "#d4447c")
WIDE = 10.0  # inches, of a picture that fills the page
NARROW = 4.4  # of one on a telephone, or of one of two beside each other


@dataclass(frozen=True)
class Theme:
    """Colours of pictures on one kind of page, and how wide they are."""

    background: str
    ink: str
    muted: str
    grid: str
    methods: dict[str, str]
    width: float = WIDE

    @property
    def narrow(self) -> bool:
        """Whether there is room for one plot beside another only if both are small."""
        return self.width < WIDE

    @property
    def named(self) -> dict[str, str]:
        """All colours by the names of the page's variables."""
        own = {"background": self.background, "ink": self.ink, "muted": self.muted, "grid": self.grid}
        return own | {name.replace("_", "-"): colour for name, colour in self.methods.items()}

    def colour(self, method: str) -> str:
        """Colour of a method's line."""
        return self.methods.get(LIKE.get(method, method), self.muted)

    def density_map(self) -> LinearSegmentedColormap:
        """Colour map from nothing (never) to a full tone (often), which stands out from a light and a dark page."""
        return LinearSegmentedColormap.from_list("density", [(*DENSITY, 0.0), (*DENSITY, 0.55), (*DENSITY, 1.0)])

    def time_map(self) -> LinearSegmentedColormap:
        """Colour map of times, from the first to the last: all tones stand out from a light and a dark page."""
        return LinearSegmentedColormap.from_list("time", TIMES)

    def settings(self) -> dict[Any, Any]:
        """Matplotlib's settings, to be put in force while a picture is drawn."""
        return {
            "font.size": 10,
            "font.family": [FONT],
            "svg.fonttype": "none",
            "legend.fontsize": 8.5 if self.narrow else 9.5,
            "legend.handlelength": 1.4 if self.narrow else 2.0,
            "legend.columnspacing": 1.0 if self.narrow else 2.0,
            "axes.titlesize": 10.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.linewidth": 0.8,
            "grid.linewidth": 0.6,
            "legend.frameon": False,
            "figure.facecolor": self.background,
            "axes.facecolor": self.background,
            "savefig.facecolor": self.background,
            "text.color": self.ink,
            "axes.labelcolor": self.muted,
            "axes.titlecolor": self.ink,
            "axes.edgecolor": self.grid,
            "grid.color": self.grid,
            "xtick.color": self.muted,
            "ytick.color": self.muted,
        }


LIGHT = Theme(
    background="#ffffff",
    ink="#1c2430",
    muted="#5b6675",
    grid="#e3e8ee",
    methods={
        "model": "#d55e00",
        "mccann": "#0072b2",
        "bridge": "#009e73",
        "chosen_bridge": "#4d7c0f",
        "mixture": "#b0568f",
        "nearest": "#b58900",
        "persistence": "#8a6d3b",
        "weights_line": "#56b4e9",
        "direct": "#7a4fb5",
        "shrunk_truth": "#8a94a3",
        "floor": "#c3cbd5",
    },
)
DARK = Theme(
    background="#171c24",
    ink="#e8edf3",
    muted="#a3afbd",
    grid="#2c3440",
    methods={
        "model": "#ff8a3d",
        "mccann": "#56b4e9",
        "bridge": "#2fc79a",
        "chosen_bridge": "#a8d65c",
        "mixture": "#e39ccb",
        "nearest": "#e6b93c",
        "persistence": "#c9a66b",
        "weights_line": "#8fa8ff",
        "direct": "#b79cf0",
        "shrunk_truth": "#8a94a3",
        "floor": "#4b5665",
    },
)
