"""Which runs belong to a search. The store alone says so, by tags that they have from the first moment."""

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.store.entities import PagedList
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

SEARCH_ID = "search_id"
TRIAL = "trial"
_PAGE = 1000

T = TypeVar("T")


@dataclass(frozen=True)
class SearchRuns:
    """The runs of one search.

    Attributes:
        parent: that of the search itself, if there is one.
        trials: those of its trials, by number.
    """

    parent: Run | None
    trials: dict[int, Run]


def look_up(client: MlflowClient, search_id: str, used: Collection[str] = ()) -> SearchRuns:
    """Find the runs of a search in all experiments, for people rename them; runs that are there twice are deleted.

    A request whose answer is lost is sent again, and then there may be two runs where one was meant.

    Args:
        client: of the store.
        search_id: what the runs are tagged with.
        used: ids of the runs that are written to, and hence kept; of others the first one is.
    """
    parents, trials = list[Run](), defaultdict[int, list[Run]](list)
    for run in _tagged(client, search_id):
        number = run.data.tags.get(TRIAL, "")
        if MLFLOW_PARENT_RUN_ID not in run.data.tags:
            parents.append(run)
        elif number.isdecimal():
            trials[int(number)].append(run)

    def one(runs: list[Run]) -> Run:
        first, *more = sorted(runs, key=lambda run: run.info.run_id not in used)
        for run in more:
            client.delete_run(run.info.run_id)
        return first

    return SearchRuns(one(parents) if parents else None, {number: one(runs) for number, runs in trials.items()})


def _tagged(client: MlflowClient, search_id: str) -> list[Run]:
    """Return the runs with this tag, in the order of their starts."""
    experiments: list[Experiment] = _all_pages(
        lambda page: client.search_experiments(max_results=_PAGE, page_token=page)
    )
    ids = [experiment.experiment_id for experiment in experiments]
    by = f"tags.{SEARCH_ID} = '{search_id}'"
    order = ["attributes.start_time ASC"]
    return _all_pages(lambda page: client.search_runs(ids, by, max_results=_PAGE, order_by=order, page_token=page))


def _all_pages(search: Callable[[str | None], PagedList[T]]) -> list[T]:
    page = search(None)
    found = list(page)
    while page.token:
        page = search(page.token)
        found += page
    return found
