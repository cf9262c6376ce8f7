"""The page: one HTML file that needs nothing else, and its pictures as files beside it."""

from collections.abc import Sequence
from pathlib import Path

from weightflow.data import SPECIES, Protocol
from weightflow.data.words import listed
from weightflow.files import write_text
from weightflow.report.content import Report
from weightflow.report.picture import Picture
from weightflow.report.plots.bands import bands
from weightflow.report.plots.calibration import calibration
from weightflow.report.plots.distances import distances
from weightflow.report.plots.errors import errors
from weightflow.report.plots.fan import fan
from weightflow.report.plots.joint import joint
from weightflow.report.plots.marginals import marginals
from weightflow.report.plots.motion import motion
from weightflow.report.plots.observed import observe, sizes_in_words
from weightflow.report.plots.overview import overview
from weightflow.report.plots.ranges import ranges
from weightflow.report.plots.weights import weights
from weightflow.report.rendered import Shown, environment, save_pictures, told_of
from weightflow.report.searched import search_pictures

MANY_DIMENSIONS = (
    "In so many dimensions joint W1 and W2 between finite clouds reward too little spread: points that are drawn "
    "together lie nearer to every other point. The row of the shrunk truth (a true sample at half its spread) shows "
    "how much; where it is below the floor, a low value is no merit. The verdict therefore leads with proper scores: "
    "energy distance, likelihood, sliced distances."
)
JUDGED: dict[str, str] = {  # by protocol, what is special about the times
    Protocol.FORECAST: " after the last of them",
    Protocol.LEAVE_ONE_OUT: ", each of which was left out of a fit in turn",
    Protocol.INTERPOLATION: " that it was not fitted to",
    Protocol.PAPER: ", those of the fit included",
}
OTHER_COLUMNS = "The data are {called}: where this page speaks of species, it means these."


def write_report(path: Path, report: Report) -> tuple[Path, ...]:
    """Write the page, and its pictures for a light page as `pictures/NAME.png` and `.svg`; each is whole or not there.

    The page needs none of these files: it holds the pictures itself.

    Args:
        path: of the HTML file; its folder is made if there is none.
        report: what to tell.

    Returns:
        the paths of the pictures, sorted.
    """
    shown, files = save_pictures(path.parent / "pictures", _pictures(report))
    write_text(path, _page(report, shown))
    return files


def _pictures(report: Report) -> tuple[Picture, ...]:
    observed = observe(report)
    return (
        overview(observed),
        distances(report.scores),
        errors(report),
        marginals(observed),
        joint(observed),
        ranges(observed),
        *bands(observed, report.model),
        calibration(observed),
        fan(report, observed),
        *motion(report),
        weights(report),
        *search_pictures(report),
    )


def _page(report: Report, shown: Sequence[Shown]) -> str:
    told = told_of(report, report.unit, shown)
    return environment().get_template("report.html.j2").render(told, asked=_asked(report), caveats=_caveats(report))


def _asked(report: Report) -> str:
    """Say what was given and what was to be learned."""
    data = report.observed
    count = len(report.scores.times)
    times = "one time" if count == 1 else f"{count} times"
    each = f" of {sizes_in_words(report.sizes)} each" if report.sizes else ""
    return (
        f"How are {listed(data.species)} distributed at any time? Learned from {len(report.anchors_times)} snapshots"
        f"{each}; judged at {times}{JUDGED.get(report.scores.protocol, '')}."
    )


def _caveats(report: Report) -> list[str]:
    """What a reader must know to read the scores rightly."""
    notes = [OTHER_COLUMNS.format(called=report.called)] if report.called != SPECIES else []
    notes += [f"Sampling floor (what a perfect model would score, by chance alone): {report.scores.floor}."]
    if report.scores.groups:
        notes.append(
            "Intervals (±) are of 95 % and tell what other samples of the same sizes would change, of the data and of "
            "each method as it was fitted; not what another fit would change. Two methods are compared by the interval "
            "of their difference, which is narrower than the two together, as both are scored on the same data."
        )
    if report.scores.variants:
        notes.append(
            "Alternatives are what somebody without the model could take. Variants come out of the model's own fit; "
            "the verdict does not count them."
        )
    if report.scores.many_dimensions:
        notes.append(MANY_DIMENSIONS)
    if report.scores.protocol == Protocol.LEAVE_ONE_OUT:
        notes.append(
            "Each scored time was left out in turn: all methods are given the other times alone, and pictures show at "
            "each scored time draws of the fit that has not seen it. The model that is left was fitted to all times."
        )
    if report.scores.protocol == Protocol.PAPER:
        notes.append(
            "Under the paper's protocol the scored trajectories are those that were fitted: baselines that rearrange "
            "them can fall below the floor. For a fair ranking use the protocol interpolation or forecast."
        )
    if report.scores.protocol == Protocol.FORECAST:
        notes.append(
            "All scored times lie beyond the last seen snapshot: McCann and bridge samples both drift on there."
        )
    return notes
