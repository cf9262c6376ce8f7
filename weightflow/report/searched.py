"""The pictures of a search, which all reports show."""

from weightflow.report.content import Searched
from weightflow.report.picture import Picture
from weightflow.report.plots.curves import curves
from weightflow.report.plots.front import front
from weightflow.report.plots.history import history
from weightflow.report.plots.importances import importances
from weightflow.report.plots.parallel import parallel
from weightflow.report.plots.repeats import repeats


def search_pictures(report: Searched) -> tuple[Picture, ...]:
    """Return what there is to see of a search; words where there was none."""
    return (
        *([front(report.front, report.trials)] if report.front else []),
        *([repeats(report.repeats)] if len(report.repeats) > 1 else []),
        history(report),
        curves(report.trials, report.best),
        parallel(report),
        importances(report),
    )
