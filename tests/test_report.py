"""The report is one file that says everything, whatever the search has left behind."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution

from weightflow.bridge import Bridge, BridgeOptions, Curve
from weightflow.data import Fold, Protocol, Snapshots, Split
from weightflow.errors import InputError
from weightflow.evaluation import baselines, evaluate
from weightflow.evaluation.scores import VARIANTS
from weightflow.evaluation.verdict import NAMES, OWNERS, figure
from weightflow.report import Model, Report, write_report
from weightflow.report.picture import Picture
from weightflow.report.plots.errors import errors
from weightflow.report.plots.front import front
from weightflow.report.plots.importances import importances
from weightflow.report.plots.marginals import MAX_BINS, marginals, value_edges
from weightflow.report.plots.observed import Observed
from weightflow.report.plots.repeats import repeats
from weightflow.report.plots.weights import weights
from weightflow.report.tables import compared, margin, repeat_rows, score_rows, trial_rows
from weightflow.report.theme import DARK, LIGHT, STYLES
from weightflow.trials import Criterion, Front, Repeated, TrialRecord, TrialState

SECTIONS = ("verdict", "facts", "scores", "distributions", "path", "search", "configuration", "next")
PICTURES = ("errors", "marginals", "ranges", "weights", "history", "importances")
OF_SEARCHES = ("front", "repeats")  # shown only where there are any
PNG = b"\x89PNG\r\n\x1a\n"
# A spiral of weights: the best-known curve that needs two components.
TURN = np.random.default_rng(0).standard_normal((2, 5, 3))


class Mover:
    """A cloud that moves to the right while it spreads; its weights turn."""

    def __init__(self, dim: int, counts: bool) -> None:
        self.dim, self.counts = dim, counts

    def sample(self, times: np.ndarray, n: int, seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).standard_normal((len(times), n, self.dim))
        x = 8 + 2 * times[:, None, None] + np.sqrt(1 + times)[:, None, None] * noise
        return np.clip(np.rint(x), 0, None) if self.counts else x

    def weights(self, times: np.ndarray) -> np.ndarray:
        return np.tensordot(np.stack([np.cos(times), np.sin(times)], axis=1), TURN, 1)


def make_report(
    every: int = 5, n_times: int = 21, dim: int = 2, counts: bool = True, protocol: Protocol = Protocol.INTERPOLATION
) -> Report:
    model = Mover(dim, counts)
    times = np.linspace(0, 4, n_times)
    data = Snapshots(times, tuple(model.sample(times, 60, 1)))
    seen = data.subset(range(0, n_times, every))
    unseen = data.subset([i for i in range(n_times) if i % every])
    split = Split(protocol, seen, (), (Fold(seen, unseen),))
    return Report(
        scores=evaluate({"model": model, **baselines(seen)}, split, 60, 0),
        observed=split.observed,
        known=split.known,
        drawn=model,
        model=model,
        anchors_times=seen.times,
        anchors_tokens=model.weights(seen.times),
        study=make_study(12),
        trials=make_trials(),
        facts={"data": "moving cloud <&>", "seed": "0"},
        best_config={"dynamics.kind": "ode", "training.learning_rate": 0.00123456, "dynamics.time": True},
        next_commands=("make ui", "python -m weightflow forecast --model best"),
        title="Search of a moving cloud",
    )


def seen_of(report: Report) -> Snapshots:
    return report.observed.subset(np.flatnonzero(np.isin(report.observed.times, report.known)).tolist())


def make_study(n: int, constant: bool = False) -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    distributions: dict[str, BaseDistribution] = {"width": FloatDistribution(0, 1)}
    for i in range(n):
        width = (7 * i % n) / n
        value = 1.0 if constant else width**2
        study.add_trial(optuna.trial.create_trial(params={"width": width}, distributions=distributions, value=value))
    return study


def make_trials() -> tuple[TrialRecord, ...]:
    states = [TrialState.FINISHED, TrialState.PRUNED, TrialState.FAILED, TrialState.FINISHED, TrialState.FINISHED]
    scores = [3.5, 4.0, None, 3.25, 900.0]
    return tuple(
        TrialRecord(
            number=i,
            state=state,
            params={"width": 0.1 * i, "kind": "ode"},
            score=score,
            epochs=3,
            seconds=1.25,
            reason="the loss is not finite at epoch 2" if score is None else "",
        )
        for i, (state, score) in enumerate(zip(states, scores, strict=True))
    )


def make_front(criteria: tuple[Criterion, ...], n: int = 30) -> tuple[Front, tuple[TrialRecord, ...]]:
    """A front among `n` trials that trade the score for the other criteria, and a diverged one and a repeat."""
    rng = np.random.default_rng(3)
    size = rng.uniform(0, 1, n)
    values = np.stack([5 + 2 / (1 + 5 * size) + rng.exponential(0.3, n), 0.01 * 200**size, 400 * 900**size], axis=1)
    values[:, 1] *= rng.uniform(0.7, 1.4, n)
    values[n - 2, 0] = 900.0
    keys = [criterion.metric for criterion in Criterion]
    trials = tuple(
        TrialRecord(i, TrialState.FINISHED, {"width": int(40 * size[i]), "kind": "ode"}, float(values[i, 0]), 3, 1.0,
                    history=(dict(zip(keys, map(float, values[i]), strict=True)),),
                    repeat_of=4 if i == n - 1 else None)
        for i in range(n)
    )  # fmt: skip
    used = np.array([[trial.value(criterion) for criterion in criteria] for trial in trials[:-1]])
    best = [trials[i] for i in range(n - 1) if not (used < used[i]).all(axis=1).any()]
    best.sort(key=lambda trial: trial.value(Criterion.SCORE))
    return Front(
        criteria, tuple(best), best[len(best) // 2].number, "the fastest within one <standard error> of the best"
    ), trials


@pytest.fixture(scope="module")
def report() -> Report:
    return make_report()


@pytest.fixture(scope="module")
def rich(report) -> Report:
    """What a search of several criteria with repeats leaves."""
    chosen, trials = make_front((Criterion.SCORE, Criterion.SECONDS))
    again = (Repeated(3, 4.9, (5.31, 5.4, 5.36)), Repeated(1, 5.0, (5.2, 5.3)), Repeated(9, 5.1, (), failed=3))
    decision = "The held-out data cannot be told from the model's samples (energy distance, p = 0.31 at level 0.05)."
    return dataclasses.replace(report, trials=trials, front=chosen, repeats=again, floor_decision=decision)


@pytest.fixture(scope="module")
def written(rich, tmp_path_factory) -> tuple[str, tuple[Path, ...]]:
    path = tmp_path_factory.mktemp("report") / "deep" / "report.html"
    drawn = write_report(path, rich)
    assert sorted(file.name for file in path.parent.iterdir()) == ["pictures", "report.html"]
    return path.read_text(encoding="utf-8"), drawn


@pytest.fixture(scope="module")
def plain_page(report, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("plain") / "report.html"
    write_report(path, report)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def page(written) -> str:
    """Of a search that leaves everything a report can tell about."""
    return written[0]


class Outline(HTMLParser):
    """Collects ids, links and images, and checks that tags are closed in order."""

    VOID = frozenset({"meta", "source", "img", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [value for key, value in attrs if key == "id" and value]
        self.links += [value for key, value in attrs if key in ("src", "srcset", "href", "action") and value]
        self.images += [values] if tag == "img" else []
        self.open += [] if tag in self.VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(text: str) -> Outline:
    parser = Outline()
    parser.feed(text)
    assert not parser.open
    return parser


def test_the_page_has_every_section_and_every_picture(page):
    ids = outline(page).ids
    assert set(SECTIONS) <= set(ids)
    assert {*PICTURES, *OF_SEARCHES} <= set(ids)
    assert len(ids) == len(set(ids))


def test_the_page_refers_to_nothing_outside_itself(page):
    links = outline(page).links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not re.search(r"url\(|@import|<script|<link|https?:", page)
    assert {link[1:] for link in links if link.startswith("#")} <= set(outline(page).ids)


def test_every_picture_has_words_for_those_who_cannot_see_it_and_a_dark_twin(page):
    images = outline(page).images
    assert len(images) == len(PICTURES) + len(OF_SEARCHES)
    assert all(len(image["alt"] or "") > 40 for image in images)
    assert page.count("(prefers-color-scheme: dark)") == len(images) + 1


def test_facts_verdicts_scores_trials_configuration_and_commands_are_told(plain_page, report):
    words = re.sub(r"\s+", " ", plain_page)
    assert "Pareto" not in words
    assert "Means over fresh seeds" not in words
    assert "moving cloud &lt;&amp;&gt;" in words
    assert words.count("The model&#39;s mean ") == len(report.scores.metrics)
    for text in (
        "the loss is not finite at epoch 2",
        "0.001235",
        "make ui",
        "split halves",
        "sampling floor",
        "3.2500",
    ):
        assert text in words
    assert words.count("(best)") == len(report.scores.metrics) + 1  # one for each metric, and the best trial


def test_scores_are_shown_with_their_margins_and_a_dash_where_there_is_none(report):
    methods = {name: dict(by) for name, by in report.scores.methods.items()}
    methods["model"]["nll"] = report.scores.by_time("model", "paper_jsd")
    scores = dataclasses.replace(report.scores, methods=methods)
    rows = {row.method: row.cells for row in score_rows(scores)}
    assert [rows[name][-1].text for name in ("mccann", "floor")] == ["–", "–"]
    assert rows["model"][-1].best
    interval = scores.interval("model", "joint_w1")
    assert interval is not None
    cell = rows["model"][scores.metrics.index("joint_w1")]
    assert float(cell.margin.removeprefix("±")) == pytest.approx(interval.half, rel=0.06)
    assert "the model's less this" in rows["mccann"][0].note
    assert errors(dataclasses.replace(report, scores=scores)).png(LIGHT).startswith(PNG)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.00123, "0.0012"), (0.0996, "0.10"), (0.95, "0.95"), (12.34, "12"), (2345.0, "2,345")],
)
def test_margins_are_written_with_two_digits(value, text):
    assert margin(value) == text


def test_pictures_are_files_beside_the_page_the_same_twice_and_leave_the_settings_of_matplotlib_alone(
    rich, written, tmp_path
):
    before = dict(mpl.rcParams)
    again = write_report(tmp_path / "report.html", rich)
    assert dict(mpl.rcParams) == before
    assert again == tuple(tmp_path / "pictures" / f"{name}.png" for name in sorted((*PICTURES, *OF_SEARCHES)))
    assert list(again) == sorted((tmp_path / "pictures").iterdir())
    contents = [file.read_bytes() for file in again]
    assert all(png.startswith(PNG) for png in contents)
    assert contents == [file.read_bytes() for file in written[1]]


def test_the_front_the_repeats_and_the_floor_decision_are_told(page, rich):
    words = re.sub(r"\s+", " ", page)
    chosen = rich.front
    for text in (
        f"Recommended: trial {chosen.recommended}.</strong> The rule: the fastest within one &lt;standard error&gt;",
        figure(chosen.trials[0].value(Criterion.SECONDS)),
        Criterion.SECONDS.meaning,
        "5.3567",
        rich.floor_decision.replace("'", "&#39;"),
        "repeat of 4",
        compared(rich.repeats).replace("'", "&#39;"),
    ):
        assert text in words
    assert words.count('<span class="best">recommended</span>') == 1


def test_retries_are_told_and_repeats_are_never_the_best():
    first, second, third = (
        TrialRecord(i, TrialState.FINISHED, {}, score, reason="it died" if i else "", retries=i, repeat_of=of)
        for i, (score, of) in enumerate([(3.0, None), (2.0, None), (1.0, 1)])
    )
    rows = trial_rows((first, second, third))
    assert [row.marks for row in rows] == [(), ("1 retry",), ("repeat of 1", "2 retries")]
    assert [row.best for row in rows] == [False, True, False]
    by_fresh_seeds = trial_rows((first, second, third), (Repeated(1, 2.0, (4.0,)), Repeated(0, 3.0, (3.1,))))
    assert [row.best for row in by_fresh_seeds] == [True, False, False]
    assert [row.reason for row in rows] == ["", "tried again after: it died", "tried again after: it died"]


def test_repeats_are_ranked_by_their_means_and_the_overlap_of_intervals_is_told():
    low, high = Repeated(4, 0.2, (1.0, 1.1, 1.05)), Repeated(2, 0.1, (9.0, 9.1, 9.05))
    near, single = Repeated(7, 0.9, (1.0, 1.2, 1.1)), Repeated(8, 0.9, (1.06,))
    assert [row.number for row in repeat_rows((high, low))] == [4, 2]
    row = repeat_rows((high, low))[0]
    assert (row.mean, row.margin, row.best) == ("1.0500", "±0.12", True)
    assert compared((high, low)).startswith(
        "By fresh seeds alone, trial 4 has the lowest mean, 1.0500 ± 0.12, trial 2 the next, 9.0500 ±"
    )
    assert "do not overlap" in compared((high, low))
    assert "intervals overlap" in compared((high, near, low))
    assert "no interval" in compared((single, low))
    assert compared((low,)) == ""
    lost = Repeated(3, 0.5, (), failed=3)
    assert [row.number for row in repeat_rows((lost, high, low))] == [4, 2, 3]
    assert compared((low, lost)) == (
        "Trial 3: no fresh seed finished (3 failed); 0.5000 is the score that it was chosen by."
    )
    assert repeats((lost, high)).png(DARK).startswith(PNG)
    assert repeats((single, low, high)).png(LIGHT).startswith(PNG)


@pytest.mark.parametrize("criteria", [tuple(Criterion), (Criterion.SCORE, Criterion.PARAMETERS)])
@pytest.mark.parametrize("size", [3, 40])
def test_fronts_of_any_size_and_number_of_criteria_are_drawn(criteria, size):
    chosen, trials = make_front(criteria, size)
    picture = front(chosen, trials)
    assert picture.png(DARK).startswith(PNG)
    assert f"trial {chosen.recommended} is recommended" in picture.alt
    assert front(dataclasses.replace(chosen, criteria=(Criterion.SCORE,)), trials).draw is None
    alone = dataclasses.replace(chosen, trials=chosen.trials[:1], recommended=chosen.trials[0].number)
    assert front(alone, chosen.trials[:1]).png(LIGHT).startswith(PNG)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_lines_and_words_stand_out_from_the_background(theme):
    for name in ("model", "mccann", "bridge", "mixture", "nearest", "persistence"):
        assert contrast(theme.colour(name), theme.background) > 2.9
    assert contrast(theme.ink, theme.background) > 12
    assert contrast(theme.muted, theme.background) > 4.5


def contrast(first: str, second: str) -> float:
    """The contrast ratio of the Web Content Accessibility Guidelines."""
    channels = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in (first, second)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    dark, light = np.sort(linear @ [0.2126, 0.7152, 0.0722])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    "unusual",
    [
        {"every": 2, "n_times": 3, "counts": False},  # one scored time
        {"dim": 1, "counts": False, "protocol": Protocol.FORECAST},
        {"protocol": Protocol.PAPER},
    ],
)
def test_unusual_data_are_drawn_without_a_warning(unusual, tmp_path):
    drawn = write_report(tmp_path / "report.html", make_report(**unusual))
    assert {file.stem for file in drawn} >= set(PICTURES) - {"marginals"}
    outline((tmp_path / "report.html").read_text())


def test_variants_stand_after_the_alternatives_and_many_dimensions_are_explained(report, tmp_path):
    methods = {"direct": report.scores.methods["model"], **report.scores.methods}
    rows = score_rows(dataclasses.replace(report.scores, methods=methods))
    order = ["model", "nearest", "persistence", "mixture", "mccann", "bridge", "direct", "floor"]
    assert [row.method for row in rows] == order
    assert [row.label for row in rows if "variant" in row.label] == ["variant of the model: direct path, no field"]
    many = make_report(every=3, n_times=4, dim=12)  # more species than are shown, no heat map
    drawn = write_report(tmp_path / "report.html", many)
    assert {file.stem for file in drawn} >= set(PICTURES) - {"marginals"}
    text = (tmp_path / "report.html").read_text()
    assert "reward too little spread" in text
    assert "shrunk truth" in text
    assert not any(cell.best for row in score_rows(many.scores) if row.method == "shrunk_truth" for cell in row.cells)


def test_a_model_trained_without_a_search_is_reported_in_words(report, tmp_path):
    alone = dataclasses.replace(report, study=None, trials=(), best_config={})
    drawn = write_report(tmp_path / "report.html", alone)
    assert {"history", "importances"} & {file.stem for file in drawn} == set()
    text = (tmp_path / "report.html").read_text()
    assert "There was no search: one model was trained." in text
    assert "There are no trials." in text


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (make_study(3), "3 trials can be compared"),
        (make_study(12, constant=True), "same score"),
        (None, "There was no search"),
    ],
)
def test_why_importances_cannot_be_told_is_said(report, study, words):
    picture = importances(dataclasses.replace(report, study=study))
    assert picture.draw is None
    assert words in picture.caption


def test_every_method_that_a_search_scores_has_a_name_a_line_and_a_colour(report):
    chosen = Bridge.between(seen_of(report), BridgeOptions(curve=Curve.PCHIP, width=0.5))
    alternatives = {*baselines(seen_of(report), chosen)}
    assert {"chosen_bridge", "persistence"} <= alternatives
    assert alternatives == set(OWNERS) == set(NAMES)
    assert (
        {*alternatives, *VARIANTS, "model", "shrunk_truth", "floor"}
        == set(STYLES)
        == set(LIGHT.methods)
        == set(DARK.methods)
    )


def test_bins_of_marginals_follow_each_species_kind_and_leave_out_what_is_rare(report):
    rng = np.random.default_rng(0)
    times = np.arange(12.0)
    clouds = [np.stack([rng.poisson(300, 200), rng.normal(0, 0.01, 200), rng.poisson(4, 200)], 1) for _ in times]
    clouds[3][0] = (60_000, 1e6, 5)  # one cell that is far from all others
    observed = Observed(
        times, tuple(cloud.astype(float) for cloud in clouds), np.zeros((12, 5, 3)), times < 3, ("a", "b", "c"),
        (True, False, True),
    )  # fmt: skip
    large, continuous, small = (value_edges(observed, i) for i in range(3))
    assert 200 < large[0] < large[-1] < 400
    assert len(large) <= MAX_BINS + 2
    assert np.array_equal(np.diff(large), np.full(len(large) - 1, np.diff(large)[0]))
    assert -0.1 < continuous[0] < continuous[-1] < 0.1
    assert np.array_equal(np.diff(small), np.ones(len(small) - 1))
    assert set(np.modf(small)[0]) <= {0.5, -0.5}
    assert marginals(observed).png(LIGHT).startswith(PNG)


def test_words_alone_cannot_be_drawn():
    with pytest.raises(ValueError, match="only words"):
        Picture("importances", "Importances", "There are none.").png(LIGHT)


def test_a_still_path_of_weights_is_drawn(report):
    class Still(Mover):
        def weights(self, times):
            return np.ones((len(times), 5, 3))

    still = Still(2, counts=True)
    anchors = still.weights(report.anchors_times)
    picture = weights(dataclasses.replace(report, model=still, anchors_tokens=anchors))
    assert picture.png(LIGHT).startswith(PNG)


def test_the_contract_of_a_model_is_checked_at_run_time(report):
    assert isinstance(report.model, Model)
    assert not isinstance(baselines(seen_of(report))["mccann"], Model)
    with pytest.raises(InputError, match="give each its time"):
        dataclasses.replace(report, anchors_times=report.anchors_times[1:], anchors_tokens=report.anchors_tokens)
