"""How much each hyperparameter mattered, by Optuna's own measure."""

import warnings
from functools import partial

from matplotlib.figure import Figure
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from weightflow.report.content import Searched
from weightflow.report.picture import Picture
from weightflow.report.theme import Theme

FEWEST_TRIALS = 8  # below, the importances are those of chance
SHOWN = 12
TITLE = "Hyperparameter importances"


def importances(report: Searched) -> Picture:
    """Show which hyperparameters the score depended on, or say why that cannot be told."""
    trials = [] if report.study is None else report.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    why = _why_not(report.study, trials)
    if report.study is None or why:
        return Picture("importances", TITLE, why)
    # with scikit-learn, which takes a second or two: most short searches have nothing to compute
    from optuna.importance import get_param_importances

    several = len(report.study.directions) > 1
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of few trials, which the picture tells
        values = get_param_importances(report.study, target=_first_value if several else None)
    shown = list(values.items())[:SHOWN]
    return Picture(
        "importances",
        TITLE,
        f"Share of each hyperparameter in what made scores differ, by Optuna over {len(trials)} trials, each "
        "scored after equally many epochs. A small share means that the values tried made little difference, not that "
        "no value would.",
        alt="Bar chart of the share of each hyperparameter: "
        + ", ".join(f"{name} {value:.0%}" for name, value in shown)
        + ".",
        draw=partial(_draw, shown),
    )


def _why_not(study: Study | None, trials: list[FrozenTrial]) -> str:
    """Return the reason why importances cannot be computed, empty if they can."""
    if study is None:
        return "There was no search, so that no hyperparameter was varied."
    if len(trials) < FEWEST_TRIALS:
        trial_s = "1 trial" if len(trials) == 1 else f"{len(trials)} trials"
        return f"{trial_s} can be compared; telling what mattered takes {FEWEST_TRIALS} at least."
    if len({_first_value(trial) for trial in trials}) == 1:
        return f"All {len(trials)} trials have the same score, so that nothing can be said to have mattered."
    names = {name for trial in trials for name in trial.params}
    if not any(len({repr(trial.params.get(name)) for trial in trials}) > 1 for name in names):
        return "All trials have the same configuration."
    return ""


def _first_value(trial: FrozenTrial) -> float:
    return trial.values[0]


def _draw(shown: list[tuple[str, float]], theme: Theme) -> Figure:
    figure = Figure(figsize=(theme.width, 0.7 + 0.33 * len(shown)), layout="constrained")
    axis = figure.subplots()
    names, values = zip(*reversed(shown), strict=True)
    bars = axis.barh(names, values, color=theme.colour("mccann"), height=0.62)
    axis.bar_label(bars, [f"{value:.0%}" if value >= 0.01 else "under 1%" for value in values], padding=5, fontsize=9.5)
    axis.grid(visible=False, axis="y")
    axis.set_xlim(0, max(values) * 1.12)
    axis.tick_params(axis="y", length=0, labelcolor=theme.ink)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.set_xlabel("share")
    return figure
