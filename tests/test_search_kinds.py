"""A search over backbones, of measured values in place of counts, from a table to the report."""

import html
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from searches import furnish, tracked, trials_of, tune_here

from weightflow import load
from weightflow.files import read_arrays
from weightflow.search.study.pareto import pareto_front
from weightflow.trials import Criterion, TrialState
from weightflow.types import Kind

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(450)]
SPACE = """
parameters:
  backbone.kind: {kind: choice, values: [gru, transformer]}
  bridge.width: {kind: choice, values: [0.0, 1.0]}
fixed:
  {anchors.base_steps: 20, anchors.steps: 20, anchors.rounds: 1, teacher.steps: 20, teacher.rounds: 1,
   dynamics.hidden: 4, dynamics.heads: 1, training.rounds: 1,
   dynamics.steps: 4, training.epochs: 2, training.collocation_steps: 2, training.rollout_steps: 1}
first_trials:
  - {backbone.kind: gru, bridge.width: 0.0}
  - {backbone.kind: transformer, bridge.width: 0.0}
  - {backbone.kind: transformer, bridge.width: 1.0}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ray_environment: dict[str, str]) -> Path:
    """What a search leaves: of two correlated Gaussians that drift apart and widen, 80 cells at each of 13 times."""
    folder = furnish(tmp_path_factory.mktemp("kinds"))
    rng = np.random.default_rng(0)
    clouds = [rng.multivariate_normal([t, -100.0 * t], [[1 + t, 5.0], [5.0, 400.0]], 80) for t in range(13)]
    table = pd.DataFrame(np.concatenate(clouds), columns=["size", "charge"])
    table.insert(0, "time", np.repeat(np.arange(13) / 2, 80))
    table.to_csv(folder / "cells.csv", index=False)
    (folder / "space.yaml").write_text(SPACE)
    words = ("--trials", "4", "--name", "cells", "--minimize", "score,seconds,parameters")
    done = tune_here(folder, ray_environment, *words, data="cells.csv")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder


def test_several_criteria_lead_to_a_front_and_one_recommendation(folder: Path) -> None:
    trials = trials_of(folder, "cells")
    assert {trial.state for trial in trials} == {TrialState.FINISHED}
    front = pareto_front(trials, tuple(Criterion))
    assert front is not None
    said = (folder / "said.txt").read_text()
    assert f"trial {front.recommended} is recommended: score" in said
    assert f"Trial {front.recommended} is recommended: of the trials on the front" in said
    assert (folder / "out" / "cells" / "pictures" / "front.png").stat().st_size > 5000
    assert front.rule in html.unescape((folder / "out" / "cells" / "report.html").read_text())


def test_a_backbone_or_bridge_of_its_own_is_prepared_once_and_shared_among_trials(folder: Path) -> None:
    trials = trials_of(folder, "cells")
    assert [(trial.params["backbone.kind"], trial.params["bridge.width"]) for trial in trials] == [
        ("gru", 1.0), ("gru", 0.0), ("transformer", 0.0), ("transformer", 1.0),
    ]  # fmt: skip
    pieces = kept(folder / "out" / ".cache")
    searched = max(pieces, key=lambda data: len(pieces[data]))  # the other data are those of the final fit
    assert sorted(pieces[searched]) == [
        ("anchors", "gru", None),  # of the default, which all trials share: no ODE asks for more
        ("base", "gru", None), ("base", "transformer", None),
        ("bridge", None, 0.0), ("bridge", None, 1.0),
        ("teacher", "gru", 0.0), ("teacher", "gru", 1.0),
        ("teacher", "transformer", 0.0), ("teacher", "transformer", 1.0),
    ]  # fmt: skip
    (final,) = set(pieces) - {searched}
    assert sorted(piece for piece, _, _ in pieces[final]) == ["anchors", "base", "bridge", "teacher"]


def kept(cache: Path) -> dict[str, list[tuple[str, str | None, float | None]]]:
    """Return, by the data, which pieces are kept, of which backbone and width of the bridge."""
    found: dict[str, list[tuple[str, str | None, float | None]]] = {}
    for path in cache.glob("*.safetensors"):
        made_of = read_arrays(path)[1]
        core, width = made_of.get("backbone", {}).get("kind"), made_of.get("bridge", {}).get("width")
        found.setdefault(made_of["data"], []).append((path.name.partition("-")[0], core, width))
    return found


def test_measured_values_are_modelled_scored_and_reported_in_their_own_units(folder: Path) -> None:
    model = load(folder / "out" / "cells" / "best")
    assert (model.species, set(model.kinds)) == (("size", "charge"), {Kind.CONTINUOUS})
    drawn = model.sample([0.0, 6.0], 400, seed=0).numpy()
    assert not np.array_equal(drawn, np.rint(drawn))
    assert np.isfinite(model.log_prob(drawn, [0.0, 6.0])).all()
    scores = json.loads((folder / "out" / "cells" / "scores.json").read_text())["methods"]
    assert {"species_w1", "sliced_w1", "joint_w1", "nll"} <= set(scores["model"])
    assert not {"paper_w1", "paper_jsd"} & set(scores["model"]), "histograms of counts"
    page = (folder / "out" / "cells" / "report.html").read_text()
    assert 'id="marginals"' in page
    assert "data units" in page
    parent, children, _ = tracked(folder, "cells")
    assert parent.info.status == "FINISHED"
    assert {run.data.params["backbone.kind"] for run in children} == {"gru", "transformer"}
