"""How the page looks: an accessibility scan in both lights, and pictures of it, compared loosely."""

from __future__ import annotations

import io
from itertools import pairwise

import matplotlib.image
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from scenarios import scenario, talk
from tale import Tale

from tcpclose.trace.events import Trace

pytestmark = pytest.mark.slow

SIZES = [(1280, 800), (800, 600), (390, 844)]


def violations(page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html'][:200]} {node['failureSummary']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("size", [SIZES[0], SIZES[-1]])
@pytest.mark.parametrize("light", ["light", "dark"])
def test_an_accessibility_scan_finds_nothing(open_page, demo, light, size):
    opened = open_page(demo, "#c=unreachable&t=3.2")
    opened.page.set_viewport_size({"width": size[0], "height": size[1]})
    opened.page.emulate_media(color_scheme=light)
    assert violations(opened.page) == []
    opened.jump("#c=graceful&t=0.19")
    opened.press("ArrowUp")
    assert violations(opened.page) == []


def test_nor_in_the_list_of_keys_or_in_a_page_of_an_empty_run(open_page, demo):
    opened = open_page(demo)
    opened.press("?")
    assert violations(opened.page) == []
    assert violations(open_page(Trace()).page) == []


# ---- Pictures


def picture(page) -> np.ndarray:
    """Height x width x RGB, from 0 to 1."""
    return matplotlib.image.imread(io.BytesIO(page.screenshot()), format="png")[:, :, :3]


def shares(pixels: np.ndarray) -> np.ndarray:
    """How much of the picture each colour takes, colours told apart coarsely; the largest first."""
    coarse = (pixels * 15).round().astype(int) @ np.array([256, 16, 1])
    return np.sort(np.unique(coarse, return_counts=True)[1])[::-1] / coarse.size


CRASH = ("0s: h2 listen", "0s: h1 open", "2s: crash h2", "3s: h1 send 1kB")


@pytest.fixture(scope="session")
def seen(play) -> dict[str, tuple[Trace, list[str]]]:
    """Runs to look at, each at some moments."""
    return {
        "six": (Tale().open().close().trace(), ["#t=0", "#t=0.03", "#t=9"]),
        "two hundred": (play(talk(octets="140kB")), ["#t=0.05", "#t=0.19", "#t=9"]),
        "crash": (play(scenario(*CRASH)), ["#t=4"]),
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["six", "two hundred", "crash"])
def test_pictures_are_full_and_fit_the_window_in_both_lights(open_page, seen, name, size):
    trace, moments = seen[name]
    opened = open_page(trace)
    opened.page.set_viewport_size({"width": size[0], "height": size[1]})
    for moment in moments:
        opened.go(moment)
        brightness = {}
        for light in ("light", "dark"):
            opened.page.emulate_media(color_scheme=light)
            pixels = picture(opened.page)
            assert pixels.shape == (size[1], size[0], 3)
            most = shares(pixels)
            assert most[0] < 0.93, "nearly all is of one colour"
            assert len(most) > 40, "there is hardly anything on it"
            brightness[light] = pixels.mean()
        assert brightness["light"] > 0.75
        assert brightness["dark"] < 0.3
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_diagrams_names_fit_their_boxes(open_page, demo):
    opened = open_page(demo)
    beyond = opened.page.evaluate(
        """() => [...document.querySelectorAll("g.state")].filter(state => {
            const [box, text] = ["rect", "text"].map(tag => state.querySelector(tag).getBoundingClientRect());
            return text.left < box.left || text.right > box.right;
        }).map(state => state.textContent)"""
    )
    assert beyond == []


@pytest.mark.parametrize("moment", ["#t=0.2", "#t=9"])
def test_nothing_in_the_details_is_cut_off_at_the_side(open_page, play, moment):
    opened = open_page(play(talk(octets="140kB")), moment)
    wide = opened.page.evaluate(
        """() => [...document.querySelectorAll("#details, #left, #right")]
            .filter(part => part.scrollWidth > part.clientWidth).map(part => part.id)"""
    )
    assert wide == []


def test_labels_of_segments_that_leave_one_host_do_not_overlap(open_page, play):
    """Those in sight, at the tails: measured across the arrows, as they are parallel."""
    opened = open_page(play(talk(octets="60kB")), "#t=0.2")
    tops = opened.page.evaluate(
        """() => [...document.querySelectorAll(".segment:not(.future) .label")]
            .filter(label => getComputedStyle(label).visibility === "visible")
            .map(label => [label.getAttribute("text-anchor"), label.transform.baseVal[0].matrix.f])"""
    )
    for side in ("start", "end"):
        rows = sorted(top for anchor, top in tops if anchor == side)
        gaps = [below - above for above, below in pairwise(rows)]
        assert rows
        assert min(gaps, default=99) >= 12.5
