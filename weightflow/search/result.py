"""What a search hands to a notebook or a script."""

from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from weightflow.errors import WeightFlowError
from weightflow.evaluation import Scores, summary
from weightflow.model import WeightFlow, load
from weightflow.search.folder import MODEL, REPORT
from weightflow.search.results.outcome import Outcome
from weightflow.search.study.reading import load_study
from weightflow.trials import TrialRecord

if TYPE_CHECKING:
    import optuna
    import pandas as pd


@dataclass(frozen=True)
class SearchResult:
    """A search that has ended, or was interrupted.

    Attributes:
        outcome: all that it has left; what follows reads it.
    """

    outcome: Outcome

    @property
    def folder(self) -> Path:
        """Where everything lies."""
        return self.outcome.folder

    @property
    def finished(self) -> bool:
        """Whether it came to its end: a model was fitted and judged."""
        return self.outcome.scores is not None

    @property
    def best(self) -> TrialRecord | None:
        """The trial that won: its `params`, `score`, `seconds`; None where none finished."""
        return self.outcome.best

    @property
    def scores(self) -> Scores:
        """Test scores of the model, its alternatives and the floor.

        Raises:
            WeightFlowError: the search was interrupted before.
        """
        if self.outcome.scores is None:
            raise WeightFlowError(f"the search was interrupted before anything was scored; {self._how_to_go_on}")
        return self.outcome.scores

    @cached_property
    def model(self) -> WeightFlow:
        """The best configuration, fitted to all that may be fitted.

        Raises:
            WeightFlowError: the search was interrupted before.
        """
        if not self.finished:
            raise WeightFlowError(f"the search was interrupted before its model was fitted; {self._how_to_go_on}")
        return load(self.folder / MODEL)

    @property
    def report(self) -> Path:
        """The HTML page, which stands alone and can be sent to a colleague."""
        return self.folder / REPORT

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """One row a trial, the best first: number, state, score, epochs, seconds, why it failed, and its parameters."""
        import pandas as pd

        rows = [
            {
                "trial": record.number,
                "state": record.state.value,
                "score": record.score,
                "epochs": record.epochs,
                "seconds": record.seconds,
                "repeat_of": record.repeat_of,
                "reason": record.reason,
                **record.chosen,
            }
            for record in self.outcome.trials
        ]
        table = pd.DataFrame(rows).astype({"score": float, "repeat_of": "Int64"}) if rows else pd.DataFrame()
        return table.sort_values("score", kind="stable").set_index("trial") if rows else table

    @property
    def study(self) -> "optuna.Study":
        """Optuna's study of these trials, for its own plots and importances; it is read from the search's folder."""
        return load_study(self.folder)

    @property
    def _how_to_go_on(self) -> str:
        return f"go on with `resume={self.folder.name!r}`."

    def __repr__(self) -> str:
        said = summary(self.scores) if self.finished else f"interrupted; {self._how_to_go_on}"
        return f"SearchResult({self.folder.name}: {len(self.outcome.trials)} trials. {said})"

    def _repr_html_(self) -> str:
        """What Jupyter shows: the verdict, the trials, and where the report is."""
        said = summary(self.scores) if self.finished else f"Interrupted; {self._how_to_go_on}"
        shown = self.trials.dropna(axis=1, how="all").head(10)
        place = f'<p>Report: <a href="{escape(self.report.as_uri())}">{escape(str(self.report))}</a></p>'
        table = str(shown.to_html(max_cols=12, float_format="{:.4g}".format))
        return f"<p><b>{escape(said)}</b></p>{table}{place if self.finished else ''}"
