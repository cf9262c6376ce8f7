"""A course of few times, as most people have it: searched and judged by leaving one time out after another."""

import html
import json
import re
import subprocess
from pathlib import Path

import anndata
import numpy as np
import pytest
from searches import Process, check_results, check_trials, checkpoints, command, furnish, tracked, trials_of, tune_here

from weightflow import load
from weightflow.evaluation import Scores
from weightflow.trials import TrialState

pytestmark = [pytest.mark.ray, pytest.mark.timeout(450)]


def furnish_cells(folder: Path, n_times: int = 4) -> Path:
    """Put a table of other cells at each of a few times into a furnished folder: a cloud that moves by 1 a day."""
    rng = np.random.default_rng(1)
    rows = [f"{day},{a:.4f},{b:.4f}" for day in range(n_times) for a, b in rng.normal(day, 1.0, (150 + day, 2))]
    furnish(folder)
    (folder / "cells.csv").write_text("\n".join(["time,A,B", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return furnish_cells(tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="module")
def done(workplace: Path, ray_environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = ("--trials", "3", "--name", "cells", "--repeats", "2", "--seed", "3")
    return tune_here(workplace, ray_environment, *words, data="cells.csv")


@pytest.mark.slow
def test_four_times_are_searched_by_leaving_each_out(done: subprocess.CompletedProcess[str], workplace: Path) -> None:
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "protocol leave-one-out: 4 seen snapshots, trials fitted to 3 in 3 folds" in said
    assert "protocol auto: leave-one-out, since 4 times are few" in said
    assert "held out while searching: t = 1, 2 between fitted times and t = 3 after them" in said
    assert "tested at the end: t = 1, 2, 3: there are too few times to test others than the search selects by" in said
    assert "anchors of 3 snapshots, 3 times on 1 worker(s)" in said
    assert "and without each of t = 1, 2, 3" in said
    assert "Read the model's scores as selected" in said
    check_results(workplace / "out" / "cells")
    trials = trials_of(workplace, "cells")
    assert [trial.number for trial in trials if trial.repeat_of is None] == [0, 1, 2]
    first = trials[0].history[-1]
    assert first["score"] == pytest.approx((first["score_interior"] + first["score_last"]) / 2)


@pytest.mark.slow
def test_the_scores_are_of_fits_that_have_not_seen_their_times(
    done: subprocess.CompletedProcess[str], workplace: Path
) -> None:
    assert done.returncode == 0
    text = (workplace / "out" / "cells" / "scores.json").read_text()
    scores = Scores.from_json(text)
    assert json.loads(text)["selected"] is True
    assert (scores.protocol, scores.times) == ("leave-one-out", (1.0, 2.0, 3.0))
    beside = {"nearest", "persistence", "mixture", "mccann", "bridge", "weights_line", "direct", "floor"}
    assert set(scores.methods) - {"chosen_bridge"} == {"model", *beside}
    # A cloud that moves by 1 a day in both species: what stands still for a day is off by 1, and so by 1 in its W1.
    assert scores.by_time("persistence", "species_w1") == pytest.approx([1.0, 1.0, 1.0], abs=0.25)
    assert max(scores.by_time("mccann", "species_w1")) < 0.35
    best = load(workplace / "out" / "cells" / "best")
    assert best.span == (0.0, 3.0)
    assert best.record["times"] == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.slow
def test_the_report_says_which_times_are_fitted_held_out_and_tested(
    done: subprocess.CompletedProcess[str], workplace: Path
) -> None:
    assert done.returncode == 0
    page = html.unescape((workplace / "out" / "cells" / "report.html").read_text())
    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "fitted by the final model: t = 0, 1, 2, 3" in words
    assert "Each scored time was left out in turn" in words
    assert "Read the model's scores as selected" in words
    assert "Protocol leave-one-out" in words


@pytest.mark.slow
def test_a_search_of_few_times_goes_on_where_it_was_killed(
    done: subprocess.CompletedProcess[str], tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    assert done.returncode == 0
    furnish_cells(tmp_path)
    words = command("--trials", "2", "--name", "cut", data="cells.csv", space="slow.yaml")
    process = Process(tmp_path, ray_environment, words)
    epochs = process.until(lambda: checkpoints(tmp_path / "out" / "cut"))
    process.kill()
    assert epochs
    again = tune_here(
        tmp_path, ray_environment, "--trials", "2", "--resume", "cut", data="cells.csv", space="slow.yaml"
    )
    assert again.returncode == 0, again.stderr
    trials = trials_of(tmp_path, "cut")
    check_trials(trials, 2)
    assert any(trial.state is TrialState.FINISHED for trial in trials)
    parent, children, _ = tracked(tmp_path, "cut")
    assert parent.info.status == "FINISHED"
    assert len(children) == 2


@pytest.mark.slow
def test_a_representation_of_cells_is_searched_to_a_judged_model_whose_report_calls_it_by_its_name(
    tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    rng = np.random.default_rng(2)
    days = np.repeat([0, 2, 4, 7], 60)
    cells = anndata.AnnData(rng.poisson(1.0, (240, 400)).astype(np.float32))
    cells.obs["age"] = [f"E{8 + day / 2:g}" for day in days]
    cells.obs["batch"] = np.tile(["a", "b", "c"], 80)
    cells.obsm["X_pca"] = rng.normal(days[:, None] * np.linspace(1.0, 0.0, 8), 1.0, (240, 8))
    furnish(tmp_path)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    words = ("--trials", "2", "--name", "pca", "--use-rep", "X_pca", "--time", "age", "--members", "2")
    done = tune_here(tmp_path, ray_environment, *words, data="cells.h5ad")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "values are `X_pca`, 8 of 8 components" in said
    assert "2 members beside the model give bands" in said
    folder = tmp_path / "out" / "pca"
    check_results(folder)
    best = load(folder / "best")
    assert best.species == tuple(f"pca{i + 1}" for i in range(8))
    assert best.record["times"] == [8.0, 9.0, 10.0, 11.5]
    assert len(best.members) == 2
    scores = Scores.from_json((folder / "scores.json").read_text())
    assert scores.times == (9.0, 10.0, 11.5)
    assert "nll" in scores.methods["model"]
    assert not {"paper_w1", "paper_jsd"} & set(scores.metrics)  # those are of counts
    # The first component moves by 1 in half a time unit, and what stands still is that far behind, at least there.
    assert scores.mean("persistence", "species_w1") > 2 * scores.mean("floor", "species_w1")
    page = html.unescape((folder / "report.html").read_text())
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "4 seen snapshots, components of X_pca pca1, pca2, pca3, pca4, pca5, pca6, pca7, pca8" in text
    assert "The data are components of X_pca: where this page speaks of species, it means these." in text
    assert "The first 6 of 8 components of X_pca are shown." in text
    assert "W1 per species units of the components" in text
    assert "counts" not in text
    assert "Bands from 2 members" in text
    for name in ("means", "shares"):
        assert (folder / "pictures" / f"{name}.png").is_file()
        assert f'id="{name}"' in page


def test_two_times_are_refused_with_what_to_do(tmp_path: Path, ray_environment: dict[str, str]) -> None:
    furnish_cells(tmp_path, 2)
    words = ("--name", "two", *(("--every", "1")))
    refused = tune_here(tmp_path, ray_environment, *words, data="cells.csv")
    assert refused.returncode == 2
    assert "nothing can be judged here" in refused.stderr
    assert "python -m weightflow fit" in refused.stderr
