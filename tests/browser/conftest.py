"""A browser for the tests of the page: Debian's Chromium, one for each worker, and runs to show in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tcpclose import runs
from tcpclose.replay import write_report
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.events import Trace

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT = 15_000  # milliseconds, for a machine that is busy with other tests


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Its profile is a new folder, which goes away with it."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium (`./lab test` does that where it may)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=60_000)
        yield browser
        browser.close()


class Opened:
    """The page of a run in a browser. All that it complains of, and all that it asks for, is noted."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.file = file
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(WAIT)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def go(self, fragment: str = "") -> Opened:
        """Open the page at a moment, as a link to it would."""
        self.page.goto("about:blank")
        self.page.goto(self.file.as_uri() + fragment)
        return self

    def jump(self, fragment: str) -> None:
        """Change the address of the open page, to another moment than it has."""
        self.page.evaluate(
            """fragment => new Promise(done => {
                addEventListener("hashchange", done, {once: true});
                location.hash = fragment;
            }).then(() => null)""",
            fragment,
        )

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def words(self, selector: str) -> list[str]:
        """The same of what is drawn: SVG has no inner text."""
        return self.page.locator(selector).all_text_contents()

    def states(self) -> tuple[str, str]:
        """What the two machines show."""
        return self.text("#left .badge"), self.text("#right .badge")

    def time(self) -> float:
        """Seconds, as the page tells them."""
        return float(self.text("#clock").removesuffix(" s"))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def scrub(self, part: float) -> None:
        """Pull the scrubber to a part of its way."""
        self.page.locator("#scrub").evaluate(
            "(scrub, part) => { scrub.value = part * scrub.max; scrub.dispatchEvent(new Event('input')); }", part
        )


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """`open_page(trace, "#t=1")` gives its page, opened from disk. At the end none may have complained or asked."""
    opened: list[Opened] = []
    context = browser.new_context(viewport={"width": 1280, "height": 800})

    def make(trace: Trace, fragment: str = "", title: str = "A run") -> Opened:
        file = tmp_path / f"report{len(opened)}.html"
        write_report(file, trace, title, ["in the simulator"])
        opened.append(Opened(context.new_page(), file))
        return opened[-1].go(fragment)

    yield make
    context.close()
    for one in opened:
        assert one.complaints == []
        strange = [
            url for url in one.asked if url.partition("#")[0] not in (one.file.as_uri(), "about:blank", "data:,")
        ]
        assert strange == []


def played(scenario: Scenario) -> Trace:
    return simulate(scenario, load_network(scenario))


@pytest.fixture(scope="session")
def play() -> Callable[[Scenario], Trace]:
    """Runs a scenario in the simulator."""
    return played


@pytest.fixture(scope="session")
def demo() -> Trace:
    return played(Scenario.load(runs.LABS / "demo" / "scenario.toml"))


@pytest.fixture(scope="session")
def four_way() -> Trace:
    return played(Scenario.load(runs.LABS / "01-four-way-close" / "scenario.toml"))
