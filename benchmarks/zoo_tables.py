"""What the rows of the zoo's benchmark say: verdicts, tables and a picture."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import common
import matplotlib as mpl
import zoo_data

mpl.use("Agg")
import matplotlib.pyplot as plt

NEAR = 1.15  # times the floor: where more samples than these are needed to see a difference
ENERGY, SLICED, JSD, TRANSPORT = "energy_distance", "sliced_w1", "paper_jsd", f"joint_w2_{zoo_data.CELLS}"
MODEL, FLOOR, MCCANN, MIXTURE, PERSISTENCE = "default", "floor", "mccann", "mixture", "persistence"
SHOWN = {  # colour and marker of each method in the picture
    MODEL: ("C3", "o"),
    "direct": ("C1", "s"),
    "cde": ("C4", "D"),
    MCCANN: ("C0", "x"),
    "chosen_bridge": ("C9", "+"),
    MIXTURE: ("C2", "^"),
    PERSISTENCE: ("0.5", "v"),
}
PLACES = {
    "fitted": "at the fitted times, on fresh trajectories",
    "between": "between the fitted times",
    "ahead": "one interval ahead of the last fitted time",
    "beyond": "within the interval after the last fitted time",
    "left out": "a time in the middle that was left out",
    "last left out": "the last time, left out",
}


@dataclass(frozen=True)
class Cell:
    """One method by one metric at one place, pooled over seeds.

    Attributes:
        mean: score.
        ahead: by how much the default's score is lower.
        low, high: of the 95 % interval of `ahead`; not numbers where it is not known.
        cpu: seconds of all its fits.
    """

    mean: float
    ahead: float
    low: float
    high: float
    cpu: float

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, str]]) -> "Cell":
        """Pool rows of one method, one for each seed; seeds are independent."""
        n = len(rows)
        mean, ahead, cpu = (sum(float(row[name]) for row in rows) / n for name in ("mean", "ahead", "cpu_seconds"))
        halves = [sum(_gap(row, side) ** 2 for row in rows) ** 0.5 / n for side in ("ahead_low", "ahead_high")]
        return cls(mean, ahead, ahead - halves[0], ahead + halves[1], cpu)


def _gap(row: Mapping[str, str], side: str) -> float:
    return float(row[side] or "nan") - float(row["ahead"])


class Found:
    """All cells of a CSV file."""

    def __init__(self, rows: Sequence[Mapping[str, str]]) -> None:
        grouped: dict[tuple[str, str, str, str], list[Mapping[str, str]]] = defaultdict(list)
        for row in rows:
            grouped[row["system"], row["where"], row["method"], row["metric"]].append(row)
        self._cells = {key: Cell.of(each) for key, each in grouped.items()}
        self.seeds = len({row["seed"] for row in rows})

    def systems(self, where: str) -> list[str]:
        """Systems that were scored there, in the order of the zoo."""
        return [system for system in zoo_data.SYSTEMS if (system, where, FLOOR, ENERGY) in self._cells]

    def networks(self, where: str) -> list[str]:
        """The same without the two equations."""
        return [system for system in self.systems(where) if system not in zoo_data.EQUATIONS]

    def methods(self, where: str) -> list[str]:
        """Methods that were scored there, in the order of the rows."""
        return list(dict.fromkeys(method for _, place, method, _ in self._cells if place == where))

    def cell(self, system: str, where: str, method: str, metric: str) -> Cell:
        """Return one cell."""
        return self._cells[system, where, method, metric]

    def has(self, system: str, where: str, method: str, metric: str = ENERGY) -> bool:
        """Whether there is such a cell."""
        return (system, where, method, metric) in self._cells

    def multiple(self, system: str, where: str, method: str, metric: str = ENERGY) -> float:
        """Return the mean as a multiple of the floor's."""
        return self.cell(system, where, method, metric).mean / self.cell(system, where, FLOOR, metric).mean

    def leading(self, system: str, where: str) -> str:
        """Return the metric that forecasts are judged by: JSD of counts, else the energy distance."""
        return JSD if self.has(system, where, MODEL, JSD) else ENERGY


def reaches_fitted(found: Found, system: str) -> bool:
    """Whether fresh trajectories at the fitted times cannot be told from the model's samples by much."""
    return all(found.multiple(system, "fitted", MODEL, metric) <= NEAR for metric in (ENERGY, SLICED))


def leads_between(found: Found, system: str) -> bool:
    """Whether the default is ahead of McCann and the mixture beyond chance between the times, or at the floor."""
    rivals = [found.cell(system, "between", rival, ENERGY) for rival in (MCCANN, MIXTURE)]
    return found.multiple(system, "between", MODEL) <= NEAR or all(rival.low > 0 for rival in rivals)


def level_between(found: Found, system: str) -> bool:
    """Whether neither of the two is ahead of the default beyond chance, or it is at the floor."""
    rivals = [found.cell(system, "between", rival, ENERGY) for rival in (MCCANN, MIXTURE)]
    return leads_between(found, system) or not any(rival.high < 0 for rival in rivals)


def forecasts(found: Found, system: str) -> bool:
    """Whether the default is below the better of persistence and drift one interval ahead, or at the floor."""
    metric = found.leading(system, "ahead")
    best = min(found.cell(system, "ahead", rival, metric).mean for rival in (PERSISTENCE, MCCANN))
    return (
        found.cell(system, "ahead", MODEL, metric).mean < best or found.multiple(system, "ahead", MODEL, metric) <= NEAR
    )


def forecasts_well(found: Found, system: str) -> bool:
    """Whether the default is within twice the floor one interval ahead."""
    return found.multiple(system, "ahead", MODEL, found.leading(system, "ahead")) <= 2


def equation_between(found: Found, system: str) -> bool:
    """Whether W2 between the times is half of McCann's, or at the floor, whichever is larger."""
    mccann, floor = (found.cell(system, "between", method, TRANSPORT).mean for method in (MCCANN, FLOOR))
    return found.cell(system, "between", MODEL, TRANSPORT).mean <= max(0.5 * mccann, NEAR * floor)


def equation_ahead(found: Found, system: str) -> bool:
    """Whether W2 one interval ahead is a fifth of persistence's."""
    model, persistence = (found.cell(system, "ahead", method, TRANSPORT).mean for method in (MODEL, PERSISTENCE))
    return model <= 0.2 * persistence


Test = Callable[[Found, str], bool]
# what is asked, where, of which systems, the test, and the share of systems that must pass it
ASKED: tuple[tuple[str, str, bool, Test, float], ...] = (
    ("at the fitted times within 1.15 x floor (energy, sliced W1)", "fitted", True, reaches_fitted, 1.0),
    (
        "between them ahead of McCann and mixture beyond chance, or at the floor",
        "between",
        True,
        leads_between,
        13 / 15,
    ),
    ("between them level with both or better", "between", True, level_between, 1.0),
    ("one interval ahead below persistence and drift, or within 1.15 x floor", "ahead", True, forecasts, 13 / 15),
    ("one interval ahead within 2 x floor", "ahead", True, forecasts_well, 8 / 15),
    ("equations: W2 between <= 0.5 x McCann or 1.15 x floor", "between", False, equation_between, 1.0),
    ("equations: W2 one interval ahead <= 0.2 x persistence", "ahead", False, equation_ahead, 1.0),
)


def write_markdown(rows: Sequence[Mapping[str, str]], path: Path, picture: str) -> None:
    """Write verdicts, then a table for each place."""
    found = Found(rows)
    text = common.head("The zoo: all built-in systems, and two equations") + (
        f"\nMeans over {found.seeds} seed(s), each with data of its own. Lower is better; all is scored on fresh "
        "samples, 1,000 of the method against 1,000 of the system (equations: 200 against 200). The floor is what as "
        "many samples of the true system score, mean over draws of three times as many. Networks are fitted at eleven "
        "times (forecasts: the first "
        "eight), equations at ten. Beyond chance: outside the 95 % interval of the difference, by which other samples "
        "of the system and of the methods would change it; what other fits would change it does not tell.\n\n"
        f"![multiples of the floor]({picture})\n\n## What is asked\n\n"
    )
    text += common.table(["asked of the default", "systems", "bar", "held by", "not by"], _answers(found))
    text += (
        "\n## By system\n\nMultiples of the floor; at the equations W2 (exact) beside McCann's and persistence's.\n\n"
    )
    text += _by_system(found) + "\n" + _equations(found)
    for where, words in PLACES.items():
        if found.systems(where):
            text += f"\n## Energy distance, multiples of the floor: {words}\n\n" + _by_method(found, where)
    path.write_text(text)


def _answers(found: Found) -> list[list[str]]:
    lines: list[list[str]] = []
    for words, where, of_networks, test, share in ASKED:
        systems = [s for s in found.systems(where) if (s in found.networks(where)) is of_networks]
        if systems:
            failed = [system for system in systems if not test(found, system)]
            bar, held = ceil(share * len(systems) - 1e-9), len(systems) - len(failed)
            yes = "**" if held >= bar else ""
            lines.append([words, str(len(systems)), str(bar), f"{yes}{held}{yes}", ", ".join(failed) or "-"])
    return lines


def _by_system(found: Found) -> str:
    columns = [
        "system",
        "fitted: energy",
        "sliced W1",
        "between: energy",
        "McCann",
        "mixture",
        "leads by",
        "mixture by",
    ]
    columns += ["ahead", "persistence", "drift", "CPU s"]
    lines: list[list[str]] = []
    for system in zoo_data.SYSTEMS:
        ahead = found.leading(system, "ahead")
        cells = [
            *_multiples(found, system, "fitted", [(MODEL, ENERGY), (MODEL, SLICED)]),
            *_multiples(found, system, "between", [(MODEL, ENERGY), (MCCANN, ENERGY), (MIXTURE, ENERGY)]),
            *(_lead(found, system, rival) for rival in (MCCANN, MIXTURE)),
            *_multiples(found, system, "ahead", [(MODEL, ahead), (PERSISTENCE, ahead), (MCCANN, ahead)]),
        ]
        cpu = [found.cell(system, w, MODEL, ENERGY).cpu for w in ("between", "ahead") if found.has(system, w, MODEL)]
        if cpu:
            lines.append([system, *cells, f"{sum(cpu) / len(cpu):.0f}"])
    note = "\n`leads by`: energy distance of McCann and of the mixture minus the default's, with its 95 % interval. "
    return common.table(columns, lines) + note + "`ahead` is JSD for counts, else the energy distance.\n"


def _multiples(found: Found, system: str, where: str, wanted: Sequence[tuple[str, str]]) -> list[str]:
    return [
        f"{found.multiple(system, where, method, metric):.2f}" if found.has(system, where, method, metric) else "-"
        for method, metric in wanted
    ]


def _lead(found: Found, system: str, rival: str) -> str:
    if not found.has(system, "between", rival):
        return "-"
    cell = found.cell(system, "between", rival, ENERGY)
    return f"{cell.ahead:.3g} ({cell.low:.3g} to {cell.high:.3g})"


def _equations(found: Found) -> str:
    lines: list[list[str]] = []
    for where in ("fitted", "between", "ahead"):
        for system in found.systems(where):
            if system in zoo_data.EQUATIONS:
                names = (MODEL, MCCANN, MIXTURE, PERSISTENCE, FLOOR)
                means = [f"{found.cell(system, where, name, TRANSPORT).mean:.3f}" for name in names]
                lines.append([system, where, *means])
    columns = ["W2", "where", MODEL, "McCann, drift", MIXTURE, PERSISTENCE, FLOOR]
    return common.table(columns, lines) if lines else ""


def _by_method(found: Found, where: str) -> str:
    methods = [method for method in found.methods(where) if method != FLOOR]
    lines = [
        [
            system,
            *(
                f"{found.multiple(system, where, name):.2f}" if found.has(system, where, name) else "-"
                for name in methods
            ),
            f"{found.cell(system, where, FLOOR, ENERGY).mean:.4g}",
        ]
        for system in found.systems(where)
    ]
    shown = ["drift" if name == MCCANN and where in {"ahead", "beyond", "last left out"} else name for name in methods]
    return common.table(["system", *shown, "floor"], lines)


def draw(rows: Sequence[Mapping[str, str]], path: Path) -> None:
    """Draw each method's energy distance as a multiple of the floor, by system and place."""
    found = Found(rows)
    places = [where for where in ("fitted", "between", "ahead") if found.systems(where)]
    if not places:
        return
    systems = [system for system in zoo_data.SYSTEMS if any(system in found.systems(where) for where in places)]
    size = (3.6 * len(places) + 2, 0.34 * len(systems) + 1.8)
    figure, axes = plt.subplots(1, len(places), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, where in zip(axes[0], places, strict=True):
        axis.axvspan(1, NEAR, color="0.85", lw=0)
        for method, (color, marker) in SHOWN.items():
            at = [system for system in systems if found.has(system, where, method)]
            values = [found.multiple(system, where, method) for system in at]
            if not at:
                continue
            rows_of = [systems.index(system) for system in at]
            axis.plot(values, rows_of, marker, color=color, label=method, ms=8 if method == MODEL else 5, mew=1.4)
        axis.set(xscale="log", title=PLACES[where], xlabel="energy distance, multiples of the floor")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.set_yticks(range(len(systems)), systems)
        axis.grid(axis="y", color="0.93")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].invert_yaxis()
    handles, labels = axes[0][-1].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=len(SHOWN))
    figure.savefig(path, dpi=130)
    plt.close(figure)
