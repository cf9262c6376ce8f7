"""A search that goes on while its store is away: what MLflow misses is sent at the end, or by `sync`."""

from collections.abc import Iterable

from weightflow.tracking.config import TrackingConfig
from weightflow.tracking.facts import RunFacts
from weightflow.tracking.link import Link
from weightflow.tracking.results import Results
from weightflow.tracking.search_run import SearchRun
from weightflow.trials import TrialRecord


def open_run(config: TrackingConfig, search_id: str, facts: RunFacts, known: bool) -> "SearchRun | LaterRun":
    """Open the runs of a search that is about to run.

    Args:
        config: of the store.
        search_id: as for `SearchRun.open`.
        facts: what is known of the search.
        known: whether the search began earlier; it then goes on without the store, as one does whose store goes away
            while it runs. At first a store that cannot be used is more likely a mistake.

    Raises:
        InputError: the store cannot be used, and the search is not known.
    """
    if not known:
        return SearchRun.open(config, search_id, facts)
    link = Link(config.shown_uri, facts.name, aloud=True)
    run = link.attempt(lambda: SearchRun.open(config, search_id, facts))
    return LaterRun(config, search_id, facts) if run is None else run


class LaterRun:
    """Keeps the news of trials that `SearchRun` would have written, and tries once more at the end."""

    def __init__(self, config: TrackingConfig, search_id: str, facts: RunFacts) -> None:
        self.config = config
        self.search_id = search_id
        self.facts = facts
        self._records: dict[int, TrialRecord] = {}
        self._closed = False

    def replay(self, records: Iterable[TrialRecord]) -> None:
        """Take note of all that is known of trials."""
        self._records |= {record.number: record for record in records}

    def start_trial(self, record: TrialRecord) -> None:
        """A trial has started, or goes on."""
        self._records[record.number] = record

    def log_epoch(self, record: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """A trial has reported an epoch."""
        self._records[record.number] = record

    def end_trial(self, record: TrialRecord) -> None:
        """A trial has ended."""
        self._records[record.number] = record

    def finish(self, results: Results) -> dict[str, str]:
        """Send all of it, if the store is there by now; returned is what `SearchRun.finish` returns."""
        if self._closed:
            return {}
        link = Link(self.config.shown_uri, self.facts.name, aloud=False)
        run = link.attempt(lambda: SearchRun.open(self.config, self.search_id, self.facts, live=False))
        found = {"tracking_uri": self.config.shown_uri, "experiment": self.config.experiment, "problem": link.problem}
        if run is not None:
            run.replay(self._records.values())
            found = run.finish(results)
        self._closed = True
        return found
