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
}


@dataclass(frozen=True)
class Theme:
    """Colours of pictures on one kind of page."""

    background: str
    ink: str
    muted: str
    grid: str
    methods: dict[str, str]
    density: tuple[str, ...]

    def colour(self, method: str) -> str:
        """Colour of a method's line."""
        return self.methods.get(method, self.muted)

    def density_map(self) -> LinearSegmentedColormap:
        """Colour map from the page's background (never) to the strongest tone (often)."""
        return LinearSegmentedColormap.from_list("density", list(self.density))

    def settings(self) -> dict[Any, Any]:
        """Matplotlib's settings, to be put in force while a picture is drawn."""
        return {
            "font.size": 10,
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
    density=("#ffffff", "#d3e4f3", "#7fb3d9", "#2f7ab9", "#0b3c74"),
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
    density=("#171c24", "#173a5e", "#2a78b5", "#7cc0ee", "#eaf6ff"),
)
