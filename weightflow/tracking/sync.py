"""Sending later what MLflow has missed of a search."""

from collections.abc import Iterable

from weightflow.errors import InputError
from weightflow.tracking.config import TrackingConfig
from weightflow.tracking.facts import RunFacts
from weightflow.tracking.results import Results
from weightflow.tracking.search_run import SearchRun
from weightflow.trials import TrialRecord


def sync(
    config: TrackingConfig,
    search_id: str,
    facts: RunFacts,
    records: Iterable[TrialRecord],
    results: Results,
    began: float | None = None,
) -> dict[str, str]:
    """Send to MLflow what it does not have of a search that is no longer running; sent twice, it is there once.

    Args:
        config: of the store, which may be another one than that of the search.
        search_id: as the search gave it.
        facts: as the search gave them.
        records: all trials with their histories.
        results: what the search has led to.
        began: when it did, in seconds since 1970; when its first trial did where that is not known.

    Returns:
        as `SearchRun.finish`.

    Raises:
        InputError: the store cannot be used, or has not taken everything.
    """
    records = list(records)
    began = began or min((record.started for record in records if record.started is not None), default=None)
    at = None if began is None else int(1000 * began)
    run = SearchRun.open(config, search_id, facts, live=False, began=at)
    run.replay(records)
    found = run.finish(results)
    if "problem" in found:
        raise InputError(
            f"MLflow at {config.shown_uri} has not taken all of the search {facts.name}: {found['problem']}; mend "
            f"that, and send the rest with `python -m weightflow sync {facts.name}`."
        )
    return found
