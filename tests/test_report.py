"""The report is one file that says everything, whatever the search has left behind."""

import csv
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import matplotlib as mpl
import numpy as np
import optuna
import pytest
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, FloatDistribution
from scipy.stats import norm

from weightflow.bridge import Bridge, BridgeOptions, Curve
from weightflow.data import Fold, Protocol, Snapshots, Split
from weightflow.errors import InputError
from weightflow.evaluation import Scores, answer, baselines, closest, condition_baselines, evaluate
from weightflow.evaluation.scores import LINE_BETWEEN, VARIANTS
from weightflow.evaluation.verdict import CONDITION_BAR, NAMES, OWNERS, figure
from weightflow.report import Model, Report, write_report
from weightflow.report.comparison import Scored, same_data, write_comparison
from weightflow.report.page import _asked, _page, _pictures
from weightflow.report.picture import Picture
from weightflow.report.plots.calibration import LEVELS, Ranks, calibration, measure
from weightflow.report.plots.curves import curves
from weightflow.report.plots.distances import distances, floor_distances
from weightflow.report.plots.edges import top_of_bulk
from weightflow.report.plots.errors import errors
from weightflow.report.plots.fan import fan
from weightflow.report.plots.front import front
from weightflow.report.plots.history import history
from weightflow.report.plots.importances import importances
from weightflow.report.plots.joint import joint, shares, spread_times
from weightflow.report.plots.marginals import MAX_BINS, marginals, value_edges
from weightflow.report.plots.observed import Observed, observe
from weightflow.report.plots.overview import overview
from weightflow.report.plots.parallel import parallel, parameter_axes
from weightflow.report.plots.repeats import repeats
from weightflow.report.plots.weights import weights
from weightflow.report.rendered import Shown
from weightflow.report.tables import compared, margin, repeat_rows, score_rows, trial_rows
from weightflow.report.theme import DARK, LIGHT, LIKE, NARROW, STYLES
from weightflow.trials import Criterion, Front, Repeated, TrialRecord, TrialState

SECTIONS = (
    "answer", "scores", "verdict", "distributions", "search", "path", "configuration", "facts", "words", "next",
)  # fmt: skip
SMALL = ("overview", "distances")  # never wide
PICTURES = (
    *SMALL, "errors", "marginals", "joint", "ranges", "calibration", "fan", "weights", "history", "curves", "parallel",
    "importances",
)  # fmt: skip
OF_TRIALS = ("history", "curves", "parallel", "importances")
NARROW_LIGHT = dataclasses.replace(LIGHT, width=NARROW)
OF_SEARCHES = ("front", "repeats")  # shown only where there are any
SAMPLES = 150  # of each time
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
    data = Snapshots(times, tuple(model.sample(times, SAMPLES, 1)))
    seen = data.subset(range(0, n_times, every))
    unseen = data.subset([i for i in range(n_times) if i % every])
    split = Split(protocol, seen, (), (Fold(seen, unseen),))
    return Report(
        scores=evaluate({"model": model, **baselines(seen)}, split, SAMPLES, 0),
        observed=split.observed,
        known=split.known,
        sizes=seen.sizes,
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
    def learned(score: float) -> tuple[dict[str, float], ...]:
        return tuple({"epoch": k + 1.0, "score": score + 2.0 - k} for k in range(3))

    states = [TrialState.FINISHED, TrialState.PRUNED, TrialState.FAILED, TrialState.FINISHED, TrialState.FINISHED]
    scores = [3.5, 4.0, None, 3.25, 900.0]
    return tuple(
        TrialRecord(
            number=i,
            state=state,
            params={"width": 0.1 * i, "kind": "ode"},
            history=() if score is None else learned(score),
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
                    history=({"epoch": 1.0, "score": 9.0},
                             {"epoch": 2.0} | dict(zip(keys, map(float, values[i]), strict=True))),
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


def in_words(report: Report) -> str:
    """The page without its drawings, which take most of the time."""
    return _page(report, [Shown(picture.name, picture.title, picture.caption, {}) for picture in _pictures(report)])


@pytest.fixture(scope="module")
def plain_page(report) -> str:
    return in_words(report)


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
        self.scripts = 0

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [value for key, value in attrs if key == "id" and value]
        self.links += [
            value for key, value in attrs if key in ("src", "srcset", "href", "xlink:href", "action") and value
        ]
        self.images += [values] if tag == "svg" else []
        self.scripts += tag == "script"
        self.open += [] if tag in self.VOID else [tag]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

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
    found = outline(page)
    assert all(link.startswith(("#", "data:image/png;base64,", "data:text/csv;")) for link in found.links)
    assert not re.search(r"url\((?!#)|@import|<link|https?:|fetch\(|import\(", page)
    assert found.scripts == 1
    inside = {*(link[1:] for link in found.links if link.startswith("#")), *re.findall(r"url\(#(\w+)\)", page)}
    assert inside <= set(found.ids)


def test_every_picture_has_words_for_those_who_cannot_see_it_and_is_drawn_for_wide_and_narrow_pages(page):
    images = outline(page).images
    assert len(images) == 2 * (len(PICTURES) + len(OF_SEARCHES)) - len(SMALL)
    assert all(image["role"] == "img" and len(image["aria-label"] or "") > 40 for image in images)


def test_pictures_take_the_colours_of_the_page_and_no_other_where_themes_differ(page):
    body = page[page.index("<body>") :]
    for name, colour in LIGHT.named.items():
        assert f"--p-{name}: {colour};" in page
        assert f"--p-{name}: {DARK.named[name]};" in page
        assert f": {colour}" not in body
    assert set(re.findall(r"var\(--p-([\w-]+)\)", page)) <= set(LIGHT.named)


def test_tables_can_be_downloaded_with_the_numbers_that_were_scored(page, rich):
    tables = {
        name: list(csv.DictReader(io.StringIO(unquote(text))))
        for name, text in re.findall(r'download="(\w+)\.csv" href="data:text/csv;charset=utf-8,([^"]*)"', page)
    }
    first = tables["scores"][0]
    interval = rich.scores.interval("model", first["metric"])
    assert interval is not None
    assert [first["method"], *map(float, (first["mean"], first["low"], first["high"]))] == [
        "model", rich.scores.mean("model", first["metric"]), interval.low, interval.high,
    ]  # fmt: skip
    assert len(tables["scores"]) == sum(map(len, rich.scores.methods.values()))
    assert [row["score"] for row in tables["trials"]] == [str(trial.score) for trial in rich.trials]
    assert tables["trials"][4]["width"] == str(rich.trials[4].params["width"])


def test_the_first_screen_asks_answers_and_shows_two_pictures_before_any_table(page, rich):
    first = re.sub(r"\s+", " ", page[page.index('id="answer"') : page.index('id="scores"')])
    assert "Learned from 5 snapshots of 150 samples each; judged at 16 times that it was not fitted to." in first
    assert answer(rich.scores).replace("'", "&#39;") in first
    assert first.index('id="overview"') < first.index('id="distances"')
    assert "<table" not in first
    assert "paper_w1" not in re.sub(r'<dt>.*?</dt>|href="[^"]*"', "", page[page.index("<body>") :])


def test_what_was_learned_from_is_what_was_fitted_and_not_the_samples_that_are_shown(rich):
    assert {len(cloud) for cloud in rich.observed.samples} == {SAMPLES}
    for sizes, words in (
        ((32,) * 5, "Learned from 5 snapshots of 32 samples each; judged"),
        ((32, 31, 12, 30, 8), "Learned from 5 snapshots of 8 to 32 samples each; judged"),
        ((), "Learned from 5 snapshots; judged"),
    ):
        assert words in _asked(dataclasses.replace(rich, sizes=sizes))


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


def test_pictures_are_files_beside_the_page_the_same_twice_and_leave_the_settings_of_matplotlib_alone(rich, written):
    files = {file.name: file.read_bytes() for file in written[1]}
    assert list(files) == [f"{name}.{end}" for name in sorted((*PICTURES, *OF_SEARCHES)) for end in ("png", "svg")]
    assert list(written[1]) == sorted(written[1][0].parent.iterdir())
    assert all(content.startswith(PNG if name.endswith("png") else b"<?xml") for name, content in files.items())
    before = dict(mpl.rcParams)
    for picture in (one for one in _pictures(rich) if one.name in ("overview", "repeats")):
        again = picture.drawn()
        assert again.files == {end: files[f"{picture.name}.{end}"] for end in ("png", "svg")}
        assert all(one in written[0] for one in again.elements.values())
    assert dict(mpl.rcParams) == before


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
        pytest.param({"every": 2, "n_times": 3, "counts": False}, marks=pytest.mark.slow),  # one scored time
        pytest.param({"dim": 1, "counts": False, "protocol": Protocol.FORECAST}, marks=pytest.mark.slow),
        {"protocol": Protocol.PAPER},
    ],
)
def test_unusual_data_are_drawn_without_a_warning(unusual):
    report = make_report(**unusual)
    pictures = {one.name: one for one in _pictures(report) if one.draw is not None}
    assert set(pictures) >= set(PICTURES) - {"marginals", "joint", "distances"} - {*OF_TRIALS}
    for name in {"overview", "errors", "joint", "calibration", "fan"} & set(pictures):
        assert pictures[name].png(NARROW_LIGHT).startswith(PNG)
    outline(in_words(report))


@pytest.mark.slow
def test_variants_stand_after_the_alternatives_and_many_dimensions_are_explained(report):
    methods = {"direct": report.scores.methods["model"], **report.scores.methods}
    rows = score_rows(dataclasses.replace(report.scores, methods=methods))
    order = ["model", "nearest", "persistence", "mixture", "mccann", "bridge", "direct", "floor"]
    assert [row.method for row in rows] == order
    assert [row.label for row in rows if "variant" in row.label] == ["variant of the model: direct path, no field"]
    many = make_report(every=3, n_times=4, dim=12)  # more species than are shown, no heat map
    text = in_words(many)
    assert "reward too little spread" in text
    assert "shrunk truth" in text
    assert not any(cell.best for row in score_rows(many.scores) if row.method == "shrunk_truth" for cell in row.cells)


def test_a_model_trained_without_a_search_is_reported_in_words(report):
    alone = dataclasses.replace(report, study=None, trials=(), best_config={})
    assert {picture.name for picture in _pictures(alone) if picture.draw is None} >= set(OF_TRIALS)
    text = in_words(alone)
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
    conditions = Snapshots.of_conditions({dose: seen_of(report) for dose in (1.0, 3.0)}, "dose")
    between = {*condition_baselines(conditions, (2.0,))}
    assert between == set(LIKE) - {LINE_BETWEEN} == set(CONDITION_BAR)
    assert alternatives | between == set(OWNERS) == set(NAMES)
    named = {*alternatives, *VARIANTS, "model", "shrunk_truth", "floor"}
    assert named | between == set(STYLES)
    assert named - {LINE_BETWEEN} == set(LIGHT.methods) == set(DARK.methods)
    assert all(LIGHT.colour(name) == LIGHT.methods[like] for name, like in LIKE.items())


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


# What pictures show


def drawn(picture: Picture) -> Figure:
    assert picture.draw is not None
    return picture.draw(LIGHT)


def seen_of_one(data: np.ndarray, model: np.ndarray) -> Observed:
    """Two times, of which the first was seen; there the data are nonsense."""
    clouds = (np.full((5, 1), 1e3), data[:, None])
    draws = np.stack([model, model])[:, :, None]
    return Observed(np.array([0.0, 1.0]), clouds, draws, np.array([True, False]), ("x",), (False,))


@pytest.mark.parametrize("counts", [False, True])
def test_ranks_of_a_true_model_are_uniform_within_their_error(counts):
    rng = np.random.default_rng(0)
    draw = (lambda n: rng.poisson(1.5, n).astype(float)) if counts else rng.standard_normal
    found = measure(seen_of_one(draw(2000), draw(1000)))
    assert found.times.tolist() == [1.0]
    assert found.bins.sum() == pytest.approx(1.0)
    assert np.abs(found.bins - 0.1).max() < 1.5 * found.chance(0.1)
    for level, coverage in zip(LEVELS, found.coverage.ravel(), strict=True):
        assert abs(coverage - level) < found.chance(level)


def test_coverage_of_a_model_shifted_by_one_deviation_is_what_the_normal_law_says():
    grid = norm.ppf((np.arange(4000) + 0.5) / 4000)
    found = measure(seen_of_one(grid, grid + 1.0))
    exact = [norm.cdf(norm.ppf((1 + level) / 2) + 1) - norm.cdf(norm.ppf((1 - level) / 2) + 1) for level in LEVELS]
    assert found.coverage.ravel() == pytest.approx(exact, abs=2e-3)
    assert found.bins[0, 0] == pytest.approx(norm.cdf(norm.ppf(0.1) + 1), abs=2e-3)
    assert "off by 17% at most" in calibration(seen_of_one(grid, grid + 1.0)).alt


def test_tied_values_are_spread_over_all_ranks_that_they_may_have():
    ranks = Ranks.of(np.array([1.0]), np.array([0.0, 1.0, 1.0]))
    assert (ranks.low, ranks.high) == (0.25, 1.0)
    assert ranks.between(0.0, 0.5) == pytest.approx(1 / 3)


def scores_by(metric: str, **means: tuple[float, ...]) -> Scores:
    """Scores at one time by groups."""
    methods = {name: {metric: (float(np.mean(groups)),)} for name, groups in means.items()}
    return Scores("interpolation", 100, "", (1.0,), methods, {name: {metric: g} for name, g in means.items()})


def test_distances_are_0_at_the_floor_and_1_where_persistence_is():
    wide = np.linspace(-0.01, 0.01, 8)
    means = {"model": 0.35, "persistence": 1.1, "mccann": 0.6, "floor": 0.1}
    scores = scores_by("energy_distance", **{name: tuple(mean + wide) for name, mean in means.items()})
    (line,) = floor_distances(scores)
    assert {one.method: round(one.value, 9) for one in line.distances} == {
        "persistence": 1.0, "mccann": 0.5, "model": 0.25,
    }  # fmt: skip
    interval = scores.interval("model", "energy_distance")
    assert interval is not None
    assert [line.distances[-1].low, line.distances[-1].high] == pytest.approx([interval.low - 0.1, interval.high - 0.1])
    assert "energy distance 0.25, best alternative McCann's interpolation 0.5" in distances(scores).alt
    assert distances(scores).drawn().elements["single"].count("<title>model, energy distance: 0.3500, 0.25 from") == 1


def test_metrics_by_which_persistence_is_level_with_the_floor_are_named_and_not_drawn():
    wide = np.linspace(-0.2, 0.2, 8)
    scores = scores_by("sliced_w1", model=tuple(0.3 + wide), persistence=tuple(0.2 + wide), floor=tuple(0.1 + wide))
    picture = distances(scores)
    assert picture.draw is None
    assert "not above a floor beyond chance, or there is none: sliced W1" in picture.caption


@pytest.mark.parametrize(
    ("model", "start"),
    [
        (0.2, "The model is closer to the data than every alternative beyond chance: it has energy distance 0.2000"),
        (0.6, "The model and the best alternative, McCann's interpolation, are level within chance: the model has"),
        (0.9, "McCann's interpolation is closer to the data than the model beyond chance: the model has"),
    ],
)
def test_the_answer_is_one_sentence_with_all_that_it_takes_to_judge_it(model, start):
    wide = np.linspace(-0.01, 0.01, 8)
    means = {"model": model, "persistence": 1.1, "mccann": 0.6, "floor": 0.1}
    said = answer(scores_by("energy_distance", **{name: tuple(mean + wide) for name, mean in means.items()}))
    assert said.startswith(start)
    assert said.endswith("McCann's interpolation has 0.6000, and a perfect model would have 0.1000.")


def test_of_several_models_the_closest_is_named_and_whether_it_is_so_beyond_chance():
    wide = np.linspace(-0.01, 0.01, 8)
    far, near, twin = (
        dataclasses.replace(
            scores_by("energy_distance", model=tuple(mean + spread), floor=tuple(0.1 + wide)), data="one"
        )
        for mean, spread in ((0.6, wide), (0.2, wide), (0.201, -wide))
    )
    assert closest({"far": far, "near": near, "twin": twin}) == (
        "By energy distance, near (0.2000) is closer to the data than far (0.6000) beyond chance and is level within "
        "chance with twin (0.2010); a perfect model would have 0.1000."
    )
    assert closest({"far": far, "near": near}).startswith("By energy distance, near (0.2000) is closer to the data")


def compared_as(folder, *models: tuple[str, Scores]) -> tuple[str, str]:
    """The page of a comparison, and what it says of the data."""
    scored = [Scored(name, scores, folder / name) for name, scores in models]
    write_comparison(folder / "both.html", scored)
    return (folder / "both.html").read_text(), same_data(scored)


def test_a_comparison_ranks_only_what_was_scored_on_the_same_data_at_the_same_times(tmp_path):
    wide = np.linspace(-0.01, 0.01, 8)
    one = dataclasses.replace(
        scores_by("energy_distance", model=tuple(0.2 + wide), mccann=tuple(0.6 + wide), floor=tuple(0.1 + wide)),
        data="one",
    )
    worse = dataclasses.replace(one, methods={**one.methods, "model": {"energy_distance": (0.4,)}})
    page, said = compared_as(tmp_path, ("first", one), ("second", worse))
    assert said == "All were scored on the same data."
    assert "first (0.2000) is closer to the data than second (0.4000) beyond chance; a perfect model" in page
    assert page.count("<small>±") == 2
    assert "second,model,energy_distance,0.4," in unquote(page)
    for change, told in (
        ({"data": "another"}, "not scored on the same data"),
        ({"data": ""}, "is not known"),
        ({"times": (2.0,)}, "but not at the same times"),
    ):
        page, said = compared_as(tmp_path, ("first", one), ("second", dataclasses.replace(worse, **change)))
        assert told in said
        assert f'<p class="headline">{said}</p>' in page
        assert "is closer to the data than second" not in page


def test_a_floor_of_halves_is_called_more_than_a_perfect_model_would_have(report):
    assert "and a perfect model would have less than " in answer(report.scores)
    assert "halves of the test samples from each other, more than a perfect model" in distances(report.scores).caption


def test_joint_shares_sum_to_one_and_what_is_rare_is_counted_at_the_edge(report):
    cloud = np.array([[0.5, 0.5], [0.6, 1.5], [9.0, 1.5], [0.5, -3.0]])
    found = shares(cloud, (np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])))
    assert found.tolist() == [[0.5, 0.25], [0.0, 0.25]]
    observed = observe(report)
    some = spread_times(observed, 4)
    assert not observed.seen[some].any()
    assert len(drawn(joint(observed)).axes) == 2 * len(some)


def test_pictures_of_two_species_take_those_that_vary_most(report):
    clouds = tuple(np.random.default_rng(k).normal(0, (1, 5, 0.1, 3), (50, 4)) for k in range(3))
    observed = Observed(
        np.arange(3.0), clouds, np.stack(clouds), np.arange(3) < 2, ("a", "b", "c", "d"), (False,) * 4
    )  # fmt: skip
    assert observed.most_varied == (1, 3)
    assert "the two of 4 species that vary most" in overview(observed).caption
    assert observed.sizes == "50 samples"


def test_axes_of_counts_have_ticks_at_whole_numbers_alone():
    few = make_report(every=2, n_times=3)
    axis = observe(few)
    figure = drawn(joint(axis))
    for ticks in (figure.axes[0].get_xticks(), figure.axes[0].get_yticks()):
        assert np.array_equal(ticks, np.round(ticks))


def test_a_forecast_goes_on_by_a_quarter_of_the_fitted_span_and_shows_the_models_own_quantiles(report):
    picture = fan(report, observe(report))
    assert "last fitted snapshot (dotted line, t = 4)" in picture.caption
    figure = drawn(picture)
    line = next(line for line in figure.axes[0].lines if line.get_label() == "model, median")
    times, median = map(np.asarray, line.get_data())
    assert times[-1] == pytest.approx(5.0)
    assert median[-1] == pytest.approx(18.0, abs=1.0)  # 8 + 2 t


def test_trials_that_were_stopped_early_have_an_axis_of_their_own(report):
    figure = drawn(history(report))
    above, below = figure.axes
    assert [trial for trial in range(5) if f"trial {trial}, finished" in str(gids(above))] == [0, 3, 4]
    assert gids(below) == ["tip: trial 1, pruned, score 4.0000 after 3 epochs"]
    assert above.get_ylim()[1] < 900.0
    with_none = dataclasses.replace(report, trials=tuple(t for t in report.trials if t.number != 1))
    assert len(drawn(history(with_none)).axes) == 1


@pytest.mark.parametrize(
    ("scores", "top"),
    [
        ([7.9223, 7.9235, 7.927, 7.961, 7.971, 8.0058], 8.0058),  # two configurations, each with its repeats
        ([3.0, 3.1, 3.2, 900.0], 3.2),
        ([3.0, 3.1, 3.2, 3.3, 5.0, 900.0, 900.0], 5.0),
        ([3.0, 900.0], 3.0),
    ],
)
def test_an_axis_shows_all_scores_but_those_that_would_flatten_the_others(scores, top):
    assert top_of_bulk(np.array(scores)) == top


def gids(axis) -> list[str]:
    return [line.get_gid() for line in axis.lines if line.get_gid()]


def test_learning_curves_show_every_epoch_of_every_trial_and_the_best_above_all(report):
    axis = drawn(curves(report.trials, 3)).axes[0]
    assert len(axis.lines) == 4
    assert axis.lines[-1].get_label() == "trial 3, the best"
    assert np.asarray(axis.lines[-1].get_ydata()).tolist() == [5.25, 4.25, 3.25]
    assert curves((), None).draw is None


def test_parallel_axes_place_numbers_words_and_what_is_missing():
    params = [{"rate": 1e-4, "kind": "ode", "depth": 1}, {"rate": 1e-3, "kind": "cde"}, {"rate": 1e-2, "kind": "ode"}]
    params = [dict[str, Any](own, components=None) for own in params]  # none has a value: no axis of it
    trials = [TrialRecord(i, TrialState.FINISHED, own, float(i)) for i, own in enumerate(params)]
    rate, kind, depth = parameter_axes(trials)
    assert rate.places == pytest.approx([0.0, 0.5, 1.0])  # logarithmic
    assert kind.places.tolist() == [0.75, 0.25, 0.75]
    assert dict(kind.words) == {0.25: "cde", 0.75: "ode"}
    assert np.isnan(depth.places).tolist() == [False, True, True]
    picture = parallel(dataclasses.replace(make_report(every=2, n_times=3), trials=tuple(trials)))
    assert "over rate, kind and the score" in picture.alt
    assert picture.png(NARROW_LIGHT).startswith(PNG)
