"""Grades as pages in a browser: they can be read in both lights, on paper and by everybody, and run nothing."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from shown_grades import ALL

from tcpclose.teaching.assignments.classes import Classroom
from tcpclose.teaching.assignments.pages import index, page
from tcpclose.teaching.assignments.summary import Summary

pytestmark = pytest.mark.slow

CLASS = Summary("A2: the release of an engine", [*ALL] * 75, Classroom((), ("readme.md",), ("s5", "s6")))
PAGES = {
    "grade": page(CLASS.title, ALL[0]),
    "problem": page(CLASS.title, ALL[-1]),
    "class": index(CLASS, {one.file: f"pages/{one.file}.html" for one in ALL}),
}


@pytest.fixture(params=PAGES)
def shown(request, browser, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(PAGES[request.param])
    context = browser.new_context()
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    opened.on("request", lambda request: complaints.append(request.url) if request.url != file.as_uri() else None)
    opened.goto(file.as_uri())
    yield opened
    context.close()
    assert complaints == []


@pytest.mark.parametrize("light", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_an_accessibility_scan_finds_nothing_and_nothing_is_cut_off(shown, light, width):
    shown.set_viewport_size({"width": width, "height": 800})
    shown.emulate_media(color_scheme=light)
    found = Axe().run(shown).response["violations"]
    assert [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]] == []
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    bright = shown.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert (bright > 200) == (light == "light")


def test_on_paper_figures_are_not_cut_off(shown):
    shown.emulate_media(media="print", color_scheme="dark")
    assert shown.evaluate("getComputedStyle(document.body).color") == "rgb(29, 33, 37)"
    assert shown.evaluate("[...document.querySelectorAll('pre')].every(p => p.scrollWidth <= p.clientWidth)")


def test_a_figures_columns_stay_aligned(browser, tmp_path):
    (tmp_path / "page.html").write_text(PAGES["grade"])
    opened = browser.new_page()
    opened.goto((tmp_path / "page.html").as_uri())
    figure = opened.locator("pre").first
    assert "mono" in figure.evaluate("p => getComputedStyle(p).fontFamily")
    assert figure.evaluate("p => getComputedStyle(p).whiteSpace") == "pre"
    opened.close()
