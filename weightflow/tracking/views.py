"""The pages that show runs as a person wants to see them: views that MLflow's UI lists, and addresses that open them.

MLflow keeps a view of its runs as a tag of the experiment (3.17, "Views", "Save view"): a name, and as JSON the filter,
the order and the columns. We write such tags, so that nobody has to find the columns that matter.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from mlflow import MlflowClient

LOCAL = "http://127.0.0.1:5000"
TRAINING = "workflowType=machine_learning"  # the UI shows traces of language models first where nobody says so
ROLE, SEARCH, TRIAL, REPEAT, SCORED = "role", "search", "trial", "repeat", "scores"
_TAG = "mlflow.sharedViewState."
_NAME = "attributes.`Run Name`"
_DATASET = "attributes.`Dataset`"
# a view that anybody has changed in the UI is theirs; one of another version of ours stands beside it
_TRIALS_VERSION, _SEARCHES_VERSION = 1, 2


@dataclass(frozen=True)
class View:
    """Some runs in some order.

    Attributes:
        key: which names it in addresses.
        name: which people see.
        filter: which runs, in MLflow's words.
        order: column that they are ordered by.
        ascending: whether the lowest comes first.
        columns: in their order, with their widths in pixels.
    """

    key: str
    name: str
    filter: str
    order: str
    ascending: bool
    columns: Mapping[str, int]

    @property
    def tag(self) -> str:
        """The experiment's tag that holds it."""
        return f"{_TAG}{self.key}"

    def content(self, at: int) -> str:
        """Return the tag's value; `at` is the time in milliseconds that the UI sorts views by."""
        state = {
            "searchFilter": self.filter,
            "orderByKey": self.order,
            "orderByAsc": self.ascending,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "selectedColumns": [column for column in self.columns if column != _NAME],
            "columnOrder": [*self.columns],
            "columnWidths": dict(self.columns),
        }
        return json.dumps({"name": self.name, "createdAt": at, "updatedAt": at, "state": json.dumps(state)})


def metric(name: str) -> str:
    """Return the column of a metric."""
    return f"metrics.`{name}`"


def tag(name: str) -> str:
    """Return the column of a tag."""
    return f"tags.`{name}`"


def _param(name: str) -> str:
    return f"params.`{name}`"


_OF_TRIALS = {
    _NAME: 260,
    metric("score"): 90,
    tag("state"): 90,
    _DATASET: 170,
    tag("protocol"): 110,
    _param("dynamics.kind"): 110,
    _param("dynamics.depth"): 120,
    _param("dynamics.solver"): 120,
    metric("epochs"): 70,
    metric("seconds"): 80,
    tag("search"): 120,
    tag("reason"): 200,
}
_BESIDE = [f"test/energy_distance/{method}" for method in ("model", "floor", "mccann", "persistence", "mixture")]
_OF_SEARCHES = {
    _NAME: 140,
    **{metric(name): 30 + 6 * len(name) for name in _BESIDE},  # or else they could not be told apart
    tag("state"): 90,
    tag("verdict"): 600,
    _DATASET: 170,
    tag("protocol"): 110,
    metric("score_over_seeds"): 120,
    tag("best_trial"): 170,
    tag("reason"): 200,
}
_OF_A_TRIAL = f"tags.{ROLE} = '{TRIAL}'"

TRIALS = View(
    f"weightflow-trials-{_TRIALS_VERSION}", "All trials, best first", _OF_A_TRIAL, metric("score"), True, _OF_TRIALS
)
SEARCHES = View(
    f"weightflow-searches-{_SEARCHES_VERSION}",
    "All searches, with test scores",
    f"tags.{ROLE} = '{SEARCH}'",
    "attributes.start_time",
    False,
    _OF_SEARCHES,
)


def comparable_trials(data: str, data_hash: str, protocol: str) -> View:
    """Return the view of all trials on the same data by the same protocol: only their scores can be compared."""
    which = f"tags.data_hash = '{data_hash}' and tags.protocol = '{protocol}'"
    return View(
        f"weightflow-{data_hash[:12]}-{protocol}-{_TRIALS_VERSION}",
        f"{data} ({data_hash[:4]}), {protocol}: trials, best first",
        f"{_OF_A_TRIAL} and {which}",
        metric("score"),
        True,
        _OF_TRIALS,
    )


def store(client: MlflowClient, experiment: str, *views: View) -> None:
    """Write views that the experiment does not have."""
    found = client.get_experiment(experiment)
    for i, view in enumerate(views):
        if view.tag not in found.tags:
            client.set_experiment_tag(experiment, view.tag, view.content((found.creation_time or 0) + i))


def address(base: str, experiment: str, view: View) -> str:
    """Return the address of a view's page on the server `base`."""
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs?viewStateShareKey={view.key}&{TRAINING}"


def run_address(base: str, experiment: str, run: str) -> str:
    """Return the address of a run's page."""
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs/{run}?{TRAINING}"


def file_address(base: str, experiment: str, run: str, file: str) -> str:
    """Return the address of the page of a run that shows one of its files."""
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs/{run}/artifacts/{quote(file)}?{TRAINING}"


def version_address(base: str, model: str, version: str) -> str:
    """Return the address of the page of a registered model's version."""
    return f"{base.rstrip('/')}/#/models/{quote(model)}/versions/{version}"
