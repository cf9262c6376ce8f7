"""The report as its readers see it: in a real browser at three sizes, in two schemes, and on paper."""

import base64
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import Page, browsing
from searches import wait_for
from test_report import make_front, make_report

from weightflow.report import write_report
from weightflow.report.comparison import Scored, write_comparison
from weightflow.report.theme import DARK, LIGHT
from weightflow.trials import Criterion, Repeated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SIZES = (1280, 768, 390)
SCHEMES = ("light", "dark")
# Lowest ratio of contrast of all texts with what is behind them, with the text (Web Content Accessibility Guidelines).
CONTRAST = """(() => {
  const parse = c => (c.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = c => c.slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  let worst = [99, "", 0];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walk.nextNode(); n; n = walk.nextNode()) {
    const e = n.parentElement;
    if (!n.data.trim() || !e.getClientRects().length || /^(script|style|title)$/i.test(e.tagName)) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(parse(e.closest("svg") ? style.fill : style.color)), light(behind(e))].sort((x, y) => y - x);
    worst = (a + 0.05) / (b + 0.05) < worst[0] ? [(a + 0.05) / (b + 0.05), n.data.trim(), worst[2]] : worst;
    worst[2] += 1;
  }
  return worst;
})()"""
# What is wider than the window: the page, or a picture in it; tables may be moved in frames of their own.
TOO_WIDE = """[...document.querySelectorAll("body, figure, figure *:not(svg *)")]
  .filter(e => e.clientWidth && (e.scrollWidth > e.clientWidth + 1
    || e.getBoundingClientRect().right > document.documentElement.clientWidth)).map(e => e.outerHTML.slice(0, 80))"""
SMALLEST = """Math.min(...[...document.querySelectorAll("svg text")].filter(e => e.getBoundingClientRect().width)
  .map(e => [e.getScreenCTM(), parseFloat(getComputedStyle(e).fontSize)])
  .map(([m, size]) => size * Math.hypot(m.a, m.b)))"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of a search that leaves all that there is to tell."""
    chosen, trials = make_front((Criterion.SCORE, Criterion.SECONDS))
    again = (Repeated(3, 4.9, (5.31, 5.4, 5.36)), Repeated(1, 5.0, (5.2, 5.3)))
    facts = {"Data": "moving cloud", "Fit": "Its draws reach the fitted snapshots. " * 6}
    told = {"config": {f"group{i}.some_long_name_{i}": i for i in range(100)}, "again": ("python launch/tune.py " * 9,)}
    report = replace(make_report(), trials=trials, front=chosen, repeats=again, facts=facts, best=3, **told)
    path = tmp_path_factory.mktemp("pages") / "report.html"
    write_report(path, report)
    assert path.stat().st_size < 5e6
    return path.as_uri()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browsing() as page:
        yield page


def keep(name: str, folder: Path) -> Path:
    """Where a picture is kept for people to look at: where WEIGHTFLOW_SCREENSHOTS says, or with the test's output."""
    return Path(os.environ.get("WEIGHTFLOW_SCREENSHOTS", folder)) / f"report-{name}"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", SIZES)
def test_the_report_is_readable_at_every_size_in_both_schemes(
    address: str, page: Page, tmp_path: Path, width: int, scheme: str
) -> None:
    file = keep(f"{width}-{scheme}.png", tmp_path)
    check_readable(page, address, "Distance from the best possible", file, width, scheme, texts=300)


def check_readable(page: Page, address: str, title: str, file: Path, width: int, scheme: str, texts: int) -> None:
    """A page fits a width in a scheme, in contrast and size of all its texts, of which there are so many at least."""
    page.complaints.clear()
    page.prefer(scheme)
    page.size(width, 900)
    page.open(address, title)
    page.picture(file)
    assert page.ask("document.documentElement.scrollWidth") <= width
    assert page.ask(TOO_WIDE) == []
    ratio, text, found = page.ask(CONTRAST)
    assert found > texts
    assert ratio >= 4.5, text
    assert page.ask(SMALLEST) >= 8.0
    assert page.complaints == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", SIZES)
def test_a_comparison_is_readable_at_every_size_in_both_schemes(
    address: str, page: Page, tmp_path: Path, width: int, scheme: str
) -> None:
    scores, folder = make_report().scores, Path(unquote(urlsplit(address).path)).parent
    known = replace(scores, data="d4f1")
    write_comparison(tmp_path / "both.html", [Scored("first", known, folder), Scored("second", known, folder)])
    file = keep(f"compared-{width}-{scheme}.png", tmp_path)
    check_readable(page, (tmp_path / "both.html").as_uri(), "2 models compared", file, width, scheme, texts=150)
    colours = {"light": LIGHT, "dark": DARK}
    assert drawn_in(page) == [colours[scheme].background] * 2
    page.prefer(scheme, "print")
    assert drawn_in(page) == [LIGHT.background] * 2
    page.prefer("light")


def drawn_in(page: Page) -> list[str]:
    """The colours behind those pictures that are seen, which are files of their own."""
    seen = "[...document.querySelectorAll('img')].filter(e => e.naturalWidth && e.clientWidth).map(e => e.src)"
    texts = [base64.b64decode(one.partition("base64,")[2]).decode() for one in page.ask(seen)]
    return [next(one.background for one in (LIGHT, DARK) if one.background in text) for text in texts]


def test_the_first_screen_holds_question_answer_and_both_pictures(address: str, page: Page) -> None:
    page.size(1280, 900)
    page.open(address, "Distance from the best possible")
    ends = page.ask(
        "[...document.querySelectorAll('.asked, .headline, #overview svg, #distances svg')]"
        ".map(e => e.getBoundingClientRect().bottom)"
    )
    assert len(ends) == 4
    assert max(ends) <= 900


def test_a_table_is_sorted_by_keyboard_alone_and_back_again(address: str, page: Page) -> None:
    page.size(1280, 900)
    page.open(address, "Distance from the best possible")
    numbers = "[...document.querySelectorAll('.scores tbody tr')].map(r => parseFloat(r.cells[3].innerText))"
    state = "document.querySelectorAll('.scores thead th')[3].ariaSort"
    page.ask("document.querySelectorAll('.scores thead button')[2].focus()")
    page.press("Tab")
    assert page.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("Enter", "\r")
    up = page.ask(numbers)
    assert (page.ask(state), up) == ("ascending", sorted(up))
    page.press("Enter", "\r")
    down = page.ask(numbers)
    assert (page.ask(state), down) == ("descending", sorted(up, reverse=True))
    assert up != down


def test_each_picture_is_saved_as_it_is_shown_without_the_page(address: str, page: Page) -> None:
    page.prefer("dark")
    page.size(1280, 900)
    page.open(address, "Distance from the best possible")
    page.ask("HTMLAnchorElement.prototype.click = function () { window.saved = [this.download, this.href]; }")
    name, text = saved(page, 0)
    assert name == "errors.svg"
    read = "new DOMParser().parseFromString(decodeURIComponent(saved[1].split(',', 2)[1]), 'image/svg+xml')"
    sides = page.ask(f"(e => [e.nodeName, e.getAttribute('width'), e.getAttribute('height')])({read}.documentElement)")
    assert sides[0] == "svg"  # and no error of the parser
    assert "var(" not in text
    assert DARK.methods["model"] in unquote(text)
    name, image = saved(page, 1)
    assert name == "errors.png"
    assert image.startswith("data:image/png;base64,")
    size = struct.unpack(">II", base64.b64decode(image.partition(",")[2])[16:24])
    assert size == tuple(int(3 * float(side)) for side in sides[1:])
    page.prefer("light")


def saved(page: Page, place: int) -> tuple[str, str]:
    """Press a button of a picture, and return the name of the file that comes and an address that holds it."""
    page.ask(f"window.saved = null, document.querySelectorAll('#errors button')[{place}].click()")
    wait_for(lambda: page.ask("window.saved") is not None)
    name, address = page.ask("window.saved")
    return name, address


def test_everything_that_can_be_used_is_reached_by_the_tabulator_and_named(address: str, page: Page) -> None:
    page.open(address, "Distance from the best possible")
    reached = set()
    for _ in range(100):
        page.press("Tab")
        reached.add(page.ask("document.activeElement.tagName + ' ' + document.activeElement.textContent.trim()"))
    assert {"A Answer", "A Words", "BUTTON method", "BUTTON SVG", "A Download this table (scores.csv)"} <= reached
    unnamed = "[...document.querySelectorAll('svg, .scroll')].filter(e => (e.ariaLabel ?? '').length < 12).length"
    assert page.ask(unnamed) == 0


def test_on_paper_nothing_is_cut_no_page_is_blank_and_all_is_light(address: str, page: Page, tmp_path: Path) -> None:
    page.prefer("dark")  # as many readers have it
    page.size(1280, 900)
    page.open(address, "Distance from the best possible")
    paper = page.paper()
    keep("paper.pdf", tmp_path).write_bytes(paper)
    pages = len(re.findall(rb"/Type /Page\b", paper))
    texts = [len(page.paper(k + 1)) for k in range(pages)]
    assert 6 <= pages <= 14
    assert min(texts) > 12_000  # bytes of a page by itself; a blank one has less than 4,000
    page.prefer("dark", "print")
    page.size(703, 1000)  # what is printed on A4, in pixels of CSS
    assert page.ask("getComputedStyle(document.documentElement).getPropertyValue('--p-background').trim()") == "#ffffff"
    assert page.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    # without these Chromium does not repeat the heads of columns on the next page
    assert page.ask("[...document.querySelectorAll('thead')].every(e => getComputedStyle(e).breakInside == 'avoid')")
    heads = "[...document.querySelectorAll('th button')].every(e => getComputedStyle(e).display == 'contents')"
    assert page.ask(heads)
    ends = page.ask("[...document.querySelectorAll('table, svg')].map(e => e.getBoundingClientRect().right)")
    assert max(ends) <= 703
    page.prefer("light")
