"""MLflow's pages as a team sees them: a real server, a real browser, and nothing but the printed addresses.

A page answers a question if its text, as it stands there without a click, holds the answer.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import Page, browsing
from mlflow import MlflowClient
from models import of_counts
from searches import free_port
from test_tracking import FACTS, Server, left_on_disk, remembered, scores_of, settings

from weightflow.tracking import Results, TrackingConfig, sync
from weightflow.trials import TrialState

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
]
SEARCH_BOX = "input[data-testid=search-box]"
ENDS = (TrialState.FINISHED, TrialState.PRUNED, TrialState.FAILED, TrialState.STOPPED)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, str]]]:
    """Two searches on a server, of which the second is better; what each printed, by its name."""
    server = Server(tmp_path_factory.mktemp("pages"), free_port())
    server.start()
    try:
        config = settings(server.folder, tracking_uri=server.uri)
        of_counts().save(server.folder / "best")
        yield {name: searched(config, server.folder, name, model) for name, model in (("dull", 0.7), ("bright", 0.2))}
    finally:
        server.kill()


def searched(config: TrackingConfig, folder: Path, name: str, model: float) -> dict[str, str]:
    """One search of four trials that ended in four ways, sent to the server."""
    scores = scores_of(model)
    records = [remembered(n, max(3 - n, 1), end, reason="the loss is nan" * (n == 2)) for n, end in enumerate(ENDS)]
    if name == "bright":  # of another space, which leaves the depth as it is
        records = [replace(record, params={"dynamics.kind": "cde"}) for record in records]
    results = Results("FINISHED", records[0], folder / "best", *left_on_disk(folder, scores), scores)
    return sync(config, f"id-{name}", replace(FACTS, name=name), records, results)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browsing(2300, 900) as page:
        yield page


def keep(page: Page, name: str, folder: Path) -> None:
    """Keep a picture for people to look at, where WEIGHTFLOW_SCREENSHOTS says, or with the test's other output."""
    page.picture(Path(os.environ.get("WEIGHTFLOW_SCREENSHOTS", folder)) / f"{name}.png")


def columns(page: Page) -> list[str]:
    """Titles of the columns from left to right."""
    return page.ask(
        "Array.from(document.querySelectorAll('.ag-header-cell'))"
        ".sort((a, b) => a.getBoundingClientRect().x - b.getBoundingClientRect().x)"
        ".map(e => e.innerText.trim())"
    )


def names(page: Page) -> list[str]:
    """Names of the runs from top to bottom."""
    return page.ask(
        "Array.from(document.querySelectorAll('.ag-row [col-id=\"attributes.`Run Name`\"]'))"
        ".sort((a, b) => a.getBoundingClientRect().y - b.getBoundingClientRect().y)"
        ".map(e => e.innerText.trim().split('\\n').pop())"
    )


def test_the_printed_address_shows_trials_with_score_and_state_the_best_first(
    found: dict[str, dict[str, str]], page: Page, tmp_path: Path
) -> None:
    text = page.open(found["bright"]["runs"], "★ 00 cde h32 d1 · bright", "matching runs", "f17")
    keep(page, "trials", tmp_path)
    shown = columns(page)
    assert shown.index("score") < shown.index("state") < shown.index("Dataset") < shown.index("protocol")
    assert {"finished", "pruned", "failed", "stopped"} <= set(text.split())
    assert {"★ 00 ode h32 d2 · dull", "02 failed · ode h96 d2 · dull"} <= set(names(page))
    assert names(page)[0].startswith("★ 00")  # scores 3.7; those that were cut off after fewer epochs have more


def test_searches_stand_beside_the_floor_and_what_costs_nothing(
    found: dict[str, dict[str, str]], page: Page, tmp_path: Path
) -> None:
    text = page.open(found["dull"]["searches"], "bright", "dull", "0.8")
    keep(page, "searches", tmp_path)
    assert sorted(names(page)) == ["bright", "dull"]
    shown = set(text.split())
    assert {"0.2", "0.7", "0.1", "0.8"} <= shown  # both models, the floor, McCann
    assert len(set(columns(page))) == len(columns(page))
    first = [f"test/energy_distance/{method}" for method in ("model", "floor", "mccann")]
    beside = [name for name in columns(page) if name not in {"", "Run Name", "Created"}]
    assert beside[:3] == first  # what two searches are compared by is seen on a narrow screen too


def test_the_page_of_a_search_says_the_verdict(found: dict[str, dict[str, str]], page: Page, tmp_path: Path) -> None:
    text = page.open(found["bright"]["url"], "verdict", "data_hash")
    keep(page, "search", tmp_path)
    assert "By energy distance the model has 0.2000" in text


def test_the_report_is_opened_by_a_link_on_the_page_of_its_search(
    found: dict[str, dict[str, str]], page: Page, tmp_path: Path
) -> None:
    page.open(found["bright"]["url"], "verdict", "report")
    link = page.ask("[...document.querySelectorAll('a')].find(e => e.innerText == 'report')?.href")
    assert f"/runs/{found['bright']['best_run_id']}/artifacts/report.html" in link
    page.open(link, "report.html", "Path")
    keep(page, "report-in-mlflow", tmp_path)


def test_trials_of_different_spaces_are_compared_by_all_that_they_ran_with(
    found: dict[str, dict[str, str]], page: Page, tmp_path: Path
) -> None:
    base = found["bright"]["best_url"].split("/#/")[0]
    ids = ",".join(f'"{found[name]["best_run_id"]}"' for name in found)
    experiment = MlflowClient(base).get_run(found["dull"]["run_id"]).info.experiment_id
    page.open(f'{base}/#/compare-runs?runs=[{ids}]&experiments=["{experiment}"]', "Parallel Coordinates Plot")
    text = page.wait("training.learning_rate", "test/energy_distance/model", "dynamics.depth")
    keep(page, "compared", tmp_path)
    assert "Comparing 2 Runs" in text


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("tags.search = 'bright' and tags.state = 'failed'", ["02 failed · cde h32 d1 · bright"]),
        ("metrics.score < 3.75 and params.dynamics.kind = 'cde'", ["★ 00 cde h32 d1 · bright"]),
        ("params.dynamics.kind = 'ode' and tags.state = 'pruned'", ["01 pruned · ode h64 d2 · dull"]),
        ("datasets.name = 'cells' and tags.role = 'search'", ["bright", "dull"]),
    ],
)
def test_runs_are_filtered_by_what_is_typed(
    found: dict[str, dict[str, str]], page: Page, tmp_path: Path, typed: str, left: list[str]
) -> None:
    page.open(found["bright"]["runs"], "8 matching runs")
    page.type(SEARCH_BOX, typed)
    page.press("Enter", "\r")
    page.wait(f"{len(left)} matching run")
    keep(page, "filtered", tmp_path)
    assert sorted(names(page)) == left


QUESTIONS = {
    "which trial won, and which architecture was it?": ("runs", ["★ 00 cde h32 d1 · bright", "3.7"]),
    "which trials were pruned, failed or cut off?": ("runs", ["01 pruned", "02 failed", "03 stopped"]),
    "on which data was a trial fitted?": ("runs", ["cells (f17)"]),
    "how long did the trials take?": ("runs", ["seconds", "epochs", "1.5"]),
    "which of two searches is better?": ("searches", ["bright", "0.2", "dull", "0.7"]),
    "how far is the best possible?": ("url", ["2.00 times the sampling floor of 0.1000"]),
    "does it beat what costs nothing, beyond chance?": (
        "url",
        ["It beats every alternative beyond chance: persistence, the mixture and McCann's interpolation"],
    ),
    "how was it searched?": ("url", ["sampler", "tpe", "space.dynamics.kind", "one of ode, cde"]),
    "can the data, the code and the seed be had again?": ("url", ["data_hash", "d4f1", "seed", "torch", "git_commit"]),
    "with which parameters did the winner run?": ("best_url", ["training.learning_rate", "dynamics.kind", "cde"]),
    "may I use it?": ("model_url", ["@ champion", "test/energy_distance/model", "0.2000", "Inputs", "of the search"]),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_teams_question_is_answered_by_looking(found: dict[str, dict[str, str]], page: Page, question: str) -> None:
    where, told = QUESTIONS[question]
    page.open(found["bright"][where], *told)


def test_the_page_of_the_champion_has_its_scores_and_the_way_back(
    found: dict[str, dict[str, str]], page: Page, tmp_path: Path
) -> None:
    page.open(found["bright"]["model_url"], "@ champion", "test/energy_distance/mccann")
    keep(page, "champion", tmp_path)
    linked = page.ask("[...document.querySelectorAll('a')].map(e => e.href)")
    assert any(found["bright"]["run_id"] in one for one in linked)
    assert any(found["bright"]["best_run_id"] in one for one in linked)
    assert "champion" not in page.open(found["dull"]["model_url"], "test/energy_distance/mccann")  # it was, before
